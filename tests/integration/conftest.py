# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: one main job, a place for builds of the tiny image and one of those."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from goldsmith.core import paths, proc
from tests.soak.offline import CUT_OFF
from tests.support.builds import SPEC, lost_devices
from tests.support.heat_in_background import Acceptance
from tests.support.inv import INV, inv
from tests.support.tiny_builds import TinyPlace

_PARTS = SPEC.parent / "elements/tiny-os/tiny-files/make-parts"


_FIRST = ("test_main_job.py", "test_tiny.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first, then the main job, which most depends on.

    Then the acceptance test starts in the background, because its server boots slowly; its tests are last.
    """

    def turn(item: pytest.Item) -> int:
        if not item.get_closest_marker("integration"):
            return 0
        fixtures = getattr(item, "fixturenames", ())
        if "verdict" in fixtures:
            return 4
        second = (
            "acceptance" in fixtures or item.path.name == "test_publish.py"
        )  # which takes longest of its group
        return 1 if item.path.name in _FIRST else 2 if second else 3

    items.sort(key=turn)


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the main job builds; a path with a space is as good as any."""
    return tmp_path_factory.mktemp("main job")


@pytest.fixture(scope="session")
def built(out: Path) -> dict[str, Any]:
    """The answer of `scripts/inv build-image --json` for the default spec."""
    return inv("build-image", out=out)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Key pairs of ours and of a stranger: the private key's file; the public one ends in .pub."""
    folder = tmp_path_factory.mktemp("keys")
    made = {name: folder / f"{name}.key" for name in ("ours", "theirs")}
    for key in made.values():
        proc.capture(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key])
        proc.capture(["openssl", "pkey", "-in", key, "-pubout", "-out", key.with_suffix(".pub")])
    return made


@pytest.fixture(scope="session")
def signed(built: dict[str, Any], out: Path, keys: dict[str, Path]) -> dict[str, Any]:
    """The answer of `scripts/inv sign --json` on the build of the main job, signed with our key."""
    words = ("--builder", "urn:test", "--accept-dirty", "a checkout of tests may have changes")
    return inv("sign", "--key", str(keys["ours"]), *words, out=out)


@pytest.fixture(scope="session")
def acceptance(signed: dict[str, Any], out: Path, keys: dict[str, Path]) -> Iterator[Acceptance]:
    """`scripts/inv verify-heat` on the signed build of the main job, while other tests run."""
    argv: list[proc.Arg] = [INV, "verify-heat", "--signed-by", keys["ours"].with_suffix(".pub"), "--out", out]
    env = {**os.environ, "CI": "true"}
    with proc.background(argv, log_path=out / "acceptance.log", env=env, grace_s=60) as process:
        yield Acceptance(process=process, log=out / "acceptance.log")


@pytest.fixture(scope="session")
def make_place() -> Iterator[Callable[[], TinyPlace]]:
    """make_place(): a new place, whose cache holds what the tiny image is made of."""
    parts = Path(proc.capture([sys.executable, _PARTS], cwd=paths.project_root(), timeout_s=600).strip())
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
