# SPDX-License-Identifier: Apache-2.0
"""Every image of the lock is in containerd, by its digest, and pinned."""

from __future__ import annotations

import pytest
from guest import images

pytestmark = pytest.mark.needs("containers")


@pytest.fixture(scope="module")
def stored(host):
    return images(host)


def test_every_locked_digest_is_in_containerd(stored, expect):
    wanted = {name: i["digest"] for i in expect["images"] if i["into"] == "containerd" for name in i["names"]}
    assert wanted
    assert {name: stored.get(name) for name in wanted} == wanted


def test_every_embedded_image_is_complete(host, expect):
    rows = host.check_output("ctr -n k8s.io images check").splitlines()[1:]
    complete = {row.split()[0] for row in rows if " complete " in f" {' '.join(row.split())} "}
    assert {i["ref"] for i in expect["images"] if i["into"] == "containerd"} <= complete


def test_every_embedded_image_is_pinned(host, expect):
    rows = host.check_output("ctr -n k8s.io images list").splitlines()
    pinned = {row.split()[0] for row in rows if "io.cri-containerd.pinned=pinned" in row}
    assert {i["ref"] for i in expect["images"] if i["into"] == "containerd"} <= pinned
