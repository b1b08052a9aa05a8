# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from goldsmith.cli import output
from goldsmith.core.paths import project_root
from goldsmith.errors import HostError
from goldsmith.host import preflight, tools
from goldsmith.host.preflight import Check
from goldsmith.spec.model import (
    ContainerSpec,
    DiskSpec,
    Distribution,
    ImageSpec,
    KubeletSource,
    KubeletSpec,
    VerifySpec,
)

_SPEC = ImageSpec(name="tiny", distribution=Distribution.custom, release="1", containers=())
_GOOD = Check(name="memory", ok=True, found="plenty")
_BAD = Check(name="output", ok=False, found="/out is not writable", remedy="use another folder")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDSMITH_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("GOLDSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("goldsmith.core.paths.scratch_root", lambda: tmp_path)


def fake(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str) -> Path:
    """A program on PATH with this body."""
    program = folder / "bin" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program


def checks_are(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    def given(spec: ImageSpec | None, folder: Path, out: Path) -> Iterator[Check]:
        return iter(checks)

    monkeypatch.setattr(preflight, "_all_checks", given)


def test_require_reports_all_problems_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(_BAD, name="mirrors", found="gone", remedy="set a mirror")
    checks_are(monkeypatch, _BAD, _GOOD, other)

    with pytest.raises(HostError) as caught:
        preflight.require(_SPEC)

    message = str(caught.value)
    assert all(word in message for word in ("tiny", "/out is not", "use another", "gone", "set a mirror"))
    assert "plenty" not in message
    assert caught.value.exit_code == 3


def test_require_accepts_a_good_host(monkeypatch: pytest.MonkeyPatch) -> None:
    checks_are(monkeypatch, _GOOD)

    assert preflight.require(_SPEC) == [_GOOD]


def test_a_check_is_one_line_and_its_remedy_another() -> None:
    assert output.as_lines([_GOOD, _BAD]).split("\n") == [
        "ok    memory  plenty",
        "FAIL  output  /out is not writable",
        "              -> use another folder",
    ]


def test_checks_fit_a_narrow_window_but_a_remedy_can_be_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    found = "55.9 GiB free in /var/tmp, up to 12.5 GiB needed of it"
    slow = preflight.Check(name="loop devices and partitions", ok=True, found=found, remedy=found * 2)

    assert output.as_lines([_GOOD, slow]).split("\n") == [
        "ok    memory  plenty",
        "ok    loop devices and partitions",
        "              55.9 GiB free in /var/tmp, up to 12.5 GiB",
        "              needed of it",
        f"              -> {found * 2}",
    ]


def test_the_answer_of_doctor_keeps_its_keys_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    checks_are(monkeypatch, _GOOD, _BAD)

    document = preflight.doctor("debian-kubelet").as_dict()

    assert list(document) == ["schema", "version", "ok", "checks"]
    assert (document["schema"], document["version"], document["ok"]) == ("goldsmith.doctor", 1, False)
    assert [list(check) for check in document["checks"]] == [["name", "ok", "found", "remedy"]] * 3
    assert document["checks"][1] == {
        "name": "output", "ok": False, "found": "/out is not writable", "remedy": "use another folder",
    }  # fmt: skip


def test_the_needs_of_a_spec_follow_from_its_contents() -> None:
    registry = ContainerSpec(ref="a", registry="r/a@sha256:0")
    kubelet = KubeletSpec(version="1.35.4")

    assert preflight.needs_of(_SPEC) == ("disk", "vm")
    assert preflight.needs_of(replace(_SPEC, containers=(registry,))) == ("disk", "vm", "containers")
    assert preflight.needs_of(replace(_SPEC, kubelet=kubelet)) == ("disk", "vm", "kubelet")
    assert preflight.needs_of(replace(_SPEC, kubelet=replace(kubelet, source=KubeletSource.package))) == (
        "disk",
        "vm",
    )


@pytest.mark.parametrize(
    ("container", "engine", "mirror"),
    [
        (ContainerSpec(ref="a", registry="r/a@sha256:0"), False, False),
        (ContainerSpec(ref="a", build="containers/a"), True, True),
        (ContainerSpec(ref="a"), True, False),
    ],
)
def test_engine_and_mirror_are_checked_only_if_a_container_needs_them(
    container: ContainerSpec, engine: bool, mirror: bool
) -> None:
    spec = replace(_SPEC, containers=(container,))

    assert preflight.needs_engine(spec) is engine
    assert preflight.needs_mirror(spec) is mirror


def test_a_missing_tool_is_reported_with_its_packages() -> None:
    check = preflight.check_tool(tools.Tool(probe="no-such-tool", alternatives=(), packages="tools-extra"))

    assert not check.ok
    assert "tools-extra" in check.remedy
    assert "scripts/inv --yes build-image" in check.remedy


def test_a_tool_is_reported_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake(tmp_path, monkeypatch, "sometool", "echo sometool version 4.5.6-rc1")

    check = preflight.check_tool(tools.Tool(probe="sometool", alternatives=(), packages=None))

    assert check == Check(name="sometool", ok=True, found=f"{path} 4.5.6")


def test_a_tool_without_a_version_is_still_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake(tmp_path, monkeypatch, "sometool", "exit 1")

    check = preflight.check_tool(tools.Tool(probe="sometool", alternatives=(), packages=None))

    assert check == Check(name="sometool", ok=True, found=str(path))


def test_the_table_of_host_packages_has_every_need_of_a_task() -> None:
    table = project_root() / "scripts" / "task-needs.tsv"
    needs = {
        need
        for line in table.read_text().splitlines()
        if line and not line.startswith("#")
        for need in line.split("\t")[1].split()
    }

    assert needs >= set(preflight.needs_of(None))
    for need in needs:
        assert tools.for_needs([need])


def test_every_row_of_the_table_has_five_columns() -> None:
    rows = list(tools._rows())

    assert len(rows) > 20
    assert [row for row in rows if len(row) != 5 or not all(row)] == []


def test_too_little_memory_is_reported_with_the_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 4000000 kB\nMemAvailable: 1048576 kB\n")
    monkeypatch.setattr(preflight, "_MEMINFO", meminfo)

    check = preflight.check_memory(replace(_SPEC, verify=VerifySpec(memory_mib=1024)))

    assert not check.ok
    assert check.found == "1.0 GiB available, 1.5 GiB needed"
    assert "lower verify.memory in the spec" in check.remedy


def test_an_image_is_built_in_memory_only_if_as_much_again_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meminfo = tmp_path / "meminfo"
    monkeypatch.setattr(preflight, "_MEMINFO", meminfo)
    answers = []
    for gib in (8, 12):
        meminfo.write_text(f"MemAvailable: {gib * 1024 * 1024} kB\n")
        answers.append(preflight.has_memory_to_build_in())

    assert answers == [False, True]


def test_disk_space_on_one_file_system_is_added_up(tmp_path: Path) -> None:
    (check,) = preflight.check_disk(replace(_SPEC, disk=DiskSpec(size_mib=2048)), tmp_path / "out")

    assert "6.1 GiB" in check.found
    assert check.found.count(", ") == 3


def test_an_image_larger_than_the_disk_is_reported_before_it_is_built(tmp_path: Path) -> None:
    (check,) = preflight.check_disk(replace(_SPEC, disk=DiskSpec(size_mib=1 << 40)), tmp_path / "out")

    assert not check.ok
    assert "GOLDSMITH_SCRATCH" in check.remedy


def test_an_output_folder_that_is_not_writable_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: object, mode: int) -> bool:
        return False

    monkeypatch.setattr(os, "access", refused)  # root may write everywhere

    check = preflight.check_output(tmp_path / "out")

    assert not check.ok
    assert "--out DIR" in check.remedy


def test_the_output_folder_of_the_build_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    for name in ("check_engine", "check_accelerator", "check_partitions", "check_mirrors"):
        monkeypatch.setattr(preflight, name, lambda *_given: _GOOD)
    monkeypatch.setattr(tools, "for_needs", lambda _needs: [])
    monkeypatch.setattr(preflight, "check_sudo", lambda: _GOOD)

    found = {check.name: check.found for check in preflight.host_checks(_SPEC, out=elsewhere)}

    assert found["output"] == f"{elsewhere} is writable"
    assert str(elsewhere) in found["disk space"]
    assert str(tmp_path / "out") not in found["disk space"]


def test_an_output_folder_that_does_not_exist_yet_is_fine(tmp_path: Path) -> None:
    assert preflight.check_output(tmp_path / "a" / "b").ok


def test_an_error_of_a_check_is_its_finding() -> None:
    def broken() -> Check:
        raise HostError("no such thing", hint="get one")

    assert preflight._guarded("thing", broken) == Check(
        name="thing", ok=False, found="no such thing", remedy="get one"
    )


def test_a_mirror_that_does_not_answer_is_reported_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDSMITH_DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    monkeypatch.setenv("GOLDSMITH_DEBIAN_SECURITY_MIRROR", "http://127.0.0.1:9/security")

    check = preflight.check_mirrors(None)

    assert not check.ok
    assert "http://127.0.0.1:9/debian/dists/stable/InRelease" in check.found


def test_diskimage_builder_is_looked_for_beside_this_python_and_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path]
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "with space/python"))
    missing = preflight.check_dib()
    fake("disk-image-create")
    on_path = preflight.check_dib()
    (tmp_path / "with space").mkdir()
    (tmp_path / "with space/disk-image-create").touch()
    spaced = preflight.check_dib()

    assert (missing.ok, missing.found) == (False, f"{tmp_path}/with space/disk-image-create is missing")
    assert (on_path.ok, on_path.found) == (True, f"{tmp_path}/fakes/disk-image-create")
    assert (spaced.ok, spaced.found) == (False, f"cannot run from {tmp_path}/with space")
    assert "virtual environment" in spaced.remedy


def test_a_sudo_that_prints_something_of_its_own_is_found(
    fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    fake("sudo", "echo 'sudo: unable to resolve host x: Name or service not known' >&2")
    noisy = preflight.check_sudo()
    fake("sudo", "")
    quiet = preflight.check_sudo()
    fake("sudo", "echo 'sudo: a password is required' >&2; exit 1")
    broken = preflight.check_sudo()

    assert (noisy.ok, quiet.ok, broken.ok) == (False, True, True), (
        "a root without sudo's rights is told elsewhere"
    )
    assert noisy.found == "sudo prints: sudo: unable to resolve host x: Name or service not known"
    assert noisy.remedy.startswith("add this host's name to /etc/hosts: ")
