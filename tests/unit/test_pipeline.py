# SPDX-License-Identifier: Apache-2.0
"""Decisions of the pipeline; tests/integration/ runs its stages together."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from goldsmith import pipeline
from goldsmith.apt.indexes import IndexState
from goldsmith.build import image_stage, resume, values
from goldsmith.build.values import BuildContext, Ingredients, Options
from goldsmith.containers import bundler
from goldsmith.containers.policy import Policy
from goldsmith.core import build_folders, paths
from goldsmith.core.documents import as_data
from goldsmith.core.runs import Run
from goldsmith.errors import (
    BuildError,
    CommandError,
    HostError,
    ProvenanceError,
    SpecError,
    VerificationError,
)
from goldsmith.image import prepare
from goldsmith.image.build_info import Identity
from goldsmith.image.timings import Timings
from goldsmith.image.verdict import Verdict
from goldsmith.kubernetes import kubelet
from goldsmith.kubernetes.kubelet import KubeletBinary
from goldsmith.scan import vulnerabilities
from goldsmith.scan.vulnerabilities import VulnerabilityFinding, VulnerabilityReport
from goldsmith.spec import load
from goldsmith.spec.model import Distribution, KubeletSource
from goldsmith.verify import guest, session
from tests.support import samples


def test_the_stages_have_their_names_and_order() -> None:
    assert values.STAGES == (
        "spec", "preflight", "kubelet", "containers", "image", "artifact", "boot", "verify",
    )  # fmt: skip


def test_a_plan_changes_nothing_and_has_no_path_of_this_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no program of the host can run

    _, plan = prepare.plan("debian-kubelet", {})

    text = f"{plan.argv} {dict(plan.env)} {plan.block_device}"
    assert str(paths.project_root()) not in text
    assert os.environ["HOME"] not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", load.names())
def test_every_shipped_spec_can_be_planned(name: str) -> None:
    variables = {"fedora_base_sha256": "f" * 64} if "fedora" in name else {}

    loaded, plan = prepare.plan(name, variables)

    assert plan.argv[-1]
    assert loaded.spec.name == name


def test_an_architecture_that_cannot_be_built_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="arm64 images can be planned but not built") as e:
        pipeline.build("debian-kubelet", Options(variables={"arch": "arm64"}))

    assert e.value.hint == "run: scripts/inv plan debian-kubelet"
    assert not (tmp_path / "out").exists()


def test_an_unfit_host_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_spec: object, **_options: object) -> None:
        raise HostError("no loop device")

    monkeypatch.setattr("goldsmith.host.preflight.require", refuse)

    with pytest.raises(HostError, match="no loop device"):
        pipeline.build("debian-kubelet", Options())

    assert not (tmp_path / "out").exists()


def test_the_host_check_looks_at_the_folder_of_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def refuse(_spec: object, *, out: Path | None = None, **_options: object) -> None:
        asked.append(out)
        raise HostError("no loop device")

    monkeypatch.setattr("goldsmith.host.preflight.require", refuse)

    with pytest.raises(HostError):
        pipeline.build("debian-kubelet", Options(out=tmp_path / "elsewhere"))

    assert asked == [tmp_path / "elsewhere"]


@pytest.mark.parametrize("locked", [True, False])
def test_pods_are_checked_before_anything_is_built_even_if_their_schema_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    fetched: list[object] = []

    def refuse(spec: object) -> Path:
        fetched.append(spec)
        raise BuildError("no network")

    monkeypatch.setattr("goldsmith.host.preflight.require", lambda _spec, **_options: [])
    monkeypatch.setattr(kubelet, "pod_schema", refuse)
    spec = tmp_path / "mine.yaml.j2"
    spec.write_text(
        "{name: mine, distribution: debian, release: trixie, kubelet: {version: '1.35.4'},\n"
        "containers: [{ref: 'goldsmith.local/pause:1', build: containers/pause}],\n"
        "verify: {pods: [{apiVersion: v1, kind: Pod,\n"
        "metadata: {name: p}, spec: {serviceAccount: x, containers:\n"
        "[{name: a, image: 'goldsmith.local/pause:1'}]}}]}}"
    )

    with pytest.raises(SpecError, match="serviceAccount needs an API server"):
        pipeline.build(str(spec), Options(locked=locked))

    assert bool(fetched) != locked
    assert not (tmp_path / "out").exists()


@pytest.mark.programs("git")
def test_an_error_names_the_folder_of_its_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_context: BuildContext) -> None:
        raise BuildError("the stage failed")

    monkeypatch.setattr("goldsmith.host.preflight.require", lambda _spec, **_options: [])
    monkeypatch.setattr(kubelet, "pod_schema", lambda _spec: None)
    monkeypatch.setattr(pipeline, "_ingredients", fail)

    with pytest.raises(BuildError) as e:
        pipeline.build("debian-kubelet", Options(out=tmp_path / "out"))

    assert [e.value.build] == list((tmp_path / "out/debian-kubelet").iterdir())


@pytest.mark.programs("git")
@pytest.mark.parametrize("again", [True, False])
def test_nothing_is_left_of_a_build_that_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """With --verify, the latest one is verified once more."""
    green = samples.build(tmp_path / "debian-kubelet/20260301T120000Z-abcdefa")
    monkeypatch.setattr("goldsmith.host.preflight.require", lambda _spec, **_options: [])
    monkeypatch.setattr(kubelet, "pod_schema", lambda _spec: None)
    monkeypatch.setattr(pipeline, "_ingredients", lambda _context: None)
    monkeypatch.setattr(pipeline, "_same", lambda *_words: green)
    monkeypatch.setattr(session, "verify_again", lambda _image, build, **_options: build / "verdict.json")

    result = pipeline.build("debian-kubelet", Options(out=tmp_path, verify=again))

    assert list((tmp_path / "debian-kubelet").iterdir()) == [green]
    assert (result.folder, result.changed) == (green, False)
    assert result.verdict == (green / "verdict.json" if again else None)


def test_an_unknown_stage_is_an_error_of_the_user() -> None:
    with pytest.raises(SpecError, match="no stage is called 'boott'") as e:
        pipeline.build("debian-kubelet", Options(start="boott"))

    assert "boot" in str(e.value.hint)


def test_without_a_failed_build_nothing_can_be_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goldsmith.host.preflight.require", lambda _spec, **_options: [])

    with pytest.raises(BuildError, match="no failed build of debian-kubelet"):
        pipeline.build("debian-kubelet", Options(start="verify"))


@pytest.mark.parametrize("content", [None, "{", "\udcff"])
def test_a_manifest_that_cannot_be_read_is_an_error_of_the_user(tmp_path: Path, content: str | None) -> None:
    image, manifest = tmp_path / "image.qcow2", tmp_path / "manifest.json"
    image.touch()
    if content is not None:
        manifest.write_bytes(content.encode(errors="surrogateescape"))

    with pytest.raises(SpecError, match="cannot read the manifest"):
        session.verify_file(image, manifest=manifest, out=tmp_path / "v", tests=())


def test_a_spec_without_containers_has_nothing_to_export(tmp_path: Path) -> None:
    spec = tmp_path / "bare.yaml.j2"
    spec.write_text("name: bare\ndistribution: debian\nrelease: trixie\ncontainers: []\n")

    with pytest.raises(SpecError, match="bare lists no container images"):
        bundler.export_images(str(spec), {}, tmp_path / "target", refresh=False)

    assert not (tmp_path / "target").exists()


REGISTRY_IMAGE = f"registry.test/app:1@sha256:{'a' * 64}"


def disallowed(folder: Path) -> Path:
    spec = folder / "mine.yaml.j2"
    shipped = (paths.project_root() / "image-specs/debian-kubelet.yaml.j2").read_text()
    spec.write_text(shipped.replace("containers:\n", f"containers:\n  - registry: {REGISTRY_IMAGE}\n", 1))
    variables = folder / "variables/mine.yaml"
    variables.parent.mkdir()
    shutil.copy(paths.project_root() / "image-specs/variables/debian-kubelet.yaml", variables)
    return spec


def test_an_image_that_the_policy_does_not_allow_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    spec = str(disallowed(tmp_path))

    with pytest.raises(ProvenanceError, match="the policy does not allow"):
        pipeline.build(spec, Options(out=tmp_path / "out"))
    with pytest.raises(ProvenanceError, match="the policy does not allow"):
        bundler.export_images(spec, {}, None, refresh=False)

    assert not (tmp_path / "out").exists()


def test_the_log_of_a_failed_export_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def export(_containers: object, *, log_path: Path, **_options: object) -> None:
        log_path.write_text("why\n")
        raise CommandError("skopeo copy", 1, ["why"], log_path)

    monkeypatch.setattr(bundler, "export", export)
    monkeypatch.setattr(bundler, "require_allowed", lambda _spec: None)

    with pytest.raises(CommandError) as e:
        bundler.export_images(str(disallowed(tmp_path)), {}, tmp_path / "target", refresh=False)

    assert e.value.hint == f"full log: {tmp_path / 'target/export.log'}"
    assert (tmp_path / "target/export.log").read_text() == "why\n"


def test_a_policy_and_its_keys_may_lie_beside_the_spec(tmp_path: Path) -> None:
    spec = disallowed(tmp_path)
    spec.write_text(spec.read_text() + "policy: rules/policy.yaml\n")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/app.pub").write_text("a key")
    (tmp_path / "rules/policy.yaml").write_text("registries: {registry.test: {sigstore-key: app.pub}}\n")

    bundler.require_allowed(load.load(str(spec)).spec)


def test_the_record_of_the_kubelet_can_be_written_as_yaml(tmp_path: Path) -> None:
    binary = KubeletBinary(path=tmp_path, version="1.35.4", source=KubeletSource.go_module, sha256="a")

    record = as_data(kubelet.record(binary))

    assert yaml.safe_load(yaml.safe_dump(record)) == record


def context_of(tmp_path: Path, budget: str | None) -> BuildContext:
    loaded = load.load("debian-kubelet")
    loaded = dataclasses.replace(loaded, spec=dataclasses.replace(loaded.spec, fail_on=budget))
    (tmp_path / "build").mkdir()
    return BuildContext(
        loaded=loaded, folder=tmp_path / "build", options=Options(), policy=Policy(), timings=Timings(),
        run=Run(folder=tmp_path),
        identity=Identity(
            name="mine", build_id="build", commit="abc", dirty=False, spec_sha256=loaded.sha256
        ),
    )  # fmt: skip


@pytest.mark.parametrize("result", ["passed", "quick"])
@pytest.mark.parametrize(("budget", "passes"), [("critical", False), ("critical-fixable", True)])
def test_an_image_over_its_budget_is_not_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: str, passes: bool, result: str
) -> None:
    """Whatever the verdict of its tests is."""
    good = samples.judged(result=result, durations_s={"boot": 1.0})
    finding = VulnerabilityFinding(
        id="X", level="critical", where="host", package="p", version="1", fixed=None
    )
    report = VulnerabilityReport(findings=(finding,), looked_up=1, unknown=(), records=1)
    monkeypatch.setattr(vulnerabilities, "needed", lambda _budget: object())
    monkeypatch.setattr(vulnerabilities, "of_build", lambda _folder, _database: report)
    monkeypatch.setattr(session, "verify", lambda *_args, **_options: good)
    monkeypatch.setattr(build_folders, "move_latest", lambda _folder: True)
    monkeypatch.setattr(resume, "forget", lambda _folder: None)
    context = context_of(tmp_path, budget)

    over = contextlib.nullcontext() if passes else pytest.raises(ProvenanceError, match="over the budget")
    with over:
        pipeline._verify(context, samples.parsed(verification=None, stages_s=None))

    written = json.loads((tmp_path / "build/manifest.json").read_text())
    assert written["verification"]["result"] == (result if passes else "failed")


def test_a_red_build_says_what_differs_from_the_latest_green_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever stage failed; the indexes are compared if it is the one that makes the image."""
    context = context_of(tmp_path, None)
    green = samples.build(tmp_path / "20260301T120000Z-abcdefa")
    (tmp_path / "latest").symlink_to(green.name)
    asked: list[object] = []

    def fail(*_words: object) -> None:
        raise BuildError("no image")

    monkeypatch.setattr(image_stage, "_image", fail)
    monkeypatch.setattr("goldsmith.changes.red_build.note_packages", lambda *words: asked.append(words[2]))
    index = IndexState(releases={})
    given = Ingredients(
        binary=None, states={context.spec.release: index}, bundle=None, locked=None, checkout={}, parts={},
        used=set(),
    )  # fmt: skip

    with pytest.raises(BuildError, match="no image"), pipeline._compared_if_red(context):
        image_stage.image(context, given)

    said = capsys.readouterr().err
    assert f"build, after {green.name}" in said
    assert f"? other keys of the spec: not recorded in {green.name}" in said
    assert asked == [index]


