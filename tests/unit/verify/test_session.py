# SPDX-License-Identifier: Apache-2.0
"""The phases of a verification and its verdict. All programs are fakes, also the pytest of the suites."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from goldsmith.core import files, proc, runs, wait
from goldsmith.errors import BootError, SpecError, VerificationError
from goldsmith.host import accelerator
from goldsmith.image.verdict import Verdict
from goldsmith.verify import qemu, session, timeline
from goldsmith.verify.expectations import Expectations
from goldsmith.verify.pytest_runner import PytestRunner
from goldsmith.verify.session import Subject
from tests.support import samples

pytestmark = pytest.mark.usefixtures("quick_polls")

GOOD = '<testsuites><testsuite name="pytest"><testcase name="test_a"/></testsuite></testsuites>'
BAD = GOOD.replace("/></", '><failure message="no"/></testcase></')
NONE = '<testsuites><testsuite name="pytest"/></testsuites>'
PHASES = ("sealed", "booted", "rebooted", "collected")
IMAGES = [
    samples.image("a.b/pause:1"),
    samples.image("a.b/app:1", names=["a.b/app:1", "a.b/app@sha256:1"]),
    samples.image("a.b/tool:1"),
]
POD = {"metadata": {"name": "app"}, "spec": {"containers": [{"name": "c", "image": "a.b/app@sha256:1"}]}}
PACKAGE = {
    "bom-ref": "host/deb/bash", "type": "library", "name": "bash", "version": "5.2",
    "purl": "pkg:deb/debian/bash@5.2?arch=amd64",
}  # fmt: skip
BUILD = {
    "schema": "goldsmith.build",
    "version": 1,
    "name": "mine",
    "verify": {"memory_mib": 777, "cpus": 3, "pods": [POD]},
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.raw"
    path.write_bytes(b"disk")
    return path


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """The files in the image."""
    root = tmp_path / "inside"
    for name, text in {
        "usr/lib/goldsmith/build.json": json.dumps(BUILD),
        "usr/lib/goldsmith/images.lock.json": json.dumps(samples.images_lock(*IMAGES)),
        "etc/cloud/cloud.cfg": "",
        "etc/os-release": 'PRETTY_NAME="Debian"\nID=debian\n',
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


class Lab:
    """Runs a verification. A file has the report that the suites of a phase will write."""

    def __init__(self, tmp_path: Path, image: Path) -> None:
        self.folder, self.image, self.out = tmp_path, image, tmp_path / "verdict"
        self.out.mkdir()
        self.until_it_reboots = f"until rm '{tmp_path}/down' 2> /dev/null; do sleep 0.02; done"
        for phase in PHASES:
            self.reports(phase, GOOD)

    def reports(self, phase: str, report: str, status: int | None = None) -> None:
        code = {GOOD: 0, BAD: 1, NONE: 5}.get(report, 0) if status is None else status
        (self.folder / f"report-{phase}.xml").write_text(report)
        (self.folder / f"status-{phase}").write_text(str(code))

    def run(self, **subject: Any) -> Verdict:
        what = Subject(image=self.image, out=self.out, **subject)
        with runs.run() as run:
            return session.verify(what, run=run, log_path=self.out / "log")

    def calls(self, name: str) -> list[str]:
        return (self.folder / f"{name}.calls").read_text().splitlines()

    def phases(self) -> list[str]:
        words = [call.split() for call in self.calls("pytest") if "--expect" in call]
        return [Path(w[w.index("--expect") + 1]).stem.removeprefix("expect-") for w in words]

    def expected(self, phase: str) -> Mapping[str, Any]:
        return dict(json.loads((self.folder / f"expect-{phase}.json").read_text()))


@pytest.fixture
def lab(
    tmp_path: Path, image: Path, inside: Path, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Lab:
    fake("sudo", 'shift; [ "$1" != env ] || shift 2; exec "$@"')
    fake("qemu-img", """case $1 in info) echo '{"format": "raw"}' ;; convert) cp "$7" "$8" ;; esac""")
    table = {"partitiontable": {"partitions": [{"start": 1, "size": 9}]}}
    fake("sfdisk", f"echo '{json.dumps(table)}'")
    fake("mount", f"""for last in "$@"; do :; done; cp -r '{inside}/.' "$last" """)
    fake("umount", 'rm -rf "$1"')
    fake("ssh-keygen", """for last in "$@"; do :; done; touch "$last"; echo ssh-ed25519 > "$last.pub" """)
    fake("ssh", f"""case "$*" in *reboot*) touch '{tmp_path}'/down ;; esac""")
    fake(
        "pytest",
        f"""case "$*" in *goldsmith.scan.sbom*)
