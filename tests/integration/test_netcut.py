# SPDX-License-Identifier: Apache-2.0
"""What the image stage of a locked build can reach: the packages of its index, and nothing else."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

from goldsmith import aptproxy, dib, proc
from goldsmith.debindex import IndexState
from goldsmith.errors import BuildError
from goldsmith.mirror import Mirrors
from goldsmith.netcut import Door

pytestmark = pytest.mark.integration

INDEX = "debian/dists/x/InRelease"
NOWHERE = Mirrors(debian="http://127.0.0.1:9", security="http://127.0.0.1:9")


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    """Of a proxy that holds an index."""
    folder = Path("/var/tmp") / f"gs-door-{os.getpid()}"  # a short path, as a run's folder is
    folder.mkdir(mode=0o755)
    path = folder / "door"
    state = IndexState(releases={INDEX: b"the index"})
    with aptproxy.serve(NOWHERE, state, "amd64", door=path) as address:
        port = urllib.parse.urlsplit(address).port
        assert port is not None
        yield Door(path=path, port=port)
    shutil.rmtree(folder)


def built(script: str, door: Door | None, tmp_path: Path) -> str:
    """What the script, in the place of disk-image-create, wrote as its image."""
    image = tmp_path / "image"
    plan = dib.DibPlan(
        argv=("sh", "-euc", script, "sh", str(image)), env=MappingProxyType({"MINE": "a 'word'"}),
        block_device="", block_device_path=tmp_path / "block", image=image,
    )  # fmt: skip
    return dib.build(plan, log_path=tmp_path / "log", door=door).read_text()


def test_the_packages_are_within_reach(door: Door, tmp_path: Path) -> None:
    script = (
        f'curl -sf http://127.0.0.1:{door.port}/{INDEX} > "$1"; curl -sf http://127.0.0.1:{door.port}/{INDEX}'
    )

    assert built(script, door, tmp_path) == "the index"


def test_nothing_else_is(door: Door, tmp_path: Path) -> None:
    """Not even another port of this host."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        script = f'exec 3<>/dev/tcp/127.0.0.1/{port}; echo reached > "$1"'
        assert built(f"bash -ec '{script}' bash \"$1\"", None, tmp_path) == "reached\n"
        (tmp_path / "image").unlink()

        with pytest.raises(BuildError, match="Connection refused"):
            built(f"bash -ec '{script}' bash \"$1\"", door, tmp_path)
    interfaces = built('cut -d: -f1 -s /proc/net/dev > "$1"; cat "$1"', door, tmp_path)
    assert interfaces.split() == ["lo"]


def test_the_program_has_its_variables_and_its_end_is_seen(door: Door, tmp_path: Path) -> None:
    assert built('printf %s "$MINE" > "$1"', door, tmp_path) == "a 'word'"
    with pytest.raises(BuildError, match="diskimage-builder failed"):
        built("exit 7", door, tmp_path)


def test_an_ordinary_user_stays_one(door: Door, tmp_path: Path) -> None:
    """As behind sudo: the helper is root's, and knows whose program it starts."""
    nobody = pwd.getpwnam("nobody")
    variables = door.path.with_name("variables.json")
    variables.write_text('{"PATH": "/usr/bin:/bin"}')
    argv = ("unshare", "--net", "python3", "-m", "goldsmith.netcut", door.path, str(door.port),
            str(nobody.pw_uid), variables, "--", "id", "-u")  # fmt: skip

    assert proc.capture(argv, env=dict(os.environ)).strip() == str(nobody.pw_uid)
