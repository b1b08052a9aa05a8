# SPDX-License-Identifier: Apache-2.0
"""What publishing is made of besides the plan: builds, records, journal, properties, bodies, notes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goldsmith import clean
from goldsmith.core import builds, paths
from goldsmith.errors import ProvenanceError, PublishError, SpecError
from goldsmith.image import finished_build
from goldsmith.image.finished_build import DiskFile
from goldsmith.publish import build_diff, desired, journal, metadefs, publisher, records, release, trust
from goldsmith.publish.journal import Journal
from goldsmith.publish.model import Limits
from goldsmith.publish.records import Records
from goldsmith.publish.upload import Sending
from goldsmith.spec.model import Distribution, ImageSpec, PublishCloud, PublishSpec

DISK = b"a disk" * 400_000


def sha(data: bytes, algorithm: str = "sha256") -> str:
    return hashlib.new(algorithm, data).hexdigest()


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build folder as build-image leaves it."""
    folder = tmp_path / "out/mine/20260301T120000Z-abcdefa"
    folder.mkdir(parents=True)
    (folder / "mine-amd64.qcow2").write_bytes(DISK)
    packages = json.dumps({"packages": [{"name": "bash", "version": "5.2"}], "kernels": ["6.1"]})
    (folder / "packages.json").write_text(packages)
    disk = {
        "file": "mine-amd64.qcow2", "format": "qcow2", "size": len(DISK), "virtual_size": 1 << 30,
        "sha256": sha(DISK), "sha512": sha(DISK, "sha512"),
    }  # fmt: skip
    write(
        folder,
        {
            "build_id": folder.name, "disks": [disk], "files": {"packages.json": sha(packages.encode())},
            "verification": {"result": "passed", "image_sha256": disk["sha256"]}, "containers": [],
            "elements": {"e": "1"}, "kernels": ["6.1"], "kubelet": None, "min_disk_gib": 1,
            "min_ram_mib": 512,
        },
    )  # fmt: skip
    return folder


def write(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest))


def manifest_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text()))


# The build


def test_a_build_of_another_spec_is_refused_wherever_it_lies(build: Path) -> None:
    write(build, {**manifest_of(build), "name": "mine"})

    assert finished_build.read(build, name="mine").id == build.name
    with pytest.raises(PublishError, match="is a build of mine, not of prod"):
        finished_build.read(build, name="prod")


def test_a_good_build_is_read_and_its_disk_hashed(build: Path) -> None:
    disk = finished_build.disk(finished_build.read(build), "qcow2")

    assert (disk.size, disk.sha256, disk.sha512) == (len(DISK), sha(DISK), sha(DISK, "sha512"))
    assert disk.hashed_by("md5") == sha(DISK, "md5")
    with pytest.raises(PublishError, match="made by sm3000"):
        disk.hashed_by("sm3000")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"build_id": "other"}, "is that of other"),
        ({"verification": None}, "was not verified"),
        ({"verification": {"result": "failed", "image_sha256": "x"}}, "was not verified"),
        ({"verification": {"result": "passed", "image_sha256": "x"}}, "another disk was verified"),
        ({"files": {"packages.json": "x"}}, "packages.json is not what the manifest says"),
        ({"files": {"gone.json": "x"}}, "gone.json is not what the manifest says"),
        ({"disks": []}, "cannot use the manifest"),
    ],
)
def test_a_build_that_is_not_what_its_manifest_says(
    build: Path, change: dict[str, Any], message: str
) -> None:
    write(build, {**manifest_of(build), **change})

    with pytest.raises(PublishError, match=message):
        finished_build.read(build)


def test_a_disk_that_was_changed(build: Path) -> None:
    (build / "mine-amd64.qcow2").write_bytes(DISK[:-1] + b"x")

    with pytest.raises(PublishError, match="qcow2 is not what its manifest says"):
        finished_build.disk(finished_build.read(build), "qcow2")


def test_no_build_is_said_with_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no verified build of mine") as caught:
        builds.find_build(tmp_path, "mine")
    assert caught.value.hint == "run: scripts/inv build-image mine"


