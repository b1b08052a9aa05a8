# SPDX-License-Identifier: Apache-2.0
"""Variables of dib-env that somebody reads, and others."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from goldsmith.build import dib_env
from goldsmith.cli import build
from goldsmith.core import paths
from goldsmith.errors import SpecError
from goldsmith.spec import load
from goldsmith.spec.load import LoadedSpec

SPEC = "name: mine\ndistribution: debian\nrelease: trixie\ncontainers: []\nelements: [motd]\ndib-env:\n"


@pytest.fixture
def elements(tmp_path: Path) -> Path:
    """The folder of a checkout's elements, one of which the spec lists."""
    found = tmp_path / "elements"
    for name in ("motd", "beside"):
        (found / name / "install.d").mkdir(parents=True)
    (found / "motd/install.d/50-motd").write_text('#!/bin/sh\necho "${DIB_MOTD_TEXT:-none}" > /etc/motd\n')
    (found / "beside/install.d/50-x").write_text('#!/bin/sh\necho "$DIB_BESIDE_TEXT" > /etc/x\n')
    return found


def loaded(elements: Path, *names: str) -> LoadedSpec:
    (elements.parent / "image-specs").mkdir(exist_ok=True)
    text = SPEC + "".join(f"  {name}: x\n" for name in names)
    (elements.parent / "image-specs/mine.yaml.j2").write_text(text)
    found = load.load("mine", root=elements.parent)
    return dataclasses.replace(found, elements=(elements, paths.shipped("elements")))


def test_what_an_element_its_dependencies_or_diskimage_builder_reads_is_taken(elements: Path) -> None:
    (elements / "motd/element-deps").write_text("beside\n")
    names = ("DIB_MOTD_TEXT", "DIB_BESIDE_TEXT", "DIB_BOOTLOADER_DEFAULT_CMDLINE", "DIB_DEBUG_TRACE")

    dib_env.require(loaded(elements, *names, "MKFS_OPTS"))


def test_what_nobody_reads_is_refused_with_its_line_and_the_nearest_name(elements: Path) -> None:
    with pytest.raises(SpecError) as e:
        dib_env.require(loaded(elements, "DIB_MOTD_TXT", "DIB_BESIDE_TEXT", "DIB_MOTD_TEXT"))

    first, second = str(e.value).splitlines()
    assert first.endswith(
        "mine.yaml.j2:7: no element of the spec reads dib-env.DIB_MOTD_TXT, nor does diskimage-builder"
        " (did you mean 'DIB_MOTD_TEXT'?)"
    )
    assert "mine.yaml.j2:8: no element of the spec reads dib-env.DIB_BESIDE_TEXT" in second
    assert e.value.exit_code == 2


def test_a_name_that_only_a_readme_of_the_element_has_is_taken(elements: Path) -> None:
    (elements / "motd/README.rst").write_text("MOTD_COLOUR\n  :Required: No\n")

    dib_env.require(loaded(elements, "MOTD_COLOUR"))


def test_names_that_a_hook_composes_are_taken_by_their_beginning(elements: Path) -> None:
    (elements / "motd/element-deps").write_text("source-repositories\n")

    dib_env.require(loaded(elements, "DIB_REPOREF_myapp", "DIB_REPOTYPE_myapp"))
    with pytest.raises(SpecError, match="DIB_REPOREFS_myapp"):
        dib_env.require(loaded(elements, "DIB_REPOREFS_myapp"))


def test_a_word_of_a_sentence_is_no_variable(elements: Path) -> None:
    (elements / "motd/README.rst").write_text("Writes the message of the day.\n")

    with pytest.raises(SpecError, match=r"reads dib-env\.message"):
        dib_env.require(loaded(elements, "message"))


def test_a_cache_of_a_tool_is_no_part_of_an_element(elements: Path) -> None:
    (elements / "motd/__pycache__").mkdir()
    (elements / "motd/__pycache__/x.pyc").write_text("DIB_OF_A_CACHE")

    with pytest.raises(SpecError, match="DIB_OF_A_CACHE"):
        dib_env.require(loaded(elements, "DIB_OF_A_CACHE"))


def test_a_plan_finds_it(elements: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = loaded(elements, "DIB_MOTD_TXT")
    monkeypatch.setattr(load, "load", lambda *_given: found)

    with pytest.raises(Exit) as e:
        build.plan(Context(), name="mine")

    assert e.value.code == 2
