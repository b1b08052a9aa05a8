# SPDX-License-Identifier: Apache-2.0
"""Inputs of the acceptance test: a build's pods and hooks, and the project's Heat templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from goldsmith.core import paths
from goldsmith.errors import SpecError
from goldsmith.spec.model import VerifySpec


def template(name: str) -> Path:
    """The path of one of the project's Heat templates."""
    return paths.shipped("heat-templates") / name


def pods_of(build: Path) -> list[dict[str, Any]]:
    """The spec's verify.pods. Raises SpecError if the spec has none, or no Heat agent."""
    spec = _spec(build)
    pods = list((spec.get("verify") or {}).get("pods") or [])
    if not pods or not hooks_of(build):
        raise SpecError(
            f"{spec['name']} has no Heat agent, or no pods to run with it",
            hint="set heat-agent and verify.pods in the spec",
        )
    return pods


def deadlines_of(build: Path) -> tuple[int, int]:
    """Seconds to boot, and then until all pods are ready, on a host with KVM."""
    verify, default = _spec(build).get("verify") or {}, VerifySpec()
    return (
        int(verify.get("boot-deadline", default.boot_deadline_s)),
        int(verify.get("pods-deadline", default.pods_deadline_s)),
    )


def hooks_of(build: Path) -> list[str]:
    """The hooks of the image's Heat agent; none if it has no agent."""
    return list((_spec(build).get("heat-agent") or {}).get("hooks") or [])


def _spec(build: Path) -> dict[str, Any]:
    """The rendered spec of a build, which was checked when it was built."""
    return dict(yaml.safe_load((build / "spec.yaml").read_text()))
