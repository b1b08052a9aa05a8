# SPDX-License-Identifier: Apache-2.0
"""Remove leftovers of dead runs, broken and old cache entries, and old builds (the task clean)."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from goldsmith.core import build_folders, cache, ownership, removal, runs
from goldsmith.core.build_folders import is_verified
from goldsmith.core.documents import Document, about
from goldsmith.devcloud import lifecycle
from goldsmith.provenance import named_entries


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanAnswer(Document):
    """What was removed: the answer of clean."""

    SCHEMA: ClassVar[str] = "goldsmith.clean"

    removed: Annotated[tuple[str, ...], about("A line for each thing removed.")]

    left: Annotated[
        tuple[str, ...], about("A line for each thing that was left alone because it is not ours, or in use.")
    ] = ()

    def as_text(self) -> str:
        lines = [*self.removed, *(f"left alone: {line}" for line in self.left)]
        return "\n".join(lines) or "nothing to remove"


def clean(
    out: Path,
    *,
    cache_older_than_days: float | None,
    keep_builds: int | None,
    cache_max_bytes: int | None = None,
) -> CleanAnswer:
    """Remove leftovers of dead runs and broken cache entries; with options also old entries and builds.

    cache_max_bytes: of the disk, for all entries; what locks and published builds name stays in any case.
    """
    named = set() if cache_max_bytes is None else named_entries.find(out)  # may fail: before anything is gone
    done = runs.clean_dead_runs()
    done.removed += lifecycle.clean_dead()
    done += cache.clean_cache(older_than_days=cache_older_than_days)
    if cache_max_bytes is not None:
        done += cache.shrink(cache_max_bytes, spared=named)
    if keep_builds is not None:
        if why := build_folders.claim(out):
            done.left.append(ownership.shared(out, why, "GOLDSMITH_OUT"))
        else:
            for folder in sorted(path for path in out.glob("*") if path.is_dir() and not path.is_symlink()):
                done.removed += clean_builds(folder, keep=keep_builds)
    return CleanAnswer(removed=tuple(done.removed), left=tuple(dict.fromkeys(done.left)))


def clean_builds(folder: Path, *, keep: int) -> list[str]:
    """Remove builds of a spec, except the newest `keep`, the newest verified one, published and live ones.

    A published build has a publish*.json beside its manifest, also the one that a rollback would restore.
    """
    builds = build_folders.builds_of(folder)
    spared = set(builds[len(builds) - keep :] if keep else [])
    spared |= {build for build in builds if list(build.glob("publish*.json"))}
    live = live_builds()
    verified = [build for build in builds if is_verified(build)]
    spared |= set(verified[-1:])
    done = []
    for build in builds:
        if build not in spared and build.resolve() not in live and removal.remove_tree(build):
            done.append(f"removed {build}")
    return done


def live_builds() -> set[Path]:
    """The folders of the builds that are running."""
    found = set()
    for run in runs.live_runs():
        with contextlib.suppress(OSError):
            found.add(Path((run / "build").read_text()).resolve())
    return found
