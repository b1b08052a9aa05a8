# SPDX-License-Identifier: Apache-2.0
"""Start programs: argv tuples, an allow-listed environment, deadlines, redacted logs.

No other module starts programs (tests/unit/test_code_rules.py). All of them start in spawn().
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NoReturn

from goldsmith.core import progress, terminal
from goldsmith.errors import CommandError, CommandTimeout, HostError

log = logging.getLogger(__name__)

Arg = str | os.PathLike[str]
Process = subprocess.Popen[bytes]

TAIL_LINES = 20

# Every process of a run carries this variable, so that the reaper finds what outlives a killed run.
RUN_MARKER = "GOLDSMITH_RUN"

# The variables of our environment that a child gets; a caller names all others. Ours are among them, because
# the child may be goldsmith again; tests/unit/core/test_proc.py fails if one is missing.
_INHERITED = (
    "HOME", "LANG", "LOGNAME", "NO_COLOR", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
    "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH",
    "GOCACHE", "GOFLAGS", "GOMODCACHE", "GONOSUMDB", "GOPATH", "GOPRIVATE", "GOPROXY", "GOSUMDB",
    "GOLDSMITH_BUILDER", "GOLDSMITH_CACHE", "GOLDSMITH_DEBIAN_MIRROR", "GOLDSMITH_DEBIAN_SECURITY_MIRROR",
    "GOLDSMITH_OUT", "GOLDSMITH_SCRATCH", "GOLDSMITH_VULNERABILITIES",
)  # fmt: skip

# The runs of this process, the latest last; and the run of the current thread, where one was set.
_RUNS: list[str] = []
_RUN: ContextVar[str | None] = ContextVar("goldsmith_run", default=None)


@contextlib.contextmanager
def marking(run: Path) -> Iterator[None]:
    """Programs that start within the block carry this folder as their run's marker.

    This includes threads: always those with a copy of our context (contextvars.copy_context()), others
    unless another run of this process has begun since.
    """
    name, outer = os.fspath(run), _RUN.get()
    _RUNS.append(name)
    _RUN.set(name)
    try:
        yield
    finally:
        _RUN.set(outer)
        _RUNS.remove(name)


def mark() -> dict[str, str]:
    """The variable that marks our children: our run's, else that of the run that started us."""
    name = _RUN.get()
    if name not in _RUNS:  # no run was set, or it has ended
        name = _RUNS[-1] if _RUNS else os.environ.get(RUN_MARKER)
    return {RUN_MARKER: name} if name else {}


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The allow-listed part of our environment, the run's marker, sbin on PATH, and extra on top."""
    env = {name: os.environ[name] for name in _INHERITED if name in os.environ} | mark()
    have = env.get("PATH", "/usr/bin:/bin").split(":")
    missing = [d for d in ("/usr/local/sbin", "/usr/sbin", "/sbin") if d not in have]
    env["PATH"] = ":".join([*have, *missing])
    return {**env, **(extra or {})}


def which(name: str) -> Path | None:
    """The path of a program, searched on PATH and in the sbin folders."""
    found = shutil.which(name, path=environment()["PATH"])
    return None if found is None else Path(found)


def run(
    argv: Sequence[Arg],
    *,
    log_path: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float | None = None,
    grace_s: float = 60.0,
    secrets: Sequence[str] = (),
    on_line: Callable[[str], None] | None = None,
    success_exit_status: Collection[int] = (0,),
) -> int:
    """Run argv, append its output to log_path line by line, return its exit status.

    env replaces the environment (default: environment()); on_line is called with each line at once.
    Raises CommandError for any other exit status than success_exit_status, CommandTimeout, HostError if
    the program is not installed, or OSError if the log cannot be written (the program still runs to its end).
    """
    shown = _shown(argv, secrets)
    with log_path.open("ab", buffering=0) as sink:
        sink.write(f"+ {shown}\n".encode())
        output = _Output(sink=sink, secrets=secrets, on_line=on_line)
        process = spawn(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, cwd=cwd, secrets=secrets
        )
        pump = threading.Thread(target=copy_context().run, args=(output.copy, process.stdout), daemon=True)
        try:
            with _stopping_on_error(process, shown, grace_s, output.tail, log_path):
                pump.start()  # here, because an interrupt may come with the program's first line
                process.wait(timeout_s)
        finally:
            if pump.ident is not None:
                pump.join(timeout=5)
    if output.error is not None:
        raise OSError(output.error.errno, output.error.strerror, str(log_path))
    if process.returncode not in success_exit_status:
        raise CommandError(shown, process.returncode, list(output.tail), log_path)
    return process.returncode


