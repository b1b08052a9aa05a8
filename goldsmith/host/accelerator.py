# SPDX-License-Identifier: Apache-2.0
"""Find the QEMU accelerator that boots a guest on this host, and measure how slow it is.

An accessible /dev/kvm is not enough: on some nested hosts kernels hang in it, or `-cpu host` aborts. So
a guest of 456 bytes (boot_probe.lst) boots under each candidate. It takes the first steps of a kernel,
then does a fixed amount of work; its CPU time shows the speed of the host.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import resource
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from goldsmith.core import cache, proc
from goldsmith.core.documents import Document, about
from goldsmith.errors import CommandError, CommandTimeout, HostError

QEMU = "qemu-system-x86_64"

_FILE = "accelerator.json"
_LISTING = Path(__file__).with_name("boot_probe.lst")
_GUEST_OK = 33  # isa-debug-exit exits with (value << 1) | 1; the guest writes 0x10
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_KVM_DEVICE = Path("/dev/kvm")

# The probe took 0.8 s of CPU time under TCG on a host where a Debian 13 guest booted in 27 s, four
# times what a host with KVM needs. There it takes less than this, whatever QEMU and firmware add.
_UNIT_S = 0.2
_SLOWEST = 20.0
_LOAD_COUNTS_UP_TO = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeResult(Document):
    """accelerator.json of the cache: the accelerator under which the probe guest ran."""

    SCHEMA: ClassVar[str] = "goldsmith.accelerator"

    name: Annotated[str, about("kvm or tcg.")]
    args: Annotated[tuple[str, ...], about("Arguments for QEMU.")]
    slowness: Annotated[float, about("Factor for deadlines, 1 to 20; in the cache without the load.")]
    note: Annotated[str, about("Why this accelerator was chosen.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Candidate:
    name: str
    args: tuple[str, ...]
    deadline_s: float  # of the whole probe, which takes about a second if the candidate works


_KVM = _Candidate(name="kvm", args=("-accel", "kvm", "-cpu", "host"), deadline_s=15)
# Off is what costs an emulator time and no program misses: a fifth level of page tables, checks when the
# kernel looks at a program's memory, string instructions that it takes for fast (here they go byte by byte).
_TCG_CPU = "max,la57=off,smap=off,erms=off,fsrm=off"
_TCG = _Candidate(name="tcg", args=("-accel", "tcg,thread=multi", "-cpu", _TCG_CPU), deadline_s=90)
# for a QEMU that does not know one of these properties
_TCG_PLAIN = _Candidate(name="tcg", args=("-accel", "tcg,thread=multi", "-cpu", "max"), deadline_s=90)


def find(*, log_path: Path) -> ProbeResult:
    """The fastest accelerator under which a guest booted; QEMU's output is appended to log_path.

    The probe runs once per host boot, QEMU version and access to /dev/kvm, then its result is cached. The
    slowness includes the current load. Raises HostError if QEMU is missing or nothing boots.
    """
    entry = cache.cached("accelerator", _key(), lambda folder: _store(folder, log_path))
    found = ProbeResult.read(entry / _FILE, error=HostError)
    return dataclasses.replace(found, slowness=_clamp(found.slowness * load_factor()))


def load_factor() -> float:
    """The factor by which the current load slows down one more busy process: 1 to 2.

    At most 2, because the load changes, and a deadline that is too long delays the failure.
    """
    return min(max(1.0, (os.getloadavg()[0] + 1) / (os.cpu_count() or 1)), _LOAD_COUNTS_UP_TO)


def probe_guest() -> bytes:
    """The assembled guest: the hex digits of the listing."""
    lines = _LISTING.read_text(encoding="ascii").splitlines()
    return bytes.fromhex("".join(line.partition(";")[0] for line in lines))


def _key() -> str:
    parts = (
        _BOOT_ID.read_text().strip(),
        proc.capture([QEMU, "--version"]).partition("\n")[0],
        str(os.access(_KVM_DEVICE, os.R_OK | os.W_OK)),
        _LISTING.read_text(encoding="ascii"),
        *_KVM.args,
        *_TCG.args,
        f"CPU time / {_UNIT_S}",  # the unit of the stored slowness
        f"{ProbeResult.SCHEMA} {ProbeResult.VERSION}",
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _store(folder: Path, log_path: Path) -> None:
    # A crashing QEMU may dump core into its working folder, which is removed.
    with tempfile.TemporaryDirectory(dir=folder) as work:
        chosen = _choose(Path(work), log_path)
    chosen.write(folder / _FILE)


def _choose(work: Path, log_path: Path) -> ProbeResult:
    refused = _no_device()
    if refused is None:
        try:
            return _tried(_KVM, work, log_path, note="a probe guest ran")
        except CommandError as e:
            refused = f"no guest runs in {_KVM_DEVICE}: {_why(e)}"
    with contextlib.suppress(CommandError):
        return _tried(_TCG, work, log_path, note=refused)
    try:
        return _tried(_TCG_PLAIN, work, log_path, note=refused)
    except CommandError as e:
        raise HostError(
            f"no QEMU accelerator boots a guest; KVM: {refused}; TCG: {_why(e)}", hint=f"see {log_path}"
        ) from e


def _no_device() -> str | None:
    if not _KVM_DEVICE.exists():
        return f"{_KVM_DEVICE} is missing"
    if not os.access(_KVM_DEVICE, os.R_OK | os.W_OK):
        return f"this user cannot open {_KVM_DEVICE} (is the user in the group kvm?)"
    return None


def _tried(candidate: _Candidate, work: Path, log_path: Path, *, note: str) -> ProbeResult:
    slowness = _clamp(_boot(candidate, work, log_path) / _UNIT_S)
    return ProbeResult(name=candidate.name, args=candidate.args, slowness=slowness, note=note)


def _boot(candidate: _Candidate, work: Path, log_path: Path) -> float:
    """Seconds of CPU time that the guest took; raises CommandError if it does not finish its work."""
    printed: list[str] = []
    guest = work / "guest.bin"
    guest.write_bytes(probe_guest())
    argv: tuple[proc.Arg, ...] = (
        QEMU, *candidate.args, "-m", "64", "-nodefaults", "-no-user-config", "-display", "none",
        "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-debugcon", "stdio",
        "-kernel", guest,
    )  # fmt: skip
    before = _children_cpu_s()
    status = proc.run(
        argv, log_path=log_path, cwd=work, timeout_s=candidate.deadline_s, grace_s=2, on_line=printed.append,
        success_exit_status=(_GUEST_OK,),
    )  # fmt: skip
    if not {"B", "E"} <= set(printed):
        raise CommandError(QEMU, status, ["ended before the probe guest had done its work"], log_path)
    return _children_cpu_s() - before


def _children_cpu_s() -> float:
    """CPU time of ended children; other load on the host hardly changes it (getrusage(2))."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _why(error: CommandError) -> str:
    """The reason in one line: QEMU's first error, or that the guest hung."""
    if isinstance(error, CommandTimeout):
        return "the probe guest hung"
    return next((line for line in error.tail if "error" in line), f"QEMU ended with {error.returncode}")


def _clamp(slowness: float) -> float:
    return round(min(max(slowness, 1.0), _SLOWEST), 1)
