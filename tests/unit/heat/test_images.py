# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import functools
import types
from pathlib import Path
from typing import Any

import pytest

from goldsmith.core import wait
from goldsmith.errors import CloudError
from goldsmith.heat.images import Images
from tests.support.meters import Meters


def test_how_far_an_upload_is_follows_what_the_sdk_reads(
    tmp_path: Path, meters: Meters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait, "meanwhile", functools.partial(wait.meanwhile, interval_s=0.01))
    (tmp_path / "disk.qcow2").write_bytes(b"x" * 1000)

    class Sdk:
        def create_image(self, _name: str, *, filename: str, **_more: Any) -> object:
            with Path(filename).open("rb", buffering=0) as source:
                source.read(700)
                wait.wait_until(lambda: meters[0].done == 700, timeout_s=30, interval_s=0.01)
            return types.SimpleNamespace(id="1")

    assert Images(Sdk()).upload(tmp_path / "disk.qcow2", "name") == "1"

    assert meters[0].total == 1000
    assert len(meters) == 1


def test_a_disk_that_is_not_there_cannot_be_uploaded(tmp_path: Path) -> None:
    with pytest.raises(CloudError, match=r"cannot upload .*gone\.qcow2"):
        Images(None).upload(tmp_path / "gone.qcow2", "name")
