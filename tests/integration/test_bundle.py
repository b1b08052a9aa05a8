# SPDX-License-Identifier: Apache-2.0
"""The default containers, built and exported for real, and read by every tool that must support them."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import shutil
import sys
import tarfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import docker
import pytest

from goldsmith.apt import mirror
from goldsmith.containers import bundler, oci
from goldsmith.containers.bundler import Bundle
from goldsmith.core import files, paths, privilege, proc, runs, wait
from goldsmith.core.runs import Run
from goldsmith.errors import BuildError, CommandError
from goldsmith.host import docker_engine
from goldsmith.spec.model import ContainerSpec, Layers

pytestmark = pytest.mark.integration

NGINX, REDIS, PAUSE = "goldsmith.local/nginx:1.26", "goldsmith.local/redis:8.0", "goldsmith.local/pause:1"
SPECS = tuple(
    ContainerSpec(ref=ref, build=f"containers/{ref.removeprefix('goldsmith.local/').partition(':')[0]}")
    for ref in (PAUSE, NGINX, REDIS)
)
NOWHERE = "unix:///nonexistent/docker.sock"  # whoever asks for an engine is told that there is none


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with runs.run() as made:
        yield made


@pytest.fixture(scope="module")
def log(run: Run) -> Path:
    return run.folder / "build.log"


@pytest.fixture(scope="module", params=list(Layers))
def bundle(request: pytest.FixtureRequest, run: Run, log: Path) -> Bundle:
    return bundler.export(SPECS, layers=request.param, run=run, log_path=log)


@pytest.fixture(scope="module")
def plain(run: Run, log: Path) -> Bundle:
    return bundler.export(SPECS, layers=Layers.uncompressed, run=run, log_path=log)


@pytest.fixture(scope="module")
def client(run: Run, log: Path) -> Iterator[docker.DockerClient]:
    with docker_engine.private(run, log) as made:
        yield made


def digests(bundle: Bundle) -> dict[str, str]:
    found = {name: image.digest for image in bundle.images for name in image.names}
    assert len(found) == len(SPECS)
    return found


def test_docker_loads_the_archive_and_the_ids_are_the_config_digests(
    bundle: Bundle, client: docker.DockerClient
) -> None:
    for image in client.images.list():
        client.images.remove(str(image.id), force=True)
    proc.capture(["docker", "--host", _socket(client), "load", "--input", bundle.path], timeout_s=120)
    assert {ref: client.images.get(ref).id for ref in (PAUSE, NGINX, REDIS)} == {
        image.ref: image.config_digest for image in bundle.images
    }


def _socket(client: docker.DockerClient) -> str:
    adapter = client.api.get_adapter("http+docker://localhost")
    return f"unix://{adapter.socket_path}"  # type: ignore[attr-defined]


def test_nginx_serves_as_an_unprivileged_user_on_a_read_only_root(client: docker.DockerClient) -> None:
    with _running(client, NGINX, "--tmpfs=/tmp") as box:
        assert "200 OK" in box.http("/healthz")
        assert "nginx is running" in box.http("/")
        assert box("exec", "id", "-u") == "33\n"
        assert "GET / HTTP" in box("logs")


def test_redis_answers_as_an_unprivileged_user(client: docker.DockerClient) -> None:
    with _running(client, REDIS) as box:
        assert _patient(lambda: box("exec", "redis-cli", "ping")) == "PONG\n"
        assert box("exec", "redis-cli", "set", "a", "1") == "OK\n"
        assert box("exec", "id", "-u") != "0\n"


def test_pause_runs_until_it_is_stopped(client: docker.DockerClient) -> None:
    assert client.images.get(PAUSE).attrs["Size"] < 2 << 20
    with _running(client, PAUSE) as box:
        assert box("inspect", "--format={{.State.Running}}") == "true\n"
        box("stop")
        assert box("inspect", "--format={{.State.ExitCode}}") != "137\n", "killed: it does not end on TERM"


@contextlib.contextmanager
def _running(client: docker.DockerClient, ref: str, *options: str) -> Iterator[_Box]:
    """Use docker's command line: the Python client leaves sockets of exec open."""
    docker_cli = ("docker", "--host", _socket(client))
    name = proc.capture(
        [*docker_cli, "run", "--detach", "--network=none", "--read-only", *options, ref]
    ).strip()
    try:
        yield _Box(cli=docker_cli, name=name)
    finally:
        proc.capture([*docker_cli, "rm", "--force", name])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Box:
    cli: tuple[str, ...]
    name: str

    def __call__(self, verb: str, *argv: str) -> str:
        options = [arg for arg in argv if verb == "inspect"]
        return proc.capture([*self.cli, verb, *options, self.name, *argv[len(options) :]])

    def http(self, path: str) -> str:
        script = f"exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3"
        return _patient(lambda: self("exec", "bash", "-c", script))


