# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.core.paths import project_root
from goldsmith.image import element_hashes

ELEMENT = project_root() / "elements/goldsmith-hardware"
MAP = "usr/share/pkg-map/debian-minimal"


def choose(root: Path, hardware: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "TMP_MOUNT_PATH": str(root), "DIB_HARDWARE": hardware}
    hook = ELEMENT / "extra-data.d/15-goldsmith-hardware"
    return subprocess.run(["bash", hook], env=env, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def sudo(fake: Callable[..., Path]) -> None:
    fake("sudo", 'exec "$@"')


def test_virtual_machines_get_the_cloud_kernel(tmp_path: Path) -> None:
    """The map names each kernel that debian-minimal installs."""
    done = choose(tmp_path, "virtual")

    assert done.returncode == 0, done.stderr
    names = json.loads((tmp_path / MAP).read_text())["distro"]["debian"]
    minimal = element_hashes.folders(["debian-minimal"], [])["debian-minimal"]
    installed = (minimal / "package-installs.yaml").read_text()
    kernels = [line.rstrip(":") for line in installed.splitlines() if line.startswith("linux-image")]
    assert names == {kernel: kernel.replace("image", "image-cloud") for kernel in kernels}


def test_any_machine_gets_the_plain_one(tmp_path: Path) -> None:
    assert choose(tmp_path, "any").returncode == 0
    assert not (tmp_path / MAP).exists()


def test_another_word_is_refused(tmp_path: Path) -> None:
    done = choose(tmp_path, "cloud")

    assert done.returncode == 1
    assert "must be virtual or any, not 'cloud'" in done.stderr


def test_a_map_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / MAP).parent.mkdir(parents=True)
    (tmp_path / MAP).write_text("{}")

    done = choose(tmp_path, "virtual")

    assert done.returncode == 1
    assert "write hardware: any" in done.stderr
    assert (tmp_path / MAP).read_text() == "{}"
