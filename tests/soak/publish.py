# SPDX-License-Identifier: Apache-2.0
"""Publications of the tiny image to a real Glance: killed at random moments, or watched by clients."""

from __future__ import annotations

import contextlib
import random
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldsmith.core import build_folders, progress, wait
from goldsmith.devcloud import lifecycle
from goldsmith.devcloud.start import Options
from goldsmith.errors import BuildError
from goldsmith.image.manifest import FILE, Manifest
from goldsmith.publish import desired, observe, release
from goldsmith.publish.glance import Glance
from goldsmith.publish.release import GlanceImage
from goldsmith.spec import load
from tests.support.builds import SPEC, Place, invoked

CLOUD = "soak-publish"
_BUILDS = 3
_BUILD_S, _PUBLISH_S = 900, 120
_CLIENTS = 2
_PAUSE_S = 0.01  # of a client between two look-ups
_KILL_WITHIN = (0.2, 1.1)  # of the time that a publication takes


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishPlace(Place):
    """A Place whose tasks know the cloud."""

    clouds_yaml: Path

    def environment(self) -> dict[str, str]:
        return {**Place.environment(self), "OS_CLIENT_CONFIG_FILE": str(self.clouds_yaml)}


@dataclass(kw_only=True, slots=True)
class Seen:
    """What clients saw that looked an alias up continuously. two_s: the longest time with two names."""

    lookups: int = 0
    two_names: int = 0
    no_name: int = 0
    two_s: float = 0.0
    wrong: list[str] = field(default_factory=list)  # by the rule


class _Publications:
    """Common to both kinds of trials: a cloud of Keystone and Glance, and builds to publish in turn."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ends = contextlib.ExitStack()

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Builds are kept for a resumed run; the cloud is a new one each time."""
        running = self._ends.enter_context(lifecycle.owned(CLOUD, Options(services=("glance",))))
        self.place = PublishPlace(root=self.root, clouds_yaml=running.clouds_yaml)
        for folder in (self.place.scratch, self.place.out, self.place.cache):
            folder.mkdir(parents=True, exist_ok=True)
        self.builds = self._built()
        self.sha512 = {build.name: _sha512(build) for build in self.builds}
        self.line = desired.line_of(load.load(str(SPEC), {}).spec)
        self.glance = Glance(CLOUD, clouds_yaml=running.clouds_yaml)
        for build in self.builds[-2:]:  # the second one is watched, and moves the alias, as all others will
            start = time.monotonic()
            with self._watched() if build == self.builds[-1] else contextlib.nullcontext():
                problems = self._published(build)
            if problems:
                raise BuildError(f"cannot publish: {problems[0]}")
        self.usual_s = time.monotonic() - start
        return {"builds": [build.name for build in self.builds], "usual_s": round(self.usual_s, 1)}

    def finish(self) -> dict[str, Any]:
        """The cloud ends; builds go too."""
        self._ends.close()
        shutil.rmtree(self.root, ignore_errors=True)
        return {"problems": []}

    def _built(self) -> list[Path]:
        def found() -> list[Path]:
            return sorted(b for b in (self.place.out / "tiny").glob("2*") if build_folders.is_verified(b))

        while len(found()) < _BUILDS:
            with (
                progress.step(f"build {len(found()) + 1} of {_BUILDS}"),
                invoked(
                    self.place.environment(), "build-image", SPEC, "--force", log=self.root / "build.log"
                ) as running,
            ):
                if problems := running.expect(0, timeout_s=_BUILD_S):
                    raise BuildError(f"the tiny image cannot be built: {problems[0]}")
        return found()[:_BUILDS]

    def _words(self, build: Path) -> tuple[str | Path, ...]:
        return ("publish", SPEC, "--cloud", CLOUD, "--build", build.name)

    def _published(self, build: Path) -> list[str]:
        with invoked(self.place.environment(), *self._words(build), log=self.root / "publish.log") as running:
            return running.expect(0, timeout_s=_PUBLISH_S)

    def _delete_release(self, build: Path) -> None:
        """Delete what was published of a build, unless it holds the alias, so that it is uploaded again."""
        state = observe.current_state(self.glance, self.line)
        for image in state.images:
            if image.build_id == build.name and image.name != self.line.alias:
                for each in (image.id, *state.records.get(build.name, ())):
                    self.glance.delete(each)

    def _settled(self, build: Path) -> list[str]:
        """Problems after a successful publication."""
        state = observe.current_state(self.glance, self.line)
        names = [image.build_id for image in state.images if image.name == self.line.alias]
        staged = [image.id for image in state.images if not image.is_released]
        problems = [] if names == [build.name] else [f"the plain name is on {names}, not on {build.name}"]
        return problems + [f"left: {each}" for each in (*staged, *state.unfinished_records)]

    def _wrong(self, image: GlanceImage | None) -> str | None:
        """The problem with the image that the rule gave, if any."""
        if image is None:
            return "the rule gives no image"
        if not image.is_released or image.status != "active":
            return f"the rule gives {image.build_id}, which is {image.status}"
        good = self.sha512.get(image.build_id) == image.hash_value
        return None if good else f"the rule gives {image.build_id} with other bytes"

    @contextlib.contextmanager
    def _watched(self) -> Iterator[Seen]:
        """Clients with separate connections look the alias up continuously during the block."""
        seen, over, lock = Seen(), threading.Event(), threading.Lock()

        def watch() -> None:
            glance, two_since = Glance(CLOUD, clouds_yaml=self.place.clouds_yaml), 0.0
            while not over.is_set():
                found = observe.images_named(glance, self.line.alias)
                wrong = self._wrong(release.holder(found, self.line.alias))
                now = time.monotonic()
                two_since = (two_since or now) if len(found) > 1 else 0.0
                with lock:
                    seen.lookups += 1
                    seen.two_names += len(found) > 1
                    seen.no_name += not found
                    seen.two_s = max(seen.two_s, now - two_since if two_since else 0.0)
                    seen.wrong += [wrong] if wrong else []
                over.wait(_PAUSE_S)

        clients = [threading.Thread(target=watch) for _ in range(_CLIENTS)]
        for client in clients:
            client.start()
        try:
            yield seen
        finally:
            over.set()
            for client in clients:
                client.join()


