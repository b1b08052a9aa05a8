# SPDX-License-Identifier: Apache-2.0
"""Records of builds."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from goldsmith.changes import build_diff
from goldsmith.core.documents import json_schema
from goldsmith.errors import PublishError
from goldsmith.image import finished_build
from goldsmith.publish import records
from goldsmith.publish.records import HeldImage, Records, ReleaseRecord
from goldsmith.publish.release import GlanceImage
from tests.support import samples

OLD_RECORDS = sorted((Path(__file__).parent / "documents").glob("record-*.json"))


BILL = {
    "bomFormat": "CycloneDX",
    "components": [
        {"type": "library", "name": "bash", "version": "5.2", "bom-ref": "host/bash"},
        {"type": "container", "name": "a/web:1", "components": [
            {"type": "library", "name": "nginx", "version": "1.26"},
            {"type": "library", "name": "kernel", "version": "2"},
            {"type": "library", "name": "kernel", "version": "1"},
        ]},
        {"type": "container", "name": "a/zstd:1", "properties": [
            {"name": "goldsmith:unread", "value": "the compression is not supported"},
        ]},
        {"type": "application", "name": "kubelet", "components": []},
    ],
}  # fmt: skip


def in_glance(**attributes: Any) -> GlanceImage:
    image = GlanceImage(
        id="i1", name="mine", status="active", owner="p1", visibility="private", hidden=True,
        protected=False, tags=frozenset(), properties={}, size=None, disk_format="qcow2",
        hash_algo="sha512", hash_value=None, created="2026-03-01T12:00:00Z", min_disk=1, min_ram=512,
    )  # fmt: skip
    return dataclasses.replace(image, **attributes)


def test_a_record_has_what_the_build_folder_has(build: Path, tmp_path: Path) -> None:
    read = finished_build.read(build)
    disk = finished_build.disk(read, "qcow2")
    held = in_glance(size=1, hash_value="aa")
    kept = Records(out=tmp_path / "no builds", name="mine", folder=tmp_path / "records")
    assert kept.get(read.id) is None

    record = records.of_release(read, disk, held)
    kept.put(read.id, record.packed())

    found = kept.get(read.id)
    assert found is not None
    assert found == record
    assert found.manifest == samples.read(build)
    assert found.glance == HeldImage(size=1, hash_algo="sha512", hash_value="aa")
    beside = records.beside(build)
    assert beside is not None
    assert build_diff.between(found.contents(), beside.contents()).is_empty
    assert record.packed() == found.packed()


def test_a_record_of_a_build_that_is_not_published_has_no_disk_and_no_image(build: Path) -> None:
    beside = records.beside(build)

    assert beside is not None
    assert beside.as_dict().keys() == {"schema", "version", "manifest", "packages", "images_lock"}
    assert beside.images_lock is None
    assert records.beside(build.parent) is None


def test_a_record_has_the_keys_of_the_spec_and_the_packages_in_container_images(build: Path) -> None:
    plain = records.of_build(build)
    (build / "spec.yaml").write_text("dib-env: {DB_PASSWORD: hunter2, DIB_X: '1'}\n")
    (build / "sbom.cdx.json").write_text(json.dumps(BILL))

    record = records.of_build(build)

    assert (plain.spec, plain.container_packages) == (None, None)
    assert record.spec is not None
    assert record.spec["dib-env.DIB_X"] == "1"
    assert record.spec["dib-env.DB_PASSWORD"].startswith("(hidden ")
    assert record.container_packages == {"a/web:1": {"kernel": "1, 2", "nginx": "1.26"}}
    assert b"hunter2" not in gzip.decompress(record.packed())
    jsonschema.validate(json.loads(json.dumps(record.as_dict())), json_schema(ReleaseRecord))


def test_a_record_has_the_signed_statement_and_the_bill_to_their_last_byte(
    build: Path, tmp_path: Path
) -> None:
    texts = {
        "sbom.cdx.json": json.dumps(BILL, indent=3),
        "provenance.intoto.json": '{"payload": "\u00e9"}\r\n',
    }
    for name, text in texts.items():
        (build / name).write_bytes(text.encode())
    kept = Records(out=tmp_path / "no builds", name="mine", folder=tmp_path / "records")

    kept.put(build.name, records.of_build(build).packed())
    found = kept.get(build.name)

    assert found is not None
    assert (found.bill, found.statement) == tuple(texts.values())
    jsonschema.validate(json.loads(json.dumps(found.as_dict())), json_schema(ReleaseRecord))


def test_a_record_without_bill_is_completed_from_the_folder_of_its_build(build: Path, tmp_path: Path) -> None:
    (build / "spec.yaml").write_text("dib-env: {DIB_X: '1'}\n")
    before = records.of_build(build)
    (build / "sbom.cdx.json").write_text(json.dumps(BILL))
    (build / "spec.yaml").write_text("dib-env: {DIB_X: '2'}\n")
    kept = Records(out=build.parent.parent, name="mine", folder=tmp_path / "records")
    kept.put(build.name, before.packed())

    completed = kept.get(build.name)

    assert completed is not None
    assert (completed.bill, completed.spec) == (json.dumps(BILL), before.spec)


def test_an_old_record_is_completed_from_the_folder_of_its_build(build: Path, tmp_path: Path) -> None:
    old = records.of_build(build)
    (build / "spec.yaml").write_text("dib-env: {DIB_X: '1'}\n")
    kept = Records(out=build.parent.parent, name="mine", folder=tmp_path / "records")
    kept.put(build.name, old.packed())
    other = dataclasses.replace(old, manifest={**old.manifest, "commit": "b" * 40})

    completed = kept.get(build.name)
    kept.put(build.name, other.packed())

    assert completed == records.of_build(build)
    assert kept.get(build.name) == other


@pytest.mark.parametrize("path", OLD_RECORDS, ids=lambda path: path.stem)
def test_records_of_all_releases_of_goldsmith_are_read(path: Path) -> None:
    """Their manifests grew: whole hashes of commits, files that are looked into, checksums of base images."""
    document = json.loads(path.read_text())

    found = records.parse(gzip.compress(path.read_bytes(), mtime=0), path.name)

    assert found.as_dict() == document
    assert json.loads(gzip.decompress(found.packed())) == document
    jsonschema.validate(document, json_schema(ReleaseRecord))
    assert found.read_manifest().build_id == document["manifest"]["build_id"]
    assert len(found.read_packages().packages) == 2
    assert found.glance is not None
    assert found.glance.is_still(in_glance(size=470089728, hash_value=document["disk"]["sha512"]))
    assert not found.glance.is_still(in_glance(size=470089728, hash_value="aa"))


def test_a_record_of_a_build_by_a_newer_goldsmith_is_refused(build: Path) -> None:
    record = records.of_build(build)
    newer = dataclasses.replace(record, manifest={**record.manifest, "version": 2})

    why = rf"manifest\.json of the record of {samples.BUILD_ID} has version 2 of goldsmith\.manifest"
    with pytest.raises(PublishError, match=why):
        newer.read_manifest()


def test_there_are_old_records() -> None:
    assert len(OLD_RECORDS) >= 3


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"nothing", "the file x is no record of a release: Not a gzipped file"),
        (gzip.compress(b"{", mtime=0), "the file x is no record of a release: "),
        (gzip.compress(b"[]", mtime=0), "cannot use the record the file x: it is no JSON object"),
        (gzip.compress(b'{"schema": "goldsmith.lock", "version": 1}', mtime=0),
         "the file x is not a goldsmith.record document"),
        (gzip.compress(b'{"schema": "goldsmith.record", "version": 2}', mtime=0),
         "the file x has version 2 of goldsmith.record; this goldsmith reads versions up to 1"),
    ],
)  # fmt: skip
def test_data_that_is_no_record_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(PublishError, match=why):
        records.parse(data, "the file x")
