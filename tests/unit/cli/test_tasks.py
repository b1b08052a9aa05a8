# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.cli import tasks
from goldsmith.core import paths
from tests.support import installed

OF_DEVELOPERS = {"bench", "lint", "soak", "test"}


def test_tasks_that_run_tests_are_offered_in_a_checkout_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = set(tasks.namespace.tasks)
    installed.pretend(tmp_path, monkeypatch)

    assert set(tasks.offered().tasks) == everything - OF_DEVELOPERS
    assert everything > OF_DEVELOPERS


def test_help_texts_name_commands_and_pages_as_they_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed.pretend(tmp_path, monkeypatch)
    found = tasks.offered().tasks

    assert "goldsmith cloud-env" in (found["cloud-env"].__doc__ or "")
    assert found["stack-procedure"].help["procedure"].endswith(f"{paths.shipped()}/docs/heat.md")
    assert "scripts/inv cloud-env" in (tasks.namespace.tasks["cloud-env"].__doc__ or "")
