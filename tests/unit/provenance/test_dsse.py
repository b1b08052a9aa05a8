# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from goldsmith.core import progress
from goldsmith.provenance import dsse


def test_a_passphrase_is_asked_for_where_no_rows_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(dsse.PHRASE_VARIABLE, raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    covers = []

    def ask(question: str) -> str:
        covers.append((question, progress._STATE.covers))
        return "secret"

    given = dsse._passphrase(Path("release.key"), ask)

    assert given == b"secret"
    assert covers == [("Passphrase of release.key: ", 1)]
    assert progress._STATE.covers == 0
