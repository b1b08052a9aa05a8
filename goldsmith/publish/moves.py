# SPDX-License-Identifier: Apache-2.0
"""Moves of an alias: when it came to a release, who moved it and from where.

Moves are numbered. Before a move, the record of the release gets the line's history with that move at its
end; the call that moves the alias sets the number on the image. A number that no image has is a move that
was interrupted, and does not count. Records are private; the image may be public, so that it has no names.
"""

from __future__ import annotations

import enum
import getpass
import json
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from goldsmith.core.documents import about, as_data
from goldsmith.image import checkout
from goldsmith.publish import release
from goldsmith.publish.release import GlanceImage

MOST, MOST_BYTES = 40, 32 << 10  # that a history keeps; databases of Glance take 64 KiB of text
LONGEST_REASON = 500  # characters
_RUNS = ("CI_JOB_URL", "BUILD_URL", "CIRCLE_BUILD_URL", "BUILDKITE_BUILD_URL")  # GitLab, Jenkins, ...
_GITHUB = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}"


class MoveKind(enum.StrEnum):
    publish = enum.auto()
    rollback = enum.auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Mover:
    """Who moves an alias, and from where. Empty: not known."""

    user: Annotated[str, about("User in the cloud.")] = ""
    project: Annotated[str, about("Project of the user in the cloud.")] = ""
    login: Annotated[str, about("Account on the machine.")] = ""
    host: Annotated[str, about("Name of the machine.")] = ""
    run: Annotated[str, about("URL of the run in the CI system.")] = ""
    reason: Annotated[str, about("Reason that was given.")] = ""

    def text(self) -> str:
        """'alice, ops@build1, https://ci.example.org/7'."""
        place = f"{self.login or '?'}@{self.host}" if self.host else self.login
        return ", ".join(word for word in (self.user, place, self.run) if word) or "?"


NOBODY = Mover()


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """The alias came to a release."""

    number: Annotated[int, about("Counts up with each move of the alias.")]
    at: Annotated[str, about("When, ISO 8601, UTC, by Glance's clock.")]
    kind: Annotated[str, about("`publish` or `rollback`.")]
    build_id: Annotated[str, about("The build that got the alias.")]
    image: Annotated[str, about("ID of its image.")]
    release: Annotated[int, about("Number of the release.")]
    before: Annotated[str, about("The build that had the alias before; empty: none had.")] = ""
    by: Annotated[Mover, about("Who moved it, and from where.")] = NOBODY


def here(user: str, project: str, *, reason: str = "") -> Mover:
    """The mover on this machine. user, project: in the cloud."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):  # an ID without an account
        login = ""
    return Mover(
        user=user, project=project, login=login, host=socket.gethostname(), run=_run(os.environ),
        reason=reason,
    )  # fmt: skip


def _run(environment: Mapping[str, str]) -> str:
    """URL of the CI system's run, without login; empty outside of one that is known."""
    if environment.get("GITHUB_ACTIONS") == "true":
        try:
            return checkout.public_url(_GITHUB.format_map(environment))
        except KeyError:
            return ""
    return checkout.public_url(next((environment[name] for name in _RUNS if environment.get(name)), ""))


def packed(history: Iterable[Move]) -> str:
    """The latest moves as the value of a property: ASCII, since databases of Glance may take no more."""
    kept = [json.dumps(as_data(move), separators=(",", ":")) for move in tuple(history)[-MOST:]]
    while len(kept) > 1 and sum(map(len, kept)) > MOST_BYTES:
        del kept[0]
    return f"[{','.join(kept)}]"


def parsed(text: str) -> tuple[Move, ...]:
    """The moves in a property, in their order; none where it holds something else."""
    try:
        return msgspec.json.decode(text, type=tuple[Move, ...])
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError):
        return ()


def history(images: Iterable[GlanceImage], histories: Mapping[str, str]) -> tuple[Move, ...]:
    """The moves of a line, the latest last. histories: build -> as packed() in its record.

    The image with the highest number has the history up to that number.
    """
    for image in sorted(images, key=lambda image: image.move, reverse=True):
        kept = parsed(histories.get(image.build_id, ""))
        if found := tuple(move for move in kept if move.number <= image.move):
            return found
    return ()


def latest(images: Iterable[GlanceImage]) -> int:
    """The number of the latest move; 0 without one."""
    return max((image.move for image in images), default=0)


def of_holder(
    holder: GlanceImage, images: Iterable[GlanceImage], known: Iterable[Move]
) -> tuple[str | None, Move | None]:
    """Since when the holder has the alias, and the move that gave it; None where that was not kept.

    It was not where the alias was moved without goldsmith, or by one that kept no moves.
    """
    if holder.move < latest(images) or not holder.move:
        return None, None
    found = (move for move in known if (move.number, move.image) == (holder.move, holder.id))
    return holder.properties.get(release.SINCE), next(found, None)
