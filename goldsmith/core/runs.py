# SPDX-License-Identifier: Apache-2.0
"""Runs: a locked scratch folder for each, and clean-up after runs that were killed."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import build_folders, cache, locks, ownership, paths, proc, reaper, removal
from goldsmith.core.ownership import Cleaned
from goldsmith.errors import CommandError, GoldsmithError, HostError

_KIND, _RUN = "run", "run-"
_NEW = "new-"  # prefix of a run's folder until its lock exists
_NEW_FOR_S = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run of the pipeline: its scratch folder, locked for as long as the process lives."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    def claim_build(self, build: Path) -> None:
        """Record the build folder that this run fills, for clean-up if we are killed."""
        (self.folder / "build").write_text(str(build.resolve()))


@contextlib.contextmanager
def run(*, out: Path | None = None) -> Iterator[Run]:
    """A new run. Cleans up after dead runs first, and after itself at the end, whatever happens.

    out: its output folder, if not out_root().
    """
    clean_dead_runs()
    new = _new_folder(out)
    with locks.locked(new / "lock"):
        # It gets its final name only after it is locked: others take a run without a lock for dead.
        folder = new.rename(new.with_name(_RUN + new.name.removeprefix(_NEW)))
        with proc.marking(folder):
            try:
                yield Run(folder=folder)
            except OSError as e:
                paths.raise_if_full(e, paths.roots(out))
                raise
            except GoldsmithError as e:
                e.forget(folder)
                raise
            finally:
                _remove_run(folder)


def _new_folder(out: Path | None) -> Path:
    """A marked folder. Raises HostError where the disk is full."""
    new = Path(tempfile.mkdtemp(prefix=_NEW, dir=paths.scratch_root()))
    try:
        ownership.mark(new, _KIND)
    except OSError as e:
        removal.remove_tree(new)
        paths.raise_if_full(e, paths.roots(out))
        raise
    return new


@contextlib.contextmanager
def run_folder(given: Run | None) -> Iterator[Path]:
    """The folder of the given run, else of a new one: clean-up removes it if we are killed."""
    if given is not None:
        yield given.folder
        return
    with run() as own:
        yield own.folder


def clean_dead_runs() -> Cleaned:
    """Remove everything that dead runs left behind, and nothing that is not marked as ours."""
    done = Cleaned(left=[f"{path}: it is not marked as ours" for path in _strangers()])
    for folder in _folders(_RUN):
        if not locks.is_held(folder / "lock"):
            busy = reaper.busy(folder)  # before its files lose their names
            done += _remove_run(folder)
            done.left += busy
    for folder in _folders(_NEW):
        if _age_s(folder) > _NEW_FOR_S and removal.remove_tree(folder):
            done.removed.append(f"removed {folder}")
    done += cache.clean_unfinished_entries()
    return done


def live_runs() -> list[Path]:
    """The scratch folders of running runs."""
    return [folder for folder in _folders(_RUN) if locks.is_held(folder / "lock")]


def _folders(prefix: str) -> list[Path]:
    found = sorted(paths.scratch_root().glob(f"{prefix}*"))
    return [folder for folder in found if ownership.is_ours(folder, _KIND)]


def _strangers() -> list[Path]:
    """What has a name as ours in the scratch folder, and no marker."""
    kinds = {_RUN: _KIND, _NEW: _KIND, "cloud-": "cloud"}
    found = sorted(
        path
        for prefix, kind in kinds.items()
        for path in paths.scratch_root().glob(f"{prefix}*")
        if not ownership.is_ours(path, kind)
    )
    return [path for path in found if _age_s(path) > _NEW_FOR_S]


def _remove_run(folder: Path) -> Cleaned:
    done = Cleaned()
    try:
        done.removed += reaper.reap(folder)
    except (CommandError, HostError) as e:  # no sudo: others' runs go on, and root can clean up
        done.left.append(f"{folder}: {e}")
    with contextlib.suppress(OSError):
        done.removed += build_folders.drop_disk_images(Path((folder / "build").read_text()))
    if removal.remove_tree_as_root(folder):
        done.removed.append(f"removed {folder}")
    else:
        done.left.append(f"{folder}: it cannot be removed whole; see what is mounted in it")
    return done


def _age_s(path: Path) -> float:
    """Seconds since a folder changed; 0 if it no longer exists."""
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime
    return 0.0
