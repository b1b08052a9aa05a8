# SPDX-License-Identifier: Apache-2.0
"""Whether a release in a cloud is what its owner signed: by its record, Glance's hash and a public key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from securesystemslib.signer import Key

from goldsmith.core.documents import Document, about
from goldsmith.errors import ProvenanceError
from goldsmith.provenance import held_release
from goldsmith.provenance.held_release import HeldRelease
from goldsmith.provenance.release_check import Check, ReleaseCheck
from goldsmith.publish import canary
from goldsmith.publish.operations import asking
from goldsmith.publish.operations.asking import Asked, LineIn, Question
from goldsmith.publish.records import ReleaseRecord
from goldsmith.publish.release import GlanceImage


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedRelease:
    """The checks of a release in one cloud."""

    build_id: Annotated[str, about("ID of the build.")]
    image: Annotated[str, about("ID of the image.")]
    result: Annotated[Literal["passed", "failed"], about("passed where all checks passed.")]
    key: Annotated[str | None, about("ID of the key that signed it; null unless the signature is valid.")]
    builder: Annotated[str | None, about("URI of who built it; null unless the signature is valid.")]
    checks: Annotated[tuple[Check, ...], about("The checks that were made.")]

    @property
    def report(self) -> ReleaseCheck:
        return ReleaseCheck.of(*self.checks)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseChecksAnswer(Document):
    """Answer of verify-release with --cloud."""

    SCHEMA: ClassVar[str] = "goldsmith.release-checks"

    clouds: Annotated[Mapping[str, CheckedRelease], about("Name of a cloud -> the checks of its release.")]
    errors: Annotated[Mapping[str, str], about("Name of a cloud that did not answer -> why.")] = field(
        default_factory=dict
    )

    def as_text(self) -> str:
        """A line for each check, below the release of each cloud."""
        return asking.reports_as_text(self.clouds)


def ask(question: Question, key: Key, *, build: str, download: bool) -> list[Asked[CheckedRelease]]:
    """Check the release with the alias, or of a build, in each cloud.

    download: hash the image as Glance gives it out, instead of asking for Glance's hash. Raises SpecError.
    """
    return asking.ask_line(question, lambda here: _check(here, key, build=build, download=download))


def answer(asked: Sequence[Asked[CheckedRelease]]) -> ReleaseChecksAnswer:
    """The answer of verify-release with --cloud."""
    return ReleaseChecksAnswer(clouds=asking.answers(asked), errors=asking.errors(asked))


def require(asked: Sequence[Asked[CheckedRelease]]) -> None:
    """Raise ProvenanceError, naming the failed checks of each cloud, unless there is none."""
    found = {
        cloud: checked.report.failed
        for cloud, checked in asking.answers(asked).items()
        if checked.report.failed
    }
    if found:
        rows = [f"{cloud}: {each.name}: {each.detail}" for cloud, failed in found.items() for each in failed]
        raise ProvenanceError(
            f"the release in {', '.join(found)} fails its check" + "".join(f"\n  | {row}" for row in rows),
            hint="compare the key with the signer's; if it is the right one, do not boot this image",
        )


def _check(here: LineIn, key: Key, *, build: str, download: bool) -> CheckedRelease:
    image = here.release(build)
    record = here.record(image)
    digest = canary.sha512_of(here.glance, image) if download else ""
    report, builder = held_release.check(_held(image, record, digest), key)
    return CheckedRelease(
        build_id=image.build_id, image=image.id, result=report.result,
        key=str(key.keyid) if builder else None, builder=builder, checks=report.checks,
    )  # fmt: skip


def _held(image: GlanceImage, record: ReleaseRecord, digest: str) -> HeldRelease:
    """digest: sha512 of the downloaded image; empty: Glance's own hash counts."""
    return HeldRelease(
        build_id=image.build_id, manifest=record.manifest, packages=record.packages, bill=record.bill,
        statement=record.statement, image_format=image.disk_format,
        algorithm="sha512" if digest else image.hash_algo, digest=digest or image.hash_value,
    )  # fmt: skip
