# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.errors import VerificationError
from goldsmith.image.verdict import VerdictAnswer
from tests.support import samples


def test_a_verdict_that_passed_raises_nothing() -> None:
    samples.judged().require(Path("out"))


def test_a_failed_verdict_names_what_failed() -> None:
    verdict = samples.judged(result="failed", failed=["booted: test_x: no"], tests=3)

    assert not verdict.passed
    with pytest.raises(VerificationError, match="1 of 3 tests failed") as e:
        verdict.require(Path("out"))
    assert "booted: test_x: no" in str(e.value)
    assert e.value.hint == "see out/junit.xml"


def test_the_answer_has_the_keys_of_the_manifests_verdict() -> None:
    answer = VerdictAnswer.of(samples.judged()).as_dict()

    assert answer == {"schema": "goldsmith.verdict", "version": 1, **samples.verdict()}