for last in "$@"; do :; done
[ ! -e '{tmp_path}/no-sbom' ] || {{ echo 'X: a blob is missing'; exit 1; }}
exec cp '{tmp_path}/sbom' "$last" ;;
esac
while [ "$1" != --expect ]; do shift; done
phase=$(basename "$2" .json); phase=${{phase#expect-}}
cp "$2" '{tmp_path}'
cp '{tmp_path}'/report-"$phase".xml "$4"
exit "$(cat '{tmp_path}'/status-"$phase")" """,
    )
    monkeypatch.setattr(sys, "executable", str(tmp_path / "fakes" / "pytest"))
    found = accelerator.ProbeResult(name="tcg", args=("-accel", "tcg"), slowness=2.0, note="")
    monkeypatch.setattr(accelerator, "find", lambda **_options: found)
    monkeypatch.setattr(qemu.Vm, "answers", lambda _self: True)
    monkeypatch.setattr(proc, "ends_within", lambda _process, _timeout_s: False)
    (tmp_path / "sbom").write_text(json.dumps({"bomFormat": "CycloneDX", "components": [PACKAGE]}))
    lab = Lab(tmp_path, image)
    fake("qemu-system-x86_64", lab.until_it_reboots)
    return lab


def test_a_good_image_passes_in_every_phase(lab: Lab) -> None:
    verdict = lab.run()

    assert verdict.passed
    assert verdict.tests == 4
    assert lab.phases() == list(PHASES)
    assert verdict.accelerator == "tcg"
    assert list(verdict.durations_s) == [
        "sealed",
        "boot",
        "booted",
        "shutdown",
        "reboot",
        "rebooted",
        "collected",
    ]
    assert (lab.out / "junit.xml").exists()
    verdict.require(lab.out)


@pytest.mark.parametrize("phase", PHASES)
def test_one_failed_test_in_any_phase_is_a_failed_image(lab: Lab, phase: str) -> None:
    lab.reports(phase, BAD)

    verdict = lab.run()

    assert not verdict.passed
    assert verdict.failed == (f"{phase}: test_a: no",)
    assert lab.phases() == list(PHASES)
    with pytest.raises(VerificationError, match=rf"1 of 4 tests failed\n  \| {phase}: test_a"):
        verdict.require(lab.out)


@pytest.mark.parametrize(
    ("phase", "run"),
    [
        ("sealed", ["sealed"]),
        ("booted", ["sealed", "booted"]),
        ("rebooted", ["sealed", "booted", "rebooted"]),
    ],
)
def test_a_verification_can_end_at_the_first_failure(lab: Lab, phase: str, run: list[str]) -> None:
    lab.reports(phase, BAD)

    assert not lab.run(fail_fast=True).passed
    assert lab.phases() == run


@pytest.mark.parametrize(("report", "result"), [(GOOD, "quick"), (BAD, "failed")])
def test_a_quick_verification_ends_after_the_first_boots_tests_and_verifies_nothing(
    lab: Lab, report: str, result: str
) -> None:
    lab.reports("booted", report)

    verdict = lab.run(quick=True)

    assert lab.phases() == ["sealed", "booted"]
    assert (verdict.result, verdict.passed) == (result, False)


def test_a_boot_lasts_until_the_guest_answers_also_while_the_image_is_inspected(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_offline = PytestRunner.test_offline

    def for_a_while(self: PytestRunner, expected: Expectations, root: Path) -> None:
        time.sleep(1.5)
        test_offline(self, expected, root)

    monkeypatch.setattr(PytestRunner, "test_offline", for_a_while)

    durations_s = lab.run().durations_s

    assert durations_s["boot"] < durations_s["sealed"]


def test_a_guest_that_answers_too_late_is_lost_whatever_the_inspection_takes(
    lab: Lab, inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = {**BUILD, "verify": {"boot_deadline_s": 0}}
    (inside / "usr/lib/goldsmith/build.json").write_text(json.dumps(impatient))

    with pytest.raises(BootError, match="its SSH server answered after"):
        lab.run()


def test_the_timeline_of_the_first_boot_is_kept_where_the_image_has_systemd(
    lab: Lab, inside: Path, fake: Callable[..., Path]
) -> None:
    said = "UserspaceTimestampMonotonic=1\\nx.target\\nId=x.target\\n"
    said += "InactiveExitTimestampMonotonic=2\\nActiveEnterTimestampMonotonic=3"
    fake("ssh", f"""case "$*" in *reboot*) touch '{lab.folder}'/down ;; *show*) printf '{said}' ;; esac""")

    lab.run()
    assert not (lab.out / timeline.FILE).exists()

    (inside / "usr/lib/systemd").mkdir()
    (inside / "usr/lib/systemd/systemd").touch()
    lab.run()
    assert json.loads((lab.out / timeline.FILE).read_text())["chain"] == ["x.target"]


def test_a_guest_that_does_not_tell_its_timeline_is_verified_all_the_same(
    lab: Lab, inside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (inside / "usr/lib/systemd").mkdir()
    (inside / "usr/lib/systemd/systemd").touch()

    assert lab.run().passed
    assert "the guest does not tell the timeline of its boot" in capsys.readouterr().err


def test_the_image_boots_while_it_is_inspected(
    lab: Lab, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A VM that is not needed any more ends with the verification."""
    lab.reports("sealed", BAD)
    pid = lab.folder / "pid"
    fake("qemu-system-x86_64", f"echo $$ > '{pid}'; {lab.until_it_reboots}")
    test_offline = PytestRunner.test_offline

    def once_it_is_on(self: PytestRunner, expected: Expectations, root: Path) -> None:
        wait.wait_until(pid.exists, timeout_s=20)
        test_offline(self, expected, root)

    monkeypatch.setattr(PytestRunner, "test_offline", once_it_is_on)

    assert not lab.run(fail_fast=True).passed
    assert lab.phases() == ["sealed"]
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def test_a_verification_without_tests_is_an_error(lab: Lab) -> None:
    for phase in PHASES:
        lab.reports(phase, NONE)

    with pytest.raises(VerificationError, match="no test ran"):
        lab.run()


