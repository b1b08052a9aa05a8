# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import os
import stat
import struct
from pathlib import Path

import pytest

from goldsmith.errors import HostError
from goldsmith.host import accelerator

_WORKS = "echo B; echo E; exit 33"
_ABORTS = "echo 'qemu: error: failed to set MSR 0x10a' >&2; kill -ABRT $$"
_HANGS = "echo B; sleep 60"
_LIES = "exit 33"
_LEAVES_EARLY = "echo B; echo E; exit 0"
_FAILS_LATE = "echo B; echo E; exit 1"


@pytest.fixture(autouse=True)
def kvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An accessible /dev/kvm, a new cache, an idle host."""
    device = tmp_path / "kvm"
    device.touch()
    monkeypatch.setattr(accelerator, "_KVM_DEVICE", device)
    monkeypatch.setenv("GOLDSMITH_CACHE", str(tmp_path / "cache with a space"))
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    return device


def fake_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kvm: str, tcg: str = _WORKS) -> Path:
    """A QEMU on PATH with this behaviour under each accelerator; returns the list of its calls."""
    program = tmp_path / "bin" / accelerator.QEMU
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        '[ "$1" = --version ] && { echo QEMU emulator version 7; exit; }\n'
        f'echo "$2" >> "{tmp_path}/calls"\n'
        f"case $2 in kvm) {kvm};; *) {tcg};; esac\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path / "calls"


def find(tmp_path: Path) -> accelerator.ProbeResult:
    return accelerator.find(log_path=tmp_path / "log")


def test_kvm_is_used_if_a_guest_ran_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu(tmp_path, monkeypatch, kvm=_WORKS)

    found = find(tmp_path)

    assert found.name == "kvm"
    assert found.args == ("-accel", "kvm", "-cpu", "host")
    assert found.slowness == 1.0


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (_ABORTS, "failed to set MSR"),
        (_LIES, "ended with 33"),
        (_LEAVES_EARLY, "ended with 0"),
        (_FAILS_LATE, "ended with 1"),
    ],
)
def test_kvm_is_rejected_if_the_guest_does_not_end_as_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: str, reason: str
) -> None:
    fake_qemu(tmp_path, monkeypatch, kvm=behaviour)

    found = find(tmp_path)

    assert found.name == "tcg"
    assert reason in found.note


def test_kvm_is_rejected_if_the_guest_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu(tmp_path, monkeypatch, kvm=_HANGS)
    impatient = dataclasses.replace(accelerator._KVM, deadline_s=0.3)
    monkeypatch.setattr(accelerator, "_KVM", impatient)

    found = find(tmp_path)

    assert found.name == "tcg"
    assert "hung" in found.note


def test_a_qemu_that_does_not_know_a_cpu_property_is_asked_for_all_that_its_cpu_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kvm: Path
) -> None:
    kvm.unlink()
    unknown = "case $4 in max) ;; *) echo 'Property max-x86_64-cpu.fsrm not found'; exit 1;; esac"
    fake_qemu(tmp_path, monkeypatch, kvm=_WORKS, tcg=f"{unknown}; {_WORKS}")

    assert find(tmp_path).args == ("-accel", "tcg,thread=multi", "-cpu", "max")


def test_emulated_cpus_leave_out_what_costs_an_emulator_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kvm: Path
) -> None:
    kvm.unlink()
    fake_qemu(tmp_path, monkeypatch, kvm=_WORKS)

    assert find(tmp_path).args[3] == "max,la57=off,smap=off,erms=off,fsrm=off"


def test_kvm_is_not_tried_without_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kvm: Path
) -> None:
    calls = fake_qemu(tmp_path, monkeypatch, kvm=_WORKS)
    kvm.unlink()

    found = find(tmp_path)

    assert found.name == "tcg"
    assert "missing" in found.note
    assert calls.read_text().splitlines() == ["tcg,thread=multi"]


def test_slowness_is_the_cpu_time_that_the_guest_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"
    fake_qemu(tmp_path, monkeypatch, kvm=_ABORTS, tcg=f"echo B; {busy}; echo E; exit 33")
    monkeypatch.setattr(accelerator, "_UNIT_S", 0.001)

    assert find(tmp_path).slowness > 10


def test_waiting_does_not_count_as_slowness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu(tmp_path, monkeypatch, kvm=_ABORTS, tcg="echo B; sleep 0.5; echo E; exit 33")

    assert find(tmp_path).slowness == 1


@pytest.mark.parametrize(("busy_per_cpu", "factor"), [(0.5, 1), (1.5, 1.5), (50, 2)])
def test_a_busy_host_is_slower_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy_per_cpu: float, factor: float
) -> None:
    fake_qemu(tmp_path, monkeypatch, kvm=_WORKS)
    idle = find(tmp_path).slowness
    load = busy_per_cpu * (os.cpu_count() or 1) - 1
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))

    busy = find(tmp_path).slowness

    assert busy == pytest.approx(factor * idle)


def test_slowness_has_a_ceiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_qemu(tmp_path, monkeypatch, kvm=_WORKS)
    monkeypatch.setattr(accelerator, "_UNIT_S", 1e-6)

    assert find(tmp_path).slowness == 20


def test_the_result_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_qemu(tmp_path, monkeypatch, kvm=_ABORTS)

    first, second = find(tmp_path), find(tmp_path)

    assert first == second
    assert calls.read_text().splitlines() == ["kvm", "tcg,thread=multi"]


def test_the_probe_runs_again_after_a_reboot_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_qemu(tmp_path, monkeypatch, kvm=_ABORTS)
    find(tmp_path)
    other = tmp_path / "boot_id"
    other.write_text("another boot\n")
    monkeypatch.setattr(accelerator, "_BOOT_ID", other)

    find(tmp_path)

    assert calls.read_text().splitlines() == ["kvm", "tcg,thread=multi"] * 2


def test_a_host_on_which_nothing_boots_is_an_error_with_both_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_qemu(tmp_path, monkeypatch, kvm=_ABORTS, tcg="echo 'qemu: error: no memory'; exit 1")

    with pytest.raises(HostError, match=r"failed to set MSR.*no memory"):
        find(tmp_path)


def test_a_host_without_qemu_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "QEMU", "qemu-that-nobody-has")

    with pytest.raises(HostError, match="not installed"):
        find(tmp_path)


def test_the_probe_guest_has_a_multiboot_header_that_points_into_it() -> None:
    guest = accelerator.probe_guest()
    magic, flags, checksum, _, load, _, _, entry = struct.unpack("<8I", guest[:32])

    assert magic == 0x1BADB002
    assert (magic + flags + checksum) % 2**32 == 0
    assert load == 0x100000
    assert load < entry < load + len(guest)
