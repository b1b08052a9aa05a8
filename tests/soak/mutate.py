# SPDX-License-Identifier: Apache-2.0
"""Soak test mutate: break an image in a known way; its verification must fail for that reason."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith.core import build_folders, files, paths, runs
from tests.support import mutations
from tests.support.mutations import MUTATIONS, SPEC


class Mutate:
    """Trials of `invoke soak mutate`: the mutations in turn, on the newest verified build."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Find the image. Raises SpecError if there is no verified build."""
        self.image = build_folders.find_qcow2(paths.out_root(), SPEC)
        return {"image_sha256": files.sha256_of(self.image)}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Verify the image with one mutation."""
        mutation = MUTATIONS[index % len(MUTATIONS)]
        with runs.run() as run:
            out = run.folder / "out"
            out.mkdir()
            target = run.folder / "mutated.qcow2"
            mutations.mutated(self.image, mutation, target)
            return {"mutation": mutation.name, "problems": mutations.judge(target, mutation, out, run)}

    def finish(self) -> dict[str, Any]:
        """Nothing to check: the trials use copies of the image."""
        return {"problems": []}
