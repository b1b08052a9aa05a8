# SPDX-License-Identifier: Apache-2.0
"""Journal of this machine's publications, on disk: by it the next run knows what was interrupted.

publish-CLOUD.json lies beside the manifest of a build, from before the image is created in Glance. A lock
for a spec and a cloud is held during a publication: an entry that is begun while nobody holds the lock
belongs to an interrupted one.
"""

from __future__ import annotations

import contextlib
import datetime
import enum
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from goldsmith.core import locks
from goldsmith.core.documents import Document, about
from goldsmith.errors import HostError, PublishError

PREFIX = "publish-"  # of the files beside a build's manifest
_ROLLBACK = ".rollback"


class EntryState(enum.StrEnum):
    begun = enum.auto()
    released = enum.auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalEntry(Document):
    """A publication (beside its build), or an unfinished rollback (.rollback-CLOUD.json)."""

    SCHEMA: ClassVar[str] = "goldsmith.publication"
    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"image", "run", "release", "holder"})

    cloud: Annotated[str, about("Name of the cloud in clouds.yaml; empty: the cloud of OS_AUTH_URL.")]
    project: Annotated[str, about("ID of the project in the cloud.")]
    state: Annotated[EntryState, about("`released` once a publication is complete.")]
    build_id: Annotated[str, about("The build that is published or rolled back to.")]
    at: Annotated[str, about("When the entry was written, ISO 8601, UTC.")]
    image: Annotated[str | None, about("ID of the image, of a publication.")] = None
    run: Annotated[
        str | None, about("Random word of a publication that has begun, as in the image's property.")
    ] = None
    release: Annotated[int | None, about("Number of the release, of a complete publication.")] = None
    holder: Annotated[
        str | None, about("The build that held the alias when a rollback began; empty: none did.")
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Journal:
    """Of one spec and one cloud. project: ID of the project there, since names of clouds are the user's.

    Every method that reads entries raises PublishError for one that a newer goldsmith wrote.
    """

    folder: Path  # out/NAME
    cloud: str
    project: str

    def begun(self) -> frozenset[str]:
        """Publications that were begun here and not ended: the random word of each, see release.RUN.

        Not the ID of its image: another machine may have created that one since. The first releases of
        goldsmith noted no word; their leftovers count as interrupted by their age.
        """
        return frozenset(
            entry.run for entry in self._entries() if entry.state is EntryState.begun and entry.run
        )

    def released(self) -> frozenset[int]:
        """Numbers of the releases that were published here, of builds that are still here."""
        return frozenset(entry.release for entry in self._entries() if entry.release is not None)

    def begin(self, build: str, image: str, run: str) -> None:
        """Note a publication, before its image is created."""
        self._write(self.folder / build / self._file, build, image=image, run=run)

    def end(self, build: str, image: str, number: int) -> None:
        """Note that a release is complete: builds with such an entry are kept."""
        path = self.folder / build / self._file
        self._write(path, build, state=EntryState.released, image=image, release=number)

    def forget(self, build: str) -> None:
        """Nothing of the build is left in the cloud, or it belongs to another machine."""
        (self.folder / build / self._file).unlink(missing_ok=True)

    def forget_image(self, image: str) -> None:
        """The same, for whatever build had this image."""
        for path in self.folder.glob(f"*/{self._file}"):
            if (entry := self._read(path)) and entry.image == image:
                path.unlink(missing_ok=True)

    def begin_rollback(self, build: str, holder: str) -> None:
        """Note which build is rolled back to, and which one holds the alias now."""
        self._write(self._rollback, build, holder=holder)

    def unfinished_rollback(self, holder: str) -> str:
        """The build that an interrupted rollback went to; else empty.

        holder is the build that has the alias: if it is another one than then, the entry is outdated.
        """
        entry = self._read(self._rollback)
        return entry.build_id if entry and holder in (entry.holder, entry.build_id) else ""

    def end_rollback(self) -> None:
        """It is complete."""
        self._rollback.unlink(missing_ok=True)

    def _entries(self) -> Iterator[JournalEntry]:
        found = (self._read(path) for path in self.folder.glob(f"*/{self._file}"))
        return (entry for entry in found if entry)

    @property
    def _file(self) -> str:
        return f"{PREFIX}{_word(self.cloud)}.json"

    @property
    def _rollback(self) -> Path:
        return self.folder / f"{_ROLLBACK}-{_word(self.cloud)}.json"

    def _read(self, path: Path) -> JournalEntry | None:
        """None where there is none for this project."""
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(data, dict) or data.get("schema") != JournalEntry.SCHEMA:
            return None
        entry = JournalEntry.parse(data, str(path), error=PublishError)
        return entry if entry.project == self.project else None

    def _write(
        self,
        path: Path,
        build: str,
        *,
        state: EntryState = EntryState.begun,
        image: str | None = None,
        run: str | None = None,
        release: int | None = None,
        holder: str | None = None,
    ) -> None:
        if not path.parent.is_dir():  # there is no entry for a build that is not here
            return
        JournalEntry(
            cloud=self.cloud, project=self.project, state=state, build_id=build, image=image, run=run,
            release=release, holder=holder, at=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
        ).write(path)  # fmt: skip


@contextlib.contextmanager
def locked(folder: Path, cloud: str) -> Iterator[None]:
    """Keep others on this machine from publishing a spec to a cloud. Raises PublishError, HostError."""
    taken = PublishError(
        f"{cloud}: another process on this machine is publishing {folder.name}",
        hint="wait for it, then run this again",
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
