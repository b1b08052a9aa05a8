# SPDX-License-Identifier: Apache-2.0
"""The SBOM, made from the offline image, lists what the booted system has, and nothing else."""

from __future__ import annotations

import pytest
from guest import Stored
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations

_QUERY = {
    "dpkg-query": r"dpkg-query -W -f '${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\n'",
    "rpm": r"rpm -qa --qf 'ii \t%%{NAME}\t%%{EVR}\t%%{ARCH}\n'",
}


@pytest.mark.needs("packages")
def test_packages_are_those_of_the_bill(host: Host, expected: Expectations) -> None:
    tool = next(name for name in _QUERY if host.exists(name))
    rows = [line.split("\t") for line in host.check_output(_QUERY[tool]).splitlines()]
    installed = {tuple(row[1:]) for row in rows if row[0][1] == "i" and row[1] != "gpg-pubkey"}
    listed = set(expected.sbom.packages)
    assert (listed - installed, installed - listed) == (set(), set())


@pytest.mark.needs("bill", "containers")
def test_container_images_are_those_of_the_bill(stored: Stored, expected: Expectations) -> None:
    found = {image.digest for namespace in ("k8s.io", "moby") for image in stored(namespace).values()}
    assert found == set(expected.sbom.containers)
