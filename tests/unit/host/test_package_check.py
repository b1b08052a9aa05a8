# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.apt import store
from goldsmith.apt.indexes import IndexState
from goldsmith.core import paths
from goldsmith.errors import SpecError
from goldsmith.host import package_check
from goldsmith.image import dib_plan, element_hashes
from goldsmith.spec import load
from goldsmith.spec.checks import dib_elements

LIST = lzma.compress(
    b"Package: tcpdump\nSection: net\n\nPackage: postfix\nProvides: mail-agent (= 1), smtp\n"
)
DIGEST = hashlib.sha256(LIST).hexdigest()
RELEASE = f"SHA256:\n {DIGEST} 9 main/binary-amd64/Packages.xz\n {DIGEST} 9 main/binary-amd64/Packages\n"
SPEC = """name: mine
distribution: debian
release: trixie
kubelet: null
containers: []
elements: [{elements}]
packages:
"""

Check = Callable[..., None]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Check a spec with these packages on a mirror that has three, one of them virtual."""

    def get(_store: object, _path: str, _sha256: str) -> Path:
        (tmp_path / "list").write_bytes(LIST)
        return tmp_path / "list"

    state = IndexState(releases={"debian/dists/trixie/InRelease": RELEASE.encode()})
    monkeypatch.setattr("goldsmith.apt.indexes.current", lambda _suite, _mirrors, _accepted: state)
    monkeypatch.setattr(store.Store, "get", get)
    monkeypatch.setenv("GOLDSMITH_DEBIAN_MIRROR", "http://mirror.test/debian")
    monkeypatch.setenv("GOLDSMITH_DEBIAN_SECURITY_MIRROR", "http://mirror.test/security")

    def run(*packages: str, elements: str = "", more: str = "") -> None:
        path = tmp_path / "mine.yaml.j2"
        lines = "".join(f"  - {name}\n" for name in packages)
        path.write_text(SPEC.format(elements=elements) + lines + more)
        package_check.require(load.load(str(path)))

    return run


def test_packages_that_debian_has_pass(check: Check) -> None:
    check("tcpdump", "postfix", "smtp", "mail-agent")


def test_a_package_that_debian_lacks_is_named_with_its_line_and_a_suggestion(check: Check) -> None:
    with pytest.raises(SpecError) as e:
        check("postfix", "tcpdmp", "qqqq")

    first, second = e.value.problems
    assert str(first).endswith(
        "mine.yaml.j2:9: Debian trixie has no package 'tcpdmp' (did you mean 'tcpdump'?)"
    )
    assert str(second).endswith("mine.yaml.j2:10: Debian trixie has no package 'qqqq'")


NOTE = "no package 'vendor-agent'; an element or dib-env may add its source"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_where_dib_env_may_add_sources_it_is_a_note(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    check("vendor-agent", more="dib-env:\n  DIB_DEBIAN_COMPONENTS: main,contrib\n")

    assert NOTE in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pre-install.d/10-vendor", "echo deb https://vendor.test a main > /etc/apt/sources.list.d/v.list\n"),
        ("pre-install.d/10-vendor", "curl -fsS https://vendor.test/setup | bash\n"),
        ("install.d/10-vendor", "extrepo enable vendor\n"),
        ("environment.d/10-vendor.bash", "export DIB_DEBIAN_COMPONENTS=main,contrib\n"),
        ("element-deps", "apt-sources\n"),
    ],
)
@pytest.mark.parametrize("elements", ["vendor", "outer"])
def test_where_an_own_element_or_one_that_it_depends_on_may_add_sources_it_is_a_note(
    check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, text: str, elements: str
) -> None:
    write(tmp_path / "elements/vendor" / file, text)
    write(tmp_path / "elements/outer/element-deps", "package-installs\nmiddle\nno-such\n")
    write(tmp_path / "elements/middle/element-deps", "vendor\nouter\n")

    check("vendor-agent", elements=elements)

    assert NOTE in capsys.readouterr().err


def test_an_own_element_may_stand_for_one_that_goldsmith_ships(check: Check, tmp_path: Path) -> None:
    write(tmp_path / "elements/goldsmith-guest/pre-install.d/10-vendor", "vendor-setup\n")

    check("vendor-agent")


@pytest.mark.parametrize("elements", ["", "heat-agent, kubelet", "vendor"])
def test_elements_that_goldsmith_ships_or_that_run_too_late_excuse_nothing(
    check: Check, tmp_path: Path, elements: str
) -> None:
    write(tmp_path / "elements/vendor/cleanup.d/10-vendor", "rm /etc/apt/sources.list\n")
    write(tmp_path / "elements/vendor/element-deps", "heat-agent\n")
    write(tmp_path / "elements/unused/pre-install.d/10-vendor", "vendor-setup\n")

    with pytest.raises(SpecError, match="has no package 'vendor-agent'"):
        check("vendor-agent", elements=elements)


def test_what_a_user_puts_beside_our_elements_or_in_their_place_is_the_users(tmp_path: Path) -> None:
    """The task init puts an element beside ours in a checkout."""
    shipped = paths.shipped("elements")

    assert package_check.is_ours("kubelet", shipped / "kubelet")
    assert package_check.is_ours("vm", dib_elements() / "vm")
    assert not package_check.is_ours("my-image-motd", shipped / "my-image-motd")
    assert not package_check.is_ours("kubelet", tmp_path / "kubelet")


@pytest.mark.parametrize("name", ["debian-kubelet", "debian-heat-full"])
def test_the_elements_of_the_shipped_specs_are_known(name: str) -> None:
    loaded = load.load(name)
    folders = element_hashes.folders(dib_plan.elements(loaded.spec), loaded.elements)

    assert [each for each, folder in folders.items() if not package_check.is_ours(each, folder)] == []
