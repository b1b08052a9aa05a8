# SPDX-License-Identifier: Apache-2.0
"""Run diskimage-builder as a DibPlan says, and show which hook runs."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import deque
from pathlib import Path

from goldsmith.apt import netns
from goldsmith.apt.netns import ProxySocket
from goldsmith.core import isolation, proc, progress
from goldsmith.errors import BuildError, CommandError
from goldsmith.image.dib_plan import DibPlan

_CLEANUP = re.compile(r"\| (Unmount |Killing chroot |INFO diskimage_builder)")  # lines after the error
_HOOK = re.compile(r"dib-run-parts (Running) \S*/([\w-]+)\.d/(\S+)")


def build(plan: DibPlan, *, log_path: Path, proxy_socket: ProxySocket | None = None) -> Path:
    """Run the plan and return the image. All output goes to log_path; the screen shows the current hook.

    proxy_socket: the build has no network except this proxy.
    """
    plan.block_device_path.write_text(plan.block_device)
    watch, env = _Watch(), environment(plan)
    variables = plan.block_device_path.with_name("environment.json")
    inner = isolation.as_ourselves(plan.argv, env, variables)
    if proxy_socket is not None:
        inner = netns.behind_proxy(inner, proxy_socket)
    argv = isolation.contained(inner, network=proxy_socket is None)
    try:
        proc.run(argv, log_path=log_path, env=env, on_line=watch.line)
    except CommandError as e:
        where = f" in {watch.hook}" if watch.hook else ""
        message = f"diskimage-builder failed{where}" + "".join(f"\n  | {line}" for line in watch.tail)
        raise BuildError(message, hint=e.hint) from e
    if not plan.image.exists():
        raise BuildError(
            f"diskimage-builder succeeded but wrote no image {plan.image}", hint=f"see {log_path}"
        )
    return plan.image


def environment(plan: DibPlan) -> dict[str, str]:
    """Environment of disk-image-create: the plan's variables, and our virtual environment first on PATH.

    Of goldsmith's variables it has only the marker of the run: no image may depend on the others.
    """
    env = {
        name: value
        for name, value in proc.environment().items()
        if not name.startswith("GOLDSMITH_") or name == proc.RUN_MARKER
    }
    return {**env, **plan.env, "PATH": f"{os.path.dirname(sys.executable)}:{env['PATH']}"}


class _Watch:
    """Follows the output of dib-run-parts and shows the current hook."""

    def __init__(self) -> None:
        self.hook: str | None = None
        self._count = 0
        self.tail: deque[str] = deque(maxlen=proc.TAIL_LINES)
        self._start = time.monotonic()

    def line(self, line: str) -> None:
        if not _CLEANUP.search(line):
            self.tail.append(line)
        if match := _HOOK.search(line):
            self.hook = f"{match[2]}.d/{match[3]}"
            self._count += 1
        if self.hook is not None:
            elapsed_s = time.monotonic() - self._start
            progress.live(f"{self.hook} ({self._count}) {elapsed_s:.0f} s")
