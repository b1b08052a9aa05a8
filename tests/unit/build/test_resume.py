# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from goldsmith.build import resume, values
from goldsmith.core import files, paths
from goldsmith.errors import BuildError
from goldsmith.kubernetes import pin
from goldsmith.spec.document import parse_document
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import ContainerSpec, Distribution, ImageSpec, KubeletSource, KubeletSpec
from tests.support import samples

SPEC = ImageSpec(
    name="mine", distribution=Distribution.debian, release="trixie", containers=(), elements=("ours",)
)


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedSpec:
    (tmp_path / "elements/ours").mkdir(parents=True)
    (tmp_path / "elements/ours/README.rst").write_text("ours")
    return LoadedSpec(
        spec=SPEC, rendered="", path=tmp_path / "mine.yaml.j2", sha256="5" * 64,
        elements=(tmp_path / "elements", paths.project_root() / "elements"),
        document=parse_document("", lambda line: ("mine", line)),
    )  # fmt: skip


@pytest.fixture
def builds(tmp_path: Path) -> Path:
    path = tmp_path / "out/mine"
    path.mkdir(parents=True)
    return path


def failed_build(builds: Path, loaded: LoadedSpec, name: str = "20260101T000000Z-abc") -> Path:
    folder = builds / name
    folder.mkdir()
    (folder / "mine.qcow2").write_bytes(b"disk")
    made = samples.parsed(disks=[samples.disk("mine.qcow2", b"disk")], verification=None, stages_s=None)
    resume.save(folder, made, resume.inputs(loaded))
    return folder


def test_a_failed_build_can_be_resumed(builds: Path, loaded: LoadedSpec) -> None:
    folder = failed_build(builds, loaded)

    assert resume.find(builds, loaded) == folder
    assert resume.manifest(folder).disk.file == "mine.qcow2"


def test_the_newest_failed_build_is_resumed(builds: Path, loaded: LoadedSpec) -> None:
    newer = failed_build(builds, loaded, "20270101T000000Z-abc")
    failed_build(builds, loaded)

    assert resume.find(builds, loaded) == newer


def test_a_newer_build_without_its_disk_is_passed_over(builds: Path, loaded: LoadedSpec) -> None:
    quick = failed_build(builds, loaded)
    (failed_build(builds, loaded, "20270101T000000Z-abc") / "mine.qcow2").unlink()

    assert resume.find(builds, loaded) == quick


def test_a_build_whose_tests_failed_can_be_resumed(builds: Path, loaded: LoadedSpec) -> None:
    folder = failed_build(builds, loaded)
    files.write_json(folder / "manifest.json", {"verification": {"result": "failed"}})

    assert resume.find(builds, loaded) == folder


def test_a_verified_build_cannot_be_resumed(builds: Path, loaded: LoadedSpec) -> None:
    folder = failed_build(builds, loaded)
    files.write_json(folder / "manifest.json", {"verification": {"result": "passed"}})

    with pytest.raises(BuildError, match="no failed build of mine"):
        resume.find(builds, loaded)


def test_a_complete_build_cannot_be_resumed(builds: Path, loaded: LoadedSpec) -> None:
    resume.forget(failed_build(builds, loaded))

    with pytest.raises(BuildError, match="no failed build") as e:
        resume.find(builds, loaded)

    assert e.value.hint


def test_a_folder_without_builds_has_nothing_to_resume(tmp_path: Path, loaded: LoadedSpec) -> None:
    with pytest.raises(BuildError, match="no failed build"):
        resume.find(tmp_path / "nowhere", loaded)


def test_a_changed_spec_is_noticed(builds: Path, loaded: LoadedSpec) -> None:
    failed_build(builds, loaded)

    with pytest.raises(BuildError, match=r"inputs of .* have changed since: the spec$"):
        resume.find(builds, dataclasses.replace(loaded, sha256="6" * 64))


def test_a_changed_element_is_noticed(builds: Path, loaded: LoadedSpec) -> None:
    failed_build(builds, loaded)
    (loaded.elements[0] / "ours/README.rst").write_text("changed")

    with pytest.raises(BuildError, match=r"inputs of .* have changed since: the elements$"):
        resume.find(builds, loaded)


def test_a_changed_build_context_is_noticed(builds: Path, loaded: LoadedSpec, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\n")
    image = ContainerSpec(ref="mine:1", build=str(context))
    loaded = dataclasses.replace(loaded, spec=dataclasses.replace(SPEC, containers=(image,)))
    failed_build(builds, loaded)
    (context / "Dockerfile").write_text("FROM scratch\nENV CHANGED=1\n")

    with pytest.raises(BuildError, match=r"inputs of .* have changed since: the containers' build contexts$"):
        resume.find(builds, loaded)


def test_a_moved_pin_of_the_kubelet_is_noticed(
    builds: Path, loaded: LoadedSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = KubeletSpec(version="1.2.3", source=KubeletSource.go_module)
    loaded = dataclasses.replace(loaded, spec=dataclasses.replace(SPEC, kubelet=pinned))
    failed_build(builds, loaded)
    monkeypatch.setattr(pin, "module_hashes", lambda: {"go.sum": "other"})

    with pytest.raises(BuildError, match=r"inputs of .* have changed since: the kubelet's Go module$"):
        resume.find(builds, loaded)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "has no disk image any more"), (b"other", "mine.qcow2 has changed since")]
)
def test_the_disk_image_must_be_unchanged(
    builds: Path, loaded: LoadedSpec, content: bytes | None, message: str
) -> None:
    disk = failed_build(builds, loaded) / "mine.qcow2"
    disk.unlink()
    if content is not None:
        disk.write_bytes(content)

    with pytest.raises(BuildError, match=message):
        resume.find(builds, loaded)


def test_resumable_stages_are_stages_of_the_pipeline() -> None:
    assert set(resume.RESUMABLE) < set(values.STAGES)
