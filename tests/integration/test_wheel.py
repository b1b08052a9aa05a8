# SPDX-License-Identifier: Apache-2.0
"""Nothing but the wheel in a new environment, an empty folder, and no way to the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import goldsmith
from goldsmith.core.paths import project_root
from goldsmith.image import made_by
from goldsmith.image.manifest import Manifest
from tests.support import wheel
from tests.support.builds import SPEC
from tests.support.tiny_builds import TinyPlace

pytestmark = pytest.mark.integration

# Prefix of a command: an empty folder hides the one that follows.
_HIDING = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$1" && shift && exec "$@"', "hiding")

Command = Callable[..., str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel.build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def command(
    built: Path, site: Path, tiny_place: TinyPlace, tmp_path_factory: pytest.TempPathFactory
) -> Command:
    """command(WORD, ...): what the command goldsmith prints, in the site."""
    program = wheel.install(built, tmp_path_factory.mktemp("environment"))
    environment = tiny_place.environment() | {"PATH": f"{os.defpath}:/usr/sbin:/sbin", "CI": "true"}
    del environment["GOLDSMITH_OUT"]

    def run(*words: str) -> str:
        done = subprocess.run(
            [*_HIDING, project_root(), program, *words], cwd=site, env=environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_an_empty_folder_is_enough_for_the_shipped_specs(command: Command, site: Path) -> None:
    assert command("--version") == f"goldsmith {goldsmith.__version__}\n"
    assert "goldsmith/shipped/containers/pause" in command("plan")
    assert "build-image" in command("--list")
    assert list(site.iterdir()) == []


def _make_tiny(site: Path) -> None:
    """The new image's spec becomes that of the tiny image."""
    tiny = project_root() / SPEC.parent
    shutil.copytree(tiny / "elements", site / "elements", dirs_exist_ok=True)
    shutil.copy(project_root() / SPEC, site / "image-specs/my-image.yaml.j2")
    variables = (tiny / "variables/tiny.yaml").read_text().replace("name: tiny", "name: my-image")
    (site / "image-specs/variables/my-image.yaml").write_text(variables)


def test_an_image_of_ones_own_is_built_and_verified(command: Command, site: Path, built: Path) -> None:
    assert "goldsmith build-image my-image" in command("init", "my-image")
    assert " my-image-motd\n" in command("plan", "my-image")
    _make_tiny(site)

    image = Path(command("build-image", "my-image").strip())

    assert image.parent.parent == site / "out/my-image"
    manifest = Manifest.read(image.parent / "manifest.json")
    assert manifest.verification is not None
    assert manifest.verification.passed
    assert manifest.python_packages == ()
    assert manifest.made_by is not None
    with zipfile.ZipFile(built) as archive:
        (record,) = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD")]
        sha256 = made_by.sha256_of_record(archive.read(record).decode())
    assert (manifest.made_by.record_sha256, manifest.made_by.changed) == (sha256, ())
