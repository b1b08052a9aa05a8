# SPDX-License-Identifier: Apache-2.0
"""testinfra's connection to the VM: one shell of root that stays, not a login and a sudo for each command.

Without KVM these take longer than most commands. What a command sees is the same: its own /bin/sh, an empty
standard input, the environment of sudo.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import secrets
import selectors
import shlex
from typing import IO

from testinfra.backend.base import CommandResult
from testinfra.backend.ssh import SshBackend

from goldsmith.core import proc

_CHUNK = 1 << 16  # bytes
_TAIL = 4000  # characters of standard error in a message


class Lost(RuntimeError):
    """The connection to the VM ended during a command; testinfra's own SSH raises RuntimeError, too."""


class ChannelBackend(SshBackend):  # type: ignore[misc] # testinfra has no types
    """Runs commands as SshBackend with sudo does, and gives hosts the same names."""

    def __init__(
        self, hostspec: str, *args: object, sudo: bool = False, sudo_user: str | None = None, **kwargs: object
    ) -> None:
        super().__init__(hostspec, *args, **kwargs)  # without sudo: the shell is the user's whom it asks for
        self._login = self.get_sudo_command("exec /bin/sh", sudo_user) if sudo else "exec /bin/sh"
        self._shell: _Shell | None = None
        self._encoding = "UTF-8"  # testinfra would start a Python in the guest to find that

    def run(self, command: str, *args: str, **_kwargs: object) -> CommandResult:
        """Run a command. Raises Lost."""
        text = self.get_command(command, *args)
        if self._shell is None:
            words, values = self._build_ssh_command(self._login)
            self._shell = _Shell(shlex.split(self.quote(" ".join(words), *values)))
        try:
            status, out, err = self._shell.run(text)
        except Lost:
            self._shell = None  # the next command logs in again
            raise
        return self.result(status, text.encode(), out, err)


class _Shell:
    """A shell that reads commands from its standard input."""

    def __init__(self, login: list[str]) -> None:
        self._process = proc.piped(login)
        self._secret = secrets.token_hex(8)
        self._numbers = itertools.count()
        atexit.register(self._close)

    def run(self, command: str) -> tuple[int, bytes, bytes]:
        """Exit status, standard output and standard error of a command. Raises Lost."""
        mark = f"{self._secret}-{next(self._numbers)}"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(_script(command, mark).encode())
            self._process.stdin.flush()
        except OSError as e:
            raise Lost(f"the connection to the VM was lost before a command: {e.strerror}") from e
        out, err = _Output(self._process.stdout, mark), _Output(self._process.stderr, mark)
        with selectors.DefaultSelector() as waiting:
            for output in (out, err):
                waiting.register(output.stream, selectors.EVENT_READ, output)
            while waiting.get_map():
                for key, _ in waiting.select():
                    if not key.data.read():
                        said = bytes(err.data).decode(errors="replace")[-_TAIL:]
                        raise Lost(f"the connection to the VM was lost during a command: {said}")
                    if key.data.is_whole():
                        waiting.unregister(key.fileobj)
        return int(out.status()), out.text(), err.text()

    def _close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        proc.ends_within(self._process, 10)


class _Output:
    """What a command writes to one of the shell's outputs, between two marks."""

    def __init__(self, stream: IO[bytes] | None, mark: str) -> None:
        assert stream is not None
        self.stream, self.data = stream, bytearray()
        self._begin, self._end = f"{mark}>\n".encode(), f"\n{mark}<".encode()
        self._ends_at = -1

    def read(self) -> int:
        """Take what there is; the number of bytes, 0 at the end of the stream."""
        looked_at = max(0, len(self.data) - len(self._end))
        new = os.read(self.stream.fileno(), _CHUNK)
        self.data += new
        if self._ends_at < 0:
            self._ends_at = self.data.find(self._end, looked_at)
        return len(new)

    def is_whole(self) -> bool:
        """The second mark has come, with the status behind it."""
        return self._ends_at >= 0 and b"\n" in self._after()

    def text(self) -> bytes:
        """Between the marks."""
        return bytes(self.data[self.data.index(self._begin) + len(self._begin) : self._ends_at])

    def status(self) -> bytes:
        """What stands behind the second mark."""
        return self._after().split(b"\n", 1)[0]

    def _after(self) -> bytes:
        return bytes(self.data[self._ends_at + len(self._end) :])


def _script(command: str, mark: str) -> str:
    """What the shell reads: a mark on both outputs, the command, and the mark again with its exit status."""
    begin = f"printf '%s\\n' '{mark}>'; printf '%s\\n' '{mark}>' >&2"
    end = f"printf '\\n%s<%s\\n' '{mark}' $?; printf '\\n%s<\\n' '{mark}' >&2"
    return f"{begin}; /bin/sh -c {shlex.quote(command)} </dev/null; {end}\n"
