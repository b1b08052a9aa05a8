# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from goldsmith.core.paths import project_root
from goldsmith.spec import load
from tests.soak import docs
from tests.soak.docs import TOLD


@pytest.mark.parametrize("name", TOLD)
def test_every_section_ends_with_a_build_of_its_image(name: str) -> None:
    told = TOLD[name]
    last = told.commands()[-1].partition("#")[0].split()

    assert "build-image" in last
    assert Path(last[-1]).name.removesuffix(".yaml.j2") in (told.image, "build-image")


def test_the_spec_of_the_readme_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(project_root() / "image-specs", tmp_path / "image-specs")
    docs.TOLD["a spec"].prepare(tmp_path)

    spec = load.load(str(tmp_path / "image-specs/my-image.yaml.j2"), {}).spec
    assert (spec.name, len(spec.containers)) == ("my-image", 2)


def test_what_a_wheel_needs_is_told_in_this_order() -> None:
    words = [" ".join(line.split()[:2]) for line in TOLD["a wheel"].commands()]

    assert words == [
        "pip wheel", "python3 -m", "mkdir ~/images", "goldsmith --version", "goldsmith doctor",
        "goldsmith init", "goldsmith plan", "goldsmith --yes",
    ]  # fmt: skip
