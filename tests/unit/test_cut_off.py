# SPDX-License-Identifier: Apache-2.0
"""The isolation of unit tests from the host, which tests/conftest.py sets up."""

from __future__ import annotations

import os
import socket
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.core import paths


def test_no_test_connects_to_the_outside() -> None:
    with socket.socket() as ours, pytest.raises(AssertionError, match="connects to"):
        ours.connect(("192.0.2.1", 80))


def test_no_test_looks_a_name_up() -> None:
    with pytest.raises(AssertionError, match=r"looks up 'host\.test'"):
        urllib.request.urlopen("http://host.test/", timeout=1)


def test_loopback_can_be_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), 1).close()


def test_no_test_starts_a_program_of_the_host() -> None:
    with pytest.raises(AssertionError, match=r"pytest\.mark\.programs\('true'\)"):
        subprocess.run(["true"], check=True)


@pytest.mark.programs("true")
def test_a_marker_allows_a_program() -> None:
    assert subprocess.run(["true"], check=True).returncode == 0


def test_fakes_run_and_missing_programs_are_missing(fake: Callable[..., Path]) -> None:
    calls = fake("true", "exit 3")

    assert subprocess.run(["true", "a", "b"], check=False).returncode == 3
    assert calls.read_text() == "a b\n"
    with pytest.raises(FileNotFoundError):
        subprocess.run(["no-such-program"], check=False)


def test_the_users_own_folders_are_out_of_reach(tmp_path: Path) -> None:
    assert paths.cache_root().is_relative_to(tmp_path)
    assert paths.out_root().is_relative_to(tmp_path)
    assert not paths.scratch_root().is_relative_to("/var/tmp")
    assert "GOLDSMITH_RUN" not in os.environ


def test_every_test_has_an_empty_scratch_folder() -> None:
    assert list(paths.scratch_root().iterdir()) == []
