# SPDX-License-Identifier: Apache-2.0
"""Make container images from their contexts, each only when what it is made of has changed."""

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
from goldsmith.core.scratch import Run
from goldsmith.errors import BuildError
from goldsmith.host import tools
from goldsmith.host.docker_engine import engine

_FORMAT = "1"  # raise it when images come out differently from the same context
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(kw_only=True)
class Workshop:
    """Lends the engine and the mirrors to whoever needs them, started at the first use."""

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
        """Address of the mirrors on this host; the indexes are those that index() gave."""
        if self._source is None:
            releases = {path: text for state in self.states.values() for path, text in state.releases.items()}
            state = indexes.IndexState(releases=releases)
            self._source = self.stack.enter_context(proxy.serve(self.mirrors, state, self.arch))
        return self._source

    def folder(self) -> Path:
        path = Path(tempfile.mkdtemp(prefix="containers-", dir=self.run.folder))
        path.chmod(0o755)
        return path


def keys(shop: Workshop, made: Sequence[Context]) -> dict[str, str]:
    """By ref, the cache key of each context: all that its image depends on. Parents come first in made."""
    found: dict[str, str] = {}
    for context in made:
        parts: dict[str, Any] = {
            "format": _FORMAT,
            "arch": shop.arch,
            "content": build_context.digest(context.folder),
            "parents": [(parent, found[parent]) for parent in context.parents],
            "foreign": [_foreign(shop, image) for image in context.foreign],
        }
        if context.rootfs:
            parts["index"] = shop.index(rootfs.read(context.folder).suite).key(shop.arch)
        found[context.ref] = hashlib.sha256(oci.canonical(parts)).hexdigest()
    return found


def make(shop: Workshop, made: Sequence[Context], by_ref: Mapping[str, str], wanted: Iterable[str]) -> None:
    """Build what of wanted (refs) is not in the store, and what that is FROM. Raises BuildError."""
    todo = set(wanted)
    for context in reversed(made):  # children before parents
        if context.ref in todo:
            missing = [x for x in context.parents if not is_there(by_ref[x])]
            todo.update(missing)
    fresh: dict[str, str] = {}
    for context in made:
        if context.ref not in todo:
            continue
        with progress.step(f"build {context.ref}"):
            if context.rootfs:
                _make_rootfs(shop, context, by_ref[context.ref])
            else:
                _provide(shop, context, by_ref, fresh)
                fresh[context.ref] = _docker_build(shop, context)
    _take(shop, fresh, by_ref)


def load(client: docker.DockerClient, ref: str, built: Built, folder: Path) -> None:
    """Have the engine know built as ref, from the cache."""
    try:
        client.images.get(built.id)
    except ImageNotFound:
        files = store.layers(built)
        if files is None:
            raise BuildError(f"the cached layers of {ref} are gone", hint="build again") from None
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
    """The store has this image with all its layers, hashed just now."""
    built = store.lookup(key)
    return built is not None and store.layers(built) is not None


def _foreign(shop: Workshop, image: str) -> tuple[str, str]:
    """What an image from elsewhere is, and the rule that lets it in. Raises ProvenanceError."""
    if registry.is_pinned(image):
        name = oci.repository(image.partition("@")[0])
        return image, shop.policy.rule(f"{name}@{image.partition('@')[2]}").fingerprint()
    shop.policy.allow_engine(image)
    return str(docker_save.inspect(shop.client, image)["Id"]), ""


def _from_store(shop: Workshop, image: str) -> str:
    """Have the engine know an image of a registry, checked and out of our own store; its name there."""
    pulled = registry.pull(image, arch=shop.arch, policy=shop.policy, run=shop.run, log_path=shop.log_path)
    name = f"{build_context.LOCAL}from:{pulled.config.digest.partition(':')[2]}"
    made = oci.Image(
        ref=name, names=(name,), manifest=pulled.manifest, media_type=pulled.media_type,
        config=pulled.config, layers=pulled.layers, source="registry",
    )  # fmt: skip
    archive = shop.folder() / "load.tar"
    with archive.open("wb") as sink:
        oci.write([made], dict(pulled.blobs), sink)
    with archive.open("rb") as source:
        shop.client.images.load(source)
    archive.unlink()
    return name


def _make_rootfs(shop: Workshop, context: Context, key: str) -> None:
    epoch = shop.index(rootfs.read(context.folder).suite).epoch
    work = shop.folder()
    target = work / "root.tar"
    rootfs.make(
        context.folder, target, arch=shop.arch, epoch=epoch, source=shop.source, work=work,
        log_path=shop.log_path,
    )  # fmt: skip
    with target.open("rb") as source:
        diff_id = f"sha256:{hashlib.file_digest(source, 'sha256').hexdigest()}"
    config = rootfs.config(context.folder, arch=shop.arch, epoch=epoch, diff_id=diff_id)
    store.keep(key, oci.canonical(config), {diff_id: target})


def _provide(shop: Workshop, context: Context, by_ref: Mapping[str, str], fresh: Mapping[str, str]) -> None:
    for parent in context.parents:
        if parent not in fresh:
            built = store.lookup(by_ref[parent])
            assert built is not None
            load(shop.client, parent, built, shop.folder())


def _docker_build(shop: Workshop, context: Context) -> str:
    """The ID of the image that the engine built."""
    arguments = {name: os.environ[name] for name in _PROXIES if os.environ.get(name)}
    foreign_arch = tools.host_arch() != shop.arch
    local = {image: _from_store(shop, image) for image in context.foreign if registry.is_pinned(image)}
    with tempfile.TemporaryFile(dir=shop.run.folder) as packed:
        build_context.pack(context.folder, packed, dockerfile=build_context.pinned_to(context.folder, local))
        packed.seek(0)
        answer = shop.client.api.build(
            fileobj=packed, custom_context=True, tag=context.ref, decode=True, rm=True, forcerm=True,
            nocache=True, network_mode="host", buildargs={**arguments, "ftp_proxy": shop.source},
            platform=f"linux/{shop.arch}" if foreign_arch else None,
        )  # fmt: skip
        try:
            return _follow(answer, context.ref, shop.log_path)
        except APIError as e:
            raise BuildError(f"{context.ref} cannot be built: {e.explanation or e}") from e


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
            failed = failed or "error" in event  # read on: an answer left half read keeps its socket open
    if failed:
        shown = "".join(f"\n  | {line}" for line in tail)
        raise BuildError(f"{ref} cannot be built{shown}", hint=f"full log: {log_path}")
    if not image:
        raise BuildError(f"the Docker engine did not say what it built for {ref}", hint=f"see {log_path}")
    return image


def _take(shop: Workshop, fresh: Mapping[str, str], by_ref: Mapping[str, str]) -> None:
    """All that was built comes in one stream, so layers that images share come once."""
    if not fresh:
        return
    for ref, saved in zip(
        fresh, docker_save.save(shop.client, list(fresh.values()), shop.folder()), strict=True
    ):
        store.keep(by_ref[ref], saved.config, dict(saved.layers))
