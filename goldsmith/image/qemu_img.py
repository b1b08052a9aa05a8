# SPDX-License-Identifier: Apache-2.0
"""Call qemu-img: inspect, convert and compare disk images, create overlays (qemu-img(1))."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith.core import proc, progress
from goldsmith.spec.model import Compression

_TIMEOUT_S = 1800  # to read or write a whole disk image
_DONE = re.compile(r"\((\d+\.\d+)/100%\)")


def info(image: Path, *, format_: str | None = None) -> Mapping[str, Any]:
    """The output of `qemu-img info` for an image. format_: its format, if known. Raises CommandError."""
    known = () if format_ is None else ("-f", format_)
    found: Mapping[str, Any] = json.loads(proc.capture(["qemu-img", "info", "--output=json", *known, image]))
    return found


def convert(image: Path, target: Path, to: str, *, format_: str | None = None) -> None:
    """Convert image to the format `to`. format_: format of image, if known. Raises CommandError."""
    known = () if format_ is None else ("-f", format_)
    _shown(f"convert {image.name} to {to}", "convert", *known, "-O", to, image, target)


def make_qcow2(raw: Path, target: Path, compression: Compression) -> None:
    """Convert a raw image to a qcow2 with that compression. Raises CommandError."""
    options = {
        Compression.zstd: ("-c", "-o", "compression_type=zstd"),
        Compression.zlib: ("-c",),
        Compression.none: (),
    }[compression]
    _shown(f"convert {raw.name} to qcow2", "convert", *options, "-f", "raw", "-O", "qcow2", raw, target)


def require_identical(one: Path, its_format: str, other: Path, others_format: str) -> None:
    """Raise CommandError unless two images have the same contents."""
    _shown(
        f"compare {one.name} with {other.name}", "compare", "-f", its_format, "-F", others_format, one, other
    )


def _shown(title: str, command: str, *words: proc.Arg) -> None:
    """Run a command that reads a whole image, and show how far it is."""
    with progress.meter(title, unit=progress.PERCENT, total=100) as meter:

        def show(part: str) -> None:
            if match := _DONE.search(part):
                meter.at(float(match[1]))

        proc.follow(("qemu-img", command, "-p", *words), on_part=show, timeout_s=_TIMEOUT_S)


def create_overlay(image: Path, target: Path, *, format_: str, grow_mib: int) -> None:
    """Create a qcow2 overlay of image (in format_) that is grow_mib larger. Nothing writes to image."""
    proc.capture(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", format_, target])
    if grow_mib:
        proc.capture(["qemu-img", "resize", "-q", target, f"+{grow_mib}M"])


def version() -> str:
    """The version of qemu-img, as 10.0.3."""
    return proc.capture(["qemu-img", "--version"]).splitlines()[0].split()[2]
