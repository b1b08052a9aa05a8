# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import tarfile

import pytest

from goldsmith.apt import build_files


def unpacked(proxy: str, suite: str | None) -> dict[str, str]:
    data = build_files.archive(proxy, suite, "http://proxy.test:3128" if suite else None)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert all(entry.isreg() for entry in archive), "a folder would change the mode of the image's"
        return {entry.name: archive.extractfile(entry).read().decode() for entry in archive}  # type: ignore[union-attr]


@pytest.mark.parametrize("suite", [None, "trixie"])
def test_only_an_image_without_sources_gets_debians(suite: str | None) -> None:
    found = unpacked("http://127.0.0.1:40001", suite)

    assert 'Acquire::http::Proxy "http://127.0.0.1:40001";' in found[build_files.CONFIGURATION]
    https = "http://proxy.test:3128" if suite else "DIRECT"
    assert f'Acquire::https::Proxy "{https}";' in found[build_files.CONFIGURATION]
    lines = found.get(build_files.SOURCES, "").splitlines()
    assert [line.split("] ")[1] for line in lines] == ([] if suite is None else [
        "http://127.0.0.1:40001/debian trixie main", "http://127.0.0.1:40001/debian trixie-updates main",
        "http://127.0.0.1:40001/security trixie-security main",
    ])  # fmt: skip


@pytest.mark.parametrize("pinned", [True, False])
def test_apt_takes_an_expired_index_only_where_a_lock_names_it(pinned: bool) -> None:
    data = build_files.archive("http://127.0.0.1:1", None, pinned=pinned)

    assert (b"Acquire::Check-Valid-Until" in data) is pinned


def test_no_package_starts_a_service() -> None:
    assert unpacked("http://127.0.0.1:1", None)[build_files.POLICY].endswith("exit 101\n")


@pytest.mark.parametrize(
    ("release", "suite"),
    [
        ('PRETTY_NAME="Debian"\nVERSION_CODENAME=trixie\nID=debian\n', "trixie"),
        ("ID='debian'\nVERSION_CODENAME=\"bookworm\"\n", "bookworm"),
        ("ID=ubuntu\nVERSION_CODENAME=noble\nID_LIKE=debian\n", None),
        ("ID=debian\n", None),
        ("", None),
    ],
)
def test_the_suite_of_an_image_is_that_of_debian_alone(release: str, suite: str | None) -> None:
    assert build_files.suite(release) == suite


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("apt/sources.list", "deb http://x.test a main\n", True),
        ("apt/sources.list.d/x.sources", "# x\nTypes: deb\nURIs: http://x.test\n", True),
        ("apt/sources.list", "# deb http://x.test a main\n", False),
        ("apt/sources.list.d/x.list.save", "deb http://x.test a main\n", False),
        ("apt/apt.conf.d/x", "deb", False),
    ],
)
def test_sources_are_lines_that_apt_reads(name: str, text: str, found: bool) -> None:
    assert build_files.have_sources([("apt/other", ""), (name, text)]) is found
