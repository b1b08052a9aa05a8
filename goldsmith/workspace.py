# SPDX-License-Identifier: Apache-2.0
"""Where things are on disk: the output, the cache, a run's scratch folder; locks and clean-up."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from goldsmith import fulldisk, locks, proc, reap
from goldsmith.errors import CommandError, HostError, SpecError

DISK_SUFFIXES = (".qcow2", ".raw", ".part")
ENVIRONMENTS = "environments"  # in the cache, but scripts/inv's: we may be running in one of them
LATEST = "latest"  # the link to a spec's newest verified build
_NEW = "new-"  # a run's folder for the moment in which its lock is made
_NEW_FOR_S = 60
_SEAL = ".files.json"  # names, sizes and hashes of a cache entry's files


def project_root() -> Path:
    """The checkout: the folder that holds elements/, image-specs/ and this package."""
    return Path(__file__).resolve().parent.parent


def out_root(named: str | Path = "") -> Path:
    """Where builds go: the folder that --out names, else $GOLDSMITH_OUT, else out/ in the checkout."""
    return Path(named or os.environ.get("GOLDSMITH_OUT") or project_root() / "out").absolute()


def cache_root() -> Path:
    """The cache: $GOLDSMITH_CACHE, else goldsmith/ in the user's XDG cache folder."""
    if explicit := os.environ.get("GOLDSMITH_CACHE"):
        return Path(explicit).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "goldsmith"


def _roots(out: Path | None = None) -> dict[Path, str]:
    """The folders that we write to, and what moves each; out: that of the run, if it has one."""
    roots = {scratch_root(): "GOLDSMITH_SCRATCH", cache_root(): "GOLDSMITH_CACHE"}
    return {**roots, out or out_root(): "GOLDSMITH_OUT" if out in (None, out_root()) else "--out"}


def scratch_root() -> Path:
    """Folders of running builds: $GOLDSMITH_SCRATCH, else one per user in /var/tmp.

    diskimage-builder and Unix sockets want a short path without spaces, and a disk, not a tmpfs.
    Raises HostError if somebody else owns it.
    """
    root = Path(os.environ.get("GOLDSMITH_SCRATCH") or f"/var/tmp/goldsmith-{os.geteuid()}")  # noqa: S108 - checked
    if " " in str(root) or len(str(root)) > 60:
        raise HostError(
            f"the scratch folder {root} has a space or is longer than 60 characters",
            hint="set GOLDSMITH_SCRATCH to a short path on a disk",
        )
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.geteuid():
        raise HostError(f"{root} belongs to somebody else", hint="set GOLDSMITH_SCRATCH to a folder of yours")
    return root


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
    new = Path(tempfile.mkdtemp(prefix=_NEW, dir=scratch_root()))
    with locks.locked(new / "lock"):
        # Under its final name only now that it is locked: others take one without a lock for dead.
        folder = new.rename(new.with_name("run-" + new.name.removeprefix(_NEW)))
        with proc.marking(folder):
            try:
                yield Run(folder=folder)
            except OSError as e:
                fulldisk.raise_if_full(e, _roots(out))
                raise
            finally:
                _remove_run(folder)


def clean_dead_runs() -> list[str]:
    """Remove what runs that no longer live left behind; a line for each thing removed."""
    done = []
    for folder in sorted(scratch_root().glob("run-*")):
        if not locks.is_held(folder / "lock"):
            done += _remove_run(folder)
            done.append(f"removed {folder}")
    for folder in sorted(scratch_root().glob(f"{_NEW}*")):
        if _age_s(folder) > _NEW_FOR_S:
            shutil.rmtree(folder, ignore_errors=True)
            done.append(f"removed {folder}")
    return done + _clean_unfinished_entries()


def live_runs() -> list[Path]:
    """The scratch folders of runs that are under way."""
    return [folder for folder in sorted(scratch_root().glob("run-*")) if locks.is_held(folder / "lock")]


def new_build_folder(out: Path, name: str, commit: str) -> Path:
    """Make out/NAME/BUILD_ID; BUILD_ID is UTC time and commit, and sorts by age."""
    while True:
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        folder = out / name / f"{stamp}-{commit}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            time.sleep(0.2)  # another build of this name began in this very second
        except OSError as e:
            raise HostError(
                f"cannot write to {out}: {e.strerror}",
                hint="name a folder that you can write: --out DIR, or GOLDSMITH_OUT",
            ) from e
        else:
            return folder


def find_build(out: Path, name: str, build_id: str = "") -> Path:
    """The folder of a build, by default the latest verified one. Raises SpecError where there is none."""
    folder = out / name / (build_id or LATEST)
    if not (folder / "manifest.json").exists():
        which = f"build {build_id}" if build_id else "verified build"
        raise SpecError(
            f"there is no {which} of {name} in {out}", hint=f"run: scripts/inv build-image {name}"
        )
    return folder.resolve()


