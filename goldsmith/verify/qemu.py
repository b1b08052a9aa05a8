# SPDX-License-Identifier: Apache-2.0
"""Plan and run a throw-away VM, with its console and SSH port."""

from __future__ import annotations

import contextlib
import enum
import functools
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import proc, progress, terminal, wait
from goldsmith.errors import BootError, EmulatorError
from goldsmith.verify.config_drive import Instance, Nic

CONSOLE_LINES = 25

# QEMU's DHCP server never assigns this address: a guest that has it has read its datasource.
GUEST_IPV4 = "10.0.2.77"
GUEST = (
    Nic(
        mac="52:54:00:67:6f:01", mtu=1400, ipv4=f"{GUEST_IPV4}/24", gateway="10.0.2.2",
        ipv6="fd00:67::77/64", nameserver="10.0.2.3",
    ),
    Nic(mac="52:54:00:67:6f:02"),
)  # fmt: skip

_FATAL = re.compile(
    r"Kernel panic - not syncing|^\(initramfs\)|You are in emergency mode|GRUB_RESCUE|grub rescue>"
    r"|No bootable device|Gave up waiting for (?:root|suspend)",
    re.MULTILINE,
)
# With several emulated CPUs, QEMU (without KVM) may execute a breakpoint that the guest's kernel has just
# removed while patching itself: https://bugzilla.redhat.com/2216496
_STALE_BREAKPOINT = re.compile(r"^\S*\s*\[[^\]]*\] (?:Oops: )?int3: 0000 \[#\d+\]", re.MULTILINE)


class Bus(enum.StrEnum):
    """What a VM's disks are connected by."""

    virtio_blk = "virtio-blk"
    virtio_scsi = "virtio-scsi"
    sata = enum.auto()
    nvme = enum.auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Devices:
    """The machine (of qemu-system-x86_64 -machine help), the disks' bus and the model of network cards."""

    machine: str = "pc"
    disks: Bus = Bus.virtio_blk
    cards: str = "virtio-net-pci"


@dataclass(frozen=True, kw_only=True, slots=True)
class VmPlan:
    """The parts of a VM. QEMU writes to the disk, so it should be an overlay."""

    disk: Path
    seed: Path
    console: Path
    accelerator: Sequence[str]
    memory_mib: int
    cpus: int
    nics: Sequence[Nic] = GUEST
    served_port: int | None = None  # of the guest, to be reached from this host besides that of SSH
    devices: Devices = Devices()


def plan(vm: VmPlan, *, port: int, served_at: int | None = None) -> tuple[str, ...]:
    """QEMU's command line: no network except ports on loopback, no display, console in a file.

    port: of this host, for SSH. served_at: the same for vm.served_port.

    QEMU ends when the guest reboots, and is started again. A new process boots faster: under TCG, after a
    warm reset, a guest runs at half speed in memory that held code before.
    """
    forward = _forward(port, 22)
    if served_at is not None and vm.served_port is not None:
        forward += _forward(served_at, vm.served_port)
    cards = [
        word
        for number, nic in enumerate(vm.nics)
        for word in (
            "-netdev", f"user,id=net{number},restrict=on{forward if number == 0 else ''}",
            # no option ROM: the firmware would wait for a key press at each card
            "-device", f"{vm.devices.cards},netdev=net{number},mac={nic.mac},romfile=",
        )
    ]  # fmt: skip
    return (
        "qemu-system-x86_64", "-nodefaults", "-no-user-config",
        # off: firmware and boot loader write to the serial console, where _FATAL looks for their errors
        "-machine", f"{vm.devices.machine},graphics=off", *vm.accelerator, "-no-reboot",
        "-m", str(vm.memory_mib), "-smp", str(vm.cpus),
        "-drive", f"file={_escape(vm.disk)},if=none,id=disk0,format=qcow2,discard=unmap",
        "-drive", f"file={_escape(vm.seed)},if=none,id=disk1,format=raw,readonly=on",
        *_disks(vm.devices.disks), *cards, "-device", "virtio-rng-pci",
        "-display", "none", "-chardev", f"file,id=console,path={_escape(vm.console)},append=on",
        "-serial", "chardev:console",
    )  # fmt: skip


