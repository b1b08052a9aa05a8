# SPDX-License-Identifier: Apache-2.0
"""Tags of pinned container images that stand for something else than what is pinned."""

from __future__ import annotations

from collections.abc import Iterator

from goldsmith import lockfile, progress, registry
from goldsmith.errors import BuildError, HostError
from goldsmith.lockfile import Move
from goldsmith.spec import ImageSpec
from goldsmith.workspace import Run


def find(spec: ImageSpec, run: Run) -> Iterator[Move]:
    """Every NAME:TAG@DIGEST of a spec whose registry has another digest for the tag by now.

    The build takes what is pinned, so this is for a person to know. What cannot be found out is said.
    """
    for container in spec.containers:
        if container.registry is None:
            continue
        bare, _, pinned = container.registry.partition("@")
        try:
            found = registry.tagged(container.registry, run=run, log_path=run.folder / "tags.log")
        except (BuildError, HostError) as e:
            progress.note(f"whether the tag of {bare} has moved is not known: {e}")
            continue
        if found and pinned not in found:
            yield Move(part="containers", what=bare, locked=pinned, found=found[0], who=lockfile.UPSTREAM)
