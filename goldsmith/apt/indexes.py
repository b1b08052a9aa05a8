# SPDX-License-Identifier: Apache-2.0
"""Debian's signed package indexes: fetch and verify them; their state is part of cache keys."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import http.client
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from goldsmith.apt import gpgv, inrelease, last_seen
from goldsmith.apt.gpgv import NoValidSignature
from goldsmith.apt.mirror import Mirrors
from goldsmith.core import progress
from goldsmith.errors import BuildError, HostError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TIMEOUT_S = 20
_RELEASE_MAX = 4 << 20
_MAIN = frozenset(("main", "updates/main"))  # the latter in security's indexes


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexState:
    """releases: verified InRelease files, by path below a build's mirror (debian/dists/trixie/InRelease).

    pinned: a lock named their hashes, so they may have expired. doubts: a sentence for each that is not the
    newest that a mirror could give, which was asked to be accepted.
    """

    releases: Mapping[str, bytes]
    pinned: bool = False
    doubts: tuple[str, ...] = ()

    def key(self, arch: str) -> str:
        """Changes if a package of main may have changed, not if an index was only signed again."""
        digest = hashlib.sha256()
        for path, text in sorted(self.releases.items()):
            digest.update(f"{path} {inrelease.packages_hash(text, arch, path)}\n".encode())
        return digest.hexdigest()

    @property
    def epoch(self) -> int:
        """The date of the newest index, in seconds since 1970: for SOURCE_DATE_EPOCH."""
        return max(inrelease.date(text, path) for path, text in self.releases.items())

    def released(self, suite: str) -> int:
        """The date of the suite itself, in seconds since 1970; new updates for it do not change it."""
        path = f"debian/dists/{suite}/InRelease"
        return inrelease.date(self.releases[path], path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """What an unlocked build takes besides a fresh index of a mirror that answers.

    older: an index that is older than the last one seen here. remembered: the last one seen, if no mirror
    answers.
    """

    older: bool = False
    remembered: bool = False


FRESH_ONLY = Accepted()


def current(
    suite: str, mirrors: Mirrors, accepted: Accepted = FRESH_ONLY, *, pinned: Mapping[str, str] | None = None
) -> IndexState:
    """The state that the mirrors serve, with all signatures checked.

    pinned: hex sha256 of the indexes that a lock names, by path; if they are these, their age does not count.
    Raises BuildError if a signature is not valid, if an index has expired or is older than one seen here
    before, and HostError if no mirror answers.
    """
    if not KEYRING.exists():
        raise HostError(f"{KEYRING} is missing", hint="run: sudo apt-get install debian-archive-keyring")
    urls = _urls(suite, mirrors)
    try:
        with ThreadPoolExecutor(len(urls)) as pool:
            texts = list(pool.map(_fetch, urls.values()))
    except urllib.error.HTTPError as e:
        if e.code < 500:
            raise HostError(f"{e.url} answers {e.code} {e.reason}", hint="check the mirror's address") from e
        return _remembered(suite, e, accepted)
    except (OSError, http.client.HTTPException) as e:
        return _remembered(suite, e, accepted)
    for (path, url), text in zip(urls.items(), texts, strict=True):
        _verify(text, url)
        _require_of_suite(text, path, url)
    releases = dict(zip(urls, texts, strict=True))
    if pinned and all(_sha256(text) == pinned.get(path) for path, text in releases.items()):
        return IndexState(releases=releases, pinned=True)
    _require_fresh(releases, "use a mirror that is up to date, and check the clock of this host")
    doubts = tuple(last_seen.older(suite, releases))
    if doubts and not accepted.older:
        raise BuildError(
            f"a mirror is behind: {doubts[0]}",
            hint="use a mirror that is up to date, or accept it: --allow-older-index (the manifest says so)",
            retryable=True,
        )
    last_seen.keep(suite, releases)
    return _noted(IndexState(releases=releases, doubts=doubts))


def about(text: bytes, path: str) -> dict[str, str]:
    """Hash and date (RFC 5322) of a signed index; path: below a build's mirror."""
    date = email.utils.formatdate(inrelease.date(text, path), usegmt=True)
    return {"sha256": _sha256(text), "date": date}


def paths_of(suite: str) -> tuple[str, ...]:
    """The paths of a suite's indexes below a build's mirror."""
    return (
        f"debian/dists/{suite}/InRelease",
        f"debian/dists/{suite}-updates/InRelease",
        f"security/dists/{suite}-security/InRelease",
    )


