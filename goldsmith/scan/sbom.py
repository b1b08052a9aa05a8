# SPDX-License-Identifier: Apache-2.0
"""Bill of materials of an offline image, as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/).

`python -m goldsmith.scan.sbom ROOT OUT` writes that of the root file system at ROOT. It is a separate program
because it reads files as root. The same disk gives the same bytes.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import posixpath
import sys
import urllib.parse
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalContact
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from packageurl import PackageURL

from goldsmith.core import build_folders, files
from goldsmith.core.documents import about
from goldsmith.errors import ProvenanceError
from goldsmith.image import mount, packages
from goldsmith.image.packages import PackageList
from goldsmith.scan import components, contents, go_buildinfo
from goldsmith.scan.components import KUBELET, Hashes, Parts

FILE = "sbom.cdx.json"
_TOOL = "goldsmith"
_PROGRAM = "/usr/bin/kubelet"
_SPACE = uuid.UUID("6f6e5f0c-4e0f-5b0e-9a55-2d6d0f0f7a10")  # namespace of the serial numbers


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
    system = contents.fields_of(_os_release(root))
    host = contents.packages(root)
    distro = contents.release_of(system)
    version = str(build.get("build_id", components.UNKNOWN))
    found = [
        components.packages(host, distro, "host", _hashes(root)),
        *(components.container(image, names) for image in contents.containers(root)),
        components.operating_system(system, host, "system"),
        *_kubelet(mount.resolve(root, _PROGRAM), build),
    ]
    subject = _subject(build, version, distro)
    bom = Bom(
        components=[part for each in found for part in each.listed],
        serial_number=uuid.uuid5(_SPACE, version), metadata=_metadata(subject, version),
        dependencies=_dependencies(subject, found),
    )  # fmt: skip
    return _validated(JsonV1Dot6(bom).output_as_string(indent=1))


def parsed(path: Path) -> dict[str, Any]:
    """A CycloneDX document. Raises OSError, or ValueError, KeyError, TypeError or RecursionError."""
    return of_text(path.read_text())


def of_text(text: str) -> dict[str, Any]:
    """The same, of a text. Raises ValueError, KeyError, TypeError or RecursionError."""
    document: dict[str, Any] = json.loads(text)
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


def _subject(build: Mapping[str, Any], version: str, distro: str) -> Component:
    """The image. Its type is platform: scanners take an operating-system for the distribution."""
    name = str(build.get("name", components.UNKNOWN))
    origin = urllib.parse.urlsplit(str(build.get("repository") or ""))
    owner = f"{origin.hostname or ''}{origin.path.rpartition('/')[0]}"
    return Component(
        name=name, version=version, type=ComponentType.PLATFORM, bom_ref="image",
        supplier=components.supplier(owner), purl=PackageURL("generic", None, name, version),
        properties=components.properties(os=distro),
    )  # fmt: skip


def _metadata(subject: Component, version: str) -> BomMetaData:
    """Who made the bill, when and at which stage: after the build, from the disk."""
    tool = Component(
        name=_TOOL, version=importlib.metadata.version(_TOOL), type=ComponentType.APPLICATION,
        bom_ref=f"tool/{_TOOL}",
    )  # fmt: skip
    return BomMetaData(
        component=subject, timestamp=_built(version), authors=[OrganizationalContact(name=_TOOL)],
        tools=ToolRepository(components=[tool]),
        lifecycles=[PredefinedLifecycle(LifecyclePhase.POST_BUILD)],
    )  # fmt: skip


def _dependencies(subject: Component, found: Sequence[Parts]) -> list[Dependency]:
    """Those of the image on all that is in it, and those that the parts have. Each part has an entry."""
    whole = [(subject.bom_ref, tuple(part.bom_ref for each in found for part in each.listed))]
    needs = dict([*whole, *(need for each in found for need in each.needs)])
    parts = {ref for refs in needs.values() for ref in refs} - needs.keys()
    return [
        Dependency(ref, [Dependency(other) for other in refs])
        for ref, refs in [*needs.items(), *((part, ()) for part in parts)]
    ]


def _hashes(root: Path) -> Hashes:
    """Hashes of the packages as they were fetched, by the list inside the disk."""
    data = mount.read_json(root, f"{posixpath.dirname(mount.BUILD_JSON)}/{packages.FILE}")
    if data is None:
        return Hashes()
    listed = PackageList.parse(data, packages.FILE, error=ProvenanceError).packages
    keys = {(each.name, each.version, each.architecture): each for each in listed}
    return Hashes(
        files={key: each.sha256 for key, each in keys.items() if each.sha256},
        headers={key: each.header_sha256 for key, each in keys.items() if each.header_sha256},
    )


def _kubelet(program: Path, build: Mapping[str, Any]) -> list[Parts]:
    if not program.is_file():
        return []
    version = str((build.get("kubelet") or {}).get("version", components.UNKNOWN))
    return [components.kubelet(files.sha256_of(program), go_buildinfo.read(program), version)]


def _built(version: str) -> datetime.datetime:
    return build_folders.started(version) or datetime.datetime.fromtimestamp(0, datetime.UTC)


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