def _patient(ask: Callable[[], str]) -> str:
    def probe() -> str:
        with contextlib.suppress(CommandError):
            return ask()
        return ""

    return wait.wait_until(probe, timeout_s=30)


def test_containerd_imports_it_with_the_digests_of_the_lock(bundle: Bundle, tmp_path: Path) -> None:
    address = tmp_path / "c.sock"
    config = tmp_path / "config.toml"
    config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
    argv: list[proc.Arg] = ["containerd", "--config", config, "--root", tmp_path / "root",
                            "--state", tmp_path / "state", "--address", address]  # fmt: skip
    ctr: list[proc.Arg] = ["ctr", "--address", address, "--namespace", "k8s.io"]
    with proc.background(privilege.as_root(argv), log_path=tmp_path / "log") as process:
        wait.wait_until(address.exists, timeout_s=30, alive=lambda: process.poll() is None)
        proc.capture(privilege.as_root([*ctr, "images", "import", "--no-unpack", bundle.path]), timeout_s=120)
        rows = proc.capture(privilege.as_root([*ctr, "images", "list"])).splitlines()[1:]
        proc.capture(privilege.as_root([*ctr, "images", "check"]))
    assert {row.split()[0]: row.split()[2] for row in rows} == digests(bundle)


def test_podman_loads_it(plain: Bundle, run: Run, tmp_path: Path) -> None:
    short = run.folder / "p"  # podman takes no more than 50 characters
    podman = privilege.as_root(["podman", "--root", tmp_path, "--runroot", short])
    proc.capture([*podman, "load", "--quiet", "--input", plain.path], timeout_s=200)
    rows = json.loads(proc.capture([*podman, "images", "--format", "json", "--no-trunc"]))
    assert {f"sha256:{row['Id']}" for row in rows} == {image.config_digest for image in plain.images}


def test_podman_pulls_from_it_with_the_digest_of_the_lock(plain: Bundle, run: Run, tmp_path: Path) -> None:
    podman = privilege.as_root(["podman", "--root", tmp_path, "--runroot", run.folder / "q"])
    proc.capture([*podman, "pull", "--quiet", f"oci-archive:{plain.path}:{PAUSE}"], timeout_s=200)
    (row,) = json.loads(proc.capture([*podman, "images", "--format", "json", "--no-trunc"]))
    assert row["Digest"] == digests(plain)[PAUSE]


def test_skopeo_reads_it_with_the_digests_of_the_lock(bundle: Bundle) -> None:
    for name, digest in digests(bundle).items():
        raw = proc.capture(["skopeo", "inspect", "--raw", f"oci-archive:{bundle.path}:{name}"])
        assert oci.sha256(raw.encode()) == digest


def test_nothing_of_the_build_host_is_in_the_images(plain: Bundle) -> None:
    mirrors = mirror.find()
    hosts = {urlsplit(url).hostname for url in (mirrors.debian, mirrors.security)}
    assert None not in hosts
    needles = [re.escape(str(host)).encode() for host in hosts] + [
        rb"ftp_proxy=",
        rb"127\.0\.0\.1:\d+/debian",
    ]
    names, found = _scan(plain, re.compile(b"|".join(needles)))
    assert len(names) > 1000
    assert not found
    bad = r"^(\./)?(var/lib/apt/lists/.*_|var/cache/apt/.*\.(deb|bin)$|etc/apt/sources|usr/sbin/policy-rc\.d)"
    assert not [name for name in names if re.match(bad, name) and not name.endswith("/")]


ORDINARY = """\
# syntax=docker/dockerfile:1
ARG BASE=goldsmith.local/base TAG=13
FROM --platform=$BUILDPLATFORM ${BASE}:${TAG} AS build
ARG TARGETARCH
RUN --mount=type=cache,target=/var/cache/apt <<EOF
set -e
apt-get update
apt-get install -y --no-install-recommends catatonit passwd
useradd --create-home joe
echo "for ${TARGETARCH}" > /arch
EOF
FROM goldsmith.local/base:13
RUN apt update && apt install -y catatonit && rm -rf /var/lib/apt/lists/*
COPY --link --from=build --chown=33:33 /arch /usr/bin/catatonit /opt/
COPY --from=build /etc /from-build
"""


