# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import os
import re
import shutil
import types
from pathlib import Path

import pytest

from goldsmith.core import paths, runs
from goldsmith.errors import HostError


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


def test_scratch_folder_must_not_be_a_link(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    link = Path(f"/tmp/goldsmith-link-{os.getpid()}")
    link.symlink_to(tmp_path)
    monkeypatch.setenv("GOLDSMITH_SCRATCH", str(link))
    try:
        with pytest.raises(HostError, match="belongs to another user"):
            paths.scratch_root()
    finally:
        link.unlink()
