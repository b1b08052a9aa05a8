# SPDX-License-Identifier: Apache-2.0
"""Soak test rebuild: the default image in one go and by layers from the same inputs: do they differ?"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from goldsmith.core import runs
from goldsmith.layers import comparison
from goldsmith.spec.model import ContainerSpec, Embed, ImageSpec
from tests.support.layered_images import Images

SPEC = "debian-kubelet"


def _verified(spec: ImageSpec, **changes: Any) -> ImageSpec:
    return replace(spec, verify=replace(spec.verify, **changes))


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What a trial changes in the default spec, if anything."""

    name: str
    of: Callable[[ImageSpec], ImageSpec]


_MORE = ContainerSpec(ref="goldsmith.local/more:1", build="containers/redis")
CHANGES = (
    Change(name="nothing", of=lambda spec: spec),
    Change(name="a container more", of=lambda spec: replace(spec, containers=(*spec.containers, _MORE))),
    Change(name="a container less", of=lambda spec: replace(spec, containers=spec.containers[:-1])),
    Change(name="unpacked", of=lambda spec: replace(spec, embed=Embed.unpacked)),
    Change(name="archive", of=lambda spec: replace(spec, embed=Embed.archive)),
    Change(name="a pod less", of=lambda spec: _verified(spec, pods=spec.verify.pods[:-1])),
    Change(name="a verify key", of=lambda spec: _verified(spec, cpus=4)),
    Change(name="a package", of=lambda spec: replace(spec, packages=(*spec.packages, "strace"))),
)  # fmt: skip


class Rebuild:
    """Trials of `invoke soak rebuild`: an image in one go, and by layers, from the same inputs."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Report the paths that may differ."""
        return {
            "spec": SPEC,
            "exceptions": dict(comparison.EXCEPTIONS),
            "changes": [change.name for change in CHANGES],
        }

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Make both images with one of CHANGES and compare their root file systems."""
        change = CHANGES[index % len(CHANGES)]
        with runs.run() as run:
            images = Images(SPEC, run, change.of)
            first, layer = images.in_one_go("in-one-go"), images.root("root")
            if layer.epoch != images.index.epoch:  # which is the date of some files
                layer = images.root("root-of-today", again=True)
            second = images.by_layers("layered", layer)
            found = comparison.differing(first, second, run.folder)
        may = {path: why for path in found if (why := comparison.excepted(path)) is not None}
        return {
            "change": change.name,
            "root": "from the cache" if layer.reused else "made",
            "differing": may,
            "problems": [f"{path} differs" for path in found if path not in may],
        }

    def finish(self) -> dict[str, Any]:
        """Nothing to check."""
        return {"problems": []}
