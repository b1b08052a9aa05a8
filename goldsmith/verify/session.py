# SPDX-License-Identifier: Apache-2.0
"""Verify an image: inspect it offline, boot an overlay with the network cut, test, reboot, test again.

The suites are in goldsmith/verify/suites/; this module prepares what they look at and judges the runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.core import files, privilege, proc, progress, scratch
from goldsmith.core.files import sha256_of
from goldsmith.core.scratch import Run
from goldsmith.errors import (
    BootError,
    CommandError,
    CommandTimeout,
    EmulatorError,
    SpecError,
    VerificationError,
)
from goldsmith.host import accelerator
from goldsmith.image import mount
from goldsmith.image.build_info import BuildInfo
from goldsmith.image.manifest import Manifest
from goldsmith.image.verdict import Verdict
from goldsmith.scan import sbom, secrets
from goldsmith.verify import expectations, junit
from goldsmith.verify.expectations import Expectations
from goldsmith.verify.guest import Guest, Machine, user_of

_SUITES_DEADLINE_S = 300  # for the tests of one phase, on a host with KVM, besides the pods' deadline
_SHUTDOWN_DEADLINE_S = 60  # likewise
_SBOM_DEADLINE_S = 120  # likewise; 2 s for 300 packages and three container images
_SCAN_DEADLINE_S = 240  # likewise; 13 s for the same
_SANDBOX = re.compile(r"(^|/)pause[:@]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The disk image to verify, and what it is compared with."""

    image: Path
    out: Path  # junit.xml and console.log go here
    manifest: Mapping[str, Any] | None = None  # as JSON data
    tests: Sequence[Path] = ()  # the user's own suites
    fail_fast: bool = False  # end at the first phase in which a test fails


def verify(subject: Subject, *, run: Run, log_path: Path) -> Verdict:
    """Judge subject.image; nothing is written to it.

    Raises BootError if the VM never boots or is lost. What the tests find is in the verdict.
    """
    missing = [folder for folder in subject.tests if not folder.is_dir()]
    if missing:
        raise VerificationError(f"there is no folder of tests {missing[0]}")
    session = _Session(subject, run, log_path)
    before = sha256_of(subject.image)
    try:
        session.inspect_offline(before)
        if not session.is_over():
            _test_booted(session)
    finally:
        counts = session.keep()
    if sha256_of(subject.image) != before:
        raise VerificationError(f"{subject.image} changed while it was verified")
    if counts.tests == 0:
        raise VerificationError("no test ran", hint=f"see {log_path}")
    return Verdict(
        result="failed" if counts.failed else "passed",
        tests=counts.tests,
        failed=counts.failed,
        skipped=counts.skipped,
        not_applicable=session.not_applicable(),
        uncovered_images=session.uncovered(),
        image_sha256=before,
        accelerator=session.accelerator.name,
        durations_s=session.durations_s,
        pods_ready_s=session.pods_ready_s(),
        emulator_faults=session.emulator_faults,
    )


def _test_booted(session: _Session) -> None:
    """All phases in a VM; in a second one, with a note, if the emulator lost the first."""
    try:
        session.boot_and_test()
    except EmulatorError as e:
        progress.note(f"a known fault of the emulator, not of the image; once more in a new VM. {e}")
        session.start_over()
        session.boot_and_test()


