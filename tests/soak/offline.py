# SPDX-License-Identifier: Apache-2.0
"""Soak test offline: build the default image from its lock without network, from the cache."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith import pipeline
from goldsmith.build import values
from goldsmith.core import paths, proc
from goldsmith.core.build_folders import find_build
from goldsmith.image.manifest import FILE, Manifest
from goldsmith.image.timings import TimingsRecord
from goldsmith.provenance import lockfile, spec_lock
from goldsmith.spec import load
from goldsmith.spec.load import SUFFIX
from tests.support.builds import invoked

SPEC = "debian-kubelet"
# Prefix of a command: no network except loopback, through which verification reaches its VM.
CUT_OFF = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "offline")
_BUILD_S = 3600


class Offline:
    """Trials of `invoke soak offline`; each is a whole build, with its verification."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.spec = place / "image-specs" / f"{SPEC}{SUFFIX}"

    def prepare(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Build with network, and write the lock beside a copy of the spec."""
        if "locked" in facts and self.spec.exists():
            return dict(facts)
        shutil.copytree(paths.project_root() / "image-specs", self.spec.parent, dirs_exist_ok=True)
        build = pipeline.build(str(self.spec), values.Options(out=self.place / "out", force=True)).folder
        loaded = load.load(str(self.spec), {})
        spec_lock.path_of(loaded).unlink(missing_ok=True)
        spec_lock.lock(loaded, build, upgrade="")
        return {"spec": SPEC, "locked": build.name}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Build without network with --locked, then compare the build with its lock again."""
        log = self.place / f"build-{index + 1}.log"
        words = ("build-image", self.spec, "--locked", "--force", "--out", self.place / "out")
        with invoked(proc.environment(), *words, log=log, behind=CUT_OFF) as building:
            problems = building.expect(0, timeout_s=_BUILD_S)
        if problems:
            return {"problems": problems}
        build = find_build(self.place / "out", SPEC)
        verdict = Manifest.read(build / FILE).verification
        locked = lockfile.read(spec_lock.path_of(load.load(str(self.spec), {})))
        differences = lockfile.compare(locked, lockfile.read(build / spec_lock.FILE).parts())
        timings = TimingsRecord.read(build / "timings.json")
        return {
            "build_id": build.name,
            "stages_s": dict(timings.stages_s),
            "provenance_s": dict(timings.provenance_s),
            "tests": verdict.tests if verdict else 0,
            "problems": [f"{each.part}: {each.what} differs" for each in differences],
        }  # fmt: skip

    def finish(self) -> dict[str, Any]:
        """Remove the builds, which are large."""
        shutil.rmtree(self.place)
        return {"problems": []}