def capture(
    argv: Sequence[Arg],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float | None = 60.0,
    secrets: Sequence[str] = (),
    stdin: bytes | None = None,
) -> str:
    """Run argv and return its standard output; raises like run()."""
    shown = _shown(argv, secrets)
    process = spawn(
        argv, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=env, cwd=cwd, secrets=secrets, level=logging.DEBUG,
    )  # fmt: skip
    with process, _stopping_on_error(process, shown, 2):  # the process closes the pipes
        out, err = process.communicate(stdin, timeout_s)
    _require_success(process, shown, err, secrets)
    return out.decode(errors="backslashreplace")


def follow(argv: Sequence[Arg], *, on_part: Callable[[str], None], timeout_s: float) -> None:
    """Run argv; on_part is called at once with what it prints up to each line end or carriage return.

    Raises like run().
    """
    shown = _shown(argv, ())
    with tempfile.TemporaryFile() as errors:
        process = spawn(argv, stdout=subprocess.PIPE, stderr=errors.fileno(), env=None, level=logging.DEBUG)
        pump = threading.Thread(target=copy_context().run, args=(_parts, process, on_part), daemon=True)
        with _stopping_on_error(process, shown, 2):
            pump.start()
            process.wait(timeout_s)
        pump.join(timeout=5)
        errors.seek(0)
        _require_success(process, shown, errors.read(), ())


@contextlib.contextmanager
def background(
    argv: Sequence[Arg],
    *,
    log_path: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    grace_s: float = 10.0,
) -> Iterator[Process]:
    """Run a program until the block ends; its output is appended to log_path."""
    process = detached(argv, log_path=log_path, env=env, cwd=cwd)
    try:
        yield process
    finally:
        stop(process, grace_s)


def detached(
    argv: Sequence[Arg],
    *,
    log_path: Path,
    env: Mapping[str, str] | None,
    cwd: Path | None = None,
    keep: Sequence[int] = (),
) -> Process:
    """Start a program that may outlive us; its output is appended to log_path, it inherits descriptors keep.

    Where it does outlive us, env has to mark it (RUN_MARKER), so that it can be found and stopped.
    """
    with log_path.open("ab") as sink:
        return spawn(argv, stdout=sink, stderr=subprocess.STDOUT, env=env, cwd=cwd, keep=keep)


def piped(argv: Sequence[Arg]) -> Process:
    """Start a program with pipes at its standard input and outputs. It ends with our session."""
    pipe = subprocess.PIPE
    return spawn(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=None, own_session=False)


