# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml


@pytest.fixture
def install(element: Callable[[str], Path], fake: Callable[..., Path]) -> Callable[..., tuple[int, str]]:
    """Run the hook; its status and what systemctl was asked for."""
    calls = fake("systemctl")
    hook = element("goldsmith-guest") / "install.d/60-goldsmith-guest"

    def run(distribution: str, *, upgrades: bool) -> tuple[int, str]:
        env = {"DISTRO_NAME": distribution, "DIB_GUEST_UNATTENDED_UPGRADES": str(int(upgrades))}
        done = subprocess.run(["bash", str(hook)], env={**os.environ, **env}, check=False)
        return done.returncode, calls.read_text()

    return run


def test_an_image_changes_by_release_and_not_by_itself(
    install: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    status, asked = install("debian", upgrades=False)

    assert status == 0
    assert "mask apt-daily.timer apt-daily-upgrade.timer" in asked
    assert not (tmp_path / "root/etc/apt").exists()


def test_upgrades_are_on_if_the_spec_asks_for_them(
    install: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    status, asked = install("debian", upgrades=True)

    assert status == 0
    assert "apt-daily" not in asked
    assert (tmp_path / "root/etc/apt/apt.conf.d/20-goldsmith-upgrades").exists()


@pytest.mark.parametrize(
    ("upgrades", "asked_for"), [(True, "enable dnf5-automatic.timer"), (False, "mask dnf")]
)
def test_fedora_has_one_network_and_one_clock(
    install: Callable[..., tuple[int, str]], upgrades: bool, asked_for: str
) -> None:
    status, asked = install("fedora", upgrades=upgrades)

    assert status == 0
    assert "mask NetworkManager.service" in asked
    assert asked_for in asked


def test_network_and_login_are_configured(install: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    _, asked = install("debian", upgrades=False)

    root = tmp_path / "root"
    assert "systemd-networkd.service" in asked.splitlines()[0]
    assert "PasswordAuthentication no" in (root / "etc/ssh/sshd_config.d/10-goldsmith.conf").read_text()
    config = yaml.safe_load((root / "etc/cloud/cloud.cfg.d/90-goldsmith.cfg").read_text())
    assert config["system_info"]["network"]["renderers"] == ["networkd"]
    assert config["growpart"]["devices"] == ["/"]


def test_an_unknown_distribution_is_refused(install: Callable[..., tuple[int, str]]) -> None:
    status, _ = install("ubuntu", upgrades=False)

    assert status == 1
