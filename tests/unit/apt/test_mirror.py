# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from goldsmith.apt import mirror
from goldsmith.errors import HostError

DEB822 = """\
Types: deb
# a comment within
URIs: http://mirror.test/debian/
Suites: bookworm
 bookworm-updates
Components: main

Types: deb
URIs: http://mirror.test/debian-security
Suites: bookworm-security
Components: main
"""
ONE_LINE = """\
deb [arch=amd64 signed-by=/k.gpg] http://old.test/debian trixie main contrib # ours
deb-src http://src.test/debian trixie main
deb http://sec.test/debian-security trixie-security main
"""
UBUNTU = "deb http://ubuntu.test/ubuntu noble main\ndeb http://ubuntu.test/ubuntu noble-security main\n"


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in (mirror.DEBIAN_VARIABLE, mirror.SECURITY_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_deb822_sources_are_read(apt: Path) -> None:
    (apt / "sources.list.d/debian.sources").write_text(DEB822)
    found = mirror.find(apt=apt)
    assert found == mirror.Mirrors(
        debian="http://mirror.test/debian", security="http://mirror.test/debian-security"
    )


def test_a_key_in_the_sources_and_unknown_lines_are_ignored(apt: Path) -> None:
    key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n URIs: http://evil.test\n -----END-----\n"
    (apt / "sources.list.d/debian.sources").write_text(
        "# Debian's own\n\n"
        + DEB822.replace("Suites: bookworm\n", f"{key}no field\nsuites:\n# c\n bookworm\n")
    )

    assert mirror.find(apt=apt).debian == "http://mirror.test/debian"


def test_one_line_sources_are_read(apt: Path) -> None:
    (apt / "sources.list").write_text(ONE_LINE)
    found = mirror.find(apt=apt)
    assert found == mirror.Mirrors(
        debian="http://old.test/debian", security="http://sec.test/debian-security"
    )


def test_a_disabled_entry_is_ignored(apt: Path) -> None:
    (apt / "sources.list.d/debian.sources").write_text(
        DEB822.replace("Types: deb\n", "Types: deb\nEnabled: no\n")
    )
    with pytest.raises(HostError, match="no Debian mirror is known"):
        mirror.find(apt=apt)


def test_an_ubuntu_host_has_no_debian_mirror(apt: Path) -> None:
    (apt / "sources.list").write_text(UBUNTU)
    with pytest.raises(HostError, match="no Debian mirror is known") as e:
        mirror.find(apt=apt)
    assert e.value.hint == "set GOLDSMITH_DEBIAN_MIRROR to its address"


def test_another_vendor_with_debians_suite_name_is_ignored(apt: Path) -> None:
    (apt / "sources.list").write_text("deb http://vendor.test bookworm main\n" + ONE_LINE)
    assert mirror.find(apt=apt).debian == "http://old.test/debian"


def test_a_mirror_list_in_a_file_is_followed(apt: Path) -> None:
    (apt / "mirrors").mkdir()
    (apt / "mirrors/debian.list").write_text("# best first\nhttps://cloud.test/debian\n")
    (apt / "sources.list").write_text(
        "deb mirror+file:///etc/apt/mirrors/debian.list trixie main\n" + ONE_LINE.splitlines()[2]
    )
    assert mirror.find(apt=apt).debian == "https://cloud.test/debian"


def test_the_spec_comes_before_the_environment_and_both_before_the_host(
    apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (apt / "sources.list.d/debian.sources").write_text(DEB822)
    monkeypatch.setenv(mirror.DEBIAN_VARIABLE, "http://env.test/debian")
    assert mirror.find(apt=apt).debian == "http://env.test/debian"
    assert mirror.find("http://spec.test/d/", apt=apt).debian == "http://spec.test/d"
    monkeypatch.setenv(mirror.SECURITY_VARIABLE, "http://env.test/security/")
    assert mirror.find(apt=apt).security == "http://env.test/security"


def test_an_unknown_security_mirror_is_reported(apt: Path) -> None:
    (apt / "sources.list").write_text(UBUNTU)
    with pytest.raises(HostError, match="security updates") as e:
        mirror.find("http://spec.test/debian", apt=apt)
    assert "GOLDSMITH_DEBIAN_SECURITY_MIRROR" in (e.value.hint or "")


def test_mirrors_that_are_not_needed_may_be_unknown_and_never_answer(apt: Path) -> None:
    found = mirror.find("http://known.test/debian", apt=apt, needed=False)
    assert found.debian == "http://known.test/debian"
    assert urlsplit(found.security).hostname == "mirror.invalid"
    with pytest.raises(HostError, match="no mirror of Debian's security updates is known"):
        mirror.find("http://known.test/debian", apt=apt)