def open_url(url: str) -> http.client.HTTPResponse:
    """Open a URL; user and password in the address become a header. Raises OSError."""
    parts = urllib.parse.urlsplit(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = urllib.request.Request(bare, headers={"User-Agent": "goldsmith"})  # noqa: S310 - see mirror.py
    if parts.username:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        request.add_header("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
    return cast(http.client.HTTPResponse, urllib.request.urlopen(request, timeout=_TIMEOUT_S))  # noqa: S310


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _fetch(url: str) -> bytes:
    with open_url(url) as response:
        text = response.read(_RELEASE_MAX)
        if response.length and len(text) < _RELEASE_MAX:  # of Content-Length, this has not come
            raise http.client.IncompleteRead(text, response.length)
    return text


def _urls(suite: str, mirrors: Mirrors) -> dict[str, str]:
    bases = {"debian": mirrors.debian, "security": mirrors.security}
    areas = ((path, *path.partition("/")) for path in paths_of(suite))
    return {path: f"{bases[area]}/{rest}" for path, area, _, rest in areas}


def _shown(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.hostname}{parts.path}"


def _verify(text: bytes, url: str) -> None:
    """Check Debian's signature, because a mirror can serve anything."""
    name = _shown(url)
    with tempfile.TemporaryDirectory(prefix="goldsmith-index-") as folder:
        file, signed = Path(folder) / "InRelease", Path(folder) / "signed"
        file.write_bytes(text)
        try:
            gpgv.verify(file, KEYRING, output=signed)
        except NoValidSignature as e:
            raise BuildError(
                f"the signature of {name} is not valid: {e}",
                hint="use another mirror; on an old host: sudo apt-get install debian-archive-keyring",
            ) from e
        if not gpgv.is_framed(text, signed.read_bytes()):  # all of it is read, and served to apt
            raise BuildError(f"{name} has text outside of its signed part", hint="use another mirror")


def _require_of_suite(text: bytes, path: str, url: str) -> None:
    """A mirror may serve another suite's index, which is signed, too."""
    suite = path.split("/")[2]
    names = [found for field in ("Codename", "Suite") if (found := inrelease.field(text, field)) is not None]
    if suite not in names:
        said = names[0] if names else "no suite"
        raise BuildError(f"{_shown(url)} is the index of {said}, not of {suite}", hint="use another mirror")
    components = inrelease.field(text, "Components") or "none"
    if not _MAIN.intersection(components.split()):
        raise BuildError(f"{_shown(url)} has no component main, but: {components}", hint="use another mirror")


def _remembered(suite: str, why: Exception, accepted: Accepted) -> IndexState:
    """The last state seen here, checked as if it had come now, but for its age against itself."""
    releases = last_seen.read(suite)
    if releases.keys() != set(paths_of(suite)):
        raise HostError(
            f"cannot fetch Debian's index, and no earlier one is known: {why}",
            hint="check the network, or name a mirror in GOLDSMITH_DEBIAN_MIRROR",
            retryable=True,
        ) from why
    dated = email.utils.formatdate(IndexState(releases=releases).epoch, usegmt=True)
    if not accepted.remembered:
        raise HostError(
            f"cannot fetch Debian's index: {why}",
            hint="check the network, name a mirror in GOLDSMITH_DEBIAN_MIRROR, or build from the index of"
            f" {dated}: --remembered-index (the manifest says so)",
            retryable=True,
        ) from why
    for path, text in releases.items():
        _verify(text, f"file://cache/{path}")
        _require_of_suite(text, path, f"file://cache/{path}")
    _require_fresh(releases, "check the network; a build with --locked may use the index of its lock")
    doubt = f"no mirror answered; the index of {suite} is the last one seen, of {dated}"
    return _noted(IndexState(releases=releases, doubts=(doubt,)))


def _noted(state: IndexState) -> IndexState:
    for doubt in state.doubts:
        progress.note(f"accepted: {doubt}")
    return state


def _require_fresh(releases: Mapping[str, bytes], hint: str) -> None:
    """An expired index may hide security updates (Valid-Until; Debian's suites have it, but for stable)."""
    for path, text in releases.items():
        until = inrelease.time_of(text, "Valid-Until", path)
        if until is not None and until < time.time():
            shown = email.utils.formatdate(until, usegmt=True)
            raise BuildError(f"Debian's index {path} expired on {shown}", hint=hint)
