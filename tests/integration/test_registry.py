# SPDX-License-Identifier: Apache-2.0
"""Images from a registry with a login: Debian's docker-registry on a loopback port."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import tarfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from goldsmith import containers, oci, proc, wait, workspace
from goldsmith.containers import Bundle
from goldsmith.errors import BuildError, GoldsmithError
from goldsmith.policy import Policy, Rule
from goldsmith.spec import ContainerSpec, Layers
from goldsmith.workspace import Run

pytestmark = pytest.mark.integration

USER, PASSWORD = "builder", "a 'quoted' pass:word"
CONFIG = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: "{root}"}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: test, path: "{passwords}"}}}}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Registry:
    host: str
    root: Path
    auth: str

    def put(self, name: str, what: str, data: bytes, media_type: str) -> str:
        """Upload a blob (what: blobs) or a manifest under a tag (what: manifests/TAG); its digest."""
        digest = oci.sha256(data)
        if what == "blobs":
            start = self._call("POST", f"{name}/blobs/uploads/", b"", "application/octet-stream")
            mark = "&" if "?" in start else "?"
            self._call("PUT", f"{start}{mark}digest={digest}", data, "application/octet-stream")
        else:
            self._call("PUT", f"{name}/{what}", data, media_type)
        return digest

    def _call(self, method: str, path: str, data: bytes, media_type: str) -> str:
        url = path if path.startswith("http://") else f"http://{self.host}/v2/{path}"
        request = urllib.request.Request(url, data=data, method=method)  # noqa: S310 - our own, on loopback
        request.add_header("Authorization", f"Basic {self.auth}")
        request.add_header("Content-Type", media_type)
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return str(answer.headers.get("Location") or "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """Digests of one small image: as OCI, as docker schema 2, and of an index over two architectures."""

    oci: str
    docker: str
    index: str
    layer: str


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be known from earlier tests; the login is one of this test."""
    monkeypatch.setenv("GOLDSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    line = proc.capture(["htpasswd", "-niB", USER], stdin=PASSWORD.encode())
    (folder / "passwords").write_text(line)
    config = CONFIG.format(root=folder / "store", port=port, passwords=folder / "passwords")
    (folder / "config.yml").write_text(config)

    def answers() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    argv: list[proc.Arg] = ["docker-registry", "serve", folder / "config.yml"]
    with proc.background(argv, log_path=folder / "log") as process:
        wait.wait_until(answers, timeout_s=20, alive=lambda: process.poll() is None)
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        yield Registry(host=f"127.0.0.1:{port}", root=folder / "store", auth=auth)


@pytest.fixture(scope="module")
def pushed(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Pushed:
    folder = tmp_path_factory.mktemp("layer")
    (folder / "hello").write_text("hello\n")
    with tarfile.open(folder / "layer.tar", "w") as archive:
        archive.add(folder / "hello", "hello")
    layer = (folder / "layer.tar").read_bytes()
    return _push(registry, layer)


def _push(registry: Registry, layer: bytes) -> Pushed:
    diff_id = registry.put("team/app", "blobs", layer, "")
    config = oci.canonical(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
    )
    config_digest = registry.put("team/app", "blobs", config, "")
    parts = [
        oci.Layer(digest=d, size=n, diff_id=d)
        for d, n in ((config_digest, len(config)), (diff_id, len(layer)))
    ]
    manifest = oci.manifest_of(parts[0], parts[1:])
    types = {
        oci.OCI_MANIFEST: oci.DOCKER_MANIFEST,
        oci.OCI_CONFIG: "application/vnd.docker.container.image.v1+json",
        oci.OCI_LAYER: "application/vnd.docker.image.rootfs.diff.tar",
    }
    docker = json.loads(
        manifest, object_hook=lambda x: {k: types.get(v, v) if k == "mediaType" else v for k, v in x.items()}
    )
    docker_bytes = json.dumps(docker, indent=3).encode()
    oci_digest = registry.put("team/app", "manifests/oci", manifest, oci.OCI_MANIFEST)
    docker_digest = registry.put("team/app", "manifests/docker", docker_bytes, oci.DOCKER_MANIFEST)
    entry = {"mediaType": oci.OCI_MANIFEST, "digest": oci_digest, "size": len(manifest)}
    other = {"mediaType": oci.DOCKER_MANIFEST, "digest": docker_digest, "size": len(docker_bytes)}
    index = oci.canonical(
        {
            "schemaVersion": 2,
            "mediaType": oci.OCI_INDEX,
            "manifests": [
                {**other, "platform": {"os": "linux", "architecture": "arm64"}},
                {**entry, "platform": {"os": "linux", "architecture": "amd64"}},
            ],
        }
    )
    index_digest = registry.put("team/app", "manifests/1.0", index, oci.OCI_INDEX)
    return Pushed(oci=oci_digest, docker=docker_digest, index=index_digest, layer=diff_id)


def log_in(registry: Registry, tmp_path: Path, auth: str | None = None) -> None:
    (tmp_path / "docker").mkdir()
    stored = {"auths": {registry.host: {"auth": auth or registry.auth}}}
    (tmp_path / "docker/config.json").write_text(json.dumps(stored))


def export(
    registry: Registry, digest: str, run: Run, tmp_path: Path, tag: str = "", policy: Policy | None = None
) -> Bundle:
    spec = ContainerSpec(ref="example.test/app:1", registry=f"{registry.host}/team/app{tag}@{digest}")
    rules = policy or Policy(rules=(Rule(prefix=registry.host, accepted="a test"),))
    return containers.export([spec], layers=Layers.gzip, run=run, log_path=tmp_path / "log", policy=rules)


@pytest.fixture
def run() -> Iterator[Run]:
    with workspace.run() as made:
        yield made


def test_by_platform_digest_the_manifest_stays_what_it_is(
    registry: Registry, pushed: Pushed, run: Run, tmp_path: Path
) -> None:
    log_in(registry, tmp_path)
    bundle = export(registry, pushed.oci, run, tmp_path)
    (image,) = bundle.images
    assert (image.digest, image.index_digest, image.source) == (pushed.oci, None, "registry")
    raw = proc.capture(["skopeo", "inspect", "--raw", f"oci-archive:{bundle.path}:example.test/app:1"])
    assert oci.sha256(raw.encode()) == pushed.oci


def test_by_index_digest_both_digests_name_the_image_of_this_platform(
    registry: Registry, pushed: Pushed, run: Run, tmp_path: Path
) -> None:
    log_in(registry, tmp_path)
    (image,) = export(registry, pushed.index, run, tmp_path, tag=":1.0").images
    assert (image.digest, image.index_digest) == (pushed.oci, pushed.index)
    pinned = {f"{base}@{digest}" for base in ("example.test/app", f"{registry.host}/team/app")
              for digest in (pushed.oci, pushed.index)}  # fmt: skip
    assert set(image.names) == {"example.test/app:1", *pinned}


def test_docker_schema_2_stays_docker_schema_2(
    registry: Registry, pushed: Pushed, run: Run, tmp_path: Path
) -> None:
    log_in(registry, tmp_path)
    bundle = export(registry, pushed.docker, run, tmp_path)
    (image,) = bundle.images
    assert (image.digest, image.media_type) == (pushed.docker, oci.DOCKER_MANIFEST)
    with tarfile.open(bundle.path) as archive:
        blob = archive.extractfile(f"blobs/{pushed.docker.replace(':', '/')}")
        assert blob is not None
        assert f"sha256:{hashlib.sha256(blob.read()).hexdigest()}" == pushed.docker


def test_what_is_cached_needs_no_registry(
    registry: Registry, pushed: Pushed, run: Run, tmp_path: Path
) -> None:
    log_in(registry, tmp_path)
    export(registry, pushed.index, run, tmp_path)
    (tmp_path / "docker/config.json").unlink()
    assert export(registry, pushed.index, run, tmp_path).reused


def test_a_wrong_password_is_refused_and_not_shown(
    registry: Registry, pushed: Pushed, run: Run, tmp_path: Path
) -> None:
    wrong = base64.b64encode(b"builder:wrong-password").decode()
    log_in(registry, tmp_path, wrong)
    error = _refused(registry, pushed.oci, run, tmp_path)
    assert error.hint == f"run: docker login {registry.host}"
    assert wrong not in str(error)


def test_without_a_login_it_is_refused(registry: Registry, pushed: Pushed, run: Run, tmp_path: Path) -> None:
    assert "docker login" in str(_refused(registry, pushed.oci, run, tmp_path).hint)


def test_an_unknown_digest_is_said(registry: Registry, pushed: Pushed, run: Run, tmp_path: Path) -> None:
    log_in(registry, tmp_path)
    assert "has no image" in str(_refused(registry, f"sha256:{'0' * 64}", run, tmp_path))


def test_a_tampered_layer_is_refused(registry: Registry, run: Run, tmp_path: Path) -> None:
    own = _push(registry, b"\0" * 10240)
    log_in(registry, tmp_path)
    stored = registry.root / f"docker/registry/v2/blobs/sha256/{own.layer[7:9]}/{own.layer[7:]}/data"
    stored.write_bytes(b"\1" * 10240)
    error = _refused(registry, own.oci, run, tmp_path)
    assert "something else" in str(error) or "was asked for" in str(error)


def _refused(registry: Registry, digest: str, run: Run, tmp_path: Path) -> GoldsmithError:
    with pytest.raises(BuildError) as e:
        export(registry, digest, run, tmp_path)
    assert e.value.exit_code == 4
    return e.value
