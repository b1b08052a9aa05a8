# SPDX-License-Identifier: Apache-2.0
"""Locks: content, differences and where they come from, and what an upgrade would change."""

from __future__ import annotations

import hashlib
import lzma
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from goldsmith.apt import indexes, packages
from goldsmith.apt.indexes import IndexState
from goldsmith.apt.mirror import Mirrors
from goldsmith.apt.packages import Offer
from goldsmith.core import documents
from goldsmith.errors import BuildError, ProvenanceError, SpecError
from goldsmith.provenance import lockfile, outdated
from goldsmith.provenance.lockfile import Lock
from tests.support import samples

KEPT = Path(__file__).parent / "documents"
LOCKS = sorted(path.name for path in KEPT.glob("*.lock.yaml"))
MIRRORS = Mirrors(debian="http://deb.test/debian", security="http://deb.test/security")


def package(name: str = "bash", version: str = "5.2-1", sha256: str = "a" * 64) -> dict[str, str]:
    return {"name": name, "version": version, "architecture": "amd64", "sha256": sha256}


def image(ref: str, digest: str, source: str) -> dict[str, Any]:
    return samples.image(ref, digest=digest, source=source)


LOCK: dict[str, Any] = {
    "schema": "goldsmith.lock", "version": 1, "name": "mine", "distribution": "debian", "release": "trixie",
    "arch": "amd64", "build": {"id": "20260101T000000Z-abc", "commit": "c" * 40},
    "index": {"debian/dists/trixie/InRelease": {"sha256": "1" * 64, "date": "Thu, 01 Jan 2026 00:00:00 GMT"}},
    "spec": "5" * 64, "python": {"requirements.lock": "6" * 64}, "elements": {"kubelet": "7" * 64},
    "base-image": {"url": "https://a.test/b", "sha256": "2" * 64},
    "contexts": {"goldsmith.local/nginx:1": "9" * 64},
    "kubelet": {"version": "1.35.4", "sha256": "8" * 64, "go": "go1.26.8"},
    "containers": {
        "schema": "goldsmith.images-lock", "version": 1,
        "images": [
            image("goldsmith.local/nginx:1", "sha256:b", "build"), image("a.b/app:1", "sha256:c", "registry"),
        ],
    },
    "packages": [package(), package("zlib1g", "1.3", "d" * 64)],
}  # fmt: skip


def lock_of(**parts: Any) -> Lock:
    return Lock.parse({**LOCK, **parts}, "mine.lock.yaml")


def differences(**found: Any) -> list[tuple[str, str, str]]:
    return [(each.part, each.what, each.who) for each in lockfile.compare(lock_of(), found)]


def test_a_lock_is_read_as_it_was_written_and_has_a_line_for_each_package(tmp_path: Path) -> None:
    path = tmp_path / "mine.lock.yaml"
    lockfile.write(path, lock_of())

    assert lockfile.read(path) == lock_of()
    text = path.read_text()
    assert "scripts/inv lock mine" in text
    assert f"- {{name: zlib1g, version: '1.3', architecture: amd64, sha256: {'d' * 64}}}\n" in text
    assert yaml.safe_load(text) == LOCK
    jsonschema.validate(LOCK, documents.json_schema(Lock))
    lockfile.write(path, lock_of(packages=[]))
    assert lockfile.read(path).packages == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "there is no mine.lock.yaml"),
        ("a: [", "cannot read"),
        (
            yaml.safe_dump(LOCK) + "packages: []\n",
            r"mine.lock.yaml:\d+: duplicate key 'packages' \(first in mine.lock.yaml:\d+\)",
        ),
        ("a: \x07", r"mine.lock.yaml:1: not valid YAML: the character U\+0007 is not allowed"),
        ("[]", "mine.lock.yaml is no lock"),
        (yaml.safe_dump({**LOCK, "version": 2}), "has version 2 of goldsmith.lock; this goldsmith reads"),
        (yaml.safe_dump({**LOCK, "schema": "x"}), "is not a goldsmith.lock document"),
        (yaml.safe_dump({**LOCK, "python": "1"}), "cannot use the lock mine.lock.yaml: python: expected obj"),
        (yaml.safe_dump({k: v for k, v in LOCK.items() if k != "packages"}), "lacks packages"),
    ],
)
def test_a_file_that_is_no_lock_is_an_error(tmp_path: Path, text: str | None, why: str) -> None:
    path = tmp_path / "mine.lock.yaml"
    if text is not None:
        path.write_text(text)

    with pytest.raises(ProvenanceError, match=why):
        lockfile.read(path)


