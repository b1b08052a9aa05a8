# SPDX-License-Identifier: Apache-2.0
"""The statement about a build: in-toto with SLSA provenance. Signing is elsewhere.

Formats: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and
https://slsa.dev/spec/v1.0/provenance. Pure: no I/O.
"""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from goldsmith.containers.images_lock import LockedImage
from goldsmith.errors import ProvenanceError
from goldsmith.image.manifest import Manifest
from goldsmith.image.packages import Package, PackageList
from goldsmith.kubernetes.kubelet import KubeletRecord
from goldsmith.scan import purls

KIND = "application/vnd.in-toto+json"
TYPE = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:goldsmith:build-image:1"
_COMMIT_DIGITS = 40


def make(
    manifest: Manifest,
    packages: PackageList,
    *,
    manifest_sha256: str,
    builder: str,
    accepted: str | None = None,
) -> dict[str, Any]:
    """The statement about a build's disks, its manifest and every file that the manifest lists.

    builder: URI of who built it. accepted: why a build with uncommitted changes is signed. An older build
    gives the same statement as the goldsmith that signed it: checks of releases rely on that. Manifests
    without a start, and package lists without a family, are older.
    """
    start = {"startedOn": manifest.started} if manifest.started else {}
    return {
        "_type": TYPE,
        "subject": list(_subjects(manifest, manifest_sha256)),
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"spec": manifest.name, "spec_sha256": manifest.spec_sha256},
                "internalParameters": {"arch": manifest.arch, "elements": dict(manifest.elements)},
                "resolvedDependencies": list(_materials(manifest, packages, accepted)),
            },
            "runDetails": {
                "builder": {"id": builder, "version": dict(manifest.tools)},
                "metadata": {"invocationId": manifest.build_id, **start, "finishedOn": manifest.created},
                "byproducts": [_verification(manifest)],
            },
        },
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """A statement as read. Properties raise KeyError, IndexError or TypeError for another form."""

    content: Mapping[str, Any]

    @property
    def is_provenance(self) -> bool:
        """Whether its kind is that of make()."""
        return (self.content["_type"], self.content["predicateType"]) == (TYPE, PREDICATE)

    @property
    def subjects(self) -> dict[str, Mapping[str, str]]:
        """File name -> its digests by algorithm."""
        return {str(each["name"]): each["digest"] for each in self.content["subject"]}

    @property
    def builder(self) -> str:
        """URI of who built it."""
        return str(self.content["predicate"]["runDetails"]["builder"]["id"])

    @property
    def accepted(self) -> str | None:
        """Why a build with uncommitted changes is signed."""
        checkout = self.content["predicate"]["buildDefinition"]["resolvedDependencies"][0]
        reason: str | None = checkout["annotations"].get("accepted")
        return reason

    def is_same(self, made: Mapping[str, Any]) -> bool:
        """Whether make() gave it. The first statements have a null digest for a package without a hash."""
        predicate = self.content["predicate"]
        definition = predicate["buildDefinition"]
        dependencies = [
            {key: value for key, value in each.items() if value != {"sha256": None}}
            for each in definition["resolvedDependencies"]
        ]
        definition = {**definition, "resolvedDependencies": dependencies}
        return {**self.content, "predicate": {**predicate, "buildDefinition": definition}} == made

    @property
    def verification(self) -> tuple[str, str]:
        """Result of the verification, and hex sha256 of the disk image that was verified."""
        found = self.content["predicate"]["runDetails"]["byproducts"][0]["annotations"]
        return str(found["result"]), str(found.get("image_sha256"))


def _subjects(manifest: Manifest, manifest_sha256: str) -> Iterator[dict[str, Any]]:
    for disk in manifest.disks:
        yield {"name": disk.file, "digest": {"sha256": disk.sha256, "sha512": disk.sha512}}
    yield {"name": "manifest.json", "digest": {"sha256": manifest_sha256}}
    for name, sha256 in sorted(manifest.files.items()):
        yield {"name": name, "digest": {"sha256": sha256}}


def _materials(manifest: Manifest, packages: PackageList, accepted: str | None) -> Iterator[dict[str, Any]]:
    """What the build used, each by its digest."""
    state = {"dirty": manifest.dirty} | ({"accepted": accepted} if accepted else {})
    commit = manifest.commit  # 'nogit' where the checkout had no git
    digest = {"digest": {"gitCommit": commit}} if len(commit) == _COMMIT_DIGITS else {}
    uri = {"uri": manifest.checkout} if manifest.checkout else {}
    yield {"name": "checkout", **uri, **digest, "annotations": {**state, "commit": commit}}
    if manifest.made_by and manifest.made_by.record_sha256:
        yield {
            "name": f"RECORD of goldsmith {manifest.made_by.version}",
            "digest": {"sha256": manifest.made_by.record_sha256},
        }
    if manifest.base_image:
        base = manifest.base_image
        yield {"name": "base image", "uri": base.url, "digest": {"sha256": base.sha256}}
    if manifest.kubelet:
        yield _kubelet(manifest.kubelet)
    for image in manifest.containers:
        uri = {"uri": purls.container(image.ref, image.digest).to_string()} if manifest.started else {}
        yield {**_container(image), **uri}
    for package in packages.packages:
        known = {"digest": {"sha256": package.sha256}} if package.sha256 else {}
        yield {"uri": _uri(package, packages, manifest), **known}


def _uri(package: Package, listed: PackageList, manifest: Manifest) -> str:
    """The package's URL, as the bill of materials has it; of an older list, as it was signed."""
    if listed.family:
        return purls.package(
            listed.family, listed.distro, package.name, package.version, package.architecture,
            package.source or "",
        ).to_string()  # fmt: skip
    family = {"debian": "deb", "fedora": "rpm"}.get(manifest.distribution, "generic")
    name, version = (urllib.parse.quote(text, safe="~") for text in (package.name, package.version))
    return f"pkg:{family}/{manifest.distribution}/{name}@{version}?arch={package.architecture}"


def _kubelet(kubelet: KubeletRecord) -> dict[str, Any]:
    provenance = kubelet.provenance
    found: dict[str, Any] = {"name": "kubelet", "annotations": dict(provenance)}
    if "module" in provenance:
        module, version, h1 = provenance["module"].split()
        digest = base64.b64decode(h1.removeprefix("h1:")).hex()
        return {**found, "uri": f"pkg:golang/{module}@{version}", "digest": {"goModuleH1": digest}}
    if kubelet.sha256:
        return {**found, "digest": {"sha256": kubelet.sha256}}
    return {**found, "uri": f"pkg:generic/kubelet@{kubelet.version}"}  # its package is in the list


def _container(image: LockedImage) -> dict[str, Any]:
    algorithm, _, value = image.digest.partition(":")
    known = {"source": image.source, "config": image.config_digest, "index": image.index_digest}
    return {
        "name": image.ref, "digest": {algorithm: value},
        "annotations": {key: value for key, value in known.items() if value},
    }  # fmt: skip


def _verification(manifest: Manifest) -> dict[str, Any]:
    verdict = manifest.verification
    if verdict is None:
        raise ProvenanceError(
            f"the build {manifest.build_id} was not verified", hint="sign a build that latest pointed to"
        )
    return {
        "name": "verification",
        "annotations": {
            "result": verdict.result, "tests": verdict.tests, "skipped": list(verdict.skipped),
            "image_sha256": verdict.image_sha256,
        },
    }  # fmt: skip