def test_a_shell_needs_a_build() -> None:
    with pytest.raises(SpecError, match="no verified build of never") as e:
        guest.boot_shell("never", memory_mib=512)

    assert str(e.value.hint).startswith("run: scripts/inv build-image never, or set GOLDSMITH_OUT")


@pytest.mark.parametrize("keep_going", [True, False])
def test_a_build_ends_at_the_first_failed_phase_unless_it_keeps_going(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep_going: bool
) -> None:
    asked = []

    def verify(subject: session.Subject, **_options: object) -> None:
        asked.append(subject.fail_fast)
        raise VerificationError("1 of 2 tests failed")

    monkeypatch.setattr(session, "verify", verify)
    context = context_of(tmp_path, None)
    context = dataclasses.replace(context, options=Options(keep_going=keep_going))

    with pytest.raises(VerificationError):
        pipeline._verify(context, samples.parsed(verification=None, stages_s=None))

    assert asked == [not keep_going]


def test_a_quick_build_is_no_latest_one_and_can_be_verified_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    forgotten: list[Path] = []

    def verify(subject: session.Subject, **_options: object) -> Verdict:
        asked.append(subject.quick)
        return samples.judged(result="quick", durations_s={"boot": 1.0})

    monkeypatch.setattr(session, "verify", verify)
    monkeypatch.setattr(resume, "forget", forgotten.append)
    context = context_of(tmp_path, "critical")
    context = dataclasses.replace(context, options=Options(quick=True))
    monkeypatch.setattr(vulnerabilities, "needed", lambda _budget: object())
    monkeypatch.setattr(vulnerabilities, "of_build", lambda _folder, _database: None)
    (context.folder / "mine-amd64.qcow2").touch()

    result = pipeline._verify(context, samples.parsed(verification=None, stages_s=None))
    build_folder = context.folder.rename(tmp_path / "20261130T000000Z-abc")

    assert (asked, forgotten, result.is_latest) == ([True], [], False)
    assert not (tmp_path / build_folders.LATEST).exists()
    assert not build_folders.is_verified(build_folder)
    assert build_folders.drop_disk_images(build_folder) == []