def test_a_pytest_that_breaks_is_an_error(lab: Lab) -> None:
    lab.reports("booted", GOOD, status=3)

    with pytest.raises(VerificationError, match="pytest failed in phase booted with exit code 3"):
        lab.run()


def test_an_image_that_changed_is_an_error(lab: Lab, fake: Callable[..., Path]) -> None:
    fake("qemu-system-x86_64", f"echo >> '{lab.image}'; {lab.until_it_reboots}")

    with pytest.raises(VerificationError, match="changed while it was verified"):
        lab.run()


def test_the_vm_has_an_overlay_and_the_size_from_build_json(lab: Lab) -> None:
    verdict = lab.run()

    create, resize = [call for call in lab.calls("qemu-img") if call.startswith(("create", "resize"))]
    assert f"-b {lab.image} -F raw" in create
    assert resize.endswith("+2048M")
    assert "-m 777 -smp 3" in lab.calls("qemu-system-x86_64")[0]
    assert verdict.uncovered_images == ("a.b/tool:1",)


def test_expectations_come_from_the_image_and_the_manifest(lab: Lab, tmp_path: Path) -> None:
    """The user's own suites run before and after the reboot."""
    mine = tmp_path / "mine"
    mine.mkdir()

    shown = lab.run(manifest=samples.parsed(name="other"), tests=[mine])

    expect = lab.expected("rebooted")
    assert expect["build"] == BUILD
    assert expect["images"] == IMAGES
    assert expect["manifest"] == samples.manifest(name="other")
    assert (expect["phase"], expect["user"], expect["slowness"]) == ("rebooted", "debian", 2.0)
    assert 0 < expect["host_port_at"] != lab.expected("booted")["host_port_at"]
    runs = zip(lab.phases(), [call for call in lab.calls("pytest") if "--expect" in call], strict=True)
    assert [phase for phase, call in runs if str(mine) in call] == ["booted", "rebooted"]
    assert (shown.result, shown.image_sha256) == ("passed", files.sha256_of(lab.image))


def test_an_image_without_build_json_is_verified_too(lab: Lab, inside: Path) -> None:
    for name in ("build.json", "images.lock.json"):
        (inside / "usr/lib/goldsmith" / name).unlink()
    (inside / "etc/cloud/cloud.cfg").unlink()

    verdict = lab.run()

    assert verdict.passed
    assert (lab.expected("sealed")["build"], lab.expected("sealed")["user"]) == (None, "root")
    assert "-m 2048 -smp 2" in lab.calls("qemu-system-x86_64")[0]


def test_the_sbom_is_kept_and_its_contents_are_expected(lab: Lab) -> None:
    lab.run()

    assert lab.expected("sealed")["sbom"] == {
        "packages": [["bash", "5.2", "amd64"]], "containers": {}, "kubelet_sha256": None, "error": "",
    }  # fmt: skip
    assert json.loads((lab.out / "sbom.cdx.json").read_text())["components"] == [PACKAGE]


