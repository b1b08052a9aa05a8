# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: one main job, a place for builds of the tiny image and one of those."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from inv import inv
from tinyplace import TinyPlace

from goldsmith import proc, workspace
from goldsmith.soakkill import SPEC, lost_devices
from goldsmith.soakoffline import CUT_OFF

_PARTS = SPEC.parent / "elements/tiny-os/tiny-files/make-parts"


_FIRST = ("test_main_job.py", "test_mutation.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """After the fast tests, what matters most: the main job, and whether its proof can be trusted."""
    integration = [item for item in items if item.get_closest_marker("integration")]
    first = [item for item in integration if item.path.name in _FIRST]
    fast = [item for item in items if item not in integration]
    items[:] = [*fast, *first, *(item for item in integration if item not in first)]


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the main job builds; a path with a space is as good as any."""
    return tmp_path_factory.mktemp("main job")


@pytest.fixture(scope="session")
def built(out: Path) -> dict[str, Any]:
    """The answer of `scripts/inv build-image --json` for the default spec."""
    return inv("build-image", out=out)


@pytest.fixture(scope="session")
def make_place() -> Iterator[Callable[[], TinyPlace]]:
    """make_place(): a new place, whose cache holds what the tiny image is made of."""
    parts = Path(proc.capture([sys.executable, _PARTS], cwd=workspace.project_root(), timeout_s=600).strip())
    made: list[TinyPlace] = []
    lost_before = lost_devices()

    def make() -> TinyPlace:
        # as the scratch folder has to be: a short path, and on a disk
        place = TinyPlace(root=Path(tempfile.mkdtemp(prefix="gs-", dir="/var/tmp")))
        place.root.chmod(0o755)
        for folder in (place.scratch, place.out, place.cache):
            folder.mkdir()
        shutil.copytree(parts, place.cache / "tiny-os" / parts.name)
        made.append(place)
        return place

    yield make
    assert lost_devices() <= lost_before
    for place in made:
        shutil.rmtree(place.root, ignore_errors=True)


@pytest.fixture(scope="session")
def tiny_place(make_place: Callable[[], TinyPlace]) -> TinyPlace:
    """The place that most tests share."""
    return make_place()


@pytest.fixture(scope="session")
def twins(tiny_place: TinyPlace) -> list[Path]:
    """The folders of two verified builds of the tiny image, made at once and without a network."""
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(lambda _: tiny_place.build(behind=CUT_OFF), range(2)))
    assert [outcome.status for outcome in outcomes] == [0, 0], outcomes
    return sorted(Path(outcome.stdout.strip()).parent for outcome in outcomes)


@pytest.fixture(scope="session")
def tiny_build(twins: list[Path]) -> Path:
    """The folder of a verified build of the tiny image."""
    return twins[-1]
