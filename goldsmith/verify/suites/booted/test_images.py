# SPDX-License-Identifier: Apache-2.0
"""Every image of the lock is in containerd, by its digest, and pinned: where the kubelet or Docker looks."""

from __future__ import annotations

from typing import Any

import pytest
from guest import images
from testinfra.host import Host

PLACES = [
    pytest.param("containerd", "k8s.io", marks=pytest.mark.needs("containers-for-kubelet")),
    pytest.param("docker", "moby", marks=pytest.mark.needs("containers-for-docker")),
]
in_each_place = pytest.mark.parametrize(("into", "namespace"), PLACES)


def refs(expect: dict[str, Any], into: str) -> set[str]:
    return {i["ref"] for i in expect["images"] if i["into"] == into}


@in_each_place
def test_every_locked_digest_is_in_containerd(
    host: Host, expect: dict[str, Any], into: str, namespace: str
) -> None:
    wanted = {name: i["digest"] for i in expect["images"] if i["into"] == into for name in i["names"]}
    assert wanted
    stored = images(host, namespace)
    assert {name: stored.get(name) for name in wanted} == wanted


@in_each_place
def test_every_embedded_image_is_complete(
    host: Host, expect: dict[str, Any], into: str, namespace: str
) -> None:
    rows = host.check_output("ctr -n %s images check", namespace).splitlines()[1:]
    complete = {row.split()[0] for row in rows if " complete " in f" {' '.join(row.split())} "}
    assert refs(expect, into) <= complete


@in_each_place
def test_every_embedded_image_is_pinned(
    host: Host, expect: dict[str, Any], into: str, namespace: str
) -> None:
    rows = host.check_output("ctr -n %s images list", namespace).splitlines()
    pinned = {row.split()[0] for row in rows if "io.cri-containerd.pinned=pinned" in row}
    assert refs(expect, into) <= pinned


@in_each_place
def test_no_image_is_where_it_does_not_belong(
    host: Host, expect: dict[str, Any], into: str, namespace: str
) -> None:
    strangers = {name for i in expect["images"] if i["into"] != into for name in i["names"]}
    assert not strangers & set(images(host, namespace))
