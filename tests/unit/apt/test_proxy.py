# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from goldsmith.apt import proxy
from goldsmith.apt.indexes import IndexState
from goldsmith.apt.mirror import Mirrors

PINNED = {"debian/dists/x/InRelease": b"the one that was checked"}


@pytest.fixture
def address() -> Iterator[str]:
    """The proxy, in front of another one that plays the mirror."""
    files = {"debian/pool/a.deb": b"a" * 3_000_000, "security/dists/x-security/InRelease": b"s"}
    nowhere = Mirrors(debian="http://127.0.0.1:9", security="http://127.0.0.1:9")
    with proxy.serve(nowhere, IndexState(releases=files), "amd64") as upstream:
        mirrors = Mirrors(debian=f"{upstream}/debian", security=f"{upstream}/security")
        with proxy.serve(mirrors, IndexState(releases=PINNED), "amd64") as front:
            yield front


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - on loopback
        return bytes(answer.read())


def status(url: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as e:
        get(url)
    e.value.close()
    return e.value.code


def test_requests_for_both_mirrors_are_forwarded(address: str) -> None:
    assert get(f"{address}/debian/pool/a.deb") == b"a" * 3_000_000
    assert get(f"{address}/security/dists/x-security/InRelease") == b"s"


def test_a_checked_index_is_served_from_memory(address: str) -> None:
    assert get(f"{address}/debian/dists/x/InRelease") == b"the one that was checked"


def test_the_unchecked_form_of_a_checked_index_is_not_served(address: str) -> None:
    assert status(f"{address}/debian/dists/x/Release") == 404


def test_a_missing_file_is_404_and_an_unreachable_mirror_is_502(address: str) -> None:
    assert status(f"{address}/elsewhere/a") == 404
    assert status(f"{address}/debian/../a") == 404
    assert status(f"{address}/debian/pool/b.deb") == 502
