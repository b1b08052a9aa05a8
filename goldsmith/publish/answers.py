# SPDX-License-Identifier: Apache-2.0
"""Answers of the tasks publish, plan-publish and rollback with --json: one entry for each cloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from msgspec import UNSET, UnsetType

from goldsmith.changes.build_diff import BuildDiff
from goldsmith.core.documents import Document, about
from goldsmith.publish.model import Action, Kind
from goldsmith.publish.publisher import CloudResult


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedCloud:
    """What a publication or a rollback did in one cloud. If it failed, there are no keys after `error`."""

    cloud: Annotated[str, about("Name of the cloud in clouds.yaml; empty: the cloud of OS_AUTH_URL.")]
    seconds: Annotated[float, about("How long it took.")]
    error: Annotated[str | None, about("Why it failed; null if it did not.")]
    image: Annotated[str | UnsetType, about("ID of the image that holds the alias.")] = UNSET
    release: Annotated[int | UnsetType, about("Number of the release.")] = UNSET
    name: Annotated[str | UnsetType, about("Name of the release, NAME-BUILD_ID.")] = UNSET
    changed: Annotated[bool | UnsetType, about("Whether anything was changed.")] = UNSET
    notes: Annotated[tuple[str, ...] | UnsetType, about("What a person should know about it.")] = UNSET
    two_names_s: Annotated[
        float | UnsetType | None,
        about("Seconds in which two images had the alias as their name; null if the alias did not move."),
    ] = UNSET
    upload_s: Annotated[
        float | UnsetType | None, about("Seconds of the upload; null if nothing was uploaded.")
    ] = UNSET
    diff: Annotated[
        BuildDiff | UnsetType, about("What changed since the release before, if its record is known.")
    ] = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishAnswer(Document):
    """Answer of publish."""

    SCHEMA: ClassVar[str] = "goldsmith.publish"

    clouds: Annotated[tuple[PublishedCloud, ...], about("One entry for each cloud, in the given order.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class RollbackAnswer(Document):
    """Answer of rollback."""

    SCHEMA: ClassVar[str] = "goldsmith.rollback"

    clouds: Annotated[tuple[PublishedCloud, ...], about("One entry for each cloud, in the given order.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class PropertyChange:
    """Before and after of an attribute or property."""

    before: Annotated[Any, about("The present value; null if absent.")]
    after: Annotated[Any, about("The new value; null if removed.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedAction:
    """One action of a plan."""

    action: Annotated[Kind, about("Kind of the action.")]
    image: Annotated[str, about("ID of the image.")]
    label: Annotated[str, about("Name of the release.")]
    detail: Annotated[str, about("More about it; for `offer` and `withdraw` the ID of a project.")]
    changes: Annotated[
        Mapping[str, PropertyChange], about("Attributes and properties of the image that change.")
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedCloud:
    """What a publication or rollback would do in one cloud. If planning failed, no keys follow `error`."""

    cloud: Annotated[str, about("Name of the cloud in clouds.yaml; empty: the cloud of OS_AUTH_URL.")]
    seconds: Annotated[float, about("How long planning took, if it failed; else 0.")]
    error: Annotated[str | None, about("Why it failed; null if it did not.")]
    image: Annotated[str | UnsetType, about("ID of the image that will hold the alias.")] = UNSET
    actions: Annotated[tuple[PlannedAction, ...] | UnsetType, about("The actions, in their order.")] = UNSET
    notes: Annotated[tuple[str, ...] | UnsetType, about("What a person should know about it.")] = UNSET
    diff: Annotated[
        BuildDiff | UnsetType,
        about("What changed since the release that holds the alias, if its record is known."),
    ] = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishPlanAnswer(Document):
    """Answer of plan-publish."""

    SCHEMA: ClassVar[str] = "goldsmith.publish-plan"

    clouds: Annotated[tuple[PlannedCloud, ...], about("One entry for each cloud, in the given order.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class RollbackPlanAnswer(Document):
    """Answer of rollback with --plan. `diff` is what changes by going back."""

    SCHEMA: ClassVar[str] = "goldsmith.rollback-plan"

    clouds: Annotated[tuple[PlannedCloud, ...], about("One entry for each cloud, in the given order.")]


def published(results: Sequence[CloudResult]) -> PublishAnswer:
    """The answer of publish."""
    return PublishAnswer(clouds=tuple(map(_published, results)))


def rolled_back(results: Sequence[CloudResult]) -> RollbackAnswer:
    """The answer of rollback."""
    return RollbackAnswer(clouds=tuple(map(_published, results)))


def planned(results: Sequence[CloudResult]) -> PublishPlanAnswer:
    """The answer of plan-publish."""
    return PublishPlanAnswer(clouds=tuple(map(_planned, results)))


def planned_rollback(results: Sequence[CloudResult]) -> RollbackPlanAnswer:
    """The answer of rollback with --plan."""
    return RollbackPlanAnswer(clouds=tuple(map(_planned, results)))


def _published(result: CloudResult) -> PublishedCloud:
    error, outcome = None if result.error is None else str(result.error), result.outcome
    if outcome is None:
        return PublishedCloud(cloud=result.cloud, seconds=result.seconds, error=error)
    return PublishedCloud(
        cloud=result.cloud, seconds=result.seconds, error=error, image=outcome.image, release=outcome.number,
        name=outcome.name, changed=outcome.changed, notes=tuple(outcome.notes),
        two_names_s=outcome.two_names_s, upload_s=outcome.upload_s, diff=result.diff or UNSET,
    )  # fmt: skip


def _planned(result: CloudResult) -> PlannedCloud:
    error, plan = None if result.error is None else str(result.error), result.plan
    if plan is None:
        return PlannedCloud(cloud=result.cloud, seconds=result.seconds, error=error)
    return PlannedCloud(
        cloud=result.cloud, seconds=result.seconds, error=error, image=plan.target.id,
        actions=tuple(map(_action, plan.actions)), notes=plan.notes, diff=result.diff or UNSET,
    )  # fmt: skip


def _action(action: Action) -> PlannedAction:
    return PlannedAction(
        action=action.kind, image=action.image, label=action.label, detail=action.detail,
        changes={key: PropertyChange(before=old, after=new) for key, (old, new) in action.changes.items()},
    )  # fmt: skip
