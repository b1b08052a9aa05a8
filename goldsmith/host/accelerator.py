# SPDX-License-Identifier: Apache-2.0
"""Which QEMU accelerator really boots a guest on this host, and how slow it is.

That /dev/kvm opens says little: nested hosts exist where kernels hang in it, or where `-cpu host`
aborts. So a guest of 456 bytes (boot_probe.lst) is booted under each candidate. It takes the steps
that a kernel begins with, then does a fixed piece of work; its CPU time tells the host's speed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import resource
import tempfile
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import cache, proc
from goldsmith.errors import CommandError, CommandTimeout, HostError

QEMU = "qemu-system-x86_64"

_LISTING = Path(__file__).with_name("boot_probe.lst")
_GUEST_OK = 33  # isa-debug-exit leaves with (value << 1) | 1, and the guest writes 0x10
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_KVM_DEVICE = Path("/dev/kvm")

# The probe took 0.8 s of CPU time under TCG on a host where a Debian 13 guest booted in 27 s, four
# times what a host with KVM needs. There it takes less than this, whatever QEMU and firmware add.
_UNIT_S = 0.2
_SLOWEST = 20.0
_LOAD_COUNTS_UP_TO = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Accelerator:
    """name: kvm or tcg; args: for QEMU's command line; slowness: what to multiply deadlines by, 1..20."""

    name: str
    args: tuple[str, ...]
    slowness: float
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Candidate:
    name: str
    args: tuple[str, ...]
    deadline_s: float  # for the whole probe, which takes about a second where the candidate works


_KVM = _Candidate(name="kvm", args=("-accel", "kvm", "-cpu", "host"), deadline_s=15)
_TCG = _Candidate(name="tcg", args=("-accel", "tcg,thread=multi", "-cpu", "max"), deadline_s=90)


def find(*, log_path: Path) -> Accelerator:
    """The fastest accelerator under which a guest booted; QEMU's words are appended to log_path.

    Tried once per host boot, QEMU version and right to /dev/kvm, then cached; the slowness counts the
    load of the moment in each time. Raises HostError where QEMU is missing or nothing boots.
    """
    entry = cache.cached("accelerator", _key(), lambda folder: _store(folder, log_path))
    stored = json.loads((entry / "accelerator.json").read_text())
    return Accelerator(
        name=stored["name"],
        args=tuple(stored["args"]),
        slowness=_clamp(stored["slowness"] * load_factor()),
        note=stored["note"],
    )


def load_factor() -> float:
    """By how much one more busy process is slowed down by those that are busy already: 1 to 2.

    Not more, for the load comes and goes, and a deadline that is too long is noticed late.
    """
    return min(max(1.0, (os.getloadavg()[0] + 1) / (os.cpu_count() or 1)), _LOAD_COUNTS_UP_TO)


def probe_guest() -> bytes:
    """The guest, assembled: the hex digits of the listing."""
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
        f"CPU time / {_UNIT_S}",  # how the stored slowness was measured
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _store(folder: Path, log_path: Path) -> None:
    # A crashing QEMU may dump core into its working folder; what lies there goes with it.
    with tempfile.TemporaryDirectory(dir=folder) as work:
        chosen = _choose(Path(work), log_path)
    (folder / "accelerator.json").write_text(json.dumps(dataclasses.asdict(chosen)))


def _choose(work: Path, log_path: Path) -> Accelerator:
    refused = _no_device()
    if refused is None:
        try:
            return _tried(_KVM, work, log_path, note="a probe guest ran")
        except CommandError as e:
            refused = f"no guest runs in {_KVM_DEVICE}: {_why(e)}"
    try:
        return _tried(_TCG, work, log_path, note=refused)
    except CommandError as e:
        raise HostError(
            f"no QEMU accelerator boots a guest; KVM: {refused}; TCG: {_why(e)}", hint=f"see {log_path}"
        ) from e


def _no_device() -> str | None:
    if not _KVM_DEVICE.exists():
        return f"{_KVM_DEVICE} is missing"
    if not os.access(_KVM_DEVICE, os.R_OK | os.W_OK):
        return f"this user may not open {_KVM_DEVICE} (is it in the group kvm?)"
    return None


def _tried(candidate: _Candidate, work: Path, log_path: Path, *, note: str) -> Accelerator:
    slowness = _clamp(_boot(candidate, work, log_path) / _UNIT_S)
    return Accelerator(name=candidate.name, args=candidate.args, slowness=slowness, note=note)


def _boot(candidate: _Candidate, work: Path, log_path: Path) -> float:
    """Seconds of CPU time that the guest took; raises CommandError when it does not get through its work."""
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
    """CPU time, not the clock's: what else runs on the host hardly counts in it (getrusage(2))."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _why(error: CommandError) -> str:
    """One line for a person: the first of QEMU's own, or that the guest hung."""
    if isinstance(error, CommandTimeout):
        return "the probe guest hung"
    return next((line for line in error.tail if "error" in line), f"QEMU ended with {error.returncode}")


def _clamp(slowness: float) -> float:
    return round(min(max(slowness, 1.0), _SLOWEST), 1)
