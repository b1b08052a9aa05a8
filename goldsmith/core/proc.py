# SPDX-License-Identifier: Apache-2.0
"""The only door to other programs (held by tests/unit/test_layering.py)."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import IO, NoReturn

from goldsmith.errors import CommandError, CommandTimeout, HostError

log = logging.getLogger(__name__)

Arg = str | os.PathLike[str]
Process = subprocess.Popen[bytes]

TAIL_LINES = 20

# Every process of a run carries this variable, so that what outlives a killed run can be found (reap.py).
RUN_MARKER = "GOLDSMITH_RUN"

# What a child may see of our environment. Everything else has to be asked for by name. Ours are among it, for
# what we start may be goldsmith again; tests/unit/test_proc.py holds that none is missing.
_INHERITED = (
    "HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
    "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR",
    "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH",
    "GOCACHE", "GOFLAGS", "GOMODCACHE", "GONOSUMDB", "GOPATH", "GOPRIVATE", "GOPROXY", "GOSUMDB",
    "GOLDSMITH_BUILDER", "GOLDSMITH_CACHE", "GOLDSMITH_DEBIAN_MIRROR", "GOLDSMITH_DEBIAN_SECURITY_MIRROR",
    "GOLDSMITH_OUT", "GOLDSMITH_SCRATCH", "GOLDSMITH_VULNERABILITIES",
)  # fmt: skip

# The runs of this process, the latest last; and the one that a thread works in, where it was told.
_RUNS: list[str] = []
_RUN: ContextVar[str | None] = ContextVar("goldsmith_run", default=None)


@contextlib.contextmanager
def marking(run: Path) -> Iterator[None]:
    """What is started in the block carries this folder as its run's marker.

    That holds for threads, too: for one with a copy of our context (contextvars.copy_context()) as for
    ourselves, for any other one unless another run of this process has begun since.
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
    """The variable that marks what we start: our run's, else that of the run that started us."""
    name = _RUN.get()
    if name not in _RUNS:  # none was told, or its run has ended
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
    """Where a program is, looked for on PATH and in the sbin folders."""
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
) -> None:
    """Run argv, its output appended to log_path line by line.

    env replaces the environment (default: environment()); on_line sees every line as it comes.
    Raises CommandError, CommandTimeout, HostError where the program is not installed, or OSError
    where the log cannot be written (the program runs to its end all the same).
    """
    cmd = [os.fspath(a) for a in argv]
    shown = redact(shlex.join(cmd), secrets)
    log.info("+ %s", shown)
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    unwritten: list[OSError] = []
    with log_path.open("ab", buffering=0) as sink:
        sink.write(f"+ {shown}\n".encode())
        process = _popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, cwd=cwd)
        assert process.stdout is not None
        words = (process.stdout, sink, tail, secrets, on_line, unwritten)
        pump = threading.Thread(target=copy_context().run, args=(_pump, *words), daemon=True)
        try:
            pump.start()  # here, for an interrupt may come with the program's first line
            returncode = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            stop(process, grace_s)
            raise CommandTimeout(shown, -signal.SIGTERM, list(tail), log_path) from None
        except BaseException:
            stop(process, grace_s)
            raise
        finally:
            if pump.ident is not None:
                pump.join(timeout=5)
    if unwritten:
        raise OSError(unwritten[0].errno, unwritten[0].strerror, str(log_path))
    if returncode != 0:
        raise CommandError(shown, returncode, list(tail), log_path)


def capture(
    argv: Sequence[Arg],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float | None = 60.0,
    secrets: Sequence[str] = (),
    stdin: bytes | None = None,
) -> str:
    """What argv printed on its standard output; raises like run()."""
    cmd = [os.fspath(a) for a in argv]
    shown = redact(shlex.join(cmd), secrets)
    log.debug("+ %s", shown)
    process = _popen(
        cmd, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=cwd,
    )  # fmt: skip
    with process:  # which closes the pipes
        try:
            out, err = process.communicate(stdin, timeout_s)
        except subprocess.TimeoutExpired:
            stop(process, 2)
            raise CommandTimeout(shown, -signal.SIGTERM, ()) from None
        except BaseException:
            stop(process, 2)
            raise
    if process.returncode != 0:
        lines = redact(err.decode(errors="backslashreplace"), secrets).splitlines()
        raise CommandError(shown, process.returncode, lines[-TAIL_LINES:])
    return out.decode(errors="backslashreplace")


