# SPDX-License-Identifier: Apache-2.0
"""Runs: a locked scratch folder for each, and clean-up after runs that were killed."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import build_folders, cache, locks, paths, privilege, proc, reaper
from goldsmith.errors import CommandError

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
        (self.folder / "build").write_text(str(build))


@contextlib.contextmanager
def run(*, out: Path | None = None) -> Iterator[Run]:
    """A new run. Cleans up after dead runs first, and after itself at the end, whatever happens.

    out: its output folder, if not out_root().
    """
    clean_dead_runs()
    new = Path(tempfile.mkdtemp(prefix=_NEW, dir=paths.scratch_root()))
    with locks.locked(new / "lock"):
        # It gets its final name only after it is locked: others take a run without a lock for dead.
        folder = new.rename(new.with_name("run-" + new.name.removeprefix(_NEW)))
        with proc.marking(folder):
            try:
                yield Run(folder=folder)
            except OSError as e:
                paths.raise_if_full(e, paths.roots(out))
                raise
            finally:
                _remove_run(folder)


@contextlib.contextmanager
def run_folder(given: Run | None) -> Iterator[Path]:
    """The folder of the given run, else of a new one: clean-up removes it if we are killed."""
    if given is not None:
        yield given.folder
        return
    with run() as own:
        yield own.folder


def clean_dead_runs() -> list[str]:
    """Remove everything that dead runs left behind; a line for each thing removed."""
    done = []
    for folder in sorted(paths.scratch_root().glob("run-*")):
        if not locks.is_held(folder / "lock"):
            done += _remove_run(folder)
            done.append(f"removed {folder}")
    for folder in sorted(paths.scratch_root().glob(f"{_NEW}*")):
        if _age_s(folder) > _NEW_FOR_S:
            shutil.rmtree(folder, ignore_errors=True)
            done.append(f"removed {folder}")
    return done + cache.clean_unfinished_entries()


def live_runs() -> list[Path]:
    """The scratch folders of running runs."""
    return [folder for folder in sorted(paths.scratch_root().glob("run-*")) if locks.is_held(folder / "lock")]


def _remove_run(folder: Path) -> list[str]:
    done = reaper.reap(folder)
    with contextlib.suppress(OSError):
        done += build_folders.drop_disk_images(Path((folder / "build").read_text()))
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists() and not reaper.mounts(folder):  # root's files that a user's run left
        with contextlib.suppress(CommandError):
            proc.capture(privilege.as_root(["rm", "-rf", "--one-file-system", "--", folder]))
    return done


def _age_s(path: Path) -> float:
    """Seconds since a folder changed; 0 if it no longer exists."""
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime
    return 0.0
