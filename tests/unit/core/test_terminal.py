# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from goldsmith.core import terminal


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[31mred\x1b[0m and \x1b[38;5;208morange\x1b[m", "red and orange"),
        ("\x1b]0;a title\x07text\x1b]8;;https://x.test\x1b\\link", "textlink"),
        ("\x1b(Bplain\x1b[2K\x1b[1A\r", "plain"),
        ("tab\tand\nnewline, ümlaut, [31m", "tab\tand\nnewline, ümlaut, [31m"),
    ],
)
def test_escape_sequences_are_removed_and_text_is_kept(written: str, shown: str) -> None:
    assert terminal.plain(written) == shown
