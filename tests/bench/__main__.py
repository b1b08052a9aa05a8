# SPDX-License-Identifier: Apache-2.0
"""Run benchmarks: `python -m tests.bench [WHAT] [--json]`."""

from __future__ import annotations

import argparse

from goldsmith.cli import common
from tests.bench import runner
from tests.support import program


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("what", nargs="?", default="")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    program.run(lambda: common.show(runner.run(given.what), as_json=given.json), as_json=given.json)


if __name__ == "__main__":
    main()
