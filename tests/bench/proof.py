# SPDX-License-Identifier: Apache-2.0
"""Compare the verification of an image with two bare boots of it: the same image and host, in turns."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from goldsmith.cli.answers import BenchRow
from goldsmith.core import build_folders, paths, progress, removal
from goldsmith.core.runs import Run
from goldsmith.host import accelerator
from goldsmith.image.manifest import FILE
from goldsmith.spec.model import VerifySpec
from goldsmith.verify import session
from goldsmith.verify.guest import Machine

SPEC = "debian-kubelet"
BARE, PROOF = "two bare boots", "the verification"
_USER = "debian"
_TRIALS = 2
_SHUTDOWN_S = 600


def rows(run: Run) -> list[BenchRow]:
    """Median seconds of both. Raises SpecError without a build, VerificationError if a test fails."""
    build = build_folders.find_build(paths.out_root(), SPEC)
    image = next(build.glob("*.qcow2"))
    bare, ours = [], []
    for trial in range(_TRIALS):
        progress.live(f"verification {trial + 1} of {_TRIALS}")
        folder = run.folder / f"trial-{trial}"
        folder.mkdir()
        bare.append(two_boots(image, folder))
        start = time.monotonic()
        out = folder / "verified"
        session.verify_file(image, manifest=build / FILE, out=out, tests=()).require(out)
        ours.append(time.monotonic() - start)
        removal.remove_tree_as_root(folder)
    size = image.stat().st_size
    return [
        BenchRow(what=what, seconds=round(statistics.median(seconds), 2), bytes=size, peak_mib=0.0)
        for what, seconds in ((BARE, bare), (PROOF, ours))
    ]


def two_boots(image: Path, scratch: Path) -> float:
    """Seconds from power-on to SSH, to the end of the shutdown, and from power-on to SSH again."""
    found, settings = accelerator.find(log_path=scratch / "qemu.log"), VerifySpec()
    machine = Machine(
        image, scratch, user=_USER, args=found.args, memory_mib=settings.memory_mib, cpus=settings.cpus
    )
    deadline_s = settings.boot_deadline_s * found.slowness
    start = time.monotonic()
    with machine.powered_on() as vm:
        machine.booted(vm, deadline_s=deadline_s).reboot(timeout_s=_SHUTDOWN_S)
    with machine.powered_on() as vm:
        machine.booted(vm, deadline_s=deadline_s)
        return time.monotonic() - start
