# SPDX-License-Identifier: Apache-2.0
"""The offline image has none of the files that its spec does not keep."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.core import paths
from goldsmith.image import mount
from goldsmith.verify.expectations import Expectations

_RULES = "elements/goldsmith-slim/slim-files/rules"


def patterns(rule: str) -> tuple[list[str], list[str]]:
    """What a rule removes, and what of that stays."""
    lines = (paths.shipped(_RULES) / rule).read_text().splitlines()
    removed = [line.partition("=")[2] for line in lines if line.startswith(("path-exclude=", "remove="))]
    kept = [line.partition("=")[2] for line in lines if line.startswith("path-include=")]
    return removed, kept


def files(root: Path) -> Iterator[str]:
    """All but folders; a link to a folder is no folder."""
    for folder, folders, names in os.walk(root):
        below = folder.removeprefix(str(root))
        links = (name for name in folders if Path(folder, name).is_symlink())
        yield from (f"{below}/{name}" for name in (*names, *links))


def left_of(root: Path, rule: str) -> list[str]:
    """The files of an image that a rule removes."""
    removed, kept = (re.compile("|".join(map(fnmatch.translate, each)) or "$^") for each in patterns(rule))
    return [path for path in files(root) if removed.match(path) and not kept.match(path)]


@pytest.mark.needs("removals")
def test_what_the_spec_does_not_keep_is_not_there(sealed_root: Path, expected: Expectations) -> None:
    rules = set(expected.info.removed) - {"cni-plugins", "containerd-shims"}
    assert {rule: left_of(sealed_root, rule)[:5] for rule in rules} == {rule: [] for rule in rules}


@pytest.mark.needs("cni-plugins-rule")
def test_no_plugin_is_there_that_no_configuration_names(sealed_root: Path) -> None:
    lists = [*sealed_root.glob("usr/lib/goldsmith/*.conflist"), *sealed_root.glob("etc/cni/net.d/*")]
    used = {
        name
        for path in lists
        if path.is_file()
        for name in re.findall(r'"type": *"([a-z0-9-]+)"', path.read_text())
    }
    there = {path.name for path in sealed_root.glob("usr/lib/cni/*")}
    assert there <= used | {"loopback"}


@pytest.mark.needs("containerd-shims-rule")
def test_one_shim_of_containerd_is_there(sealed_root: Path) -> None:
    shims = {path.name for path in sealed_root.glob("usr/bin/containerd-shim*")}
    assert shims <= {"containerd-shim-runc-v2"}


@pytest.mark.needs("removals")
def test_the_licence_of_every_package_is_there(sealed_root: Path) -> None:
    """Debian's policy, 12.5: a copyright file in the package's folder, or in the one that this links to."""
    listed = mount.resolve(sealed_root, "/var/lib/dpkg/info")
    names = {path.name.partition(":")[0].removesuffix(".list") for path in listed.glob("*.list")}
    assert names
    licences = {name: mount.resolve(sealed_root, f"/usr/share/doc/{name}/copyright") for name in names}
    assert [name for name, licence in sorted(licences.items()) if not licence.is_file()] == []
