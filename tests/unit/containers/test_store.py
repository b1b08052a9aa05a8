# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from goldsmith.containers import store

CONFIG = json.dumps({"rootfs": {"diff_ids": []}}).encode()


def test_an_image_that_another_process_replaces_meanwhile_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    store.keep("a", CONFIG, {})
    read, reads = Path.read_bytes, list[Path]()

    def while_it_is_replaced(path: Path) -> bytes:
        if path.name == "config.json":
            reads.append(path)
            if len(reads) == 1:
                raise FileNotFoundError(path)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", while_it_is_replaced)

    found = store.lookup("a")

    assert found is not None
    assert found.config == CONFIG
    assert len(reads) == 2
