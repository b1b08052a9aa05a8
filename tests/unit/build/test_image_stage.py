# SPDX-License-Identifier: Apache-2.0
"""Which way an image is made, and what of its root is kept with the build."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goldsmith.apt.indexes import IndexState
from goldsmith.apt.mirror import Mirrors
from goldsmith.build import image_stage
from goldsmith.build.values import BuildContext, Ingredients, Options
from goldsmith.containers.policy import Policy
from goldsmith.core import cache
from goldsmith.core.runs import Run
from goldsmith.errors import BuildError
from goldsmith.host import partitions
from goldsmith.image import dib, dib_plan, packages
from goldsmith.image.build_info import Identity
from goldsmith.image.timings import Timings
from goldsmith.layers import assembly, comparison, root, split
from goldsmith.spec import load

INDEX = IndexState(releases={})


@pytest.fixture
def uuids() -> list[str]:
    """The UUIDs of root file systems that were planned."""
    return []


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, uuids: list[str], tmp_path: Path) -> list[str]:
    """The calls of diskimage-builder, by the format of what they make, and of the assembly."""
    found: list[str] = []

    def plan(
        context: BuildContext, _given: Any, _index: Any, folder: Path, mirrors: Any, *, uuid: str = "",
        root_layer: bool = False,
    ) -> dib_plan.DibPlan:  # fmt: skip
        uuids.append(uuid)
        assert mirrors is not None, "the host's mirrors would be asked, which a locked build must not need"
        (folder / "identity").mkdir(exist_ok=True)
        inputs = dib_plan.Inputs(
            elements=folder, identity=folder, scratch=folder, root_uuid=uuid, root_layer=root_layer
        )
        return dib_plan.plan(context.spec, inputs)

    def build(made: dib_plan.DibPlan, *, log_path: Path, proxy_socket: object) -> Path:
        found.append(made.argv[5])
        cache.cached("debian", "a-package", lambda folder: (folder / "x").touch())
        with log_path.open("a") as log:
            log.write("hooks of the root\n")
        (made.image.parent / "identity" / packages.FILE).write_text("{}")
        made.image.write_text("disk")
        return made.image

    def assemble(
        _spec: object, layer: root.RootLayer, parts: assembly.Parts, *_words: object, **_log: object
    ) -> Path:
        found.append("assembly")
        (parts.identity / packages.FILE).write_bytes(layer.packages.read_bytes())
        return parts.plan.image

    @contextlib.contextmanager
    def served(*_words: object) -> Iterator[tuple[Mirrors, None]]:
        yield Mirrors(debian="a", security="b"), None

    monkeypatch.setattr(image_stage, "_plan", plan)
    monkeypatch.setattr(image_stage, "_packages", served)
    monkeypatch.setattr(image_stage, "_pod_schema", lambda _spec: None)
    monkeypatch.setattr(partitions, "partition_mapper", lambda: "blkpg")
    monkeypatch.setattr(IndexState, "epoch", 7)
    monkeypatch.setattr(root, "parts_of", lambda *_words, **_known: {"a": "1"})
    monkeypatch.setattr(dib, "build", build)
    monkeypatch.setattr(assembly, "assemble", assemble)
    return found


def made(folder: Path, **options: Any) -> tuple[frozenset[tuple[str, str]], str]:
    """Run the stage; the entries of the cache that it used, and the log of the build."""
    loaded = load.load("debian-kubelet")
    scratch = folder / "run"
    scratch.mkdir(parents=True)
    context = BuildContext(
        loaded=loaded, folder=folder, options=Options(**options), policy=Policy(), timings=Timings(),
        run=Run(folder=scratch),
        identity=Identity(name="mine", build_id="b", commit="c", dirty=False, spec_sha256=loaded.sha256),
    )  # fmt: skip
    given = Ingredients(
        binary=None, states={loaded.spec.release: INDEX}, bundle=None, locked=None, checkout={}, parts={},
        used=set(),
    )  # fmt: skip
    _, used = image_stage.image(context, given)
    assert (folder / packages.FILE).exists()
    return used, context.log.read_text()


def test_a_root_is_made_once_and_each_image_is_put_together_on_a_copy(
    calls: list[str], tmp_path: Path
) -> None:
    first = made(tmp_path / "one")
    second = made(tmp_path / "two")

    assert calls == ["raw", "assembly", "assembly"]
    assert ("debian", "a-package") in first[0] & second[0]  # what an archive of its lock needs
    assert second[1].splitlines() == [
        "The root comes from the cache. This is the log of its build:",
        "hooks of the root",
        "The log of this build goes on.",
    ]


def test_a_refreshed_build_makes_its_root_anew(calls: list[str], tmp_path: Path) -> None:
    made(tmp_path / "one")
    made(tmp_path / "two", refresh=True)

    assert calls == ["raw", "assembly", "raw", "assembly"]


def test_what_cannot_be_split_is_made_in_one_go_and_says_why(
    calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(split, "why_not", lambda _loaded: "mine is built in one go: a reason")

    used, _ = made(tmp_path / "one")

    assert calls == ["qcow2"]
    assert ("debian", "a-package") in used
    assert "mine is built in one go: a reason" in capsys.readouterr().err


def test_an_image_is_compared_with_one_made_in_one_go_if_asked(
    calls: list[str], uuids: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[str, str]] = []
    found: list[str] = []

    def differing(one: Path, other: Path, _scratch: Path) -> list[str]:
        compared.append((one.parent.name, other.parent.name))
        return found

    monkeypatch.setattr(comparison, "differing", differing)

    made(tmp_path / "one")
    made(tmp_path / "two", verify_short_way=1)
    assert calls == ["raw", "assembly", "assembly", "qcow2"]
    assert uuids[0] == uuids[-1] != ""  # of the root, and of the image in one go
    assert compared == [("run", "in-one-go")]
    assert not (tmp_path / "two/run/in-one-go").exists()

    found.append("/etc/shadow")
    with pytest.raises(BuildError, match="differs from the one made in one go\n  /etc/shadow"):
        made(tmp_path / "three", verify_short_way=1)


def test_it_is_said_when_an_image_is_not_compared(
    calls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "one")
    monkeypatch.setattr(comparison, "is_due", lambda _one_in: False)
    made(tmp_path / "two", verify_short_way=9)
    assert "not compared this time: one image in 9 is" in capsys.readouterr().err

    monkeypatch.setattr(comparison, "is_due", lambda _one_in: True)
    monkeypatch.setattr(IndexState, "epoch", 8)
    made(tmp_path / "three", verify_short_way=1)
    assert "not compared: the root was made with an index of another date" in capsys.readouterr().err

    monkeypatch.setattr(split, "why_not", lambda _loaded: "a reason")
    made(tmp_path / "four", verify_short_way=1)
    assert "not compared: it is made in one go anyway" in capsys.readouterr().err
    assert calls == ["raw", "assembly", "assembly", "assembly", "qcow2"]
