# SPDX-License-Identifier: Apache-2.0
"""The main job of the README: a spec, one command, a verified image."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from goldsmith.core import files, paths, proc
from goldsmith.scan import sbom
from tests.support import published
from tests.support.inv import inv

pytestmark = pytest.mark.integration

_STATUS = re.compile(r"(\./)?var/lib/dpkg/status(\.d/[^/]+)?")  # dpkg's, also of an image without dpkg
FILES = {
    "debian-kubelet-amd64.qcow2", "debian-kubelet-amd64.qcow2.sha256", "manifest.json", "spec.yaml",
    "images.lock.json", "packages.json", "sbom.cdx.json", "secrets.json", "build.log", "console.log",
    "junit.xml", "timings.json", "lock.yaml", "inputs.json", "boot-timeline.json",
}  # fmt: skip


def test_build_leaves_all_its_files_under_latest(built: dict[str, Any], out: Path) -> None:
    latest = out / "debian-kubelet" / "latest"

    assert latest.is_symlink()
    assert latest.resolve() == Path(built["folder"])
    assert {path.name for path in latest.iterdir()} == FILES


def test_manifest_has_the_verdict_and_the_hashes_of_all_files(built: dict[str, Any]) -> None:
    folder = Path(built["folder"])
    manifest = json.loads((folder / "manifest.json").read_text())
    disk = manifest["disks"][0]

    assert manifest == built["manifest"]
    assert manifest["verification"]["result"] == "passed"
    assert manifest["verification"]["tests"] > 50
    assert manifest["verification"]["skipped"] == []
    with (folder / disk["file"]).open("rb") as image:
        assert hashlib.file_digest(image, "sha256").hexdigest() == disk["sha256"]
    for name, digest in manifest["files"].items():
        assert files.sha256_of(folder / name) == digest, name


def test_every_document_of_the_build_matches_its_schema(built: dict[str, Any]) -> None:
    found = published.check_folder(Path(built["folder"]))

    assert found == {
        f"goldsmith.{name}"
        for name in (
            "boot-timeline",
            "build-inputs",
            "images-lock",
            "manifest",
            "packages",
            "secrets",
            "timings",
        )
    }


def test_every_package_has_a_hash_and_a_suite(built: dict[str, Any]) -> None:
    packages = json.loads((Path(built["folder"]) / "packages.json").read_text())["packages"]

    assert len(packages) > 150
    assert [p["name"] for p in packages if not p["sha256"] or not p["suite"]] == []


def test_an_unchanged_spec_reuses_its_bundle(built: dict[str, Any], out: Path) -> None:
    """Without the mirrors: if they have changed since the build, a new export would be right."""
    nobody = "http://127.0.0.1:1"
    before = time.monotonic()
    bundle = inv(
        "export-images",
        "--remembered-index",
        out=out,
        GOLDSMITH_DEBIAN_MIRROR=nobody,
        GOLDSMITH_DEBIAN_SECURITY_MIRROR=nobody,
    )

    assert bundle["reused"] is True
    assert time.monotonic() - before < 60
    assert [i["digest"] for i in bundle["images"]] == [i["digest"] for i in built["manifest"]["containers"]]


def test_the_sbom_lists_the_packages_that_were_fetched(built: dict[str, Any]) -> None:
    folder = Path(built["folder"])
    fetched = json.loads((folder / "packages.json").read_text())["packages"]

    billed = sbom.read(folder / "sbom.cdx.json").packages

    assert sorted(billed) == sorted((p["name"], p["version"], p["architecture"]) for p in fetched)


def test_the_sbom_lists_the_packages_that_dpkg_finds_in_the_layers(
    built: dict[str, Any], out: Path, tmp_path: Path
) -> None:
    """tar and dpkg-query read the bundle. Neither list has a package that the other one lacks."""
    inv("export-images", "--out", str(tmp_path / "export"), out=out)
    proc.capture(["tar", "-xf", tmp_path / "export/bundle.tar", "-C", tmp_path, "blobs"])
    document = json.loads((Path(built["folder"]) / "sbom.cdx.json").read_text())
    billed = {
        part["version"]: {
            (p["name"], p["version"]) for p in part.get("components", ()) if p["type"] == "library"
        }
        for part in document["components"]
        if part["type"] == "container"
    }

    found = {}
    for image in built["manifest"]["containers"]:
        root = tmp_path / image["digest"].partition(":")[2]
        (root / "var/lib/dpkg").mkdir(parents=True)
        for layer in image["layers"]:
            blob = tmp_path / "blobs/sha256" / layer["digest"].partition(":")[2]
            names = proc.capture(["tar", "-tf", blob]).splitlines()
            status = [name for name in names if _STATUS.fullmatch(name)]
            if status:
                proc.capture(["tar", "-xf", blob, "-C", root, "--no-same-owner", *status])
        listed = [path.read_text() for path in sorted((root / "var/lib/dpkg").glob("status*/*"))]
        if listed:
            (root / "var/lib/dpkg/status").write_text("\n".join(listed))
        rows = proc.capture(
            ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f", "${Package}\t${Version}\n"]
        )
        found[image["digest"]] = {tuple(row.split("\t")) for row in rows.splitlines()}

    assert billed == found
    assert max(len(packages) for packages in found.values()) > 50
    pause = next(i for i in built["manifest"]["containers"] if i["ref"] == "goldsmith.local/pause:1")
    assert {name for name, _ in found[pause["digest"]]} == {"catatonit"}


def test_bill_and_signed_statement_name_the_same_packages_and_images(
    built: dict[str, Any], signed: dict[str, Any]
) -> None:
    bill = json.loads((Path(built["folder"]) / "sbom.cdx.json").read_text())
    envelope = json.loads(Path(signed["statement"]).read_text())
    definition = json.loads(base64.b64decode(envelope["payload"]))["predicate"]["buildDefinition"]

    billed = {part["purl"] for part in bill["components"] if part["type"] in {"library", "container"}}
    materials = {each.get("uri", "") for each in definition["resolvedDependencies"]}

    assert {uri for uri in materials if uri.startswith(("pkg:deb/", "pkg:oci/"))} == billed


def test_the_bill_names_suppliers_licences_and_hashes_of_the_packages(built: dict[str, Any]) -> None:
    bill = json.loads((Path(built["folder"]) / "sbom.cdx.json").read_text())
    packages = [part for part in bill["components"] if part["type"] == "library"]

    assert [part["name"] for part in packages if not part["supplier"]["name"]] == []
    assert [part["name"] for part in packages if not part["hashes"]] == []
    assert sum("licenses" in part for part in packages) > 0.9 * len(packages)
    (kubelet,) = (part for part in bill["components"] if part["type"] == "application")
    assert {part["name"] for part in kubelet["components"]} >= {"k8s.io/kubernetes", "stdlib"}


def test_the_signed_build_can_be_verified_with_the_public_key(
    built: dict[str, Any], signed: dict[str, Any], keys: dict[str, Path], out: Path, tmp_path: Path
) -> None:
    public, folder = keys["ours"].with_suffix(".pub"), Path(built["folder"])

    report = inv("verify-release", built["image"], "--key", str(public), out=out)

    assert signed["statement"] == str(folder / "provenance.intoto.json")
    assert report["result"] == "passed"
    assert {check["name"] for check in report["checks"]} >= {*built["manifest"]["files"], "manifest.json"}
    other = tmp_path / "other"
    shutil.copytree(folder, other, copy_function=os.link)
    (other / "sbom.cdx.json").unlink()
    (other / "sbom.cdx.json").write_text("{}")
    with pytest.raises(AssertionError, match=r'differs from the signed file[^}]*"name": "sbom\.cdx\.json"'):
        inv("verify-release", str(other), "--key", str(public), out=out)


def test_the_run_leaves_no_mount_and_no_loop_device(built: dict[str, Any]) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    backing = [path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")]

    assert str(paths.scratch_root()) not in mounts
    assert [file for file in backing if str(paths.scratch_root()) in file] == []
