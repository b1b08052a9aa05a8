# SPDX-License-Identifier: Apache-2.0
"""Find the hook for a deployment's group, run it, and make its answer one that Heat can be sent."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heat_config import given
from heat_config.deployment import Deployment

_LOG = logging.getLogger("heat-config")
# Groups without a hook: before this pass os-apply-config wrote the image's templates with their configs.
_APPLIED_BEFORE = frozenset(("os-apply-config", "Heat::Ungrouped"))
_OWN_TEMPLATES = frozenset(("etc/os-collect-config.conf", "run/heat-config/heat-config"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Hooks:
    """The image's programs and templates for deployments."""

    # the second is where heat-agents' elements install; $HEAT_CONFIG_HOOKS comes before both
    folders: tuple[Path, ...] = (
        Path("/usr/libexec/heat-config/hooks"), Path("/var/lib/heat-config/hooks")
    )  # fmt: skip
    templates: Path = Path("/usr/libexec/os-apply-config/templates")
    oom_score: Path = Path("/proc/self/oom_score_adj")

    def not_runnable(self, each: Deployment) -> str:
        """Why nothing in this image runs a deployment; empty if something does."""
        if each.problem:
            return f"Heat's metadata of it cannot be read: {each.problem}"
        if self._find(each.group):
            return ""
        if each.group in _APPLIED_BEFORE:
            is_applied = each.action in given.ENDS or self._written()
            return "" if is_applied else f"this image has neither hook nor template for group {each.group!r}"
        there = sorted({path.name for folder in self._all() if folder.is_dir() for path in folder.iterdir()})
        return f"this image has no hook for group {each.group!r}; it has: {', '.join(there) or 'none'}"

    def answer(self, each: Deployment) -> dict[str, Any]:
        """The answer for Heat: the hook's own, or the reason why there is none."""
        if why := self.not_runnable(each):
            return {"deploy_stdout": "", "deploy_stderr": why, "deploy_status_code": 1}
        hook = self._find(each.group)
        if hook is None:
            files = ", ".join(self._written())
            said = f"os-apply-config has written {files}" if files else "there is nothing to end"
            return {"deploy_stdout": said, "deploy_stderr": "", "deploy_status_code": 0}
        _LOG.info("%s: %s by the hook %s", each.name, each.action, hook)
        return self._run(hook, each.for_hook)

    def _run(self, hook: Path, config: Mapping[str, Any]) -> dict[str, Any]:
        done = subprocess.run(
            # the hook must not outlive its pass: the next pass would run it a second time in parallel
            ["setpriv", "--pdeathsig", "KILL", os.fspath(hook)], input=json.dumps(config).encode(),
            capture_output=True, check=False, preexec_fn=self._unprotected,
        )  # fmt: skip
        out, said = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        answer = {"deploy_stdout": "", "deploy_stderr": said, "deploy_status_code": done.returncode}
        try:
            answer |= json.loads(out)
            json.dumps(answer)
        except (ValueError, TypeError, RecursionError):
            if done.returncode == 0:
                said += f"the hook {hook} ended with status 0, but printed no answer as JSON\n"
            status = done.returncode or 1
            return {"deploy_stdout": out, "deploy_stderr": said, "deploy_status_code": status}
        return answer

    def _unprotected(self) -> None:
        """The kernel spares the agent when memory runs out, but not what a deployment runs."""
        with contextlib.suppress(OSError, ValueError):
            if int(self.oom_score.read_text()) < 0:
                self.oom_score.write_text("0")

    def _find(self, group: str) -> Path | None:
        name = "".join(c for c in group if c.isalnum() or c in "-_")
        found = (folder / name for folder in self._all() if name)
        return next((path for path in found if os.access(path, os.F_OK)), None)

    def _all(self) -> tuple[Path, ...]:
        named = os.environ.get("HEAT_CONFIG_HOOKS")
        return (Path(named), *self.folders) if named else self.folders

    def _written(self) -> list[str]:
        """The files that os-apply-config writes besides those of the agent itself."""
        found = {
            path.relative_to(self.templates).as_posix()
            for path in self.templates.rglob("*") if path.is_file()
        }  # fmt: skip
        return sorted(name for name in found - _OWN_TEMPLATES if not name.endswith(".oac"))
