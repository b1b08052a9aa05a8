# SPDX-License-Identifier: Apache-2.0
"""What changed between the release that has an alias and the one that had it before, by their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

from goldsmith.changes import advisories, build_diff
from goldsmith.changes.build_diff import BuildDiff
from goldsmith.changes.sections import NotCompared
from goldsmith.core.documents import Document, about
from goldsmith.errors import PublishError
from goldsmith.publish import moves, release
from goldsmith.publish.operations import asking, bills
from goldsmith.publish.operations.asking import Asked, LineIn, Question
from goldsmith.publish.records import ReleaseRecord
from goldsmith.scan.osv import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseDiffsAnswer(Document):
    """Answer of diff with --previous."""

    SCHEMA: ClassVar[str] = "goldsmith.release-diffs"

    clouds: Annotated[
        Mapping[str, BuildDiff], about("Name of a cloud -> what changed when the alias came to its release.")
    ]
    errors: Annotated[Mapping[str, str], about("Name of a cloud that did not answer -> why.")] = field(
        default_factory=dict
    )

    def as_text(self) -> str:
        """The changes, below the name of each cloud."""
        return "\n".join(f"{cloud}:\n{diff.text()}" for cloud, diff in self.clouds.items())


def ask(question: Question, database: Database | None) -> list[Asked[BuildDiff]]:
    """What changed in each cloud. database: where advisories are looked up. Raises SpecError."""
    return asking.ask_line(question, lambda here: _since_previous(here, database))


def answer(asked: Sequence[Asked[BuildDiff]]) -> ReleaseDiffsAnswer:
    """The answer of diff with --previous."""
    return ReleaseDiffsAnswer(clouds=asking.answers(asked), errors=asking.errors(asked))


def between(old: ReleaseRecord, new: ReleaseRecord, database: Database | None) -> BuildDiff:
    """What changed between two builds, with the advisories that a database knows of them."""
    found = build_diff.between(old.contents(), new.contents())
    if database is None:
        return found
    lack = [str(each.manifest.get("build_id")) for each in (old, new) if each.bill is None]
    if lack:
        why = f"no bill of materials is recorded of {' and '.join(lack)}"
        return replace(found, not_compared=(*found.not_compared, NotCompared(what="advisories", why=why)))
    reports = [
        bills.find(each, f"the bill of {each.manifest.get('build_id')}", database) for each in (old, new)
    ]
    return replace(found, advisories=advisories.between(*reports))


def previous_build(here: LineIn) -> str:
    """The build that had the alias before; empty where there is none, or it is not known.

    After a rollback, that is the one that was rolled back from.
    """
    holder, images = here.release(), here.state.images
    _, move = moves.of_holder(holder, images, moves.history(images, here.state.histories))
    if move is not None:
        return move.before
    before = holder.properties.get(release.PREVIOUS)
    return next((image.build_id for image in images if image.id == before), "")


def _since_previous(here: LineIn, database: Database | None) -> BuildDiff:
    new = here.record(here.release())
    build = previous_build(here)
    old = here.records.get(build) if build else None
    if old is None:
        what = f"no record of the build before, {build}" if build else "no known release before it"
        raise PublishError(
            f"{here.glance.cloud}: {here.release().build_id} has the alias, and there is {what}",
            hint="name two builds: scripts/inv diff OLD NEW --cloud NAME",
        )
    return between(old, new, database)
