# SPDX-License-Identifier: Apache-2.0
"""Signing builds, and checks of releases: which check finds which change of any byte."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import jsonschema
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from securesystemslib.signer import SSlibKey

from goldsmith.core import documents
from goldsmith.errors import GoldsmithError, ProvenanceError, SpecError
from goldsmith.image.manifest import Manifest
from goldsmith.image.packages import PackageList
from goldsmith.provenance import attestation, dsse, glance_signature, release_check, statement
from goldsmith.provenance.attestation import FILE, SignedAnswer
from goldsmith.provenance.release_check import ReleaseCheck
from goldsmith.scan import components
from goldsmith.scan.contents import Container
from goldsmith.scan.go_buildinfo import GoBuild, GoModule
from goldsmith.scan.package_databases import dpkg
from tests.support import samples

DISK = bytes(range(256)) * 40
H1 = "h1:o/8dBC/pHVpYoGV4OAIytAlNPZbdYVTXJHoYvXC4qzM="
BUILDER = "https://ci.example.org/nightly"
CERTIFICATE = "5b1ad8dc-8a4d-4e3c-b0a5-6d10b6a2d7a1"
ED25519 = ed25519.Ed25519PrivateKey.generate()


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    """One for all tests: to make one takes long."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def manifest_of(folder: Path) -> dict[str, Any]:
    files = ("images.lock.json", "junit.xml", "packages.json", "spec.yaml")
    return samples.manifest(
        build_id=folder.name,
        started="2026-01-01T00:00:00Z", checkout="git+https://git.test/team/images@refs/heads/main",
        kubelet={
            "version": "1.35.4", "source": "go-module", "sha256": "b" * 64,
            "provenance": {"module": f"k8s.io/kubernetes v1.35.4 {H1}", "go": "go1.26.8"},
        },
        containers=[samples.image("a.b/app:1", digest=f"sha256:{'d' * 64}")],
        disks=[samples.disk(content=DISK)],
        files={name: sha256((folder / name).read_bytes()) for name in files},
        verification=samples.verdict(image_sha256=sha256(DISK)),
    )  # fmt: skip


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A verified build's folder."""
    folder = tmp_path / "out/mine/20260101T000000Z-ccccccc"
    folder.mkdir(parents=True)
    (folder / "mine-amd64.qcow2").write_bytes(DISK)
    package = {
        "name": "libc6", "version": "1:2.41-12+b1", "architecture": "amd64", "sha256": "a" * 64,
        "source": "glibc 1:2.41-12",
    }  # fmt: skip
    listed = samples.packages(package, family="deb", distro="debian-13")
    (folder / "packages.json").write_text(json.dumps(listed))
    for name in ("images.lock.json", "junit.xml", "spec.yaml"):
        (folder / name).write_text(f"{name}, and more\n")
    write(folder, manifest_of(folder))
    return folder


@pytest.fixture
def release(build: Path) -> Path:
    """The same, signed."""
    attestation.sign(build, ED25519, builder=BUILDER)
    return build


def write(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest))


def named(private: Any, folder: Path) -> SSlibKey:
    """Its public key, as it is read from a file."""
    path = folder / "key.pub"
    path.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return dsse.public_key(path)


def failed(release: Path, tmp_path: Path, private: Any = ED25519) -> list[str]:
    return [check.name for check in release_check.check(release, named(private, tmp_path)).failed]


def said(release: Path) -> dict[str, Any]:
    envelope = json.loads((release / FILE).read_text())
    return dict(json.loads(base64.b64decode(envelope["payload"])))


def sign_again(release: Path, content: dict[str, Any], kind: str = statement.KIND) -> None:
    """What somebody with the key might do by mistake."""
    (release / FILE).write_bytes(dsse.seal(json.dumps(content, sort_keys=True).encode(), kind, ED25519))


@pytest.mark.parametrize(
    "make",
    [lambda: ED25519, lambda: ec.generate_private_key(ec.SECP384R1()), rsa_key],
    ids=["ed25519", "p384", "rsa"],
)
def test_a_signed_build_is_a_good_release(
    build: Path, tmp_path: Path, make: Callable[[], PrivateKeyTypes]
) -> None:
    private = make()
    attestation.sign(build, private, builder=BUILDER)

    report = release_check.check(build, named(private, tmp_path))

    report.require()
    assert report.result == "passed"
    jsonschema.validate(report.as_dict(), documents.json_schema(ReleaseCheck))
    shown = {check.name for check in report.checks}
    assert shown >= {"signature", "mine-amd64.qcow2", "manifest.json", "packages.json", "verification"}
    assert len(report.as_text().splitlines()) == len(report.checks)