def test_another_format_is_converted_compared_and_cached(build: Path, fake: Callable[..., Path]) -> None:
    calls = fake("qemu-img", 'for last; do :; done; [ "$1" = compare ] || printf raw > "$last"')
    read = finished_build.read(build)

    made = [finished_build.disk(read, "raw") for _ in range(2)]

    assert made[0] == made[1]
    assert (made[0].format, made[0].sha256) == ("raw", sha(b"raw"))
    assert [line.split()[0] for line in calls.read_text().splitlines()] == ["convert", "compare"]


def test_a_format_that_differs_is_not_used(build: Path, fake: Callable[..., Path]) -> None:
    fake(
        "qemu-img",
        'for last; do :; done; [ "$1" = compare ] && { echo differs; exit 1; }; printf x > "$last"',
    )

    with pytest.raises(
        PublishError, match=r"qcow2 cannot be converted to raw, or the two differ: qemu-img compare"
    ):
        finished_build.disk(finished_build.read(build), "raw")


# The record


def test_a_record_says_what_the_build_folder_says(build: Path, tmp_path: Path) -> None:
    read = finished_build.read(build)
    disk = finished_build.disk(read, "qcow2")
    held = {"size": 1, "hash_algo": "sha512", "hash_value": "aa"}
    kept = Records(out=tmp_path / "no builds", name="mine", folder=tmp_path / "records")
    assert kept.get(read.id) is None

    kept.put(read.id, records.record(read, disk, held))

    found = kept.get(read.id)
    assert found is not None
    assert (found["manifest"], found["glance"]) == (manifest_of(build), held)
    beside = records.beside(build)
    assert beside is not None
    assert build_diff.between(found, beside).is_empty
    assert records.record(read, disk, held) == records.record(read, disk, held)


def test_what_is_no_record_is_said(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="the file x is no record of a release"):
        records.parse(b"nothing", "the file x")


def test_the_notes_say_what_changed(build: Path) -> None:
    new = records.beside(build)
    assert new is not None
    old = json.loads(json.dumps(new))
    old["manifest"] |= {
        "build_id": "old", "kernels": ["6.0"], "kubelet": {"version": "1.34.1", "source": "go-module"},
        "containers": [{"ref": "a/nginx:1", "digest": f"sha256:{'a' * 64}"}], "elements": {"e": "2"},
    }  # fmt: skip
    new["manifest"]["containers"] = [{"ref": "a/nginx:1", "digest": f"sha256:{'b' * 64}"}]
    old["packages"]["packages"] = [{"name": "bash", "version": "5.1"}, {"name": "dash", "version": "1"}]

    lines = build_diff.between(old, new).text().splitlines()

    assert lines[0] == f"{build.name}, after old"
    assert "    + 6.1" in lines
    assert "    - kubelet 1.34.1 (go-module)" in lines
    assert f"    ~ a/nginx:1 {'a' * 12} -> {'b' * 12}" in lines
    assert "    ~ bash 5.1 -> 5.2" in lines
    assert "    - dash 1" in lines
    assert "    ~ e 2 -> 1" in lines


# The journal


def test_what_was_begun_and_not_ended_is_known_to_this_project_alone(build: Path) -> None:
    mine = Journal(folder=build.parent, cloud="prod", project="p1")
    mine.begin(build.name, "i1", "word")
    assert mine.begun() == {"word"}
    assert dataclasses.replace(mine, project="p2").begun() == frozenset()
    assert dataclasses.replace(mine, cloud="other").begun() == frozenset()

    mine.end(build.name, "i1", 4)
    assert mine.begun() == frozenset()
    assert clean.clean_builds(build.parent, keep=0) == []  # a published build is kept

    mine.forget_image("i1")
    assert not list(build.glob("publish-*"))


def test_a_build_that_is_not_here_is_not_noted(tmp_path: Path) -> None:
    Journal(folder=tmp_path, cloud="prod", project="p1").begin("elsewhere", "i1", "word")

    assert list(tmp_path.iterdir()) == []


