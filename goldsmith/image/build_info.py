# SPDX-License-Identifier: Apache-2.0
"""build.json: the description of an image inside the image. Verification tests the image against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from goldsmith.core import paths
from goldsmith.core.documents import Document, about
from goldsmith.image import checkout, made_by, mount
from goldsmith.image.made_by import MadeBy
from goldsmith.kubernetes.kubelet import KubeletRecord
from goldsmith.spec.model import Distribution, Hardware, ImageSpec, Removal, VerifySpec

_PLAIN = VerifySpec()


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Name, ID and sources of a build.

    commit: of the project's files (paths.project_root()), 40 hex digits, or 'nogit'. repository: URL of
    its remote repository, without login, and ref: what is checked out of it, a branch or the commit; both
    empty without a remote.
    """

    name: str
    build_id: str
    commit: str
    dirty: bool
    spec_sha256: str
    repository: str = ""
    ref: str = ""
    made_by: MadeBy | None = None

    @property
    def checkout(self) -> str | None:
        """URI of what is checked out, as SLSA's provenance names it; None without a remote."""
        return f"git+{self.repository}@{self.ref}" if self.repository else None


@dataclass(frozen=True, kw_only=True, slots=True)
class KubeletInfo:
    """The kubelet in the image."""

    version: Annotated[str, about("Version, without v.")] = ""
    source: Annotated[str, about("How it was obtained: go-module, release or package.")] = ""
    sha256: Annotated[str | None, about("Hex sha256 of the program; null for a package.")] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatAgentInfo:
    """Heat's agent in the image."""

    hooks: Annotated[tuple[str, ...], about("Hooks that it has.")] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowedSecretInfo:
    """A file that may look like a secret."""

    path: Annotated[str, about("Path from the root, a pattern of fnmatch(3).")]
    reason: Annotated[str, about("Why it may stay.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyInfo:
    """Settings for the verification of the image."""

    boot_deadline_s: Annotated[float, about("Seconds until ssh answers, on a host with KVM.")] = (
        _PLAIN.boot_deadline_s
    )
    pods_deadline_s: Annotated[float, about("Seconds until all pods are ready, on a host with KVM.")] = (
        _PLAIN.pods_deadline_s
    )
    memory_mib: Annotated[int, about("MiB of memory of the test VM.")] = _PLAIN.memory_mib
    cpus: Annotated[int, about("Virtual cores of the test VM.")] = _PLAIN.cpus
    pods: Annotated[tuple[Mapping[str, Any], ...], about("Pod manifests that must become ready.")] = ()
    allow_secrets: Annotated[
        tuple[AllowedSecretInfo, ...], about("Files that may look like secrets, each with a reason.")
    ] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildInfo(Document):
    """The description of an image. Every field has a default, because images of others may lack keys."""

    SCHEMA: ClassVar[str] = "goldsmith.build"
    OPTIONAL: ClassVar[frozenset[str]] = frozenset(("made_by",))

    name: Annotated[str, about("Name of the spec.")] = ""
    build_id: Annotated[str, about("ID of the build: UTC time and short commit.")] = ""
    commit: Annotated[str, about("Commit of the project's files, 40 hex digits, or nogit.")] = ""
    repository: Annotated[str, about("URL of their repository; empty without a remote.")] = ""
    made_by: Annotated[
        MadeBy | None, about("The goldsmith that made it; absent in images of earlier versions.")
    ] = None
    spec_sha256: Annotated[str, about("Hex sha256 of the rendered spec.")] = ""
    distribution: Annotated[str, about("Distribution: debian, fedora or custom.")] = ""
    release: Annotated[str, about("Release of the distribution.")] = ""
    arch: Annotated[str, about("Architecture: amd64 or arm64.")] = ""
    embed: Annotated[str, about("How images are embedded: content-store, archive or unpacked.")] = ""
    images_lock: Annotated[str | None, about("Path of images.lock.json in it; null without one.")] = None
    kubelet: Annotated[KubeletInfo | None, about("The kubelet; null without one.")] = None
    heat_agent: Annotated[HeatAgentInfo | None, about("Heat's agent; null without it.")] = None
    mirror: Annotated[str | None, about("Package mirror that stays in it; null for the default.")] = None
    unattended_upgrades: Annotated[bool, about("Whether the image upgrades its packages by itself.")] = False
    hardware: Annotated[str, about("Machines that it boots on: virtual or any.")] = "any"
    removed: Annotated[tuple[str, ...], about("Rules of the element goldsmith-slim that it follows.")] = ()
    verify: Annotated[VerifyInfo, about("Settings for its verification.")] = VerifyInfo()


def identify(name: str, build_id: str, spec_sha256: str) -> Identity:
    """The identity of a build of the project's files, by the goldsmith that runs."""
    root, maker = paths.project_root(), made_by.here()
    commit, dirty = checkout.commit_of(root)
    repository, ref = checkout.origin_of(root)
    return Identity(
        name=name, build_id=build_id, commit=commit, dirty=dirty or bool(maker.changed),
        spec_sha256=spec_sha256, repository=repository, ref=ref, made_by=maker,
    )  # fmt: skip


def of_spec(spec: ImageSpec, identity: Identity, kubelet: KubeletRecord | None) -> BuildInfo:
    """The description of the image of a spec."""
    agent, verify = spec.heat_agent, spec.verify
    is_debian = spec.distribution is Distribution.debian
    return BuildInfo(
        name=identity.name, build_id=identity.build_id, commit=identity.commit,
        repository=identity.repository, made_by=identity.made_by, spec_sha256=identity.spec_sha256,
        distribution=spec.distribution.value, release=spec.release,
        arch=spec.arch.value, embed=spec.embed.value,
        images_lock=mount.LOCK_JSON if spec.containers else None,
        kubelet=None if kubelet is None else KubeletInfo(
            version=kubelet.version, source=kubelet.source, sha256=kubelet.sha256
        ),
        heat_agent=None if agent is None else HeatAgentInfo(hooks=tuple(hook.value for hook in agent.hooks)),
        mirror=spec.mirror, unattended_upgrades=spec.unattended_upgrades,
        hardware=spec.hardware.value if is_debian else Hardware.any.value,
        removed=tuple(rule.value for rule in Removal if is_debian and rule not in spec.keep),
        verify=VerifyInfo(
            boot_deadline_s=verify.boot_deadline_s, pods_deadline_s=verify.pods_deadline_s,
            memory_mib=verify.memory_mib, cpus=verify.cpus, pods=tuple(verify.pods),
            allow_secrets=tuple(
                AllowedSecretInfo(path=each.path, reason=each.reason) for each in verify.allow_secrets
            ),
        ),
    )  # fmt: skip


def write(folder: Path, info: BuildInfo) -> None:
    """Write the folder whose files the element goldsmith-identity copies into the image."""
    folder.mkdir()
    info.write(folder / "build.json")
    lines = f'IMAGE_ID="{info.name}"\nIMAGE_VERSION="{info.build_id}"\n'
    (folder / "os-release").write_text(lines)
