# SPDX-License-Identifier: Apache-2.0
"""Run benchmarks: `python -m tests.bench [WHAT] [--json]`."""

from __future__ import annotations

import argparse
import json

from tests.bench import runner
from tests.support import program


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("what", nargs="?", default="")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    program.run(lambda: show(runner.run(given.what), as_json=given.json), as_json=given.json)


def show(report: dict[str, object], *, as_json: bool) -> None:
    """Print the report, as JSON or as a table."""
    if as_json:
        print(json.dumps({"schema": "goldsmith.bench", "version": 1, **report}, indent=1, sort_keys=True))
    else:
        print(runner.as_table(report))


if __name__ == "__main__":
    main()