def test_a_rollback_that_was_broken_off_is_remembered(tmp_path: Path) -> None:
    mine = Journal(folder=tmp_path, cloud="a cloud/1", project="p1")
    assert mine.unfinished_rollback("b2") == ""
    mine.begin_rollback("b1", "b2")
    assert mine.unfinished_rollback("b2") == mine.unfinished_rollback("b1") == "b1"
    assert mine.unfinished_rollback("b3") == "", "another release was published since"
    mine.end_rollback()
    assert mine.unfinished_rollback("b2") == ""


def test_one_spec_is_published_to_one_cloud_once_at_a_time(tmp_path: Path) -> None:
    with journal.locked(tmp_path / "mine", "prod"):
        with journal.locked(tmp_path / "mine", "other"):
            pass
        with pytest.raises(PublishError, match="mine is being published by another process"):
            journal.locked(tmp_path / "mine", "prod").__enter__()
    with journal.locked(tmp_path / "mine", "prod"):
        pass


# Properties


DEFINED: dict[str, dict[str, Any]] = {
    "hw_disk_bus": {"type": "string", "enum": ["virtio", "scsi"]},
    "hw_boot_menu": {"type": "boolean"},
    "hw_cpu_cores": {"type": "integer", "minimum": 1},
    "os_type": {"type": "string", "enum": ["linux", "windows"]},
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hw_disk_bus", "virtio"), ("hw_boot_menu", "True"), ("hw_cpu_cores", "4"), ("anything", "else"),
        ("os_admin_user", "debian"),
    ],
)  # fmt: skip
def test_properties_that_are_allowed(name: str, value: str) -> None:
    assert list(metadefs.problems({name: value}, DEFINED)) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("hw_disk_bus", "ide", "hw_disk_bus: 'ide' is not one of ['virtio', 'scsi']"),
        ("hw_boot_menu", "maybe", "hw_boot_menu: 'maybe' is not of type 'boolean'"),
        ("hw_cpu_cores", "many", "hw_cpu_cores: 'many' is not of type 'integer'"),
        ("hw_cpu_cores", "0", "hw_cpu_cores: 0 is less than the minimum of 1"),
        ("hw_disk_buss", "ide", "hw_disk_buss is not known; did you mean hw_disk_bus?"),
    ],
)
def test_properties_that_are_not(name: str, value: str, said: str) -> None:
    assert list(metadefs.problems({name: value}, DEFINED)) == [said]


# The body of an upload


def sending(path: Path, limits: Limits | None = None) -> Sending:
    disk = DiskFile(
        path=path,
        format="qcow2",
        size=len(DISK),
        sha256=sha(DISK),
        sha512=sha(DISK, "sha512"),
    )
    return Sending(disk, "prod", limits or Limits(until=time.monotonic() + 60, stop=threading.Event()))


def test_what_is_sent_is_the_file_piece_by_piece(build: Path) -> None:
    body = sending(build / "mine-amd64.qcow2")

    pieces = list(body)

    assert b"".join(pieces) == DISK
    assert len(body) == len(DISK)
    assert len(pieces) == 3
    assert not hasattr(body, "read"), "requests would read it in small blocks"


def test_a_file_that_became_shorter_ends_the_upload(build: Path) -> None:
    body = sending(build / "mine-amd64.qcow2")
    (build / "mine-amd64.qcow2").write_bytes(DISK[:10])
    with pytest.raises(PublishError, match="became shorter while it was uploaded"):
        list(body)
    assert body.is_spoilt, "nothing is gained by another try"


def test_the_deadline_and_an_interrupt_end_an_upload(build: Path) -> None:
    with pytest.raises(PublishError, match="only 0 of 2400000 bytes were sent at the deadline"):
        list(sending(build / "mine-amd64.qcow2", Limits(until=time.monotonic() - 1, stop=threading.Event())))
    stop = threading.Event()
    stop.set()
    with pytest.raises(PublishError, match="interrupted: prod: only 0 of"):
        list(sending(build / "mine-amd64.qcow2", Limits(until=time.monotonic() + 60, stop=stop)))