def test_a_failed_sbom_is_left_to_the_suites(lab: Lab) -> None:
    (lab.folder / "no-sbom").touch()

    lab.run()

    assert lab.expected("sealed")["sbom"]["error"] == "X: a blob is missing"
    assert not (lab.out / "sbom.cdx.json").exists()


def test_a_lost_vm_is_a_boot_error_and_no_failed_test(
    lab: Lab, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    panic = "Kernel panic - not syncing"

    def dies_when_it_has_booted(vm: qemu.Vm) -> bool:
        while not vm.console.exists() or panic not in vm.console.read_text():
            time.sleep(0.01)
        return True

    monkeypatch.setattr(qemu.Vm, "answers", dies_when_it_has_booted)
    fake(
        "qemu-system-x86_64",
        f"""console=$(echo "$*" | sed 's/.*path=//;s/,.*//'); echo '{panic}' > "$console"; exec sleep 60""",
    )
    lab.reports("booted", BAD)

    with pytest.raises(BootError, match=rf"(?s)lost in phase booted.*{panic}") as e:
        lab.run()

    assert e.value.hint == f"see {lab.out / 'console.log'}"
    assert panic in (lab.out / "console.log").read_text()


def test_a_vm_that_the_emulator_lost_is_replaced_once_and_counted(
    lab: Lab, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new VM gets a new overlay."""
    monkeypatch.setattr(qemu.Vm, "answers", lambda self: self.console.parent.name == "vm-1")
    oops = "[    5.051208] Oops: int3: 0000 [#2] PREEMPT SMP NOPTI"
    fake(
        "qemu-system-x86_64",
        f"""if [ ! -e '{lab.folder}/lost' ]; then touch '{lab.folder}/lost'
console=$(echo "$*" | sed 's/.*path=//;s/,.*//')
printf '%s\\nKernel panic - not syncing' '{oops}' > "$console"; exit 1
fi; {lab.until_it_reboots}""",
    )

    verdict = lab.run()

    assert (verdict.passed, verdict.tests, verdict.emulator_faults) == (True, 4, 1)
    assert oops in (lab.out / "console-emulator-fault-1.log").read_text()
    overlays = [call.split()[-1] for call in lab.calls("qemu-img") if call.startswith("create")]
    assert len(set(overlays)) == 2


def test_an_emulator_that_loses_two_vms_is_an_error(
    lab: Lab, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu.Vm, "answers", lambda _self: False)
    fake(
        "qemu-system-x86_64",
        """console=$(echo "$*" | sed 's/.*path=//;s/,.*//')
printf '[ 5.1] int3: 0000 [#1]\\nKernel panic - not syncing' > "$console"; exit 1""",
    )

    with pytest.raises(BootError, match="int3: 0000"):
        lab.run()

    assert len(lab.calls("qemu-system-x86_64")) == 2


def test_a_vm_that_does_not_go_down_is_lost(
    lab: Lab, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("ssh", "")
    monkeypatch.setattr(session, "_SHUTDOWN_DEADLINE_S", 0.05)

    with pytest.raises(BootError, match="the guest did not shut down within 0 s of a reboot"):
        lab.run()


def test_a_vm_that_does_not_come_back_is_lost(
    lab: Lab, inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    banners = iter([True])
    monkeypatch.setattr(qemu.Vm, "answers", lambda _self: next(banners, False))
    impatient = {**BUILD, "verify": {"boot_deadline_s": 8}}  # the first boot is in time on a loaded host, too
    (inside / "usr/lib/goldsmith/build.json").write_text(json.dumps(impatient))

    with pytest.raises(BootError, match="no SSH banner"):
        lab.run()


def test_a_missing_folder_of_suites_is_an_error(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="typo"):
        lab.run(tests=[tmp_path / "typo"])


def test_an_image_with_a_name_like_the_sandbox_image_is_uncovered_too(lab: Lab, inside: Path) -> None:
    lock = samples.images_lock(samples.image("a.b/pause-menu:1"))
    (inside / "usr/lib/goldsmith/images.lock.json").write_text(json.dumps(lock))

    assert lab.run().uncovered_images == ("a.b/pause-menu:1",)


def test_findings_of_the_offline_image_are_reported_also_if_the_vm_is_lost(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.reports("sealed", BAD)
    monkeypatch.setattr(qemu.Vm, "is_alive", lambda _self: False)
    monkeypatch.setattr(qemu.Vm, "answers", lambda _self: False)
    with pytest.raises(BootError):
        lab.run()

    assert (lab.out / "junit.xml").exists()


def test_a_foreign_image_without_os_release_is_verified_too(lab: Lab, inside: Path) -> None:
    (inside / "etc/os-release").unlink()

    assert lab.run().passed
