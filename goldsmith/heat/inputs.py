# SPDX-License-Identifier: Apache-2.0
"""What Heat is tried with: a verified build, its pods, its agent's hooks, and the project's templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from goldsmith.core import paths
from goldsmith.errors import SpecError


def template(name: str) -> Path:
    """One of the project's Heat templates."""
    return paths.project_root() / "heat-templates" / name


def pods_of(build: Path) -> list[dict[str, Any]]:
    """What the image is verified with. Raises SpecError where its spec has no pods."""
    spec = yaml.safe_load((build / "spec.yaml").read_text())
    pods = list((spec.get("verify") or {}).get("pods") or [])
    if not pods or not hooks_of(build):
        raise SpecError(
            f"{spec['name']} has no Heat agent, or no pods to run by it", hint="keys heat-agent, verify.pods"
        )
    return pods


def hooks_of(build: Path) -> list[str]:
    """Of the image's Heat agent; none where it has no agent."""
    spec = yaml.safe_load((build / "spec.yaml").read_text())
    return list((spec.get("heat-agent") or {}).get("hooks") or [])
