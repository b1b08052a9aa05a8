# SPDX-License-Identifier: Apache-2.0
"""The steps of a plan that are one call of Glance's each, and the rollback, which has no others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from goldsmith import cloudapi, progress
from goldsmith.errors import PublishError
from goldsmith.glance import Glance
from goldsmith.publishstep import Action, Kind, Plan
from goldsmith.records import Records
from goldsmith.release import Line


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What came of a plan in one cloud. moved_s: seconds in which two images carried the alias.

    upload_s: seconds until Glance had the whole image.
    """

    image: str = ""
    name: str = ""
    number: int = 0
    changed: bool = False
    notes: list[str] = field(default_factory=list)
    moved_s: float | None = None
    upload_s: float | None = None


class Steps:
    """Carries out single steps. Raises PublishError."""

    def __init__(self, glance: Glance, line: Line) -> None:
        self.glance, self.line = glance, line
        self.outcome = Outcome()
        self._named_at: float | None = None
        self._do: dict[Kind, Callable[[Action], object]] = {
            Kind.change: self.change,
            Kind.delete: self.delete,
            Kind.offer: lambda action: glance.offer(action.image, action.detail),
            Kind.withdraw: lambda action: glance.withdraw(action.image, action.detail),
            Kind.activate: lambda action: glance.activate(action.image),
            Kind.deactivate: lambda action: glance.activate(action.image, off=True),
        }

    def do(self, action: Action) -> None:
        """One step of a plan."""
        self._do[action.kind](action)

    def change(self, action: Action) -> None:
        """One call; how long two images carry the alias is noted."""
        self.glance.change(action.image, action.changes)
        if "name" not in action.changes:
            return
        if action.changes["name"][1] == self.line.alias:
            self._named_at = time.monotonic()
        elif self._named_at is not None:
            self.outcome.moved_s = round(time.monotonic() - self._named_at, 3)

    def delete(self, action: Action) -> bool:
        """What the cloud does not let go stays, and that is said; False where it does."""
        try:
            self.glance.delete(action.image)
        except PublishError as e:
            if cloudapi.status_of(e) not in (403, 409):
                raise
            self.outcome.notes.append(f"{action.label} stays: {e}")
            return False
        return True

    def finish(self, plan: Plan, *, notes: Iterable[str] = ()) -> Outcome:
        """The outcome, once every step was done."""
        target = plan.target
        self.outcome.image, self.outcome.number = target.id, target.number
        self.outcome.name = self.line.release_name(target.build_id)
        self.outcome.notes += list(dict.fromkeys(notes))
        progress.note(
            f"{self.glance.cloud}: {self.line.alias} is {self.outcome.name}, release {target.number}"
        )
        return self.outcome


class Rollback(Steps):
    """A release that is there already gets the alias back, if Glance still holds what was published."""

    def __init__(self, glance: Glance, line: Line, records: Records) -> None:
        super().__init__(glance, line)
        self.records = records
        self._do[Kind.check] = self._check

    def run(self, plan: Plan) -> Outcome:
        """All steps in their order."""
        for action in plan.actions:
            self.do(action)
        self.outcome.changed = bool(plan.actions)
        return self.finish(plan, notes=plan.notes)

    def _check(self, action: Action) -> None:
        found = self.glance.get(action.image)
        record = self.records.get(found.build_id) if found else None
        if found is None or found.status != "active":
            raise PublishError(f"{self.glance.cloud}: {action.label} is {found.status if found else 'gone'}")
        held = (record or {}).get("glance")
        if held is None:
            self.outcome.notes.append(f"{action.label} has no record: what Glance holds was not compared")
        elif (found.size, found.hash_value) != (held["size"], held["hash_value"]):
            raise PublishError(
                f"{self.glance.cloud}: Glance no longer holds what was published as {action.label}",
                hint="roll back to another release: scripts/inv images, then --to BUILD",
            )
