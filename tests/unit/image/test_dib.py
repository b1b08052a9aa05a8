# SPDX-License-Identifier: Apache-2.0
"""What a failure of diskimage-builder is blamed on."""

from __future__ import annotations

from typing import cast

import pytest

from goldsmith.core.progress import Meter
from goldsmith.errors import BuildError
from goldsmith.image.dib import _Watch
from tests.support.meters import FakeMeter

RUNNING = "2026-11-29 10:00:00.000 | dib-run-parts Running /tmp/in_target.d/{}"
PRE_INSTALL = RUNNING.format("pre-install.d/04-dib-init")
DONE = "2026-11-29 10:00:01.000 | dib-run-parts 04-dib-init completed"


def watched(*lines: str, meter: FakeMeter | None = None) -> _Watch:
    watch = _Watch(cast("Meter", meter or FakeMeter()))
    for line in lines:
        watch.line(line)
    return watch


def test_the_screen_shows_the_current_hook_and_its_number() -> None:
    meter = FakeMeter()
    watched("unpacking", PRE_INSTALL, "noise", DONE, RUNNING.format("install.d/50-b"), meter=meter)

    assert meter.seen[0] == (1, "pre-install.d/04-dib-init")
    assert meter.seen[-1] == (2, "install.d/50-b")


def test_after_the_hooks_the_screen_shows_that_the_image_is_converted() -> None:
    meter = FakeMeter()
    watched(
        PRE_INSTALL, DONE, "2026-11-29 14:36:29.005 | Converting image using qemu-img convert", meter=meter
    )

    assert meter.seen[-1] == (1, "qemu-img convert")


def test_a_failure_within_a_hook_is_blamed_on_it() -> None:
    assert watched(PRE_INSTALL, "sh: foo: not found").where == " in pre-install.d/04-dib-init"


def test_a_failure_after_a_hook_is_not_blamed_on_it() -> None:
    assert watched(PRE_INSTALL, DONE, "no space").where == " after pre-install.d/04-dib-init"
    assert watched("no such element").where == ""


def test_a_missing_package_is_named() -> None:
    watch = watched(PRE_INSTALL, DONE, "E: Unable to locate package tcpdmp")

    assert watch.where == " after pre-install.d/04-dib-init: Unable to locate package tcpdmp"


@pytest.mark.parametrize(
    ("line", "may_pass"),
    [
        ("E: Unable to locate package tcpdmp", False),
        ("E: Package 'foo' has no installation candidate", False),
        ("Err:1 http://m trixie InRelease  Temporary failure resolving 'm'", True),
        ("E: Failed to fetch http://m/x.deb  502  Bad Gateway [IP: 127.0.0.1 80]", True),
        ("mkfs.ext4: invalid option", None),
    ],
)
def test_a_failure_of_the_network_may_pass(line: str, may_pass: bool | None) -> None:
    assert watched(line).may_pass is may_pass


def test_a_warning_of_apt_about_an_index_is_kept() -> None:
    watch = watched(PRE_INSTALL, "2026-11-29 10:00:00.000 | W: Failed to fetch http://x  refused", DONE)

    with pytest.raises(BuildError, match="apt warned while the image was made"):
        watch.apt.require_none("the image")
