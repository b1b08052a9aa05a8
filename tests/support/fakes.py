# SPDX-License-Identifier: Apache-2.0
"""Scripts for the fixture fake: stand-ins of programs that run others."""

from __future__ import annotations

SUDO = 'while [ "$1" = -n ]; do shift; done; exec "$@"'
UNSHARE = (
    'while [ "$1" != goldsmith ]; do shift; done; shift; exec "$@"'  # of core.isolation, without namespaces
)
