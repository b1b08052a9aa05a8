# SPDX-License-Identifier: Apache-2.0
"""Compare an image made by layers with one made in one go from the same inputs."""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from goldsmith.core import privilege, proc
from goldsmith.errors import BuildError
from goldsmith.image import mount

# Pattern of a path -> why it may differ between two images from the same inputs. Of containerd's database
# nothing may, but the times at which its objects were made, which are not compared.
EXCEPTIONS: Mapping[str, str] = {}
_COMPARE_S = 1800
_SHOWN = 20


def is_due(one_in: int) -> bool:
    """Whether this build is one of those that are compared, by chance: one in so many, none for 0."""
    return one_in > 0 and secrets.randbelow(one_in) == 0


def differing(one: Path, other: Path, scratch: Path) -> list[str]:
    """Sorted paths that differ between the root file systems of two images, both qcow2.

    Raises CommandError, and VerificationError for an image without one.
    """
    out, log = scratch / "differing.json", scratch / "differing.log"
    out.touch()  # else it is root's, whom an ordinary user's umask may make its only reader
    for name in ("one", "other"):
        (scratch / name).mkdir()
    with (
        mount.opened(one, format_="qcow2", scratch=scratch / "one") as left,
        mount.opened(other, format_="qcow2", scratch=scratch / "other") as right,
    ):
        argv: tuple[proc.Arg, ...] = (
            sys.executable, "-B", "-P", "-m", "goldsmith.layers.tree_diff", left, right, out
        )  # fmt: skip
        proc.run(privilege.as_root(argv), log_path=log, timeout_s=_COMPARE_S)
        return [str(path) for path in json.loads(out.read_text())]


def excepted(path: str) -> str | None:
    """Why a path may differ; None where it must not."""
    return next((why for pattern, why in EXCEPTIONS.items() if re.fullmatch(pattern, path)), None)


def require_same(found: Sequence[str]) -> None:
    """Raise BuildError, which names the paths, if one is differing that must not."""
    wrong = [path for path in found if excepted(path) is None]
    if not wrong:
        return
    listed = "".join(f"\n  {path}" for path in wrong[:_SHOWN])
    more = f"\n  and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    raise BuildError(
        f"the image made by layers differs from the one made in one go{listed}{more}",
        hint="build again with --refresh, which makes a new root; if it differs again, report these paths",
    )
