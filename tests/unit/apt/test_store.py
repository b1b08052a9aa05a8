# SPDX-License-Identifier: Apache-2.0
"""Listed files come from the mirror once, after that from the cache, also without the mirror."""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.apt import proxy
from goldsmith.apt.indexes import IndexState
from goldsmith.apt.mirror import Mirrors
from goldsmith.apt.store import OtherContent, Store, keep, kept
from goldsmith.core import paths

DEB = b"a package" * 1000
LIST_PATH, DEB_PATH = "debian/dists/x/main/binary-amd64/Packages.xz", "debian/pool/main/a/a_1_amd64.deb"
RELEASE = "debian/dists/x/InRelease"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


LIST = lzma.compress(
    f"Package: a\nFilename: pool/main/a/a_1_amd64.deb\nSize: 9\nSHA256: {sha(DEB)}\n\nPackage: b\n".encode()
)
STATE = IndexState(releases={RELEASE: f"SHA256:\n {sha(LIST)} 9 main/binary-amd64/Packages.xz\n".encode()})


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The files of the mirror by address; each request is recorded under "asked"."""
    has = {f"http://m/{LIST_PATH}": LIST, f"http://m/{DEB_PATH}": DEB}

    def open_url(url: str) -> object:
        if url not in has:
            raise OSError(f"no answer from {url}")
        has["asked"] = has.get("asked", b"") + b"x"
        return _Answer(has[url])

    monkeypatch.setattr("goldsmith.apt.indexes.open_url", open_url)
    monkeypatch.setattr("goldsmith.apt.proxy.open_url", open_url)
    return has


class _Answer:
    def __init__(self, data: bytes) -> None:
        self.data, self.headers = data, {"Content-Length": str(len(data))}

    def __enter__(self) -> _Answer:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, _size: int = -1) -> bytes:
        data, self.data = self.data, b""
        return data


@pytest.fixture
def store() -> Store:
    return Store(STATE, "amd64", {"debian": "http://m/debian", "security": "http://m/security"})


@pytest.mark.parametrize(
    ("area", "file"),
    [
        ("debian", "pool/non-free-firmware/f/f_1_amd64.deb"),
        ("security", "pool/updates/main/o/o_1_amd64.deb"),
        ("security", "pool/updates/contrib/c/c_1_amd64.deb"),
    ],
)
def test_every_component_and_the_security_pool_are_found(
    mirror: dict[str, bytes], area: str, file: str
) -> None:
    component = file.removeprefix("pool/").removeprefix("updates/").partition("/")[0]
    listed = lzma.compress(f"Filename: {file}\nSHA256: {sha(DEB)}\n".encode())
    name = f"{component}/binary-amd64/Packages.xz"
    mirror[f"http://m/{area}/dists/x/{name}"] = listed
    release = f"SHA256:\n {sha(listed)} 9 {name}\n".encode()
    state = IndexState(releases={f"{area}/dists/x/InRelease": release})

    found = Store(state, "amd64", {"debian": "http://m/debian", "security": "http://m/security"})

    assert found.holds(f"{area}/{file}") == sha(DEB)


@pytest.mark.parametrize(
    ("path", "digest"),
    [
        (LIST_PATH, sha(LIST)),
        (f"debian/dists/x/main/binary-amd64/by-hash/SHA256/{sha(LIST)}", sha(LIST)),
        (f"debian/dists/x/main/binary-amd64/by-hash/SHA256/{'0' * 64}", None),
        (DEB_PATH, sha(DEB)),
        ("debian/pool/main/b/b_1_amd64.deb", None),
        ("debian/dists/x/main/Contents-amd64.gz", None),
    ],
)
def test_a_path_has_the_hash_of_the_index(
    store: Store, mirror: dict[str, bytes], path: str, digest: str | None
) -> None:
    assert store.holds(path) == digest


def test_a_file_is_fetched_once(store: Store, mirror: dict[str, bytes]) -> None:
    first = store.get(DEB_PATH, sha(DEB))
    mirror.pop(f"http://m/{DEB_PATH}")

    assert store.get(DEB_PATH, sha(DEB)) == first
    assert first.read_bytes() == DEB
    assert mirror["asked"] == b"x"


def test_other_content_is_not_kept(store: Store, mirror: dict[str, bytes]) -> None:
    mirror[f"http://m/{DEB_PATH}"] = b"something else"

    with pytest.raises(OtherContent):
        store.get(DEB_PATH, sha(DEB))
    mirror[f"http://m/{DEB_PATH}"] = DEB
    assert store.get(DEB_PATH, sha(DEB)).read_bytes() == DEB


def test_indexes_are_kept_by_their_hashes(tmp_path: Path) -> None:
    index = {RELEASE: {"sha256": sha(STATE.releases[RELEASE]), "date": "today"}}

    assert kept(index) is None
    keep(STATE)
    assert kept(index) == IndexState(releases=STATE.releases, pinned=True)
    (paths.cache_root() / "debian" / sha(STATE.releases[RELEASE]) / "content").write_bytes(b"other")
    assert kept(index) is None


@pytest.fixture
def get(mirror: dict[str, bytes]) -> Iterator[Callable[[str], bytes]]:
    """Request a file from the mirrors on loopback."""
    import urllib.request

    mirrors = Mirrors(debian="http://m/debian", security="http://m/security")
    with proxy.serve(mirrors, STATE, "amd64") as address:

        def ask(path: str) -> bytes:
            with urllib.request.urlopen(f"{address}/{path}", timeout=10) as answer:  # noqa: S310
                return bytes(answer.read())

        yield ask


def test_without_the_mirror_a_build_gets_the_files_of_an_earlier_one(
    get: Callable[[str], bytes], mirror: dict[str, bytes]
) -> None:
    assert (get(LIST_PATH), get(DEB_PATH)) == (LIST, DEB)
    mirror.clear()

    assert (get(RELEASE), get(LIST_PATH), get(DEB_PATH)) == (STATE.releases[RELEASE], LIST, DEB)


def test_a_file_that_the_mirror_changed_reaches_apt_unchanged(
    get: Callable[[str], bytes], mirror: dict[str, bytes]
) -> None:
    """apt refuses it, by the hash in the signed index."""
    mirror[f"http://m/{DEB_PATH}"] = b"changed"

    assert get(DEB_PATH) == b"changed"
