# SPDX-License-Identifier: Apache-2.0
"""Run the suites: one pytest process for each phase, and the reports of all phases."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from goldsmith.core import privilege, proc, progress
from goldsmith.errors import CommandError, CommandTimeout, VerificationError
from goldsmith.verify import junit, started_tests
from goldsmith.verify.expectations import Expectations
from goldsmith.verify.guest import Guest

SUITES = Path(__file__).parent / "suites"
OFFLINE_PHASE = "sealed"
_DEADLINE_S = 300  # for the tests of one phase, on a host with KVM, besides the pods' deadline
_TESTS_FAILED, _NO_TEST = 1, 5  # exit codes of pytest; the report shows both cases


class PytestRunner:
    """Runs the suites of one verification. reports: JUnit XML by phase."""

    def __init__(self, scratch: Path, *, log_path: Path) -> None:
        self._scratch, self._log_path = scratch, log_path
        self.reports: dict[str, Path] = {}

    def test_offline(self, expected: Expectations, root: Path) -> None:
        """Test the offline image, whose root file system is mounted at root. Raises VerificationError."""
        self._run(OFFLINE_PHASE, expected, (SUITES / "sealed",), ("--sealed-root", str(root)))

    def test_guest(self, phase: str, expected: Expectations, guest: Guest, folders: Sequence[Path]) -> None:
        """Test a booted VM over SSH. Raises BootError where the VM is lost, VerificationError otherwise."""
        options = ("--hosts=ssh://guest", f"--ssh-config={guest.ssh_config}", "--sudo")
        self._run(phase, expected, folders, options, guest=guest)

    def forget_guest(self) -> None:
        """Drop the reports of a lost VM."""
        self.reports = {phase: path for phase, path in self.reports.items() if phase == OFFLINE_PHASE}

    def has_failures(self) -> bool:
        """Whether a test has failed so far."""
        return any(junit.count(report).failed for report in self.reports.values())

    def merge(self, target: Path) -> junit.Counts:
        """Write one report of all phases to target."""
        return junit.merge(self.reports, target)

    def not_applicable(self) -> tuple[str, ...]:
        """Tests that were left out because the image does not claim the feature that they test."""
        path = self._scratch / "not-applicable.json"
        return tuple(json.loads(path.read_text())) if path.exists() else ()

    def pods_ready_s(self) -> float | None:
        """Seconds until the pods were ready after the first boot; None where the image has no pods."""
        value = junit.properties(self.reports.get("booted", Path())).get("pods_ready_s")
        return None if value is None else float(value)

    def _run(
        self,
        phase: str,
        expected: Expectations,
        folders: Sequence[Path],
        options: Sequence[str],
        *,
        guest: Guest | None = None,
    ) -> None:
        argv = self._argv(phase, expected, folders, options)
        deadline_s = (_DEADLINE_S + expected.info.verify.pods_deadline_s) * expected.slowness
        try:
            with progress.meter(unit="test") as tests:
                proc.run(
                    privilege.as_root(argv) if guest is None else argv,  # the offline image belongs to root
                    log_path=self._log_path, timeout_s=deadline_s, grace_s=5,
                    on_line=functools.partial(_show_test, tests),
                )  # fmt: skip
        except CommandTimeout as e:
            what = f"the tests of phase {phase} took over {deadline_s:.0f} s"
            raise (VerificationError(what) if guest is None else guest.vm.lost(what)) from e
        except CommandError as e:
            if guest is not None and not guest.vm.is_alive():
                raise guest.vm.lost(f"the VM was lost in phase {phase}") from e
            if e.returncode not in {_TESTS_FAILED, _NO_TEST}:
                raise VerificationError(
                    f"pytest failed in phase {phase} with exit code {e.returncode}", hint=e.hint
                ) from e

    def _argv(
        self, phase: str, expected: Expectations, folders: Sequence[Path], options: Sequence[str]
    ) -> tuple[proc.Arg, ...]:
        report = self.reports[phase] = self._scratch / f"junit-{phase}.xml"
        expect = self._scratch / f"expect-{phase}.json"
        dataclasses.replace(expected, phase=phase).write(expect)
        return (
            sys.executable, "-B", "-m", "pytest", "-v", "-c", SUITES / "pytest.ini",
            "-p", "no:cacheprovider", "--expect", expect, "--junitxml", report, *_cut(folders), *options,
            *folders,
        )  # fmt: skip


def _cut(folders: Sequence[Path]) -> tuple[proc.Arg, ...]:
    """Keep out each conftest.py above the user's suites: it is of other tests, such as a checkout's."""
    own = [folder.absolute() for folder in folders if not folder.is_relative_to(SUITES)]
    topmost = min(own, key=lambda folder: len(folder.parts), default=None)  # one may lie in another
    return () if topmost is None else ("--confcutdir", topmost)


def _show_test(tests: progress.Meter, line: str) -> None:
    if started := started_tests.parse(line):
        tests.at(started.number, started.test, total=started.total)
