# SPDX-License-Identifier: Apache-2.0
"""Tasks as users call them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from goldsmith import workspace

INV = workspace.project_root() / "scripts" / "inv"


def inv(*words: str, out: Path, timeout_s: float = 1800, **environment: str) -> dict[str, Any]:
    """The answer of `scripts/inv WORDS --json`, which has to succeed."""
    env = {**os.environ, "CI": "true", "GOLDSMITH_OUT": str(out), **environment}
    done = subprocess.run(
        [INV, *words, "--json"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=timeout_s
    )
    assert done.returncode == 0, done.stdout.decode()
    return dict(json.loads(done.stdout))
