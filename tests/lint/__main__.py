# SPDX-License-Identifier: Apache-2.0
"""Run every linter: `python -m tests.lint`."""

from __future__ import annotations

from tests.lint import linters
from tests.support import program

if __name__ == "__main__":
    program.run(linters.lint)
