# SPDX-License-Identifier: Apache-2.0
"""A spec with signed builds, and clouds in memory that it is published to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from goldsmith.core import files
from goldsmith.errors import PublishError
from goldsmith.provenance import attestation
from goldsmith.publish import publisher
from goldsmith.publish.operations.asking import Question
from goldsmith.publish.publisher import Options, Publisher
from tests.support import samples
from tests.support.fake_glance import FakeGlance

FIRST, SECOND = "20260301T120000Z-abcdefa", "20260302T120000Z-abcdefb"
SPEC = """name: mine
distribution: debian
release: trixie
containers: []
publish: {alias: golden, accept-unsigned: a test, keep: 2}
"""


@dataclass(kw_only=True)
class Site:
    """A spec, builds of it and two clouds: prod answers, and edge too unless it is away."""

    root: Path
    clouds: dict[str, FakeGlance]
    away: set[str] = field(default_factory=set)
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def spec(self) -> Path:
        return self.root / "mine.yaml.j2"

    @property
    def out(self) -> Path:
        return self.root / "out"

    def glance(self, cloud: str) -> FakeGlance:
        """In place of publish.glance.Glance."""
        if cloud in self.away:
            raise PublishError(f"cannot use the cloud {cloud}: no answer", retryable=True)
        return self.clouds[cloud]

    def public_key(self, key: Ed25519PrivateKey | None = None) -> Path:
        """A PEM file with our public key, or another one's."""
        path = self.root / f"{'other' if key else 'ours'}.pub"
        public = (key or self.key).public_key()
        path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return path

    def build(self, build: str, *packages: tuple[str, str], signed: bool = True, **changes: Any) -> Path:
        """A verified build with these packages of Debian, and a bill of them."""
        folder = self.out / "mine" / build
        folder.mkdir(parents=True)
        (folder / "mine-amd64.qcow2").write_bytes(samples.DISK)
        listed = [
            {"name": name, "version": version, "architecture": "amd64", "sha256": "b" * 64, "suite": "trixie"}
            for name, version in packages or [("bash", "5.2")]
        ]
        (folder / "packages.json").write_bytes(files.json_bytes(samples.packages(*listed)))
        (folder / "sbom.cdx.json").write_text(json.dumps(bill(*packages)))
        (folder / "spec.yaml").write_text(f"dib-env: {{DIB_X: '{build}'}}\n")
        hashes = {path.name: files.sha256_of(path) for path in folder.iterdir() if path.suffix != ".qcow2"}
        manifest = samples.manifest(build_id=build, files=hashes, spec_sha256=samples.sha(build.encode()))
        (folder / "manifest.json").write_bytes(files.json_bytes({**manifest, **changes}))
        if signed:
            attestation.sign(folder, self.key, builder="urn:builder")
        return folder

    def publish(self, build: str, *clouds: str) -> None:
        publisher.require(self.publisher(*clouds, build=build).publish())

    def rollback(self, *clouds: str) -> None:
        publisher.require(self.publisher(*clouds).rollback(""))

    def publisher(self, *clouds: str, name: str = "", build: str = "", out: str = "out") -> Publisher:
        options = Options(out=self.root / out, clouds=clouds or ("prod",), build=build)
        return Publisher(name or str(self.spec), options)

    def question(self, *clouds: str, name: str = "golden") -> Question:
        """From a machine without builds; by the alias unless a spec is named."""
        return Question(name=name, out=self.root / "no builds", variables={}, clouds=clouds or ("prod",))


def bill(*packages: tuple[str, str]) -> dict[str, Any]:
    """A bill of materials of packages of Debian 13."""
    return {
        "bomFormat": "CycloneDX",
        "components": [
            {"type": "library", "bom-ref": f"host/deb/{name}", "name": name, "version": version,
             "purl": f"pkg:deb/debian/{name}@{version}?arch=amd64&distro=debian-13"}
            for name, version in packages
        ],
    }  # fmt: skip
