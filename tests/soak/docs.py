# SPDX-License-Identifier: Apache-2.0
"""Soak test docs: the commands of the documents that take minutes, run as they stand there."""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.core import paths, proc
from goldsmith.errors import GoldsmithError
from goldsmith.image.manifest import FILE, Manifest
from tests.support.checkout import copy_of_the_project

_TRIAL_S = 3 * 3600
_SPEC = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMANDS = re.compile(r"^    ((?:scripts/inv|goldsmith|mkdir|pip|pipx|python3) .*)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """Commands of a page. without: the lines that this trial leaves out; image: what they build."""

    page: str
    heading: str
    image: str
    without: str = r"$."
    prepare: Callable[[Path], None] = lambda _: None

    def section(self) -> str:
        """The text below the heading, up to the next one of any level."""
        text = (paths.project_root() / self.page).read_text(encoding="utf-8")
        found = re.search(rf"^#+ {re.escape(self.heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
        assert found, f"{self.page} has no heading {self.heading}"
        return found[1]

    def commands(self) -> list[str]:
        """One a line, as the page has them."""
        return [line for line in _COMMANDS.findall(self.section()) if not re.search(self.without, line)]


def _spec_of_the_readme(project: Path) -> None:
    (found,) = _SPEC.findall(TOLD["a spec"].section())
    (project / "image-specs/my-image.yaml.j2").write_text(found)


def _site_elsewhere(project: Path) -> None:
    (project / "PATH").mkdir()
    (project / "examples/edge").rename(project / "PATH/edge")


TOLD: Mapping[str, Told] = {
    "two commands": Told(page="README.md", heading="Two commands", image="debian-kubelet", without=" test"),
    "a spec": Told(
        page="README.md", heading="Your own image", image="my-image", without=" init ",
        prepare=_spec_of_the_readme,
    ),
    "a new image": Told(page="README.md", heading="Your own image", image="my-image"),
    "a wheel": Told(page="docs/install.md", heading="From a wheel", image="my-image", without="^pipx"),
    "a site": Told(
        page="examples/edge/README.md", heading="A site of its own: edge", image="edge-gateway",
        prepare=_site_elsewhere,
    ),
}  # fmt: skip


class Documents:
    """Trials of `invoke soak docs`; each runs what one section tells, in a new copy of the project."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing to prepare: each trial begins with nothing but the caches of this host."""
        return {"told": list(TOLD)}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Run the commands of a section; its image has to be verified."""
        name = list(TOLD)[index % len(TOLD)]
        told, project, log = TOLD[name], self.place / "project", self.place / f"{index + 1}.log"
        for old in (project, self.place / "home"):
            shutil.rmtree(old, ignore_errors=True)
        project.mkdir(parents=True)
        copy_of_the_project(project)
        told.prepare(project)
        start = time.monotonic()
        script = "\n".join(["set -eux -o pipefail", *told.commands()])
        try:
            proc.run(
                ["bash", "-c", script], log_path=log, env=self._environment(), cwd=project, timeout_s=_TRIAL_S
            )
        except GoldsmithError as e:
            return {"told": name, "problems": [str(e)]}
        return {
            "told": name,
            "seconds": round(time.monotonic() - start),
            "problems": self._problems(told.image),
        }

    def _environment(self) -> dict[str, str]:
        """As a user's, who has the programs of a Python on PATH and says yes to everything."""
        home = self.place / "home"
        home.mkdir()
        programs = f"{home}/goldsmith/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("GOLDSMITH_OUT")
        }
        cache = {"GOLDSMITH_CACHE": str(paths.cache_root())}
        return {**inherited, **cache, "HOME": str(home), "PATH": programs, "CI": "true"}

    def _problems(self, image: str) -> list[str]:
        found = [*self.place.glob(f"*/**/out/{image}/latest/{FILE}")]
        if len(found) != 1:
            return [f"{len(found)} builds of {image} are the latest of their folder"]
        verdict = Manifest.read(found[0]).verification
        return [] if verdict is not None and verdict.passed else [f"{image} was not verified"]

    def finish(self) -> dict[str, Any]:
        """Remove the copies with their builds, which are large."""
        shutil.rmtree(self.place)
        return {"problems": []}
