# SPDX-License-Identifier: Apache-2.0
"""Where Invoke finds the tasks in a checkout."""

from __future__ import annotations

from goldsmith.cli.tasks import namespace

__all__ = ["namespace"]
