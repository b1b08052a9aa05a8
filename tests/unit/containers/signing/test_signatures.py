# SPDX-License-Identifier: Apache-2.0
"""Where signatures of an image are looked for: the referrers API, its fallback tag, the tag of cosign 2."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from goldsmith.containers import oci
from goldsmith.containers.policy import Rule
from goldsmith.containers.signing import bundles, cosign, referrers, signatures
from goldsmith.containers.skopeo import Skopeo
from goldsmith.core.runs import Run
from goldsmith.errors import ProvenanceError
from tests.support import cosign_3
from tests.support.sigstore_ca import BUNDLE, IDENTITY, ISSUER
from tests.support.small_registry import Answer, SmallRegistry, small_registry

DIGEST = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"
KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())
FALLBACK, OLD = referrers.tag(DIGEST), cosign.tag(DIGEST)

# skopeo inspect --raw docker://NAME:TAG, skopeo copy docker://NAME@DIGEST dir:FOLDER
SKOPEO = """
for word; do case "$word" in
    docker://*@*) which=${word#*@} ;;
    docker://*) which=${word##*:} ;;
    dir:*) target=${word#dir:} ;;
esac; done
if ! [ -e "STORE/manifests/$which" ]; then echo "manifest unknown" >&2; exit 1; fi
if [ "$1" = inspect ]; then exec cat "STORE/manifests/$which"; fi
mkdir "$target" && cp "STORE/manifests/$which" "$target/manifest.json" && : > "$target/version"
cp "STORE/blobs/"* "$target"
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a registry has, for skopeo; registry: its referrers API."""

    folder: Path
    registry: SmallRegistry
    source: Skopeo
    key: Path
    calls: Path

    def put(self, manifest: bytes, *data: bytes, tag: str = "") -> bytes:
        """A manifest with its blobs, by its digest; it is returned."""
        for each in (b"{}", *data):
            (self.folder / "blobs" / oci.sha256(each).partition(":")[2]).write_bytes(each)
        for name in (oci.sha256(manifest), tag):
            if name:
                (self.folder / "manifests" / name).write_bytes(manifest)
        return manifest

    def bundle(self, private: ec.EllipticCurvePrivateKey = KEY, digest: str = DIGEST) -> bytes:
        """The manifest of a signature of digest."""
        data = json.dumps(cosign_3.bundle(private, digest)).encode()
        return self.put(cosign_3.manifest(data), data)

    def lists(self, *manifests: bytes, artifact_type: str = BUNDLE, link: str = "") -> None:
        """The referrers API lists these manifests."""
        body = cosign_3.index(*manifests, artifact_type=artifact_type)
        self.registry.answers[f"/v2/team/app/referrers/{DIGEST}"] = Answer(
            200, body, {"Link": link} if link else {}
        )

    def check(self, digest: str = DIGEST) -> None:
        rule = Rule(prefix=self.registry.host, sigstore_key=self.key)
        signatures.require_of_reference(self.source, digest, rule)

    def refused(self, why: str) -> str:
        with pytest.raises(ProvenanceError, match=why) as e:
            self.check()
        return str(e.value)


@pytest.fixture
def stored(tmp_path: Path, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stored]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    folder = tmp_path / "store"
    for name in ("manifests", "blobs"):
        (folder / name).mkdir(parents=True)
    (tmp_path / "run").mkdir()
    key = tmp_path / "team.pub"
    key.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    calls = fake("skopeo", SKOPEO.replace("STORE", str(folder)))
    with small_registry() as registry:
        source = Skopeo(
            name=f"{registry.host}/team/app", run=Run(folder=tmp_path / "run"), log_path=tmp_path / "log"
        )
        yield Stored(folder, registry, source, key, calls)


def old_form(private: ec.EllipticCurvePrivateKey, stored: Stored, digest: str = DIGEST) -> bytes:
    """A signature as cosign 2 stores it."""
    said = {
        "identity": {"docker-reference": stored.source.name}, "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }  # fmt: skip
    payload = json.dumps({"critical": said, "optional": None}).encode()
    signed = base64.b64encode(private.sign(payload, ec.ECDSA(hashes.SHA256()))).decode()
    layer = {
        "mediaType": cosign.KIND, "digest": oci.sha256(payload), "size": len(payload),
        "annotations": {"dev.cosignproject.cosign/signature": signed},
    }  # fmt: skip
    config = {"mediaType": oci.OCI_CONFIG, "digest": oci.sha256(b"{}"), "size": 2}
    manifest = oci.canonical({"schemaVersion": 2, "config": config, "layers": [layer]})
    return stored.put(manifest, payload)


def test_a_bundle_that_the_referrers_api_lists_counts(stored: Stored) -> None:
    stored.lists(stored.bundle())

    stored.check()

    assert ":sha256-" not in stored.calls.read_text()


@pytest.mark.parametrize("artifact_type", ["", cosign_3.EMPTY])
def test_a_registry_need_not_tell_the_kind_of_a_referrer(stored: Stored, artifact_type: str) -> None:
    stored.lists(stored.bundle(), artifact_type=artifact_type)

    stored.check()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 501, 503])
def test_without_the_api_the_fallback_tag_counts(stored: Stored, status: int) -> None:
    stored.registry.answers[f"/v2/team/app/referrers/{DIGEST}"] = Answer(status, b"<html>")
    stored.put(cosign_3.index(stored.bundle()), tag=FALLBACK)

    stored.check()


def test_with_a_page_of_html_instead_of_the_api_the_fallback_tag_counts(stored: Stored) -> None:
    stored.registry.answers[f"/v2/team/app/referrers/{DIGEST}"] = Answer(200, b"<html>")
    stored.put(cosign_3.index(stored.bundle()), tag=FALLBACK)

    stored.check()


def test_the_fallback_tag_counts_beside_an_api_that_lists_nothing(stored: Stored) -> None:
    """The image and its tags were copied from a registry without the API."""
    stored.lists()
    stored.put(cosign_3.index(stored.bundle()), tag=FALLBACK)

    stored.check()


def test_a_signature_itself_under_the_fallback_tag_counts(stored: Stored) -> None:
    stored.put(stored.bundle(), tag=FALLBACK)

    stored.check()


def test_a_signature_of_cosign_2_counts_under_its_tag(stored: Stored) -> None:
    stored.put(old_form(KEY, stored), tag=OLD)

    stored.check()


def test_a_signature_of_cosign_2_counts_as_a_referrer(stored: Stored) -> None:
    stored.lists(old_form(KEY, stored), artifact_type=cosign.ARTIFACT)

    stored.check()


@pytest.mark.parametrize("place", ["api", "tag"])
def test_one_good_signature_of_several_is_enough(stored: Stored, place: str) -> None:
    bad = [stored.bundle(STRANGER), stored.bundle(digest=OTHER), stored.put(cosign_3.manifest(b"x"), b"x")]
    lost = cosign_3.manifest(b"its blob is not there")
    good = stored.bundle()
    api, tag = {"api": ([*bad, lost, good], []), "tag": ([], [lost, *bad, good]), "both": (bad, [good])}[
        place
    ]
    stored.lists(*api)
    stored.put(cosign_3.index(*tag), tag=FALLBACK)

    stored.check()


def test_further_pages_are_read(stored: Stored) -> None:
    path = f"/v2/team/app/referrers/{DIGEST}"
    stored.lists(stored.bundle(STRANGER), link=f'<{path}?last=x>; rel="next"')
    stored.registry.answers[f"{path}?last=x"] = Answer(200, cosign_3.index(stored.bundle()))

    stored.check()


def test_each_reason_is_given(stored: Stored) -> None:
    newer = json.dumps({"mediaType": f"{bundles.BUNDLE}.v0.4+json"}).encode()
    stored.lists(
        stored.bundle(STRANGER), stored.bundle(digest=OTHER),
        stored.put(cosign_3.manifest(newer, f"{bundles.BUNDLE}.v0.4+json"), newer),
    )  # fmt: skip
    stored.put(old_form(STRANGER, stored), tag=OLD)

    said = stored.refused("is not signed as the policy requires")

    assert "a signature is by another key" in said
    assert f"a signature is for {OTHER}" in said
    assert f"in a form that goldsmith does not know ({bundles.BUNDLE}.v0.4+json)" in said


def test_a_refusal_says_where_signatures_were_looked_for(stored: Stored) -> None:
    name = stored.source.name

    said = stored.refused("it has no signature")

    assert said.splitlines()[1:] == [
        f"  | {stored.registry.host} answers the referrers API with HTTP 404",
        f"  | {stored.registry.host} has no image {name}:{FALLBACK}",
        f"  | {stored.registry.host} has no image {name}:{OLD}",
    ]


def test_what_the_api_lists_beside_signatures_is_not_read(stored: Stored) -> None:
    stored.lists(stored.bundle(), artifact_type="application/spdx+json")

    said = stored.refused("it has no signature")

    assert f"{stored.registry.host} lists the image's referrers: 1" in said
    assert "@sha256" not in stored.calls.read_text()


def test_a_signature_that_is_too_large_is_not_read(stored: Stored) -> None:
    large = json.loads(cosign_3.manifest(b"x"))
    large["layers"][0]["size"] = 1 << 30
    manifest = stored.put(oci.canonical(large))
    stored.lists(manifest)

    said = stored.refused("it has no signature")

    assert f"{stored.source.name}@{oci.sha256(manifest)} is larger than a signature" in said
    assert "copy" not in stored.calls.read_text()


def test_a_blob_that_is_larger_than_announced_is_not_read(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signatures, "_LARGEST", 100)
    large = json.loads(cosign_3.manifest(b"x" * 101))
    large["layers"][0]["size"] = 7
    stored.lists(stored.put(oci.canonical(large), b"x" * 101))

    assert "is larger than a signature" in stored.refused("it has no signature")


def test_not_more_than_a_hundred_manifests_are_read(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "_MOST", 2)
    stored.lists(*(stored.bundle(STRANGER) for _ in range(3)))

    assert "more than 2 manifests may hold signatures" in stored.refused("by another key")


@pytest.mark.parametrize("data", [b"<html>", b'{"manifests": [{"digest": "../x"}]}', b"[]"])
def test_another_document_under_a_tag_is_no_signature(stored: Stored, data: bytes) -> None:
    for tag in (FALLBACK, OLD):
        stored.put(data, tag=tag)

    stored.refused("it has no signature")

    assert "../x" not in stored.calls.read_text()


# What the real cosign 3 made

TAGS = cosign_3.recorded("tags")


@pytest.fixture(params=["with the API", "without the API"])
def recorded(request: pytest.FixtureRequest, stored: Stored) -> Stored:
    for path in (cosign_3.RECORDED / "blobs").iterdir():
        stored.put(path.read_bytes(), path.read_bytes())
    if request.param == "with the API":
        for digest, answer in cosign_3.recorded("referrers").items():
            stored.registry.answers[f"/v2/team/app/referrers/{digest}"] = Answer(200, answer.encode())
    else:
        for tag, digest in TAGS.items():
            stored.put(cosign_3.recorded_blob(digest), tag=tag)
    return stored


def by_key(stored: Stored) -> Rule:
    return Rule(prefix=stored.registry.host, sigstore_key=cosign_3.RECORDED / "team.pub")


def by_identity(stored: Stored, identity: str = IDENTITY, issuer: str = ISSUER) -> Rule:
    root = cosign_3.RECORDED / "trusted_root.json"
    return Rule(prefix=stored.registry.host, identity=identity, issuer=issuer, trusted_root=root)


def test_what_cosign_3_signed_with_a_key_is_accepted(recorded: Stored) -> None:
    signatures.require_of_reference(recorded.source, TAGS["1.0"], by_key(recorded))


def test_what_cosign_3_signed_by_an_identity_is_accepted(recorded: Stored) -> None:
    signatures.require_of_reference(recorded.source, TAGS["oci"], by_identity(recorded))


def test_what_cosign_3_signed_is_refused_by_another_rule(recorded: Stored) -> None:
    def refused(digest: str, rule: Rule, why: str) -> None:
        with pytest.raises(ProvenanceError, match=why):
            signatures.require_of_reference(recorded.source, digest, rule)

    refused(TAGS["1.0"], Rule(prefix="x", sigstore_key=recorded.key), "by another key")
    refused(TAGS["1.0"], by_identity(recorded), "by a key, not by an identity")
    refused(TAGS["oci"], by_key(recorded), "by an identity, not by a key")
    refused(TAGS["oci"], by_identity(recorded, identity="https://example.org/other"), "SANs do not match")
    refused(TAGS["oci"], by_identity(recorded, issuer="https://elsewhere.test"), "is not valid")
