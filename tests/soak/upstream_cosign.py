# SPDX-License-Identifier: Apache-2.0
"""cosign verifies what we sign, and we accept what cosign signs."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from goldsmith.containers.policy import Rule
from goldsmith.containers.signing import signatures
from goldsmith.containers.skopeo import Skopeo
from goldsmith.core import proc, runs
from goldsmith.errors import CommandError, ProvenanceError
from goldsmith.provenance import attestation
from tests.support import docker_registry, samples
from tests.support.docker_registry import Registry

_KEYS: Mapping[str, Callable[[], PrivateKeyTypes]] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
}
_NO_LOG = {"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}  # neither log nor time stamps


def trial(cosign: Path, folder: Path) -> dict[str, Any]:
    """Both directions, with keys that go with folder; which checks passed."""
    checks = [*_ours(cosign, folder), *_theirs(cosign, folder)]
    return {
        "version": _version(proc.capture([cosign, "version", "--json"])),
        "passed": [name for name, said in checks if not said],
        "problems": [f"{name}: {said}" for name, said in checks if said],
    }


def _version(printed: str) -> str:
    return str(json.loads(printed)["gitVersion"])


def _ours(cosign: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Statements of releases: what cosign says, and empty where that is right."""
    for name, make in _KEYS.items():
        build = samples.build(folder / name / samples.BUILD_ID)
        private: PrivateKeyTypes = make()
        attestation.sign(build, private, builder="https://ci.example.test/soak")
        key = folder / f"{name}.pub"
        key.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        for file in ("mine-amd64.qcow2", "manifest.json", "packages.json"):
            yield f"{name}: {file}", _said(*_verify(cosign, build, key, file))
        (build / "packages.json").write_text("another file")
        yield f"{name}: another file", _refused(*_verify(cosign, build, key, "packages.json"))
    strange = _verify(cosign, build, folder / "ed25519.pub", "manifest.json")
    yield "another key", _refused(*strange)


def _verify(cosign: Path, build: Path, key: Path, file: str) -> tuple[proc.Arg, ...]:
    """As docs/provenance.md has it."""
    return (
        cosign, "verify-blob-attestation", "--key", key, "--bundle", build / attestation.BUNDLE,
        "--type", "slsaprovenance1", "--insecure-ignore-tlog", build / file,
    )  # fmt: skip


def _theirs(cosign: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Signatures of images in a registry, of cosign 3 and in the form of cosign 2."""
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(runs.run())
        registry = stack.enter_context(docker_registry.serving(_made(folder / "registry")))
        stack.enter_context(_logged_in(registry, folder))
        env = proc.environment({"COSIGN_PASSWORD": ""})
        for name in ("team", "other"):
            proc.capture([cosign, "generate-key-pair", "--output-key-prefix", name], env=env, cwd=folder)
        for form in ("bundle", "cosign 2"):
            index = docker_registry.push(registry, f"{form}\n".encode() * 100).index
            source = Skopeo(name=f"{registry.host}/team/app", run=run, log_path=folder / "log")
            unsigned = _not_allowed(source, index, folder / "team.pub", "it has no signature")
            yield f"unsigned image, before {form}", unsigned
            proc.capture(_sign(cosign, folder, form, f"{source.name}@{index}"), env=env)
            yield f"image signed as {form}", _allowed(source, index, folder / "team.pub")
            strange = _not_allowed(source, index, folder / "other.pub", "by another key")
            yield f"another key than of {form}", strange


def _sign(cosign: Path, folder: Path, form: str, image: str) -> tuple[proc.Arg, ...]:
    config = folder / "signing-config.json"
    config.write_text(json.dumps(_NO_LOG))
    how: tuple[proc.Arg, ...] = ("--signing-config", config)
    if form != "bundle":
        how = ("--new-bundle-format=false", "--tlog-upload=false", "--use-signing-config=false")
    return (cosign, "sign", "--yes", "--key", folder / "team.key", "--allow-http-registry", *how, image)


@contextlib.contextmanager
def _logged_in(registry: Registry, folder: Path) -> Iterator[None]:
    """For cosign and for us: a login for the registry; and a cache that holds no earlier answer."""
    config = _made(folder / "docker") / "config.json"
    config.write_text(json.dumps({"auths": {registry.host: {"auth": registry.auth}}}))
    ours = {"DOCKER_CONFIG": str(config.parent), "GOLDSMITH_CACHE": str(folder / "cache")}
    with mock.patch.dict(os.environ, ours):
        yield


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _said(*argv: proc.Arg) -> str:
    """The error of a program; empty where it succeeds."""
    try:
        proc.capture(argv)
    except CommandError as e:
        return str(e)
    return ""


def _refused(*argv: proc.Arg) -> str:
    return "" if _said(*argv) else "was accepted"


def _allowed(source: Skopeo, digest: str, key: Path) -> str:
    rule = Rule(prefix=source.name, sigstore_key=key)
    try:
        signatures.require_of_reference(source, digest, rule)
    except ProvenanceError as e:
        return str(e)
    return ""


def _not_allowed(source: Skopeo, digest: str, key: Path, why: str) -> str:
    said = _allowed(source, digest, key) or "was accepted"
    return "" if why in said else said
