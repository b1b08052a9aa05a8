# SPDX-License-Identifier: Apache-2.0
"""The moves of an alias: publications and rollbacks, when, by whom and from where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from goldsmith.core.documents import Document, about
from goldsmith.publish import moves
from goldsmith.publish.moves import Move
from goldsmith.publish.operations import asking
from goldsmith.publish.operations.asking import Asked, LineIn, Question
from goldsmith.publish.operations.production import shown_time, table

_COLUMNS = ("move", "when", "what", "build", "before", "by")


@dataclass(frozen=True, kw_only=True, slots=True)
class LineHistory:
    """The moves of an alias in one cloud."""

    alias: Annotated[str, about("The alias.")]
    build_id: Annotated[str | None, about("The build that has the alias now; null where none has.")]
    moves: Annotated[tuple[Move, ...], about("The moves, the latest first.")]
    complete: Annotated[
        bool, about("Whether the latest move led to this build, and no number between the moves is missing.")
    ]

    def lines(self) -> list[str]:
        """As a table."""
        if not self.moves:
            return ["  no moves were kept" if self.build_id else "  no release has the alias"]
        rows = [
            (str(move.number), shown_time(move.at), move.kind, move.build_id, move.before or "-",
             move.by.text() + (f" ({move.by.reason})" if move.by.reason else ""))
            for move in self.moves
        ]  # fmt: skip
        lost = [] if self.complete else [f"  not all moves were kept; {self.build_id} has the alias now"]
        return [*lost, *table([_COLUMNS, *rows])]


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryAnswer(Document):
    """Answer of history."""

    SCHEMA: ClassVar[str] = "goldsmith.history"

    clouds: Annotated[Mapping[str, LineHistory], about("Name of a cloud -> the moves of the alias in it.")]
    errors: Annotated[Mapping[str, str], about("Name of a cloud that did not answer -> why.")] = field(
        default_factory=dict
    )

    def as_text(self) -> str:
        """A table for each cloud that answered."""
        found = self.clouds.items()
        return "\n".join(line for cloud, each in found for line in (f"{cloud}: {each.alias}", *each.lines()))


def ask(question: Question) -> list[Asked[LineHistory]]:
    """The moves in each cloud. Raises SpecError."""
    return asking.ask_line(question, find)


def answer(asked: Sequence[Asked[LineHistory]]) -> HistoryAnswer:
    """The answer of history."""
    return HistoryAnswer(clouds=asking.answers(asked), errors=asking.errors(asked))


def find(here: LineIn) -> LineHistory:
    """The moves of a line."""
    images = here.state.images
    known = moves.history(images, here.state.histories)
    holder = here.holder
    first = known[0].number if known else 0
    numbers = [move.number for move in known]
    is_last = bool(known) and holder is not None and known[-1].image == holder.id
    return LineHistory(
        alias=here.line.alias, build_id=holder.build_id if holder else None, moves=tuple(reversed(known)),
        complete=is_last and numbers == list(range(first, moves.latest(images) + 1)),
    )  # fmt: skip
