# SPDX-License-Identifier: Apache-2.0
"""Translate an ImageSpec into a call of disk-image-create. Pure: no I/O, no environment reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import yaml

from goldsmith.errors import SpecError
from goldsmith.spec.model import (
    Arch,
    Compression,
    Distribution,
    HeatHook,
    ImageSpec,
    Into,
    KubeletSource,
    PartitionTable,
)

_DEFAULTS = {
    "DIB_GRUB_TIMEOUT": "1",
    "DIB_BOOTLOADER_DEFAULT_CMDLINE": "",
    "DIB_APT_MINIMAL_CREATE_INTERFACES": "0",  # cloud-init configures the network
}
# apt asks whether an index has expired. goldsmith-seal removes the file, which apt reads until then.
_ANY_AGE = (
    """--setup-hook='echo "Acquire::Check-Valid-Until \\"false\\";" """
    """>"$1/etc/apt/apt.conf.d/99goldsmith-locked-index"'"""
)
_ROOT_ELEMENTS = {
    Distribution.debian: ("debian-minimal", "goldsmith-hardware", "goldsmith-slim"),
    Distribution.fedora: ("goldsmith-fedora",),
    Distribution.custom: (),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """Results of earlier stages, as paths on this host, and properties of the host."""

    elements: Path
    identity: Path  # folder with build.json and os-release
    scratch: Path  # short, without spaces
    bundle: Path | None = None
    lock: Path | None = None
    kubelet: Path | None = None
    pod_schema: Path | None = None
    base_image: Path | None = None
    root_uuid: str | None = None  # of the root file system; None: a random one
    epoch: int | None = None  # SOURCE_DATE_EPOCH, in seconds since 1970
    debian_mirror: str | None = None
    debian_security_mirror: str | None = None
    pinned_index: bool = False  # a lock names the package index, which may have expired
    blkpg: bool = False  # partitions through BLKPG instead of device-mapper
    tmpfs: bool = False  # build in memory
    root_layer: bool = False  # the root alone, raw: what is embedded and said about it comes later


@dataclass(frozen=True, kw_only=True, slots=True)
class DibPlan:
    """A call of disk-image-create: arguments, environment, block device configuration and result."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    block_device: str  # YAML, written to block_device_path before the call
    block_device_path: Path
    image: Path
    hooks: int | None = None  # how many of them the elements have; None: not counted


def plan(spec: ImageSpec, inputs: Inputs) -> DibPlan:
    """The call that builds the disk image of a spec."""
    format_ = "raw" if inputs.root_layer else "qcow2"
    image = inputs.scratch / f"{spec.name}-{spec.arch}.{format_}"
    block_device = inputs.scratch / "block-device.yaml"
    env = {
        **_DEFAULTS,
        **spec.dib_env,
        **_paths(inputs),
        **_distribution_env(spec, inputs),
        **_content_env(spec, inputs),
        "DIB_BLOCK_DEVICE_CONFIG": f"file://{block_device}",
    }
    if inputs.epoch is not None:
        env["SOURCE_DATE_EPOCH"] = str(inputs.epoch)
    if spec.disk.size_mib is not None and not inputs.root_layer:  # a root grows to it later
        env["DIB_IMAGE_SIZE"] = f"{spec.disk.size_mib / 1024:g}"  # GiB
    return DibPlan(
        argv=(
            "disk-image-create", "-n", "-a", spec.arch.value, "-t", format_, "-o", str(image),
            *(() if inputs.root_layer else _compression(spec.disk.compression)),
            *(("--no-tmpfs",) if not inputs.tmpfs else ()),
            *(("-p", ",".join(spec.packages)) if spec.packages else ()), *elements(spec),
        ),
        env=MappingProxyType(env),
        block_device=block_device_config(spec, blkpg=inputs.blkpg, uuid=inputs.root_uuid),
        block_device_path=block_device,
        image=image,
    )  # fmt: skip


def elements(spec: ImageSpec) -> tuple[str, ...]:
    """The elements named on the command line; diskimage-builder adds their dependencies."""
    if spec.distribution is Distribution.custom:
        block = (f"block-device-{_block_element(spec)}",)
        return (*block, "goldsmith-identity", *spec.elements)
    chosen = [
        *_ROOT_ELEMENTS[spec.distribution],
        "vm",
        f"block-device-{_block_element(spec)}",
        "goldsmith-guest",
        "goldsmith-identity",
        "goldsmith-seal",
    ]
    if spec.kubelet is not None:
        chosen.append("kubelet")
    if spec.heat_agent is not None:
        chosen.append("heat-agent")
        if HeatHook.docker_cmd in spec.heat_agent.hooks:
            chosen.append("heat-config-docker-cmd")
    if any(container.into is Into.docker for container in spec.containers):
        chosen.append("docker-engine")
    if spec.containers:
        chosen.append("heat-config-kubelet")
    return (*chosen, *(name for name in spec.elements if name not in chosen))


def pause_image(spec: ImageSpec) -> str:
    """The image of a pod's sandbox: the container whose repository ends in /pause.

    Raises SpecError if the spec has a kubelet and no such container.
    """
    for container in spec.containers:
        if re.search(r"(^|/)pause[:@]", container.ref):
            return container.ref
    raise SpecError(
        f"{spec.name} has a kubelet but no container image called pause for the sandbox of its pods",
        hint="add to containers: {ref: goldsmith.local/pause:1, build: containers/pause}",
    )


def _paths(inputs: Inputs) -> dict[str, str]:
    return {
        "ELEMENTS_PATH": str(inputs.elements),
        "TMP_DIR": str(inputs.scratch),
        "DIB_IMAGE_CACHE": str(inputs.scratch / "dib-cache"),
        "DIB_LOCKFILES": str(inputs.scratch / "dib-locks"),
        "DIB_IDENTITY_DIR": str(inputs.identity),
    }


def _distribution_env(spec: ImageSpec, inputs: Inputs) -> dict[str, str]:
    env = {
        "DIB_RELEASE": spec.release,
        "DIB_CLOUD_INIT_DATASOURCES": ", ".join(spec.datasources),
        "DIB_GUEST_UNATTENDED_UPGRADES": str(int(spec.unattended_upgrades)),
        "DIB_SEAL_MIRROR": spec.mirror or "",
    }
    if spec.distribution is not Distribution.fedora:
        env["DIB_HARDWARE"] = spec.hardware.value
        env["DIB_SLIM_KEEP"] = " ".join(spec.keep)
    if inputs.debian_mirror is not None and spec.distribution is Distribution.debian:
        env["DIB_DISTRIBUTION_MIRROR"] = inputs.debian_mirror
    if inputs.debian_security_mirror is not None and spec.distribution is Distribution.debian:
        env["DIB_DEBIAN_SECURITY_MIRROR"] = inputs.debian_security_mirror
    if inputs.pinned_index:
        given = spec.dib_env.get("DIB_MMDEBSTRAP_EXTRA_ARGS", "")
        env["DIB_MMDEBSTRAP_EXTRA_ARGS"] = f"{given} {_ANY_AGE}".strip()
    if inputs.base_image is not None:
        env["DIB_LOCAL_IMAGE"] = str(inputs.base_image)
    return env


def _content_env(spec: ImageSpec, inputs: Inputs) -> dict[str, str]:
    env = {}
    if spec.kubelet is not None:
        env["DIB_KUBELET_PAUSE_IMAGE"] = pause_image(spec)
        if spec.kubelet.source is KubeletSource.package:
            env["DIB_KUBELET_PACKAGE"] = kubelet_package(spec)
        elif inputs.kubelet is not None:
            env["DIB_KUBELET_BINARY"] = str(inputs.kubelet)
    if inputs.root_layer:
        env["DIB_EMBED_LATER"] = "1"
    elif inputs.bundle is not None and inputs.lock is not None:
        env["DIB_EMBED_BUNDLE"] = str(inputs.bundle)
        env["DIB_EMBED_LOCK"] = str(inputs.lock)
        env["DIB_EMBED_STRATEGY"] = spec.embed.value
    if spec.heat_agent is not None:
        env["DIB_HEAT_HOOKS"] = " ".join(spec.heat_agent.hooks)
        env["DIB_HEAT_POLLING_INTERVAL"] = str(spec.heat_agent.polling_interval_s)
        if inputs.pod_schema is not None and not inputs.root_layer:
            env["DIB_HEAT_POD_SCHEMA"] = str(inputs.pod_schema)
    return env


def kubelet_package(spec: ImageSpec) -> str:
    """The distribution's package of the kubelet; Fedora has one for each minor version."""
    assert spec.kubelet is not None
    minor = ".".join(spec.kubelet.version.split(".")[:2])
    return f"kubernetes{minor}" if spec.distribution is Distribution.fedora else "kubelet"


def _compression(compression: Compression) -> tuple[str, ...]:
    match compression:
        case Compression.none:
            return ("-u",)
        case Compression.zlib:
            return ()
        case Compression.zstd:
            return ("--qemu-img-options", "compression_type=zstd")


def _block_element(spec: ImageSpec) -> str:
    return "efi" if spec.arch is Arch.arm64 else spec.disk.partition_table.value


def block_device_config(spec: ImageSpec, *, blkpg: bool, uuid: str | None) -> str:
    """The YAML of diskimage-builder's block-device layer. uuid: of the root file system; None: random."""
    root: dict[str, object] = {
        "name": "root",
        "flags": ["boot"],
        "size": "100%",
        "mkfs": {
            "type": "ext4",
            **({"uuid": uuid} if uuid else {}),
            "mount": {"mount_point": "/", "fstab": {"options": "defaults", "fsck-passno": 1}},
        },
    }
    boot: list[dict[str, object]] = []
    label = spec.disk.partition_table.value
    if spec.arch is Arch.arm64:
        label = "gpt"
        boot = [_efi_partition()]
    elif spec.disk.partition_table is PartitionTable.gpt:
        boot = [{"name": "BSP", "type": "EF02", "size": "8MiB"}]  # for GRUB on a BIOS
    else:
        root["flags"] = ["boot", "primary"]
    node = "blkpg_partitioning" if blkpg else "partitioning"
    config = [
        {"local_loop": {"name": "image0"}},
        {node: {"base": "image0", "label": label, "partitions": [*boot, root]}},
    ]
    return yaml.safe_dump(config, sort_keys=False)


def _efi_partition() -> dict[str, object]:
    mount = {"mount_point": "/boot/efi", "fstab": {"options": "defaults", "fsck-passno": 2}}
    return {
        "name": "ESP",
        "type": "EF00",
        "size": "550MiB",
        "mkfs": {"type": "vfat", "opts": "-F 32 -s 1", "mount": mount},
    }
