# SPDX-License-Identifier: Apache-2.0
"""Export the container images of a spec as one archive, the bundle, with its image lock."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import docker

from goldsmith.apt.indexes import FRESH_ONLY, Accepted, IndexState
from goldsmith.containers import (
    build,
    build_context,
    content,
    docker_save,
    images_lock,
    oci,
    policy,
    registry,
    store,
)
from goldsmith.containers.build import BuildResources
from goldsmith.containers.build_context import Context
from goldsmith.containers.images_lock import ImagesLock, LockedImage
from goldsmith.containers.policy import Policy
from goldsmith.containers.store import Built
from goldsmith.core import cache, files, paths, progress, runs
from goldsmith.core.runs import Run
from goldsmith.errors import BuildError, SpecError
from goldsmith.spec import load
from goldsmith.spec.model import Arch, ContainerSpec, ImageSpec, Layers

BUNDLE = "bundle.tar"
_SUM = "bundle.sha256"
_FORMAT = "3"  # raise it when the same images give another archive or lock


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """The archive and its lock, both in the cache: copy what has to stay. reused: it came from the cache."""

    path: Path
    lock_path: Path
    images: tuple[LockedImage, ...]
    size_bytes: int
    sha256: str
    reused: bool
    doubts: tuple[str, ...] = ()  # about package indexes that were accepted for it now


@dataclass(frozen=True, kw_only=True, slots=True)
class _Origin:
    """The image of a container: built here, taken from the engine, or pulled from a registry."""

    container: ContainerSpec
    key: str = ""  # of built, in the image store
    built: Built | None = None
    pulled: registry.Pulled | None = None

    @property
    def identity(self) -> tuple[str | None, ...]:
        found = self.built.id if self.built else None
        pulled = self.pulled
        names = (pulled.index_digest, oci.sha256(pulled.manifest)) if pulled else (None, None)
        c = self.container
        return (c.ref, c.into.value, c.build and "build", c.registry, found, *names)


class _LostLayersError(Exception):
    def __init__(self, key: str) -> None:
        self.key = key


def export(
    containers: Sequence[ContainerSpec],
    *,
    layers: Layers,
    arch: Arch = Arch.amd64,
    policy: Policy | None = None,
    run: Run,
    log_path: Path,
    refresh: bool = False,
    mirror: str | None = None,
    index: Mapping[str, IndexState] | None = None,
    accepted: Accepted = FRESH_ONLY,
    root: Path | None = None,
) -> Bundle:
    """The bundle of containers, in this order; from the cache if nothing has changed.

    policy: which images are allowed; by default only images that are built here from packages alone.
    index: Debian's, by suite; by default today's, or what is accepted in its place. refresh: build and save
    again what is cached. root: the folder that build paths are relative to.
    Raises BuildError, HostError, and ProvenanceError for an image that the policy does not allow.
    """
    if not containers:
        progress.note("the spec lists no containers: the bundle is empty")
    _check_names(containers)
    with contextlib.ExitStack() as stack:
        resources = BuildResources(
            run=run, log_path=log_path, arch=arch.value, preferred_mirror=mirror, stack=stack,
            policy=policy or Policy(), states=dict(index or {}), accepted=accepted,
        )  # fmt: skip
        contexts = build_context.collect(containers, _roots(root))
        keys = build.keys(resources, contexts)
        try:
            made = _bundle(resources, containers, contexts, keys, layers, refresh=refresh)
        except _LostLayersError as lost:
            progress.note("layers of an image are missing in the cache: building it again")
            store.forget(lost.key)
            made = _bundle(resources, containers, contexts, keys, layers, refresh=False)
        own = [state for suite, state in resources.states.items() if suite not in (index or {})]
        return dataclasses.replace(made, doubts=tuple(doubt for state in own for doubt in state.doubts))


def _roots(given: Path | None) -> tuple[Path, ...]:
    return paths.roots_of_specs() if given is None else (given,)


def require_allowed(spec: ImageSpec, *, root: Path | None = None) -> None:
    """Check all container images of a spec against its policy, without an engine or a registry.

    root: the folder that build paths are relative to. Raises ProvenanceError, BuildError and SpecError.
    """
    rules = policy.of_spec(spec)
    for container in spec.containers:
        if container.registry is not None:
            registry.require_allowed(container.registry, rules)
        elif container.build is None:
            rules.allow_engine(container.ref)
    for context in build_context.collect(spec.containers, _roots(root)):
        for image in context.foreign:
            build.require_allowed(rules, context, image)


def archive_engine_images(client: docker.DockerClient, refs: Sequence[str], target: Path, spool: Path) -> str:
    """Write images of an engine to target as they are, without the cache; returns its sha256 (hex).

    spool: an empty folder on a disk with room for all layers.
    """
    ids = [str(docker_save.inspect(client, ref)["Id"]) for ref in refs]
    images, blobs = [], dict[str, oci.Content]()
    for ref, saved in zip(refs, docker_save.save(client, ids, spool), strict=True):
        files = dict(saved.layers)
        built = Built(config=saved.config, diff_ids=tuple(files))
        images.append(_image(_Origin(container=ContainerSpec(ref=ref), built=built), _plain(files)))
        blobs |= {**files, built.id: built.config}
    with target.open("wb", buffering=0) as sink:
        return oci.write(images, blobs, sink)


def _bundle(
    resources: BuildResources,
    containers: Sequence[ContainerSpec],
    contexts: Sequence[Context],
    keys: Mapping[str, str],
    layers: Layers,
    *,
    refresh: bool,
) -> Bundle:
    listed = [c.ref for c in containers if c.build is not None]
    lost = [ref for ref in listed if store.lookup(keys[ref]) is None]
    build.make(resources, contexts, keys, lost, again=refresh)
    origins = _origins(resources, containers, keys, refresh=refresh)
    parts = {"format": _FORMAT, "layers": layers.value, "images": [origin.identity for origin in origins]}
    fresh = []

    def fill(folder: Path) -> None:
        fresh.append(folder)
        with progress.step("write the bundle of container images"):
            _fill(folder, origins, layers)

    entry = cache.cached("bundle", hashlib.sha256(oci.canonical(parts)).hexdigest(), fill)
    return _read(entry, reused=not fresh)


def _check_names(containers: Sequence[ContainerSpec]) -> None:
    names = [oci.full_name(c.ref) for c in containers]
    for name in names:
        if names.count(name) > 1:
            raise BuildError(f"the spec lists {name} twice", hint="give each container its own name")


def _origins(
    resources: BuildResources, containers: Sequence[ContainerSpec], keys: Mapping[str, str], *, refresh: bool
) -> list[_Origin]:
    held = _from_engine(
        resources, [c.ref for c in containers if not (c.build or c.registry)], refresh=refresh
    )
    found = []
    for c in containers:
        if c.registry is not None:
            with progress.step(f"fetch {c.registry}"):
                pulled = registry.pull(
                    c.registry,
                    arch=resources.arch,
                    policy=resources.policy,
                    run=resources.run,
                    log_path=resources.log_path,
                )
            found.append(_Origin(container=c, pulled=pulled))
        else:
            key = keys[c.ref] if c.build else held[c.ref]
            built = store.lookup(key)
            if built is None:
                raise _LostLayersError(key)
            found.append(_Origin(container=c, key=key, built=built))
    return found


def _from_engine(resources: BuildResources, refs: Sequence[str], *, refresh: bool) -> dict[str, str]:
    """Save images of the engine to the store; their keys by ref."""
    ids = {}
    for ref in refs:
        resources.policy.allow_engine(ref)
        about = docker_save.inspect(resources.client, ref)
        if about["Architecture"] != resources.arch:
            raise BuildError(
                f"the engine's image {ref} is for {about['Architecture']}, the spec is for {resources.arch}",
                hint=f"run: docker pull --platform linux/{resources.arch} {ref}",
            )
        ids[ref] = str(about["Id"])
    keys = {ref: f"engine-{image.partition(':')[2]}" for ref, image in ids.items()}
    missing = [ref for ref in refs if refresh or not build.is_there(keys[ref])]
    if missing:
        with progress.step(f"take {', '.join(missing)} from the Docker engine"):
            saved = docker_save.save(resources.client, [ids[ref] for ref in missing], resources.folder())
            for ref, one in zip(missing, saved, strict=True):
                store.keep(keys[ref], one.config, dict(one.layers))
    return keys


def _fill(folder: Path, origins: Sequence[_Origin], layers: Layers) -> None:
    images: list[oci.Image] = []
    blobs: dict[str, oci.Content] = {}
    for origin in origins:
        if origin.pulled is not None:
            blobs |= origin.pulled.blobs
            images.append(_pulled_image(origin.container, origin.pulled))
            continue
        assert origin.built is not None
        files = store.layers(origin.built)
        if files is None:
            raise _LostLayersError(origin.key)
        parts = _plain(files) if layers is Layers.uncompressed else _gzipped(files)
        blobs |= {layer.digest: path for layer, path in parts}
        blobs[origin.built.id] = origin.built.config
        images.append(_image(origin, parts))
    with (folder / BUNDLE).open("wb", buffering=0) as sink:
        digest = oci.write(images, blobs, sink)
    content.recorded(oci.lock(images), blobs).write(folder / images_lock.FILE)
    (folder / _SUM).write_text(digest)


_Parts = Sequence[tuple[oci.Layer, Path]]


def _plain(files: Mapping[str, Path]) -> _Parts:
    return [(oci.Layer(digest=x, size=path.stat().st_size, diff_id=x), path) for x, path in files.items()]


def _gzipped(files: Mapping[str, Path]) -> _Parts:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [(layer, path) for path, layer in pool.map(store.gzipped, files)]


def _image(origin: _Origin, parts: _Parts) -> oci.Image:
    assert origin.built is not None
    config = oci.Layer(digest=origin.built.id, size=len(origin.built.config), diff_id=origin.built.id)
    layers = tuple(layer for layer, _ in parts)
    return oci.Image(
        ref=origin.container.ref,
        names=(oci.full_name(origin.container.ref),),
        manifest=oci.manifest_of(config, layers),
        media_type=oci.OCI_MANIFEST,
        config=config,
        layers=layers,
        source="build" if origin.container.build else "engine",
        into=origin.container.into,
    )


def _pulled_image(container: ContainerSpec, pulled: registry.Pulled) -> oci.Image:
    """Its names have the tag, and both digests: a pod may use either, and containerd looks up names."""
    assert container.registry is not None
    bases = dict.fromkeys((oci.repository(container.ref), oci.repository(container.registry)))
    digests = [oci.sha256(pulled.manifest), *([pulled.index_digest] if pulled.index_digest else [])]
    pinned = [f"{base}@{digest}" for base in bases for digest in digests]
    return oci.Image(
        ref=container.ref,
        names=tuple(dict.fromkeys([oci.full_name(container.ref), *pinned])),
        manifest=pulled.manifest,
        media_type=pulled.media_type,
        config=pulled.config,
        layers=pulled.layers,
        source="registry",
        into=container.into,
        index_digest=pulled.index_digest,
    )


def _read(entry: Path, *, reused: bool) -> Bundle:
    lock_path = entry / images_lock.FILE
    found = ImagesLock.read(lock_path)
    path = entry / BUNDLE
    return Bundle(
        path=path, lock_path=lock_path, images=found.images, size_bytes=path.stat().st_size,
        sha256=(entry / _SUM).read_text(), reused=reused,
    )  # fmt: skip


def export_images(
    name: str,
    variables: Mapping[str, str],
    target: Path | None,
    *,
    refresh: bool,
    accepted: Accepted = FRESH_ONLY,
) -> Bundle:
    """Write a spec's bundle and its lock into the folder target, by default out/NAME-images."""
    loaded = load.load(name, variables)
    if not loaded.spec.containers:
        raise SpecError(
            f"the spec {loaded.spec.name} lists no container images", hint="add its key containers"
        )
    require_allowed(loaded.spec)
    target = target or paths.out_root() / f"{loaded.spec.name}-images"
    target.mkdir(parents=True, exist_ok=True)
    log_path = target / "export.log"  # it stays where the export fails
    log_path.unlink(missing_ok=True)
    with runs.run() as run:
        bundle = export(
            loaded.spec.containers, layers=loaded.spec.layers, arch=loaded.spec.arch, run=run,
            refresh=refresh, log_path=log_path, policy=policy.of_spec(loaded.spec), accepted=accepted,
        )  # fmt: skip
        partial = target / ".bundle.tar.part"
        files.copy(bundle.path, partial)
        partial.replace(target / BUNDLE)
        files.write_atomically(target / images_lock.FILE, bundle.lock_path.read_bytes())
    log_path.unlink(missing_ok=True)
    return dataclasses.replace(bundle, path=target / BUNDLE, lock_path=target / images_lock.FILE)
