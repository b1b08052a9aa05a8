# SPDX-License-Identifier: Apache-2.0
"""What came of publishing, as people and programs read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from goldsmith import cli, inventory

if TYPE_CHECKING:
    from goldsmith.inventory import Orphan, Row
    from goldsmith.publishroad import Result


def show(results: Sequence[Result], schema: str, *, as_json: bool) -> None:
    """One answer for all clouds, on standard output; errors are raised elsewhere."""
    if as_json:
        cli.print_json(schema, {"clouds": [result.as_dict() for result in results]})
    else:
        for result in results:
            print("\n".join(_lines(result)))


def show_images(found: Mapping[str, Sequence[Row]], *, as_json: bool) -> None:
    """A table for each cloud."""
    if as_json:
        answer = {cloud: [row.as_dict() for row in rows] for cloud, rows in found.items()}
        cli.print_json("goldsmith.images", {"clouds": answer})
        return
    for cloud, rows in found.items():
        print(f"{cloud}:")
        print(inventory.table(rows) or "  no releases")


def show_orphans(found: Mapping[str, Sequence[Orphan]], *, cleaned: bool, as_json: bool) -> None:
    """What publications left that were broken off."""
    if as_json:
        answer = {cloud: [each.as_dict() for each in orphans] for cloud, orphans in found.items()}
        cli.print_json("goldsmith.orphans", {"cleaned": cleaned, "clouds": answer})
        return
    for cloud, orphans in found.items():
        print(f"{cloud}:" if orphans else f"{cloud}: nothing was left")
        for each in orphans:
            print(f"  {'removed ' if cleaned else ''}{each.kind} {each.id}  {each.name}  {each.created}")


def _lines(result: Result) -> Iterator[str]:
    cloud = result.cloud or "cloud"
    if result.plan is not None:
        actions = result.plan.actions
        yield f"{cloud}: {len(actions)} steps" if actions else f"{cloud}: nothing to do"
        yield from (line for action in actions for line in action.lines())
        yield from (f"  {note}" for note in result.plan.notes)
    elif result.outcome is not None:
        done = result.outcome
        what = "" if done.changed else ", as before"
        yield f"{cloud}: {done.name} is release {done.number}, image {done.image}{what}"
        yield from (f"  {note}" for note in done.notes)
        if result.notes is not None:
            yield result.notes.text()
    else:
        yield f"{cloud}: failed"
