# SPDX-License-Identifier: Apache-2.0
"""A locked build can reach the packages of its index during the image stage, and nothing else."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

from goldsmith.apt import netns, proxy
from goldsmith.apt.indexes import IndexState
from goldsmith.apt.mirror import Mirrors
from goldsmith.apt.netns import ProxySocket
from goldsmith.core import isolation, proc
from goldsmith.errors import BuildError
from goldsmith.image import dib, dib_plan

pytestmark = pytest.mark.integration

INDEX = "debian/dists/x/InRelease"
UNLISTED = "debian/pool/main/e/evil/evil_1_amd64.deb"


@pytest.fixture
def proxy_socket(tmp_path: Path) -> Iterator[ProxySocket]:
    """The socket of a proxy with an index, in front of a mirror that has more files."""
    folder = Path("/var/tmp") / f"gs-proxy-{os.getpid()}"  # a short path, as a run's folder is
    folder.mkdir(mode=0o755)
    nowhere = Mirrors(debian="http://127.0.0.1:9", security="http://127.0.0.1:9")
    files = {UNLISTED: b"evil", "debian/dists/y/InRelease": b"another index"}
    with proxy.serve(nowhere, IndexState(releases=files), "amd64") as upstream:
        mirrors = Mirrors(debian=f"{upstream}/debian", security=f"{upstream}/security")
        state = IndexState(releases={INDEX: b"the index"})
        with proxy.serve(mirrors, state, "amd64", proxy_socket=folder / "proxy") as address:
            with urllib.request.urlopen(f"{address}/{UNLISTED}", timeout=10) as answer:  # noqa: S310
                assert answer.read() == b"evil", "outside the mirror's files are passed on"
            port = urllib.parse.urlsplit(address).port
            assert port is not None
            yield ProxySocket(path=folder / "proxy", port=port)
    shutil.rmtree(folder)


def built(script: str, proxy_socket: ProxySocket | None, tmp_path: Path) -> str:
    """The image that the script writes instead of disk-image-create."""
    image = tmp_path / "image"
    plan = dib_plan.DibPlan(
        argv=("sh", "-euc", script, "sh", str(image)), env=MappingProxyType({"MINE": "a 'word'"}),
        block_device="", block_device_path=tmp_path / "block", image=image,
    )  # fmt: skip
    return dib.build(plan, log_path=tmp_path / "log", proxy_socket=proxy_socket).read_text()


def asking(path: str, proxy_socket: ProxySocket) -> str:
    """A script that writes the response of the port."""
    program = "import sys, urllib.request as r; sys.stdout.write(r.urlopen(sys.argv[1]).read().decode())"
    return f"{sys.executable} -c '{program}' http://127.0.0.1:{proxy_socket.port}/{path} > \"$1\""


def test_the_packages_are_reachable(proxy_socket: ProxySocket, tmp_path: Path) -> None:
    assert built(asking(INDEX, proxy_socket), proxy_socket, tmp_path) == "the index"


@pytest.mark.parametrize("path", [UNLISTED, "debian/dists/y/InRelease", "debian/../etc/passwd"])
def test_files_that_the_index_does_not_list_are_missing(
    proxy_socket: ProxySocket, tmp_path: Path, path: str
) -> None:
    with pytest.raises(BuildError, match="404"):
        built(asking(path, proxy_socket), proxy_socket, tmp_path)


def test_a_silent_client_of_the_socket_blocks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "_PASS_PORT_S", 1)
    path, start = Path("/var/tmp") / f"gs-silent-{os.getpid()}", time.monotonic()
    nowhere = Mirrors(debian="http://127.0.0.1:9", security="http://127.0.0.1:9")
    with (
        proxy.serve(nowhere, IndexState(releases={}), "amd64", proxy_socket=path),
        socket.socket(socket.AF_UNIX) as silent,
    ):
        silent.connect(str(path))
    assert not path.exists(), "the next server may use the path"
    assert time.monotonic() - start < 8


def test_a_port_that_nobody_serves_starts_no_program(tmp_path: Path) -> None:
    """The socket accepts the connection and sends nothing."""
    path = Path("/var/tmp") / f"gs-deaf-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen()
        threading.Thread(target=lambda: deaf.accept()[0].close(), daemon=True).start()
        try:
            with pytest.raises(BuildError, match="package proxy does not serve"):
                built('touch "$1"', ProxySocket(path=path, port=9), tmp_path)
        finally:
            for left in path.parent.glob(f"{path.name}*"):
                left.unlink()
    assert not (tmp_path / "image").exists()


def test_nothing_else_is_reachable(proxy_socket: ProxySocket, tmp_path: Path) -> None:
    """Not even another port of this host."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        script = f'exec 3<>/dev/tcp/127.0.0.1/{port}; echo reached > "$1"'
        assert built(f"bash -ec '{script}' bash \"$1\"", None, tmp_path) == "reached\n"
        (tmp_path / "image").unlink()

        with pytest.raises(BuildError, match="Connection refused"):
            built(f"bash -ec '{script}' bash \"$1\"", proxy_socket, tmp_path)
    interfaces = built('cut -d: -f1 -s /proc/net/dev > "$1"; cat "$1"', proxy_socket, tmp_path)
    assert interfaces.split() == ["lo"]


def test_the_program_gets_its_variables_and_its_exit_status_is_seen(
    proxy_socket: ProxySocket, tmp_path: Path
) -> None:
    assert built('printf %s "$MINE" > "$1"', proxy_socket, tmp_path) == "a 'word'"
    with pytest.raises(BuildError, match="diskimage-builder failed"):
        built("exit 7", proxy_socket, tmp_path)


def test_a_warning_of_apt_about_an_index_ends_a_build_that_ended_well(
    proxy_socket: ProxySocket, tmp_path: Path
) -> None:
    warning = "W: Failed to fetch http://x/InRelease  Connection refused"
    with pytest.raises(BuildError, match=f"apt warned while the image was made, .*: {warning[3:]}"):
        built(f"echo made > \"$1\"; echo '2026-11-29 | {warning}'", proxy_socket, tmp_path)


def test_an_ordinary_user_stays_an_ordinary_user(
    proxy_socket: ProxySocket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sudo passes no variables on, as is its default."""
    nobody = pwd.getpwnam("nobody")
    (tmp_path / "sudo").write_text('#!/bin/sh\nshift\nexec env -i PATH="$PATH" "$@"\n')
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: nobody.pw_uid)
    monkeypatch.setattr(os, "getuid", lambda: nobody.pw_uid)
    env = {"PATH": "/usr/bin:/bin", "MINE": "kept"}
    variables = tmp_path / "environment.json"
    ours = isolation.as_ourselves(("sh", "-c", "id -u; id -g; id -G; echo $MINE"), env, variables)
    argv = isolation.contained(netns.behind_proxy(ours, proxy_socket), network=False)

    shown = proc.capture(argv).splitlines()

    assert shown == [str(nobody.pw_uid), str(nobody.pw_gid), str(nobody.pw_gid), "kept"]
    assert variables.stat().st_mode & 0o077 == 0
