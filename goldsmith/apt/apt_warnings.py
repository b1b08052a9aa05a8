# SPDX-License-Identifier: Apache-2.0
"""Warnings of apt that are errors here: apt goes on with an index that it doubts, or with an old one or none.

The texts are those of apt 2.6 to 3.0: apt-pkg/acquire-item.cc, deb/debmetaindex.cc, update.cc and
methods/gpgv.cc; translated ones are not known. Not among them: files that apt reads without its sandbox (as
the sandbox's user cannot enter the build's folder), a source that is listed twice, an old way to keep keys,
and a signature that a later release of apt will refuse.
"""

from __future__ import annotations

import re

from goldsmith.errors import BuildError

_WARNING = re.compile(r"(?:^|\| )(?:W|Warning): (\S.*)")
# what to do, and what apt does meanwhile
_SIGNATURE = (
    "name the key that signs the source today (signed-by): apt used an index whose signature does not count,"
    " or an earlier one in its place"
)
_SUITE = "correct the source's suite, or use another mirror: apt used an index of another suite or time"
_MISSING = (
    "check the source's address, suite and components, and the network: apt left its packages out, or took"
    " those of an earlier index"
)
DOUBTS: tuple[tuple[str, str], ...] = (
    (r"An error occurred during the signature verification", _SIGNATURE),
    (r"GPG error: ", _SIGNATURE),
    (r"OpenPGP signature verification failed", _SIGNATURE),
    (r"\S+: Signature by key \S+ uses weak (?:digest )?algorithm", _SIGNATURE),
    (r"There is no public key available for the following key ID", _SIGNATURE),
    (r"The repository '.*' (?:is not signed|is no longer signed|provides only weak security)", _SIGNATURE),
    (r"Clearsigned file isn't valid", _SIGNATURE),
    (r"(?:No Hash entry|Invalid '\S+' entry) in Release file", _SIGNATURE),
    (r"Conflicting distribution: ", _SUITE),
    (r"Repository '.*' changed its '(?:Suite|Codename|Version)' value", _SUITE),
    (r"Release file for \S+ (?:is expired|is not valid yet|is not yet valid)", _SUITE),
    (r"The repository '.*' (?:does not have|no longer has) a Release file", _MISSING),
    (r"Skipping acquire of configured file ", _MISSING),
    (r"Failed to fetch ", _MISSING),
    (r"Some index files failed to download", _MISSING),
)
_ALL = tuple((re.compile(pattern), why) for pattern, why in DOUBTS)


class Watch:
    """Reads the output of programs that call apt; keeps the first warning that is an error here."""

    def __init__(self) -> None:
        self._said: tuple[str, str] | None = None

    def line(self, text: str) -> None:
        """Look at a line of output, with or without a date before it."""
        if self._said is not None or (found := _WARNING.search(text)) is None:
            return
        why = next((why for pattern, why in _ALL if pattern.match(found[1])), None)
        if why is not None:
            self._said = found[1], why

    def require_none(self, what: str) -> None:
        """Raise BuildError if there was one. what: that was made, for the message."""
        if self._said is not None:
            warning, why = self._said
            raise BuildError(
                f"apt warned while {what} was made, though it ended well: {warning}",
                hint=why,
                retryable=True if why is _MISSING else None,
            )
