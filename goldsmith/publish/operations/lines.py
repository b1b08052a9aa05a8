# SPDX-License-Identifier: Apache-2.0
"""Find the release line that a user names, by its spec or by its alias, and the clouds to ask."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import TypeVar

from goldsmith.core import openstack
from goldsmith.errors import GoldsmithError, HostError, PublishError, SpecError
from goldsmith.publish import desired, release
from goldsmith.publish.model import CurrentState
from goldsmith.publish.release import ReleaseLine
from goldsmith.spec import load
from goldsmith.spec.model import ImageSpec, PublishCloud, Visibility

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedLine:
    """A release line. Without a spec on this machine, the user named its alias; missing says which spec."""

    line: ReleaseLine
    clouds: tuple[PublishCloud, ...]
    spec: ImageSpec | None = None
    missing: SpecError | None = None

    def require_spec(self) -> ImageSpec:
        """The spec. Raises SpecError where only an alias is known."""
        if self.spec is None:
            assert self.missing is not None
            raise self.missing
        return self.spec

    def found_in(self, state: CurrentState, cloud: str) -> ReleaseLine:
        """The line; without a spec, its name and protection are those that the cloud has.

        Raises PublishError for an unknown alias.
        """
        if self.spec is not None:
            return self.line
        if not state.images:
            raise PublishError(
                f"{cloud}: there is neither a spec nor an alias of releases called {self.line.alias}",
                hint="list the aliases: scripts/inv production",
            )
        names = (
            image.name.removesuffix(f"-{image.build_id}")
            for image in state.images
            if image.name.endswith(f"-{image.build_id}")
        )
        holder = release.holder(state.images, self.line.alias)
        is_protected = holder is not None and holder.protected
        return replace(self.line, name=next(names, self.line.alias), protected=is_protected)

    def visibility_in(
        self, cloud: PublishCloud, state: CurrentState
    ) -> tuple[Visibility | None, frozenset[str]]:
        """Visibility and members of the releases; without a spec, those of the release that has the alias."""
        if self.spec is not None:
            return desired.visibility_in(self.spec, cloud)
        holder = release.holder(state.images, self.line.alias)
        if holder is None:
            return None, frozenset()
        return Visibility(holder.visibility), state.members.get(holder.id, frozenset())


def named(name: str, variables: Mapping[str, str], clouds: Sequence[str]) -> NamedLine:
    """The line of a spec, else of an alias. Raises SpecError for a spec with problems."""
    try:
        spec = load.load(name, variables).spec
    except SpecError as e:
        if "/" in name or name.endswith(load.SUFFIX) or name in load.names():
            raise
        line = ReleaseLine(name=name, alias=name)
        return NamedLine(line=line, clouds=_chosen(clouds), missing=e)
    return NamedLine(line=desired.line_of(spec), clouds=desired.clouds_of(spec, clouds), spec=spec)


def require_clouds(found: NamedLine) -> None:
    """Raise SpecError where neither the user, the spec nor the environment names a cloud."""
    if found.clouds:
        return
    if found.missing is not None:
        raise found.missing
    raise SpecError(
        f"the spec {found.line.name} names no cloud to publish to",
        hint="name one: --cloud NAME, the key publish.clouds, or OS_CLOUD",
    )


def all_clouds(names: Sequence[str]) -> tuple[PublishCloud, ...]:
    """The named clouds, else the environment's, else all of clouds.yaml. Raises SpecError without any."""
    found = _chosen(names) or tuple(PublishCloud(name=name) for name in openstack.cloud_names())
    if not found:
        raise SpecError("no cloud is known", hint="name one: --cloud NAME, OS_CLOUD, or write clouds.yaml")
    return found


def _chosen(names: Sequence[str]) -> tuple[PublishCloud, ...]:
    if names:
        return tuple(PublishCloud(name=name) for name in dict.fromkeys(names))
    if os.environ.get("OS_CLOUD") or os.environ.get("OS_AUTH_URL"):
        return (PublishCloud(name=os.environ.get("OS_CLOUD", "")),)
    return ()


def in_parallel(
    clouds: Sequence[PublishCloud],
    call: Callable[[PublishCloud], T],
    *,
    interrupted: Callable[[], None] = lambda: None,
) -> list[T]:
    """The results of a call for each cloud, in their order. interrupted: called if the user interrupts."""
    if len(clouds) == 1:
        return [call(clouds[0])]
    with ThreadPoolExecutor(len(clouds)) as pool:
        try:
            running = [pool.submit(copy_context().run, call, cloud) for cloud in clouds]
            return [each.result() for each in running]
        except BaseException:
            interrupted()
            raise


def failure(cloud: str, error: GoldsmithError | OSError) -> GoldsmithError:
    """An error as that of a cloud."""
    return error if isinstance(error, GoldsmithError) else HostError(f"{cloud}: {error}")
