# SPDX-License-Identifier: Apache-2.0
"""The components of a bill of materials: packages, container images, the operating system, the kubelet."""

from __future__ import annotations

import base64
import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cyclonedx import spdx
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalContact, OrganizationalEntity
from cyclonedx.model.license import License, LicenseAcknowledgement

from goldsmith.containers import oci
from goldsmith.scan import go_buildinfo, purls
from goldsmith.scan.contents import Container
from goldsmith.scan.go_buildinfo import GoBuild, GoModule
from goldsmith.scan.package_databases import Package

KUBELET = "kubelet"  # reference of the component
KUBERNETES = "k8s.io/kubernetes"
STDLIB = "stdlib"  # what databases of vulnerabilities call Go's standard library
SOURCE = "source"  # architecture of a source package in its purl
UNKNOWN = "unknown"
_CONTACT = re.compile(r'"?(?P<name>[^"<>]*?)"?\s*<(?P<email>[^<>@\s]+@[^<>@\s]+)>')
_MAJOR = re.compile(r"/v\d+$")  # of a Go module's path
_ANY_ARCH = frozenset({"all", "noarch"})

Need = tuple[BomRef, tuple[BomRef, ...]]  # of a component, and of those that it depends on


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """A component of the image, or several, and what each of them and of their own parts depends on."""

    listed: tuple[Component, ...]
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Hashes:
    """Hex sha256 of packages by name, version and architecture: of their files, of rpms' headers."""

    files: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    headers: Mapping[tuple[str, str, str], str] = field(default_factory=dict)


def packages(found: Sequence[Package], distro: str, where: str, hashes: Hashes | None = None) -> Parts:
    """Installed packages. where: prefix of their references."""
    known = hashes or Hashes()
    parts = tuple(_package(package, distro, where, known) for package in found)
    return Parts(listed=parts, needs=tuple(_needs(found, parts)))


def container(image: Container, names: Mapping[str, str]) -> Parts:
    """A container image, named as in the lock inside the disk, or "unknown" where that does not list it."""
    ref = names.get(image.digest)
    inside = packages(image.packages, image.release, image.digest)
    system = operating_system(image.os, image.packages, image.digest)
    owner = oci.repository(ref).rpartition("/")[0] if ref else ""
    part = Component(
        name=ref or UNKNOWN, version=image.digest, type=ComponentType.CONTAINER,
        bom_ref=f"container/{image.digest}",
        supplier=supplier(owner), hashes=[_sha256(image.digest.partition(":")[2])],
        purl=purls.container(ref, image.digest),
        properties=properties(layers=" ".join(image.layers), unread=image.unread),
        components=[*inside.listed, *system.listed],
    )  # fmt: skip
    return Parts(listed=(part,), needs=(_all_of(part), *inside.needs, *system.needs))


def operating_system(release: Mapping[str, str], found: Sequence[Package], where: str) -> Parts:
    """The distribution by its os-release(5), as scanners look for it; nothing where it has no ID.

    It has the sources of the packages found: Debian's records of vulnerabilities name these, and some
    scanners match components by name alone. where: prefix of its reference.
    """
    name, version = release.get("ID", ""), release.get("VERSION_ID", "")
    if not name:
        return Parts(listed=())
    of_debian = f"cpe:2.3:o:debian:debian_linux:{version}:*:*:*:*:*:*:*" if name == "debian" else None
    part = Component(
        name=name, version=version or None, type=ComponentType.OPERATING_SYSTEM, bom_ref=f"{where}/os/{name}",
        supplier=supplier(release.get("VENDOR_NAME", "") or release.get("NAME", "")),
        cpe=release.get("CPE_NAME") or of_debian,
        components=_sources(found, f"{name}-{version}" if version else name, where),
    )  # fmt: skip
    return Parts(listed=(part,), needs=(_all_of(part),))


def kubelet(sha256: str, made: GoBuild | None, version: str) -> Parts:
    """The kubelet with its own module, Go's standard library and the modules linked in.

    version: of Kubernetes, as the build names it, or "unknown". Scanners match modules alone, so that
    the main module is listed among them.
    """
    main = GoModule(path=KUBERNETES, version="" if version == UNKNOWN else f"v{version}", h1="")
    if made and made.main and made.main.version.startswith("v"):
        main = made.main
    linked = [main, *made.modules] if made else [main]
    go = go_buildinfo.stdlib_version(made.go) if made else ""
    inside = [_module(each) for each in linked if each.version]
    inside += [_module(GoModule(path=STDLIB, version=go, h1=""))] if go else []
    part = Component(
        name="kubelet", version=version, type=ComponentType.APPLICATION, bom_ref=KUBELET,
        supplier=supplier("Kubernetes"), hashes=[_sha256(sha256)],
        purl=purls.go_module(main.path, main.version, "cmd/kubelet"), cpe=_cpe(version),
        properties=properties(go=made.go if made else "", unread="" if made else "no Go build info"),
        components=inside,
    )  # fmt: skip
    return Parts(listed=(part,), needs=(_all_of(part),))


def supplier(text: str) -> OrganizationalEntity | None:
    """Who supplies a component: a name, also with an address as in NAME <ADDRESS>; None for an empty one."""
    match = _CONTACT.fullmatch(text.strip())
    if match:
        contact = OrganizationalContact(email=match["email"])
        return OrganizationalEntity(name=match["name"].strip() or match["email"], contacts=[contact])
    return OrganizationalEntity(name=text.strip()) if text.strip() else None


