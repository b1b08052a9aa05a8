# SPDX-License-Identifier: Apache-2.0
"""The root of an image, raw, in the cache: all that does not depend on its containers and its name."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import goldsmith
from goldsmith.apt.indexes import IndexState
from goldsmith.core import cache, files, paths, proc
from goldsmith.host import python_packages
from goldsmith.image import dib_plan, element_hashes, packages
from goldsmith.kubernetes.kubelet import KubeletBinary
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import PublishSpec, VerifySpec

KIND = "root"
EMBED = "heat-config-kubelet"  # the element that embeds containers
_EMBEDS = ("README", "embed-files/", "extra-data.d/", "hook-files/", "post-install.d/")  # its part in that
_KEPT = 6
_FORMAT = 2  # raise it when the same parts give another root
_DISK, _USED, _PARTS, _LOG, _EPOCH = "root.raw", "used.json", "parts.json", "build.log", "epoch"
_SOURCES = ("DIB_APT_", "DIB_DEBIAN_")  # variables that may name other sources than main
_TOOLS = ("mmdebstrap", "debootstrap", "mke2fs", "sfdisk")  # of the host, which shape a root
_MKE2FS = Path("/etc/mke2fs.conf")
_CODE = "image"  # the room whose code makes a root
_LATER = {"the package index", "the kubelet", "how this host partitions"}  # a plan does not know them
_SPACE = uuid.UUID("8c1f0d4e-6a52-5b0b-9a63-0f7b8d0b5a11")  # namespace of the UUIDs of root file systems


@dataclass(frozen=True, kw_only=True, slots=True)
class RootLayer:
    """A root in the cache: a raw disk, its list of packages, the log of its build.

    used: entries of the cache (kind, key) that it is made of. reused: it was there already. epoch: of the
    index that it was made with, whose date is in some of its files; a later one may have the same packages.
    """

    disk: Path
    packages: Path
    log: Path
    used: frozenset[tuple[str, str]]
    reused: bool
    epoch: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What a build of a root leaves behind."""

    disk: Path
    packages: Path
    log: Path
    epoch: int


def parts_of(
    loaded: LoadedSpec,
    *,
    index: IndexState | None = None,
    binary: KubeletBinary | None = None,
    mapper: str | None = None,
) -> dict[str, str]:
    """What a spec's root is made of: the words for a part -> what it is, or its hash.

    index, binary, mapper (of host.partitions): None where they are not known yet; these parts are left out.
    """
    plan = _plan(loaded)
    environment = files.sha256_of(paths.shipped("requirements.lock"))
    code = element_hashes.tree(Path(goldsmith.__file__).parent / _CODE)
    found = {
        "its format": str(_FORMAT),
        "packages and elements": " ".join(plan.argv),
        "the plan of the disk": plan.block_device,
        "the Python environment": f"{environment} {sys.version} {python_packages.differences()}",
        "tools of this host": " ".join(map(_hash_of_file, (*map(proc.which, _TOOLS), _MKE2FS))),
        "goldsmith's image stage": element_hashes.sha256_of_tree(code),
        **{f"variable {name}": value for name, value in plan.env.items()},
        **{f"file that {name} names": sha256 for name, sha256 in host_files(loaded).items()},
        **_files_of_elements(loaded),
    }
    if loaded.spec.kubelet is None:
        found["the kubelet"] = ""
    elif binary is not None:
        found["the kubelet"] = str(binary.sha256)
    if mapper is not None:
        found["how this host partitions"] = mapper
    if index is not None:
        found["the package index"] = _hash_of(index, loaded)
    return found


