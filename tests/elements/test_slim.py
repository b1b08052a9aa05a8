# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.core.paths import project_root
from goldsmith.spec.model import Removal

ELEMENT = project_root() / "elements/goldsmith-slim"
DPKG = "etc/dpkg/dpkg.cfg.d/50-goldsmith-slim"

# A file that each rule removes, and one beside it that stays.
OF_RULES = {
    "docs": ("usr/share/doc/bash/README.gz", "usr/share/doc/bash/copyright"),
    "man": ("usr/share/man/man1/bash.1.gz", "usr/bin/man"),
    "locales": ("usr/share/i18n/locales/de_DE", "usr/share/locale/locale.alias"),
    "hardware-names": ("usr/lib/udev/hwdb.bin", "usr/lib/udev/rules.d/60-net.rules"),
    "python-tests": (
        "usr/lib/python3/dist-packages/openstack/tests/unit/a.py",
        "usr/lib/python3/dist-packages/jinja2/sandbox",
    ),
    "cni-plugins": ("usr/lib/cni/macvlan", "usr/lib/cni/portmap"),
    "containerd-shims": ("usr/bin/containerd-shim", "usr/bin/containerd-shim-runc-v2"),
}
KEPT = (
    "usr/lib/cni/loopback", "usr/lib/cni/bridge", "etc/cni/net.d/10-mine.conflist",
    "usr/share/doc/libbash/copyright", "usr/lib/goldsmith/pods.conflist",
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path, fake: Callable[..., Path]) -> Path:
    fake("sudo", 'exec "$@"')
    root = tmp_path / "target root"
    for name in (*(each for pair in OF_RULES.values() for each in pair), *KEPT, DPKG):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (root / "etc/cni/net.d/10-mine.conflist").write_text('{"plugins": [{"type": "portmap"}]}')
    (root / "usr/lib/goldsmith/pods.conflist").write_text('{"plugins": [{ "type":"bridge" }]}')
    (root / "usr/share/doc/bash-extras").symlink_to("bash")
    return root


def run(
    hook: str, root: Path, *, keep: str = "", distribution: str = "debian"
) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "TARGET_ROOT": str(root), "DIB_SLIM_KEEP": keep, "DISTRO_NAME": distribution}
    return subprocess.run(["bash", ELEMENT / hook], env=env, capture_output=True, text=True, check=False)


def test_every_rule_is_tried_here() -> None:
    assert OF_RULES.keys() == {rule.value for rule in Removal}


def test_each_rule_removes_what_it_names_and_nothing_beside_it(root: Path) -> None:
    done = run("cleanup.d/70-goldsmith-slim", root)

    assert done.returncode == 0, done.stderr
    assert [gone for gone, _ in OF_RULES.values() if (root / gone).exists()] == []
    assert [stays for _, stays in OF_RULES.values() if not (root / stays).exists()] == []
    assert [name for name in KEPT if not (root / name).exists()] == []
    assert (root / "usr/share/doc/bash-extras").is_symlink()  # leads to the licence
    assert not (root / "usr/share/man/man1").exists()  # nor are folders left that are empty


@pytest.mark.parametrize("rule", OF_RULES)
def test_a_rule_that_is_kept_removes_nothing(root: Path, rule: str) -> None:
    done = run("cleanup.d/70-goldsmith-slim", root, keep=f"{rule}")

    assert done.returncode == 0, done.stderr
    left = {name for name, (gone, _) in OF_RULES.items() if (root / gone).exists()}
    assert left == {rule}


def test_without_containers_there_is_nothing_to_remove_of_them(root: Path) -> None:
    for folder in ("usr/lib/cni", "usr/lib/goldsmith", "etc/cni/net.d"):
        for path in (root / folder).iterdir():
            path.unlink()
        (root / folder).rmdir()

    assert run("cleanup.d/70-goldsmith-slim", root).returncode == 0


def test_dpkg_unpacks_nothing_that_a_rule_names(root: Path) -> None:
    done = run("root.d/60-goldsmith-slim", root, keep="man")

    assert done.returncode == 0, done.stderr
    lines = (root / DPKG).read_text().splitlines()
    assert "path-exclude=/usr/share/doc/*/*" in lines
    assert lines.index("path-include=/usr/share/doc/*/copyright") > lines.index(
        "path-exclude=/usr/share/doc/*/*"
    )
    assert all(line.startswith(("path-exclude=/", "path-include=/")) for line in lines)
    assert not [line for line in lines if "/man/" in line or "i18n" in line]  # locale-gen needs the latter


def test_another_distribution_has_no_dpkg(root: Path) -> None:
    (root / DPKG).unlink()

    assert run("root.d/60-goldsmith-slim", root, distribution="fedora").returncode == 0
    assert not (root / DPKG).exists()


def test_an_unknown_rule_is_refused(root: Path) -> None:
    done = run("root.d/60-goldsmith-slim", root, keep="docs manuals")

    assert done.returncode == 1
    assert "names no rule: 'manuals'" in done.stderr
