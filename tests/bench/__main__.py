# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bench [WHAT] [--json]`: our work and that of the plain tools, in turns."""

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
    program.run(lambda: show(runner.run(given.what), as_json=given.json), as_json=given.json)


def show(report: dict[str, object], *, as_json: bool) -> None:
    """The report, for people or for programs."""
    if as_json:
        common.print_json("goldsmith.bench", report)
    else:
        print(runner.as_table(report))


if __name__ == "__main__":
    main()
