# SPDX-License-Identifier: Apache-2.0
"""Tags of pinned container images that stand for something else than what is pinned."""

from __future__ import annotations

from collections.abc import Iterator

from goldsmith import lockfile, registry
from goldsmith.lockfile import Move
from goldsmith.spec import ImageSpec
from goldsmith.workspace import Run


def find(spec: ImageSpec, run: Run) -> Iterator[Move]:
    """Every NAME:TAG@DIGEST of a spec whose registry has another digest for the tag by now.

    That nobody looked at: the build takes what is pinned. Raises BuildError where a registry does not answer.
    """
    for container in spec.containers:
        if container.registry is None:
            continue
        found = registry.tagged(container.registry, run=run, log_path=run.folder / "tags.log")
        bare, _, pinned = container.registry.partition("@")
        if found not in (None, pinned):
            yield Move(part="containers", what=bare, locked=pinned, found=str(found), who=lockfile.UPSTREAM)
