# SPDX-License-Identifier: Apache-2.0
"""A GnuPG home with one key, in a short path: its agent's sockets have paths of at most 107 bytes."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from goldsmith.core import proc


class Gpg:
    """home: an empty folder of mode 0700; user: of the signing key that is made in it."""

    def __init__(self, home: Path, user: str) -> None:
        self.home = home
        self("--quick-gen-key", user, "ed25519", "sign", "0")

    def __call__(self, *words: str | Path) -> str:
        """Run gpg with these words; what it prints."""
        return proc.capture(["gpg", "--homedir", self.home, "--batch", "--quiet", "--passphrase", "", *words])


@contextlib.contextmanager
def gpg_home(user: str) -> Iterator[Gpg]:
    """Make one, and remove it with its agent in the end."""
    home = Path(tempfile.mkdtemp(prefix="gpg-", dir="/tmp"))
    try:
        yield Gpg(home, user)
    finally:
        proc.capture(["gpgconf", "--homedir", home, "--kill", "gpg-agent"])
        shutil.rmtree(home)
