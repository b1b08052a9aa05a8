# SPDX-License-Identifier: Apache-2.0
"""Images from a registry with a login: Debian's docker-registry on a loopback port."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from goldsmith.containers import bundler, oci
from goldsmith.containers.bundler import Bundle
from goldsmith.containers.policy import Policy, Rule
from goldsmith.containers.signing import cosign, referrers
from goldsmith.core import proc, runs
from goldsmith.core.runs import Run
from goldsmith.errors import BuildError, GoldsmithError, ProvenanceError
from goldsmith.provenance import spec_lock
from goldsmith.spec.model import ContainerSpec, Distribution, ImageSpec, Layers
from tests.support import cosign_3, docker_registry, sigstore_ca
from tests.support.docker_registry import Pushed, Registry
from tests.support.gnupg import gpg_home
from tests.support.sigstore_ca import Sigstore

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and a login that belongs to this test alone."""
    monkeypatch.setenv("GOLDSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with docker_registry.serving(tmp_path_factory.mktemp("registry")) as served:
        yield served


@pytest.fixture(scope="module")
def pushed(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Pushed:
    folder = tmp_path_factory.mktemp("layer")
    (folder / "hello").write_text("hello\n")
    with tarfile.open(folder / "layer.tar", "w") as archive:
        archive.add(folder / "hello", "hello")
    layer = (folder / "layer.tar").read_bytes()
    return docker_registry.push(registry, layer)


def log_in(registry: Registry, tmp_path: Path, auth: str | None = None) -> None:
    (tmp_path / "docker").mkdir()
    stored = {"auths": {registry.host: {"auth": auth or registry.auth}}}
    (tmp_path / "docker/config.json").write_text(json.dumps(stored))


def export(
    registry: Registry, digest: str, run: Run, tmp_path: Path, tag: str = "", policy: Policy | None = None
) -> Bundle:
    spec = ContainerSpec(ref="example.test/app:1", registry=f"{registry.host}/team/app{tag}@{digest}")
    rules = policy or Policy(rules=(Rule(prefix=registry.host, accepted="a test"),))
    return bundler.export([spec], layers=Layers.gzip, run=run, log_path=tmp_path / "log", policy=rules)


@pytest.fixture
def run() -> Iterator[Run]:
    with runs.run() as made:
        yield made


def test_an_image_pinned_by_its_own_digest_keeps_its_manifest(
    registry: Registry, pushed: Pushed, run: Run, tmp_path: Path
) -> None:
    log_in(registry, tmp_path)
    bundle = export(registry, pushed.oci, run, tmp_path)
    (image,) = bundle.images
    assert (image.digest, image.index_digest, image.source) == (pushed.oci, None, "registry")
    raw = proc.capture(["skopeo", "inspect", "--raw", f"oci-archive:{bundle.path}:example.test/app:1"])
    assert oci.sha256(raw.encode()) == pushed.oci


def test_an_image_pinned_by_its_index_has_names_with_both_digests(
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


def test_a_cached_image_needs_no_registry(
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


def test_an_unknown_digest_is_reported(registry: Registry, pushed: Pushed, run: Run, tmp_path: Path) -> None:
    log_in(registry, tmp_path)
    assert "has no image" in str(_refused(registry, f"sha256:{'0' * 64}", run, tmp_path))


def test_a_tampered_layer_is_refused(registry: Registry, run: Run, tmp_path: Path) -> None:
    own = docker_registry.push(registry, b"\0" * 10240)
    log_in(registry, tmp_path)
    stored = registry.root / f"docker/registry/v2/blobs/sha256/{own.layer[7:9]}/{own.layer[7:]}/data"
    stored.write_bytes(b"\1" * 10240)
    error = _refused(registry, own.oci, run, tmp_path)
    assert "other content" in str(error) or "expected sha256" in str(error)


def _refused(registry: Registry, digest: str, run: Run, tmp_path: Path) -> GoldsmithError:
    with pytest.raises(BuildError) as e:
        export(registry, digest, run, tmp_path)
    assert e.value.exit_code == 4
    return e.value


def test_an_image_of_another_architecture_is_refused(registry: Registry, run: Run, tmp_path: Path) -> None:
    log_in(registry, tmp_path)
    foreign = docker_registry.push(registry, b"\2" * 10240, architecture="arm64")
    error = _refused(registry, foreign.oci, run, tmp_path)
    assert "is an image for arm64, not for amd64" in str(error)


def test_a_tag_that_moved_is_found(
    registry: Registry, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_in(registry, tmp_path)
    first = docker_registry.push(registry, b"\3" * 10240)
    name = f"{registry.host}/team/app"
    spec = ImageSpec(
        name="tags", distribution=Distribution.debian, release="trixie",
        containers=tuple(
            ContainerSpec(ref=f"example.test/app:{n}", registry=f"{name}{tag}@{first.index}")
            for n, tag in enumerate((":1.0", ":oci", ""))
        ),
    )  # fmt: skip
    by_image = ContainerSpec(ref="example.test/app:9", registry=f"{name}:1.0@{first.oci}")
    unknown = ContainerSpec(ref="example.test/app:8", registry=f"{name}:gone@{first.oci}")
    assert list(spec_lock.find(dataclasses.replace(spec, containers=(by_image, unknown)), run)) == []
    assert f"cannot check the tag {name}:gone" in capsys.readouterr().err
    before = {move.what for move in spec_lock.find(spec, run)}
    second = docker_registry.push(registry, b"\4" * 10240)

    moved = {(move.what, move.locked, move.found) for move in spec_lock.find(spec, run)}

    assert before == {f"{name}:oci"}
    assert moved == {
        (f"{name}:1.0", first.index, second.index),
        (f"{name}:oci", first.index, second.oci),
    }


# Images that the policy allows


@dataclass(frozen=True, kw_only=True, slots=True)
class Signer:
    """Signs with a key and stores the signature like cosign."""

    registry: Registry
    private: ec.EllipticCurvePrivateKey

    def sign(self, digest: str, *, about: str = "team/app", put_for: str = "") -> None:
        """about: the repository that is signed; put_for: beside which image, where it is not this one."""
        said = {
            "identity": {"docker-reference": f"{self.registry.host}/{about}"},
            "image": {"docker-manifest-digest": digest}, "type": "cosign container image signature",
        }  # fmt: skip
        payload = json.dumps({"critical": said, "optional": None}).encode()
        signature = base64.b64encode(self.private.sign(payload, ec.ECDSA(hashes.SHA256()))).decode()
        config = self.registry.put("team/app", "blobs", b"{}", "")
        layer = {
            "mediaType": cosign.KIND, "size": len(payload),
            "digest": self.registry.put("team/app", "blobs", payload, ""),
            "annotations": {"dev.cosignproject.cosign/signature": signature},
        }  # fmt: skip
        manifest = {
            "schemaVersion": 2, "mediaType": oci.OCI_MANIFEST, "layers": [layer],
            "config": {"mediaType": oci.OCI_CONFIG, "digest": config, "size": 2},
        }  # fmt: skip
        place = f"manifests/{cosign.tag(put_for or digest)}"
        self.registry.put("team/app", place, oci.canonical(manifest), oci.OCI_MANIFEST)

    def policy(self, folder: Path) -> Policy:
        path = folder / "team.pub"
        public = self.private.public_key()
        path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return Policy(rules=(Rule(prefix=f"{self.registry.host}/team", sigstore_key=path),))


@pytest.fixture
def signer(registry: Registry, tmp_path: Path) -> Signer:
    log_in(registry, tmp_path)
    return Signer(registry=registry, private=ec.generate_private_key(ec.SECP256R1()))


def fresh(registry: Registry) -> Pushed:
    """An unsigned image."""
    return docker_registry.push(registry, os.urandom(512))


@pytest.mark.parametrize("pinned", ["index", "oci"])
def test_a_signed_image_is_allowed(
    registry: Registry, signer: Signer, run: Run, tmp_path: Path, pinned: str
) -> None:
    pushed = fresh(registry)
    signer.sign(getattr(pushed, pinned))

    bundle = export(registry, getattr(pushed, pinned), run, tmp_path, policy=signer.policy(tmp_path))

    assert bundle.images[0].digest == pushed.oci


def test_an_unsigned_image_is_refused(registry: Registry, signer: Signer, run: Run, tmp_path: Path) -> None:
    pushed = fresh(registry)

    with pytest.raises(
        ProvenanceError, match=r"it has no signature(?s:.*)answers the referrers API with HTTP 404"
    ):
        export(registry, pushed.index, run, tmp_path, policy=signer.policy(tmp_path))


def test_a_signature_of_the_platforms_image_does_not_cover_the_index(
    registry: Registry, signer: Signer, run: Run, tmp_path: Path
) -> None:
    pushed = fresh(registry)
    signer.sign(pushed.oci)

    with pytest.raises(ProvenanceError, match="it has no signature"):
        export(registry, pushed.index, run, tmp_path, policy=signer.policy(tmp_path))


def test_an_image_signed_by_another_key_is_refused(
    registry: Registry, signer: Signer, run: Run, tmp_path: Path
) -> None:
    pushed = fresh(registry)
    Signer(registry=registry, private=ec.generate_private_key(ec.SECP256R1())).sign(pushed.index)

    with pytest.raises(ProvenanceError, match="by another key"):
        export(registry, pushed.index, run, tmp_path, policy=signer.policy(tmp_path))


def test_a_signature_for_another_repository_is_refused(
    registry: Registry, signer: Signer, run: Run, tmp_path: Path
) -> None:
    """The image was signed in another repository, and copied to a name for which it was not signed."""
    pushed = fresh(registry)
    signer.sign(pushed.index, about="team/other")

    with pytest.raises(ProvenanceError, match=r"is for .*team/other"):
        export(registry, pushed.index, run, tmp_path, policy=signer.policy(tmp_path))


def test_a_signature_does_not_cover_an_image_that_replaced_the_signed_one(
    registry: Registry, signer: Signer, run: Run, tmp_path: Path
) -> None:
    good, bad = fresh(registry), fresh(registry)
    signer.sign(good.index, put_for=bad.index)

    with pytest.raises(ProvenanceError, match=f"is for {good.index}"):
        export(registry, bad.index, run, tmp_path, policy=signer.policy(tmp_path))


def test_a_manifest_that_was_exchanged_in_transit_is_refused(
    registry: Registry, signer: Signer, run: Run, tmp_path: Path
) -> None:
    pushed = fresh(registry)
    signer.sign(pushed.index)
    policy = signer.policy(tmp_path)
    stored = registry.root / f"docker/registry/v2/blobs/sha256/{pushed.index[7:9]}/{pushed.index[7:]}/data"
    stored.write_bytes(stored.read_bytes() + b" ")

    with pytest.raises(BuildError):
        export(registry, pushed.index, run, tmp_path, policy=policy)


def test_an_image_cached_under_one_policy_is_checked_again_under_another(
    registry: Registry, signer: Signer, run: Run, tmp_path: Path
) -> None:
    pushed = fresh(registry)
    export(registry, pushed.index, run, tmp_path)

    with pytest.raises(ProvenanceError, match="it has no signature"):
        export(registry, pushed.index, run, tmp_path, policy=signer.policy(tmp_path))
    with pytest.raises(ProvenanceError, match="does not allow"):
        export(registry, pushed.index, run, tmp_path, policy=Policy())


def test_an_image_accepted_unsigned_is_recorded_with_the_reason(
    registry: Registry, signer: Signer, run: Run, tmp_path: Path
) -> None:
    pushed = fresh(registry)
    policy = Policy(rules=(Rule(prefix=registry.host, accepted="mirrored by us"),))

    export(registry, pushed.index, run, tmp_path, policy=policy)

    assert policy.used == {f"{registry.host}/team/app@{pushed.index}": "mirrored by us"}


def put_bundle(registry: Registry, digest: str, bundle: dict[str, Any]) -> None:
    """Store a signature like cosign 3 in a registry without the referrers API."""
    data = json.dumps(bundle).encode()
    for blob in (data, b"{}"):
        registry.put("team/app", "blobs", blob, "")
    manifest = cosign_3.manifest(data)
    registry.put("team/app", f"manifests/{oci.sha256(manifest)}", manifest, oci.OCI_MANIFEST)
    place = f"manifests/{referrers.tag(digest)}"
    registry.put("team/app", place, cosign_3.index(manifest), oci.OCI_INDEX)


def test_a_bundle_by_the_key_allows_only_its_own_image(
    registry: Registry, signer: Signer, run: Run, tmp_path: Path
) -> None:
    pushed, other, foreign = fresh(registry), fresh(registry), fresh(registry)
    put_bundle(registry, pushed.index, cosign_3.bundle(signer.private, pushed.index))
    put_bundle(registry, other.index, cosign_3.bundle(signer.private, pushed.index))
    stranger = ec.generate_private_key(ec.SECP256R1())
    put_bundle(registry, foreign.index, cosign_3.bundle(stranger, foreign.index))
    policy = signer.policy(tmp_path)

    bundle = export(registry, pushed.index, run, tmp_path, policy=policy)

    assert bundle.images[0].digest == pushed.oci
    with pytest.raises(ProvenanceError, match=f"a signature is for {pushed.index}"):
        export(registry, other.index, run, tmp_path, policy=policy)
    with pytest.raises(ProvenanceError, match="a signature is by another key"):
        export(registry, foreign.index, run, tmp_path, policy=policy)


def test_what_the_real_cosign_3_signed_is_allowed(registry: Registry, run: Run, tmp_path: Path) -> None:
    """The index with a key, the platform's image by an identity."""
    log_in(registry, tmp_path)
    blobs = [path.read_bytes() for path in (cosign_3.RECORDED / "blobs").iterdir()]
    for blob in blobs:
        registry.put("team/app", "blobs", blob, "")
    kinds = {oci.sha256(blob): json.loads(blob).get("mediaType") for blob in blobs if blob.startswith(b"{")}
    for kind in (oci.OCI_MANIFEST, oci.OCI_INDEX):
        for digest in (digest for digest, found in kinds.items() if found == kind):
            registry.put("team/app", f"manifests/{digest}", cosign_3.recorded_blob(digest), kind)
    tags = cosign_3.recorded("tags")
    for tag, digest in tags.items():
        registry.put("team/app", f"manifests/{tag}", cosign_3.recorded_blob(digest), str(kinds[digest]))
    key = Rule(prefix=registry.host, sigstore_key=cosign_3.RECORDED / "team.pub")
    identity = Rule(
        prefix=registry.host, identity=sigstore_ca.IDENTITY, issuer=sigstore_ca.ISSUER,
        trusted_root=cosign_3.RECORDED / "trusted_root.json",
    )  # fmt: skip

    for digest, rule in ((tags["1.0"], key), (tags["oci"], identity)):
        (image,) = export(registry, digest, run, tmp_path, policy=Policy(rules=(rule,))).images
        assert image.digest == tags["oci"]


@pytest.fixture
def keyless_policy(registry: Registry, tmp_path: Path) -> tuple[Sigstore, Policy]:
    """A Sigstore, and a policy that requires a signature by its identity."""
    log_in(registry, tmp_path)
    sigstore = Sigstore()
    root = tmp_path / "trusted_root.json"
    root.write_text(sigstore.trusted_root())
    rule = Rule(
        prefix=f"{registry.host}/team", identity=sigstore_ca.IDENTITY, issuer=sigstore_ca.ISSUER,
        trusted_root=root,
    )  # fmt: skip
    return sigstore, Policy(rules=(rule,))


def test_a_keyless_signature_allows_only_its_own_image(
    registry: Registry, keyless_policy: tuple[Sigstore, Policy], run: Run, tmp_path: Path
) -> None:
    sigstore, policy = keyless_policy
    pushed, other, bare = fresh(registry), fresh(registry), fresh(registry)
    put_bundle(registry, pushed.index, sigstore.bundle(pushed.index))
    put_bundle(registry, other.index, sigstore.bundle(pushed.index))

    bundle = export(registry, pushed.index, run, tmp_path, policy=policy)

    assert bundle.images[0].digest == pushed.oci
    with pytest.raises(ProvenanceError, match=f"a signature is for {pushed.index}"):
        export(registry, other.index, run, tmp_path, policy=policy)
    with pytest.raises(ProvenanceError, match="it has no signature"):
        export(registry, bare.index, run, tmp_path, policy=policy)


def test_a_keyless_signature_by_another_sigstore_is_refused(
    registry: Registry, keyless_policy: tuple[Sigstore, Policy], run: Run, tmp_path: Path
) -> None:
    pushed = fresh(registry)
    put_bundle(registry, pushed.index, Sigstore().bundle(pushed.index))

    with pytest.raises(ProvenanceError, match="a signature is not valid"):
        export(registry, pushed.index, run, tmp_path, policy=keyless_policy[1])


@pytest.fixture
def gpg(tmp_path: Path) -> Iterator[Callable[[bytes], bytes]]:
    """gpg(data) signs; the public key is in tmp_path/team.gpg."""
    with gpg_home("team@example.test") as gpg:
        gpg("--armor", "--output", tmp_path / "team.gpg", "--export")

        def sign(data: bytes) -> bytes:
            (tmp_path / "payload").write_bytes(data)
            gpg("--yes", "--output", tmp_path / "signed", "--sign", tmp_path / "payload")
            return (tmp_path / "signed").read_bytes()

        yield sign


def test_a_gpg_signature_allows_only_its_own_image(
    registry: Registry, signer: Signer, gpg: Callable[[bytes], bytes], run: Run, tmp_path: Path
) -> None:
    pushed, other = fresh(registry), fresh(registry)
    said = {
        "type": "atomic container signature", "image": {"docker-manifest-digest": pushed.oci},
        "identity": {"docker-reference": f"{registry.host}/team/app:1"},
    }  # fmt: skip
    signature = gpg(json.dumps({"critical": said, "optional": {}}).encode())
    for each in (pushed, other):
        place = tmp_path / f"lookaside/team/app@{each.oci.replace(':', '=')}/signature-1"
        place.parent.mkdir(parents=True)
        place.write_bytes(signature)
    rule = Rule(prefix=registry.host, gpg_key=tmp_path / "team.gpg", lookaside=f"file://{tmp_path}/lookaside")

    (image,) = export(registry, pushed.index, run, tmp_path, policy=Policy(rules=(rule,))).images

    assert (image.digest, image.index_digest) == (pushed.oci, pushed.index)
    with pytest.raises(ProvenanceError, match="is not signed as the policy requires"):
        export(registry, other.index, run, tmp_path, policy=Policy(rules=(rule,)))


def test_a_base_image_reaches_the_engine_only_through_our_store(
    registry: Registry, signer: Signer, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine itself has no login there, so it could not pull."""
    monkeypatch.delenv("DOCKER_HOST")
    with (tmp_path / "layer.tar").open("wb") as sink, tarfile.open(fileobj=sink, mode="w") as archive:
        archive.add(tmp_path / "docker/config.json", "base-file")
    base = docker_registry.push(registry, (tmp_path / "layer.tar").read_bytes())
    signer.sign(base.index)
    (tmp_path / "app").mkdir()
    (tmp_path / "app/more").write_text("more\n")
    (tmp_path / "app/Dockerfile").write_text(f"FROM {registry.host}/team/app@{base.index}\nCOPY more /more\n")
    spec = ContainerSpec(ref="example.test/app:2", build="app")

    def build(policy: Policy) -> Bundle:
        return bundler.export(
            [spec], layers=Layers.uncompressed, run=run, log_path=tmp_path / "log", policy=policy,
            root=tmp_path,
        )  # fmt: skip

    with pytest.raises(ProvenanceError, match="does not allow"):
        build(Policy())
    (image,) = build(signer.policy(tmp_path)).images

    assert image.layers[0].diff_id == base.layer
    assert len(image.layers) == 2