class _Session:
    """One verification: its phases in order, and what each left behind."""

    def __init__(self, subject: Subject, run: Run, log_path: Path) -> None:
        self.subject = subject
        self.scratch = run.folder
        self.vm_folder = run.folder
        self.emulator_faults = 0
        self.log_path = log_path
        self.accelerator = accelerator.find(log_path=log_path)
        self.reports: dict[str, Path] = {}
        self.durations_s: dict[str, float] = {}
        self.expected: Expectations | None = None
        self.info = BuildInfo()  # as the image describes itself
        self.user = "root"
        self.suites = Path(__file__).parent / "suites"

    def inspect_offline(self, sha256: str) -> None:
        """Read what the image says it is, and test the offline image: the phase sealed."""
        image = self.subject.image
        format_ = mount.format_of(image)
        with self._timed("sealed"), mount.opened(image, format_=format_, scratch=self.scratch) as root:
            self.user = user_of(root)
            self.expected = self._expectations(root, sha256)
            options = ("--sealed-root", str(root))
            self._pytest("sealed", (self.suites / "sealed",), options, as_root=True)

    def boot_and_test(self) -> None:
        """Boot, test, reboot, test all of it again, then fill the disk of images and test that."""
        machine = Machine(
            self.subject.image, self.vm_folder, user=self.user, args=self.accelerator.args,
            memory_mib=self.info.verify.memory_mib, cpus=self.info.verify.cpus,
        )  # fmt: skip
        folders = (self.suites / "booted", *self.subject.tests)
        with self._powered_on(machine, "boot") as guest:
            self._phase("booted", guest, folders)
            if self.is_over():
                return
            with self._timed("shutdown"):
                guest.reboot(timeout_s=self._scaled(_SHUTDOWN_DEADLINE_S))
        with self._powered_on(machine, "reboot") as guest:
            self._phase("rebooted", guest, (*folders, self.suites / "rebooted"))
            self._phase("collected", guest, (self.suites / "collected",))

    def start_over(self) -> None:
        """Forget the VM and what it showed; its console stays beside the next one's."""
        self.emulator_faults += 1
        self._keep_console(f"console-emulator-fault-{self.emulator_faults}.log")
        self.vm_folder = self.scratch / f"vm-{self.emulator_faults}"
        self.vm_folder.mkdir()
        for kept in (self.reports, self.durations_s):
            for phase in set(kept) - {"sealed"}:
                kept.pop(phase)

    def is_over(self) -> bool:
        """A phase has failed, and the first failure is enough."""
        return self.subject.fail_fast and any(junit.count(r).failed for r in self.reports.values())

    def keep(self) -> junit.Counts:
        """Put report and console where the user finds them, whatever became of the VM."""
        self._keep_console("console.log")
        return junit.merge(self.reports, self.subject.out / "junit.xml")

    def _keep_console(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(self.vm_folder / "console.log", self.subject.out / name)

    def uncovered(self) -> tuple[str, ...]:
        """Embedded images that no pod of the spec runs; the sandbox's own is run by every pod."""
        if self.expected is None:
            return ()
        used = {c["image"] for pod in self.info.verify.pods for c in pod["spec"]["containers"]}
        images = [image for image in self.expected.images if not _SANDBOX.search(image.ref)]
        return tuple(i.ref for i in images if not used.intersection([i.ref, *i.names]))

    def pods_ready_s(self) -> float | None:
        """What the first boot's suite measured, None where there was no pod to wait for."""
        value = junit.properties(self.reports.get("booted", Path())).get("pods_ready_s")
        return None if value is None else float(value)

    def not_applicable(self) -> tuple[str, ...]:
        """Tests that were left out because the image does not claim what they test."""
        path = self.scratch / "not-applicable.json"
        return tuple(json.loads(path.read_text())) if path.exists() else ()

    def _bill(self, root: Path) -> dict[str, Any]:
        """Write the bill of materials; what it lists is compared with the booted VM.

        That there can be none is a finding, like those of the suites.
        """
        target = self.scratch / sbom.FILE
        argv: tuple[proc.Arg, ...] = (sys.executable, "-B", "-P", "-m", "goldsmith.scan.sbom", root, target)
        try:
            proc.run(
                privilege.as_root(argv), log_path=self.log_path, timeout_s=self._scaled(_SBOM_DEADLINE_S)
            )
        except CommandError as e:
            why = e.tail[-1] if e.tail else str(e)
            return sbom.Listed(packages=(), containers={}, kubelet_sha256=None, error=why).as_dict()
        shutil.copyfile(target, self.subject.out / sbom.FILE)
        return sbom.read(target).as_dict()

    def _secrets(self, root: Path) -> dict[str, Any]:
        """Write what looks like a secret in the disk; that anything does is a finding of the suites."""
        report = secrets.look(
            root,
            allow=self.info.verify.allow_secrets,
            scratch=self.scratch, log_path=self.log_path, timeout_s=self._scaled(_SCAN_DEADLINE_S),
        )  # fmt: skip
        files.write_json(self.subject.out / secrets.FILE, report.as_dict())
        return report.as_dict()

    def _expectations(self, root: Path, sha256: str) -> Expectations:
        claims = expectations.claims_of(root)
        self.info = claims.info
        expected = expectations.of(
            claims, root, image_sha256=sha256, manifest=self.subject.manifest, user=self.user,
            slowness=self.accelerator.slowness,
        )  # fmt: skip
        with progress.share("bill of materials"):
            bill = self._bill(root)
        with progress.share("secret scan"):
            found = self._secrets(root)
        return dataclasses.replace(expected, sbom=bill, secrets=found)

    @contextlib.contextmanager
    def _powered_on(self, machine: Machine, stage: str) -> Iterator[Guest]:
        with contextlib.ExitStack() as power:
            with self._timed(stage):
                deadline_s = self._scaled(self.info.verify.boot_deadline_s)
                guest = power.enter_context(machine.powered_on(boot_deadline_s=deadline_s))
            yield guest

    def _phase(self, name: str, guest: Guest, folders: Sequence[Path]) -> None:
        with self._timed(name):
            options = ("--hosts=ssh://guest", f"--ssh-config={guest.ssh_config}", "--sudo")
            self._pytest(name, folders, options, guest=guest)

    def _pytest(
        self,
        phase: str,
        folders: Sequence[Path],
        options: Sequence[str],
        *,
        as_root: bool = False,
        guest: Guest | None = None,
    ) -> None:
        report = self.scratch / f"junit-{phase}.xml"
        expect = self.scratch / f"expect-{phase}.json"
        assert self.expected is not None  # every phase comes after the offline inspection
        dataclasses.replace(self.expected, phase=phase).write(expect)
        argv: tuple[proc.Arg, ...] = (
            sys.executable, "-B", "-m", "pytest", "-v", "-c", self.suites / "pytest.ini",
            "-p", "no:cacheprovider", "--expect", expect, "--junitxml", report, *options,
            *folders,
        )  # fmt: skip
        self.reports[phase] = report
        deadline_s = self._scaled(_SUITES_DEADLINE_S + self.info.verify.pods_deadline_s)
        try:
            proc.run(
                privilege.as_root(argv) if as_root else argv,
                log_path=self.log_path, timeout_s=deadline_s, grace_s=5, on_line=_show_test,
            )  # fmt: skip
        except CommandTimeout as e:
            raise self._lost(guest, f"the tests of phase {phase} took over {deadline_s:.0f} s") from e
        except CommandError as e:
            if guest is not None and not guest.vm.is_alive():
                raise guest.vm.lost(f"the VM was lost in phase {phase}") from e
            if e.returncode not in {1, 5}:  # 1: tests failed, 5: none collected; both are in the report
                raise VerificationError(f"pytest broke in phase {phase}", hint=e.hint) from e

    def _lost(self, guest: Guest | None, what: str) -> BootError | VerificationError:
        return VerificationError(what) if guest is None else guest.vm.lost(what)

    def _scaled(self, seconds: float) -> float:
        return seconds * self.accelerator.slowness

    def _timed(self, phase: str) -> contextlib.AbstractContextManager[None]:
        return progress.timed(phase, self.durations_s)


def _show_test(line: str) -> None:
    if "::" in line:
        progress.live(line)


def verify_file(
    image: Path, *, manifest: Path | None, out: Path, tests: Sequence[Path], fail_fast: bool = False
) -> Verdict:
    """Judge a disk image; that it differs from the manifest is one finding among the others."""
    if not image.is_file():
        raise SpecError(f"there is no disk image {image}")
    expected = None
    if manifest is not None:
        expected = Manifest.read(manifest, error=SpecError).as_dict()
    out.mkdir(parents=True, exist_ok=True)
    subject = Subject(image=image, out=out, manifest=expected, tests=tests, fail_fast=fail_fast)
    with scratch.run() as run:
        return verify(subject, run=run, log_path=out / "verify.log")
