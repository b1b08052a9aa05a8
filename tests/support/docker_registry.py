# SPDX-License-Identifier: Apache-2.0
"""Debian's docker-registry on a loopback port, with a login, and small images in it."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from goldsmith.containers import oci
from goldsmith.core import proc, wait

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


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Registry]:
    """A registry with its files in folder, until the block ends."""
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


def push(registry: Registry, layer: bytes, architecture: str = "amd64") -> Pushed:
    """Upload an image with this layer, in three forms."""
    diff_id = registry.put("team/app", "blobs", layer, "")
    config = oci.canonical(
        {
            "architecture": architecture,
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
