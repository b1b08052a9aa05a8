# SPDX-License-Identifier: Apache-2.0
"""Debian's signed package indexes: fetch and verify them; their state is part of cache keys."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import http.client
import json
import re
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

from goldsmith.apt import gpgv
from goldsmith.apt.gpgv import NoValidSignature
from goldsmith.apt.mirror import Mirrors
from goldsmith.core import files, paths, progress
from goldsmith.errors import BuildError, HostError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TIMEOUT_S = 20
_RELEASE_MAX = 4 << 20
_MAIN = frozenset(("main", "updates/main"))  # the latter in security's indexes


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexState:
    """releases: verified InRelease files, by path below a build's mirror (debian/dists/trixie/InRelease).

    pinned: a lock named their hashes, so they may have expired.
    """

    releases: Mapping[str, bytes]
    pinned: bool = False

    def key(self, arch: str) -> str:
        """Changes if a package of main may have changed, not if an index was only signed again."""
        digest = hashlib.sha256()
        for path, text in sorted(self.releases.items()):
            digest.update(f"{path} {_packages_hash(text, arch, path)}\n".encode())
        return digest.hexdigest()

    @property
    def epoch(self) -> int:
        """The date of the newest index, in seconds since 1970: for SOURCE_DATE_EPOCH."""
        return max(_date(text, path) for path, text in self.releases.items())

    def released(self, suite: str) -> int:
        """The date of the suite itself, in seconds since 1970; new updates for it do not change it."""
        path = f"debian/dists/{suite}/InRelease"
        return _date(self.releases[path], path)


def current(suite: str, mirrors: Mirrors) -> IndexState:
    """The state that the mirrors serve, with all signatures checked; without a network the last known one.

    Raises BuildError if a signature is not valid or an index has expired, HostError if there is no state at
    all.
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
        return _last_known(suite, e)
    except OSError as e:
        return _last_known(suite, e)
    for (path, url), text in zip(urls.items(), texts, strict=True):
        _verify(text, url)
        _require_of_suite(text, path, url)
    state = IndexState(releases=dict(zip(urls, texts, strict=True)))
    _require_fresh(state, "use a mirror that is up to date, and check the clock of this host")
    _remember(suite, state)
    return state


def about(text: bytes, path: str) -> dict[str, str]:
    """Hash and date (RFC 5322) of a signed index; path: below a build's mirror."""
    date = email.utils.formatdate(_date(text, path), usegmt=True)
    return {"sha256": hashlib.sha256(text).hexdigest(), "date": date}


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


def _fetch(url: str) -> bytes:
    with open_url(url) as response:
        return response.read(_RELEASE_MAX)


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
    names = [found for field in ("Codename", "Suite") if (found := _field(text, field)) is not None]
    if suite not in names:
        said = names[0] if names else "no suite"
        raise BuildError(f"{_shown(url)} is the index of {said}, not of {suite}", hint="use another mirror")
    components = _field(text, "Components") or "none"
    if not _MAIN.intersection(components.split()):
        raise BuildError(f"{_shown(url)} has no component main, but: {components}", hint="use another mirror")


def _state_file(suite: str) -> Path:
    return paths.cache_root() / "index" / f"{suite}.json"


def _remember(suite: str, state: IndexState) -> None:
    path = _state_file(suite)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomically(
        path, json.dumps({name: text.decode() for name, text in state.releases.items()}).encode()
    )


def _last_known(suite: str, why: OSError) -> IndexState:
    try:
        kept = json.loads(_state_file(suite).read_text())
    except (OSError, ValueError):
        raise HostError(
            f"cannot fetch Debian's index, and no earlier one is known: {why}",
            hint="check the network, or name a mirror in GOLDSMITH_DEBIAN_MIRROR",
            retryable=True,
        ) from why
    releases = {name: text.encode() for name, text in kept.items()}
    for name, text in releases.items():
        _verify(text, f"file://cache/{name}")
        _require_of_suite(text, name, f"file://cache/{name}")
    state = IndexState(releases=releases)
    dated = email.utils.formatdate(state.epoch, usegmt=True)
    progress.note(f"cannot reach the mirrors ({why}): using Debian's index of {dated}")
    _require_fresh(state, "check the network; a build with --locked may use the index of its lock")
    return state


def _require_fresh(state: IndexState, hint: str) -> None:
    """An expired index may hide security updates (Valid-Until; Debian's suites have it, but for stable)."""
    for path, text in state.releases.items():
        until = _time(text, "Valid-Until", path)
        if until is not None and until < time.time():
            shown = email.utils.formatdate(until, usegmt=True)
            raise BuildError(f"Debian's index {path} expired on {shown}", hint=hint)


def _packages_hash(text: bytes, arch: str, path: str) -> str:
    pattern = rf"^ ([0-9a-f]{{64}}) +\d+ main/binary-{re.escape(arch)}/Packages$"
    found = re.search(pattern, text.decode(), re.MULTILINE)
    if found is None:
        raise BuildError(
            f"{path} lists no packages for {arch}", hint="use an architecture that this suite has"
        )
    return found[1]


def _date(text: bytes, path: str) -> int:
    found = _time(text, "Date", path)
    if found is None:
        raise BuildError(f"{path} has no date", hint="use another mirror")
    return found


def _time(text: bytes, field: str, path: str) -> int | None:
    """A date of an index, in seconds since 1970; None if it does not have the field."""
    found = _field(text, field)
    if found is None:
        return None
    try:
        return int(email.utils.parsedate_to_datetime(found).timestamp())
    except ValueError as e:
        raise BuildError(f"{path} has no valid {field}: {found}", hint="use another mirror") from e


def _field(text: bytes, field: str) -> str | None:
    """A field of one line; None if the index does not have it."""
    found = re.search(rf"^{field}: *(.+?)\s*$", text.decode(), re.MULTILINE)
    return None if found is None else found[1]