class Kills(_Publications):
    """Trials of `invoke soak publish`: kill a publication with -9, then run it again."""

    def one(self, index: int, choice: random.Random) -> dict[str, Any]:
        """The rule always gives a good image; the rerun leaves the plain name on exactly one."""
        build = self.builds[index % _BUILDS]
        self._delete_release(build)
        after_s = choice.uniform(*_KILL_WITHIN) * self.usual_s
        with self._watched() as seen:
            log = self.root / "killed.log"
            with invoked(self.place.environment(), *self._words(build), log=log) as running:
                with contextlib.suppress(wait.Died, wait.Deadline):
                    wait.wait_until(
                        lambda: False, timeout_s=after_s, alive=lambda: running.process.poll() is None
                    )
                ended = running.process.poll() is not None
                lines = log.read_text(errors="replace").splitlines()
                running.kill(whole_group=True)
            found = observe.images_named(self.glance, self.line.alias)
            holder = release.holder(found, self.line.alias)
            wrong = self._wrong(holder)
            problems = [wrong] if wrong else []
            problems += self._published(build)
        problems += [*self._settled(build), *sorted(set(seen.wrong))]
        return {
            "killed_after_s": round(after_s, 2), "had_ended": ended,
            "alias_had_moved": holder is not None and holder.build_id == build.name, "names": len(found),
            "said_last": lines[-1].strip() if lines else "",
            "lookups": seen.lookups, "problems": problems,
        }  # fmt: skip


class Watched(_Publications):
    """Trials of `invoke soak publish-names`: releases, while clients look up the plain name."""

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """One release. The rule always gives one good image; the name alone gives two for a moment."""
        build = self.builds[index % _BUILDS]
        self._delete_release(build)
        with self._watched() as seen:
            problems = self._published(build)
        problems += [*self._settled(build), *sorted(set(seen.wrong))]
        problems += [f"{seen.no_name} look-ups found no name"] if seen.no_name else []
        return {
            "lookups": seen.lookups, "with_two_names": seen.two_names, "longest_two_s": round(seen.two_s, 3),
            "problems": problems,
        }  # fmt: skip


def _sha512(build: Path) -> str:
    return Manifest.read(build / FILE).disk.sha512
