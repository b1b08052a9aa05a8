# SPDX-License-Identifier: Apache-2.0
"""The tasks for the program `invoke` in this checkout: it hands over to the program of goldsmith/cli/."""

from __future__ import annotations

from goldsmith.cli import program

namespace = program.for_invoke()
