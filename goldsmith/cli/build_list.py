# SPDX-License-Identifier: Apache-2.0
"""What is in the output folder: every build of a spec or of all, by what its folder says."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from goldsmith import clean
from goldsmith.cli import tables
from goldsmith.core import build_folders, progress
from goldsmith.core.documents import Document, about
from goldsmith.errors import GoldsmithError, HostError, SpecError
from goldsmith.image import manifest
from goldsmith.image.manifest import Manifest
from goldsmith.provenance import attestation
from goldsmith.publish import journal
from goldsmith.publish.journal import EntryState, JournalEntry

_HEAD = (
    "build", "verdict", build_folders.LATEST, "started", "size", "commit", "released", "tests", "kubelet",
    "signed",
)  # fmt: skip
_WIDE = ("tests", "kubelet", "signed")
_SPARE = ("commit", "started", build_folders.LATEST, "size")
_COMMIT_SHOWN = 7  # as in the ID


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A publication of a build from this machine."""

    cloud: Annotated[str, about("Name of the cloud in clouds.yaml; empty: the cloud of OS_AUTH_URL.")]
    state: Annotated[EntryState, about("`begun` while it runs, and after it was interrupted.")]
    at: Annotated[str, about("When it was released or begun, ISO 8601, UTC.")]
    release: Annotated[int | None, about("Number of the release; null until it is released.")] = None
    image: Annotated[str | None, about("ID of the image.")] = None

    def __str__(self) -> str:
        where = self.cloud or "OS_AUTH_URL"
        return f"{where} {self.release}" if self.state is EntryState.released else f"{where} (begun)"


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedBuild:
    """A build folder."""

    build_id: Annotated[str, about("ID of the build, the name of its folder.")]
    folder: Annotated[Path, about("The folder.")]
    verdict: Annotated[
        Literal["passed", "failed", "quick", "running", "unfinished", "unreadable"],
        about(
            "Of its verification; `quick`: it ended after the first boot's tests; `unfinished`: before; "
            "`unreadable`: see problems."
        ),
    ]
    latest: Annotated[bool, about("Whether the link latest points to it.")]
    started: Annotated[str | None, about("When the build began, UTC, ISO 8601.")]
    commit: Annotated[str, about("Commit of the checkout, as far as it is known; nogit without one.")]
    dirty: Annotated[bool | None, about("Whether the checkout had uncommitted changes; null: not known.")]
    size: Annotated[int | None, about("Bytes of its disk image; null where it has none any more.")]
    tests: Annotated[int | None, about("Number of tests that ran; null without a verdict.")]
    kubelet: Annotated[str | None, about("Version of the kubelet; null without one.")]
    signed: Annotated[bool, about("Whether it has a signed statement.")]
    published: Annotated[tuple[Published, ...], about("Its publications from this machine.")]
    problems: Annotated[tuple[str, ...], about("Files of it that cannot be read, and why.")] = ()

    def cells(self) -> tuple[str, ...]:
        """As the table has them."""
        started = (self.started or "")[: len("2026-11-30T01:02")].replace("T", " ")
        return (
            self.build_id, self.verdict, "<-" if self.latest else "", started,
            "-" if self.size is None else progress.human_bytes(self.size),
            f"{self.commit[:_COMMIT_SHOWN]}{'+' if self.dirty else ''}",
            ", ".join(map(str, self.published)), "" if self.tests is None else str(self.tests),
            self.kubelet or "-", "yes" if self.signed else "no",
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildsAnswer(Document):
    """The builds in the output folder: the answer of builds."""

    SCHEMA: ClassVar[str] = "goldsmith.builds"

    out: Annotated[Path, about("The output folder.")]
    specs: Annotated[
        Mapping[str, tuple[ListedBuild, ...]], about("Name of a spec -> its builds, the newest first.")
    ]
    others: Annotated[
        Mapping[str, str], about("Path of what is no build, below the output folder -> why.")
    ] = field(default_factory=dict)

    def as_text(self, *, wide: bool = False) -> str:
        """For people. wide: all columns, however wide the table gets."""
        builds = [build for each in self.specs.values() for build in each]
        width = None if wide else tables.width()
        head, *rows = tables.blocks(
            _HEAD, [build.cells() for build in builds], width=width, wide=_WIDE, spare=_SPARE
        )
        shown = dict(zip((build.folder for build in builds), rows, strict=True))
        lines = []
        for name, found in self.specs.items():
            lines += [f"{name}:", *head, *(line for build in found for line in shown[build.folder])]
            lines += [f"  {problem}" for build in found for problem in build.problems]
        lines += [f"no build: {self.out / path}: {why}" for path, why in self.others.items()]
        return "\n".join(lines or [f"no builds in {self.out}"])


def find(out: Path, name: str = "") -> BuildsAnswer:
    """What is in an output folder, of one spec or of all. Raises SpecError where a spec has no folder."""
    others: dict[str, str] = {}
    folders = list(_folders(out, name, others))
    live = _live_builds()
    specs = {}
    for folder in folders:
        builds = [_build(path, live) for path in _build_folders(out, folder, others)]
        if builds:
            specs[folder.name] = tuple(reversed(builds))
        elif not name:
            others.setdefault(folder.name, "a folder without builds")
    return BuildsAnswer(out=out, specs=specs, others=others)


def _folders(out: Path, name: str, others: dict[str, str]) -> Iterator[Path]:
    """The folders that may be those of specs."""
    if name:
        if not (out / name).is_dir():
            raise SpecError(f"there are no builds of {name} in {out}", hint=_hint(out, name))
        yield out / name
        return
    for path in _entries(out, "", others) if out.exists() else ():
        if build_folders.is_of_a_task(path):
            continue
        if path.is_dir() and not path.is_symlink():
            yield path
        else:
            others[path.name] = "no folder"


def _hint(out: Path, name: str) -> str:
    there = sorted({path.parent.name for path in out.glob("*/*/") if build_folders.is_id(path.name)})
    if there:
        return f"there are builds of: {', '.join(there)}"
    return f"run: scripts/inv build-image {name}, or name the folder that has its builds: --out"


def _build_folders(out: Path, folder: Path, others: dict[str, str]) -> Iterator[Path]:
    """Build folders of a spec, the oldest first; what else is there goes to others."""
    for path in _entries(folder, folder.name, others):
        if build_folders.is_id(path.name) and path.is_dir() and not path.is_symlink():
            if os.access(path, os.R_OK | os.X_OK):
                yield path
            else:
                others[str(path.relative_to(out))] = "it cannot be read: no permission"
        elif path.name != build_folders.LATEST:
            others[str(path.relative_to(out))] = "its name is no ID of a build, or it is no folder"


def _entries(folder: Path, shown: str, others: dict[str, str]) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as e:
        others[shown or "."] = f"it cannot be read: {e.strerror}"
        return []


def _live_builds() -> set[Path]:
    with contextlib.suppress(HostError):
        return clean.live_builds()
    return set()


def _build(folder: Path, live: Collection[Path]) -> ListedBuild:
    problems: list[str] = []
    found = _manifest(folder, problems)
    verdict = found.verification if found else None
    result = verdict.result if verdict else "unreadable" if problems else "unfinished"
    started = build_folders.started(folder.name)
    return ListedBuild(
        build_id=folder.name, folder=folder,
        verdict="running" if folder.resolve() in live else result,
        latest=(folder.parent / build_folders.LATEST).resolve() == folder.resolve(),
        started=started.strftime("%Y-%m-%dT%H:%M:%SZ") if started else None,
        commit=found.commit if found else folder.name.partition("-")[2],
        dirty=found.dirty if found else None,
        size=_size(folder, found), tests=verdict.tests if verdict else None,
        kubelet=found.kubelet.version if found and found.kubelet else None,
        signed=(folder / attestation.FILE).exists(),
        published=tuple(_published(folder, problems)), problems=tuple(problems),
    )  # fmt: skip


def _manifest(folder: Path, problems: list[str]) -> Manifest | None:
    if not (folder / manifest.FILE).is_file():
        return None
    try:
        return Manifest.read(folder / manifest.FILE)
    except GoldsmithError as e:
        problems.append(str(e))
        return None


def _size(folder: Path, found: Manifest | None) -> int | None:
    with contextlib.suppress(OSError):
        return (folder / found.disk.file).stat().st_size if found else None
    return None


def _published(folder: Path, problems: list[str]) -> Iterable[Published]:
    for path in sorted(folder.glob(f"{journal.PREFIX}*.json")):
        try:
            entry = JournalEntry.read(path)
        except GoldsmithError as e:
            problems.append(str(e))
        else:
            yield Published(
                cloud=entry.cloud, state=entry.state, at=entry.at, release=entry.release, image=entry.image
            )
