# SPDX-License-Identifier: Apache-2.0
"""Text that programs write for a terminal, as plain text."""

from __future__ import annotations

import re

# CSI and charset sequences (ECMA-48), titles (OSC, xterm), and control characters other than tab and newline
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][A-Za-z0-9]|[\x00-\x08\x0b-\x1f\x7f]"
)


def plain(text: str) -> str:
    """text without escape sequences, such as colours, and without control characters."""
    return _ESCAPES.sub("", text)
