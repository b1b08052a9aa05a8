# SPDX-License-Identifier: Apache-2.0
"""Release notes of a build in Markdown: what it is, how it was verified, what changed, how to go back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from goldsmith.changes import sections
from goldsmith.changes.build_diff import BuildDiff
from goldsmith.core import build_folders, paths, progress
from goldsmith.core.documents import Document, about
from goldsmith.errors import SpecError
from goldsmith.image.manifest import Manifest
from goldsmith.provenance import dsse
from goldsmith.publish.operations import asking, lines, release_diff
from goldsmith.publish.operations.asking import LineIn, Question
from goldsmith.publish.operations.lines import NamedLine
from goldsmith.publish.operations.production import shown_time
from goldsmith.publish.records import Records, ReleaseRecord
from goldsmith.scan.osv import Database


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseNotes(Document):
    """Answer of release-notes."""

    SCHEMA: ClassVar[str] = "goldsmith.release-notes"

    name: Annotated[str, about("Name of the spec.")]
    build_id: Annotated[str, about("ID of the build.")]
    key: Annotated[str | None, about("ID of the key that signed it, unchecked; null if it is not signed.")]
    diff: Annotated[
        BuildDiff | None, about("What changed since an older build; null if there is none to compare with.")
    ]
    markdown: Annotated[str, about("The notes as Markdown.")]

    def as_text(self) -> str:
        """The notes."""
        return self.markdown


def make(question: Question, build: str, *, since: str, database: Database | None) -> ReleaseNotes:
    """The notes of a build, by its folder or its record.

    since: the build to compare with; empty: the one that has the alias, or had it before this one; without
    a cloud the verified build before it. Raises SpecError for an unknown build, and errors of clouds.
    """
    named = lines.named(question.name, question.variables, question.clouds)
    alias = named.line.alias
    new, old = _found(question, named, build, since)
    if new is None or (since and old is None):
        raise SpecError(
            f"there is no record of the build {since if new else build} of {question.name}",
            hint="name a cloud or a folder that has its record: --cloud NAME, --record DIR",
        )
    diff = None if old is None else release_diff.between(old, new, database)
    made, key = new.read_manifest(), _key(new)
    return ReleaseNotes(
        name=made.name, build_id=made.build_id, key=key, diff=diff,
        markdown=paths.as_typed("\n".join(_markdown(made, key, diff, alias))),
    )  # fmt: skip


_Pair = tuple[ReleaseRecord | None, ReleaseRecord | None]  # of the build and of the older one


def _found(question: Question, named: NamedLine, build: str, since: str) -> _Pair:
    if not named.clouds:
        known = Records(out=question.out, name=named.require_spec().name, folder=question.records)
        since = since or _before(question.out / known.name, build)
        return known.get(build), known.get(since) if since else None
    asked = asking.ask_line(question, lambda here: _in_cloud(here, build, since))
    for each in asked:
        if each.error is not None:
            progress.note(f"{each.error}")
    answers = [each.value for each in asked if each.value is not None]
    if not answers:
        raise next(each.error for each in asked if each.error is not None)
    return max(answers, key=lambda pair: sum(record is not None for record in pair))


def _in_cloud(here: LineIn, build: str, since: str) -> _Pair:
    holder = here.holder
    if not since and holder is not None:
        since = holder.build_id if holder.build_id != build else release_diff.previous_build(here)
    return here.records.get(build), here.records.get(since) if since else None


def _before(folder: Path, build: str) -> str:
    """The verified build before one; empty where there is none."""
    there = build_folders.builds_of(folder) if folder.is_dir() else []
    older = [path.name for path in there if path.name < build and build_folders.is_verified(path)]
    return older[-1] if older else ""


def _key(record: ReleaseRecord) -> str | None:
    """The key that the statement names; nothing is checked."""
    return None if record.statement is None else dsse.claimed_signer(record.statement.encode())


def _markdown(made: Manifest, key: str | None, diff: BuildDiff | None, alias: str) -> Iterator[str]:
    yield from (f"# {made.name} {made.build_id}", "", "| | |", "|---|---|")
    yield from (f"| {name} | {_cell(value)} |" for name, value in _facts(made, key))
    if diff is not None:
        yield from _changes(diff)
    if made.containers:
        yield from ("", "## Container images", "")
        yield from (f"    {image.ref} {image.digest}" for image in made.containers)
    yield from (
        "", "## Back-out", "",
        "The release before stays in the cloud, and gets the alias back without an upload:", "",
        f"    scripts/inv rollback {alias} --plan", f"    scripts/inv rollback {alias}", "",
        "Running servers keep the disk that they have, in both directions.",
    )  # fmt: skip


def _facts(made: Manifest, key: str | None) -> Iterator[tuple[str, str]]:
    state = ", with uncommitted changes" if made.dirty else ""
    yield "built", f"{shown_time(made.created)}, commit {made.commit}{state}"
    if made.checkout:
        yield "from", made.checkout
    kubelet = f", kubelet {made.kubelet.version}" if made.kubelet else ""
    yield (
        "system",
        f"{made.distribution} {made.release} {made.arch}, kernel {' '.join(made.kernels)}{kubelet}",
    )
    if (verdict := made.verification) is not None:
        skipped = f", skipped: {'; '.join(verdict.skipped)}" if verdict.skipped else ""
        yield "verified", f"{verdict.result}, {verdict.tests} tests{skipped}"
    yield "signed", f"by the key {key}; check it: scripts/inv verify-release" if key else "no"
    for disk in made.disks:
        yield disk.file, f"{progress.human_bytes(disk.size)}, sha256 {disk.sha256}"
    yield "needs", f"{made.min_disk_gib} GiB of disk, {made.min_ram_mib} MiB of memory"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _changes(diff: BuildDiff) -> Iterator[str]:
    """Sections with indented blocks, in which nothing is Markdown."""
    if diff.advisories is not None:
        yield from ("", "## Security advisories", "")
        yield from (f"    {line}" for line in diff.advisories.lines())
    yield from ("", f"## Changes since {diff.old}")
    for name in sections.NAMES:
        if found := diff.changes.get(name, ()):
            yield from ("", f"### {name} ({len(found)})", "", *_indented(found))
    if not any(diff.changes.values()):
        yield from ("", "No differences" + (" in what was compared." if diff.not_compared else "."))
    if diff.not_compared:
        yield from ("", f"### not compared ({len(diff.not_compared)})", "")
        yield from (each.line() for each in diff.not_compared)
    yield from ("", f"Size: {diff.size.text()}")


def _indented(changes: Sequence[sections.Change]) -> Iterator[str]:
    for change in changes:
        yield f"    {f'{change.of}: ' if change.of else ''}{change.line()}"
