# SPDX-License-Identifier: Apache-2.0
"""Verify an image: inspect it offline, boot an overlay with the network cut, test, reboot, test again.

The suites are in goldsmith/verify/suites/. The phases are in _Session, in their order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import build_folders, progress, runs, wait
from goldsmith.core.files import sha256_of
from goldsmith.core.runs import Run
from goldsmith.errors import BootError, EmulatorError, SpecError, VerificationError
from goldsmith.host import accelerator
from goldsmith.image import mount
from goldsmith.image.manifest import Manifest
from goldsmith.image.verdict import Verdict, VerdictAnswer
from goldsmith.verify import qemu, timeline
from goldsmith.verify.expectations import Expectations, containers_of
from goldsmith.verify.guest import Guest, Machine
from goldsmith.verify.junit import Counts
from goldsmith.verify.offline import Inspector
from goldsmith.verify.pytest_runner import OFFLINE_PHASE, SUITES, PytestRunner

VERDICT = "verdict.json"
_SHUTDOWN_DEADLINE_S = 60  # on a host with KVM
_GRACE_S = 150  # of the pods at a shutdown, on any host: shutdownGracePeriod of elements/kubelet
_SANDBOX = re.compile(r"(^|/)pause[:@]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The disk image to verify, and the manifest to compare it with."""

    image: Path
    out: Path  # junit.xml, console.log and the scans' reports go here
    manifest: Manifest | None = None
    tests: Sequence[Path] = ()  # the user's own suites
    fail_fast: bool = False  # end at the first phase in which a test fails
    quick: bool = False  # end after the first boot's tests


def verify(subject: Subject, *, run: Run, log_path: Path) -> Verdict:
    """Verify subject.image, without writing to it. The verdict has the findings of all tests.

    Raises BootError if the VM does not boot or is lost.
    """
    missing = [folder for folder in subject.tests if not folder.is_dir()]
    if missing:
        raise SpecError(
            f"the folder of test suites {missing[0]} does not exist",
            hint="correct verify.tests in the spec, or --tests",
        )
    session = _Session(subject, run, log_path)
    before = sha256_of(subject.image)
    try:
        with contextlib.closing(session):
            expected = session.inspect_offline(before)
            if not session.is_over():
                _test_booted(session, expected)
    except BootError as e:
        if e.hint is not None:  # it names the console in the scratch folder
            e.hint = f"see {subject.out / 'console.log'}"
        raise
    finally:
        counts = session.keep()
    if sha256_of(subject.image) != before:
        raise VerificationError(
            f"{subject.image} changed while it was verified",
            hint="keep other programs from the image, then run this again",
        )
    if counts.tests == 0:
        raise VerificationError("no test ran", hint=f"see {log_path}")
    return session.verdict(counts, expected)


def _test_booted(session: _Session, expected: Expectations) -> None:
    """Run all phases in a VM. If a known fault of the emulator ends the VM, retry once in a new one."""
    try:
        session.boot_and_test(expected)
    except EmulatorError as e:
        progress.note(f"QEMU's emulator failed, not the image; the tests run once more in a new VM. {e}")
        session.start_over()
        session.boot_and_test(expected)


@dataclass(slots=True)
class _Booting:
    """A machine that is powered on. since: of time.monotonic(); answered_s: seconds from then to SSH."""

    machine: Machine
    vm: qemu.Vm
    since: float
    answered_s: float | None = None

    def look(self) -> None:
        """Note when the guest answers for the first time."""
        if self.answered_s is None and self.vm.answers():
            self.answered_s = self.age_s()

    def age_s(self) -> float:
        return time.monotonic() - self.since


