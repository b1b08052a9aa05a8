# SPDX-License-Identifier: Apache-2.0
"""containerd has every image of the lock, by digest and pinned, in the namespace of the kubelet or Docker."""

from __future__ import annotations

import pytest
from guest import Stored
from testinfra.host import Host

from goldsmith.spec.model import Into
from goldsmith.verify.expectations import Expectations

NAMESPACES = [
    pytest.param(Into.containerd, "k8s.io", marks=pytest.mark.needs("containers-for-kubelet")),
    pytest.param(Into.docker, "moby", marks=pytest.mark.needs("containers-for-docker")),
]
in_each_namespace = pytest.mark.parametrize(("into", "namespace"), NAMESPACES)


def refs(expected: Expectations, into: Into) -> set[str]:
    return {i.ref for i in expected.images if i.into is into}


@in_each_namespace
def test_every_locked_digest_is_in_containerd(
    stored: Stored, expected: Expectations, into: Into, namespace: str
) -> None:
    locked = {name: i.digest for i in expected.images if i.into is into for name in i.names}
    assert locked
    assert locked.items() <= {name: image.digest for name, image in stored(namespace).items()}.items()


@in_each_namespace
def test_every_embedded_image_is_complete(
    host: Host, expected: Expectations, into: Into, namespace: str
) -> None:
    rows = host.check_output("ctr -n %s images check", namespace).splitlines()[1:]
    complete = {row.split()[0] for row in rows if " complete " in f" {' '.join(row.split())} "}
    assert refs(expected, into) <= complete


@in_each_namespace
def test_every_embedded_image_is_pinned(
    stored: Stored, expected: Expectations, into: Into, namespace: str
) -> None:
    pinned = {name for name, image in stored(namespace).items() if image.pinned}
    assert refs(expected, into) <= pinned


@in_each_namespace
def test_no_image_is_where_it_does_not_belong(
    stored: Stored, expected: Expectations, into: Into, namespace: str
) -> None:
    others = {name for i in expected.images if i.into is not into for name in i.names}
    assert not others & set(stored(namespace))
