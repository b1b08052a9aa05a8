# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from goldsmith.layers import split
from goldsmith.spec import load
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import DiskSpec, Distribution


def with_element(tmp_path: Path, hook: str) -> LoadedSpec:
    """The default spec with an element of a user's that has this hook."""
    script = tmp_path / "mine" / hook
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    loaded = load.load("debian-kubelet")
    spec = dataclasses.replace(loaded.spec, elements=("mine",))
    return dataclasses.replace(loaded, spec=spec, elements=(tmp_path, *loaded.elements))


@pytest.mark.parametrize("name", ["debian-kubelet", "debian-heat-full"])
def test_the_shipped_specs_are_made_by_layers(name: str) -> None:
    assert split.why_not(load.load(name)) == ""


@pytest.mark.parametrize("hook", ["install.d/50-mine", "environment.d/10-mine.bash", "root.d/20-mine"])
def test_an_element_that_works_before_the_containers_come_is_part_of_the_root(
    tmp_path: Path, hook: str
) -> None:
    assert split.why_not(with_element(tmp_path, hook)) == ""


@pytest.mark.parametrize("phase", ["post-install.d", "finalise.d", "cleanup.d"])
def test_a_late_hook_of_a_user_is_named(tmp_path: Path, phase: str) -> None:
    reason = split.why_not(with_element(tmp_path, f"{phase}/70-mine"))

    assert reason == (
        f"debian-kubelet is built in one go: the hook mine/{phase}/70-mine may look at what is embedded "
        "(if it does not, add a file element-root-only to its element)"
    )


def test_an_element_may_say_that_it_looks_at_the_root_alone(tmp_path: Path) -> None:
    loaded = with_element(tmp_path, "cleanup.d/70-mine")
    (tmp_path / "mine" / split.MARK).touch()

    assert split.why_not(loaded) == ""


def test_hooks_after_ours_need_one_go_whatever_their_element_says(tmp_path: Path) -> None:
    """goldsmith-seal, for example, removes files that they put in place."""
    loaded = with_element(tmp_path, "cleanup.d/95-mine")
    (tmp_path / "mine" / split.MARK).touch()

    assert "mine/cleanup.d/95-mine" in split.why_not(loaded)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"elements": ("devuser",)}, "the element devuser takes files of this host"),
        ({"disk": DiskSpec(size_mib=1024)}, "its disk.size is small"),
        ({"disk": DiskSpec(size_mib=8192)}, ""),
    ],
)
def test_what_a_root_cannot_be_shared_for(changes: dict[str, Any], why: str) -> None:
    loaded = load.load("debian-kubelet")

    reason = split.why_not(dataclasses.replace(loaded, spec=dataclasses.replace(loaded.spec, **changes)))

    assert why in reason
    assert bool(why) == bool(reason)


def test_an_element_in_the_place_of_ours_is_the_users(tmp_path: Path) -> None:
    hook = tmp_path / "goldsmith-seal/cleanup.d/90-goldsmith-seal"
    hook.parent.mkdir(parents=True)
    hook.touch()
    loaded = load.load("debian-kubelet")

    reason = split.why_not(dataclasses.replace(loaded, elements=(tmp_path, *loaded.elements)))

    assert "goldsmith-seal/cleanup.d/90-goldsmith-seal" in reason


def test_other_distributions_are_built_in_one_go() -> None:
    loaded = load.load("debian-kubelet")
    fedora = dataclasses.replace(loaded.spec, distribution=Distribution.fedora)

    assert "its distribution is fedora" in split.why_not(dataclasses.replace(loaded, spec=fedora))
