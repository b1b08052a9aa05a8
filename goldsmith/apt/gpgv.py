# SPDX-License-Identifier: Apache-2.0
"""Check OpenPGP signatures by gpgv's status lines (doc/DETAILS of GnuPG).

Its exit code does not do: it is 0 for a key that was revoked or has expired and for SHA-1, and 2 where one
of several signatures is by a key that the keyring does not have.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from goldsmith.core import proc
from goldsmith.errors import CommandError

_STATUS = "[GNUPG:] "
_BAD = "the text is not what was signed"
_WEAK = {"1": "MD5", "2": "SHA-1", "3": "RIPEMD-160"}  # RFC 4880, 9.4
_HASH = 8  # of the words of a VALIDSIG
_WHY = {
    "EXPKEYSIG": "the key has expired", "REVKEYSIG": "the key was revoked",
    "EXPSIG": "the signature has expired", "ERRSIG": "no such key is in the keyring",
}  # fmt: skip


class NoValidSignature(Exception):
    """Its text says why, for each signature."""


def verify(signed: Path, keyring: Path, *, output: Path | None = None) -> None:
    """Require that a signed text has a valid signature by a key of the keyring, and none that is wrong.

    A key that was revoked or has expired, and a weak hash, do not count. output: gets the signed text.
    Raises NoValidSignature, and HostError without gpgv.
    """
    lines: list[str] = []
    where = () if output is None else ("--output", output)
    with contextlib.suppress(CommandError):  # the lines say more
        proc.follow(
            ["gpgv", "--quiet", "--status-fd", "1", "--keyring", keyring, *where, signed],
            on_part=lines.append, timeout_s=60,
        )  # fmt: skip
    reasons = list(_reasons(line.removeprefix(_STATUS).split() for line in lines if line.startswith(_STATUS)))
    if None not in reasons or _BAD in reasons:
        why = "; ".join(dict.fromkeys(filter(None, reasons)))
        raise NoValidSignature(why or "it has no signature")


def _reasons(lines: Iterable[Sequence[str]]) -> Iterator[str | None]:
    """For each signature why it does not count, or None."""
    good = False
    for line in filter(None, lines):
        keyword = line[0]
        if keyword == "NEWSIG":
            good = False
        elif keyword == "GOODSIG":
            good = True
        elif keyword == "BADSIG":
            yield _BAD
        elif keyword in _WHY:
            yield _WHY[keyword]
        elif keyword == "VALIDSIG" and good:
            weak = _WEAK.get(line[_HASH]) if len(line) > _HASH else "an unknown hash"
            yield f"it is made with {weak}" if weak else None
