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
from goldsmith.core import cache, files, paths
from goldsmith.host import partitions
from goldsmith.image import dib_plan, element_hashes, packages
from goldsmith.kubernetes.kubelet import KubeletBinary
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import PublishSpec, VerifySpec

KIND = "root"
EMBED = "heat-config-kubelet"  # the element that embeds containers
_EMBEDS = (
    "README",
    "embed-files/",
    "extra-data.d/",
    "hook-files/",
    "post-install.d/",
)  # what it does that with
_KEPT = 4
_FORMAT = 1  # raise it when the same inputs give another layer
_DISK, _USED, _LOG = "root.raw", "used.json", "build.log"
_CODE = "image"  # the room whose code makes a root
_SPACE = uuid.UUID("8c1f0d4e-6a52-5b0b-9a63-0f7b8d0b5a11")  # namespace of the UUIDs of root file systems


@dataclass(frozen=True, kw_only=True, slots=True)
class RootLayer:
    """A root in the cache: a raw disk, its list of packages, the log of its build.

    used: entries of the cache (kind, key) that it is made of. reused: it was there already.
    """

    disk: Path
    packages: Path
    log: Path
    used: frozenset[tuple[str, str]]
    reused: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What a build of a root leaves behind."""

    disk: Path
    packages: Path
    log: Path


def key_of(loaded: LoadedSpec, index: IndexState, binary: KubeletBinary | None) -> str:
    """The key of a spec's root, over all its inputs: two specs that differ in what is embedded share it."""
    return hashlib.sha256(json.dumps(_inputs(loaded, index, binary), sort_keys=True).encode()).hexdigest()


def uuid_of(key: str) -> str:
    """The UUID of the root file system with that key."""
    return str(uuid.uuid5(_SPACE, key))


def obtain(key: str, build: Callable[[], Made], *, again: bool) -> RootLayer:
    """The root with that key, which build() makes if the cache lacks it; again: in any case."""
    fresh = []

    def fill(folder: Path) -> None:
        fresh.append(folder)
        with cache.recorded() as used:
            made = build()
        files.move(made.disk, folder / _DISK)
        shutil.copy(made.packages, folder / packages.FILE)
        shutil.copy(made.log, folder / _LOG)
        files.write_json(folder / _USED, sorted(used))

    entry = cache.cached(KIND, key, fill, again=again)
    if fresh:
        cache.keep_newest(KIND, _KEPT)  # they are large, and a new index makes new ones
    listed = json.loads((entry / _USED).read_text())
    return RootLayer(
        disk=entry / _DISK, packages=entry / packages.FILE, log=entry / _LOG,
        used=frozenset((str(kind), str(name)) for kind, name in listed), reused=not fresh,
    )  # fmt: skip


def _inputs(loaded: LoadedSpec, index: IndexState, binary: KubeletBinary | None) -> Mapping[str, object]:
    plan = _plan(loaded, has_kubelet=binary is not None)
    elements = element_hashes.files(dib_plan.elements(loaded.spec), loaded.elements)
    rooms = Path(goldsmith.__file__).parent
    return {
        "format": _FORMAT, "argv": plan.argv, "env": dict(plan.env), "disk": plan.block_device,
        "elements": {name: _hash_in_root(name, tree) for name, tree in elements.items()},
        "kubelet": None if binary is None else binary.sha256,
        "index": {path: hashlib.sha256(text).hexdigest() for path, text in index.releases.items()},
        "epoch": index.epoch, "partitions": partitions.partition_mapper(),
        "environment": files.sha256_of(paths.shipped("requirements.lock")), "python": sys.version,
        "code": element_hashes.sha256_of_tree(element_hashes.tree(rooms / _CODE)),
    }  # fmt: skip


def _hash_in_root(name: str, tree: element_hashes.Tree) -> str:
    """The hash of an element's files, without those that are used only when containers are embedded."""
    used = {path: file for path, file in tree.items() if name != EMBED or not path.startswith(_EMBEDS)}
    return element_hashes.sha256_of_tree(used)


def _plan(loaded: LoadedSpec, *, has_kubelet: bool) -> dib_plan.DibPlan:
    """The plan of the root, without paths of this host, and without the spec's name."""
    here = Path("SCRATCH")
    spec = dataclasses.replace(loaded.spec, name=KIND, verify=VerifySpec(), publish=PublishSpec())
    return dib_plan.plan(
        spec,
        dib_plan.Inputs(
            elements=here, identity=here, scratch=here, root_layer=True,
            kubelet=here if has_kubelet else None, debian_mirror="MIRROR",
            debian_security_mirror="MIRROR",
        ),
    )  # fmt: skip
