# SPDX-License-Identifier: Apache-2.0
"""A whole build by somebody who is not root, has sudo, and may not write to the checkout."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from checkout import copy_of_the_project, pip_settings
from tinyplace import TinyPlace

from goldsmith.soakkill import SPEC

pytestmark = pytest.mark.integration

_USER = "nobody"
# In a mount namespace of its own, so that nobody but this test has these rights.
_ENTER = f"""
mount -t tmpfs -o mode=0755 none /etc/sudoers.d
echo '{_USER} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/builder
exec setpriv --reuid={_USER} --regid=nogroup --init-groups "$@"
"""


def test_an_ordinary_user_with_sudo_gets_a_verified_image(make_place: Callable[[], TinyPlace]) -> None:
    place = make_place()
    checkout, home = place.root / "checkout", place.root / "home"
    home.mkdir()
    subprocess.run(["chown", "-R", _USER, place.root], check=True)
    copy_of_the_project(checkout)  # root's
    environment = {
        **{name: value for name, value in place.environment().items() if name.startswith("GOLDSMITH_")},
        **pip_settings(), "HOME": os.fspath(home), "CI": "true", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    }  # fmt: skip

    done = subprocess.run(
        [
            "unshare", "--mount", "--propagation", "private", "sh", "-euc", _ENTER, "enter",
            "env", "-i", *(f"{name}={value}" for name, value in environment.items()),
            checkout / "scripts/inv", "build-image", checkout / SPEC, "--json",
        ],
        cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    folder = Path(answer["folder"])
    assert answer["manifest"]["verification"]["result"] == "passed"
    assert {path.owner() for path in folder.iterdir()} == {_USER}
    assert place.remains() == []
