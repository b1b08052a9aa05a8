# SPDX-License-Identifier: Apache-2.0
"""The servers that were made from the releases of a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from goldsmith.core.documents import Document, about
from goldsmith.publish.nova import Server
from goldsmith.publish.operations import asking
from goldsmith.publish.operations.asking import Asked, LineIn, Question
from goldsmith.publish.operations.production import shown_time, table


@dataclass(frozen=True, kw_only=True, slots=True)
class UsingServer:
    """A server that was made from a release."""

    id: Annotated[str, about("ID of the server.")]
    name: Annotated[str, about("Name of the server.")]
    project: Annotated[str, about("ID of its project.")]
    status: Annotated[str, about("Nova's status.")]
    created: Annotated[str, about("When it was created, ISO 8601.")]

    @classmethod
    def of(cls, server: Server) -> UsingServer:
        """A server of Nova."""
        return cls(
            id=server.id, name=server.name, project=server.project, status=server.status,
            created=server.created,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class UsedRelease:
    """A release and its servers."""

    build_id: Annotated[str, about("ID of the build.")]
    image: Annotated[str, about("ID of the image.")]
    release: Annotated[int, about("Number of the release.")]
    alias: Annotated[bool, about("Whether it has the alias.")]
    servers: Annotated[tuple[UsingServer, ...], about("The servers, the oldest first.")]

    def lines(self) -> list[str]:
        """For people."""
        count = f"{len(self.servers)} server{'' if len(self.servers) == 1 else 's'}"
        cells = [
            (f"    {each.name}", each.id, each.status, each.project, shown_time(each.created))
            for each in self.servers
        ]
        return [
            f"  {self.build_id}, release {self.release}{', has the alias' if self.alias else ''}: {count}",
            *(table(cells) if cells else ()),
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudServers:
    """The servers of one cloud."""

    all_projects: Annotated[bool, about("Whether servers of all projects were listed, or only ours.")]
    releases: Annotated[tuple[UsedRelease, ...], about("The releases, the newest first.")]

    def lines(self) -> list[str]:
        """For people."""
        hidden = [] if self.all_projects else ["  only the servers of this project: we may not list others"]
        return [*hidden, *(line for each in self.releases for line in each.lines())]


@dataclass(frozen=True, kw_only=True, slots=True)
class ServersAnswer(Document):
    """Answer of servers."""

    SCHEMA: ClassVar[str] = "goldsmith.servers"

    clouds: Annotated[Mapping[str, CloudServers], about("Name of a cloud -> its servers.")]
    errors: Annotated[Mapping[str, str], about("Name of a cloud that did not answer -> why.")] = field(
        default_factory=dict
    )

    def as_text(self) -> str:
        """The releases of each cloud with their servers."""
        found = self.clouds.items()
        return "\n".join(line for cloud, each in found for line in (f"{cloud}:", *each.lines()))


def ask(question: Question) -> list[Asked[CloudServers]]:
    """The servers in each cloud. Raises SpecError."""
    return asking.ask_line(question, find)


def answer(asked: Sequence[Asked[CloudServers]]) -> ServersAnswer:
    """The answer of servers."""
    return ServersAnswer(clouds=asking.answers(asked), errors=asking.errors(asked))


def find(here: LineIn) -> CloudServers:
    """The servers of each release of a line. Raises PublishError."""
    holder, releases, everywhere = here.holder, [], True
    for image in sorted(here.state.images, key=lambda image: image.number, reverse=True):
        if not image.is_released:
            continue
        found, all_projects = here.glance.nova.servers_of(image.id)
        everywhere = everywhere and all_projects
        ordered = sorted(map(UsingServer.of, found), key=lambda server: (server.created, server.id))
        releases.append(
            UsedRelease(
                build_id=image.build_id, image=image.id, release=image.number, alias=image == holder,
                servers=tuple(ordered),
            )
        )  # fmt: skip
    return CloudServers(all_projects=everywhere, releases=tuple(releases))
