# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from goldsmith.containers import oci
from goldsmith.errors import BuildError
from goldsmith.spec.model import Into


def image(ref: str, *layers: bytes, into: Into = Into.containerd) -> tuple[oci.Image, dict[str, oci.Content]]:
    config = oci.canonical({"rootfs": {"diff_ids": [oci.sha256(layer) for layer in layers]}, "ref": ref})
    parts = [oci.Layer(digest=oci.sha256(x), size=len(x), diff_id=oci.sha256(x)) for x in (config, *layers)]
    made = oci.Image(
        ref=ref, names=(oci.full_name(ref),), manifest=oci.manifest_of(parts[0], parts[1:]),
        media_type=oci.OCI_MANIFEST, config=parts[0], layers=tuple(parts[1:]), source="build", into=into,
    )  # fmt: skip
    return made, {oci.sha256(x): x for x in (config, *layers)}


def write(*made: tuple[oci.Image, dict[str, oci.Content]]) -> tuple[bytes, str]:
    sink = io.BytesIO()
    blobs = {digest: data for _, content in made for digest, data in content.items()}
    digest = oci.write([one for one, _ in made], blobs, sink)
    return sink.getvalue(), digest


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        entries = [(entry.name, archive.extractfile(entry)) for entry in archive]
    assert len({name for name, _ in entries}) == len(entries)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {e.name: f.read() for e in archive if (f := archive.extractfile(e)) is not None}


def test_the_same_images_give_the_same_bytes_and_their_hash() -> None:
    made = [image("a.test/a:1", b"base", b"a"), image("a.test/b:1", b"base", b"b")]
    first, digest = write(*made)
    assert write(*made) == (first, digest)
    assert hashlib.sha256(first).hexdigest() == digest


def test_every_blob_is_stored_once_and_matches_its_digest() -> None:
    data, _ = write(image("a.test/a:1", b"base", b"a"), image("a.test/b:1", b"base", b"b"))
    blobs = {name: content for name, content in members(data).items() if name.startswith("blobs/")}
    assert len(blobs) == 3 + 2 + 2  # layers, configs, manifests
    for name, content in blobs.items():
        assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"


def test_docker_and_oci_manifests_refer_to_the_same_blobs() -> None:
    one = image("a.test/a:1", b"base", b"a")
    found = members(write(one)[0])
    (entry,) = json.loads(found["manifest.json"])
    (descriptor,) = json.loads(found["index.json"])["manifests"]
    manifest = json.loads(found[f"blobs/{descriptor['digest'].replace(':', '/')}"])
    assert entry["Config"] == f"blobs/{manifest['config']['digest'].replace(':', '/')}"
    assert [found[layer] for layer in entry["Layers"]] == [b"base", b"a"]
    assert descriptor["annotations"]["io.containerd.image.name"] == "a.test/a:1"


def test_tar_headers_hold_nothing_of_the_host() -> None:
    data, _ = write(image("a.test/a:1", b"a"))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert {(e.mtime, e.uid, e.gid, e.uname, e.gname) for e in archive} == {(0, 0, 0, "", "")}


def test_a_blob_that_does_not_match_its_digest_is_refused(tmp_path: Path) -> None:
    one, blobs = image("a.test/a:1", b"layer")
    (tmp_path / "layer").write_bytes(b"rotte")
    blobs[one.layers[0].digest] = tmp_path / "layer"
    with pytest.raises(BuildError, match="does not match its digest"):
        write((one, blobs))


def test_a_full_disk_is_an_error() -> None:
    one, blobs = image("a.test/a:1", bytes(1 << 20))
    with Path("/dev/full").open("wb", buffering=0) as sink, pytest.raises(OSError, match="No space left"):
        oci.write([one], blobs, sink)


def test_an_empty_bundle_is_a_valid_archive() -> None:
    found = members(write()[0])
    assert json.loads(found["manifest.json"]) == []
    assert json.loads(found["index.json"])["manifests"] == []


def test_names_by_digest_are_not_written_as_tags() -> None:
    one, blobs = image("a.test/a:1", b"a")
    pinned = f"a.test/a@{one.digest}"
    both = oci.Image(
        ref=one.ref, names=(*one.names, pinned), manifest=one.manifest, media_type=one.media_type,
        config=one.config, layers=one.layers, source="registry",
    )  # fmt: skip
    found = members(write((both, blobs))[0])
    assert json.loads(found["manifest.json"])[0]["RepoTags"] == ["a.test/a:1"]
    named = [
        d["annotations"]["io.containerd.image.name"] for d in json.loads(found["index.json"])["manifests"]
    ]
    assert named == ["a.test/a:1", pinned]


@pytest.mark.parametrize(
    ("ref", "name", "repository"),
    [
        ("nginx", "docker.io/library/nginx:latest", "docker.io/library/nginx"),
        ("team/app:2", "docker.io/team/app:2", "docker.io/team/app"),
        ("docker.io/nginx:1", "docker.io/library/nginx:1", "docker.io/library/nginx"),
        ("docker.io/nginx@sha256:00", "docker.io/library/nginx@sha256:00", "docker.io/library/nginx"),
        ("index.docker.io/nginx:1", "docker.io/library/nginx:1", "docker.io/library/nginx"),
        ("index.docker.io/team/app", "docker.io/team/app:latest", "docker.io/team/app"),
        ("localhost/app", "localhost/app:latest", "localhost/app"),
        ("host:5000/app", "host:5000/app:latest", "host:5000/app"),
        ("a.test/x/y:1@sha256:00", "a.test/x/y:1@sha256:00", "a.test/x/y"),
        ("a.test/y@sha256:00", "a.test/y@sha256:00", "a.test/y"),
    ],
)
def test_names_are_written_out_as_the_kubelet_does(ref: str, name: str, repository: str) -> None:
    assert (oci.full_name(ref), oci.repository(ref)) == (name, repository)


def test_the_lock_lists_the_images_of_the_archive() -> None:
    one, _ = image("a.test/a:1", b"base", b"a", into=Into.docker)
    parsed = oci.lock([one]).as_dict()
    assert (parsed["schema"], parsed["version"]) == ("goldsmith.images-lock", 1)
    (entry,) = parsed["images"]
    assert entry["digest"] == one.digest
    assert entry["into"] == "docker"
    assert entry["size"] == len(one.manifest) + one.config.size + 5
    assert [layer["diff_id"] for layer in entry["layers"]] == [oci.sha256(b"base"), oci.sha256(b"a")]
