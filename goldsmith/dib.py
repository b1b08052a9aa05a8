# SPDX-License-Identifier: Apache-2.0
"""diskimage-builder: what to call for an ImageSpec (pure), and the call."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from goldsmith import diskplan, netcut, proc, progress
from goldsmith.errors import BuildError, CommandError, SpecError
from goldsmith.netcut import Door
from goldsmith.spec import (
    Arch,
    Compression,
    Distribution,
    HeatHook,
    ImageSpec,
    Into,
    KubeletSource,
)

_DEFAULTS = {
    "DIB_GRUB_TIMEOUT": "1",
    "DIB_BOOTLOADER_DEFAULT_CMDLINE": "",
    "DIB_APT_MINIMAL_CREATE_INTERFACES": "0",  # cloud-init configures the network
}
_ROOT_ELEMENTS = {
    Distribution.debian: ("debian-minimal",),
    Distribution.fedora: ("goldsmith-fedora",),
    Distribution.custom: (),
}
_CLEANUP = re.compile(r"\| (Unmount |Killing chroot |INFO diskimage_builder)")  # hides what went wrong
_HOOK = re.compile(r"dib-run-parts (Running) \S*/([\w-]+)\.d/(\S+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What other stages made, as paths on this host, and what the host told us."""

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
    blkpg: bool = False  # partitions through BLKPG instead of device-mapper
    tmpfs: bool = False  # build in memory


@dataclass(frozen=True, kw_only=True, slots=True)
class DibPlan:
    """A call of disk-image-create: its words, its environment, its block device, its result."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    block_device: str  # YAML, written to block_device_path before the call
    block_device_path: Path
    image: Path


def plan(spec: ImageSpec, inputs: Inputs) -> DibPlan:
    """The call that makes spec's disk image. Pure: no I/O, no environment reads."""
    image = inputs.scratch / f"{spec.name}-{spec.arch}.qcow2"
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
    if spec.disk.size_mib is not None:
        env["DIB_IMAGE_SIZE"] = f"{spec.disk.size_mib / 1024:g}"  # GiB
    return DibPlan(
        argv=(
            "disk-image-create", "-n", "-a", spec.arch.value, "-t", "qcow2", "-o", str(image),
            *_compression(spec.disk.compression), *(("--no-tmpfs",) if not inputs.tmpfs else ()),
            *(("-p", ",".join(spec.packages)) if spec.packages else ()), *elements(spec),
        ),
        env=MappingProxyType(env),
        block_device=diskplan.block_device(spec, blkpg=inputs.blkpg, uuid=inputs.root_uuid),
        block_device_path=block_device,
        image=image,
    )  # fmt: skip


def elements(spec: ImageSpec) -> tuple[str, ...]:
    """The elements that are asked for by name; diskimage-builder adds what these depend on."""
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
        f"{spec.name}: a kubelet needs the image of a pod's sandbox, and no container is called pause",
        hint="add to containers: {ref: goldsmith.local/pause:1, build: containers/pause}",
    )


def build(plan: DibPlan, *, log_path: Path, door: Door | None = None) -> Path:
    """Run the plan; the output goes to log_path, phase and script to the screen. Returns the image.

    door: it reaches this port alone, and no network.
    """
    plan.block_device_path.write_text(plan.block_device)
    watch, env = _Watch(), environment(plan)
    argv = plan.argv if door is None else netcut.behind(plan.argv, env, door)
    try:
        proc.run(argv, log_path=log_path, env=env, on_line=watch.line)
    except CommandError as e:
        where = f" in {watch.hook}" if watch.hook else ""
        message = f"diskimage-builder failed{where}" + "".join(f"\n  | {line}" for line in watch.tail)
        raise BuildError(message, hint=e.hint) from e
    if not plan.image.exists():
        raise BuildError("diskimage-builder ended well but made no image", hint=f"see {log_path}")
    return plan.image


def environment(plan: DibPlan) -> dict[str, str]:
    """What disk-image-create sees: the plan's variables, and its own programs first on PATH.

    Of goldsmith's own variables it sees the run's marker alone: no image may depend on the others.
    """
    env = {
        name: value
        for name, value in proc.environment().items()
        if not name.startswith("GOLDSMITH_") or name == proc.RUN_MARKER
    }
    return {**env, **plan.env, "PATH": f"{os.path.dirname(sys.executable)}:{env['PATH']}"}


class _Watch:
    """Follows dib-run-parts' output and says where the build is."""

    def __init__(self) -> None:
        self.hook: str | None = None
        self._count = 0
        self.tail: deque[str] = deque(maxlen=proc.TAIL_LINES)
        self._start = time.monotonic()

    def line(self, line: str) -> None:
        if not _CLEANUP.search(line):
            self.tail.append(line)
        if match := _HOOK.search(line):
            self.hook = f"{match[2]}.d/{match[3]}"
            self._count += 1
        if self.hook is not None:
            elapsed_s = time.monotonic() - self._start
            progress.live(f"{self.hook} ({self._count}) {elapsed_s:.0f} s")


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
    if inputs.debian_mirror is not None and spec.distribution is Distribution.debian:
        env["DIB_DISTRIBUTION_MIRROR"] = inputs.debian_mirror
    if inputs.debian_security_mirror is not None and spec.distribution is Distribution.debian:
        env["DIB_DEBIAN_SECURITY_MIRROR"] = inputs.debian_security_mirror
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
    if inputs.bundle is not None and inputs.lock is not None:
        env["DIB_EMBED_BUNDLE"] = str(inputs.bundle)
        env["DIB_EMBED_LOCK"] = str(inputs.lock)
        env["DIB_EMBED_STRATEGY"] = spec.embed.value
    if spec.heat_agent is not None:
        env["DIB_HEAT_HOOKS"] = " ".join(spec.heat_agent.hooks)
        env["DIB_HEAT_POLLING_INTERVAL"] = str(spec.heat_agent.polling_interval_s)
        if inputs.pod_schema is not None:
            env["DIB_HEAT_POD_SCHEMA"] = str(inputs.pod_schema)
    return env


def kubelet_package(spec: ImageSpec) -> str:
    """The distribution's package with the kubelet: Fedora has one for each minor version."""
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
