# SPDX-License-Identifier: Apache-2.0
"""Find the Debian mirrors: named by the spec or the environment, else those of the host's apt."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from debian.deb822 import Deb822

from goldsmith.errors import HostError

DEBIAN_VARIABLE = "GOLDSMITH_DEBIAN_MIRROR"
SECURITY_VARIABLE = "GOLDSMITH_DEBIAN_SECURITY_MIRROR"

_NOWHERE = "http://mirror.invalid"  # never resolves (RFC 2606)
# Ubuntu names its security suites in the same way: only the code name identifies Debian's.
_DEBIAN_NAMES = frozenset(
    (
        "bullseye", "bookworm", "trixie", "forky", "duke", "sid",
        "oldoldstable", "oldstable", "stable", "testing", "unstable",
    )
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Mirrors:
    """Base addresses without a slash at the end; each has dists/SUITE/InRelease."""

    debian: str
    security: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    uris: tuple[str, ...]
    suites: tuple[str, ...]


def find(preferred: str | None = None, *, apt: Path = Path("/etc/apt"), needed: bool = True) -> Mirrors:
    """The mirrors to use: preferred (the spec's), the environment, the host's apt, in this order.

    Raises HostError if one of the two is unknown; unless it is needed, its address then has no answer.
    """
    debian = preferred or os.environ.get(DEBIAN_VARIABLE)
    security = os.environ.get(SECURITY_VARIABLE)
    entries = [] if debian and security else list(_entries(apt))
    debian = debian or _first(entries, apt, security=False)
    security = security or _first(entries, apt, security=True)
    if not needed:
        debian, security = debian or _NOWHERE, security or _NOWHERE
    if not debian:
        raise _unknown("Debian mirror", DEBIAN_VARIABLE, apt)
    if not security:
        raise _unknown("mirror of Debian's security updates", SECURITY_VARIABLE, apt)
    return Mirrors(debian=debian.rstrip("/"), security=security.rstrip("/"))


def _unknown(what: str, variable: str, apt: Path) -> HostError:
    return HostError(f"no {what} is known: {apt} names none", hint=f"set {variable} to its address")


def _first(entries: list[_Entry], apt: Path, *, security: bool) -> str | None:
    suites = {f"{name}{end}" for name in _DEBIAN_NAMES for end in ("-security", "/updates")}
    if not security:
        suites = set(_DEBIAN_NAMES)
    uris = [
        uri
        for entry in entries
        if suites.intersection(entry.suites)
        for raw in entry.uris
        if (uri := _plain(raw, apt)) is not None
    ]
    # Other vendors use Debian's suite names too, but hardly a folder called debian.
    uris.sort(key=lambda uri: not uri.rstrip("/").endswith(("/debian", "/debian-security")))
    return uris[0] if uris else None


def _plain(uri: str, apt: Path) -> str | None:
    """uri itself, or the first one that a mirror+file: list (apt-transport-mirror(1)) holds."""
    if uri.startswith("mirror+file:"):
        path = Path("/" + uri.removeprefix("mirror+file:").lstrip("/"))
        if path.is_relative_to("/etc/apt"):
            path = apt / path.relative_to("/etc/apt")
        lines = path.read_text().splitlines() if path.is_file() else []
        listed = (line.split()[0] for line in lines if line.strip() and not line.startswith("#"))
        return next((line for line in listed if line.startswith(("http://", "https://"))), None)
    return uri if uri.startswith(("http://", "https://")) else None


def _entries(apt: Path) -> Iterator[_Entry]:
    """Enabled binary entries with Debian's main component (sources.list(5))."""
    parts = apt / "sources.list.d"
    for path in [apt / "sources.list", *sorted(parts.glob("*.list"))]:
        if path.is_file():
            yield from _one_line(path.read_text(errors="replace"))
    for path in sorted(parts.glob("*.sources")):
        yield from _deb822(path.read_text(errors="replace"))


def _one_line(text: str) -> Iterator[_Entry]:
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "deb":
            continue
        if len(words) > 1 and words[1].startswith("["):
            end = next((i for i, word in enumerate(words) if word.endswith("]")), len(words))
            words = [words[0], *words[end + 1 :]]
        if "main" in words[3:]:
            yield _Entry(uris=(words[1],), suites=(words[2],))


def _deb822(text: str) -> Iterator[_Entry]:
    for stanza in Deb822.iter_paragraphs(text, use_apt_pkg=False):
        fields = {name: stanza.get(name, "").split() for name in ("Types", "Components", "URIs", "Suites")}
        enabled = stanza.get("Enabled", "yes").lower() not in ("no", "false", "off", "0")
        if enabled and "deb" in fields["Types"] and "main" in fields["Components"]:
            yield _Entry(uris=tuple(fields["URIs"]), suites=tuple(fields["Suites"]))
