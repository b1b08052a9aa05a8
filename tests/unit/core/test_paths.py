# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.core import paths, runs
from goldsmith.errors import HostError
from tests.support import installed


def test_full_disk_is_reported_with_the_variable_that_moves_it() -> None:
    with pytest.raises(HostError, match=r"the disk of \S+ is full") as e, runs.run():
        raise OSError(errno.ENOSPC, "No space left on device")

    assert re.search(r"set GOLDSMITH_(SCRATCH|OUT|CACHE) to a larger disk", e.value.hint or "")


def test_a_full_output_disk_is_reported_with_the_option_that_named_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    free = types.SimpleNamespace
    monkeypatch.setattr("shutil.disk_usage", lambda path: free(free=0 if path == elsewhere else 1))

    with pytest.raises(HostError, match=f"{elsewhere} is full") as e, runs.run(out=elsewhere):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert str(e.value.hint).endswith("set --out to a larger disk")


def test_full_disk_is_found_among_many_errors() -> None:
    with pytest.raises(HostError, match="is full"), runs.run():
        raise shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")])


def test_other_system_errors_are_raised_unchanged() -> None:
    with pytest.raises(PermissionError), runs.run():
        raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("path", ["/tmp/with a space", "/tmp/" + "long" * 15])
def test_scratch_folder_must_be_short_and_without_spaces(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("GOLDSMITH_SCRATCH", path)

    with pytest.raises(HostError, match="has a space or is longer"):
        paths.scratch_root()

    assert not Path(path).exists()


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a path that is short enough for a scratch folder."""
    with tempfile.TemporaryDirectory(prefix="gs-", dir="/tmp") as folder:
        yield Path(folder)


def test_a_scratch_folder_behind_a_link_is_named_as_the_kernel_names_it(
    monkeypatch: pytest.MonkeyPatch, short: Path
) -> None:
    (short / "real").mkdir(mode=0o700)
    (short / "link").symlink_to("real")
    monkeypatch.setenv("GOLDSMITH_SCRATCH", str(short / "link"))

    assert paths.scratch_root() == short / "real"


def test_a_relative_scratch_folder_is_absolute(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    monkeypatch.chdir(short)
    monkeypatch.setenv("GOLDSMITH_SCRATCH", "s")

    assert paths.scratch_root() == short / "s"


@pytest.mark.parametrize("mode", [0o1777, 0o1770, 0o1775])
def test_in_a_folder_that_others_may_write_to_the_scratch_folder_is_one_of_our_own(
    monkeypatch: pytest.MonkeyPatch, short: Path, mode: int
) -> None:
    short.chmod(mode)
    monkeypatch.setenv("GOLDSMITH_SCRATCH", str(short))

    root = paths.scratch_root()

    assert root == short / f"goldsmith-{os.geteuid()}"
    assert root.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["link", "file", "writable"])
def test_what_somebody_put_in_the_place_of_our_own_folder_is_refused(
    monkeypatch: pytest.MonkeyPatch, short: Path, kind: str
) -> None:
    (short / "victim").mkdir()
    short.chmod(0o1777)
    own = short / f"goldsmith-{os.geteuid()}"
    if kind == "link":
        own.symlink_to("victim")
    elif kind == "file":
        own.touch()
    else:
        own.mkdir()
        own.chmod(0o777)
    monkeypatch.setenv("GOLDSMITH_SCRATCH", str(short))

    with pytest.raises(HostError, match="scratch folder") as e:
        paths.scratch_root()
    assert "folder of your own" in str(e.value.hint)


@pytest.mark.parametrize("below", ["", "own", "own/deeper"])
def test_a_scratch_folder_that_others_can_replace_is_refused(
    monkeypatch: pytest.MonkeyPatch, short: Path, below: str
) -> None:
    (short / below).mkdir(mode=0o700, parents=True, exist_ok=True)
    short.chmod(0o777)
    monkeypatch.setenv("GOLDSMITH_SCRATCH", str(short / below))

    with pytest.raises(HostError, match=f"others may replace it .see the rights of {short}"):
        paths.scratch_root()


def test_a_scratch_folder_that_cannot_be_made_is_named(monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    (short / "file").touch()
    monkeypatch.setenv("GOLDSMITH_SCRATCH", str(short / "file/scratch"))

    with pytest.raises(HostError, match=f"cannot make the scratch folder {short}/file/scratch: Not a dir"):
        paths.scratch_root()


def test_a_scratch_folder_that_is_a_loop_of_links_is_named(
    monkeypatch: pytest.MonkeyPatch, short: Path
) -> None:
    (short / "a").symlink_to("b")
    (short / "b").symlink_to("a")
    monkeypatch.setenv("GOLDSMITH_SCRATCH", str(short / "a"))

    with pytest.raises(HostError, match=r"leads back to itself|cannot make the scratch folder"):
        paths.scratch_root()


def test_in_a_checkout_the_users_files_and_those_that_are_shipped_are_the_same() -> None:
    root = paths.project_root()

    assert (root / "pyproject.toml").is_file()
    assert paths.checkout() == paths.shipped() == root
    assert paths.roots_of_specs() == (root,)
    assert paths.as_typed("run: scripts/inv doctor; see docs/heat.md") == (
        "run: scripts/inv doctor; see docs/heat.md"
    )


def test_an_installed_goldsmith_has_the_users_files_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOLDSMITH_OUT")
    site = installed.pretend(tmp_path, monkeypatch)

    assert paths.checkout() is None
    assert paths.project_root() == site
    assert paths.out_root() == site / "out"
    assert paths.roots_of_specs() == (site, paths.shipped())


def test_messages_of_an_installed_goldsmith_name_its_command_and_its_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed.pretend(tmp_path, monkeypatch)

    shown = paths.as_typed("run: scripts/inv --yes doctor; see docs/heat.md#pods, not my/docs/x.md")

    assert shown == (
        f"run: goldsmith --yes doctor; see {paths.shipped()}/docs/heat.md#pods, not my/docs/x.md"
    )
    assert (paths.shipped() / "docs/heat.md").is_file()