def interactive(argv: Sequence[Arg], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> int:
    """Run argv on the user's own terminal and return its exit status."""
    with (
        progress.hidden(),
        spawn(argv, stdin=None, stdout=None, stderr=None, env=env, cwd=cwd, own_session=False) as process,
    ):
        try:
            return process.wait()
        except BaseException:
            process.kill()
            raise


def become(argv: Sequence[str], env: Mapping[str, str], *, cwd: Path | None = None) -> NoReturn:
    """Replace this process by a program that runs in the folder cwd. Raises OSError."""
    if cwd is not None:
        os.chdir(cwd)
    os.execvpe(argv[0], list(argv), env)  # noqa: S606 - a shell is not wanted


def spawn(
    argv: Sequence[Arg],
    *,
    stdout: int | IO[bytes] | None,
    stderr: int | None,
    env: Mapping[str, str] | None,
    cwd: Path | None = None,
    stdin: int | None = subprocess.DEVNULL,
    keep: Sequence[int] = (),
    secrets: Sequence[str] = (),
    level: int = logging.INFO,
    own_session: bool = True,
) -> Process:
    """Start a program and log its command. Raises HostError if it is not installed or cannot start."""
    cmd = [os.fspath(arg) for arg in argv]
    log.log(level, "+ %s", _shown(argv, secrets))
    full_env = environment() if env is None else dict(env)
    if not os.path.dirname(cmd[0]) and shutil.which(cmd[0], path=full_env.get("PATH")) is None:
        raise _not_installed(cmd[0])
    try:
        return subprocess.Popen(
            cmd, stdin=stdin, stdout=stdout, stderr=stderr, env=full_env, cwd=cwd,
            start_new_session=own_session, pass_fds=keep,
        )  # fmt: skip
    except OSError as e:
        if cwd is not None and not cwd.is_dir():
            raise HostError(f"cannot run {cmd[0]}: there is no folder {cwd} to run it in") from e
        if isinstance(e, FileNotFoundError):
            raise _not_installed(cmd[0]) from e
        raise HostError(f"cannot run {cmd[0]}: {e.strerror}", hint="run: scripts/inv doctor") from e


def ends_within(process: Process, timeout_s: float) -> bool:
    """Wait up to timeout_s for a background program; true if it has ended by itself."""
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def stop(process: Process, grace_s: float) -> None:
    """TERM the whole session, then KILL what is left of it (disk-image-create unmounts on TERM)."""
    _signal_session(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
    _signal_session(process, signal.SIGKILL)  # the leader may have ended and left children
    process.wait()


def redact(text: str, secrets: Sequence[str]) -> str:
    """text with every secret, also in its shell-quoted form, replaced by ***."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(shlex.quote(secret), "***").replace(secret, "***")
    return text


def _parts(process: Process, on_part: Callable[[str], None]) -> None:
    assert isinstance(process.stdout, io.BufferedReader)
    with process.stdout as stream:
        rest = b""
        while data := stream.read1():
            *parts, rest = re.split(rb"[\r\n]", rest + data)
            for part in filter(None, parts):
                on_part(part.decode(errors="backslashreplace"))


def _require_success(process: Process, shown: str, errors: bytes, secrets: Sequence[str]) -> None:
    """Raise CommandError with the last lines of its errors unless the program's exit status is 0."""
    if process.returncode != 0:
        lines = redact(terminal.plain(errors.decode(errors="backslashreplace")), secrets).splitlines()
        raise CommandError(shown, process.returncode, lines[-TAIL_LINES:])


def _shown(argv: Sequence[Arg], secrets: Sequence[str]) -> str:
    """A command as one can paste it into a shell, without its secrets."""
    return redact(shlex.join(os.fspath(arg) for arg in argv), secrets)


def _not_installed(name: str) -> HostError:
    return HostError(f"{name} is not installed", hint="run: scripts/inv doctor", retryable=False)


@contextlib.contextmanager
def _stopping_on_error(
    process: Process, shown: str, grace_s: float, tail: Collection[str] = (), log_path: Path | None = None
) -> Iterator[None]:
    """Stop the program if the block fails; its deadline becomes CommandTimeout."""
    try:
        yield
    except subprocess.TimeoutExpired:
        stop(process, grace_s)
        raise CommandTimeout(shown, -signal.SIGTERM, list(tail), log_path) from None
    except BaseException:
        stop(process, grace_s)
        raise


def _signal_session(process: Process, signum: signal.Signals) -> None:
    """Signal the process group; a program that runs as root behind sudo is signalled by sudo itself."""
    if process.returncode is not None and Path(f"/proc/{process.pid}").exists():
        return  # ours has ended and was waited for: its number belongs to another process by now
    try:
        os.killpg(process.pid, signum)
    except ProcessLookupError:
        return
    except PermissionError:
        kill = ("sudo", "-n", "kill", f"-{signum.name.removeprefix('SIG')}", "--", f"-{process.pid}")
        spawn(kill, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=None).wait()


@dataclass(kw_only=True, slots=True)
class _Output:
    """Copies a program's lines, redacted, to its log; keeps the last ones, and why the log failed."""

    sink: io.RawIOBase
    secrets: Sequence[str]
    on_line: Callable[[str], None] | None
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    error: OSError | None = None

    def copy(self, stream: IO[bytes]) -> None:
        with stream, contextlib.suppress(ValueError):  # the sink is closed when a child outlives its parent
            for raw in stream:
                line = redact(terminal.plain(raw.decode(errors="backslashreplace")), self.secrets).rstrip(
                    "\n"
                )
                self.tail.append(line)
                if self.error is None:
                    try:
                        self.sink.write(f"{line}\n".encode())
                    except OSError as e:  # a full disk: read on, or the program would hang
                        self.error = e
                log.debug("| %s", line)
                if self.on_line is not None:
                    self.on_line(line)
