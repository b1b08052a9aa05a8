# SPDX-License-Identifier: Apache-2.0
"""Ask git about the checkout that builds an image: its commit, and the repository it is of."""

from __future__ import annotations

import re
import urllib.parse
from pathlib import Path

from goldsmith.core import proc
from goldsmith.errors import CommandError, HostError

NO_COMMIT = "nogit"

_SCP = re.compile(r"(?:[^@/:]+@)?([\w.-]+):(?!//|:)/*(.+)")  # HOST:PATH (git-clone(1), GIT URLS)
_SCHEMES = frozenset({"https", "http", "ssh", "git"})  # of other hosts


def commit_of(checkout: Path) -> tuple[str, bool]:
    """The checkout's commit, and whether the files differ from it. Without git: NO_COMMIT and True."""
    try:
        commit = _git(checkout, "rev-parse", "HEAD")
        return commit, bool(_git(checkout, "status", "--porcelain"))
    except (CommandError, HostError):  # no repository, or no git
        return NO_COMMIT, True


def origin_of(checkout: Path) -> tuple[str, str]:
    """URL of the remote origin, and the branch, or else the commit, that is checked out; empty without.

    The URL has no login, no query and is none of a repository on this host: it goes into documents.
    """
    try:
        url = public_url(_git(checkout, "remote", "get-url", "origin"))
        head = _git(checkout, "rev-parse", "--symbolic-full-name", "HEAD")
        return (url, _git(checkout, "rev-parse", "HEAD") if head == "HEAD" else head) if url else ("", "")
    except (CommandError, HostError):
        return "", ""


def public_url(url: str) -> str:
    """A repository's URL without login and query; empty for a path, or another way to reach it."""
    short = _SCP.fullmatch(url)
    if short:
        return f"ssh://{short[1]}/{short[2]}"
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme in _SCHEMES and host else ""


def _git(checkout: Path, *words: str) -> str:
    return proc.capture(("git", "-c", "safe.directory=*", "-C", checkout, *words)).strip()