def test_the_ordinary_words_of_a_dockerfile_give_the_same_image_in_two_engines(
    plain: Bundle, run: Run, log: Path, tmp_path: Path
) -> None:
    shutil.copytree(paths.project_root() / "containers", tmp_path / "containers")
    (tmp_path / "app").mkdir()
    (tmp_path / "app/Dockerfile").write_text(f"{ORDINARY}LABEL once={uuid.uuid4()}\n")
    spec = ContainerSpec(ref="example.test/app:1", build="app")
    images = paths.cache_root() / "container"
    before = {path for path in images.iterdir() if path.is_dir()}

    one = bundler.export([spec], layers=Layers.uncompressed, run=run, log_path=log, root=tmp_path)
    (made,) = {path for path in images.iterdir() if path.is_dir()} - before
    shutil.rmtree(made)
    other = bundler.export([spec], layers=Layers.uncompressed, run=run, log_path=log, root=tmp_path)

    assert made.exists(), "it was not built again"
    assert one.images == other.images
    names, found = _scan(one, re.compile(rb"127\.0\.0\.1:\d+"))
    assert {"opt/arch", "opt/catatonit", "usr/bin/catatonit", "from-build/passwd"} <= set(names)
    assert not found
    assert not [name for name in names if "goldsmith-build" in name]
    assert not [name for name in names if re.match(r"var/lib/apt/lists/(?!\.wh\.).*[^/]$", name)]


def _scan(bundle: Bundle, pattern: re.Pattern[bytes]) -> tuple[list[str], list[str]]:
    names, found = [], []
    with tarfile.open(bundle.path) as archive:
        for blob in archive:
            data = archive.extractfile(blob)
            if data is None:
                continue
            if blob.size < 100_000 and pattern.search(data.read()):
                found.append(blob.name)
            data.seek(0)
            if blob.name.startswith("blobs/") and blob.size > 100_000:
                with tarfile.open(fileobj=data) as layer:
                    for entry in layer:
                        names.append(entry.name + "/" * entry.isdir())
                        content = layer.extractfile(entry) if entry.isreg() else None
                        # Debian's programs name its mirrors too
                        if content and entry.name.lstrip("./").startswith(("etc/", "var/", "root/", "tmp/")):
                            found += [entry.name] if pattern.search(content.read()) else []
    return names, found


def test_an_unchanged_spec_needs_no_engine_and_writes_nothing(
    plain: Bundle, run: Run, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    again = bundler.export(SPECS, layers=Layers.uncompressed, run=run, log_path=log)
    assert again.reused
    assert (again.sha256, again.images) == (plain.sha256, plain.images)


def test_a_rewritten_bundle_has_the_same_bytes(
    plain: Bundle, run: Run, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    shutil.rmtree(plain.path.parent)
    again = bundler.export(SPECS, layers=Layers.uncompressed, run=run, log_path=log)
    assert not again.reused
    assert again.sha256 == plain.sha256 == files.sha256_of(again.path)


def test_a_change_of_one_container_leaves_the_others_unchanged(
    plain: Bundle, run: Run, log: Path, tmp_path: Path
) -> None:
    shutil.copytree(paths.project_root() / "containers", tmp_path / "containers")
    (tmp_path / "containers/nginx/index.html").write_text("changed\n")
    changed = bundler.export(SPECS, layers=Layers.uncompressed, run=run, log_path=log, root=tmp_path)
    before, after = ({image.ref: image for image in bundle.images} for bundle in (plain, changed))
    assert before[NGINX].digest != after[NGINX].digest
    assert before[NGINX].layers[0] == after[NGINX].layers[0]
    assert (before[PAUSE], before[REDIS]) == (after[PAUSE], after[REDIS])


def test_a_broken_dockerfile_fails_with_its_last_lines(run: Run, log: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/Dockerfile").write_text("FROM goldsmith.local/base:13\nRUN echo it-broke-here; false\n")
    shutil.copytree(paths.project_root() / "containers", tmp_path / "containers")
    spec = ContainerSpec(ref="example.test/bad:1", build="bad")
    with pytest.raises(BuildError, match="it-broke-here"):
        bundler.export([spec], layers=Layers.gzip, run=run, log_path=log, root=tmp_path)


def test_images_of_the_engine_are_exported_in_constant_memory(
    plain: Bundle, client: docker.DockerClient, tmp_path: Path
) -> None:
    with plain.path.open("rb") as source:
        client.images.load(source)
    script = (
        "import docker, sys, pathlib; from goldsmith.containers import bundler;"
        "client = docker.DockerClient(base_url=sys.argv[1]); spool = pathlib.Path(sys.argv[2]);"
        "print(bundler.archive_engine_images(client, sys.argv[4:], pathlib.Path(sys.argv[3]), spool))"
    )
    (tmp_path / "spool").mkdir()
    argv: list[proc.Arg] = [
        sys.executable,
        "-c",
        script,
        _socket(client),
        tmp_path / "spool",
        tmp_path / "out.tar",
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    proc.capture([*argv, PAUSE, NGINX, REDIS], cwd=paths.project_root())
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak_kib < 100 * 1024 or peak_kib == before
    saved = tmp_path / "saved.tar"
    proc.capture(["docker", "--host", _socket(client), "save", "--output", saved, PAUSE, NGINX, REDIS])
    assert (tmp_path / "out.tar").stat().st_size <= saved.stat().st_size
    assert _blob_names(tmp_path / "out.tar") == _blob_names(plain.path)


def _blob_names(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        return archive.getnames()