def test_a_release_may_be_named_by_its_image_and_the_statement_lie_elsewhere(
    release: Path, tmp_path: Path
) -> None:
    elsewhere = (release / FILE).rename(tmp_path / "said.json")
    key = named(ED25519, tmp_path)

    assert not release_check.check(release / "mine-amd64.qcow2", key, signed=elsewhere).failed


@pytest.mark.parametrize(
    "private", [ED25519, ec.generate_private_key(ec.SECP256R1())], ids=["ed25519", "p256"]
)
def test_a_sigstore_bundle_has_the_envelope_as_cosign_takes_it(
    build: Path, tmp_path: Path, private: PrivateKeyTypes
) -> None:
    """cosign 3.1 refuses an envelope whose signature has an ID that is not one of its own."""
    attestation.sign(build, private, builder=BUILDER)

    bundle = json.loads((build / "provenance.sigstore.json").read_text())
    statement_, key = json.loads((build / FILE).read_text()), named(private, tmp_path)
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["verificationMaterial"] == {"publicKey": {"hint": key.keyid}}
    (signature,) = bundle["dsseEnvelope"]["signatures"]
    assert signature.keys() == {"sig"}
    assert {**bundle["dsseEnvelope"], "signatures": [{**signature, "keyid": key.keyid}]} == statement_


def test_a_key_that_cosign_does_not_take_leaves_no_bundle_either_of_an_earlier_key(build: Path) -> None:
    for private, has_bundle in ((ED25519, True), (ec.generate_private_key(ec.SECP384R1()), False)):
        attestation.sign(build, private, builder=BUILDER)
        assert (build / "provenance.sigstore.json").exists() is has_bundle


def test_the_statement_is_slsa_provenance_of_all_that_went_in(release: Path) -> None:
    content = said(release)
    definition = content["predicate"]["buildDefinition"]
    materials = definition["resolvedDependencies"]

    assert content["_type"] == "https://in-toto.io/Statement/v1"
    assert content["predicateType"] == "https://slsa.dev/provenance/v1"
    assert definition["externalParameters"]["spec"] == "mine"
    assert [each["digest"] for each in materials] == [
        {"gitCommit": "a" * 40},
        {"goModuleH1": "a3ff1d042fe91d5a58a06578380232b4094d3d96dd6154d7247a18bd70b8ab33"},
        {"sha256": "d" * 64},
        {"sha256": "a" * 64},
    ]
    assert [each["uri"] for each in materials] == [
        "git+https://git.test/team/images@refs/heads/main",
        "pkg:golang/k8s.io/kubernetes@v1.35.4",
        f"pkg:oci/app@sha256:{'d' * 64}?repository_url=a.b/app",
        "pkg:deb/debian/libc6@1:2.41-12%2Bb1?arch=amd64&distro=debian-13&upstream=glibc%401:2.41-12",
    ]
    assert content["predicate"]["runDetails"]["metadata"]["startedOn"] == "2026-01-01T00:00:00Z"
    assert content["predicate"]["runDetails"]["builder"]["id"] == BUILDER
    assert content["predicate"]["runDetails"]["byproducts"][0]["annotations"]["result"] == "passed"


def test_bill_and_statement_spell_a_package_an_image_and_a_module_in_one_way(release: Path) -> None:
    status = (
        "Package: libc6\nArchitecture: amd64\nVersion: 1:2.41-12+b1\nSource: glibc (1:2.41-12)\n"
        "Maintainer: me <me@a.test>\n"
    )
    digest = f"sha256:{'d' * 64}"
    kubernetes = GoModule(path="k8s.io/kubernetes", version="v1.35.4", h1=H1)
    image = Container(digest=digest, os={}, layers=(), packages=())
    (kubelet,) = components.kubelet("b" * 64, GoBuild(go="", modules=(), main=kubernetes), "1.35.4").listed
    billed = [
        *components.packages(tuple(dpkg(status)), "debian-13", "host").listed,
        *components.container(image, {digest: "a.b/app:1"}).listed,
        *kubelet.components,
    ]

    materials = said(release)["predicate"]["buildDefinition"]["resolvedDependencies"]

    assert {str(part.purl) for part in billed} == {each["uri"] for each in materials[1:]}


