# SPDX-License-Identifier: Apache-2.0
"""Build container images from their contexts, each only if its inputs have changed."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
import tempfile
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import docker
from docker.errors import ImageNotFound, NotFound

from goldsmith.apt import build_files, indexes, mirror, proxy
from goldsmith.containers import (
    build_context,
    docker_save,
    dockerfile,
    dockerfile_parser,
    engine_build,
    oci,
    registry,
    reproducible,
    rootfs,
    store,
)
from goldsmith.containers.build_context import Context
from goldsmith.containers.policy import Policy
from goldsmith.containers.store import Built
from goldsmith.core import progress
from goldsmith.core.runs import Run
from goldsmith.errors import BuildError, HostError
from goldsmith.host import tools
from goldsmith.host.docker_engine import engine

_FORMAT = "4"  # raise it when the same context gives another image
_SHOWN = 20  # paths of a difference
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """An image in the engine whose last layer is apt's configuration for a build; None: it has no such."""

    name: str
    layer: str | None


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
    accepted: indexes.Accepted = indexes.FRESH_ONLY
    _client: docker.DockerClient | None = None
    _sources: dict[frozenset[str], str] = field(default_factory=dict)  # by the suites that it serves
    prepared: dict[tuple[str, str], Prepared] = field(default_factory=dict)  # by image ID and source

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
            self.states[suite] = indexes.current(suite, self.mirrors, self.accepted)
        return self.states[suite]

    @property
    def source(self) -> str:
        """Address of the local package proxy; it serves the indexes that index() returned so far."""
        suites = frozenset(self.states)
        if suites not in self._sources:
            releases = {path: text for state in self.states.values() for path, text in state.releases.items()}
            state = indexes.IndexState(releases=releases)
            self._sources[suites] = self.stack.enter_context(proxy.serve(self.mirrors, state, self.arch))
        return self._sources[suites]

    @property
    def addresses(self) -> tuple[str, ...]:
        """HOST:PORT of the package proxy, as builds have seen it."""
        return tuple(urllib.parse.urlsplit(source).netloc for source in self._sources.values())

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
    resources: BuildResources, contexts: Sequence[Context], by_ref: Mapping[str, str], refs: Iterable[str],
    *, again: bool = False,
) -> None:  # fmt: skip
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
        built: dict[str, _Made] = {}
        for context in contexts:
            if context.ref not in todo or (not again and is_there(by_ref[context.ref])):
                continue
            if built.keys() & set(context.parents):
                _keep(resources, built, by_ref)
                built = {}
            with progress.step(f"build {context.ref}"):
                if context.rootfs:
                    _make_rootfs(resources, context, by_ref[context.ref])
                else:
                    built[context.ref] = _docker_build(resources, context, by_ref)
        _keep(resources, built, by_ref)


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


def require_allowed(policy: Policy, context: Context, image: str) -> str:
    """Fingerprint of the rule that allows an image which context is FROM; "" for one of the engine.

    Raises ProvenanceError where there is none.
    """
    if registry.is_pinned(image):
        name = oci.repository(image.partition("@")[0])
        return policy.rule(f"{name}@{image.partition('@')[2]}").fingerprint()
    policy.allow_engine(image, used_in=build_context.location(context.folder, image))
    return ""


def _foreign(resources: BuildResources, context: Context, image: str) -> tuple[str, str]:
    """Identity of an image that is not built here, and the rule that allows it. Raises ProvenanceError."""
    rule = require_allowed(resources.policy, context, image)
    if registry.is_pinned(image):
        return image, rule
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
    suite = rootfs.read(context.folder).suite
    epoch = resources.index(suite).released(suite)
    work = resources.folder()
    made, target = work / "root.tar", work / "layer.tar"
    rootfs.make(
        context.folder, made, arch=resources.arch, epoch=epoch, source=resources.source, work=work,
        log_path=resources.log_path,
    )  # fmt: skip
    diff_id = reproducible.layer(made, target, reproducible.Rules(ref=context.ref, epoch=epoch))
    made.unlink()
    config = rootfs.config(context.folder, arch=resources.arch, epoch=epoch, diff_id=diff_id)
    _replace(context.ref, key, oci.canonical(config), {diff_id: target})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Made:
    """An image in the engine. kept, dropped: see reproducible.image()."""

    id: str
    rules: reproducible.Rules
    kept: frozenset[str]
    dropped: frozenset[str]


def _docker_build(resources: BuildResources, context: Context, by_ref: Mapping[str, str]) -> _Made:
    for parent in context.parents:
        built = store.lookup(by_ref[parent])
        assert built is not None
        load(resources.client, parent, built, resources.folder())
    text = dockerfile_parser.read(context.folder / "Dockerfile")
    instructions = dockerfile_parser.parse(text)
    local = {image: _from_store(resources, image) for image in context.foreign if registry.is_pinned(image)}
    used = [(each.keyword, image) for each, image in dockerfile.images(instructions)]
    about = [docker_save.inspect(resources.client, local.get(image, image)) for _, image in used]
    runs = any(each.keyword == "RUN" for each in instructions)
    prepared = {
        image: _with_build_files(resources, local.get(image, image))
        for keyword, image in used
        if runs and keyword == "FROM"
    }
    settings = {image: each.get("Config") or {} for (_, image), each in zip(used, about, strict=True)}
    shells = {image: each["Shell"] for image, each in settings.items() if each.get("Shell")}
    names = {("FROM", image): made.name for image, made in prepared.items()}
    names = {(keyword, image): local.get(image, image) for keyword, image in used} | names
    made = f"{build_context.LOCAL}built:{by_ref[context.ref]}"
    arguments = _arguments(instructions, resources.arch)
    with tempfile.TemporaryFile(dir=resources.run.folder) as packed:
        build_context.pack(context.folder, packed, instead=dockerfile.rewritten(text, names, shells=shells))
        image = _engine_build(resources, packed, made, shown=context.ref, arguments=arguments)
    return _Made(
        id=image,
        rules=reproducible.Rules(
            ref=context.ref,
            epoch=max((reproducible.epoch_of(each["Created"] or "") for each in about), default=0),
            discarded=dockerfile.discarded(instructions),
            addresses=resources.addresses,
        ),
        kept=frozenset(layer for each in about for layer in each["RootFS"].get("Layers") or ()),
        dropped=frozenset(each.layer for each in prepared.values() if each.layer),
    )