def key_of(parts: Mapping[str, str]) -> str:
    """The key of a root, over all its parts: two specs that differ in what is embedded share it."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def uuid_of(parts: Mapping[str, str]) -> str:
    """The UUID of the root file system of these parts."""
    return str(uuid.uuid5(_SPACE, key_of(parts)))


def obtain(parts: Mapping[str, str], build: Callable[[], Made], *, again: bool) -> RootLayer:
    """The root of these parts, which build() makes if the cache lacks it; again: in any case."""
    fresh = []

    def fill(folder: Path) -> None:
        fresh.append(folder)
        with cache.recorded() as used:
            made = build()
        files.move(made.disk, folder / _DISK)
        shutil.copy(made.packages, folder / packages.FILE)
        shutil.copy(made.log, folder / _LOG)
        files.write_json(folder / _USED, sorted(used))
        files.write_json(folder / _PARTS, dict(parts))
        (folder / _EPOCH).write_text(f"{made.epoch}\n")

    key = key_of(parts)
    with cache.making(KIND, [key]):
        entry = cache.cached(KIND, key, fill, again=again)
        if not fresh and not cache.touch(_used(entry)):  # an archive of the lock would lack them
            entry = cache.cached(KIND, key, fill, again=True)
    if fresh:
        cache.keep_newest(KIND, _KEPT)  # they are large, and a new index makes new ones
    return RootLayer(
        disk=entry / _DISK, packages=entry / packages.FILE, log=entry / _LOG, used=_used(entry),
        reused=not fresh, epoch=int((entry / _EPOCH).read_text()),
    )  # fmt: skip


def changed(parts: Mapping[str, str]) -> list[str] | None:
    """The parts in which the nearest root of the cache differs; None where there is no root at all.

    Parts that parts lacks because a plan does not know them are not compared.
    """
    nearest: list[str] | None = None
    for entry in cache.entries(KIND):
        try:
            before: dict[str, str] = json.loads((entry / _PARTS).read_text())
        except (OSError, ValueError):  # it is being replaced, or broken
            continue
        names = {**before, **parts}.keys() - (_LATER - parts.keys())
        differing = sorted(name for name in names if before.get(name) != parts.get(name))
        if nearest is None or len(differing) < len(nearest):
            nearest = differing
    return nearest


def host_files(loaded: LoadedSpec) -> dict[str, str]:
    """The files of this host that variables of dib-env name: variable -> hex sha256."""
    given = loaded.spec.dib_env.items()
    return {name: files.sha256_of(Path(value)) for name, value in given if value and Path(value).is_file()}


def _hash_of_file(path: Path | None) -> str:
    return "-" if path is None or not path.is_file() else files.sha256_of(path)


def _hash_of(index: IndexState, loaded: LoadedSpec) -> str:
    """Without the dates of signatures, where all packages are of main."""
    if any(name.startswith(_SOURCES) for name in loaded.spec.dib_env):
        return hashlib.sha256(repr(sorted(index.releases.items())).encode()).hexdigest()
    return index.key(loaded.spec.arch.value)


def _used(entry: Path) -> frozenset[tuple[str, str]]:
    listed = json.loads((entry / _USED).read_text())
    return frozenset((str(kind), str(name)) for kind, name in listed)


def _files_of_elements(loaded: LoadedSpec) -> dict[str, str]:
    """The files of all elements, without those that are used only when containers are embedded."""
    elements = element_hashes.files(dib_plan.elements(loaded.spec), loaded.elements)
    return {
        f"element {name}: {path}": f"{file.sha256} {file.executable}"
        for name, tree in elements.items()
        for path, file in tree.items()
        if name != EMBED or not path.startswith(_EMBEDS)
    }


def _plan(loaded: LoadedSpec) -> dib_plan.DibPlan:
    """The plan of the root, without paths of this host, and without the spec's name."""
    here = Path("SCRATCH")
    spec = dataclasses.replace(loaded.spec, name=KIND, verify=VerifySpec(), publish=PublishSpec())
    return dib_plan.plan(
        spec,
        dib_plan.Inputs(
            elements=here, identity=here, scratch=here, root_layer=True,
            kubelet=None if loaded.spec.kubelet is None else here, debian_mirror="MIRROR",
            debian_security_mirror="MIRROR",
        ),
    )  # fmt: skip