def test_an_older_build_gives_the_statement_that_was_signed_of_it(build: Path) -> None:
    manifest = Manifest.parse({**manifest_of(build), "started": None, "checkout": None}, "manifest.json")
    listed = PackageList.parse(samples.packages(), "packages.json")

    made = statement.make(manifest, listed, manifest_sha256="0" * 64, builder=BUILDER)

    materials = made["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [each.get("uri") for each in materials] == [
        None, "pkg:golang/k8s.io/kubernetes@v1.35.4", None, "pkg:deb/debian/bash@5.2?arch=amd64"
    ]  # fmt: skip
    assert "startedOn" not in made["predicate"]["runDetails"]["metadata"]


def test_the_statement_names_the_wheel_of_an_installed_goldsmith(build: Path) -> None:
    maker = {"version": "1.2", "record_sha256": "e" * 64, "changed": []}
    manifest = Manifest.parse({**manifest_of(build), "made_by": maker}, "manifest.json")
    listed = PackageList.parse(samples.packages(), "packages.json")

    made = statement.make(manifest, listed, manifest_sha256="0" * 64, builder=BUILDER)

    materials = made["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert materials[1] == {"name": "RECORD of goldsmith 1.2", "digest": {"sha256": "e" * 64}}
    assert materials[0]["name"] == "checkout"


@pytest.mark.parametrize(
    "name",
    ["mine-amd64.qcow2", "manifest.json", "packages.json", "images.lock.json", "junit.xml", "spec.yaml"],
)
def test_any_other_byte_in_a_file_is_found_and_the_file_named(
    release: Path, tmp_path: Path, name: str
) -> None:
    path = release / name
    good = path.read_bytes()
    for place in (0, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        assert failed(release, tmp_path) == [name]
    path.write_bytes(good + b"\n")
    assert failed(release, tmp_path) == [name]
    path.unlink()
    assert failed(release, tmp_path) == [name]


def poke(file: BinaryIO, place: int, byte: int) -> None:
    file.seek(place)
    file.write(bytes([byte]))


def test_any_other_byte_in_the_statement_is_found(release: Path, tmp_path: Path) -> None:
    path, key = release / FILE, named(ED25519, tmp_path)
    good = path.read_bytes()
    with path.open("r+b", buffering=0) as file:  # in place: new files, by the thousand, wait for the disk
        for place, byte in enumerate(good):
            poke(file, place, byte ^ 1)
            found = [check.name for check in release_check.check(release, key).failed]
            assert found in (["signature"], ["statement"]), good[place - 9 : place + 9]
            poke(file, place, byte)
    assert failed(release, tmp_path) == []
    path.write_bytes(good + b" ")
    assert failed(release, tmp_path) == ["signature"]


def test_another_key_is_found_also_under_the_name_of_the_right_one(release: Path, tmp_path: Path) -> None:
    other = ed25519.Ed25519PrivateKey.generate()
    assert failed(release, tmp_path, private=other) == ["signature"]

    attestation.sign(release, other, builder=BUILDER)
    assert failed(release, tmp_path) == ["signature"]

    envelope = json.loads((release / FILE).read_text())
    envelope["signatures"][0]["keyid"] = named(ED25519, tmp_path).keyid
    (release / FILE).write_text(json.dumps(envelope, sort_keys=True) + "\n")
    assert failed(release, tmp_path) == ["signature"]


def test_a_statement_of_another_release_is_no_statement_of_this(release: Path, tmp_path: Path) -> None:
    content = said(release)
    content["subject"] = [{"name": "other.qcow2", "digest": {"sha256": "0" * 64}}]
    sign_again(release, content)

    assert failed(release / "mine-amd64.qcow2", tmp_path) == ["mine-amd64.qcow2", "other.qcow2"]


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (lambda s: s["predicate"]["runDetails"]["byproducts"][0]["annotations"].update(tests=99), "manifest"),
        (lambda s: s["predicate"]["buildDefinition"]["resolvedDependencies"].pop(), "manifest"),
        (lambda s: s["subject"][0]["digest"].pop("sha512"), "manifest"),
        (lambda s: s["subject"].pop(), "manifest"),
        (lambda s: s["subject"][0]["digest"].pop("sha256"), "mine-amd64.qcow2"),
        (lambda s: s.update(predicateType="https://slsa.dev/verification_summary/v1"), "signature"),
        (lambda s: s.pop("subject"), "statement"),
    ],
)
def test_a_signed_statement_that_says_something_else_is_refused(
    release: Path, tmp_path: Path, spoil: Callable[[Any], object], check: str
) -> None:
    content = said(release)
    spoil(content)
    sign_again(release, content)

    assert failed(release, tmp_path)[0] == check


