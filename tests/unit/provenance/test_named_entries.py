# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.core import paths
from goldsmith.errors import ProvenanceError
from goldsmith.provenance import build_inputs, named_entries
from goldsmith.provenance.build_inputs import BuildInputs
from tests.unit.provenance import test_lockfile

ID = "20261101T000000Z-abc"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a folder for specs, and its folder of builds."""
    monkeypatch.setattr(paths, "roots_of_specs", lambda: (tmp_path,))
    for folder in ("image-specs", "out/mine"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def build(site: Path, name: str, *entries: tuple[str, str]) -> Path:
    folder = site / "out/mine" / name
    folder.mkdir()
    BuildInputs.of(before=entries, image=()).write(folder / build_inputs.FILE)
    return folder


def lock(path: Path, **changes: Any) -> None:
    path.write_text(yaml.safe_dump({**test_lockfile.LOCK, "name": "mine", **changes}))


def test_what_a_lock_names_is_known_by_hash_and_by_its_build(site: Path) -> None:
    build(site, ID, ("bundle", "b1"))
    made = {"id": ID, "commit": "c" * 40}
    package = {"name": "bash", "version": "5", "architecture": "amd64", "sha256": "1" * 64}
    lock(site / "image-specs/mine.lock.yaml", build=made, packages=[package])

    found = named_entries.find(site / "out")

    assert {("bundle", "b1"), ("debian", "1" * 64)} <= found


def test_published_builds_keep_what_they_are_made_of_and_others_do_not(site: Path) -> None:
    (build(site, ID, ("container", "c1")) / "publish.lab.json").touch()
    build(site, "20261102T000000Z-abc", ("container", "c2"))

    assert named_entries.find(site / "out") == {("container", "c1")}


def test_a_lock_that_cannot_be_read_ends_it(site: Path) -> None:
    (site / "image-specs/mine.lock.yaml").write_text("a: [")

    with pytest.raises(ProvenanceError, match=r"mine\.lock\.yaml"):
        named_entries.find(site / "out")
