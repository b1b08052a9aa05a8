# SPDX-License-Identifier: Apache-2.0
"""The offline image holds nothing that belongs to its build or to one instance."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from goldsmith.image import mount
from goldsmith.verify.expectations import Expectations


def files_below(root: Path, *folders: str) -> list[str]:
    found: list[str] = []
    for folder in folders:
        top = mount.resolve(root, folder)
        if top.is_dir():
            files = (p for p in sorted(top.rglob("*")) if p.is_symlink() or not p.is_dir())
            found += ["/" + str(p.relative_to(root)) for p in files]
    return found


def text(root: Path, path: str) -> str:
    file = mount.resolve(root, path)
    return file.read_text(errors="replace") if file.is_file() else ""


def is_link(root: Path, path: str) -> bool:
    return (root / path.lstrip("/")).is_symlink()


def test_no_ssh_host_keys(sealed_root: Path) -> None:
    assert not [
        f for f in files_below(sealed_root, "/etc/ssh", "/etc/dropbear") if "host_" in f and "key" in f
    ]


@pytest.mark.needs("systemd")
def test_machine_id_is_there_and_empty(sealed_root: Path) -> None:
    file = mount.resolve(sealed_root, "/etc/machine-id")
    assert file.is_file(), "without the file systemd does not keep the id that it makes"
    assert file.read_bytes() == b""
    assert not mount.resolve(sealed_root, "/var/lib/dbus/machine-id").exists()


def test_no_instance_data(sealed_root: Path) -> None:
    assert not files_below(
        sealed_root, "/var/lib/cloud/instance", "/var/lib/cloud/instances", "/var/lib/cloud/data"
    )
    assert not mount.resolve(sealed_root, "/var/lib/systemd/random-seed").exists()
    assert not files_below(sealed_root, "/etc/kubernetes/pki", "/var/lib/kubelet")


def test_no_package_caches(sealed_root: Path) -> None:
    caches = files_below(
        sealed_root, "/var/lib/apt/lists", "/var/cache/apt/archives", "/var/cache/dnf", "/var/cache/libdnf5"
    )
    assert not [f for f in caches if not f.endswith("/lock")]


def test_no_logs_of_the_build(sealed_root: Path) -> None:
    logs = files_below(sealed_root, "/var/log")
    assert not [
        f for f in logs if (sealed_root / f.lstrip("/")).lstat().st_size > 0 and not is_link(sealed_root, f)
    ]


def test_no_credentials(sealed_root: Path) -> None:
    homes = files_below(sealed_root, "/root", "/home")
    bad = ("authorized_keys", "id_", ".netrc", ".docker/config.json", "_history", ".git-credentials", ".pem")
    assert not [f for f in homes if any(word in f for word in bad)]


def test_no_password_opens_a_login(sealed_root: Path) -> None:
    lines = text(sealed_root, "/etc/shadow").splitlines()
    assert lines, "no /etc/shadow"
    fields = [line.split(":") for line in lines]
    assert not [f[0] for f in fields if f[1] == "" or f[1].startswith("$")]


def test_no_build_mirror_that_the_spec_did_not_ask_for(sealed_root: Path, expected: Expectations) -> None:
    allowed = expected.info.mirror or ""
    sources = files_below(sealed_root, "/etc/apt/sources.list.d")
    lines = [line for f in ["/etc/apt/sources.list", *sources] for line in text(sealed_root, f).splitlines()]
    uris = {
        uri.rstrip("/")
        for line in lines
        if not line.startswith("#")
        for uri in re.findall(r"\w+://\S+", line)
    }
    assert uris <= {allowed.rstrip("/")}


def test_no_proxy(sealed_root: Path) -> None:
    places = files_below(sealed_root, "/etc/apt/apt.conf.d", "/etc/environment.d", "/etc/profile.d")
    places += ["/etc/apt/apt.conf", "/etc/environment", "/etc/dnf/dnf.conf", "/etc/wgetrc"]
    bad = re.compile(
        r"^\s*(Acquire::\w+::Proxy|(export\s+)?\w+_proxy\s*=|proxy\s*=)", re.IGNORECASE | re.MULTILINE
    )
    assert not [f for f in places if bad.search(text(sealed_root, f))]


def test_nothing_of_the_builder_is_left(sealed_root: Path) -> None:
    left = ["/tmp/in_target.d", "/usr/sbin/policy-rc.d", "/etc/dib-manifests", "/etc/resolv.conf.ORIG"]
    assert not [path for path in left if mount.resolve(sealed_root, path).exists()]
    assert not files_below(sealed_root, "/tmp")


def test_no_stack_has_left_anything(sealed_root: Path) -> None:
    hooks = "/var/lib/heat-config/hooks/"  # of heat-agents' elements
    left = files_below(
        sealed_root, "/var/lib/heat-cfntools", "/var/lib/os-collect-config", "/var/lib/heat-config"
    )
    assert not [path for path in left if not path.startswith(hooks)]
    assert not re.search(
        r"^\[(heat|cfn|request)\]", text(sealed_root, "/etc/os-collect-config.conf"), re.MULTILINE
    )
