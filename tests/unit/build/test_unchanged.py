# SPDX-License-Identifier: Apache-2.0
"""What counts as a change since the latest verified build."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from goldsmith.apt.indexes import IndexState
from goldsmith.build import resume, unchanged
from goldsmith.containers import policy
from goldsmith.containers.bundler import Bundle
from goldsmith.core import paths
from goldsmith.image.build_info import Identity
from goldsmith.kubernetes.kubelet import KubeletBinary
from goldsmith.provenance import build_inputs
from goldsmith.provenance.build_inputs import BuildInputs
from goldsmith.scan import vulnerabilities
from goldsmith.spec import load
from goldsmith.spec.model import Distribution, KubeletSource
from tests.support import samples
from tests.support.builds import SPEC

LOADED = load.load("debian-kubelet")
IDENTITY = Identity(name="mine", build_id="b", commit="abc", dirty=False, spec_sha256=LOADED.sha256)
KUBELET = KubeletBinary(path=Path("k"), version="1.35.4", source=KubeletSource.go_module, sha256="1")
BUNDLE = Bundle(path=Path("b"), lock_path=Path("l"), images=(), size_bytes=1, sha256="2", reused=True)


def parts(
    *,
    identity: Identity = IDENTITY,
    binary: KubeletBinary = KUBELET,
    bundle: Bundle = BUNDLE,
    doubts: tuple[str, ...] = (),
) -> dict[str, str]:
    checkout = resume.inputs(LOADED)
    states = {"trixie": IndexState(releases={}, doubts=doubts)}
    return unchanged.parts(LOADED, identity, checkout, states=states, binary=binary, bundle=bundle)


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in {**before, **after} if before.get(name) != after.get(name)}


def test_the_same_inputs_have_the_same_parts_whatever_the_build_is_called() -> None:
    assert parts() == parts(identity=dataclasses.replace(IDENTITY, build_id="another"))


def test_each_input_is_a_part_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = parts()

    assert changed(before, parts(identity=dataclasses.replace(IDENTITY, commit="def"))) == {"the commit"}
    assert changed(before, parts(binary=dataclasses.replace(KUBELET, sha256="3"))) == {"the kubelet"}
    assert changed(before, parts(bundle=dataclasses.replace(BUNDLE, sha256="3"))) == {"the container images"}
    (tmp_path / "record.json").write_text("{}")
    monkeypatch.setenv(vulnerabilities.VARIABLE, str(tmp_path))
    assert changed(before, parts()) == {"the vulnerability database"}
    monkeypatch.delenv(vulnerabilities.VARIABLE)
    monkeypatch.setattr(policy, "of_spec", lambda _spec: policy.Policy(engine="a reason"))
    assert changed(before, parts()) == {"the policy"}


@pytest.mark.parametrize(
    ("checkout", "name"),
    [({"elements": {"kubelet": "x"}}, "element kubelet"), ({"contexts": {"a": "x"}}, "the checkout")],
)
def test_what_the_checkout_holds_is_a_part(
    monkeypatch: pytest.MonkeyPatch, checkout: dict[str, object], name: str
) -> None:
    before, held = parts(), resume.inputs(LOADED)
    elements = {**held["elements"], **dict(checkout.get("elements", {}))}  # type: ignore[call-overload]

    monkeypatch.setattr(resume, "inputs", lambda _loaded: {**held, **checkout, "elements": elements})

    assert changed(before, parts()) == {name}


def test_the_index_is_a_part_by_its_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    before = parts()

    monkeypatch.setattr(IndexState, "key", lambda _state, _arch: "other packages")

    assert changed(before, parts()) == {"package index of trixie"}


def test_what_was_accepted_of_an_index_is_a_part() -> None:
    of_bundle = dataclasses.replace(BUNDLE, doubts=("it is older",))

    assert changed(parts(), parts(doubts=("it is older",))) == {"what was accepted of package indexes"}
    assert changed(parts(), parts(bundle=of_bundle)) == {"what was accepted of package indexes"}


def test_a_file_of_the_host_that_dib_env_names_is_a_part(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = parts()
    (tmp_path / "keys").write_text("a key")
    spec = dataclasses.replace(LOADED.spec, dib_env={"DIB_SOME_KEYS": str(tmp_path / "keys")})
    monkeypatch.setattr(sys.modules[__name__], "LOADED", dataclasses.replace(LOADED, spec=spec))

    with_file = parts()
    (tmp_path / "keys").write_text("another")

    assert changed(before, with_file) == {"files that dib-env names"}
    assert changed(with_file, parts()) == {"files that dib-env names"}


def test_inputs_that_come_from_elsewhere_are_never_unchanged(tmp_path: Path) -> None:
    def why(**changes: object) -> str:
        spec = dataclasses.replace(LOADED.spec, **changes)  # type: ignore[arg-type]
        return unchanged.why_unknown(dataclasses.replace(LOADED, spec=spec))

    assert why() == ""
    assert why(distribution=Distribution.fedora) == "packages are those of the day"
    assert why(elements=("devuser",)) == "the element devuser takes files of this host"
    custom = {"distribution": Distribution.custom, "containers": (), "kubelet": None, "heat_agent": None}
    assert why(**custom, elements=("ubuntu-minimal",)) != ""
    assert unchanged.why_unknown(load.load(str(paths.project_root() / SPEC))) == ""


INPUTS = {"the spec": "1", "the commit": "2"}


@pytest.fixture
def latest(tmp_path: Path) -> Path:
    build = samples.build(tmp_path / "20260301T120000Z-abcdefa")
    (tmp_path / "latest").symlink_to(build.name)
    BuildInputs.of(before=(), image=(), parts=INPUTS).write(build / build_inputs.FILE)
    return build


def test_the_latest_build_with_the_same_inputs_is_found(latest: Path) -> None:
    assert unchanged.latest_with(INPUTS, latest.parent) == latest


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({**INPUTS, "the commit": "3"}, "changed since 20260301T120000Z-abcdefa: the commit"),
        ({"the spec": "1"}, "changed since 20260301T120000Z-abcdefa: the commit"),
        ({**INPUTS, **{f"element {n}": "1" for n in range(7)}}, "element 4, and 2 more"),
    ],
    ids=["changed", "gone", "many"],
)
def test_a_change_is_named(
    latest: Path, capsys: pytest.CaptureFixture[str], now: dict[str, str], said: str
) -> None:
    assert unchanged.latest_with(now, latest.parent) is None

    assert said in capsys.readouterr().err


def test_an_image_that_is_not_what_was_verified_is_built_again(
    latest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    next(latest.glob("*.qcow2")).write_bytes(b"cut off")

    assert unchanged.latest_with(INPUTS, latest.parent) is None

    assert "building it again" in capsys.readouterr().err


def test_without_a_verified_build_or_its_inputs_there_is_nothing_to_compare(latest: Path) -> None:
    (latest / build_inputs.FILE).unlink()
    assert unchanged.latest_with(INPUTS, latest.parent) is None
    assert unchanged.latest_with(INPUTS, latest.parent.parent) is None


def test_a_build_that_publish_would_refuse_is_none(latest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (latest / "packages.json").unlink()

    assert unchanged.latest_with(INPUTS, latest.parent) is None

    assert "is not taken for this build" in capsys.readouterr().err


def test_a_resumed_build_is_no_base_for_a_later_one(latest: Path) -> None:
    """Other suites and other code may have verified it than its inputs name."""
    BuildInputs.forget_parts(latest)

    assert unchanged.latest_with(INPUTS, latest.parent) is None
