# SPDX-License-Identifier: Apache-2.0
"""What this machine has begun to publish, on disk: by it the next run knows what was broken off.

publish-CLOUD.json stands beside the manifest of the build, from before the image is created in Glance. The
lock of a spec and a cloud is held while something is published: what a journal calls begun while nobody
holds the lock has been broken off.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.core import files, locks
from goldsmith.errors import HostError, PublishError

SCHEMA, SCHEMA_VERSION = "goldsmith.publication", 1
_ROLLBACK = ".rollback"


@dataclass(frozen=True, kw_only=True, slots=True)
class Journal:
    """Of one spec and one cloud. project: ID of the project there, since names of clouds are the user's."""

    folder: Path  # out/NAME
    cloud: str
    project: str

    def begun(self) -> frozenset[str]:
        """Publications that were begun here and not ended: the random word of each, see release.RUN.

        Not the ID of its image: that one may have been created by another machine since.
        """
        entries = (self._read(path) for path in self.folder.glob(f"*/{self._file}"))
        return frozenset(entry["run"] for entry in entries if entry and entry["state"] == "begun")

    def begin(self, build: str, image: str, run: str) -> None:
        """Note a publication, before its image is created."""
        self._write(
            self.folder / build / self._file,
            {"state": "begun", "build_id": build, "image": image, "run": run},
        )

    def end(self, build: str, image: str, number: int) -> None:
        """Note that a release is complete: builds with such a note are kept."""
        entry = {"state": "released", "build_id": build, "image": image, "release": number}
        self._write(self.folder / build / self._file, entry)

    def forget(self, build: str) -> None:
        """Nothing of the build is left in the cloud, or it is not this machine's to say."""
        (self.folder / build / self._file).unlink(missing_ok=True)

    def forget_image(self, image: str) -> None:
        """The same, of whatever build had this image."""
        for path in self.folder.glob(f"*/{self._file}"):
            if (entry := self._read(path)) and entry["image"] == image:
                path.unlink(missing_ok=True)

    def begin_rollback(self, build: str, holder: str) -> None:
        """Note which build is rolled back to, and which one holds the alias now."""
        self._write(self._rollback, {"state": "begun", "build_id": build, "holder": holder})

    def unfinished_rollback(self, holder: str) -> str:
        """The build that a rollback which was broken off went to; else an empty text.

        holder is the build that has the alias: where it is another one than at that time, the note is past.
        """
        entry = self._read(self._rollback)
        is_now = entry is not None and holder in (entry["holder"], entry["build_id"])
        return str(entry["build_id"]) if entry and is_now else ""

    def end_rollback(self) -> None:
        """It is complete."""
        self._rollback.unlink(missing_ok=True)

    @property
    def _file(self) -> str:
        return f"publish-{_word(self.cloud)}.json"

    @property
    def _rollback(self) -> Path:
        return self.folder / f"{_ROLLBACK}-{_word(self.cloud)}.json"

    def _read(self, path: Path) -> dict[str, Any] | None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            entry: dict[str, Any] = json.loads(path.read_text())
            if entry["schema"] == SCHEMA and entry["project"] == self.project:
                return entry
        return None

    def _write(self, path: Path, entry: dict[str, object]) -> None:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        head = {"schema": SCHEMA, "version": SCHEMA_VERSION, "cloud": self.cloud, "project": self.project}
        if path.parent.is_dir():  # of a build that is not here there is nothing to note
            files.write_atomically(path, json.dumps({**head, **entry, "at": now}, indent=1).encode())


@contextlib.contextmanager
def locked(folder: Path, cloud: str) -> Iterator[None]:
    """Nobody else publishes this spec to this cloud on this machine. Raises PublishError, HostError."""
    taken = PublishError(
        f"{cloud}: {folder.name} is being published by another process on this machine",
        hint="wait for it to end",
    )
    with contextlib.ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(locks.locked(folder / f".publish-{_word(cloud)}.lock", taken=taken))
        except OSError as e:
            raise HostError(
                f"cannot write to {folder}: {e.strerror}",
                hint="name a folder that you can write: --out DIR, or GOLDSMITH_OUT",
            ) from e
        yield


def _word(cloud: str) -> str:
    """A cloud's name as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", cloud) or "environment"
