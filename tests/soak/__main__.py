# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.soak NAME --times N --seed N --report FILE`: trials of one kind."""

from __future__ import annotations

import argparse
from pathlib import Path

from goldsmith.core import paths
from tests.soak import runner
from tests.support import program


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("name")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    report = given.report or paths.out_root() / "soak" / f"{given.name}-{given.seed}.json"
    program.run(lambda: runner.run(given.name, times=given.times, seed=given.seed, report=report))


if __name__ == "__main__":
    main()