def test_no_build_is_compared_less_than_never() -> None:
    with pytest.raises(SpecError, match="--verify-short-way takes a number"):
        pipeline.build("debian-kubelet", Options(verify_short_way=-1))


def test_a_build_that_makes_no_image_cannot_be_compared() -> None:
    with pytest.raises(SpecError, match="--verify-short-way 1 does not work with --from boot"):
        pipeline.build("debian-kubelet", Options(verify_short_way=1, start="boot"))


def test_quick_and_verify_contradict_each_other() -> None:
    with pytest.raises(SpecError, match="--quick and --verify contradict each other"):
        pipeline.build("debian-kubelet", Options(quick=True, verify=True))


def test_an_image_that_fails_before_a_vm_boots_is_a_failed_verification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = samples.judged(result="failed", failed=["sealed: test_x: found"], durations_s={"sealed": 1.0})
    monkeypatch.setattr(session, "verify", lambda _subject, **_options: failed)

    with pytest.raises(VerificationError, match="test_x"):
        pipeline._verify(context_of(tmp_path, None), samples.parsed(verification=None, stages_s=None))


@pytest.mark.parametrize("name", ["nosuch.qcow2", "some/folder/disk", "nosuch.img"])
def test_a_disk_image_that_is_not_there_is_no_spec_to_build(name: str) -> None:
    with pytest.raises(SpecError, match=f"there is no disk image {name}") as e:
        guest.boot_shell(name, memory_mib=512)

    assert e.value.hint == "check the path"


def test_a_custom_distribution_needs_no_debian_mirror(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(*_words: object, **_options: object) -> None:
        raise HostError("no Debian mirror is known")

    monkeypatch.setattr("goldsmith.apt.mirror.find", none)
    spec = load.load("debian-kubelet").spec

    assert prepare._mirrors(dataclasses.replace(spec, distribution=Distribution.custom), None) == {}


def test_a_build_without_lock_cannot_be_resumed_with_it() -> None:
    with pytest.raises(SpecError, match="--locked does not work with --from verify") as e:
        pipeline.build("debian-kubelet", values.Options(start="verify", locked=True))

    assert e.value.hint == "run: scripts/inv build-image debian-kubelet --locked"
