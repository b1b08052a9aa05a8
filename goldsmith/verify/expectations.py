# SPDX-License-Identifier: Apache-2.0
"""Expectations of the suites: an image's own description, its manifest, SBOM and secret scan, the test VM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from goldsmith.containers.images_lock import ImagesLock, LockedImage
from goldsmith.core.documents import Document, about
from goldsmith.errors import VerificationError
from goldsmith.image import mount
from goldsmith.image.build_info import BuildInfo
from goldsmith.image.manifest import Manifest
from goldsmith.scan.sbom import SbomContents
from goldsmith.scan.secrets import SecretReport
from goldsmith.verify import qemu
from goldsmith.verify.guest import GROW_MIB, HOSTNAME

_D = TypeVar("_D", bound=Document)
_NO_SBOM = SbomContents(packages=(), containers={}, kubelet_sha256=None, error="not made yet")
_NO_SCAN = SecretReport(rules="", error="not made yet")


@dataclass(frozen=True, kw_only=True, slots=True)
class NicExpectation:
    """A network card of the test VM."""

    mac: Annotated[str, about("MAC address.")]
    mtu: Annotated[int | None, about("MTU, bytes; null for the default.")]
    ipv4: Annotated[str | None, about("IPv4 address with prefix length; null for a card without one.")]
    ipv6: Annotated[str | None, about("IPv6 address with prefix length; null for a card without one.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectations(Document):
    """Expectations of one phase. Fixture `expected` is this object, `expect` the same as JSON data."""

    SCHEMA: ClassVar[str] = "goldsmith.expectations"

    phase: Annotated[str, about("Phase: sealed, booted, rebooted or collected.")] = ""
    build: Annotated[
        Mapping[str, Any] | None, about("build.json of the image as it is; null where it has none.")
    ]
    build_problem: Annotated[str, about("Why build.json cannot be used; empty if it can.")] = ""
    manifest: Annotated[
        Manifest | None, about("The manifest that the image is compared with; null without one.")
    ]
    images: Annotated[tuple[LockedImage, ...], about("Container images of images.lock.json in the image.")]
    images_problem: Annotated[str, about("Why that images.lock.json cannot be used; empty if it can.")] = ""
    image_sha256: Annotated[str, about("Hex sha256 of the disk image.")]
    systemd: Annotated[bool, about("Whether the image has systemd.")]
    user: Annotated[str, about("User that the test VM is logged in to.")]
    hostname: Annotated[str, about("Host name that the config drive gives the VM.")]
    nics: Annotated[tuple[NicExpectation, ...], about("Network cards of the VM.")]
    grow_mib: Annotated[int, about("MiB by which the VM's disk is larger than the image.")]
    slowness: Annotated[float, about("How many times slower this host is than one with KVM.")]
    host_port_at: Annotated[
        int | None, about("Port of 127.0.0.1 here that leads to the VM's host_port; null without a VM.")
    ] = None
    sbom: Annotated[SbomContents, about("Contents of the SBOM.")] = _NO_SBOM
    secrets: Annotated[SecretReport, about("Result of the secret scan.")] = _NO_SCAN

    @property
    def info(self) -> BuildInfo:
        """build.json, with defaults for whatever is missing or cannot be used."""
        return _parsed(BuildInfo, self.build, mount.BUILD_JSON, BuildInfo())[0]

    @property
    def host_port(self) -> int:
        """A port of the VM for a pod of the suites; no pod of the spec names it."""
        ports = {
            number
            for pod in self.info.verify.pods
            for kind in ("initContainers", "containers")
            for container in containers_of(pod, kind)
            for port in _mappings(container.get("ports"))
            for number in (port.get("hostPort"), port.get("containerPort"))
            if isinstance(number, int)
        }
        return next(port for port in range(18080, 65536) if port not in ports)


def spec_of(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The spec of a pod of a foreign image; empty if it is no mapping."""
    spec = pod.get("spec")
    return spec if isinstance(spec, Mapping) else {}


def containers_of(pod: Mapping[str, Any], kind: str = "containers") -> list[Mapping[str, Any]]:
    """The containers of a pod of a foreign image, without what is no mapping."""
    return _mappings(spec_of(pod).get(kind))


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """An image's description of itself. info: with defaults for whatever is missing or cannot be used."""

    build: Mapping[str, Any] | None
    info: BuildInfo
    problem: str
    images: tuple[LockedImage, ...]
    images_problem: str


def claims_of(root: Path) -> Claims:
    """Read build.json and images.lock.json below root. A foreign image may have anything in them."""
    build = mount.read_json(root, mount.BUILD_JSON)
    info, problem = _parsed(BuildInfo, build, mount.BUILD_JSON, BuildInfo())
    path = info.images_lock or mount.LOCK_JSON
    lock, images_problem = _parsed(ImagesLock, mount.read_json(root, path), path, ImagesLock(images=()))
    return Claims(build=build, info=info, problem=problem, images=lock.images, images_problem=images_problem)


def _parsed(kind: type[_D], data: Mapping[str, Any] | None, origin: str, otherwise: _D) -> tuple[_D, str]:
    """Parse a document of the image. Return it, or else `otherwise` and the reason."""
    if data is None:
        return otherwise, ""
    try:
        return kind.parse(data, origin, error=VerificationError), ""
    except VerificationError as e:
        return otherwise, str(e)


def of(
    claims: Claims,
    root: Path,
    *,
    image_sha256: str,
    manifest: Manifest | None,
    user: str,
    slowness: float,
) -> Expectations:
    """Expectations for an image with these claims, still without SBOM and secret scan."""
    return Expectations(
        build=claims.build,
        build_problem=claims.problem,
        manifest=manifest,
        images=claims.images,
        images_problem=claims.images_problem,
        image_sha256=image_sha256,
        systemd=mount.resolve(root, "/usr/lib/systemd/systemd").exists(),
        user=user,
        hostname=HOSTNAME,
        nics=tuple(
            NicExpectation(mac=nic.mac, mtu=nic.mtu, ipv4=nic.ipv4, ipv6=nic.ipv6) for nic in qemu.GUEST
        ),
        grow_mib=GROW_MIB,
        slowness=slowness,
    )