class _Session:
    """One verification: its phases in order, and their results."""

    def __init__(self, subject: Subject, run: Run, log_path: Path) -> None:
        self.subject = subject
        self.scratch = self.vm_folder = run.folder
        self.log_path = log_path
        self.accelerator = accelerator.find(log_path=log_path)
        self.suites = PytestRunner(run.folder, log_path=log_path)
        self.durations_s: dict[str, float] = {}
        self.emulator_faults = 0
        self._power = contextlib.ExitStack()  # keeps the VM running
        self._booting: _Booting | None = None

    def inspect_offline(self, sha256: str) -> Expectations:
        """Phase sealed: inspect and test the offline image, while it boots."""
        image = self.subject.image
        format_ = mount.format_of(image)
        inspector = Inspector(
            out=self.subject.out, scratch=self.scratch, log_path=self.log_path,
            slowness=self.accelerator.slowness,
        )  # fmt: skip
        with (
            self._timed(OFFLINE_PHASE),
            mount.opened(image, format_=format_, scratch=self.scratch) as root,
        ):
            claims = inspector.claims(root, image_sha256=sha256, manifest=self.subject.manifest)
            booting = self._power_on(self._machine(claims))
            with wait.meanwhile(booting.look, interval_s=1):
                expected = inspector.inspect(root, claims)
                self.suites.test_offline(expected, root)
        return expected

    def boot_and_test(self, expected: Expectations) -> None:
        """Test after the boot; reboot and test again; then have the kubelet collect images, and test that."""
        folders = (SUITES / "booted", *self.subject.tests)
        booting = self._booting or self._power_on(self._machine(expected))
        guest = self._wait_for("boot", booting, expected)
        self._phase("booted", expected, guest, folders)
        self._note_timeline(expected, guest)
        if self.is_over() or self.subject.quick:
            return
        with self._timed("shutdown"):
            grace_s = 0 if expected.info.kubelet is None else _GRACE_S
            guest.reboot(timeout_s=self._scaled(_SHUTDOWN_DEADLINE_S) + grace_s)
        guest = self._wait_for("reboot", self._power_on(booting.machine), expected)
        self._phase("rebooted", expected, guest, (*folders, SUITES / "rebooted"))
        if self.is_over():
            return
        self._phase("collected", expected, guest, (SUITES / "collected",))

    def close(self) -> None:
        """End the VM."""
        self._booting = None
        self._power.close()

    def start_over(self) -> None:
        """Discard a lost VM and its results; keep its console beside that of the next VM."""
        self.close()
        self.emulator_faults += 1
        self._keep_console(f"console-emulator-fault-{self.emulator_faults}.log")
        self.vm_folder = self.scratch / f"vm-{self.emulator_faults}"
        self.vm_folder.mkdir()
        self.suites.forget_guest()
        for phase in set(self.durations_s) - {OFFLINE_PHASE}:
            self.durations_s.pop(phase)

    def is_over(self) -> bool:
        """Whether a phase has failed and the subject asks to end there."""
        return self.subject.fail_fast and self.suites.has_failures()

    def keep(self) -> Counts:
        """Put report and console into the subject's folder, also after the VM was lost."""
        self._keep_console("console.log")
        return self.suites.merge(self.subject.out / "junit.xml")

    def verdict(self, counts: Counts, expected: Expectations) -> Verdict:
        """The verdict on an image whose tests were counted."""
        return Verdict(
            result="failed" if counts.failed else "quick" if self.subject.quick else "passed",
            tests=counts.tests, failed=counts.failed, skipped=counts.skipped,
            not_applicable=self.suites.not_applicable(), uncovered_images=_uncovered(expected),
            image_sha256=expected.image_sha256, accelerator=self.accelerator.name,
            durations_s=self.durations_s, pods_ready_s=self.suites.pods_ready_s(),
            emulator_faults=self.emulator_faults,
        )  # fmt: skip

    def _machine(self, expected: Expectations) -> Machine:
        settings = expected.info.verify
        return Machine(
            self.subject.image, self.vm_folder, user=expected.user, args=self.accelerator.args,
            memory_mib=settings.memory_mib, cpus=settings.cpus, served_port=expected.host_port,
        )  # fmt: skip

    def _power_on(self, machine: Machine) -> _Booting:
        self._power.close()  # a VM that was rebooted has ended
        since = time.monotonic()
        self._booting = _Booting(machine, self._power.enter_context(machine.powered_on()), since)
        return self._booting

    def _wait_for(self, stage: str, booting: _Booting, expected: Expectations) -> Guest:
        """The guest, if it answers within the deadline since its machine was powered on."""
        deadline_s = self._scaled(expected.info.verify.boot_deadline_s)
        with self._timed(stage):
            age_s = 0.0 if booting.answered_s is not None else booting.age_s()
            guest = booting.machine.booted(booting.vm, deadline_s=deadline_s, age_s=age_s)
            booting.look()
        self.durations_s[stage] = round(booting.answered_s or booting.age_s(), 2)
        if self.durations_s[stage] > deadline_s:
            raise booting.vm.lost(f"its SSH server answered after {self.durations_s[stage]:.0f} s")
        return guest

    def _phase(self, name: str, expected: Expectations, guest: Guest, folders: Sequence[Path]) -> None:
        here = dataclasses.replace(expected, host_port_at=guest.vm.served_at)
        with self._timed(name):
            self.suites.test_guest(name, here, guest, folders)

    def _note_timeline(self, expected: Expectations, guest: Guest) -> None:
        """Write the timeline of the boot, where the image has systemd; it decides nothing."""
        (self.subject.out / timeline.FILE).unlink(missing_ok=True)  # of an earlier verification
        if not expected.systemd:
            return
        try:
            found = timeline.of_guest(guest.ssh_config, slowness=self.accelerator.slowness)
        except BootError as e:
            progress.note(str(e))
        else:
            found.write(self.subject.out / timeline.FILE)

    def _keep_console(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(self.vm_folder / "console.log", self.subject.out / name)

    def _scaled(self, seconds: float) -> float:
        return seconds * self.accelerator.slowness

    def _timed(self, phase: str) -> contextlib.AbstractContextManager[None]:
        return progress.timed(phase, self.durations_s)


def _uncovered(expected: Expectations) -> tuple[str, ...]:
    """Embedded images that no pod of the spec runs; every pod runs the sandbox image."""
    containers = [c for pod in expected.info.verify.pods for c in containers_of(pod)]
    used = {str(container.get("image")) for container in containers}
    images = [image for image in expected.images if not _SANDBOX.search(image.ref)]
    return tuple(i.ref for i in images if not used.intersection([i.ref, *i.names]))


def verify_file(
    image: Path, *, manifest: Path | None, out: Path, tests: Sequence[Path], fail_fast: bool = False
) -> Verdict:
    """Verify a disk image. A difference from the manifest is a finding like others."""
    if not image.is_file():
        raise SpecError(f"there is no disk image {image}", hint="check the path")
    compared = None if manifest is None else Manifest.read(manifest, error=SpecError)
    out.mkdir(parents=True, exist_ok=True)
    subject = Subject(image=image, out=out, manifest=compared, tests=tests, fail_fast=fail_fast)
    with runs.run() as run:
        return verify(subject, run=run, log_path=out / "verify.log")


def verify_again(image: Path, build: Path, *, tests: Sequence[Path], fail_fast: bool) -> Path:
    """Verify the disk image of a verified build once more; the file of the verdict, in a folder of its own.

    Raises VerificationError where a test fails, after that file is written.
    """
    out = build / f"verified-{build_folders.stamp()}"
    verdict = verify_file(
        image, manifest=build / build_folders.MANIFEST, out=out, tests=tests, fail_fast=fail_fast
    )
    VerdictAnswer.of(verdict).write(out / VERDICT)
    verdict.require(out)
    return out / VERDICT
