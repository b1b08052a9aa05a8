# SPDX-License-Identifier: Apache-2.0
"""The bill of materials, made from the unbooted disk, lists what the booted system has, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from guest import images
from testinfra.host import Host

_QUERY = {
    "dpkg-query": r"dpkg-query -W -f '${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\n'",
    "rpm": r"rpm -qa --qf 'ii \t%%{NAME}\t%%{EVR}\t%%{ARCH}\n'",
}


@pytest.mark.needs("packages")
def test_packages_are_those_of_the_bill(host: Host, expect: dict[str, Any]) -> None:
    tool = next(name for name in _QUERY if host.exists(name))
    rows = [line.split("\t") for line in host.check_output(_QUERY[tool]).splitlines()]
    installed = {tuple(row[1:]) for row in rows if row[0][1] == "i" and row[1] != "gpg-pubkey"}
    billed = {tuple(package) for package in expect["sbom"]["packages"]}
    assert (billed - installed, installed - billed) == (set(), set())


@pytest.mark.needs("bill", "containers")
def test_container_images_are_those_of_the_bill(host: Host, expect: dict[str, Any]) -> None:
    """Before anything was started that the test itself brought."""
    stored = {digest for namespace in ("k8s.io", "moby") for digest in images(host, namespace).values()}
    assert stored == set(expect["sbom"]["containers"])