def test_an_index_that_was_only_signed_again_is_no_difference() -> None:
    other = lock_of(index={}, build={"id": "other", "commit": "nogit"})

    lockfile.require(lock_of(), other.parts(), "mine")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"spec": "0" * 64}, ("spec", "spec", "us")),
        ({"python": {"requirements.lock": "0"}}, ("python", "requirements.lock", "us")),
        ({"elements": {"kubelet": "7" * 64, "more": "0"}}, ("elements", "more", "us")),
        ({"elements": {}}, ("elements", "kubelet", "us")),
        ({"base-image": {"url": "https://a.test/b", "sha256": "0"}}, ("base-image", "sha256", "us")),
        ({"kubelet": {**LOCK["kubelet"], "go": "go1.27"}}, ("kubelet", "go", "us")),
        ({"contexts": {"goldsmith.local/nginx:1": "0"}}, ("contexts", "goldsmith.local/nginx:1", "us")),
        (
            {"containers": {"images": [image("a.b/app:1", "sha256:0", "registry")]}},
            ("containers", "a.b/app:1", "upstream"),
        ),
        ({"packages": [package()]}, ("packages", "zlib1g:amd64", "upstream")),
        ({"packages": [package(sha256="0"), *LOCK["packages"][1:]]}, ("packages", "bash:amd64", "upstream")),
        ({"packages": [*LOCK["packages"], package("new")]}, ("packages", "new:amd64", "upstream")),
    ],
)
def test_a_difference_names_its_entry_and_where_it_changed(
    found: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    assert differences(**lock_of(**found).parts()) == [expected]


def test_each_version_of_a_package_that_is_installed_twice_counts() -> None:
    two = [package("kernel", "1", "1" * 64), package("kernel", "2", "2" * 64)]
    other = [package("kernel", "1", "3" * 64), two[1]]

    (found,) = lockfile.compare(lock_of(packages=two), lock_of(packages=other).parts())

    assert (found.what, found.who) == ("kernel:amd64", "upstream")


def test_an_image_that_is_built_here_is_held_by_its_context() -> None:
    rebuilt = [image("goldsmith.local/nginx:1", "sha256:0", "build"), *LOCK["containers"]["images"][1:]]

    assert differences(containers={"images": rebuilt}) == []


def test_parts_that_are_not_known_yet_are_not_compared() -> None:
    assert differences(spec=LOCK["spec"], contexts=LOCK["contexts"]) == []


def test_all_differences_are_in_one_table() -> None:
    other = lock_of(spec="0" * 64, packages=LOCK["packages"][1:])

    with pytest.raises(ProvenanceError) as e:
        lockfile.require(lock_of(), other.parts(), "mine")

    head = str(e.value).splitlines()[0]
    assert head == "2 entries differ from mine.lock.yaml (changed in: checkout, upstream)"

    rows = [line.split() for line in str(e.value).splitlines()[1:]]
    assert rows[1] == ["|", "spec", "spec", "555555555555...", "000000000000...", "checkout"]
    assert rows[2] == ["|", "packages", "bash:amd64", "5.2-1", "aaaaaaaaaaaa...", "-", "upstream"]
    assert "lock mine --upgrade" in str(e.value.hint)


def test_an_upgrade_changes_what_is_named_alone() -> None:
    new = lock_of(spec="0" * 64, packages=[package("new")], build={"id": "new", "commit": "nogit"})

    merged = lockfile.merge(lock_of(), new, lockfile.parts("packages,kubelet"))

    assert (merged.spec, merged.packages) == (LOCK["spec"], new.packages)
    assert merged.build.id == "new"
    assert lockfile.merge(None, new, ()) == new
    assert lockfile.merge(lock_of(), new, lockfile.parts("all")) == new
    with pytest.raises(SpecError, match="no part 'kernel'"):
        lockfile.parts("packages,kernel")


# Locks of all forms so far: kept files, made by the goldsmith of the time


def test_kept_locks_are_found() -> None:
    assert len(LOCKS) == 3


@pytest.mark.parametrize("name", LOCKS)
def test_a_kept_lock_is_read_and_written_as_it_was(name: str, tmp_path: Path) -> None:
    lock = lockfile.read(KEPT / name)
    lockfile.write(tmp_path / name, lock)

    assert (tmp_path / name).read_bytes() == (KEPT / name).read_bytes()
    assert lockfile.compare(lock, lock.parts()) == ()
    jsonschema.validate(lock.as_dict(), documents.json_schema(Lock))


def test_a_kubelet_from_a_package_has_no_hash_in_a_kept_lock() -> None:
    lock = lockfile.read(KEPT / "fedora-first.lock.yaml")

    assert lock.kubelet == {"version": "1.35", "source": "package", "sha256": "None"}


# What an upgrade would change


def index_of(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, spoil: bool = False
) -> IndexState:
    data = lzma.compress(text.encode())
    (tmp_path / "Packages.xz").write_bytes(lzma.compress(b"") if spoil else data)
    asked: list[str] = []

    def open_url(url: str) -> Any:
        asked.append(url)
        return (tmp_path / "Packages.xz").open("rb")

    monkeypatch.setattr(indexes, "open_url", open_url)
    line = f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-amd64/Packages.xz\n"
    return IndexState(releases={"security/dists/trixie-security/InRelease": f"SHA256:\n{line}".encode()})


PACKAGES = f"""Package: bash
Version: 5.2-1
Architecture: amd64
SHA256: {"a" * 64}

Package: bash
Version: 5.2-10
Architecture: amd64
SHA256: {"e" * 64}
"""


def test_the_lists_are_those_that_were_signed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    state = index_of(PACKAGES, monkeypatch, tmp_path)

    found = packages.offers(state, "amd64", MIRRORS)

    assert found == {
        ("bash", "amd64"): [
            Offer(version="5.2-1", sha256="a" * 64), Offer(version="5.2-10", sha256="e" * 64),
        ]
    }  # fmt: skip
    assert packages.newest(found["bash", "amd64"]).version == "5.2-10"


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("5.2-1", "5.2-10"), ("1.0~rc1-1", "1.0-1"), ("1.0", "1.0+deb13u1"), ("9.0", "1:0.1"),
        ("1.0-1~bpo12+1", "1.0-1"), ("2.7.9", "2.7.10"), ("1.0a", "1.0b"), ("1.0-1", "1.0-1+b1"),
    ],
)  # fmt: skip
def test_versions_are_ordered_as_debian_orders_them(older: str, newer: str) -> None:
    assert packages.is_newer(newer, older)
    assert not packages.is_newer(older, newer)
    assert not packages.is_newer(older, older)


