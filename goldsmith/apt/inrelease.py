# SPDX-License-Identifier: Apache-2.0
"""Fields of an InRelease file; path: the file below a build's mirror, for messages.

Format: https://wiki.debian.org/DebianRepository/Format
"""

from __future__ import annotations

import email.utils
import re

from goldsmith.errors import BuildError


def packages_hash(text: bytes, arch: str, path: str) -> str:
    """Hex sha256 of the list of main's packages for an architecture. Raises BuildError."""
    pattern = rf"^ ([0-9a-f]{{64}}) +\d+ main/binary-{re.escape(arch)}/Packages$"
    found = re.search(pattern, text.decode(), re.MULTILINE)
    if found is None:
        raise BuildError(
            f"{path} lists no packages for {arch}", hint="use an architecture that this suite has"
        )
    return found[1]


def date(text: bytes, path: str) -> int:
    """When the index was made, in seconds since 1970. Raises BuildError."""
    found = time_of(text, "Date", path)
    if found is None:
        raise BuildError(f"{path} has no date", hint="use another mirror")
    return found


def time_of(text: bytes, name: str, path: str) -> int | None:
    """A date of an index, in seconds since 1970; None if it does not have the field."""
    found = field(text, name)
    if found is None:
        return None
    try:
        return int(email.utils.parsedate_to_datetime(found).timestamp())
    except ValueError as e:
        raise BuildError(f"{path} has no valid {name}: {found}", hint="use another mirror") from e


def field(text: bytes, name: str) -> str | None:
    """A field of one line; None if the index does not have it."""
    found = re.search(rf"^{name}: *(.+?)\s*$", text.decode(), re.MULTILINE)
    return None if found is None else found[1]