def _disks(bus: Bus) -> tuple[str, ...]:
    """The devices of the drives disk0, which the machine boots from, and disk1, the config drive."""
    match bus:
        case Bus.virtio_blk:
            found: tuple[str, ...] = ("virtio-blk-pci,drive=disk0", "virtio-blk-pci,drive=disk1")
        case Bus.virtio_scsi:
            found = ("virtio-scsi-pci", "scsi-hd,drive=disk0", "scsi-hd,drive=disk1")
        case Bus.sata:
            found = ("ahci,id=sata", "ide-hd,drive=disk0,bus=sata.0", "ide-cd,drive=disk1,bus=sata.1")
        case Bus.nvme:  # it takes no drive that is read-only
            found = ("ahci,id=sata", "nvme,drive=disk0,serial=0", "ide-cd,drive=disk1,bus=sata.0")
    boot = "drive=disk0"
    words = (word.replace(boot, f"{boot},bootindex=0") for word in found)
    return tuple(each for word in words for each in ("-device", word))


def _forward(port: int, guest_port: int) -> str:
    return f",hostfwd=tcp:127.0.0.1:{port}-{GUEST_IPV4}:{guest_port}"


def instance(public_key: str, *, hostname: str = "golden") -> Instance:
    """Contents of the config drive for a VM with the network cards of plan()."""
    return Instance(hostname=hostname, public_key=public_key, nics=GUEST)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vm:
    """A running VM. port: of its SSH server on 127.0.0.1 of this host; served_at: of VmPlan.served_port."""

    process: proc.Process
    port: int
    console: Path
    log: Path
    emulated: bool  # by TCG, not KVM
    served_at: int | None = None

    def has_ended(self) -> bool:
        """Whether QEMU has ended: the guest powered off or rebooted, or QEMU crashed."""
        return self.process.poll() is not None

    def is_alive(self) -> bool:
        """Whether QEMU runs and the console shows no fatal error of the guest."""
        return not self.has_ended() and _FATAL.search(read_console(self.console)) is None

    def wait_for_ssh(self, *, timeout_s: float, age_s: float = 0.0) -> None:
        """Wait for the banner of the guest's SSH server. Raises BootError with the console's last lines.

        age_s: how much of timeout_s is over.
        """
        left_s = max(0.0, timeout_s - age_s)
        with wait.meanwhile(functools.partial(_show_console, self.console)):
            try:
                wait.wait_until(self.answers, timeout_s=left_s, alive=self.is_alive, interval_s=1)
            except wait.Died:
                raise self.lost("the VM was lost before its SSH server answered") from None
            except wait.Deadline:
                raise self.lost(f"no SSH banner after {timeout_s:.0f} s (QEMU is running)") from None

    def lost(self, what: str) -> BootError:
        """A BootError with the last lines of the console, and of QEMU's log if QEMU has ended.

        An EmulatorError if the console shows a known fault of QEMU's emulation.
        """
        console = read_console(self.console)
        lines = [line for line in console.splitlines() if line.strip()]
        if self.process.poll() is not None:
            lines += self.log.read_text(errors="replace").splitlines()[-5:]
        shown = "".join(f"\n  | {line}" for line in lines[-CONSOLE_LINES:]) or "\n  | (console empty)"
        kind = EmulatorError if self.emulated and _STALE_BREAKPOINT.search(console) else BootError
        return kind(f"{what}; the console ends with{shown}", hint=f"see {self.console}")

    def answers(self) -> bool:
        """Whether the guest's SSH server shows its banner."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 3) as peer:
            peer.settimeout(5)
            return peer.recv(4) == b"SSH-"
        return False


@contextlib.contextmanager
def running(vm: VmPlan, *, log: Path) -> Iterator[Vm]:
    """Run the VM as long as the block lasts. Raises BootError if QEMU does not start."""
    for attempt in range(3):
        port, served_at = _free_port(), None if vm.served_port is None else _free_port()
        argv = plan(vm, port=port, served_at=served_at)
        with proc.background(argv, log_path=log, grace_s=5) as process:
            if not proc.ends_within(process, 0.5):
                emulated = any(word.startswith("tcg") for word in vm.accelerator)
                yield Vm(
                    process=process, port=port, served_at=served_at, console=vm.console, log=log,
                    emulated=emulated,
                )  # fmt: skip
                return
        output = log.read_text(errors="replace")
        if "host forwarding rule" not in output or attempt == 2:  # retry if another process took the port
            tail = "".join(f"\n  | {line}" for line in output.splitlines()[-5:])
            raise BootError(f"QEMU did not start{tail}", hint="run: scripts/inv doctor")


def read_console(console: Path) -> str:
    """The text of the console so far, without escape sequences."""
    try:
        return terminal.plain(console.read_text(errors="replace"))
    except FileNotFoundError:
        return ""


def _show_console(console: Path) -> None:
    """Show the console's last line as progress."""
    lines = [line for line in read_console(console)[-2000:].splitlines() if line.strip()]
    if lines:
        progress.live(f"console: {lines[-1]}")


def _escape(path: Path) -> str:
    return str(path).replace(",", ",,")  # a comma ends a QEMU option


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
