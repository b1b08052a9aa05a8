# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading

import pytest

from goldsmith.errors import VerificationError
from tests.support import background


def test_an_error_beside_a_block_is_raised_at_its_end() -> None:
    def work(over: threading.Event) -> None:
        assert over.wait(30), "the block has ended"
        raise VerificationError("seen beside it")

    with pytest.raises(VerificationError, match="seen beside it"), background.beside(work):
        pass