@pytest.mark.parametrize("name", ["../spec.yaml", "/etc/passwd", "a\0b", "", ".."])
def test_a_statement_speaks_of_files_beside_it_alone(release: Path, tmp_path: Path, name: str) -> None:
    (release.parent / "spec.yaml").write_text("outside")
    content = said(release)
    content["subject"].append({"name": name, "digest": {"sha256": sha256(b"outside")}})
    sign_again(release, content)

    assert failed(release, tmp_path) == [repr(name)]


def test_a_signature_over_another_kind_of_document_is_none(release: Path, tmp_path: Path) -> None:
    sign_again(release, said(release), kind="text/plain")

    assert failed(release, tmp_path) == ["signature"]


def test_a_release_that_was_never_good_is_refused_though_it_is_signed(release: Path, tmp_path: Path) -> None:
    """As somebody might sign it who does not use `sign`."""
    manifest = manifest_of(release)
    manifest["verification"]["result"] = "failed"
    write(release, manifest)
    packages = PackageList.read(release / "packages.json")
    made = Manifest.read(release / "manifest.json")
    digest = sha256((release / "manifest.json").read_bytes())
    sign_again(release, statement.make(made, packages, manifest_sha256=digest, builder=BUILDER))

    assert failed(release, tmp_path) == ["verification"]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda b, m: m["verification"].update(result="failed"), "was not verified"),
        (lambda b, m: m.update(dirty=True), "uncommitted changes"),
        (lambda b, m: (b / "spec.yaml").write_text("other"), "differs from its manifest"),
        (lambda b, m: (b / "mine-amd64.qcow2").write_bytes(DISK[1:]), "differs from its manifest"),
    ],
)
def test_only_what_is_whole_verified_and_committed_is_signed(
    build: Path, spoil: Callable[[Path, Any], object], why: str
) -> None:
    manifest = manifest_of(build)
    spoil(build, manifest)
    write(build, manifest)

    with pytest.raises(ProvenanceError, match=why):
        attestation.sign(build, ED25519, builder=BUILDER)

    assert not (build / FILE).exists()


def test_a_reason_to_sign_uncommitted_changes_is_signed_too(build: Path, tmp_path: Path) -> None:
    write(build, {**manifest_of(build), "dirty": True})

    attestation.sign(build, ED25519, builder=BUILDER, accepted="a trial")

    assert failed(build, tmp_path) == []
    state = said(build)["predicate"]["buildDefinition"]["resolvedDependencies"][0]["annotations"]
    assert (state["dirty"], state["accepted"]) == (True, "a trial")


def test_a_checkout_without_git_has_no_digest_to_show(build: Path, tmp_path: Path) -> None:
    write(build, {**manifest_of(build), "commit": "nogit"})
    attestation.sign(build, ED25519, builder=BUILDER)

    assert "digest" not in said(build)["predicate"]["buildDefinition"]["resolvedDependencies"][0]
    assert failed(build, tmp_path) == []


def key_file(folder: Path, private: Any, encryption: KeySerializationEncryption) -> Path:
    path = folder / "release.key"
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return path


