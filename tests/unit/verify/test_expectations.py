# SPDX-License-Identifier: Apache-2.0
"""build.json and the lock in an image may be missing, broken or of a later release: a finding, no crash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from goldsmith.image.build_info import BuildInfo
from goldsmith.verify import expectations, plugin, session
from tests.support import samples

GOOD = {"schema": "goldsmith.build", "version": 1, "name": "mine", "verify": {"memory_mib": 777}}


def claims(root: Path, build: Any, lock: Any = None) -> expectations.Claims:
    folder = root / "usr/lib/goldsmith"
    folder.mkdir(parents=True)
    for name, data in (("build.json", build), ("images.lock.json", lock)):
        if data is not None:
            (folder / name).write_text(json.dumps(data))
    return expectations.claims_of(root)


def test_build_json_and_lock_are_read(tmp_path: Path) -> None:
    found = claims(tmp_path, GOOD, samples.images_lock(samples.image("a.test/a:1")))

    assert (found.info.name, found.info.verify.memory_mib, found.info.verify.cpus) == ("mine", 777, 2)
    assert [image.ref for image in found.images] == ["a.test/a:1"]
    assert (found.problem, found.images_problem) == ("", "")


def test_an_image_without_build_json_has_defaults(tmp_path: Path) -> None:
    found = claims(tmp_path, None)

    assert (found.build, found.info, found.images, found.problem) == (None, BuildInfo(), (), "")


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        ({**GOOD, "verify": {"memory_mib": "much"}}, "verify.memory_mib: expected int, got str"),
        ({**GOOD, "version": 2}, "has version 2 of goldsmith.build"),
        ({"name": "mine"}, "is not a goldsmith.build document"),
    ],
)
def test_a_build_json_that_cannot_be_used_is_a_finding(
    tmp_path: Path, build: dict[str, Any], problem: str
) -> None:
    found = claims(tmp_path, build)

    assert problem in found.problem
    assert (found.build, found.info) == (build, BuildInfo())


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ([], 18080),
        ([{"containerPort": 18081, "hostPort": 18080}], 18082),
        ([{"containerPort": 18080}], 18081),  # in the host's network it is one of the host
        (None, 18080),
    ],
)
def test_the_port_of_the_suites_is_none_of_the_specs(tmp_path: Path, ports: Any, expected: int) -> None:
    pod = {"spec": {"containers": [{"ports": []}], "initContainers": [{"ports": ports}]}}
    found = claims(tmp_path, {**GOOD, "verify": {"pods": [pod]}})

    of = expectations.of(found, tmp_path, image_sha256="1", manifest=None, user="root", slowness=1.0)

    assert of.host_port == expected


@pytest.mark.parametrize(
    "spec",
    [
        "x", ["x"], None, {"containers": "x"}, {"containers": ["a", None]}, {"initContainers": {"a": 1}},
        {"containers": [{"ports": ["80"]}]}, {"containers": [{"ports": 80}]},
        {"containers": [{"ports": [{"hostPort": [18080]}, {"containerPort": "18080"}]}]},
    ],
)  # fmt: skip
def test_pods_of_any_form_are_read_as_far_as_they_are_pods(tmp_path: Path, spec: Any) -> None:
    found = claims(
        tmp_path,
        {**GOOD, "verify": {"pods": [{"spec": spec}, {}]}},
        samples.images_lock(samples.image("a.test/a:1")),
    )

    of = expectations.of(found, tmp_path, image_sha256="1", manifest=None, user="root", slowness=1.0)

    assert of.host_port == 18080
    assert session._uncovered(of) == ("a.test/a:1",)
    assert not plugin._FEATURES["host-networked-pods"](of)


def test_a_lock_that_cannot_be_used_is_a_finding(tmp_path: Path) -> None:
    found = claims(tmp_path, GOOD, {"images": [{"ref": 1}]})

    assert "is not a goldsmith.images-lock document" in found.images_problem
    assert found.images == ()
