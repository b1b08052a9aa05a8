# SPDX-License-Identifier: Apache-2.0
"""A build whose inputs are those of the latest verified one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.builds import SPEC
from tests.support.tiny_builds import TinyPlace

pytestmark = pytest.mark.integration


@pytest.fixture
def place(make_place: Callable[[], TinyPlace], tiny_build: Path) -> TinyPlace:
    """A new place whose latest build is a copy of the verified one."""
    place = make_place()
    copied = place.out / "tiny" / tiny_build.name
    shutil.copytree(tiny_build, copied)
    (copied.parent / "latest").symlink_to(copied.name)
    return place


def test_nothing_is_built_and_a_second_verdict_is_a_file_of_its_own(
    place: TinyPlace, tiny_build: Path
) -> None:
    before = (place.builds()[0] / "manifest.json").read_bytes()

    done = place.inv("build-image", SPEC, "--verify", "--json")

    assert done.status == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["changed"] is False, done.stderr
    verdict = json.loads(Path(answer["verdict"]).read_text())
    assert Path(answer["folder"]).name == tiny_build.name
    assert (verdict["result"], verdict["schema"]) == ("passed", "goldsmith.verdict")
    assert [build.name for build in place.builds()] == [tiny_build.name]
    assert (place.builds()[0] / "manifest.json").read_bytes() == before
    assert "image ..." not in done.stderr
    assert place.remains() == []
