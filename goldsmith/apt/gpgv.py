# SPDX-License-Identifier: Apache-2.0
"""Check OpenPGP signatures by gpgv's status lines (doc/DETAILS of GnuPG).

Its exit code does not do: it is 0 for a key that was revoked or has expired and for SHA-1, and 2 where one
of several signatures is by a key that the keyring does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from goldsmith.core import proc
from goldsmith.errors import CommandError, CommandTimeout

_STATUS = "[GNUPG:] "
_BAD = "the text is not what was signed"
_WEAK = {"1": "MD5", "2": "SHA-1", "3": "RIPEMD-160"}  # RFC 4880, 9.4
_HASH = 8  # of the words of a VALIDSIG
_WHY = {
    "EXPKEYSIG": "the key has expired", "REVKEYSIG": "the key was revoked",
    "EXPSIG": "the signature has expired",
}  # fmt: skip
_REASON, _NO_KEY = 6, "9"  # of the words of an ERRSIG
# RFC 4880, 7: headers, an empty line, the text, a signature in base64, and nothing else.
_FRAME = re.compile(
    rb"-----BEGIN PGP SIGNED MESSAGE-----\n(?:Hash: [A-Z0-9, -]+\n)*\n(.*)\n-----BEGIN PGP SIGNATURE-----\n"
    rb"(?:(?:Version|Comment): [ -~]*\n)*\n[A-Za-z0-9+/=\n]+-----END PGP SIGNATURE-----\n*",
    re.DOTALL,
)


class NoValidSignature(Exception):
    """Its text says why, for each signature."""


def verify(signed: Path, keyring: Path, *, output: Path | None = None) -> None:
    """Require that a signed text has a valid signature by a key of the keyring, and none that is wrong.

    A key that was revoked or has expired, and a weak hash, do not count. output: gets the signed text.
    Raises NoValidSignature, CommandError if gpgv is ended from outside, and HostError without it.
    """
    lines: list[str] = []
    where = () if output is None else ("--output", output)
    try:
        proc.follow(
            ["gpgv", "--quiet", "--status-fd", "1", "--keyring", keyring, *where, signed],
            on_part=lines.append, timeout_s=60,
        )  # fmt: skip
    except CommandTimeout:
        raise
    except CommandError as e:
        if e.returncode < 0:
            raise  # else its lines say more
    reasons = list(_reasons(line.removeprefix(_STATUS).split() for line in lines if line.startswith(_STATUS)))
    if None not in reasons or _BAD in reasons:
        why = "; ".join(dict.fromkeys(filter(None, reasons)))
        raise NoValidSignature(why or "it has no signature")


def is_framed(text: bytes, signed: bytes) -> bool:
    """Whether a file is this signed text with its signature, and nothing else.

    gpgv passes over what stands around the text, and over lines that are no headers before it.
    """
    found = _FRAME.fullmatch(text)
    if found is None:
        return False
    lines = [line.removeprefix(b"- ").rstrip() for line in found[1].split(b"\n")]
    return lines == [line.rstrip() for line in signed.rstrip(b"\n").split(b"\n")]


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
        elif keyword == "ERRSIG":
            is_missing = line[_REASON : _REASON + 1] == [_NO_KEY]
            yield "no such key is in the keyring" if is_missing else "gpgv does not take its kind or its hash"
        elif keyword == "VALIDSIG" and good:
            weak = _WEAK.get(line[_HASH]) if len(line) > _HASH else "an unknown hash"
            yield f"it is made with {weak}" if weak else None