@contextlib.contextmanager
def background(
    argv: Sequence[Arg],
    *,
    log_path: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    grace_s: float = 10.0,
) -> Iterator[Process]:
    """A program that runs as long as the block does, its output appended to log_path."""
    cmd = [os.fspath(a) for a in argv]
    log.info("+ %s &", shlex.join(cmd))
    with log_path.open("ab") as sink:
        process = _popen(cmd, stdout=sink, stderr=subprocess.STDOUT, env=env, cwd=cwd)
    try:
        yield process
    finally:
        stop(process, grace_s)


def detached(
    argv: Sequence[Arg],
    *,
    log_path: Path,
    env: Mapping[str, str],
    cwd: Path | None = None,
    keep: Sequence[int] = (),
) -> Process:
    """A program that outlives us, its output appended to log_path; it inherits the descriptors in keep.

    env has to mark it (RUN_MARKER) with something that whoever ends it looks for.
    """
    cmd = [os.fspath(a) for a in argv]
    log.info("+ %s &", shlex.join(cmd))
    with log_path.open("ab") as sink:
        return _popen(cmd, stdout=sink, stderr=subprocess.STDOUT, env=env, cwd=cwd, keep=keep)


def interactive(argv: Sequence[Arg], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> int:
    """Run argv on the user's own terminal and return its exit status."""
    cmd = [os.fspath(a) for a in argv]
    try:
        return subprocess.call(cmd, env=environment() if env is None else dict(env), cwd=cwd)
    except OSError as e:
        raise _not_started(cmd[0], cwd, e) from e


def become(argv: Sequence[str], env: Mapping[str, str], *, cwd: Path | None = None) -> NoReturn:
    """Be another program from now on, in this process and in the folder cwd. Raises OSError."""
    if cwd is not None:
        os.chdir(cwd)
    os.execvpe(argv[0], list(argv), env)  # noqa: S606 - a shell is not wanted


def ends_within(process: Process, timeout_s: float) -> bool:
    """Whether a background program ends by itself in that time; waits for it no longer than that."""
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
    _signal_session(process, signal.SIGKILL)  # the leader may be gone while its children are not
    process.wait()


def redact(text: str, secrets: Sequence[str]) -> str:
    """text with every secret, also in its shell-quoted form, replaced by ***."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(shlex.quote(secret), "***").replace(secret, "***")
    return text


def _popen(
    cmd: list[str],
    *,
    stdout: int | IO[bytes],
    stderr: int,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    stdin: int = subprocess.DEVNULL,
    keep: Sequence[int] = (),
) -> Process:
    full_env = environment() if env is None else dict(env)
    if not os.path.dirname(cmd[0]) and shutil.which(cmd[0], path=full_env.get("PATH")) is None:
        raise _not_installed(cmd[0])
    try:
        return subprocess.Popen(
            cmd, stdin=stdin, stdout=stdout, stderr=stderr, env=full_env, cwd=cwd,
            start_new_session=True, pass_fds=keep,
        )  # fmt: skip
    except OSError as e:
        raise _not_started(cmd[0], cwd, e) from e


def _not_started(name: str, cwd: Path | None, error: OSError) -> HostError:
    if cwd is not None and not cwd.is_dir():
        return HostError(f"there is no folder {cwd} to run {name} in")
    if isinstance(error, FileNotFoundError):
        return _not_installed(name)
    return HostError(f"cannot run {name}: {error.strerror}")


def _not_installed(name: str) -> HostError:
    return HostError(f"{name} is not installed", hint="run: scripts/inv doctor")


def _signal_session(process: Process, signum: signal.Signals) -> None:
    """Signal the process group; what runs as root behind sudo is reached through sudo itself."""
    if process.returncode is not None and Path(f"/proc/{process.pid}").exists():
        return  # ours has ended and was waited for: the number is somebody else's by now
    try:
        os.killpg(process.pid, signum)
    except ProcessLookupError:
        return
    except PermissionError:
        kill = ["sudo", "-n", "kill", f"-{signum.value}", "--", f"-{process.pid}"]
        subprocess.call(kill, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _pump(
    stream: IO[bytes],
    sink: io.RawIOBase,
    tail: deque[str],
    secrets: Sequence[str],
    on_line: Callable[[str], None] | None,
    unwritten: list[OSError],
) -> None:
    with stream, contextlib.suppress(ValueError):  # the sink is closed when a child outlives its parent
        for raw in stream:
            line = redact(raw.decode(errors="backslashreplace").rstrip("\r\n"), secrets)
            tail.append(line)
            if not unwritten:
                try:
                    sink.write(f"{line}\n".encode())
                except OSError as e:  # a full disk; a program that nobody listens to would hang
                    unwritten.append(e)
            log.debug("| %s", line)
            if on_line is not None:
                on_line(line)
