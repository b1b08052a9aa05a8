# SPDX-License-Identifier: Apache-2.0
"""The two ways to embed that are not the default: each built, booted, rebooted and verified."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inv import inv

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("embed", ["archive", "unpacked"])
def test_image_with_another_embedding_is_verified(embed: str, tmp_path: Path) -> None:
    answer = inv("build-image", "--var", f"embed={embed}", out=tmp_path)

    manifest = answer["manifest"]
    assert manifest["embed"] == embed
    assert manifest["verification"]["result"] == "passed"
    assert manifest["verification"]["pods_ready_s"] > 0
    lock = json.loads((Path(answer["folder"]) / "images.lock.json").read_text())
    assert lock["images"]
