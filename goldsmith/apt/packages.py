# SPDX-License-Identifier: Apache-2.0
"""Read the packages that Debian's signed indexes list, and compare their versions."""

from __future__ import annotations

import hashlib
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass

from debian.debian_support import NativeVersion

from goldsmith.apt import indexes
from goldsmith.apt.indexes import IndexState
from goldsmith.apt.mirror import Mirrors
from goldsmith.core import progress
from goldsmith.errors import BuildError, HostError

_FILE = "main/binary-{arch}/Packages.xz"


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A version of a package on a mirror; sha256: of the .deb."""

    version: str
    sha256: str


def offers(state: IndexState, arch: str, mirrors: Mirrors) -> dict[tuple[str, str], list[Offer]]:
    """(name, architecture) -> offers of the indexes; every list is checked against its signed index.

    Raises BuildError if a list is not the signed one, HostError if it cannot be fetched.
    """
    found: dict[tuple[str, str], list[Offer]] = {}
    for path, release in state.releases.items():
        for key, offer in _listed(path, release, arch, mirrors):
            found.setdefault(key, []).append(offer)
    return found


def newest(found: list[Offer]) -> Offer:
    """The offer with the highest version, the first of several with the same."""
    best = found[0]
    for offer in found[1:]:
        if is_newer(offer.version, best.version):
            best = offer
    return best


def is_newer(version: str, than: str) -> bool:
    """Compare in Debian's order of versions (deb-version(7)). Raises BuildError for an invalid version."""
    try:
        return bool(NativeVersion(version) > NativeVersion(than))
    except ValueError as e:
        raise BuildError(
            f"cannot compare the versions {version!r} and {than!r}: {e}", hint="use another mirror"
        ) from e


def _listed(
    path: str, release: bytes, arch: str, mirrors: Mirrors
) -> Iterator[tuple[tuple[str, str], Offer]]:
    name = _FILE.format(arch=arch)
    signed = re.search(rf"^ ([0-9a-f]{{64}}) +\d+ {re.escape(name)}$", release.decode(), re.MULTILINE)
    if signed is None:
        raise BuildError(f"{path} lists no {name}", hint="use an architecture that this suite has")
    area, _, rest = path.removesuffix("InRelease").partition("/")
    base = mirrors.security if area == "security" else mirrors.debian
    try:
        with progress.step(f"read {rest}{name}"), indexes.open_url(f"{base}/{rest}{name}") as answer:
            data = answer.read()
    except OSError as e:
        message = f"cannot fetch {rest}{name}: {e}"
        raise HostError(message, hint="check the network and the mirror", retryable=True) from e
    if hashlib.sha256(data).hexdigest() != signed[1]:
        raise BuildError(f"{rest}{name} does not match the signed index {path}", hint="use another mirror")
    for paragraph in lzma.decompress(data).decode().split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Architecture|SHA256): (.+)$", paragraph, re.MULTILINE))
        if "Package" in fields:
            key = (fields["Package"], fields["Architecture"])
            yield key, Offer(version=fields["Version"], sha256=fields["SHA256"])
