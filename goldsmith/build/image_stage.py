# SPDX-License-Identifier: Apache-2.0
"""The stage image: the disk image of a spec by layers, or in one go where that is not possible."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from goldsmith.apt import mirror, proxy
from goldsmith.apt.indexes import IndexState
from goldsmith.apt.mirror import Mirrors
from goldsmith.apt.netns import ProxySocket
from goldsmith.build.values import BuildContext, Ingredients
from goldsmith.changes import red_build
from goldsmith.core import cache, progress, removal
from goldsmith.errors import BuildError, GoldsmithError
from goldsmith.host import partitions
from goldsmith.image import base_image, dib, packages, prepare
from goldsmith.image.dib_plan import DibPlan
from goldsmith.kubernetes import kubelet
from goldsmith.layers import assembly, comparison, forecast, root, split
from goldsmith.layers.root import Made
from goldsmith.spec.model import Distribution, ImageSpec

_ROOT, _LONG_WAY = "root", "in-one-go"  # folders of builds, in the run's
_NOT_ASKED = Mirrors(debian="", security="")  # nothing is installed on a root that is there


def image(context: BuildContext, given: Ingredients) -> tuple[Path, frozenset[tuple[str, str]]]:
    """The disk image, and the entries of the cache (kind, key) that it is made of.

    If it cannot be made, no list of packages is there, and the indexes are compared.
    """
    index = _index_of(context.spec, given)
    try:
        with cache.recorded() as used:
            found, of_root = _image(context, given, index)
    except GoldsmithError:
        red_build.note_packages(context.loaded, context.folder, index)
        raise
    shutil.copy(context.run.folder / "identity" / packages.FILE, context.folder / packages.FILE)
    return found, frozenset(used) | of_root


def _image(
    context: BuildContext, given: Ingredients, index: IndexState | None
) -> tuple[Path, frozenset[tuple[str, str]]]:
    reason = split.why_not(context.loaded)
    if reason or index is None:
        progress.note(reason)
        if context.options.verify_short_way:
            progress.note("not compared: it is made in one go anyway")
        return _in_one_go(context, given, index, context.run.folder), frozenset()
    layer, uuid = _root(context, given, index)
    plan = _plan(context, given, index, context.run.folder, _NOT_ASKED)
    parts = assembly.Parts(
        plan=plan, elements=context.run.folder / "elements", identity=context.run.folder / "identity",
        bundle=given.bundle, pod_schema=_pod_schema(context.spec),
    )  # fmt: skip
    made = assembly.assemble(context.spec, layer, parts, context.run.folder, log_path=context.log)
    if context.options.verify_short_way:
        _compare(context, given, index, made, uuid, epoch=layer.epoch)
    return made, layer.used


def _in_one_go(
    context: BuildContext, given: Ingredients, index: IndexState | None, folder: Path, *, uuid: str = ""
) -> Path:
    with _packages(context, index) as (mirrors, proxy_socket):
        plan = _plan(context, given, index, folder, mirrors, uuid=uuid)
        return dib.build(plan, log_path=context.log, proxy_socket=proxy_socket)


def _compare(
    context: BuildContext, given: Ingredients, index: IndexState, made: Path, uuid: str, *, epoch: int
) -> None:
    """Make the image in one go, too, if its turn has come, and require that both are the same."""
    if not comparison.is_due(context.options.verify_short_way):
        progress.note(
            f"not compared this time: one image in {context.options.verify_short_way} is, by chance"
        )
        return
    if epoch != index.epoch:
        progress.note(
            "not compared: the root was made with an index of another date (--refresh makes a new root)"
        )
        return
    folder = context.run.folder / _LONG_WAY
    folder.mkdir()
    with progress.step("compare with an image made in one go"):
        other = _in_one_go(context, given, index, folder, uuid=uuid)
        comparison.require_same(comparison.differing(made, other, folder))
    removal.remove_tree_as_root(folder)


def _root(context: BuildContext, given: Ingredients, index: IndexState) -> tuple[root.RootLayer, str]:
    """The root, from the cache or made, and the UUID of its file system."""
    mapper = partitions.partition_mapper()
    parts = root.parts_of(context.loaded, index=index, binary=given.binary, mapper=mapper)
    folder = context.run.folder / _ROOT

    def build() -> Made:
        folder.mkdir()
        progress.note(forecast.of_root(parts) or "the root is built again: it was broken, or for --refresh")
        with progress.step("build the root"), _packages(context, index) as (mirrors, proxy_socket):
            plan = _plan(context, given, index, folder, mirrors, uuid=root.uuid_of(parts), root_layer=True)
            context.log.touch()
            before = context.log.stat().st_size
            disk = dib.build(plan, log_path=context.log, proxy_socket=proxy_socket)
        (folder / "build.log").write_bytes(context.log.read_bytes()[before:])
        if root.parts_of(context.loaded, index=index, binary=given.binary, mapper=mapper) != parts:
            raise BuildError("files that the root is made of changed while it was made", hint="build again")
        return Made(
            disk=disk, packages=folder / "identity" / packages.FILE, log=folder / "build.log",
            epoch=index.epoch,
        )  # fmt: skip

    layer = root.obtain(parts, build, again=context.options.refresh)
    if layer.reused:
        progress.note("the root is in the cache: nothing that it is made of has changed")
        with context.log.open("ab") as log, layer.log.open("rb") as before:
            log.write(b"The root comes from the cache. This is the log of its build:\n")
            shutil.copyfileobj(before, log)
            log.write(b"The log of this build goes on.\n")
    return layer, root.uuid_of(parts)


def _plan(
    context: BuildContext,
    given: Ingredients,
    index: IndexState | None,
    folder: Path,
    mirrors: Mirrors | None,
    *,
    uuid: str = "",
    root_layer: bool = False,
) -> DibPlan:
    """The call of diskimage-builder in folder. uuid: of the root file system. root_layer: the root alone."""
    base = context.spec.base_image
    return prepare.make(
        context.loaded, folder, binary=given.binary, bundle=given.bundle, identity=context.identity,
        base_image=None if base is None else base_image.fetch(base, log_path=context.log),
        pod_schema=_pod_schema(context.spec), mirrors=mirrors,
        index=index, root_uuid=uuid, root_layer=root_layer,
    )  # fmt: skip


def _index_of(spec: ImageSpec, given: Ingredients) -> IndexState | None:
    """The package index of the disk image; None where packages are not Debian's."""
    return given.states[spec.release] if spec.distribution is Distribution.debian else None


@contextlib.contextmanager
def _packages(
    context: BuildContext, index: IndexState | None
) -> Iterator[tuple[Mirrors | None, ProxySocket | None]]:
    """Serve Debian packages from index, cache and mirrors while the block lasts.

    A locked build reaches them through a proxy socket and has no other network.
    """
    spec, locked = context.spec, context.options.locked
    if index is None:
        if locked:
            progress.note(f"--locked cuts off the network for debian only; this is {spec.distribution}")
        yield None, None
        return
    found = mirror.find(spec.mirror, needed=not index.pinned)
    path = context.run.folder / "proxy" if locked else None
    with proxy.serve(found, index, spec.arch.value, proxy_socket=path) as address:
        mirrors = Mirrors(debian=f"{address}/debian", security=f"{address}/security")
        port = int(address.rpartition(":")[2])
        yield mirrors, None if path is None else ProxySocket(path=path, port=port)


def _pod_schema(spec: ImageSpec) -> Path | None:
    return kubelet.pod_schema(spec.kubelet) if spec.kubelet and prepare.knows_pods(spec) else None
