# SPDX-License-Identifier: Apache-2.0
"""`soak layers`: what happens to the layers of an image when something goes wrong while they are made."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from goldsmith.core import paths, wait
from goldsmith.layers import root
from tests.support import small_disks
from tests.support.builds import Invocation, Place, invoked

SPEC = Path(__file__).parent / "shapes/one-container.yaml.j2"
_TAKEN = ("container", "debian", "index", "kubelet", "layer", "layer-content", "pod-schema")  # from this host
_STEP_S, _END_S = 900, 300
_WAY_IN = "install.d/"  # in the log of a root that is half made
_MADE, _REUSED = "build the root ...", "the root is in the cache"
_EMBEDDING, _BUILT = "embed and seal ...", "boot ..."
_WAITING = "waiting for another process that makes the same root"
_DISK_MIB = {"root": 2500, "embed": 1200}
_NO_ROOM = 4


class Layers:
    """Trials of one mishap each. Whatever a build left is removed, and the next one has a sound image."""

    def __init__(self, place: Path) -> None:
        self.place = Place(root=place)

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Take what the root is made of from the cache of this host, but no root."""
        for folder in (self.place.scratch, self.place.out, self.place.cache):
            folder.mkdir(parents=True, exist_ok=True)
        for kind in _TAKEN:
            if not (self.place.cache / kind).exists() and (paths.cache_root() / kind).exists():
                subprocess.run(["cp", "-al", paths.cache_root() / kind, self.place.cache / kind], check=True)
        return {"spec": SPEC.name.partition(".")[0], "mishaps": [name for name, _ in MISHAPS]}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Let a mishap happen; report what is wrong afterwards."""
        name, happen = MISHAPS[index % len(MISHAPS)]
        return {"mishap": name, "problems": [*happen(self), *self.place.remains()]}

    def finish(self) -> dict[str, Any]:
        """Remove the builds."""
        shutil.rmtree(self.place.root)
        return {"problems": []}

    def two_at_once(self) -> list[str]:
        """Two builds want a root that is not there: one makes it, the other waits and takes it."""
        self._forget_roots()
        with self._building("one") as one, self._building("other") as other:
            said = [_until_built(build) for build in (one, other)]
        waiting = [text for text in said if _WAITING in text]
        return [
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
        with self._building("killed") as build:
            build.wait_for_text(_EMBEDDING, timeout_s=_STEP_S)
            build.kill(whole_group=True)
        return [*self._clean(), *self._next(_REUSED)]

    def tampered(self) -> list[str]:
        """A byte of the root in the cache is another: it is made again."""
        with next(self._roots()[0].glob("*.raw")).open("r+b") as disk:
            disk.seek(300 << 20)
            disk.write(b"tampered")
        return self._next(_MADE)

    def cut_off(self) -> list[str]:
        """The root in the cache is cut off: it is made again."""
        with next(self._roots()[0].glob("*.raw")).open("r+b") as disk:
            disk.truncate(300 << 20)
        return self._next(_MADE)

    def no_room_for_root(self) -> list[str]:
        """The disk fills up while the root is made."""
        self._forget_roots()
        found = self._fills("root", lambda build: self.place.wait_for_log(_WAY_IN, build, timeout_s=_STEP_S))
        return [*found, *_unless(self._roots() == [], "a root that was not finished is in the cache")]

    def no_room_to_embed(self) -> list[str]:
        """The disk fills up while containers are embedded in a root that is there."""
        found = self._next(_MADE)
        found += self._fills("embed", lambda build: build.wait_for_text(_EMBEDDING, timeout_s=_STEP_S))
        return [*found, *self._next(_REUSED)]

    def _fills(self, what: str, wait_for: Callable[[Invocation], None]) -> list[str]:
        size = _DISK_MIB[what]
        with small_disks.mounted(self.place.root, self.place.scratch, mib=size):
            with self._building("full") as build:
                wait_for(build)
                with small_disks.filled(self.place.scratch, mib=size):
                    found = build.expect(_NO_ROOM, timeout_s=_STEP_S)
            said = build.log.read_text(errors="replace")
            found += [f"folder {path}" for path in self.place.scratch.iterdir() if path.name != "lost+found"]
        return [*found, *_unless("No space left on device" in said, "the error does not say why")]

    def _next(self, expected: str) -> list[str]:
        """Problems of the next build, up to its image. expected: what it says about the root."""
        with self._building("next") as build:
            said = _until_built(build)
        return _unless(expected in said, f"the next build does not say {expected!r}")

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


def _until_built(build: Invocation) -> str:
    """What a build says until its image is there; then it is ended, and has to leave nothing."""
    try:
        build.wait_for_text(_BUILT, timeout_s=_STEP_S)
        build.process.send_signal(signal.SIGTERM)
        build.process.wait(_END_S)
    except (wait.Died, wait.Deadline):
        pass  # what it said shows what is missing
    return build.log.read_text(errors="replace")


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
