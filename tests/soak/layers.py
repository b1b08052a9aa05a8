# SPDX-License-Identifier: Apache-2.0
"""`soak layers`: what happens to the layers of an image when something goes wrong while they are made."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from goldsmith.core import paths, wait
from goldsmith.errors import HostError
from goldsmith.layers import root
from tests.support import small_disks
from tests.support.builds import Invocation, Place, invoked

SPEC = Path(__file__).parent / "shapes/one-container.yaml.j2"
_TAKEN = ("container", "debian", "index", "kubelet", "layer", "layer-content", "pod-schema")  # from this host
_STEP_S, _END_S = 900, 300
_INTERRUPTED = 130
_WAY_IN = "install.d/"  # in the log of a root that is half made
_MADE, _REUSED = "build the root ...", "the root is in the cache"
_EMBEDDING, _BUILT = "embed and seal ...", "boot ..."
_WAITING = "waiting for another process that makes the same root"
_DISK_MIB = 9000  # more than preflight asks for
_NO_ROOM, _WHY = {3, 4}, ("No space left on device", "Input/output error")  # the latter of a sparse loop disk


class Layers:
    """Trials of one mishap each. Whatever a build left is removed, and the next one has a sound image."""

    def __init__(self, place: Path) -> None:
        self.place = Place(root=place)

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Take what the root is made of from the cache of this host, but no root. Raises HostError."""
        if os.geteuid() != 0:
            raise HostError("soak layers mounts small disks, which takes root", hint="run it as root")
        for folder in (self.place.scratch, self.place.out, self.place.cache):
            folder.mkdir(parents=True, exist_ok=True)
        for kind in _TAKEN:
            for entry in (paths.cache_root() / kind).glob("[!.]*"):
                if not (taken := self.place.cache / kind / entry.name).exists():
                    shutil.copytree(entry, taken, symlinks=True, copy_function=_linked)
        return {"spec": SPEC.name.partition(".")[0], "mishaps": [name for name, _ in MISHAPS]}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Let a mishap happen; report what is wrong afterwards."""
        name, happen = MISHAPS[index % len(MISHAPS)]
        try:
            problems = happen(self)
        except (wait.Died, wait.Deadline, subprocess.TimeoutExpired) as e:
            problems = [f"{type(e).__name__}: {e}"]
        return {"mishap": name, "problems": [*problems, *self.place.remains()]}

    def finish(self) -> dict[str, Any]:
        """Remove the builds."""
        shutil.rmtree(self.place.root)
        return {"problems": []}

    def two_at_once(self) -> list[str]:
        """Two builds want a root that is not there: one makes it, the other waits and takes it."""
        self._forget_roots()
        with self._building("one") as one, self._building("other") as other:
            answers = [_until_built(build) for build in (one, other)]
        said = [text for text, _ in answers]
        waiting = [text for text in said if _WAITING in text]
        return [
            *(problem for _, problems in answers for problem in problems),
            *_unless(sorted(_MADE in text for text in said) == [False, True], "the root was not made once"),
            *_unless(len(waiting) == 1 and _REUSED in waiting[0], "none waited for the root of the other"),
        ]

    def killed_root(self) -> list[str]:
        """Kill -9 while the root is made: nothing of it is in the cache."""
        self._forget_roots()
        with self._building("killed") as build:
            self.place.wait_for_log(_WAY_IN, build, timeout_s=_STEP_S)
            build.kill(whole_group=True)
        return [
            *self._clean(),
            *_unless(self._roots() == [], "a root that was not finished is in the cache"),
            *self._next(_MADE),
        ]

    def killed_embedding(self) -> list[str]:
        """Kill -9 while containers are embedded: the root stays what it was."""
        found = self._some_root()
        with self._building("killed") as build:
            build.wait_for_text(_EMBEDDING, timeout_s=_STEP_S)
            build.kill(whole_group=True)
        return [*found, *self._clean(), *self._next(_REUSED)]

    def tampered(self) -> list[str]:
        """A byte of the root in the cache is another: it is made again."""
        found = self._some_root()
        with next(self._roots()[0].glob("*.raw")).open("r+b") as disk:
            disk.seek(300 << 20)
            disk.write(b"tampered")
        return [*found, *self._next(_MADE)]

    def cut_off(self) -> list[str]:
        """The root in the cache is cut off: it is made again."""
        found = self._some_root()
        with next(self._roots()[0].glob("*.raw")).open("r+b") as disk:
            disk.truncate(300 << 20)
        return [*found, *self._next(_MADE)]

    def no_room_for_root(self) -> list[str]:
        """The disk fills up while the root is made."""
        self._forget_roots()
        found = self._fills(lambda build: self.place.wait_for_log(_WAY_IN, build, timeout_s=_STEP_S))
        return [*found, *_unless(self._roots() == [], "a root that was not finished is in the cache")]

    def no_room_to_embed(self) -> list[str]:
        """The disk fills up while containers are embedded in a root that is there."""
        found = self._some_root()
        found += self._fills(lambda build: build.wait_for_text(_EMBEDDING, timeout_s=_STEP_S))
        return [*found, *self._next(_REUSED)]

    def _fills(self, wait_for: Callable[[Invocation], None]) -> list[str]:
        with small_disks.mounted(self.place.root, self.place.scratch, mib=_DISK_MIB):
            with self._building("full") as build:
                wait_for(build)
                with small_disks.filled(self.place.scratch, mib=_DISK_MIB):
                    build.process.wait(_STEP_S)
            said = build.log.read_text(errors="replace")
            found = [f"folder {path}" for path in self.place.scratch.iterdir() if path.name != "lost+found"]
        found += _unless(build.process.returncode in _NO_ROOM, f"it ended with {build.process.returncode}")
        return [*found, *_unless(any(why in said for why in _WHY), "the error does not say why")]

    def _next(self, expected: str) -> list[str]:
        """Problems of the next build, up to its image. expected: what it says about the root."""
        with self._building("next") as build:
            said, problems = _until_built(build)
        return [*problems, *_unless(expected in said, f"the next build does not say {expected!r}")]

    def _some_root(self) -> list[str]:
        """Problems of a build that leaves a root in the cache, if none is there."""
        return [] if self._roots() else self._next(_MADE)

    def _clean(self) -> list[str]:
        log = self.place.root / "clean.log"
        with invoked(self.place.environment(), "clean", log=log) as clean:
            return clean.expect(0, timeout_s=_END_S)

    @contextlib.contextmanager
    def _building(self, name: str) -> Iterator[Invocation]:
        log = self.place.root / f"{name}.log"
        with invoked(self.place.environment(), "build-image", SPEC, "--force", log=log) as build:
            yield build

    def _roots(self) -> list[Path]:
        return sorted((self.place.cache / root.KIND).glob("[!.]*"))

    def _forget_roots(self) -> None:
        shutil.rmtree(self.place.cache / root.KIND, ignore_errors=True)


def _until_built(build: Invocation) -> tuple[str, list[str]]:
    """What a build says until its image is there, then it is ended; and the problems with that."""
    try:
        build.wait_for_text(_BUILT, timeout_s=_STEP_S)
    except (wait.Died, wait.Deadline) as e:
        problems = [f"{build.log.name}: no image: {type(e).__name__}"]
    else:
        build.process.send_signal(signal.SIGTERM)
        problems = build.expect(_INTERRUPTED, timeout_s=_END_S)
    return build.log.read_text(errors="replace"), problems


def _linked(source: str, target: str) -> None:
    """A hard link, for nobody writes to an entry; a copy on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _unless(fine: bool, problem: str) -> list[str]:
    return [] if fine else [problem]


MISHAPS: tuple[tuple[str, Callable[[Layers], list[str]]], ...] = (
    ("two builds at once", Layers.two_at_once),
    ("killed while containers are embedded", Layers.killed_embedding),
    ("a root tampered with", Layers.tampered),
    ("a root cut off", Layers.cut_off),
    ("killed while the root is made", Layers.killed_root),
    ("disk full while the root is made", Layers.no_room_for_root),
    ("disk full while containers are embedded", Layers.no_room_to_embed),
)
