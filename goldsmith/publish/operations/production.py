# SPDX-License-Identifier: Apache-2.0
"""Which build is behind each alias of a cloud, since when, and who moved it there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from goldsmith.core.documents import Document, about
from goldsmith.publish import moves, observe, records, release
from goldsmith.publish.glance import Glance
from goldsmith.publish.moves import Move
from goldsmith.publish.operations import asking, lines
from goldsmith.publish.operations.asking import Asked
from goldsmith.publish.release import GlanceImage

_COLUMNS = ("alias", "build", "release", "since", "moved")
NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True, slots=True)
class InProduction:
    """An alias, and the release that has it."""

    alias: Annotated[str, about("The alias.")]
    project: Annotated[str, about("ID of the project that owns the releases.")]
    image: Annotated[str | None, about("ID of the image; null where no release has the alias.")] = None
    build_id: Annotated[str | None, about("ID of the build.")] = None
    release: Annotated[int | None, about("Number of the release.")] = None
    visibility: Annotated[str | None, about("Glance's visibility.")] = None
    since: Annotated[
        str | None, about("When the alias came to it, ISO 8601, UTC; null where goldsmith did not move it.")
    ] = None
    move: Annotated[
        Move | None, about("Who moved it, and from where; null where the record cannot be read or lacks it.")
    ] = None

    def cells(self) -> tuple[str, ...]:
        """As the table has them."""
        how = f"{self.move.kind} by {self.move.by.text()}" if self.move else "?"
        number = "" if self.release is None else str(self.release)
        if self.build_id is None:
            return (self.alias, NOTHING, number, "", "")
        return (self.alias, self.build_id, number, shown_time(self.since), how)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductionAnswer(Document):
    """Answer of production."""

    SCHEMA: ClassVar[str] = "goldsmith.production"

    clouds: Annotated[Mapping[str, tuple[InProduction, ...]], about("Name of a cloud -> its aliases.")]
    errors: Annotated[Mapping[str, str], about("Name of a cloud that did not answer -> why.")] = field(
        default_factory=dict
    )

    def as_text(self) -> str:
        """A table for each cloud that answered."""
        found = []
        for cloud, rows in self.clouds.items():
            cells = [_COLUMNS, *(row.cells() for row in rows)]
            found += [f"{cloud}:", *(table(cells) if rows else ["  no releases"])]
        return "\n".join(found)


def ask(names: Sequence[str], folder: Path | None) -> list[Asked[tuple[InProduction, ...]]]:
    """What each cloud has. names: of clouds; folder: of records that are not in Glance.

    Raises SpecError where no cloud is known.
    """
    return asking.ask(lines.all_clouds(names), lambda glance: find(glance, folder))


def answer(asked: Sequence[Asked[tuple[InProduction, ...]]]) -> ProductionAnswer:
    """The answer of production."""
    return ProductionAnswer(clouds=asking.answers(asked), errors=asking.errors(asked))


def find(glance: Glance, folder: Path | None = None) -> tuple[InProduction, ...]:
    """The aliases of our project, and those of others that we may use. Raises PublishError."""
    own = observe.own_images(glance)
    others = [i for kind in ("", "community") for i in observe.images_named(glance, "", visibility=kind)]
    found: dict[tuple[str, str], dict[str, GlanceImage]] = {}
    for image in (*own, *others):
        if image.is_ours:
            group = found.setdefault((image.properties.get(release.ALIAS, image.name), image.owner), {})
            group[image.id] = image
    kept = (image for image in own if release.RECORD_TAG in image.tags)
    histories = observe.histories_of(kept) if folder is None else records.histories_below(folder)
    return tuple(
        _row(alias, owner, images.values(), histories) for (alias, owner), images in sorted(found.items())
    )


def _row(alias: str, owner: str, images: Iterable[GlanceImage], histories: Mapping[str, str]) -> InProduction:
    images = tuple(images)
    holder = release.holder(images, alias)
    if holder is None:
        return InProduction(alias=alias, project=owner)
    since, move = moves.of_holder(holder, images, moves.history(images, histories))
    return InProduction(
        alias=alias, project=owner, image=holder.id, build_id=holder.build_id, release=holder.number,
        visibility=holder.visibility, since=since, move=move,
    )  # fmt: skip


def shown_time(text: str | None) -> str:
    """'2026-11-28 19:50:34 UTC'; '?' for what is not known."""
    return "?" if text is None else text.replace("T", " ").replace("Z", " UTC")


def table(cells: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns of equal width. What no terminal should get is escaped."""
    shown = [[_printable(cell) for cell in line] for line in cells]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in shown
    ]


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
