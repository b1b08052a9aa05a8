# SPDX-License-Identifier: Apache-2.0
"""Sections that the logs of CI systems fold: GitHub's groups and GitLab's sections."""

from __future__ import annotations

import itertools
import os
import re
import time

_NUMBERS = itertools.count(1)
_CLEAR = "\x1b[0K"  # GitLab's mark of a line that is no text


def are_wanted() -> bool:
    """Whether the output is such a log."""
    return "true" in (os.environ.get("GITHUB_ACTIONS"), os.environ.get("GITLAB_CI"))


def name_of(title: str) -> str:
    """A name for the section of a step, which no other one has."""
    return f"{re.sub(r'[^A-Za-z0-9]+', '_', title)}_{next(_NUMBERS)}"


def begin(name: str, title: str) -> str:
    """The line that opens a section."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        return f"::group::{title}\n"
    return f"{_CLEAR}section_start:{time.time():.0f}:{name}[collapsed=true]\r{_CLEAR}{title}\n"


def end(name: str) -> str:
    """The line that closes it."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        return "::endgroup::\n"
    return f"{_CLEAR}section_end:{time.time():.0f}:{name}\r{_CLEAR}\n"
