# SPDX-License-Identifier: Apache-2.0
"""Where things are on disk: the output, the cache, a run's scratch folder; locks and clean-up."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import builds, cache, locks, paths, privilege, proc, reaper
from goldsmith.errors import CommandError

_NEW = "new-"  # a run's folder for the moment in which its lock is made
_NEW_FOR_S = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run of the pipeline: a scratch folder of its own, locked for as long as we live."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    def claim_build(self, build: Path) -> None:
        """Note which build folder this run fills, for whoever cleans up after us."""
        (self.folder / "build").write_text(str(build))


@contextlib.contextmanager
def run(*, out: Path | None = None) -> Iterator[Run]:
    """A new run. Cleans up after dead ones first, and after itself at the end, whatever happens.

    out: where its results go, if not to out_root().
    """
    clean_dead_runs()
    new = Path(tempfile.mkdtemp(prefix=_NEW, dir=paths.scratch_root()))
    with locks.locked(new / "lock"):
        # Under its final name only now that it is locked: others take one without a lock for dead.
        folder = new.rename(new.with_name("run-" + new.name.removeprefix(_NEW)))
        with proc.marking(folder):
            try:
                yield Run(folder=folder)
            except OSError as e:
                paths.raise_if_full(e, paths.roots(out))
                raise
            finally:
                _remove_run(folder)


def clean_dead_runs() -> list[str]:
    """Remove what runs that no longer live left behind; a line for each thing removed."""
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
    """The scratch folders of runs that are under way."""
    return [folder for folder in sorted(paths.scratch_root().glob("run-*")) if locks.is_held(folder / "lock")]


def _remove_run(folder: Path) -> list[str]:
    done = reaper.reap(folder)
    with contextlib.suppress(OSError):
        done += builds.drop_disk_images(Path((folder / "build").read_text()))
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists() and not reaper.mounts(folder):  # files of root's that a user's run left
        with contextlib.suppress(CommandError):
            proc.capture(privilege.as_root(["rm", "-rf", "--one-file-system", "--", folder]))
    return done


def _age_s(path: Path) -> float:
    """Seconds since something in a folder changed; 0 where it is gone already."""
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime
    return 0.0


@contextmanager
def run_folder(given: Run | None) -> Iterator[Path]:
    """A run's folder, for what is tried: should we be killed, it is found there and removed."""
    if given is not None:
        yield given.folder
        return
    with run() as own:
        yield own.folder
