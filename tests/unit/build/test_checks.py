# SPDX-License-Identifier: Apache-2.0
"""What a build asks of the network before it makes anything."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from goldsmith.apt.indexes import Accepted
from goldsmith.build import checks
from goldsmith.errors import ProvenanceError, SpecError
from goldsmith.host import package_check, preflight, python_packages
from goldsmith.host.python_packages import PackageDifference
from goldsmith.kubernetes import kubelet
from goldsmith.spec import load


@pytest.mark.parametrize(
    ("locked", "resumed", "asked"),
    [(False, False, ["packages", "pods"]), (True, False, []), (False, True, [])],
)
def test_a_locked_or_resumed_build_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: bool, resumed: bool, asked: list[str]
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(preflight, "require", lambda _spec, **_options: [])
    monkeypatch.setattr(package_check, "require", lambda _loaded, _accepted: calls.append("packages"))
    monkeypatch.setattr(kubelet, "pod_schema", lambda _spec: calls.append("pods"))

    checks.require(load.load("debian-kubelet"), out=tmp_path, locked=locked, resumed=resumed)

    assert calls == asked


def test_a_build_from_a_remembered_index_needs_no_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(preflight, "require", lambda _spec, **options: asked.append(options["left_out"]))
    monkeypatch.setattr(package_check, "require", lambda _loaded, accepted: asked.append(accepted))
    monkeypatch.setattr(kubelet, "pod_schema", lambda _spec: None)
    remembered = Accepted(remembered=True)

    checks.require(
        load.load("debian-kubelet"), out=tmp_path, locked=False, resumed=False, accepted=remembered
    )

    assert asked == [("mirrors",), remembered]


def test_a_suite_with_a_mistake_in_its_python_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite/test_it.py").write_text("def test_it(host):\n    assert (\n")
    loaded = load.load("debian-kubelet")
    verify = dataclasses.replace(loaded.spec.verify, tests=(str(tmp_path / "suite"),))
    broken = dataclasses.replace(loaded, spec=dataclasses.replace(loaded.spec, verify=verify))

    checks.require_readable(loaded)
    with pytest.raises(SpecError, match=r"suite/test_it\.py:2 is no Python: '\(' was never closed"):
        checks.require_readable(broken)


def test_an_architecture_that_cannot_be_built_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="arm64 images can be planned but not built"):
        checks.require(
            load.load("debian-kubelet", {"arch": "arm64"}), out=tmp_path, locked=False, resumed=False
        )


def test_a_locked_build_wants_the_environment_of_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = PackageDifference(name="invoke", locked="3.0.3", found="2.2.0")
    monkeypatch.setattr(python_packages, "differences", lambda: (other,))

    with pytest.raises(ProvenanceError, match=r"\n  invoke 2\.2\.0 \(locked: 3\.0\.3\)") as caught:
        checks.require(load.load("debian-kubelet"), out=tmp_path, locked=True, resumed=False)

    assert caught.value.exit_code == 9
    assert "--require-hashes" in str(caught.value.hint)
