# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from invoke.exceptions import Exit

from goldsmith.cli import host_packages
from goldsmith.core import paths


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ([], []),
        (["--yes", "build-image", "a b"], ["build-image", "a b"]),
        (["build-image", "--yes"], ["build-image", "--yes"]),
    ],
)
def test_the_scripts_get_all_words_and_the_task_those_after_a_first_yes(
    fake: Callable[..., Path], words: list[str], left: list[str]
) -> None:
    calls = fake("bash")

    assert host_packages.provide(words) == left
    assert calls.read_text() == " ".join([str(paths.shipped("scripts/host-packages")), *words]) + "\n"


def test_the_task_does_not_start_where_packages_are_missing(fake: Callable[..., Path]) -> None:
    fake("bash", "exit 3")

    with pytest.raises(Exit) as caught:
        host_packages.provide(["build-image"])

    assert caught.value.code == 3
