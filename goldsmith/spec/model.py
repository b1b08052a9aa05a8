# SPDX-License-Identifier: Apache-2.0
"""The spec of an image. Frozen data only: no I/O, no defaults that depend on the host.

schema/image-spec.schema.json describes the keys; docs/spec-reference.md is generated from it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class Arch(enum.StrEnum):
    amd64 = enum.auto()
    arm64 = enum.auto()

    @property
    def machine(self) -> str:
        """Its name for uname(1) and OpenStack."""
        return {"amd64": "x86_64", "arm64": "aarch64"}[self.value]


class Distribution(enum.StrEnum):
    debian = enum.auto()
    fedora = enum.auto()
    custom = enum.auto()  # the spec's own elements bring the operating system


class DiskFormat(enum.StrEnum):
    qcow2 = enum.auto()
    raw = enum.auto()


class Compression(enum.StrEnum):
    zstd = enum.auto()
    zlib = enum.auto()
    none = enum.auto()


class PartitionTable(enum.StrEnum):
    gpt = enum.auto()
    mbr = enum.auto()


class KubeletSource(enum.StrEnum):
    go_module = "go-module"
    release = enum.auto()
    package = enum.auto()


class Embed(enum.StrEnum):
    content_store = "content-store"
    archive = enum.auto()
    unpacked = enum.auto()


class Into(enum.StrEnum):
    containerd = enum.auto()
    docker = enum.auto()


class Hardware(enum.StrEnum):
    virtual = enum.auto()
    any = enum.auto()


class Removal(enum.StrEnum):
    """A rule of the element goldsmith-slim."""

    docs = enum.auto()
    man = enum.auto()
    locales = enum.auto()
    hardware_names = "hardware-names"
    python_tests = "python-tests"
    cni_plugins = "cni-plugins"
    containerd_shims = "containerd-shims"


class HeatHook(enum.StrEnum):
    script = enum.auto()
    kubelet = enum.auto()
    ansible = enum.auto()
    puppet = enum.auto()
    docker_cmd = "docker-cmd"
    cfn_init = "cfn-init"


class Layers(enum.StrEnum):
    gzip = enum.auto()
    uncompressed = enum.auto()


class Visibility(enum.StrEnum):
    private = enum.auto()
    shared = enum.auto()
    community = enum.auto()
    public = enum.auto()


class Canary(enum.StrEnum):
    none = enum.auto()
    download = enum.auto()
    server = enum.auto()
    both = enum.auto()


class Retired(enum.StrEnum):
    hidden = enum.auto()
    deactivated = enum.auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class DiskSpec:
    formats: tuple[DiskFormat, ...] = (DiskFormat.qcow2,)
    compression: Compression = Compression.zstd
    partition_table: PartitionTable = PartitionTable.gpt
    size_mib: int | None = None  # None: as large as the content needs, and some spare space


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """A file to download; it must have this sha256 (64 hex digits)."""

    url: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseImage(Download):
    """checksums: URL of the signed list that must name the file; keyring: a file in the project."""

    checksums: str | None = None
    keyring: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class KubeletSpec:
    version: str  # "1.35.4"; for packages the version in the package's name, such as "1.35"
    source: KubeletSource = KubeletSource.go_module
    download: Download | None = None  # for KubeletSource.release


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerSpec:
    """A container image, under the name that pod manifests use for it.

    build: a folder with a Dockerfile; registry: NAME[:TAG]@sha256:DIGEST, pulled by digest;
    neither: the Docker engine has it already.
    """

    ref: str
    build: str | None = None
    registry: str | None = None
    into: Into = Into.containerd


@dataclass(frozen=True, kw_only=True, slots=True)
class HeatAgentSpec:
    """The agent polls Heat every polling_interval_s seconds and runs what it gets by hooks."""

    hooks: tuple[HeatHook, ...] = (HeatHook.script,)
    polling_interval_s: int = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowedSecret:
    """A finding of the secret scan that is allowed. path: from the root, * matches any text."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifySpec:
    boot_deadline_s: int = 180  # on a host with KVM; scaled by the measured slowness of the host
    pods_deadline_s: int = 120
    memory_mib: int = 2048
    cpus: int = 2
    pods: tuple[Mapping[str, Any], ...] = ()  # pod manifests
    tests: tuple[str, ...] = ()  # folders with the user's own pytest-testinfra suites
    allow_secrets: tuple[AllowedSecret, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishCloud:
    """A cloud that the image is published to, by its name in clouds.yaml, and its settings."""

    name: str
    format: DiskFormat = DiskFormat.qcow2
    visibility: Visibility | None = None  # None: that of PublishSpec
    stores: tuple[str, ...] = ()  # () is Glance's default store
    canary: Canary = Canary.none
    flavor: str | None = None  # of the canary server, like network, and console: text to expect there
    network: str | None = None
    console: str | None = None
    web_download: str | None = None  # URL from which Glance fetches build folders; None: upload


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishSpec:
    """How releases are published in Glance."""

    clouds: tuple[PublishCloud, ...] = ()
    alias: str | None = None  # None: the name of the spec
    visibility: Visibility = Visibility.private
    properties: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    share: tuple[str, ...] = ()  # IDs of projects
    protected: bool = False
    keep: int = 3  # old releases, besides the one that holds the alias
    retired: Retired = Retired.hidden
    signed_by: str | None = None  # a public key in the project
    accept_unsigned: str | None = None  # why releases need no signature


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSpec:
    name: str
    distribution: Distribution
    release: str
    containers: tuple[ContainerSpec, ...]
    arch: Arch = Arch.amd64
    elements: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    hardware: Hardware = Hardware.virtual  # debian alone, like keep
    keep: tuple[Removal, ...] = ()
    dib_env: Mapping[str, str] = field(default_factory=dict)
    disk: DiskSpec = DiskSpec()
    base_image: BaseImage | None = None  # a cloud image to start from (Fedora)
    mirror: str | None = None  # package mirror that the image uses; None: it has none
    kubelet: KubeletSpec | None = None
    heat_agent: HeatAgentSpec | None = None
    embed: Embed = Embed.content_store
    layers: Layers = Layers.uncompressed
    datasources: tuple[str, ...] = ("ConfigDrive", "OpenStack")
    unattended_upgrades: bool = False
    min_ram_mib: int = 1024
    verify: VerifySpec = VerifySpec()
    publish: PublishSpec = field(default_factory=PublishSpec)
    policy: str | None = None  # a path in the project; None: image-specs/policy.yaml
    fail_on: str | None = None  # level of known vulnerabilities that fails the verification
