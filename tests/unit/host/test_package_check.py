# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.apt import store
from goldsmith.apt.indexes import IndexState
from goldsmith.errors import SpecError
from goldsmith.host import package_check
from goldsmith.spec import load

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
    monkeypatch.setattr("goldsmith.apt.indexes.current", lambda _suite, _mirrors: state)
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


@pytest.mark.parametrize("adds", ["element", "dib-env"])
def test_where_sources_may_be_added_it_is_a_note(
    check: Check, tmp_path: Path, capsys: pytest.CaptureFixture[str], adds: str
) -> None:
    hook = tmp_path / "elements/vendor/pre-install.d/10-vendor"
    hook.parent.mkdir(parents=True)
    hook.write_text("echo deb https://vendor.test stable main > /etc/apt/sources.list.d/vendor.list\n")

    if adds == "element":
        check("vendor-agent", elements="vendor")
    else:
        check("vendor-agent", more="dib-env:\n  DIB_DEBIAN_COMPONENTS: main,contrib\n")

    assert "no package 'vendor-agent'; an element or dib-env may add its source" in capsys.readouterr().err


def test_an_element_that_adds_sources_too_late_excuses_nothing(check: Check, tmp_path: Path) -> None:
    hook = tmp_path / "elements/vendor/cleanup.d/10-vendor"
    hook.parent.mkdir(parents=True)
    hook.write_text("rm /etc/apt/sources.list\n")

    with pytest.raises(SpecError, match="has no package 'vendor-agent'"):
        check("vendor-agent", elements="vendor")
