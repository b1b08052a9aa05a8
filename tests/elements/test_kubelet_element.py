# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from goldsmith.core.paths import project_root
from goldsmith.verify import session

ELEMENT = project_root() / "elements/kubelet"
EXTRA_DATA = ELEMENT / "extra-data.d/50-kubelet"
FILES = ELEMENT / "kubelet-files"
PKI = ("ca.crt", "client.crt", "client.key", "kubelet.crt", "kubelet.key")


def run(script: Path, **env: str) -> subprocess.CompletedProcess[str]:
    plain = {"DIB_KUBELET_PACKAGE": "", "DIB_KUBELET_BINARY": "", "DIB_KUBELET_PAUSE_IMAGE": "a.b/pause:1"}
    return subprocess.run(
        ["sh" if script.name == "kubelet-certificates" else "bash", str(script)],
        env={**os.environ, "DISTRO_NAME": "debian", **plain, **env},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def openssl(*words: str) -> str:
    return subprocess.run(["openssl", *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def installed(element: Callable[[str], Path], fake: Callable[..., Path], tmp_path: Path) -> Path:
    """A copy of the element with a kubelet taken along, in a root with the distribution's containerd."""
    fake("systemctl")
    fake("install-packages")
    fake("containerd", "echo containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24")
    folder = element("kubelet")
    (folder / "kubelet-binary").mkdir()
    (folder / "kubelet-binary/kubelet").write_text("the kubelet")
    return folder


@pytest.mark.parametrize("content", [None, ""])
def test_a_kubelet_that_is_missing_or_empty_is_refused(tmp_path: Path, content: str | None) -> None:
    binary = tmp_path / "kubelet"
    if content is not None:
        binary.write_text(content)

    done = run(
        ELEMENT / "extra-data.d/50-kubelet", DIB_KUBELET_BINARY=str(binary), TMP_HOOKS_PATH=str(tmp_path)
    )

    assert done.returncode == 1
    assert f"DIB_KUBELET_BINARY must name a file, got '{binary}'" in done.stderr


def test_the_kubelet_is_taken_along(tmp_path: Path) -> None:
    binary = tmp_path / "my kubelet"
    binary.write_text("the kubelet")

    done = run(
        ELEMENT / "extra-data.d/50-kubelet", DIB_KUBELET_BINARY=str(binary), TMP_HOOKS_PATH=str(tmp_path)
    )

    assert done.returncode == 0, done.stderr
    assert os.access(tmp_path / "kubelet-binary/kubelet", os.X_OK)


def test_a_package_needs_no_file(tmp_path: Path) -> None:
    assert run(EXTRA_DATA, DIB_KUBELET_PACKAGE="kubelet", TMP_HOOKS_PATH=str(tmp_path)).returncode == 0


def test_everything_is_put_in_its_place(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "install.d/50-kubelet")

    root = tmp_path / "root"
    assert done.returncode == 0, done.stderr
    assert (root / "usr/bin/kubelet").read_text() == "the kubelet"
    assert (root / "etc/kubernetes/manifests").is_dir()
    assert list((root / "etc/kubernetes/manifests").iterdir()) == []
    assert os.access(root / "usr/lib/goldsmith/kubelet-certificates", os.X_OK)
    enabled = (tmp_path / "systemctl.calls").read_text()
    assert enabled == "enable containerd.service kubelet-certificates.service kubelet.service\n"


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24", 2),
        ("containerd containerd.io v1.6.20 2806fc1", 2),
        ("containerd github.com/containerd/containerd/v2 v2.1.4 75cb2b7", 3),
        ("containerd github.com/containerd/containerd/v2 2.0.5 ", 3),
    ],
)
@pytest.mark.parametrize(
    ("distribution", "cni"), [("debian", "/usr/lib/cni"), ("fedora", "/usr/libexec/cni")]
)
def test_containerds_configuration_is_of_the_version_that_it_reads(
    installed: Path, fake: Callable[..., Path], tmp_path: Path,
    said: str, version: int, distribution: str, cni: str,
) -> None:  # fmt: skip
    fake("containerd", f"echo '{said}'")

    run(installed / "install.d/50-kubelet", DISTRO_NAME=distribution)

    text = (tmp_path / "root/etc/containerd/config.toml").read_text()
    assert tomllib.loads(text)["version"] == version
    assert "@" not in text
    assert '"a.b/pause:1"' in text
    assert f'"{tmp_path}/root{cni}"' in text
    assert "SystemdCgroup = true" in text


def test_a_packages_drop_in_does_not_change_our_unit(installed: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "root/usr/lib/systemd/system/kubelet.service.d/kubeadm.conf"
    theirs.parent.mkdir(parents=True)
    theirs.touch()

    done = run(installed / "install.d/50-kubelet", DIB_KUBELET_PACKAGE="kubernetes1.35")

    assert done.returncode == 0, done.stderr
    mask = tmp_path / "root/etc/systemd/system/kubelet.service.d/kubeadm.conf"
    assert str(mask.readlink()) == "/dev/null"
    assert (tmp_path / "install-packages.calls").read_text() == "kubernetes1.35\n"


def test_without_a_pause_image_no_pod_would_start(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "install.d/50-kubelet", DIB_KUBELET_PAUSE_IMAGE="")

    assert done.returncode == 1
    assert "DIB_KUBELET_PAUSE_IMAGE must name" in done.stderr
    assert not (tmp_path / "root/usr").exists()


def test_the_configurations_are_well_formed_and_the_api_is_closed() -> None:
    kubelet = yaml.safe_load((FILES / "kubelet.yaml").read_text())

    assert (kubelet["address"], kubelet["readOnlyPort"]) == ("127.0.0.1", 0)
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["authentication"]["x509"]["clientCAFile"] == "/etc/kubernetes/pki/ca.crt"


def test_a_shutdown_may_be_delayed_as_long_as_the_kubelet_asks_for() -> None:
    """With a shorter delay the kubelet would change logind's configuration at each boot."""
    kubelet = yaml.safe_load((FILES / "kubelet.yaml").read_text())
    logind = configparser.ConfigParser()
    logind.read(FILES / "60-kubelet-logind.conf")

    assert (
        kubelet["shutdownGracePeriod"]
        == f"{logind['Login']['InhibitDelayMaxSec']}s"
        == f"{session._GRACE_S}s"
    )


def test_the_lists_of_plugins_differ_in_ipv6_alone() -> None:
    dual, ipv4 = (
        json.loads((FILES / f"pod-network-{name}.conflist").read_text()) for name in ("dual-stack", "ipv4")
    )
    bridge, portmap = dual["plugins"][:2]

    assert bridge["ipam"]["ranges"].pop() == [{"subnet": "fd4b:9a1e:c688::/64"}]
    assert bridge["ipam"]["routes"].pop() == {"dst": "::/0"}
    assert portmap.pop("conditionsV6") == ["!", "-d", "::1/128"]
    assert dual == ipv4


@pytest.fixture
def pod_network(installed: Path, tmp_path: Path) -> Callable[[str | None], Path]:
    """pod_network(SETTING) runs what the kubelet's unit does first; the link for containerd.

    SETTING: what the kernel's disable_ipv6 is for new interfaces; None: it has no IPv6.
    """
    assert run(installed / "install.d/50-kubelet").returncode == 0
    conf = tmp_path / "proc/sys/net/ipv6/conf/default"

    def start(setting: str | None) -> Path:
        if setting is not None:
            conf.mkdir(parents=True, exist_ok=True)
            (conf / "disable_ipv6").write_text(f"{setting}\n")
        done = subprocess.run(
            ["sh", str(tmp_path / "root/usr/lib/goldsmith/pod-network")],
            env={**os.environ, "PROC": str(tmp_path / "proc")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return tmp_path / "root/etc/cni/net.d/10-pods.conflist"

    return start


@pytest.mark.parametrize(
    ("setting", "name"), [("0", "dual-stack"), ("1", "ipv4"), (None, "ipv4"), ("", "ipv4")]
)
def test_pods_have_ipv6_where_the_machine_has_it(
    pod_network: Callable[[str | None], Path], setting: str | None, name: str
) -> None:
    link = pod_network(setting)

    assert link.read_bytes() == (FILES / f"pod-network-{name}.conflist").read_bytes()
    assert [path.name for path in link.parent.iterdir()] == [link.name]


def test_ipv6_that_is_switched_on_again_comes_back(pod_network: Callable[[str | None], Path]) -> None:
    pod_network("1")
    assert "::/0" in pod_network("0").read_text()


@pytest.mark.parametrize("kind", ["file", "link", "none"])
def test_a_pod_network_of_somebody_elses_stays(
    pod_network: Callable[[str | None], Path], tmp_path: Path, kind: str
) -> None:
    link = pod_network("0")
    link.unlink()
    if kind == "file":
        link.write_text("calico")
    elif kind == "link":
        link.symlink_to("/opt/cni/own.conflist")

    again = pod_network("1")

    assert not again.is_symlink() if kind != "link" else str(again.readlink()) == "/opt/cni/own.conflist"
    assert (again.read_text() == "calico") if kind == "file" else not again.exists()


def test_units_wait_for_what_they_need() -> None:
    kubelet, certificates = (
        (FILES / f"{name}.service").read_text() for name in ("kubelet", "kubelet-certificates")
    )

    assert "ExecStartPre=/usr/lib/goldsmith/pod-network\n" in kubelet
    assert re.search(r"^Requires=.*kubelet-certificates\.service", kubelet, re.MULTILINE)
    assert re.search(r"^After=.*kubelet-certificates\.service", kubelet, re.MULTILINE)
    assert "ConditionPathExists=!/etc/kubernetes/pki/client.crt" in certificates


@pytest.fixture
def pki(element: Callable[[str], Path], tmp_path: Path) -> Path:
    """What the real openssl makes on first boot."""
    (tmp_path / "root/etc/kubernetes").mkdir(parents=True)
    done = run(element("kubelet") / "kubelet-files/kubelet-certificates")
    assert done.returncode == 0, done.stderr
    return tmp_path / "root/etc/kubernetes/pki"


@pytest.mark.programs("openssl")
def test_certificates_are_for_root_alone_and_the_cas_key_is_gone(pki: Path) -> None:
    assert sorted(path.name for path in pki.iterdir()) == sorted(PKI)
    assert {path.stat().st_mode & 0o077 for path in [pki, *pki.iterdir()]} == {0}


@pytest.mark.programs("openssl")
def test_each_certificate_is_good_for_its_own_purpose_alone(pki: Path) -> None:
    for name, purpose, other in (("kubelet", "sslserver", "sslclient"), ("client", "sslclient", "sslserver")):
        verify = ("verify", "-x509_strict", "-CAfile", str(pki / "ca.crt"), "-purpose")
        assert openssl(*verify, purpose, str(pki / f"{name}.crt")).endswith("OK\n")
        with pytest.raises(subprocess.CalledProcessError):
            openssl(*verify, other, str(pki / f"{name}.crt"))


@pytest.mark.programs("openssl")
def test_the_server_is_the_host_itself_and_keys_fit(pki: Path) -> None:
    shown = openssl("x509", "-in", str(pki / "kubelet.crt"), "-noout", "-text")

    assert "IP Address:127.0.0.1" in shown
    assert "DNS:localhost" in shown
    for name in ("kubelet", "client"):
        of_key = openssl("pkey", "-in", str(pki / f"{name}.key"), "-pubout")
        assert openssl("x509", "-in", str(pki / f"{name}.crt"), "-noout", "-pubkey") == of_key


@pytest.mark.programs("openssl")
def test_a_power_cut_in_the_middle_is_no_obstacle(element: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "root/etc/kubernetes"
    (folder / "pki.new").mkdir(parents=True)
    (folder / "pki.new/ca.key").write_text("half")

    done = run(element("kubelet") / "kubelet-files/kubelet-certificates")

    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["pki"]