def test_sign_takes_key_builder_and_passphrase_from_where_they_are_given(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = key_file(tmp_path, ED25519, BestAvailableEncryption(b"hush"))
    monkeypatch.setenv(dsse.PHRASE_VARIABLE, "hush")
    monkeypatch.setenv(attestation.BUILDER, BUILDER)

    (build.parent / "latest").symlink_to(build.name)
    done = attestation.sign_build(build.parents[1], "mine", "", key, builder="", accepted="", certificate="")

    assert done.statement == str(build / FILE)
    assert done.bundle == str(build / "provenance.sigstore.json")
    assert done.key == named(ED25519, tmp_path).keyid
    assert failed(build, tmp_path) == []


@pytest.mark.parametrize("phrase", ["", "hash"])
def test_a_wrong_passphrase_is_an_error(tmp_path: Path, phrase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(dsse.PHRASE_VARIABLE, phrase)

    with pytest.raises(ProvenanceError, match="cannot use the private key"):
        dsse.private_key(key_file(tmp_path, ED25519, BestAvailableEncryption(b"hush")))


def test_a_missing_passphrase_is_asked_for_at_a_terminal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(dsse.PHRASE_VARIABLE, raising=False)

    with pytest.raises(ProvenanceError, match="there is no terminal to ask"):
        dsse.private_key(key_file(tmp_path, ED25519, BestAvailableEncryption(b"hush")))


def test_a_file_that_is_no_key_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(SpecError, match="No such file"):
        dsse.public_key(path)
    path.write_text("no key")
    with pytest.raises(ProvenanceError, match="it is no PEM private key"):
        dsse.private_key(path)
    with pytest.raises(ProvenanceError, match="cannot use the public key"):
        dsse.public_key(path)
    with pytest.raises(ProvenanceError, match="is a private key"):
        dsse.public_key(key_file(tmp_path, ED25519, NoEncryption()))


def test_a_spec_is_named_by_its_path_too(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(attestation.BUILDER, BUILDER)
    key = key_file(tmp_path, ED25519, NoEncryption())
    spec = tmp_path / "any.yaml.j2"
    spec.write_text("name: mine\ndistribution: debian\nrelease: trixie\nkubelet: null\ncontainers: []\n")

    done = attestation.sign_build(
        build.parents[1], str(spec), build.name, key, builder="", accepted="", certificate=""
    )

    assert done.statement == str(build / FILE)


def test_a_signature_without_a_builder_is_not_made(build: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no builder is given"):
        attestation.sign_build(
            build.parents[1], "mine", build.name, tmp_path, builder="", accepted="", certificate=""
        )


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=["p384", "p521"])
def test_openstack_checks_an_image_by_an_elliptic_curve(build: Path, curve: ec.EllipticCurve) -> None:
    private = ec.generate_private_key(curve)

    made = glance_signature.sign(build / "mine-amd64.qcow2", private, CERTIFICATE).as_properties()

    signature = base64.b64decode(made["img_signature"])
    private.public_key().verify(signature, DISK, ec.ECDSA(hashes.SHA256()))
    assert made["img_signature_key_type"] == f"ECC_{curve.name.upper()}"


def test_openstack_checks_an_image_by_rsa(build: Path) -> None:
    private = rsa_key()

    made = glance_signature.sign(build / "mine-amd64.qcow2", private, CERTIFICATE).as_properties()

    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.MAX_LENGTH)
    private.public_key().verify(base64.b64decode(made["img_signature"]), DISK, pss, hashes.SHA256())
    assert made["img_signature_certificate_uuid"] == CERTIFICATE
    assert made["img_signature_hash_method"] == "SHA-256"


@pytest.mark.parametrize(("private", "uuid"), [(ED25519, CERTIFICATE), (ED25519, "mine")])
def test_what_openstack_could_not_check_is_not_made(build: Path, private: PrivateKeyTypes, uuid: str) -> None:
    with pytest.raises(GoldsmithError, match=r"of this kind of key|is no UUID"):
        glance_signature.sign(build / "mine-amd64.qcow2", private, uuid)


def test_openstacks_signature_is_kept_for_the_bytes_that_were_signed(build: Path, tmp_path: Path) -> None:
    key = tmp_path / "rsa.pem"
    private = rsa_key()
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    signed = attestation.sign_build(
        build.parents[1],
        "mine",
        build.name,
        key,
        builder="https://ci.test/1",
        accepted="",
        certificate=CERTIFICATE,
    )

    sha256 = hashlib.sha256(DISK).hexdigest()
    assert glance_signature.kept(build, sha256) == signed.properties["mine-amd64.qcow2"].as_properties()
    jsonschema.validate(signed.as_dict(), documents.json_schema(SignedAnswer))
    assert glance_signature.kept(build, "0" * 64) == {}
    assert glance_signature.kept(tmp_path, sha256) == {}
    (build / glance_signature.FILE).write_text("[]")
    with pytest.raises(GoldsmithError, match=r"cannot use the image signatures .*: it is no JSON object"):
        glance_signature.kept(build, sha256)
