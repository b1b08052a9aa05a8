# SPDX-License-Identifier: Apache-2.0
"""Let goldsmith take itself for installed, with the files that a wheel has."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from goldsmith.core import paths
from goldsmith.core.paths import project_root

_LOCK = "requirements.lock"  # of scripts/hatch_build.py


def in_the_wheel() -> set[str]:
    """Files and folders of the checkout that a wheel has besides the package."""
    project = tomllib.loads((project_root() / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    return {*wheel["only-include"], _LOCK} - {"goldsmith"}


def pretend(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretend to be installed below folder, and go into a new folder of the user's, which is returned."""
    package, site = folder / "site-packages/goldsmith", folder / "site"
    for name in in_the_wheel():
        link = package / "shipped" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(project_root() / name)
    site.mkdir()
    monkeypatch.setattr(paths, "_package", lambda: package)
    monkeypatch.chdir(site)
    return site
