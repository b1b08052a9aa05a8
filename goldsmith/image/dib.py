# SPDX-License-Identifier: Apache-2.0
"""Run diskimage-builder as a DibPlan says, and show which hook runs."""

from __future__ import annotations

import os
import re
import sys
from collections import deque
from pathlib import Path

from goldsmith.apt import apt_warnings, netns
from goldsmith.apt.netns import ProxySocket
from goldsmith.core import isolation, proc, progress
from goldsmith.errors import BuildError, CommandError
from goldsmith.image.dib_plan import DibPlan

_CLEANUP = re.compile(r"\| (Unmount |Killing chroot |INFO diskimage_builder)")  # lines after the error
_HOOK = re.compile(r"dib-run-parts Running \S*/([\w-]+\.d/\S+)")
_CONVERTS = re.compile(r"Converting image using (qemu-img convert)")
_DONE = re.compile(r"dib-run-parts \S+ completed")
_APT_LACKS = re.compile(r"E: (?:Unable to locate package \S+|Package '\S+' has no installation candidate)")
_NETWORK = re.compile(
    r"Temporary failure resolving|Could not connect|Connection (?:failed|refused|reset|timed out)"
    r"|Network is unreachable|\b50[0234] +[A-Z][a-z]+",
)


def build(plan: DibPlan, *, log_path: Path, proxy_socket: ProxySocket | None = None) -> Path:
    """Run the plan and return the image. All output goes to log_path; the screen shows the current hook.

    proxy_socket: the build has no network except this proxy.
    """
    plan.block_device_path.write_text(plan.block_device)
    env = environment(plan)
    variables = plan.block_device_path.with_name("environment.json")
    inner = isolation.as_ourselves(plan.argv, env, variables)
    if proxy_socket is not None:
        inner = netns.behind_proxy(inner, proxy_socket)
    argv = isolation.contained(inner, network=proxy_socket is None)
    with progress.meter(unit="hook", total=plan.hooks) as meter:
        watch = _Watch(meter)
        try:
            proc.run(argv, log_path=log_path, env=env, on_line=watch.line)
            watch.apt.require_none("the image")
        except CommandError as e:
            tail = "".join(f"\n  | {line}" for line in watch.tail)
            raise BuildError(
                f"diskimage-builder failed{watch.where}{tail}", hint=e.hint, retryable=watch.may_pass
            ) from e
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

    def __init__(self, meter: progress.Meter) -> None:
        self.hook: str | None = None  # the one that runs, or the last one
        self._is_done = False
        self._count, self._work = 0, ""
        self._meter = meter
        self.tail: deque[str] = deque(maxlen=proc.TAIL_LINES)
        self.apt = apt_warnings.Watch()

    def line(self, line: str) -> None:
        self.apt.line(line)
        if not _CLEANUP.search(line):
            self.tail.append(line)
        if match := _HOOK.search(line):
            self.hook, self._is_done = match[1], False
            self._count, self._work = self._count + 1, match[1]
        elif _DONE.search(line):
            self._is_done = True
        elif match := _CONVERTS.search(line):
            self._work = match[1]
        if self.hook is not None:
            self._meter.at(self._count, self._work)

    @property
    def where(self) -> str:
        """' in HOOK' that failed, ' after HOOK' if it had ended; and the package that apt does not find."""
        lacks = next((match[0] for line in self.tail if (match := _APT_LACKS.search(line))), "")
        place = "" if self.hook is None else f" {'after' if self._is_done else 'in'} {self.hook}"
        return f"{place}: {lacks.removeprefix('E: ')}" if lacks else place

    @property
    def may_pass(self) -> bool | None:
        """Whether another attempt may succeed; None: not known."""
        if any(map(_APT_LACKS.search, self.tail)):
            return False
        return True if any(map(_NETWORK.search, self.tail)) else None
