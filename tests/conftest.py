# SPDX-License-Identifier: Apache-2.0
"""Fast tests are cut off from this host: no network, no programs but fakes, folders of their own.

A test that needs a real program says so: @pytest.mark.programs("openssl"). Tests marked
`integration` are not held to any of this.
"""

from __future__ import annotations

import functools
import gc
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goldsmith.core import progress, wait
from tests.support.meters import Meters

_INTERPRETERS = {"bash", "sh", Path(sys.executable).name}  # of the scripts under test
_FOLDER = pytest.StashKey[Path]()  # of a test
_NUMBERS = itertools.count()
_OF_TINY = re.compile(r"\b(make_place|tiny_place|tiny_build|twins)\b")  # fixtures of tests/integration
_OUR_OWN = ("GOLDSMITH_RUN", "XDG_CACHE_HOME", "GITHUB_ACTIONS", "GITLAB_CI")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "programs(name, ...): real programs that a fast test may start")


def pytest_collection_finish() -> None:
    """Leave what was imported so far out of garbage collections: there are many, and it stays."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Send whole files to the workers, and groups: a message for each test costs as much as many a test.

    Integration tests are two groups, which are each run by one worker: both wait for their VMs and servers
    more than they work. xdist's own marks of groups have no effect with pytest 9.2.
    """
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling

    class ByFileOrGroup(LoadGroupScheduling):  # type: ignore[misc] # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid)).partition("::")[0]
            return _group_of(config.rootpath / file) if file.startswith("tests/integration/") else file

    return ByFileOrGroup(config, log)


@functools.cache
def _group_of(file: Path) -> str:
    """Files that build the tiny image share it; the others share the main job and its acceptance test."""
    return "tiny" if _OF_TINY.search(file.read_text()) else "main"


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As pytest's own, without a link to the latest folder: two thirds of its time, for every test."""
    folder = _folder(request, tmp_path_factory)
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def cut_off(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """No way out of a fast test."""
    if request.node.get_closest_marker("integration"):
        yield
        return
    tmp_path = _folder(request, tmp_path_factory)  # it need not be there
    # short and without spaces, which tmp_path need not be
    scratch = Path(f"/tmp/goldsmith-tests-{os.getpid()}")
    monkeypatch.setenv("GOLDSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GOLDSMITH_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("GOLDSMITH_SCRATCH", str(scratch))
    for name in _OUR_OWN:
        monkeypatch.delenv(name, raising=False)
    allowed = {name for marker in request.node.iter_markers("programs") for name in marker.args}
    _forbid_programs(monkeypatch, allowed, tmp_path)
    _forbid_network(monkeypatch)
    yield
    if scratch.exists():
        shutil.rmtree(scratch)


def _folder(request: pytest.FixtureRequest, factory: pytest.TempPathFactory) -> Path:
    stash: pytest.Stash = request.node.stash
    if _FOLDER not in stash:
        name = re.sub(r"\W", "_", request.node.name)[:30]
        stash[_FOLDER] = factory.getbasetemp() / f"{name}-{next(_NUMBERS)}"
    return stash[_FOLDER]


@pytest.fixture
def meters(monkeypatch: pytest.MonkeyPatch) -> Meters:
    """The meters that the test makes: what a terminal would show."""
    found = Meters()
    monkeypatch.setattr(progress, "meter", found.meter)
    return found


@pytest.fixture
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a fake looks often."""
    quick = types.SimpleNamespace(monotonic=time.monotonic, sleep=lambda s: time.sleep(min(s, 0.01)))
    monkeypatch.setattr(wait, "time", quick)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """fake(NAME, SCRIPT) puts a program first on PATH; returns the file that its calls are noted in.

    One line a call: the words, separated by spaces. SCRIPT is for sh.
    """
    folder = tmp_path / "fakes"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(name: str, script: str = ":") -> Path:
        calls = tmp_path / f"{name}.calls"
        calls.touch()
        program = folder / name
        program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$*\" >> '{calls}'\n{script}\n")
        program.chmod(0o755)
        return calls

    return make


@pytest.fixture
def element(tmp_path: Path) -> Callable[[str], Path]:
    """element(NAME) is a copy of an element whose scripts mean tmp_path/root where they say /."""
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)

    def copy(name: str) -> Path:
        folder = tmp_path / "elements" / name
        shutil.copytree(Path(__file__).parent.parent / "elements" / name, folder)
        for path in folder.rglob("*"):
            if path.is_file() and os.access(path, os.X_OK):
                path.write_text(_moved(path.read_text(), root))
        return folder

    return copy


def _moved(script: str, root: Path) -> str:
    """A script that would touch this host fails the test before it is run."""
    first, _, rest = script.partition("\n")
    moved = re.sub(r"(?<![\w.}*/-])/(?=(?:etc|usr|var|run|boot|opt)/)", f"{root}/", rest)
    words = re.findall(r"(?<![\w.}*/-])/[a-z][\w./-]*", moved)
    left = [word for word in words if not word.startswith(str(root)) and word != "/dev/null"]
    assert not left, f"absolute paths that are not known here: {left}"
    return f"{first}\n{moved}"


def _forbid_programs(monkeypatch: pytest.MonkeyPatch, allowed: set[str], tmp_path: Path) -> None:
    start = subprocess.Popen.__init__

    def guarded(self: Any, args: Any, *rest: Any, **options: Any) -> None:
        word = os.fspath(args if isinstance(args, (str, os.PathLike)) else args[0])
        path = (options.get("env") or os.environ).get("PATH")
        found = Path(shutil.which(word, path=path) or tmp_path)  # what is missing cannot start
        if not found.is_relative_to(tmp_path) and found.name not in allowed | _INTERPRETERS:
            self._child_created = False  # what Popen.__del__ looks at
            msg = f"this test starts {found}; use a fake, or mark it: pytest.mark.programs({found.name!r})"
            raise AssertionError(msg)
        start(self, args, *rest, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", guarded)


def _forbid_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not _is_here(address[0]):
            raise AssertionError(f"this test connects to {address}")
        connect(self, address)

    def guarded_resolve(host: Any, *rest: Any, **options: Any) -> Any:
        if host is not None and not _is_here(host):
            raise AssertionError(f"this test looks up {host!r}")
        return resolve(host, *rest, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)


def _is_here(host: str | bytes) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    return name in {"localhost", "::1", ""} or name.startswith("127.")
