# SPDX-License-Identifier: Apache-2.0
"""Boot an image in a throw-away machine: overlay, config drive, SSH key; the guest answers over SSH."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import build_folders, paths, proc, progress, runs, wait
from goldsmith.core.runs import Run
from goldsmith.errors import CommandError, SpecError
from goldsmith.host import accelerator
from goldsmith.image import mount, qemu_img
from goldsmith.spec import load
from goldsmith.spec.model import VerifySpec
from goldsmith.verify import config_drive, qemu, timeline
from goldsmith.verify.timeline import BootTimeline

GROW_MIB = 2048  # the machine's disk is larger than the image by this
HOSTNAME = "golden"
_DISK_SUFFIXES = (*build_folders.DISK_SUFFIXES, ".img", ".vmdk", ".vhd", ".iso")
_USERS = {"debian": "debian", "fedora": "fedora"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Guest:
    """A booted VM with SSH. Its host name in ssh_config is guest."""

    vm: qemu.Vm
    ssh_config: Path

    def reboot(self, *, timeout_s: float) -> None:
        """Reboot the guest, which ends QEMU; the caller powers the machine on again. Raises BootError."""
        with contextlib.suppress(CommandError):  # the connection goes down with the system
            proc.capture(["ssh", "-F", self.ssh_config, "guest", "sudo reboot || reboot"], timeout_s=20)
        with contextlib.suppress(CommandError):
            proc.capture(["ssh", "-F", self.ssh_config, "-O", "exit", "guest"], timeout_s=20)
        try:
            wait.wait_until(self.vm.has_ended, timeout_s=timeout_s, alive=self.vm.is_alive, interval_s=0.1)
        except wait.Died:
            raise self.vm.lost("the VM was lost in the reboot") from None
        except wait.Deadline:
            raise self.vm.lost(f"the guest did not shut down within {timeout_s:.0f} s of a reboot") from None


class Machine:
    """A VM of an image that can be powered on several times. Its overlay keeps changes, the image none."""

    def __init__(
        self,
        image: Path,
        scratch: Path,
        *,
        user: str,
        args: Sequence[str],
        memory_mib: int,
        cpus: int,
        served_port: int | None = None,
        devices: qemu.Devices | None = None,
    ) -> None:
        self._scratch, self._user = scratch, user
        self._key = scratch / "id"
        proc.capture(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "verify", "-f", self._key])
        self._plan = qemu.VmPlan(
            disk=scratch / "overlay.qcow2", seed=scratch / "seed.iso", console=scratch / "console.log",
            accelerator=args, memory_mib=memory_mib, cpus=cpus, served_port=served_port,
            devices=devices or qemu.Devices(),
        )  # fmt: skip
        qemu_img.create_overlay(
            image.absolute(), self._plan.disk, format_=mount.format_of(image), grow_mib=GROW_MIB
        )
        public = self._key.with_suffix(".pub").read_text().strip()
        config_drive.write(qemu.instance(public, hostname=HOSTNAME), self._plan.seed)

    def powered_on(self) -> contextlib.AbstractContextManager[qemu.Vm]:
        """The machine boots, and runs to the end of the block. Raises BootError."""
        return qemu.running(self._plan, log=self._scratch / "qemu.log")

    def booted(self, vm: qemu.Vm, *, deadline_s: float, age_s: float = 0.0) -> Guest:
        """The guest of a machine that was powered on age_s ago, once SSH answers. Raises BootError."""
        vm.wait_for_ssh(timeout_s=deadline_s, age_s=age_s)
        return Guest(vm=vm, ssh_config=self._ssh_config(vm.port))

    def _ssh_config(self, port: int) -> Path:
        path = self._scratch / "ssh_config"
        path.write_text(
            f"Host guest\n  HostName 127.0.0.1\n  Port {port}\n  User {self._user}\n"
            f"  IdentityFile {self._key}\n  IdentitiesOnly yes\n"
            "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n"
            "  LogLevel ERROR\n  ConnectTimeout 20\n  ServerAliveInterval 20\n  ControlMaster auto\n"
            f"  ControlPath {self._scratch}/cm-{port}\n  ControlPersist 600\n"
        )
        return path


def user_of(root: Path) -> str:
    """The user who gets the datasource's SSH key: cloud-init's default user, root without cloud-init."""
    if not mount.resolve(root, "/etc/cloud/cloud.cfg").exists():
        return "root"
    os_release = mount.resolve(root, "/etc/os-release")
    lines = os_release.read_text().splitlines() if os_release.is_file() else []
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    return _USERS.get(fields.get("ID", "").strip('"'), "root")


@contextlib.contextmanager
def booted(image: Path, *, run: Run, memory_mib: int, cpus: int) -> Iterator[Guest]:
    """Boot an image with default settings, without tests."""
    found = accelerator.find(log_path=run.folder / "qemu.log")
    with mount.opened(image, format_=mount.format_of(image), scratch=run.folder) as root:
        user = user_of(root)
    machine = Machine(image, run.folder, user=user, args=found.args, memory_mib=memory_mib, cpus=cpus)
    with machine.powered_on() as vm:
        yield machine.booted(vm, deadline_s=VerifySpec().boot_deadline_s * found.slowness)


def _spec_of(name: str) -> str:
    """The name of the spec that boot was given, where there is no such file. Raises SpecError."""
    if not name.endswith(load.SUFFIX) and ("/" in name or Path(name).suffix in _DISK_SUFFIXES):
        hint = "name the disk image in that folder" if Path(name).is_dir() else "check the path"
        raise SpecError(f"there is no disk image {name}", hint=hint)
    return load.name_of(name)


def boot_timeline(name: str, *, memory_mib: int) -> BootTimeline:
    """The timeline of a boot of a disk image or of a spec's latest build. Raises BootError."""
    with runs.run() as run, booted(_image_of(name), run=run, memory_mib=memory_mib, cpus=2) as vm:
        slowness = accelerator.find(log_path=run.folder / "qemu.log").slowness
        deadline_s = VerifySpec().boot_deadline_s * slowness
        with contextlib.suppress(CommandError):  # also if the boot does not end well
            until_over = "systemctl is-system-running --wait"
            proc.capture(["ssh", "-F", vm.ssh_config, "guest", until_over], timeout_s=deadline_s)
        return timeline.of_guest(vm.ssh_config, slowness=slowness)


def _image_of(name: str) -> Path:
    image = Path(name)
    return image if image.is_file() else build_folders.find_qcow2(paths.out_root(), _spec_of(name))


def boot_shell(name: str, *, memory_mib: int) -> int:
    """Open a shell in a VM of a disk image or of a spec's latest build; return the shell's exit status."""
    image = _image_of(name)
    with runs.run() as run, booted(image, run=run, memory_mib=memory_mib, cpus=2) as vm:
        progress.note(f"console: {vm.vm.console}; leave the shell to end the VM")
        return proc.interactive(["ssh", "-t", "-F", vm.ssh_config, "guest"])