def properties(**values: str) -> list[Property]:
    """Properties of goldsmith's; empty values are left out."""
    return [Property(name=f"goldsmith:{name}", value=value) for name, value in values.items() if value]


def _package(package: Package, distro: str, where: str, hashes: Hashes) -> Component:
    key = (package.name, package.version, package.arch)
    return Component(
        name=package.name, version=package.version, type=ComponentType.LIBRARY,
        bom_ref=f"{where}/{package.family}/{package.name}/{package.arch}/{package.version}",
        purl=purls.package(
            package.family, distro, package.name, package.version, package.arch, package.source
        ),
        supplier=supplier(package.supplier), licenses=_licenses(package.licenses),
        hashes=[_sha256(hashes.files[key])] if key in hashes.files else (),
        properties=[
            *properties(source=package.source, header_sha256=hashes.headers.get(key, "")),
            *_of_trivy(package),
        ],
    )  # fmt: skip


def _sources(found: Sequence[Package], distro: str, where: str) -> list[Component]:
    """The source packages that no package of theirs has the name of, once each. rpm names files instead."""
    made_of: dict[tuple[str, str], Package] = {}
    named = {each.name for each in found if each.source.partition(" ")[0] in {"", each.name}}
    for package in found:
        name, _, version = package.source.partition(" ")
        if package.family != "rpm" and name and name not in named:
            made_of.setdefault((name, version), package)
    return [
        Component(
            name=name, version=version, type=ComponentType.LIBRARY,
            bom_ref=f"{where}/{package.family}/{name}/{SOURCE}/{version}",
            purl=purls.package(package.family, distro, name, version, SOURCE),
            supplier=supplier(package.supplier),
        )
        for (name, version), package in made_of.items()
    ]  # fmt: skip


def _of_trivy(package: Package) -> Iterator[Property]:
    """The source package, where Trivy looks for it, which does not read `upstream`."""
    name, _, version = package.source.partition(" ")
    if package.family == "rpm" or not name:
        return
    epoch, _, rest = version.partition(":") if ":" in version else ("", "", version)
    upstream, _, revision = rest.rpartition("-") if package.family == "deb" else (rest, "", "")
    values = {
        "SrcName": name, "SrcEpoch": epoch if epoch.isdecimal() else "",
        "SrcVersion": upstream or rest, "SrcRelease": revision if upstream else "",
    }  # fmt: skip
    for key, value in values.items():
        if value:
            yield Property(name=f"aquasecurity:trivy:{key}", value=value)


def _needs(found: Sequence[Package], parts: Sequence[Component]) -> Iterator[Need]:
    """What each package needs, of what is installed: of the same architecture, where there is one."""
    by_name: dict[str, list[tuple[Package, Component]]] = defaultdict(list)
    for package, part in zip(found, parts, strict=True):
        for name in {package.name, *package.provides}:
            by_name[name].append((package, part))
    for package, part in zip(found, parts, strict=True):
        needed: dict[str, BomRef] = {}
        for name in package.requires:
            there = by_name.get(name, [])
            near = [each for each in there if each[0].arch in {package.arch, *_ANY_ARCH}]
            needed |= {str(other.bom_ref.value): other.bom_ref for _, other in near or there}
        needed.pop(str(part.bom_ref.value), None)
        yield part.bom_ref, tuple(needed.values())


def _all_of(part: Component) -> Need:
    return part.bom_ref, tuple(each.bom_ref for each in part.components)


def _module(module: GoModule) -> Component:
    path = _MAJOR.sub("", module.path)
    owner = "/".join(path.split("/")[:-1][:2]) or ("Go" if path == STDLIB else path)
    return Component(
        name=module.path, version=module.version, type=ComponentType.LIBRARY,
        bom_ref=f"kubelet/{module.path}@{module.version}",
        purl=purls.go_module(module.path, module.version), supplier=supplier(owner),
        properties=properties(h1=_hex(module.h1)),
    )  # fmt: skip


def _licenses(names: Iterable[str]) -> list[License]:
    """Licences as CycloneDX lists them: SPDX IDs and names, or an expression if it is the only one."""
    found = sorted(set(filter(None, (name.strip() for name in names))))
    return [_license(name, is_only=len(found) == 1) for name in found]


@functools.cache
def _license(name: str, *, is_only: bool) -> License:
    factory, how = LicenseFactory(), LicenseAcknowledgement.DECLARED
    if spdx.fixup_id(name):
        return factory.make_with_id(name, acknowledgement=how)
    if is_only and spdx.is_expression(name):
        return factory.make_with_expression(name, acknowledgement=how)
    return factory.make_with_name(name, acknowledgement=how)


def _cpe(version: str) -> str | None:
    if version == UNKNOWN:
        return None
    escaped = re.sub(r"([^\w.-])", r"\\\1", version)
    return f"cpe:2.3:a:kubernetes:kubernetes:{escaped}:*:*:*:*:*:*:*"


def _hex(h1: str) -> str:
    return base64.b64decode(h1.removeprefix("h1:")).hex()


def _sha256(value: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=value)
