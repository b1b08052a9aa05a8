# SPDX-License-Identifier: Apache-2.0
"""Build folders (out/NAME/BUILD_ID): make and find them, the link `latest`, clean-up of disk images."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import time
from pathlib import Path

import msgspec

from goldsmith.core import locks, ownership
from goldsmith.errors import BuildError, HostError, SpecError

MANIFEST = "manifest.json"
DISK_SUFFIXES = (".qcow2", ".raw", ".part")
_ROOT, _OF_TASKS = "out", frozenset({"bench", "soak", "test"})
_ID = re.compile(r"\d{8}T\d{6}Z-[\w.-]+")  # see new_build_folder()
_STAMP = "%Y%m%dT%H%M%SZ"
LATEST = "latest"  # the link to a spec's newest verified build


def new_build_folder(out: Path, name: str, commit: str) -> Path:
    """Make out/NAME/BUILD_ID; BUILD_ID is UTC time and commit, and sorts by age."""
    try:
        (out / name).mkdir(parents=True, exist_ok=True)
        claim(out)
        return _made(out / name, commit)
    except OSError as e:
        raise HostError(
            f"cannot write to {out}: {e.strerror}",
            hint="use a folder that you can write to: --out DIR, or GOLDSMITH_OUT",
        ) from e


def _made(spec: Path, commit: str) -> Path:
    while True:
        folder = spec / f"{stamp()}-{commit}"
        try:
            folder.mkdir()
        except FileExistsError:
            time.sleep(0.2)  # another build of this name started in this second
        else:
            return folder


def stamp() -> str:
    """The time now, UTC, as it begins the ID of a build."""
    return datetime.datetime.now(datetime.UTC).strftime(_STAMP)


def started(build_id: str) -> datetime.datetime | None:
    """When a build began, by its ID; None for what is no ID of a build."""
    with contextlib.suppress(ValueError):
        return datetime.datetime.strptime(build_id.partition("-")[0], _STAMP).replace(tzinfo=datetime.UTC)
    return None


def is_id(name: str) -> bool:
    """Whether a folder of this name may be a build's."""
    return _ID.fullmatch(name) is not None


def is_of_a_task(entry: Path) -> bool:
    """Whether another task than build-image fills this folder of an output folder."""
    return entry.name in _OF_TASKS or entry.name.endswith("-images")


def claim(out: Path) -> str:
    """Why nothing in an output folder may be removed; empty where it is ours."""
    return ownership.claim_root(out, _ROOT, _is_known)


def builds_of(folder: Path) -> list[Path]:
    """The folders of a spec's builds, the newest last; nothing else that lies beside them."""
    found = (path for path in sorted(folder.iterdir()) if _ID.fullmatch(path.name) and not path.is_symlink())
    return [path for path in found if path.is_dir() and path.stat().st_uid == os.geteuid()]


def _is_known(entry: Path) -> bool:
    """A folder of a spec with nothing but builds, or one that another task of ours fills."""
    if entry.is_symlink() or not entry.is_dir():
        return False
    if is_of_a_task(entry):
        return True
    names = [path.name for path in entry.iterdir()]
    return all(_ID.fullmatch(name) or name == LATEST or name.startswith(".") for name in names)


def find_build(out: Path, name: str, build_id: str = "") -> Path:
    """The folder of a build, by default the latest verified one. Raises SpecError if there is none."""
    folder = out / name / (build_id or LATEST)
    if not (folder / MANIFEST).exists():
        which = f"build {build_id}" if build_id else "verified build"
        raise SpecError(f"there is no {which} of {name} in {out}", hint=_where_builds_are(out / name))
    return folder.resolve()


def _where_builds_are(folder: Path) -> str:
    """What to do where a build is not found."""
    build = f"run: scripts/inv build-image {folder.name}"
    there = builds_of(folder) if folder.is_dir() else []
    if not there:
        return f"{build}, or set GOLDSMITH_OUT to the folder that has its builds"
    verified = [path.name for path in there if is_verified(path)]
    if not verified:
        return f"{build}; the newest build was not verified, see {there[-1]}"
    return f"there are: {', '.join(verified[-3:])}"


def find_qcow2(out: Path, name: str) -> Path:
    """The disk image of the latest verified build of a spec. Raises SpecError if there is none."""
    build = find_build(out, name)
    found = sorted(build.glob("*.qcow2"))
    if not found:
        raise SpecError(f"{build} no longer has a disk image", hint=f"run: scripts/inv build-image {name}")
    return found[0]


class _Verdict(msgspec.Struct):
    result: str


class _Manifest(msgspec.Struct):
    """As much of image.manifest.Manifest, which lies above, as cleaning up has to know."""

    verification: _Verdict | None = None


def is_verified(build: Path) -> bool:
    """The build's manifest is there and says that verification passed."""
    return _result(build) == "passed"


def _result(build: Path) -> str:
    """Of the verdict in the build's manifest; empty where there is none."""
    try:
        found = msgspec.json.decode((build / MANIFEST).read_bytes(), type=_Manifest)
    except (OSError, ValueError):  # what msgspec raises is a ValueError
        return ""
    return "" if found.verification is None else found.verification.result


def drop_disk_images(build: Path) -> list[str]:
    """Remove half-written files and, if the build failed and is not marked to be kept, its disk images."""
    if not _ID.fullmatch(build.name) or build.is_symlink():
        return []
    half = [path for path in build.iterdir() if path.name.startswith(".")]
    images = [path for path in build.iterdir() if path.suffix in DISK_SUFFIXES]
    is_wanted = (build / "keep").exists() or _result(build) in {"passed", "quick"}
    unwanted = half if is_wanted else [*half, *images]
    for path in unwanted:
        path.unlink()
    return [f"removed {path}" for path in unwanted]


def move_latest(build: Path) -> bool:
    """Point `latest` to a verified build, atomically; false if it points to a newer one already."""
    if not is_verified(build):
        raise BuildError(f"{build} is not verified: the link latest stays unchanged")
    latest = build.parent / LATEST
    with locks.locked(build.parent / ".latest.lock", wait=True):
        with contextlib.suppress(OSError):
            if latest.readlink().name > build.name and latest.exists():
                return False
        new = build.parent / ".latest.new"
        new.unlink(missing_ok=True)
        new.symlink_to(build.name)
        new.replace(latest)
    return True
