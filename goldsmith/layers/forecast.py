# SPDX-License-Identifier: Apache-2.0
"""Say whether a root comes from the cache, and if not, what has changed since the nearest one was made."""

from __future__ import annotations

from collections.abc import Mapping

from goldsmith.layers import root, split
from goldsmith.spec.load import LoadedSpec

_LISTED = 4  # parts that a line names


def of_spec(loaded: LoadedSpec) -> str:
    """For a plan, which fetches nothing: as far as it is known now."""
    reason = split.why_not(loaded)
    if reason:
        return reason
    why = of_root(root.parts_of(loaded))
    return why or "the root comes from the cache, unless the package index or the kubelet has changed"


def of_root(parts: Mapping[str, str]) -> str:
    """Why a root of these parts is made anew; empty if the cache has it."""
    changed = root.changed(parts)
    if changed is None:
        return "the root is made anew: the cache has none"
    if not changed:
        return ""
    more = f", and {len(changed) - _LISTED} more" if len(changed) > _LISTED else ""
    return f"the root is made anew: changed since the nearest one: {', '.join(changed[:_LISTED])}{more}"