def find_qcow2(out: Path, name: str) -> Path:
    """The disk image of the latest verified build of a spec. Raises SpecError where there is none."""
    build = find_build(out, name)
    found = sorted(build.glob("*.qcow2"))
    if not found:
        raise SpecError(f"{build} has no disk image any more", hint=f"run: scripts/inv build-image {name}")
    return found[0]


def is_verified(build: Path) -> bool:
    """The build's manifest is there and says that verification passed."""
    try:
        manifest = json.loads((build / "manifest.json").read_text())
        return bool(manifest["verification"]["result"] == "passed")
    except (OSError, ValueError, TypeError, KeyError):
        return False


def write_atomically(path: Path, data: bytes) -> None:
    """The file appears whole or not at all."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as sink:
            sink.write(data)
            sink.flush()
            os.fsync(sink.fileno())
            os.fchmod(sink.fileno(), 0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file, read in pieces."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def cached(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The cache entry KIND/KEY, a folder; make(folder) fills it when it is missing or broken.

    An entry appears whole or not at all, under a lock, and each of its files is hashed before use.
    """
    if key in ("", ".", "..") or "/" in key:
        raise ValueError(f"no name for a cache entry: {key!r}")
    entry = cache_root() / kind / key
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise HostError(f"cannot write to {entry.parent}: {e.strerror}", hint="set GOLDSMITH_CACHE") from e
    with locks.locked(entry.with_name(f".{key}.lock"), wait=True):
        if not is_intact(entry):
            shutil.rmtree(entry, ignore_errors=True)
            _fill(entry, make)
    os.utime(entry)  # age of an entry: when it was last used
    return entry


def is_intact(entry: Path) -> bool:
    """Every file of a cache entry is there with the hash it was stored with."""
    try:
        sealed = json.loads((entry / _SEAL).read_text())
        return bool(sealed == _hashes(entry))
    except (OSError, ValueError):
        return False


def clean_cache(*, older_than_days: float | None = None) -> list[str]:
    """Remove broken cache entries and unfinished ones of dead runs, and old ones if asked."""
    done = _clean_unfinished_entries()
    for entry in sorted(cache_root().glob("*/*")):
        if entry.parent.name == ENVIRONMENTS:
            continue
        if not entry.is_dir() or entry.name.startswith("."):
            continue
        age_days = (time.time() - entry.stat().st_mtime) / 86400
        if not is_intact(entry):
            why = "broken"
        elif older_than_days is not None and age_days > older_than_days:
            why = f"unused for {age_days:.0f} days"
        else:
            continue
        with locks.locked(entry.with_name(f".{entry.name}.lock"), wait=True):
            shutil.rmtree(entry, ignore_errors=True)
        done.append(f"removed {entry} ({why})")
    return done


def _clean_unfinished_entries() -> list[str]:
    """Remove what was being put into the cache by somebody who no longer holds the entry's lock."""
    done = []
    for new in sorted(cache_root().glob("*/.new-*")):
        key = new.name.removeprefix(".new-").rpartition("-")[0]
        with (
            contextlib.suppress(BlockingIOError, FileNotFoundError),
            locks.locked(new.with_name(f".{key}.lock")),
        ):
            shutil.rmtree(new, ignore_errors=True)
            done.append(f"removed {new}")
    return done


def _fill(entry: Path, make: Callable[[Path], None]) -> None:
    new = Path(tempfile.mkdtemp(prefix=f".new-{entry.name}-", dir=entry.parent))
    try:
        make(new)
        (new / _SEAL).write_text(json.dumps(_hashes(new)))
        new.chmod(0o755)
        new.rename(entry)
    except OSError as e:
        fulldisk.raise_if_full(e, _roots())
        raise
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _hashes(entry: Path) -> dict[str, str]:
    files = (path for path in sorted(entry.rglob("*")) if path.is_file() and path.name != _SEAL)
    return {str(path.relative_to(entry)): sha256_of(path) for path in files}


def _remove_run(folder: Path) -> list[str]:
    done = reap.reap(folder)
    with contextlib.suppress(OSError):
        done += _drop_disk_images(Path((folder / "build").read_text()))
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists() and not reap.mounts(folder):  # files of root's that a user's run left
        with contextlib.suppress(CommandError):
            proc.capture(proc.as_root(["rm", "-rf", "--one-file-system", "--", folder]))
    return done


def _drop_disk_images(build: Path) -> list[str]:
    """Of a build that did not get as far as a good verdict: its disk image, and files half written."""
    half = [path for path in build.iterdir() if path.name.startswith(".")]
    images = [path for path in build.iterdir() if path.suffix in DISK_SUFFIXES]
    unwanted = half if (build / "keep").exists() or is_verified(build) else [*half, *images]
    for path in unwanted:
        path.unlink()
    return [f"removed {path}" for path in unwanted]


def _age_s(path: Path) -> float:
    """Seconds since something in a folder changed; 0 where it is gone already."""
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime
    return 0.0
