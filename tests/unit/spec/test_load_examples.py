# SPDX-License-Identifier: Apache-2.0
"""The sites of examples/ are whole: they can be planned from anywhere, and every file in them is used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from goldsmith.containers import bundler, policy
from goldsmith.core.paths import project_root
from goldsmith.errors import ProvenanceError
from goldsmith.image import dib_plan, element_hashes, hooks, prepare
from goldsmith.spec.load import LoadedSpec
from tests.lint import elements

EXAMPLES = project_root() / "examples"
SUITE = "tests/edge/test_edge.py"
DIGEST = f"@sha256:{'1' * 64}"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """examples/edge, somewhere else, seen from somewhere else."""
    monkeypatch.chdir("/")
    return shutil.copytree(EXAMPLES / "edge", tmp_path / "my site")


def planned(site: Path, **variables: str) -> tuple[LoadedSpec, dib_plan.DibPlan]:
    return prepare.plan(str(site / "image-specs/edge-gateway.yaml.j2"), variables)


def test_the_example_can_be_planned(site: Path) -> None:
    loaded, plan = planned(site)
    bundler.require_allowed(loaded.spec)

    assert loaded.spec.name == "edge-gateway"
    assert plan.argv[-1] == "edge-motd"
    assert "Ask the network team" in plan.env["DIB_EDGE_MOTD_CONTACT"]
    assert planned(site, contact="Call us")[1].env["DIB_EDGE_MOTD_CONTACT"] == "Call us"


def test_its_folders_are_those_of_the_site(site: Path) -> None:
    loaded, _ = planned(site)
    spec = loaded.spec

    folders = element_hashes.folders(dib_plan.elements(spec), loaded.elements)
    assert folders["edge-motd"] == site / "elements/edge-motd"
    assert [project_root() / (each.build or "") for each in spec.containers] == [
        project_root() / "containers/pause", site / "containers/status",
    ]  # fmt: skip
    assert [project_root() / folder for folder in spec.verify.tests] == [site / "tests/edge"]
    assert spec.policy == str(site / "image-specs/policy.yaml")
    assert hooks.count(["edge-motd", "debian-minimal"], loaded.elements) > 10


def test_its_policy_decides_on_the_image_that_its_spec_shows(site: Path) -> None:
    text = (site / "image-specs/edge-gateway.yaml.j2").read_text()
    (shown,) = re.findall(r"# - registry: (\S+)@sha256:\.\.\.", text)
    rules = policy.of_spec(planned(site)[0].spec)

    assert rules.rule(f"{shown}{DIGEST}").sigstore_key == site / "image-specs/keys/edge.pub"
    with pytest.raises(ProvenanceError, match=r"does not allow registry\.example\.org/other"):
        rules.rule(f"registry.example.org/other/agent{DIGEST}")


def test_its_elements_have_no_common_mistake() -> None:
    assert elements.check(EXAMPLES / "edge/elements") == []


def test_its_element_writes_what_its_suite_looks_for(site: Path, tmp_path: Path) -> None:
    hook, motd = site / "elements/edge-motd/install.d/50-edge-motd", tmp_path / "motd"
    hook.write_text(hook.read_text().replace("/etc/motd", str(motd)))
    contact = planned(site)[1].env["DIB_EDGE_MOTD_CONTACT"]

    subprocess.run(["bash", hook], env={**os.environ, "DIB_EDGE_MOTD_CONTACT": contact}, check=True)

    (looked_for,) = re.findall(r'"(.+)" in host\.file\("/etc/motd"\)', (site / SUITE).read_text())
    assert looked_for in motd.read_text()


def test_its_page_fits_a_screen_and_names_every_folder(site: Path) -> None:
    page = (EXAMPLES / "edge/README.md").read_text()
    named = {name.rstrip("/") for name in re.findall(r"`((?:[a-z-]+/)+[\w.-]*)`", page)}

    files = {path.relative_to(site) for path in site.rglob("*") if path.is_file()} - {Path("README.md")}
    assert len(files) == 11
    assert not [str(file) for file in files if not {str(file), *map(str, file.parents)} & named]
    assert all((site / name).exists() for name in named)
    assert len(page.splitlines()) <= 40
