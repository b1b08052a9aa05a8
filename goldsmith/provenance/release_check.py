# SPDX-License-Identifier: Apache-2.0
"""Check a release with only its files and a public key: signature, hashes, manifest, verdict."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from securesystemslib.signer import Key

from goldsmith.core import files
from goldsmith.core.documents import Document, about
from goldsmith.errors import ProvenanceError, SpecError
from goldsmith.image import manifest, packages
from goldsmith.image.manifest import Manifest
from goldsmith.image.packages import PackageList
from goldsmith.provenance import dsse, statement
from goldsmith.provenance.attestation import FILE
from goldsmith.provenance.statement import Statement

READ_ERRORS = (ProvenanceError, OSError, ValueError, KeyError, TypeError, IndexError, AttributeError)
_ABSENT = "there is no statement "


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """The check of one file, or of one claim of the statement."""

    name: Annotated[str, about("Name of the file; or signature, statement, manifest, verification.")]
    ok: Annotated[bool, about("Whether it is as it was signed.")]
    detail: Annotated[str, about("What was found, for a person.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseCheck(Document):
    """The answer of verify-release --json."""

    SCHEMA: ClassVar[str] = "goldsmith.release-check"

    result: Annotated[Literal["passed", "failed"], about("passed where all checks passed.")]
    checks: Annotated[tuple[Check, ...], about("The checks that were made.")]

    @classmethod
    def of(cls, *checks: Check) -> ReleaseCheck:
        """The result of these checks."""
        return cls(result="passed" if all(each.ok for each in checks) else "failed", checks=checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.ok)

    def as_text(self) -> str:
        """A line for each check."""
        width = max(len(check.name) for check in self.checks)
        lines = (f"{'ok    ' if c.ok else 'FAILED'}  {c.name:{width}}  {c.detail}" for c in self.checks)
        return "\n".join(lines)

    def require(self) -> None:
        """Raise ProvenanceError, naming all failed checks, unless there is none."""
        if self.failed:
            shown = "".join(f"\n  | {check.name}: {check.detail}" for check in self.failed)
            is_unsigned = self.failed[0].detail.startswith(_ABSENT)
            raise ProvenanceError(
                f"{len(self.failed)} of {len(self.checks)} checks of the release failed{shown}",
                hint=f"name the folder that holds {FILE}, or --statement FILE" if is_unsigned
                else "do not use this release; get its files again from the signer",
            )  # fmt: skip


def check(release: Path, key: Key, *, signed: Path | None = None) -> ReleaseCheck:
    """Check a release: its folder, or one of its files with the others beside.

    signed: path of the statement, by default beside the files. Raises SpecError where there is no
    release; whatever is wrong with a release is a failed check.
    """
    folder = release if release.is_dir() else release.parent
    if not release.exists():
        raise SpecError(f"there is no {release}", hint="name the image, or its folder")
    path = signed or folder / FILE
    if not path.exists():
        return ReleaseCheck.of(Check(name="statement", ok=False, detail=f"{_ABSENT}{path}"))
    try:
        found = read_statement(_read(path), key, path.name)
        digests = found.subjects
    except ProvenanceError as e:
        return ReleaseCheck.of(Check(name="signature", ok=False, detail=str(e)))
    except READ_ERRORS as e:
        return ReleaseCheck.of(Check(name="statement", ok=False, detail=f"{type(e).__name__}: {e}"))
    checks = [Check(name="signature", ok=True, detail=f"{path.name}, key {key.keyid[:16]}")]
    if release != folder and release.name not in digests:
        checks.append(Check(name=release.name, ok=False, detail="the statement does not list it"))
    checks += [_file(folder, name, digest) for name, digest in digests.items()]
    if all(each.ok for each in checks):
        checks += claims(found, lambda: _documents(folder))
    return ReleaseCheck.of(*checks)


def require(folder: Path, public: Path, *, otherwise: str) -> str:
    """The ID of the public key by which the build in folder is signed.

    otherwise: what is refused where it is not. Raises SpecError without the key's file, ProvenanceError for
    an unsigned build and for another signer.
    """
    key = dsse.public_key(public)
    found = check(folder, key)
    try:
        found.require()
    except ProvenanceError as e:
        raise ProvenanceError(
            f"{folder.name} may not be {otherwise}: {e}", hint=_remedy(folder, found, public)
        ) from e
    return str(key.keyid)


def _remedy(folder: Path, found: ReleaseCheck, public: Path) -> str:
    """What to do about a build that is not signed as it has to be."""
    sign = f"scripts/inv sign {folder.parent.name} --build {folder.name} --key FILE"
    if not (folder / FILE).exists():
        return f"sign it: {sign}"
    if found.failed[0].name == "signature":
        return f"name its signer's public key instead of {public}, or sign it with the private one: {sign}"
    return "build again, and sign that build: this one differs from what was signed"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise ProvenanceError(f"cannot read the statement {path}: {e.strerror}") from e


def read_statement(data: bytes, key: Key, origin: str) -> Statement:
    """The statement in a signed envelope. Raises ProvenanceError for another signer, and READ_ERRORS."""
    found = Statement(content=json.loads(dsse.unseal(data, statement.KIND, key, origin)))
    if not found.is_provenance:
        raise ProvenanceError(
            f"{origin} is signed, but is no SLSA provenance of a build",
            hint="name the statement that sign wrote: provenance.intoto.json",
        )
    return found


def _file(folder: Path, name: str, digest: Mapping[str, str]) -> Check:
    if Path(name).name != name or name in {"", ".."} or "\0" in name:
        return Check(name=repr(name), ok=False, detail="is not the name of a file beside the statement")
    try:
        sha256, sha512, _ = files.hashes_of(folder / name, title=f"hash {name}")
    except OSError as e:
        return Check(name=name, ok=False, detail=f"cannot be read: {e.strerror}")
    found = {"sha256": sha256, "sha512": sha512}
    if "sha256" not in digest or any(found.get(kind) != value for kind, value in digest.items()):
        return Check(name=name, ok=False, detail=f"differs from the signed file: its sha256 is {sha256}")
    return Check(name=name, ok=True, detail=f"sha256 {sha256}")


def claims(found: Statement, documents: Callable[[], tuple[Manifest, PackageList, str]]) -> list[Check]:
    """Whether the statement agrees with the manifest, and with a verdict that passed.

    documents: manifest, package list and hex sha256 of the manifest's file; may raise READ_ERRORS.
    """
    return [
        _claim("manifest", lambda: _manifest(found, *documents())),
        _claim("verification", lambda: _verdict(found)),
    ]


def _documents(folder: Path) -> tuple[Manifest, PackageList, str]:
    made = Manifest.read(folder / manifest.FILE, error=ProvenanceError)
    listed = PackageList.read(folder / packages.FILE, error=ProvenanceError)
    return made, listed, files.sha256_of(folder / manifest.FILE)


def _claim(name: str, check: Callable[[], str | None]) -> Check:
    try:
        wrong = check()
    except READ_ERRORS as e:
        wrong = f"{type(e).__name__}: {e}"
    return Check(name=name, ok=wrong is None, detail=wrong or "as signed")


def _manifest(found: Statement, made: Manifest, listed: PackageList, sha256: str) -> str | None:
    """The statement has to be the one that the manifest gives: the signer saw both."""
    expected = statement.make(
        made, listed, manifest_sha256=sha256, builder=found.builder, accepted=found.accepted
    )
    return None if found.is_same(expected) else "the statement differs from the manifest"


def _verdict(found: Statement) -> str | None:
    result, verified = found.verification
    disks = {digest["sha256"] for digest in found.subjects.values()}
    if result != "passed":
        return f"the verification of the image ended with: {result}"
    return None if verified in disks else "the verified image is not part of the release"
