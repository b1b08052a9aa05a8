# SPDX-License-Identifier: Apache-2.0
"""Which warnings of apt end a build; the lines are those of apt 2.6 and 3.0."""

from __future__ import annotations

import re

import pytest

from goldsmith.apt import apt_warnings
from goldsmith.errors import BuildError

CONFLICT = "Conflicting distribution: http://x/debian trixie InRelease (expected trixie but got bookworm)"


def watched(*lines: str) -> apt_warnings.Watch:
    watch = apt_warnings.Watch()
    for line in lines:
        watch.line(line)
    return watch


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"W: {CONFLICT}", "another suite"),
        (f"2026-11-30 17:43:45.060 | W: {CONFLICT}", "another suite"),
        (f"Warning: {CONFLICT}", "another suite"),
        (
            "W: An error occurred during the signature verification. The repository is not updated and the"
            " previous index files will be used. GPG error: http://x trixie InRelease: NO_PUBKEY F0E059D5",
            "signature",
        ),
        ("W: GPG error: http://x trixie InRelease: EXPKEYSIG F0E059D5EBD93401", "signature"),
        ("W: http://x/InRelease: Signature by key AB uses weak algorithm (SHA1)", "signature"),
        ("W: Failed to fetch http://x/dists/y/InRelease  Could not connect to x:80", "left its packages out"),
        (
            "W: Some index files failed to download. They have been ignored, or old ones used.",
            "left its packages out",
        ),
        (
            "W: Skipping acquire of configured file 'other/binary-amd64/Packages' as repository 'http://x"
            " InRelease' doesn't have the component 'other' (component misspelt in sources.list?)",
            "left its packages out",
        ),
        (
            "W: Repository 'http://x y InRelease' changed its 'Codename' value from 'y' to 'z'",
            "another suite",
        ),
        ("W: Clearsigned file isn't valid, got 'NOSPLIT'", "signature"),
        ("W: The repository 'http://x y Release' does not have a Release file.", "left its packages out"),
        ("W: Download is performed unsandboxed as root as file /mnt/partial couldn't be accessed", None),
        ("W: Target Packages (main/binary-amd64/Packages) is configured multiple times in x", None),
        ("E: Failed to fetch http://x", None),
        ("the element says W: Failed to fetch nothing", None),
    ],
)
def test_warnings_about_signatures_suites_and_missing_indexes_count(line: str, why: str | None) -> None:
    watch = watched("noise", line)
    if why is None:
        watch.require_none("the image")
        return
    with pytest.raises(BuildError, match="apt warned while the image was made, though it ended well") as e:
        watch.require_none("the image")
    assert why in (e.value.hint or "")


def test_the_first_one_is_shown() -> None:
    with pytest.raises(BuildError, match=re.escape(CONFLICT)):
        watched(f"W: {CONFLICT}", "W: Failed to fetch http://x").require_none("it")
