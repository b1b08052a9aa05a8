# SPDX-License-Identifier: Apache-2.0
"""Tasks as users call them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from goldsmith.core import paths
from tests.support import published

INV = paths.project_root() / "scripts" / "inv"


def inv(*words: str, out: Path, timeout_s: float = 3600, **environment: str) -> dict[str, Any]:
    """The answer of `scripts/inv WORDS --json`, which has to succeed and to be what its schema says."""
    env = {**os.environ, "CI": "true", "GOLDSMITH_OUT": str(out), **environment}
    done = subprocess.run(
        [INV, *words, "--json"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=timeout_s
    )
    assert done.returncode == 0, done.stdout.decode()
    answer = dict(json.loads(done.stdout))
    published.check(answer)
    return answer


def task(*words: str, status: int = 0) -> str:
    """What a task prints, on standard output where it succeeds; it has to end with this status."""
    done = subprocess.run(
        [INV, *words], env={**os.environ, "CI": "true"}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    if "--json" in words:
        published.check(json.loads(done.stdout))
    return done.stdout if status == 0 else done.stdout + done.stderr