def _arguments(instructions: Sequence[dockerfile_parser.Instruction], arch: str) -> dict[str, str]:
    """The host's proxies, which no image keeps, and the platform's arguments."""
    found = {name: os.environ[name] for name in _PROXIES if os.environ.get(name)}
    return found | dockerfile.platform_arguments(instructions, arch=arch, host_arch=tools.host_arch() or arch)


def _with_build_files(resources: BuildResources, image: str) -> Prepared:
    about = docker_save.inspect(resources.client, image)
    if (about.get("Config") or {}).get("OnBuild"):  # its triggers are for the user's build
        return Prepared(name=image, layer=None)
    suite, has_sources = _debian(resources.client, image)
    if suite is not None:
        try:
            resources.index(suite)
        except HostError as e:
            if e.retryable:  # no mirror answers, also apt
                raise
            progress.note(f"apt alone checks the package indexes of {image}: {e}")
    key = (str(about["Id"]), resources.source)
    if key in resources.prepared:
        return resources.prepared[key]
    https_proxy = os.environ.get("https_proxy") or os.environ.get("HTTPS_PROXY")
    state = resources.states.get(suite or "")
    files = build_files.archive(
        resources.source, None if has_sources else suite, https_proxy,
        pinned=state is not None and state.pinned,
    )  # fmt: skip
    name = f"{build_context.LOCAL}prepared:{hashlib.sha256(files + image.encode()).hexdigest()}"
    with tempfile.TemporaryFile(dir=resources.run.folder) as packed:
        lines = f"FROM {image}\nADD files.tar /\n"
        build_context.pack_files({"Dockerfile": lines.encode(), "files.tar": files}, packed)
        made = _engine_build(resources, packed, name, shown=f"the base {image}", arguments={})
    layer = docker_save.inspect(resources.client, made)["RootFS"]["Layers"][-1]
    resources.prepared[key] = Prepared(name=name, layer=layer)
    return resources.prepared[key]


def _debian(client: docker.DockerClient, image: str) -> tuple[str | None, bool]:
    """The suite of an image of Debian, otherwise None; whether it has sources for apt."""
    alone = client.api.create_host_config(network_mode="none")
    container = client.api.create_container(image, command=["none"], host_config=alone)["Id"]
    try:
        release = "".join(text for _, text in _files_of(client, container, "/usr/lib/os-release"))
        sources = [*_files_of(client, container, "/etc/apt")]
    finally:
        client.api.remove_container(container, v=True, force=True)
    return build_files.suite(release), build_files.have_sources(sources)


def _files_of(client: docker.DockerClient, container: str, path: str) -> Iterator[tuple[str, str]]:
    """Names and contents of a file or of a small folder in a container; none if it is missing."""
    try:
        pieces, _ = client.api.get_archive(container, path)
    except NotFound:
        return
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        for entry in archive:
            if entry.isreg() and (content := archive.extractfile(entry)):
                yield entry.name, content.read().decode(errors="replace")


def _engine_build(
    resources: BuildResources, packed: IO[bytes], name: str, *, shown: str, arguments: Mapping[str, str]
) -> str:
    """The ID of the image that the engine built from a packed context. name: until the export ends."""
    steps: list[str] = []
    before = engine_build.ids(resources.client)
    resources.stack.callback(engine_build.remove, resources.client, name, steps, before)
    return engine_build.build(
        resources.client, packed, name, steps,
        shown=shown, arguments=arguments, arch=resources.arch, log_path=resources.log_path,
    )  # fmt: skip


def _keep(resources: BuildResources, made: Mapping[str, _Made], by_ref: Mapping[str, str]) -> None:
    """Save the new images to the store in one stream, so that layers they share come once."""
    if not made:
        return
    saved = docker_save.save(resources.client, [each.id for each in made.values()], resources.folder())
    for (ref, each), found in zip(made.items(), saved, strict=True):
        config, files = reproducible.image(
            found.config, found.layers, each.rules, resources.folder(), kept=each.kept, dropped=each.dropped
        )
        _replace(ref, by_ref[ref], config, files)


def _replace(ref: str, key: str, config: bytes, files: Mapping[str, Path]) -> None:
    """Store an image; name what differs from one that the same inputs gave before."""
    before = store.lookup(key)
    old = store.layers(before) if before is not None and before.id != oci.sha256(config) else None
    if old is not None:
        other = reproducible.differing(
            [path for digest, path in old.items() if digest not in files],
            [path for digest, path in files.items() if digest not in old],
        )
        shown = "".join(f"\n  | {path}" for path in other[:_SHOWN]) + "\n  | ..." * (len(other) > _SHOWN)
        progress.note(
            f"{ref} differs from what the same inputs gave before, in {len(other)} paths of its layers{shown}"
        )
    store.keep(key, config, files)
