# SPDX-License-Identifier: Apache-2.0
"""`soak fleet`: images of many specs that share a root, made one after the other without verification."""

from __future__ import annotations

import random
import resource
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from goldsmith.core import paths, runs
from goldsmith.image import disk
from goldsmith.spec.model import ImageSpec
from tests.support.layered_images import Images

SPEC = "debian-kubelet"
MEDIAN_S = 15.0  # on two cores, for each image but the first
_GROWS = 1.1  # memory of this process, from the second trial to the last


class Fleet:
    """Trials of an image each: the default spec with other containers, pods, and a name of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._seconds: list[float] = []
        self._memory_mib: list[float] = []
        self._made = 0

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing to prepare: the first trial makes the root, unless the cache has it."""
        return {"spec": SPEC, "median_s": MEDIAN_S}

    def one(self, index: int, choice: random.Random) -> dict[str, Any]:
        """Make an image and report its seconds, from the bundle that is there to the finished qcow2."""
        with runs.run() as run:
            images = Images(SPEC, run, lambda spec: other(spec, index, choice))
            start = time.monotonic()
            layer = images.root("root")
            image = images.by_layers("image", layer)
            size = disk.take_in(image, images.spec, _folder(run.folder / "taken"))[0].size
            seconds = round(time.monotonic() - start, 2)
        self._made += not layer.reused
        self._seconds.append(seconds)
        self._memory_mib.append(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1))
        return {
            "root": "from the cache" if layer.reused else "made", "seconds": seconds, "size": size,
            "memory_mib": self._memory_mib[-1], "cache_mib": _mib(paths.cache_root()), "problems": [],
        }  # fmt: skip

    def finish(self) -> dict[str, Any]:
        """Judge the trials of this run."""
        rest = self._seconds[1:] or self._seconds
        median = round(statistics.median(rest), 2) if rest else 0.0
        problems = [f"the root was made {self._made} times"] if self._made > 1 else []
        if median > MEDIAN_S:
            problems.append(f"an image takes {median} s, at most {MEDIAN_S} are asked for")
        memory = self._memory_mib[1:]
        if memory and memory[-1] > memory[0] * _GROWS:
            problems.append(f"memory grew from {memory[0]} to {memory[-1]} MiB")
        return {"median_s": median, "problems": problems}


def other(spec: ImageSpec, index: int, choice: random.Random) -> ImageSpec:
    """The spec with a name of its own, some of its containers, and the pods that these can run."""
    optional = [each for each in spec.containers if not each.ref.startswith("goldsmith.local/pause:")]
    taken = {each.ref for each in choice.sample(optional, choice.randint(1, len(optional)))}
    containers = tuple(each for each in spec.containers if each not in optional or each.ref in taken)
    pods = tuple(
        pod for pod in spec.verify.pods
        if all(container["image"] in taken for container in pod["spec"]["containers"])
    )  # fmt: skip
    verify = replace(spec.verify, pods=pods, memory_mib=2048 + index)
    return replace(spec, name=f"fleet-{index}", containers=containers, verify=verify)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _mib(folder: Path) -> int:
    """What a folder takes on its disk."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*")) >> 20
