# SPDX-License-Identifier: Apache-2.0
"""Cache Debian's lists and packages by the hashes in its signed indexes.

Whatever a build has fetched is there for the next one, even if the mirror has dropped it or is not
reachable. Formats: https://wiki.debian.org/DebianRepository/Format.
"""

from __future__ import annotations

import functools
import hashlib
import lzma
import re
import shutil
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path

from goldsmith.apt import indexes
from goldsmith.apt.indexes import IndexState
from goldsmith.core import cache, paths

_LISTED = re.compile(r"^ ([0-9a-f]{64}) +\d+ (\S+)$", re.MULTILINE)
_BY_HASH = re.compile(r"(.*)/by-hash/SHA256/([0-9a-f]{64})")
_PACKAGE = re.compile(r"^Filename: (\S+)$(?s:.*?)^SHA256: ([0-9a-f]{64})$", re.MULTILINE)
_FILE = "content"


class OtherContent(Exception):
    """A mirror serves other content than the index lists."""


class Store:
    """The files of an index; urls: addresses of the mirrors by area (debian, security)."""

    def __init__(self, state: IndexState, arch: str, urls: Mapping[str, str]) -> None:
        self._arch, self._urls = arch, urls
        self._offered: dict[str, dict[str, str]] = {}
        self._lists: dict[str, str] = {
            f"{path.removesuffix('InRelease')}{name}": digest
            for path, text in state.releases.items()
            for name, digest in listed(text.decode()).items()
        }

    def holds(self, path: str) -> str | None:
        """The hex sha256 of a path in the index; None if the index does not list it."""
        by_hash = _BY_HASH.fullmatch(path)
        if by_hash is not None:
            return by_hash[2] if by_hash[2] in self._digests else None
        if path in self._lists:
            return self._lists[path]
        _, is_package, rest = path.partition("/pool/")
        if not is_package:
            return None
        component, _, further = rest.partition("/")
        if component == "updates":  # security's pool has one more folder
            component = further.partition("/")[0]
        return self._packages(component).get(path)

    def get(self, path: str, sha256: str) -> Path:
        """The file at path, from the cache or fetched. Raises OtherContent, or OSError without a response."""
        area, _, rest = path.partition("/")

        def fetch(folder: Path) -> None:
            with (
                indexes.open_url(f"{self._urls[area]}/{urllib.parse.quote(rest, safe='/~')}") as answer,
                (folder / _FILE).open("wb") as out,
            ):
                shutil.copyfileobj(answer, out, 1 << 18)
            with (folder / _FILE).open("rb") as source:
                found = hashlib.file_digest(source, "sha256").hexdigest()
            if found != sha256:
                raise OtherContent(f"{path} has sha256 {found}, not {sha256}")

        return cache.cached("debian", sha256, fetch) / _FILE

    def lists(self, component: str) -> Iterator[tuple[str, str]]:
        """Area and text of each list of packages of a component. Raises OSError without a response."""
        ending = f"/{component}/binary-{self._arch}/Packages.xz"
        for path, sha256 in self._lists.items():
            if path.endswith(ending):
                yield path.partition("/")[0], lzma.decompress(self.get(path, sha256).read_bytes()).decode()

    @functools.cached_property
    def _digests(self) -> frozenset[str]:
        return frozenset(self._lists.values())

    def _packages(self, component: str) -> dict[str, str]:
        """The hex sha256 of each .deb, by path, in the lists of a component (main ...)."""
        if component not in self._offered:
            found: dict[str, str] = {}
            for area, text in self.lists(component):
                found.update({f"{area}/{file}": digest for file, digest in _PACKAGE.findall(text)})
            self._offered[component] = found
        return self._offered[component]


def listed(index: str) -> dict[str, str]:
    """The files that a signed index lists: path beside the index -> hex sha256."""
    return {name: digest for digest, name in _LISTED.findall(index)}


def keep(state: IndexState) -> None:
    """Keep the signed indexes themselves, for a later build that is locked to them."""
    for text in state.releases.values():
        data = text
        cache.cached(
            "debian", hashlib.sha256(data).hexdigest(),
            lambda folder, data=data: (folder / _FILE).write_bytes(data),  # type: ignore[misc]
        )  # fmt: skip


def kept(index: Mapping[str, Mapping[str, str]]) -> IndexState | None:
    """The state whose indexes have these hashes (path -> sha256, date); None if one is missing."""
    found = {}
    for path, about in index.items():
        entry = paths.cache_root() / "debian" / about["sha256"]
        if not cache.is_intact(entry):
            return None
        found[path] = (entry / _FILE).read_bytes()
    return IndexState(releases=found, pinned=True)
