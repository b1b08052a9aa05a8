# SPDX-License-Identifier: Apache-2.0
"""For a build that failed: what differs from the latest verified build of its spec. Never raises."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from goldsmith.apt import mirror, packages
from goldsmith.apt.indexes import IndexState
from goldsmith.changes import build_diff, contents, spec_keys
from goldsmith.changes.contents import Contents
from goldsmith.containers import images_lock
from goldsmith.containers.images_lock import ImagesLock
from goldsmith.core import build_folders, progress
from goldsmith.errors import GoldsmithError
from goldsmith.image import base_image, dib_plan, element_hashes
from goldsmith.image.manifest import FILE, Manifest
from goldsmith.image.packages import FILE as PACKAGES_FILE
from goldsmith.image.packages import PackageList
from goldsmith.kubernetes.kubelet import KubeletRecord
from goldsmith.provenance import lockfile, outdated, spec_lock
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import ImageSpec

_CANNOT = "cannot tell what differs from the latest verified build"


def note_differences(loaded: LoadedSpec, folder: Path) -> None:
    """Note the differences of the contents, as far as the build in folder came."""
    with _instead_of_raising():
        green = _green(folder)
        if green is None:
            progress.note(f"there is no verified build of {loaded.spec.name} to compare with")
        else:
            progress.note(build_diff.between(_finished(green), unfinished(loaded, folder)).text())


def note_packages(loaded: LoadedSpec, folder: Path, index: IndexState | None) -> None:
    """Note what Debian's index of this build offers instead of the packages of the latest verified one."""
    with _instead_of_raising():
        green = _green(folder)
        if green is None or index is None:
            return
        locked = lockfile.read(green / spec_lock.FILE)
        if spec_lock.about([index]).items() <= dict(locked.index or {}).items():
            progress.note(f"Debian's index is that of {green.name}")
            return
        offers = packages.offers(index, loaded.spec.arch.value, mirror.find(loaded.spec.mirror))
        moved = tuple(outdated.moved(locked, offers))
        progress.note(f"packages of {green.name} that Debian's index has in another version: {len(moved)}")
        for each in moved:
            progress.note(f"  ~ {each.what} {each.locked} -> {each.found}")


@contextlib.contextmanager
def _instead_of_raising() -> Iterator[None]:
    """Note an error of the comparison."""
    try:
        yield
    except GoldsmithError as e:
        progress.note(f"{_CANNOT}: {e}")
    except Exception as e:  # the build fails with its own error, which no error here may replace
        progress.note(f"{_CANNOT}: {type(e).__name__}: {e}")


def unfinished(loaded: LoadedSpec, folder: Path) -> Contents:
    """The contents of a build without a manifest: what its spec and its checkout say, and what it made."""
    spec, images, listed = loaded.spec, folder / images_lock.FILE, folder / PACKAGES_FILE
    elements = element_hashes.files(dib_plan.elements(spec), loaded.elements)
    found = PackageList.read(listed) if listed.exists() else None
    return Contents(
        build_id=folder.name, size=None, spec_sha256=loaded.sha256, spec=spec_keys.of_text(loaded.rendered),
        settings={
            "arch": spec.arch.value, "distribution": spec.distribution.value, "embed": spec.embed.value,
            "release": spec.release,
        },
        base_image=base_image.record(spec.base_image),
        kernels=found.kernels if found else None,
        kubelet=_kubelet(spec),
        containers=_images(images) if spec.containers else (),
        container_packages=contents.container_packages(folder),
        packages=found.packages if found else None,
        elements={name: element_hashes.sha256_of_tree(tree) for name, tree in elements.items()},
        element_files=elements,
    )  # fmt: skip


def _green(folder: Path) -> Path | None:
    """The folder of the latest verified build."""
    latest = folder.with_name(build_folders.LATEST)
    return latest.resolve() if (latest / FILE).exists() else None


def _kubelet(spec: ImageSpec) -> KubeletRecord | None:
    wanted = spec.kubelet
    if wanted is None:
        return None
    return KubeletRecord(version=wanted.version, source=wanted.source.value, sha256=None)


def _finished(folder: Path) -> Contents:
    return contents.of_records(
        Manifest.read(folder / FILE), PackageList.read(folder / PACKAGES_FILE),
        spec=spec_keys.of_build(folder), inside=contents.container_packages(folder),
    )  # fmt: skip


def _images(path: Path) -> tuple[images_lock.LockedImage, ...] | None:
    return ImagesLock.read(path).images if path.exists() else None
