# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path

import pytest

from goldsmith.containers import bundler
from goldsmith.core import paths
from goldsmith.core.paths import project_root
from goldsmith.errors import HostError, SpecError
from goldsmith.image import prepare
from goldsmith.spec import site
from tests.lint import elements
from tests.support import installed

LEFT = re.compile(r"edge-|EDGE_|edge\.example|tests/edge|test_edge|containers/status\b")


def files_of(folder: Path) -> dict[str, str]:
    """Text of each file below folder, by its path there."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["my-image", "edge-gateway", "hedge-edge-motd", "2", "no", "a" * 63])
def test_a_new_image_can_be_planned_as_it_is(name: str, tmp_path: Path) -> None:
    made = site.create(name, tmp_path / "new/folder")

    loaded, plan = prepare.plan(str(made.spec), {})
    bundler.require_allowed(loaded.spec)
    assert loaded.spec.name == name
    assert plan.argv[-1] == f"{name}-motd"
    assert f"DIB_{name.upper().replace('-', '_')}_MOTD_CONTACT" in plan.env
    assert {each.build for each in loaded.spec.containers} >= {str(made.folder / f"containers/{name}-status")}
    assert [Path(folder).name for folder in loaded.spec.verify.tests] == [name]
    assert elements.check(made.folder / "elements") == []
    assert set(files_of(made.folder)) == {str(path) for path in made.written}


def test_the_files_have_no_name_of_the_example_and_its_modes(tmp_path: Path) -> None:
    made = site.create("my-image", tmp_path)

    assert not [text for text in files_of(tmp_path).items() if LEFT.search("\n".join(text))]
    hook = tmp_path / "elements/my-image-motd/install.d/50-my-image-motd"
    assert stat.S_IMODE(hook.stat().st_mode) == 0o755
    assert stat.S_IMODE(made.spec.stat().st_mode) == 0o644


def test_the_first_line_of_the_spec_names_the_schema_for_editors(tmp_path: Path) -> None:
    first = site.create("my-image", tmp_path).spec.read_text().splitlines()[0]

    assert Path(first.removeprefix("# yaml-language-server: $schema=")).name == "image-spec.schema.json"
    assert Path(first.partition("=")[2]).is_file()


def test_a_second_image_shares_the_policy_of_the_first(tmp_path: Path) -> None:
    site.create("one", tmp_path)
    policy = tmp_path / "image-specs/policy.yaml"
    policy.write_text("registries: {}\n")

    second = site.create("two", tmp_path)

    assert policy.read_text() == "registries: {}\n"
    assert set(map(str, second.kept)) == {"image-specs/policy.yaml", "image-specs/keys/edge.pub"}
    for name in ("one", "two"):
        assert prepare.plan(str(tmp_path / f"image-specs/{name}.yaml.j2"), {})[0].spec.name == name


@pytest.mark.parametrize(
    "theirs", ["image-specs/mine.yaml.j2", "tests/mine/test_mine.py", "elements/mine-motd/README.rst"]
)
def test_what_is_there_stays_as_it_is(theirs: str, tmp_path: Path) -> None:
    (tmp_path / theirs).parent.mkdir(parents=True)
    (tmp_path / theirs).write_text("theirs\n")

    with pytest.raises(SpecError, match=f"{re.escape(theirs)} exists already"):
        site.create("mine", tmp_path)

    assert files_of(tmp_path) == {theirs: "theirs\n"}


@pytest.mark.parametrize("name", ["", "My-image", "my image", "../up", "a/b", "-a", "a_b", "a\n", "a" * 64])
def test_a_name_that_no_image_can_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no image can be called"):
        site.create(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_stays_of_an_image_that_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "tests").write_text("a file where a folder should be\n")

    with pytest.raises(HostError, match="cannot write"):
        site.create("mine", tmp_path)

    assert list(tmp_path.iterdir()) == [tmp_path / "tests"]


def test_an_installed_goldsmith_writes_into_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = installed.pretend(tmp_path, monkeypatch)
    site.create("mine", here)

    assert prepare.plan("mine", {})[0].spec.name == "mine"


def test_what_an_installer_compiled_is_no_file_of_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = shutil.copytree(project_root() / "examples", tmp_path / "examples") / "edge"
    (example / "tests/edge/__pycache__").mkdir(exist_ok=True)
    (example / "tests/edge/__pycache__/test_edge.pyc").write_bytes(b"\xa7")
    monkeypatch.setattr(paths, "shipped", lambda name: tmp_path / name)

    made = site.create("mine", tmp_path / "new")

    assert not [path for path in made.written if "__pycache__" in path.parts]
