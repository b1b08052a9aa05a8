# SPDX-License-Identifier: Apache-2.0
"""Releases in a cloud against a public key, without their files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from goldsmith.core import documents
from goldsmith.errors import ProvenanceError
from goldsmith.provenance import dsse
from goldsmith.publish import records, release
from goldsmith.publish.operations import signatures
from goldsmith.publish.operations.signatures import CheckedRelease, ReleaseChecksAnswer
from goldsmith.publish.records import ReleaseRecord
from tests.support.release_site import FIRST, SECOND, Site


@pytest.fixture
def published(site: Site) -> Site:
    """A signed build was published to both clouds, after an unsigned one."""
    site.build(FIRST, signed=False)
    site.build(SECOND)
    for build in (FIRST, SECOND):
        site.publish(build, "prod", "edge")
    return site


def checked(site: Site, key: Path, *, build: str = "", download: bool = False) -> CheckedRelease:
    asked = signatures.ask(site.question(), dsse.public_key(key), build=build, download=download)
    return signatures.answer(asked).clouds["prod"]


def failed(found: CheckedRelease) -> dict[str, str]:
    return {check.name: check.detail for check in found.report.failed}


def change_record(site: Site, build: str, change: Callable[[ReleaseRecord], ReleaseRecord]) -> None:
    glance = site.clouds["prod"]
    (record,) = (i.id for i in glance.stored.values() if release.RECORD_TAG in i.tags and i.build_id == build)
    glance.upload(record, change(records.parse(glance.contents[record], "record")).packed())


def test_a_signed_release_passes_by_its_record_and_the_hash_of_its_image(published: Site) -> None:
    asked = signatures.ask(
        published.question("prod", "edge"), dsse.public_key(published.public_key()), build="", download=False
    )

    signatures.require(asked)
    answer = signatures.answer(asked)
    found = answer.clouds["edge"]
    assert (found.result, found.build_id, found.builder) == ("passed", SECOND, "urn:builder")
    assert found.key == dsse.key_id(published.key)
    assert [check.name for check in found.checks] == [
        "signature", "manifest.json", "packages.json", "sbom.cdx.json", "image", "build", "manifest",
        "verification",
    ]  # fmt: skip
    data = json.loads(json.dumps(answer.as_dict()))
    jsonschema.validate(data, documents.json_schema(ReleaseChecksAnswer))
    assert answer.as_text().startswith(f"prod: {SECOND}, image ")
    assert checked(published, published.public_key(), download=True).result == "passed"


def test_the_wrong_key_names_the_signer_in_every_cloud(published: Site) -> None:
    wrong = published.public_key(Ed25519PrivateKey.generate())
    asked = signatures.ask(
        published.question("prod", "edge"), dsse.public_key(wrong), build="", download=False
    )

    found = signatures.answer(asked).clouds["prod"]
    assert (found.key, found.builder) == (None, None)
    with pytest.raises(ProvenanceError, match="the release in prod, edge fails its check") as e:
        signatures.require(asked)
    assert f"is signed by {dsse.key_id(published.key)[:16]}, not by the key" in str(e.value)
    assert "do not boot this image" in str(e.value.hint)


def test_an_unsigned_release(published: Site) -> None:
    found = checked(published, published.public_key(), build=FIRST)

    assert list(failed(found)) == ["statement"]
    assert "the record holds no signed statement" in failed(found)["statement"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda record: replace(record, manifest={**record.manifest, "commit": "b" * 40}), "manifest.json"),
        (lambda record: replace(record, packages={**record.packages, "kernels": []}), "packages.json"),
        (lambda record: replace(record, bill=f"{record.bill} "), "sbom.cdx.json"),
        (lambda record: replace(record, statement=f"{record.statement} "), "signature"),
        (lambda record: replace(record, statement="[]"), "signature"),
    ],
)
def test_a_record_that_was_changed(
    published: Site, change: Callable[[ReleaseRecord], ReleaseRecord], name: str
) -> None:
    change_record(published, SECOND, change)

    assert list(failed(checked(published, published.public_key()))) == [name]


def test_an_image_that_is_not_the_signed_one(published: Site) -> None:
    glance = published.clouds["prod"]
    (image,) = (i for i in glance.stored.values() if i.name == "golden")
    glance.contents[image.id] = b"other bytes, of which Glance knows no hash yet"

    assert checked(published, published.public_key()).result == "passed"
    downloaded = checked(published, published.public_key(), download=True)
    assert "is that of no file of the statement" in failed(downloaded)["image"]
    glance.set(image.id, hash_value="0" * 128)
    assert list(failed(checked(published, published.public_key()))) == ["image"]
    glance.set(image.id, disk_format="raw")
    assert "it is raw, which was converted" in failed(checked(published, published.public_key()))["image"]
    glance.set(image.id, hash_algo=None, hash_value=None)
    assert "add --download" in failed(checked(published, published.public_key()))["image"]


def test_the_record_of_another_signed_release_does_not_vouch(published: Site) -> None:
    """An older build with the same disk, whose record was put in place of the newer one's."""
    third = "20260303T120000Z-abcdefc"
    published.build(third)
    published.publish(third)
    other = records.of_build(published.out / "mine" / third)
    change_record(published, SECOND, lambda record: replace(other, glance=record.glance))

    found = checked(published, published.public_key(), build=SECOND)

    assert failed(found) == {"build": f"{third}, but the image says {SECOND}"}
