# SPDX-License-Identifier: Apache-2.0
"""All tasks as one collection, for the command goldsmith and for tasks.py of a checkout."""

from __future__ import annotations

from invoke.collection import Collection

from goldsmith.cli import build, collection, devcloud, development, heat, provenance, publish
from goldsmith.core import paths

_IN_A_CHECKOUT = (development,)  # they run programs below tests/, which a wheel does not have


def offered() -> Collection:
    """The tasks that can run here."""
    return collection.of(
        build, publish, provenance, heat, devcloud, *(_IN_A_CHECKOUT if paths.checkout() else ())
    )


namespace = offered()
