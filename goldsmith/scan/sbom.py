# SPDX-License-Identifier: Apache-2.0
"""Bill of materials of an offline image, as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/).

`python -m goldsmith.scan.sbom ROOT OUT` writes that of the root file system at ROOT. It is a separate program
because it reads files as root. The same disk gives the same bytes.
"""

from __future__ import annotations

import base64
import datetime
import json
import sys
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from packageurl import PackageURL

from goldsmith.core import files
from goldsmith.core.documents import about
from goldsmith.errors import ProvenanceError
from goldsmith.image import mount
from goldsmith.scan import contents, go_buildinfo
from goldsmith.scan.contents import Container, Package

FILE = "sbom.cdx.json"
KUBELET = "kubelet"  # reference of the component
_PROGRAM = "/usr/bin/kubelet"
_SPACE = uuid.UUID("6f6e5f0c-4e0f-5b0e-9a55-2d6d0f0f7a10")  # namespace of the serial numbers
_STAMP = "%Y%m%dT%H%M%SZ"  # a build's ID begins with one


@dataclass(frozen=True, kw_only=True, slots=True)
class SbomContents:
    """Contents of an SBOM, to compare them with the running image."""

    packages: Annotated[
        tuple[tuple[str, str, str], ...], about("Name, version, architecture of each package.")
    ]
    containers: Annotated[Mapping[str, str], about("Container images: reference by digest.")]
    kubelet_sha256: Annotated[str | None, about("Hex sha256 of the kubelet; null where there is none.")]
    error: Annotated[str, about("Why there is no SBOM; empty where there is one.")] = ""


def make(root: Path) -> str:
    """The bill of the root file system at root. Raises ProvenanceError for a disk that is incomplete."""
    build = mount.read_json(root, mount.BUILD_JSON) or {}
    lock = (mount.read_json(root, mount.LOCK_JSON) or {}).get("images", [])
    names = {image["digest"]: image["ref"] for image in lock}
    release = _os_release(root)
    version = str(build.get("build_id", "unknown"))
    components = [
        *_packages(contents.packages(root), contents.release_of(release), "host"),
        *(_container(image, names) for image in contents.containers(root)),
        *_kubelet(mount.resolve(root, _PROGRAM), build),
    ]
    subject = Component(
        name=str(build.get("name", "unknown")), version=version, type=ComponentType.OPERATING_SYSTEM,
        bom_ref="image", properties=_properties(os=contents.release_of(release)),
    )  # fmt: skip
    bom = Bom(
        components=components, serial_number=uuid.uuid5(_SPACE, version),
        metadata=BomMetaData(component=subject, timestamp=_built(version)),
    )  # fmt: skip
    bom.register_dependency(subject, components)
    return _validated(JsonV1Dot6(bom).output_as_string(indent=1))


def parsed(path: Path) -> dict[str, Any]:
    """A CycloneDX document. Raises OSError, or ValueError, KeyError, TypeError or RecursionError."""
    document: dict[str, Any] = json.loads(path.read_text())
    if document["bomFormat"] != "CycloneDX":
        raise ValueError(f"its format is {document['bomFormat']}")
    return document


def read(path: Path) -> SbomContents:
    """The content of a bill of goldsmith's. Raises ProvenanceError for any other file."""
    try:
        document = parsed(path)
        parts = document.get("components", [])
        kubelet = [part for part in parts if part["bom-ref"] == KUBELET]
        return SbomContents(
            packages=tuple(
                (part["name"], part["version"], PackageURL.from_string(part["purl"]).qualifiers["arch"])
                for part in parts
                if part["bom-ref"].startswith("host/")
            ),
            containers={part["version"]: part["name"] for part in parts if part["type"] == "container"},
            kubelet_sha256=kubelet[0]["hashes"][0]["content"] if kubelet else None,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as e:
        raise ProvenanceError(
            f"{path} is no bill of materials of goldsmith's: {type(e).__name__}: {e}"
        ) from e


def _packages(found: Iterable[Package], release: str, where: str) -> list[Component]:
    more = {"distro": release} if release else {}
    distribution = release.partition("-")[0] or "linux"
    return [
        Component(
            name=package.name, version=package.version, type=ComponentType.LIBRARY,
            bom_ref=f"{where}/{package.family}/{package.name}/{package.arch}/{package.version}",
            purl=PackageURL(
                package.family, distribution, package.name, package.version, {"arch": package.arch, **more}
            ),
            properties=_properties(source=package.source),
        )
        for package in found
    ]  # fmt: skip


def _container(image: Container, names: Mapping[str, str]) -> Component:
    """Named as in the lock inside the disk, or "unknown" where the lock does not list it."""
    ref = names.get(image.digest, "unknown")
    repository = ref.rpartition(":")[0] or ref
    name = repository.rpartition("/")[2]
    return Component(
        name=ref, version=image.digest, type=ComponentType.CONTAINER, bom_ref=f"container/{image.digest}",
        hashes=[_sha256(image.digest.partition(":")[2])],
        purl=PackageURL("oci", None, name, image.digest, {"repository_url": repository}),
        properties=_properties(layers=" ".join(image.layers), unread=image.unread),
        components=_packages(image.packages, image.release, image.digest),
    )  # fmt: skip


def _kubelet(program: Path, build: Mapping[str, Any]) -> list[Component]:
    if not program.is_file():
        return []
    made = go_buildinfo.read(program)
    modules = made.modules if made else ()
    return [
        Component(
            name="kubelet", version=str((build.get("kubelet") or {}).get("version", "unknown")),
            type=ComponentType.APPLICATION, bom_ref=KUBELET,
            hashes=[_sha256(files.sha256_of(program))],
            properties=_properties(go=made.go if made else "", unread="" if made else "no Go build info"),
            components=[
                Component(
                    name=module.path, version=module.version, type=ComponentType.LIBRARY,
                    bom_ref=f"kubelet/{module.path}@{module.version}",
                    purl=PackageURL("golang", *_split(module.path), module.version),
                    properties=_properties(h1=_hex(module.h1)),
                )
                for module in modules
            ],
        )
    ]  # fmt: skip


def _split(path: str) -> tuple[str, str]:
    namespace, _, name = path.rpartition("/")
    return namespace, name


def _hex(h1: str) -> str:
    return base64.b64decode(h1.removeprefix("h1:")).hex()


def _sha256(value: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=value)


def _properties(**values: str) -> list[Property]:
    return [Property(name=f"goldsmith:{name}", value=value) for name, value in values.items() if value]


def _built(version: str) -> datetime.datetime:
    try:
        return datetime.datetime.strptime(version.partition("-")[0], _STAMP).replace(tzinfo=datetime.UTC)
    except ValueError:
        return datetime.datetime.fromtimestamp(0, datetime.UTC)


def _os_release(root: Path) -> str:
    path = mount.resolve(root, "/etc/os-release")
    return path.read_text() if path.is_file() else ""


def _validated(text: str) -> str:
    """The text, after a check by CycloneDX's own schema."""
    from cyclonedx.validation.json import JsonStrictValidator  # its grammars take a second to load

    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if wrong is not None:
        raise ProvenanceError(f"the bill of materials does not fit CycloneDX 1.6: {wrong!r}")
    return text + "\n"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(make(Path(sys.argv[1])))
