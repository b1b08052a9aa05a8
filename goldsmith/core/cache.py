# SPDX-License-Identifier: Apache-2.0
"""The cache: entries appear whole or not at all, and their hashes are checked before each use."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from goldsmith.core import locks, ownership, paths, progress, removal
from goldsmith.core.files import sha256_of
from goldsmith.core.ownership import Cleaned
from goldsmith.errors import HostError

KINDS = frozenset({
    "accelerator", "allowed", "base-signed", "bundle", "cloud-seed", "container", "debian", "debian-names",
    "disk-qcow2", "disk-raw", "download", "environments", "go", "index", "kubelet", "layer", "layer-content",
    "layer-gzip", "pod-schema", "registry", "registry-manifest", "root", "secret-scan",
})  # fmt: skip
ENVIRONMENTS = "environments"  # scripts/inv keeps these in the cache: we may be running in one of them
_ROOT = "cache"
_OLD = ".old-"  # begins the name of an entry that is being replaced
_IN_USE_S = 3600  # the user of an entry may not be done with it
_SEAL = ".files.json"  # paths and hashes of an entry's files
_RECORDS: list[set[tuple[str, str]]] = []  # of recorded(), for all threads
_RECORDING = threading.Lock()


def cached(kind: str, key: str, make: Callable[[Path], None], *, again: bool = False) -> Path:
    """The cache entry KIND/KEY, a folder; make(folder) fills it if it is missing or broken.

    The entry is locked meanwhile, and each of its files is hashed before it is returned.
    again: fill it in any case; an intact entry stays until the new one is complete.
    """
    entry = _place(kind, key)
    with locks.locked(entry.with_name(f".{key}.lock"), wait=True):
        _take_back(entry)
        intact = is_intact(entry)
        if not intact:
            shutil.rmtree(entry, ignore_errors=True)
        if again or not intact:
            _fill(entry, make)
    os.utime(entry)  # the age of an entry counts from its last use
    with _RECORDING:
        for record in _RECORDS:
            record.add((kind, key))
    return entry


def find(kind: str, key: str) -> Path | None:
    """The cache entry KIND/KEY if it is there and intact. Makes and changes nothing."""
    entry = paths.cache_root() / kind / key
    return entry if is_intact(entry) else None


@contextlib.contextmanager
def recorded() -> Iterator[set[tuple[str, str]]]:
    """The entries (kind, key) that any thread uses while the block lasts."""
    record = set[tuple[str, str]]()
    with _RECORDING:
        _RECORDS.append(record)
    try:
        yield record
    finally:
        with _RECORDING:
            _RECORDS[:] = [each for each in _RECORDS if each is not record]


def sealed(kind: str, key: str) -> Mapping[str, str] | None:
    """Path -> hex sha256 of the files of an intact entry; None if the cache does not have it."""
    entry = paths.cache_root() / kind / key
    if not is_intact(entry):
        return None
    found: dict[str, str] = json.loads((entry / _SEAL).read_text())
    return found


@contextlib.contextmanager
def making(kind: str, keys: Collection[str]) -> Iterator[None]:
    """Let no other process make these entries: for entries that are made before cached() is called.

    Waits for others that do, in an order that lets none wait for each other.
    """
    with contextlib.ExitStack() as held:
        for key in sorted(set(keys)):
            lock = _place(kind, key).with_name(f".{key}.making.lock")
            if locks.is_held(lock):
                progress.note(f"waiting for another process that makes the same {kind}")
            held.enter_context(locks.locked(lock, wait=True))
        yield


def is_intact(entry: Path) -> bool:
    """Every file of a cache entry still has the hash with which it was stored, and none was added."""
    try:
        sealed = json.loads((entry / _SEAL).read_text())
        return bool(sealed == _hashes(entry))
    except (OSError, ValueError):
        return False


def clean_cache(*, older_than_days: float | None = None) -> Cleaned:
    """Remove broken entries, unfinished entries of dead runs and, if asked, old entries."""
    done = clean_unfinished_entries()
    for entry in _entries("[!.]*"):
        age_days = (time.time() - entry.stat().st_mtime) / 86400
        if not is_intact(entry):
            why = "broken"
        elif older_than_days is not None and age_days > older_than_days:
            why = f"unused for {age_days:.0f} days"
        else:
            continue
        with locks.locked(entry.with_name(f".{entry.name}.lock"), wait=True):
            if removal.remove_tree(entry):
                done.removed.append(f"removed {entry} ({why})")
    return done


def entries(kind: str) -> list[Path]:
    """The entries of a kind. Their files are not compared with their hashes."""
    return [entry for entry in _entries("[!.]*") if entry.parent.name == kind]


def touch(used: Iterable[tuple[str, str]]) -> bool:
    """Let the age of entries (kind, key) count from now; whether all are there."""
    places = [paths.cache_root() / kind / key for kind, key in used]
    for entry in places:
        with contextlib.suppress(FileNotFoundError):
            os.utime(entry)
    return all(entry.is_dir() for entry in places)


def keep_newest(kind: str, count: int) -> None:
    """Remove the entries of a kind not used for longest, except count, and none used in the last hour."""
    found = sorted((entry.stat().st_mtime, entry) for entry in entries(kind))
    for used, entry in found[: max(0, len(found) - count)]:
        if used > time.time() - _IN_USE_S:
            continue
        with (
            contextlib.suppress(BlockingIOError),
            locks.locked(entry.with_name(f".{entry.name}.lock")),
        ):
            removal.remove_tree(entry)


def shrink(max_bytes: int, *, spared: Collection[tuple[str, str]]) -> Cleaned:
    """Remove the entries that were not used for longest until the rest takes at most max_bytes of the disk.

    Entries (kind, key) that are spared stay, and so do those that were used in the last hour.
    """
    done = Cleaned()
    sizes = {entry: _disk_bytes(entry) for entry in _entries("[!.]*")}
    total = sum(sizes.values())
    for entry in sorted(sizes, key=lambda entry: entry.stat().st_mtime):
        if total <= max_bytes:
            return done
        if (entry.parent.name, entry.name) in spared or entry.stat().st_mtime > time.time() - _IN_USE_S:
            continue
        with (
            contextlib.suppress(BlockingIOError),
            locks.locked(entry.with_name(f".{entry.name}.lock")),
        ):
            if removal.remove_tree(entry):
                total -= sizes[entry]
                done.removed.append(f"removed {entry} ({progress.human_bytes(sizes[entry])})")
    if total > max_bytes:
        done.left.append(
            f"{progress.human_bytes(total)} in {paths.cache_root()}: locks and releases name it, "
            "or it was used in the last hour"
        )
    return done


def _disk_bytes(entry: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in (entry, *entry.rglob("*")))


def clean_unfinished_entries() -> Cleaned:
    """Remove unfinished entries whose lock nobody holds; end interrupted replacements.

    Does nothing where others use the root for something else.
    """
    root, done = paths.cache_root(), Cleaned()
    if why := ownership.claim_root(root, _ROOT, _is_known):
        done.left.append(ownership.shared(root, why, "GOLDSMITH_CACHE"))
        return done
    for new in _entries(".new-*"):
        key = new.name.removeprefix(".new-").rpartition("-")[0]
        with (
            contextlib.suppress(BlockingIOError, FileNotFoundError),
            locks.locked(new.with_name(f".{key}.lock")),
        ):
            if removal.remove_tree(new):
                done.removed.append(f"removed {new}")
    for old in _entries(f"{_OLD}*"):
        entry = old.with_name(old.name.removeprefix(_OLD))
        with (
            contextlib.suppress(BlockingIOError, FileNotFoundError),
            locks.locked(entry.with_name(f".{entry.name}.lock")),
        ):
            _take_back(entry)
    return done


def _place(kind: str, key: str) -> Path:
    """The path of an entry, in a folder that exists. Raises HostError if it cannot be made."""
    if key in ("", ".", "..") or "/" in key:
        raise ValueError(f"not a valid name of a cache entry: {key!r}")
    root = paths.cache_root()
    entry = root / kind / key
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        ownership.claim_root(root, _ROOT, _is_known)
    except OSError as e:
        raise HostError(f"cannot write to {entry.parent}: {e.strerror}", hint="set GOLDSMITH_CACHE") from e
    return entry


def _entries(pattern: str) -> list[Path]:
    """Folders that we made in the folders of kinds; none where others use the root for something else."""
    root = paths.cache_root()
    if not ownership.is_marked(root, _ROOT):
        return []
    kinds = [kind for kind in sorted(root.glob("*")) if kind.name != ENVIRONMENTS and not kind.is_symlink()]
    return [entry for kind in kinds for entry in sorted(kind.glob(pattern)) if _is_ours(entry, kind)]


def _is_ours(entry: Path, kind: Path) -> bool:
    """A sealed entry, or an unfinished one of a known kind."""
    if entry.is_symlink() or not entry.is_dir() or entry.lstat().st_uid != os.geteuid():
        return False
    return (entry / _SEAL).is_file() or (kind.name in KINDS and entry.name.startswith(".new-"))


def _is_known(kind: Path) -> bool:
    """A folder with nothing but what we put into one: sealed entries, environments, indexes."""
    if kind.is_symlink() or not kind.is_dir():
        return False
    own = {ENVIRONMENTS: "pyvenv.cfg", "index": ""}.get(kind.name, _SEAL)
    return all(
        entry.name.startswith(".") or (entry / own).is_file() or (kind.name == "index" and entry.is_file())
        for entry in kind.iterdir()
    )


def _fill(entry: Path, make: Callable[[Path], None]) -> None:
    work = Path(tempfile.mkdtemp(prefix=f".new-{entry.name}-", dir=entry.parent))
    new = work / "new"
    try:
        new.mkdir()
        new.chmod(0o755)  # whatever the umask
        make(new)
        (new / _SEAL).write_text(json.dumps(_hashes(new)))
        if entry.exists():
            entry.rename(_aside(entry))
        new.rename(entry)
    except OSError as e:
        paths.raise_if_full(e, paths.roots())
        raise
    finally:
        _take_back(entry)
        shutil.rmtree(work, ignore_errors=True)


def _aside(entry: Path) -> Path:
    """Where an entry is between the two renames that replace it."""
    return entry.with_name(f"{_OLD}{entry.name}")


def _take_back(entry: Path) -> None:
    """End a replacement that was interrupted: with the old entry unless the new one has its place."""
    old = _aside(entry)
    if not old.exists():
        return
    if entry.exists():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.rename(entry)


def _hashes(entry: Path) -> dict[str, str]:
    files = (path for path in sorted(entry.rglob("*")) if path.is_file() and path.name != _SEAL)
    return {str(path.relative_to(entry)): sha256_of(path) for path in files}
