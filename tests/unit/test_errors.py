# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith import errors
from goldsmith.errors import GoldsmithError

# Docs and callers rely on them. A new class needs a line here.
EXIT_CODES = {
    "GoldsmithError": 1, "SpecError": 2, "HostError": 3, "BuildError": 4, "CommandError": 4,
    "CommandTimeout": 4, "BootError": 5, "EmulatorError": 5, "VerificationError": 6, "PublishError": 7,
    "CloudError": 8, "ProvenanceError": 9,
}  # fmt: skip


def test_every_kind_of_failure_has_its_exit_code() -> None:
    found = {
        name: cls.exit_code
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, GoldsmithError)
    }

    assert found == EXIT_CODES


def test_an_error_is_its_message_and_carries_a_hint() -> None:
    error = errors.HostError("no loop device", hint="run: modprobe loop")

    assert str(error) == "no loop device"
    assert error.hint == "run: modprobe loop"


def test_a_failed_command_shows_its_last_lines_and_its_log() -> None:
    error = errors.CommandError("mkfs x", 2, ["one", "two"], Path("/logs/build.log"))

    assert str(error) == "mkfs x exited with 2\n  | one\n  | two"
    assert error.hint == "full log: /logs/build.log"
    assert (error.shown, error.returncode, error.tail) == ("mkfs x", 2, ("one", "two"))


def test_a_killed_command_has_another_message_than_a_failed_one() -> None:
    assert str(errors.CommandError("mkfs x", -9, ())) == "mkfs x was ended by SIGKILL"
    assert str(errors.CommandError("mkfs x", -40, ())) == "mkfs x was ended by signal 40"


def test_a_failed_command_without_a_log_has_no_hint() -> None:
    assert errors.CommandError("mkfs x", 1, ()).hint is None


def test_a_failed_command_is_a_build_error() -> None:
    with pytest.raises(errors.BuildError):
        raise errors.CommandTimeout("mkfs x", -15, ())