def test_the_same_version_written_otherwise_is_not_newer() -> None:
    assert not packages.is_newer("0:1.0-0", "1.0")


def test_what_is_no_version_is_said() -> None:
    with pytest.raises(BuildError, match="cannot compare the versions '1 0' and '1'"):
        packages.is_newer("1 0", "1")


def test_a_list_that_is_another_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    state = index_of(PACKAGES, monkeypatch, tmp_path, spoil=True)

    with pytest.raises(
        BuildError, match="does not match the signed index security/dists/trixie-security/InRelease"
    ):
        packages.offers(state, "amd64", MIRRORS)


@pytest.mark.parametrize(
    ("offers", "found"),
    [
        ([Offer(version="5.2-1", sha256="a" * 64)], None),
        ([Offer(version="5.2-1", sha256="a" * 64), Offer(version="5.2-10", sha256="e" * 64)], "5.2-10"),
        ([Offer(version="5.2-10", sha256="e" * 64)], "5.2-10 (no mirror has it any more)"),
        ([Offer(version="5.1", sha256="e" * 64)], "no mirror has it any more"),
        ([], "no mirror has it any more"),
    ],
)
def test_newer_packages_and_those_that_are_gone_are_told_apart(
    offers: list[Offer], found: str | None
) -> None:
    listed = list(outdated.moved(lock_of(packages=[package()]), {("bash", "amd64"): offers}))

    assert [each.found for each in listed] == ([found] if found else [])
