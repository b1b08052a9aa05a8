# SPDX-License-Identifier: Apache-2.0
"""`python -m tests [--junit FILE]`: lint, then every suite, with one JUnit report."""

from __future__ import annotations

import argparse
from pathlib import Path

from goldsmith.core import paths
from tests.support import everything, program


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests")
    parser.add_argument("--junit", type=Path)
    given = parser.parse_args()
    junit = given.junit or paths.out_root() / "test" / "junit.xml"
    program.run(lambda: everything.run(junit))


if __name__ == "__main__":
    main()
