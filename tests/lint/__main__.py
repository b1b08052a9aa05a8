# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.lint`: every linter."""

from __future__ import annotations

from tests.lint import linters
from tests.support import program

if __name__ == "__main__":
    program.run(linters.lint)
