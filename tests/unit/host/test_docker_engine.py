# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.core import proc, runs
from goldsmith.core.runs import Run
from goldsmith.errors import HostError
from goldsmith.host import docker_engine
from tests.support import fakes


@pytest.fixture(autouse=True)
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setattr(docker_engine, "DEFAULT_SOCKET", tmp_path / "docker.sock")


@pytest.fixture
def run(cut_off: None) -> Iterator[Run]:
    with runs.run() as made:
        yield made


def test_without_a_listening_socket_no_engine_answers() -> None:
    assert docker_engine.answering() is None


def test_a_stale_socket_counts_as_no_engine(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(docker_engine.DEFAULT_SOCKET))
    assert docker_engine.answering() is None


def test_an_engine_that_the_user_named_must_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    with pytest.raises(HostError, match="no Docker engine answers at DOCKER_HOST=unix:///nonexistent") as e:
        docker_engine.answering()
    assert "unset" in (e.value.hint or "")


def test_an_unknown_context_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "elsewhere")
    with pytest.raises(HostError, match="no docker context elsewhere"):
        docker_engine.answering()


def test_a_socket_without_access_names_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise PermissionError

    monkeypatch.setattr(docker_engine, "_listens", refuse)  # root is refused nothing
    with pytest.raises(HostError, match="no access to the Docker engine") as e:
        docker_engine.answering()
    assert "usermod -aG docker" in (e.value.hint or "")


def test_without_a_dockerd_the_package_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proc, "which", lambda _: None)
    with (
        pytest.raises(HostError, match="dockerd is not") as e,
        docker_engine.engine(run, tmp_path / "log"),
    ):
        pass
    assert "docker.io" in (e.value.hint or "")


@pytest.mark.programs("umount")
def test_a_private_engine_that_dies_shows_its_log_and_leaves_nothing(
    fake: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    calls = fake("dockerd", 'echo "no such storage driver" >&2; exit 1')
    fake("sudo", fakes.SUDO)
    fake("unshare", fakes.UNSHARE)
    with (
        pytest.raises(HostError, match="no such storage driver") as e,
        docker_engine.engine(run, tmp_path / "log"),
    ):
        pass
    assert "full log" in (e.value.hint or "")
    assert {path.name for path in run.folder.iterdir()} == {"lock", ".goldsmith"}
    for option in ("--data-root", "--exec-root", "--pidfile", "--config-file"):
        assert f"{option} {run.folder}/" in calls.read_text()
