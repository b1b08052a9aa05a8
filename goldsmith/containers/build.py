# SPDX-License-Identifier: Apache-2.0
"""Build container images from their contexts, each only if its inputs have changed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from goldsmith.apt import indexes, mirror, proxy
from goldsmith.containers import build_context, docker_save, oci, registry, rootfs, store
from goldsmith.containers.build_context import Context
from goldsmith.containers.policy import Policy
from goldsmith.containers.store import Built
from goldsmith.core import proc, progress
from goldsmith.core.runs import Run
from goldsmith.errors import BuildError
from goldsmith.host import tools
from goldsmith.host.docker_engine import engine

_FORMAT = "1"  # raise it when the same context gives another image
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(kw_only=True)
class BuildResources:
    """The engine, mirrors and proxy of one export; each starts at its first use and ends with stack."""

    run: Run
    log_path: Path
    arch: str
    preferred_mirror: str | None
    stack: contextlib.ExitStack
    policy: Policy
    states: dict[str, indexes.IndexState] = field(default_factory=dict)  # by suite
    _client: docker.DockerClient | None = None
    _source: str | None = None

    @property
    def client(self) -> docker.DockerClient:
        if self._client is None:
            self._client = self.stack.enter_context(engine(self.run, self.log_path))
        return self._client

    @property
    def mirrors(self) -> mirror.Mirrors:
        return mirror.find(self.preferred_mirror)

    def index(self, suite: str) -> indexes.IndexState:
        if suite not in self.states:
            self.states[suite] = indexes.current(suite, self.mirrors)
        return self.states[suite]

    @property
    def source(self) -> str:
        """Address of the local package proxy; it serves the indexes that index() returned."""
        if self._source is None:
            releases = {path: text for state in self.states.values() for path, text in state.releases.items()}
            state = indexes.IndexState(releases=releases)
            self._source = self.stack.enter_context(proxy.serve(self.mirrors, state, self.arch))
        return self._source

    def folder(self) -> Path:
        path = Path(tempfile.mkdtemp(prefix="containers-", dir=self.run.folder))
        path.chmod(0o755)
        return path


def keys(resources: BuildResources, contexts: Sequence[Context]) -> dict[str, str]:
    """The cache key of each context by ref: a hash of all its inputs. contexts: parents first."""
    found: dict[str, str] = {}
    for context in contexts:
        parts: dict[str, Any] = {
            "format": _FORMAT,
            "arch": resources.arch,
            "content": build_context.digest(context.folder),
            "parents": [(parent, found[parent]) for parent in context.parents],
            "foreign": [_foreign(resources, context, image) for image in context.foreign],
        }
        if context.rootfs:
            parts["index"] = resources.index(rootfs.read(context.folder).suite).key(resources.arch)
        found[context.ref] = hashlib.sha256(oci.canonical(parts)).hexdigest()
    return found


def make(
    resources: BuildResources,
    contexts: Sequence[Context],
    by_ref: Mapping[str, str],
    refs: Iterable[str],
    *,
    again: bool = False,
) -> None:
    """Build the images refs, and those of their parents that the store lacks; again: build all of contexts.

    What another process builds meanwhile is not built again. An image stays in the store until its successor
    is complete. Raises BuildError.
    """
    todo = set(by_ref if again else refs)
    for context in reversed(contexts):  # children before parents
        if context.ref in todo:
            missing = [x for x in context.parents if not is_there(by_ref[x])]
            todo.update(missing)
    if not todo:
        return
    with store.making([by_ref[ref] for ref in todo]):
        fresh: dict[str, str] = {}
        for context in contexts:
            if context.ref not in todo or (not again and is_there(by_ref[context.ref])):
                continue
            with progress.step(f"build {context.ref}"):
                if context.rootfs:
                    _make_rootfs(resources, context, by_ref[context.ref])
                else:
                    _provide(resources, context, by_ref, fresh)
                    fresh[context.ref] = _docker_build(resources, context)
        _keep(resources, fresh, by_ref)


def load(client: docker.DockerClient, ref: str, built: Built, folder: Path) -> None:
    """Load an image from the cache into the engine, under the name ref."""
    try:
        client.images.get(built.id)
    except ImageNotFound:
        files = store.layers(built)
        if files is None:
            raise BuildError(f"layers of {ref} are missing in the cache", hint="build again") from None
        config = oci.Layer(digest=built.id, size=len(built.config), diff_id=built.id)
        layers = tuple(oci.Layer(digest=x, size=path.stat().st_size, diff_id=x) for x, path in files.items())
        image = oci.Image(
            ref=ref, names=(oci.full_name(ref),), manifest=oci.manifest_of(config, layers),
            media_type=oci.OCI_MANIFEST, config=config, layers=layers, source="build",
        )  # fmt: skip
        archive = folder / "load.tar"
        with archive.open("wb") as sink:
            oci.write([image], {**files, built.id: built.config}, sink)
        with archive.open("rb") as source:
            client.images.load(source)
        archive.unlink()
    name, _, tag = ref.rpartition(":")
    client.api.tag(built.id, name, tag)


def is_there(key: str) -> bool:
    """The store has this image and all its layers; their hashes were checked just now."""
    built = store.lookup(key)
    return built is not None and store.layers(built) is not None


def _foreign(resources: BuildResources, context: Context, image: str) -> tuple[str, str]:
    """Identity of an image that is not built here, and the rule that allows it. Raises ProvenanceError."""
    if registry.is_pinned(image):
        name = oci.repository(image.partition("@")[0])
        return image, resources.policy.rule(f"{name}@{image.partition('@')[2]}").fingerprint()
    resources.policy.allow_engine(image, used_in=build_context.location(context.folder, image))
    return str(docker_save.inspect(resources.client, image)["Id"]), ""


def _from_store(resources: BuildResources, image: str) -> str:
    """Pull and check an image of a registry, load it into the engine; return its name there."""
    pulled = registry.pull(
        image, arch=resources.arch, policy=resources.policy, run=resources.run, log_path=resources.log_path
    )
    name = f"{build_context.LOCAL}from:{pulled.config.digest.partition(':')[2]}"
    made = oci.Image(
        ref=name, names=(name,), manifest=pulled.manifest, media_type=pulled.media_type,
        config=pulled.config, layers=pulled.layers, source="registry",
    )  # fmt: skip
    archive = resources.folder() / "load.tar"
    with archive.open("wb") as sink:
        oci.write([made], dict(pulled.blobs), sink)
    with archive.open("rb") as source:
        resources.client.images.load(source)
    archive.unlink()
    return name


def _make_rootfs(resources: BuildResources, context: Context, key: str) -> None:
    epoch = resources.index(rootfs.read(context.folder).suite).epoch
    work = resources.folder()
    target = work / "root.tar"
    rootfs.make(
        context.folder, target, arch=resources.arch, epoch=epoch, source=resources.source, work=work,
        log_path=resources.log_path,
    )  # fmt: skip
    with target.open("rb") as source:
        diff_id = f"sha256:{hashlib.file_digest(source, 'sha256').hexdigest()}"
    config = rootfs.config(context.folder, arch=resources.arch, epoch=epoch, diff_id=diff_id)
    store.keep(key, oci.canonical(config), {diff_id: target})


def _provide(
    resources: BuildResources, context: Context, by_ref: Mapping[str, str], fresh: Mapping[str, str]
) -> None:
    for parent in context.parents:
        if parent not in fresh:
            built = store.lookup(by_ref[parent])
            assert built is not None
            load(resources.client, parent, built, resources.folder())


def _docker_build(resources: BuildResources, context: Context) -> str:
    """The ID of the image that the engine built."""
    arguments = {name: os.environ[name] for name in _PROXIES if os.environ.get(name)}
    foreign_arch = tools.host_arch() != resources.arch
    local = {image: _from_store(resources, image) for image in context.foreign if registry.is_pinned(image)}
    with tempfile.TemporaryFile(dir=resources.run.folder) as packed:
        build_context.pack(context.folder, packed, dockerfile=build_context.pinned_to(context.folder, local))
        packed.seek(0)
        answer = resources.client.api.build(
            fileobj=packed, custom_context=True, tag=context.ref, decode=True, rm=True, forcerm=True,
            nocache=True, network_mode="host", buildargs={**arguments, "ftp_proxy": resources.source},
            platform=f"linux/{resources.arch}" if foreign_arch else None,
        )  # fmt: skip
        try:
            return _follow(answer, context.ref, resources.log_path)
        except APIError as e:
            raise BuildError(
                f"cannot build {context.ref}: {e.explanation or e}", hint=f"full log: {resources.log_path}"
            ) from e


def _follow(answer: Iterator[Mapping[str, Any]], ref: str, log_path: Path) -> str:
    image, failed = "", False
    tail: deque[str] = deque(maxlen=proc.TAIL_LINES)
    with log_path.open("a", encoding="utf-8") as log:
        for event in answer:
            for line in str(event.get("stream", event.get("error", ""))).splitlines():
                log.write(f"{line}\n")
                if line.strip():
                    tail.append(line)
                    progress.live(f"{ref}: {line}")
            image = (event.get("aux") or {}).get("ID", image)
            failed = failed or "error" in event  # read on: a half-read response keeps its socket open
    if failed:
        shown = "".join(f"\n  | {line}" for line in tail)
        raise BuildError(f"cannot build {ref}{shown}", hint=f"full log: {log_path}")
    if not image:
        raise BuildError(f"the Docker engine reported no image ID for {ref}", hint=f"see {log_path}")
    return image


def _keep(resources: BuildResources, fresh: Mapping[str, str], by_ref: Mapping[str, str]) -> None:
    """Save the new images to the store in one stream, so that layers they share come once."""
    if not fresh:
        return
    for ref, saved in zip(
        fresh, docker_save.save(resources.client, list(fresh.values()), resources.folder()), strict=True
    ):
        store.keep(by_ref[ref], saved.config, dict(saved.layers))