# Which clouds, and what a release is there


def spec(**publish: Any) -> ImageSpec:
    return ImageSpec(
        name="mine", distribution=Distribution.debian, release="trixie", containers=(),
        publish=PublishSpec(**publish),
    )  # fmt: skip


def test_clouds_are_those_named_else_the_specs_else_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OS_CLOUD", "OS_AUTH_URL"):
        monkeypatch.delenv(name, raising=False)
    edge = PublishCloud(name="edge", flavor="small")

    assert desired.chosen(spec(clouds=(edge,)), ()) == (edge,)
    assert desired.chosen(spec(clouds=(edge,)), ("prod", "edge", "prod")) == (
        PublishCloud(name="prod"),
        edge,
    )
    assert desired.chosen(spec(), ()) == ()
    monkeypatch.setenv("OS_CLOUD", "mine")
    assert desired.chosen(spec(), ()) == (PublishCloud(name="mine"),)


def test_what_is_wanted_in_a_cloud(build: Path) -> None:
    read = finished_build.read(build)
    disk = finished_build.disk(read, "qcow2")
    wished = spec(properties={"os_distro": "mine", "hw_disk_bus": "scsi"}, share=("p2",))
    line = desired.line_of(wished)

    found = desired.wanted(wished, line, PublishCloud(name="prod"), read, disk, {"img_signature": "c2ln"})

    assert (line.alias, found.size, found.min_disk, found.min_ram) == ("mine", len(DISK), 1, 512)
    properties = found.all_properties()
    assert {name: value for name, value in properties.items() if not name.startswith(release.PREFIX)} == {
        "hw_architecture": "x86_64", "os_type": "linux", "os_distro": "mine", "os_version": "13",
        "hw_disk_bus": "scsi", "img_signature": "c2ln",
    }  # fmt: skip
    assert found.members == frozenset()  # it is private


def test_one_failed_cloud_raises_its_own_error_and_several_a_table() -> None:
    bad = publisher.CloudResult(cloud="a", error=PublishError("a: no room", hint="make some"))
    good = publisher.CloudResult(cloud="b")

    publisher.require([good])
    with pytest.raises(PublishError, match="a: no room") as one:
        publisher.require([bad])
    assert one.value.hint == "make some"
    with pytest.raises(PublishError, match=r"1 of 2 clouds failed\n  \| a +a: no room\n  \| b +done"):
        publisher.require([bad, good])


def test_the_command_line_says_before_the_spec_who_has_to_sign(tmp_path: Path) -> None:
    key = tmp_path / "key"
    by_spec, accepted = PublishSpec(signed_by="keys/a.pub"), PublishSpec(accept_unsigned="a lab")

    assert trust.choose(accepted, key, "") == trust.Trust(signed_by=key)
    assert trust.choose(by_spec, None, "now") == trust.Trust(accepted="now")
    assert trust.choose(by_spec, None, "").signed_by == paths.project_root() / "keys/a.pub"
    assert trust.choose(accepted, None, "") == trust.Trust(accepted="a lab")


@pytest.mark.parametrize(
    ("rules", "accepted", "why"),
    [
        (PublishSpec(), "", "nothing says whose signature"),
        (PublishSpec(signed_by="a", accept_unsigned="b"), "", "signed by somebody, or accepted"),
    ],
)
def test_a_release_that_nobody_answers_for_is_refused(rules: PublishSpec, accepted: str, why: str) -> None:
    with pytest.raises(SpecError, match=why):
        trust.choose(rules, None, accepted)


def test_a_build_that_is_not_signed_is_not_published(
    build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ProvenanceError, match=r"may not be published[\s\S]*cannot read the public key") as e:
        trust.Trust(signed_by=tmp_path / "nobody.pub").require(build)

    assert f"scripts/inv sign mine --build {build.name}" in str(e.value.hint)
    trust.Trust(accepted="a trial").require(build)
    assert "without a signature: a trial" in capsys.readouterr().err
