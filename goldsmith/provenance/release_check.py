# SPDX-License-Identifier: Apache-2.0
"""Sign a build's results, and check a release that has nothing but its files and a public key."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from securesystemslib.signer import Key

from goldsmith.core import files
from goldsmith.errors import ProvenanceError
from goldsmith.image import manifest, packages
from goldsmith.image.manifest import Manifest
from goldsmith.image.packages import PackageList
from goldsmith.provenance import dsse, statement
from goldsmith.provenance.attestation import FILE

_Said = Mapping[str, Any]
_READ_ERRORS = (ProvenanceError, OSError, ValueError, KeyError, TypeError, IndexError, AttributeError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was looked at; detail: what was found, for a person."""

    name: str
    ok: bool
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {"name": self.name, "ok": self.ok, "detail": self.detail}


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a release was found to be."""

    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.ok)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "result": "failed" if self.failed else "passed",
            "checks": [check.as_dict() for check in self.checks],
        }

    def as_text(self) -> str:
        """A line for each check."""
        width = max(len(check.name) for check in self.checks)
        lines = (f"{'ok    ' if c.ok else 'FAILED'}  {c.name:{width}}  {c.detail}" for c in self.checks)
        return "\n".join(lines)

    def require(self) -> None:
        """Raise ProvenanceError, naming all that failed, unless everything is right."""
        if self.failed:
            shown = "".join(f"\n  | {check.name}: {check.detail}" for check in self.failed)
            raise ProvenanceError(
                f"{len(self.failed)} of {len(self.checks)} checks of the release failed{shown}",
                hint="do not use it; get the files again from who signed them",
            )


def check(release: Path, key: Key, *, signed: Path | None = None) -> Report:
    """Look at a release: its folder, or one file of it with the others beside.

    signed: where the statement is, by default beside the files. Raises ProvenanceError where there is
    nothing to look at; what is wrong with a release stands in the report.
    """
    folder = release if release.is_dir() else release.parent
    if not release.exists():
        raise ProvenanceError(f"there is no {release}", hint="name the image, or its folder")
    path = signed or folder / FILE
    try:
        said = _statement(path, key)
        digests = statement.subjects(said)
    except ProvenanceError as e:
        return Report(checks=(Check(name="signature", ok=False, detail=str(e)),))
    except _READ_ERRORS as e:
        return Report(checks=(Check(name="statement", ok=False, detail=f"{type(e).__name__}: {e}"),))
    checks = [Check(name="signature", ok=True, detail=f"{path.name}, key {key.keyid[:16]}")]
    if release != folder and release.name not in digests:
        checks.append(Check(name=release.name, ok=False, detail="the statement does not speak of it"))
    checks += [_file(folder, name, digest) for name, digest in digests.items()]
    if all(each.ok for each in checks):
        checks += [_looked(name, look, folder, said) for name, look in _CONTENT.items()]
    return Report(checks=tuple(checks))


def require(folder: Path, public: Path, *, otherwise: str) -> str:
    """The ID of a public key, whose owner signed the build in folder.

    Raises ProvenanceError where nobody did, or somebody else; otherwise: what the build then may not be.
    """
    try:
        key = dsse.public_key(public)
        check(folder, key).require()
    except ProvenanceError as e:
        raise ProvenanceError(
            f"{folder.name} may not be {otherwise}: {e}",
            hint=f"sign it: scripts/inv sign {folder.parent.name} --build {folder.name} --key FILE",
        ) from e
    return str(key.keyid)


def _statement(path: Path, key: Key) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as e:
        raise ProvenanceError(f"cannot read the statement {path}: {e.strerror}") from e
    said = json.loads(dsse.unseal(data, statement.KIND, key, path.name))
    if (said["_type"], said["predicateType"]) != (statement.TYPE, statement.PREDICATE):
        raise ProvenanceError(f"{path.name} is signed, and says something else than where a build is from")
    found: dict[str, Any] = said
    return found


def _file(folder: Path, name: str, digest: Mapping[str, str]) -> Check:
    if Path(name).name != name or name in {"", ".."} or "\0" in name:
        return Check(name=repr(name), ok=False, detail="is no name of a file beside the statement")
    try:
        sha256, sha512, _ = files.hashes_of(folder / name)
    except OSError as e:
        return Check(name=name, ok=False, detail=f"cannot be read: {e.strerror}")
    found = {"sha256": sha256, "sha512": sha512}
    if "sha256" not in digest or any(found.get(kind) != value for kind, value in digest.items()):
        return Check(name=name, ok=False, detail=f"is not the file that was signed: its sha256 is {sha256}")
    return Check(name=name, ok=True, detail=f"sha256 {sha256}")


def _looked(name: str, look: Callable[[Path, _Said], str | None], folder: Path, said: _Said) -> Check:
    try:
        wrong = look(folder, said)
    except _READ_ERRORS as e:
        wrong = f"{type(e).__name__}: {e}"
    return Check(name=name, ok=wrong is None, detail=wrong or "as signed")


def _manifest(folder: Path, said: _Said) -> str | None:
    """The statement says what the manifest does: who signs one has seen the other."""
    made = Manifest.read(folder / manifest.FILE, error=ProvenanceError)
    listed = PackageList.read(folder / packages.FILE, error=ProvenanceError)
    run = said["predicate"]["runDetails"]
    accepted = said["predicate"]["buildDefinition"]["resolvedDependencies"][0]["annotations"].get("accepted")
    expected = statement.make(
        made, listed, manifest_sha256=files.sha256_of(folder / manifest.FILE),
        builder=run["builder"]["id"], accepted=accepted,
    )  # fmt: skip
    return None if expected == said else "the statement says other things of the build than its manifest"


def _verdict(_folder: Path, said: _Said) -> str | None:
    verdict = statement.verification(said)
    disks = {digest["sha256"] for digest in statement.subjects(said).values()}
    if verdict["result"] != "passed":
        return f"the verification ended with: {verdict['result']}"
    return None if verdict["image_sha256"] in disks else "another image was verified"


_CONTENT = {"manifest": _manifest, "verification": _verdict}
