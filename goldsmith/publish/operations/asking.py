# SPDX-License-Identifier: Apache-2.0
"""Ask clouds a question: the answer of each, or why it gave none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from goldsmith.errors import GoldsmithError, PublishError, SpecError
from goldsmith.publish import observe, release
from goldsmith.publish.glance import Glance
from goldsmith.publish.model import CurrentState
from goldsmith.publish.operations import lines
from goldsmith.publish.records import Records, ReleaseRecord
from goldsmith.publish.release import GlanceImage, ReleaseLine
from goldsmith.spec.model import PublishCloud

T = TypeVar("T")


class _Report(Protocol):
    def as_text(self) -> str:
        """For people."""


class ReportOnRelease(Protocol):
    """What one cloud says of a release."""

    @property
    def build_id(self) -> str:
        """ID of the build."""

    @property
    def image(self) -> str:
        """ID of the image."""

    @property
    def report(self) -> _Report:
        """What was found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """Which line is asked about. name: of a spec, or an alias. out, records: folders, as publish has them."""

    name: str
    out: Path
    variables: Mapping[str, str]
    clouds: tuple[str, ...] = ()
    records: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LineIn:
    """A release line in one cloud."""

    glance: Glance
    line: ReleaseLine
    state: CurrentState
    records: Records

    @property
    def holder(self) -> GlanceImage | None:
        """The release that has the alias."""
        return release.holder(self.state.images, self.line.alias)

    def release(self, build: str = "") -> GlanceImage:
        """The release of a build; without one, that which has the alias. Raises PublishError."""
        found = self.holder
        if build:
            found = next((i for i in self.state.images if i.build_id == build and i.is_released), None)
        if found is None:
            raise PublishError(
                f"{self.glance.cloud}: there is no release {build or 'in production'} of {self.line.alias}",
                hint="see: scripts/inv images",
            )
        return found

    def record(self, image: GlanceImage) -> ReleaseRecord:
        """The record of a release. Raises PublishError where there is none."""
        found = self.records.get(image.build_id)
        if found is None:
            raise PublishError(
                f"{self.glance.cloud}: there is no record of {self.line.release_name(image.build_id)}",
                hint="name the folder of records: --record DIR; records in Glance are private to a project",
            )
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked(Generic[T]):
    """The answer of one cloud; error is None if it answered."""

    cloud: str
    value: T | None = None
    error: GoldsmithError | None = None


def ask(clouds: Sequence[PublishCloud], question: Callable[[Glance], T]) -> list[Asked[T]]:
    """The answer of each cloud, in their order; one that is away does not keep the others."""

    def one(cloud: PublishCloud) -> Asked[T]:
        try:
            return Asked(cloud=cloud.name, value=question(Glance(cloud.name)))
        except (GoldsmithError, OSError) as e:
            return Asked(cloud=cloud.name, error=lines.failure(cloud.name, e))

    return lines.in_parallel(clouds, one)


def ask_line(question: Question, call: Callable[[LineIn], T]) -> list[Asked[T]]:
    """The answer of each cloud about a line. Raises SpecError where no cloud is named."""
    found = lines.named(question.name, question.variables, question.clouds)
    if found.missing is not None and not found.clouds:
        hint = f"for an alias name its cloud: --cloud NAME, or OS_CLOUD; specs: {found.missing.hint}"
        raise SpecError(str(found.missing), hint=hint)
    lines.require_clouds(found)

    def one(glance: Glance) -> T:
        state = observe.current_state(glance, found.line, with_use=False)
        line = found.found_in(state, glance.cloud)
        records = Records(out=question.out, name=line.name, folder=question.records)
        state = records.with_histories(state)
        return call(LineIn(glance=glance, line=line, state=state, records=records.of_cloud(glance, state)))

    return ask(found.clouds, one)


def answers(asked: Sequence[Asked[T]]) -> dict[str, T]:
    """Cloud -> its answer."""
    return {each.cloud: each.value for each in asked if each.value is not None}


def errors(asked: Sequence[Asked[T]]) -> dict[str, str]:
    """Cloud that gave no answer -> why."""
    return {each.cloud: str(each.error) for each in asked if each.error is not None}


def reports_as_text(clouds: Mapping[str, ReportOnRelease]) -> str:
    """Each report below the cloud and the release that it is on."""
    found = []
    for cloud, each in clouds.items():
        found += [f"{cloud}: {each.build_id}, image {each.image}", each.report.as_text()]
    return "\n".join(found)
