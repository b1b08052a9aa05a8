# SPDX-License-Identifier: Apache-2.0
"""Every failure we expect. One exit code per class, one base class to catch."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence
from pathlib import Path


class GoldsmithError(Exception):
    """An expected failure: shown as one message and a hint, never as a traceback."""

    exit_code = 1
    retryable: bool | None = None  # the same call may succeed later, with nothing changed; None: not known

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        problems: Iterable[object] = (),
        failed: Iterable[str] = (),
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.problems = tuple(problems)  # spec.problem.Problem of each line that the message lists
        self.failed = tuple(failed)  # tests that failed, PHASE: TEST: MESSAGE
        self.build: Path | None = None  # folder of the build that failed
        if retryable is not None:
            self.retryable = retryable

    def forget(self, folder: Path) -> None:
        """Drop a hint that names a file of a folder that is about to be removed."""
        if self.hint is not None and str(folder) in self.hint:
            self.hint = None


class SpecError(GoldsmithError):
    """The user's spec is wrong; the message lists every problem, one a line."""

    exit_code = 2
    retryable = False


class HostError(GoldsmithError):
    """This host cannot do it as it is; the hint says what to install or change."""

    exit_code = 3


class BuildError(GoldsmithError):
    """A stage before the boot failed."""

    exit_code = 4


class CommandError(BuildError):
    """A program that we started failed; carries its last lines of output."""

    def __init__(self, shown: str, returncode: int, tail: Sequence[str], log: Path | None = None) -> None:
        body = "".join(f"\n  | {line}" for line in tail)
        super().__init__(
            f"{shown} {_ending(returncode)}{body}", hint=None if log is None else f"full log: {log}"
        )
        self.shown = shown
        self.returncode = returncode
        self.tail = tuple(tail)


class CommandTimeout(CommandError):
    """A program that we started did not end within its deadline."""


def _ending(returncode: int) -> str:
    """'exited with 1', 'was ended by SIGKILL'."""
    if returncode >= 0:
        return f"exited with {returncode}"
    names = {each.value: each.name for each in signal.Signals}
    return f"was ended by {names.get(-returncode, f'signal {-returncode}')}"


class BootError(GoldsmithError):
    """The VM never booted, or was lost; the message ends with the last console lines."""

    exit_code = 5


class EmulatorError(BootError):
    """The VM was lost to a known fault of the emulator: this says nothing about the image."""

    retryable = True


class CloudError(GoldsmithError):
    """A cloud, or its Heat, did not do what it was asked for."""

    exit_code = 8


class VerificationError(GoldsmithError):
    """The image booted and is not what it must be, or no test ran."""

    exit_code = 6
    retryable = False


class PublishError(GoldsmithError):
    """A cloud's Glance did not take a release, or does not hold what it should."""

    exit_code = 7


class ProvenanceError(GoldsmithError):
    """Something is not pinned, not signed, or not what was signed."""

    exit_code = 9
    retryable = False
