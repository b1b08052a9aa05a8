# SPDX-License-Identifier: Apache-2.0
"""Say whether a root comes from the cache, and if not, what has changed since the nearest one was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from goldsmith.layers import root, split
from goldsmith.spec.load import LoadedSpec

_LISTED = 5  # names in a line


def of_spec(loaded: LoadedSpec) -> str:
    """For a plan, which fetches nothing: as far as it is known now."""
    reason = split.why_not(loaded)
    if reason:
        return reason
    why = of_root(root.parts_of(loaded))
    return why or "the root comes from the cache, unless the package index or the kubelet has changed"


def of_root(parts: Mapping[str, str]) -> str:
    """Why a root of these parts is built again; empty if the cache has it."""
    changed = root.changed(parts)
    if changed is None:
        return "the root is built again: the cache has none"
    if not changed:
        return ""
    return f"the root is built again: changed since the nearest one: {first_of(changed)}"


def first_of(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"
