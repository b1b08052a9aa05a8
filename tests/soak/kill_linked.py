# SPDX-License-Identifier: Apache-2.0
"""Soak test kill-linked: kill -9 diskimage-builder's builds with the scratch folder behind a link.

Before anything cleans up, stand-ins of /dev and of a folder of the host are mounted in what the dead run
left, as an earlier version's builds did with the real ones. None of their content may change.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith.core import proc, progress
from tests.soak.kill import Kill
from tests.support.builds import BUILD_DEADLINE_S

_IMAGE_S = 20  # about as long as the image stage of the tiny image runs


class KillLinked(Kill):
    """The trials. The scratch folder is named by a link, whose target has another name."""

    def prepare(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Make the link and the stand-ins, then do as Kill does."""
        target = self.place.root / "t"
        target.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self.place.scratch.symlink_to(target.name)
        for path in (self._guard / "dev/block/7:0", self._guard / "srv/deep/deeper/file"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)
        if not (self._guard / "dev/null").exists():
            os.mknod(self._guard / "dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        return super().prepare(facts)

    def one(self, index: int, choice: random.Random) -> dict[str, Any]:
        """Kill a build in its image stage, mount the stand-ins in its folder, clean up, compare them."""
        before, devices = digest_of(self._guard), names_of(Path("/dev"))
        answer: dict[str, Any] = {"killed": "group" if index % 2 else "process"}
        with self._building(self.place.root / "victim.log") as victim:
            victim.wait_for_text("image ...", timeout_s=BUILD_DEADLINE_S)
            answer["after_s"] = round(choice.random() * _IMAGE_S, 1)
            if proc.ends_within(victim.process, answer["after_s"]):
                answer["killed"] = "nothing: the build was over"
            victim.kill(whole_group=bool(index % 2))
            progress.note(f"killed {answer['killed']} {answer['after_s']} s into the image stage")
            traces = self.place.traces()
            for name in traces.runs:
                self._mount(self.place.scratch.resolve() / name)
        answer["survived"] = [self._without_paths(line) for line in traces.survived]
        problems = [*self._clean(by_build=index // 2 % 2 == 1), *self.place.remains(traces)]
        if digest_of(self._guard) != before:
            problems.append("the stand-ins are not what they were")
        if lost := devices - names_of(Path("/dev")):
            problems.append(f"/dev has lost {sorted(lost)}")
        return {**answer, "problems": problems}

    @property
    def _guard(self) -> Path:
        return self.place.root / "guard"

    def _mount(self, run: Path) -> None:
        for name in ("dev", "srv"):
            (run / f"left-{name}").mkdir()
            proc.capture(["mount", "--bind", self._guard / name, run / f"left-{name}"])


def digest_of(folder: Path) -> str:
    """A hash over path, kind, mode, owner, device and content of all in a folder."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(about.st_mode) else b""
        found.update(repr((str(path), about.st_mode, about.st_uid, about.st_rdev, content)).encode())
    return found.hexdigest()


def names_of(folder: Path) -> set[str]:
    """Names in /dev, but for loop devices and terminals, which come and go."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(("loop", "pts", "tty", "dm-"))}
