# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.core.paths import project_root
from goldsmith.errors import SpecError
from goldsmith.image import hooks


def hook(element: Path, place: str, *, mode: int = 0o755) -> None:
    path = element / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)


@pytest.fixture
def elements(tmp_path: Path) -> Path:
    """A folder with an operating system, which every image has."""
    (tmp_path / "os").mkdir()
    (tmp_path / "os/element-provides").write_text("operating-system\n")
    return tmp_path


def test_the_hooks_of_elements_and_of_those_that_they_depend_on_are_counted(elements: Path) -> None:
    for place in ("install.d/50-one", "finalise.d/50-one", "root.d/10-one"):
        hook(elements / "one", place)
    hook(elements / "two", "install.d/60-two")
    (elements / "one/element-deps").write_text("two\n")

    assert hooks.count(["os", "one"], [elements]) == 4


def test_what_does_not_run_as_a_hook_is_not_counted(elements: Path) -> None:
    element = elements / "one"
    hook(element, "install.d/50-one")
    hook(element, "install.d/51-not-executable", mode=0o644)
    hook(element, "install.d/52-dot.sh")
    hook(element, "install.d/folder/53-deeper")
    hook(element, "environment.d/10-read.bash")
    hook(element, "environment.d/11-read")
    hook(element, "bin/tool")
    hook(element, "package-installs.d/50-other")

    assert hooks.count(["os", "one"], [elements]) == 1


def test_of_two_hooks_with_the_same_name_one_runs(elements: Path) -> None:
    for element in ("one", "two"):
        hook(elements / element, "install.d/50-same")

    assert hooks.count(["os", "one", "two"], [elements]) == 1


def test_the_hooks_of_diskimage_builder_are_counted() -> None:
    places = [project_root() / "elements"]

    assert hooks.count(["debian-minimal", "vm", "block-device-mbr"], places) > 20


def test_a_missing_element_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="names the element 'nowhere', which does not exist"):
        hooks.count(["nowhere"], [tmp_path])
