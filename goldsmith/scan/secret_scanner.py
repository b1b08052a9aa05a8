# SPDX-License-Identifier: Apache-2.0
"""Scan an offline image and its container images for secrets: keys, tokens, credentials.

`python -m goldsmith.scan.secret_scanner ROOT KNOWN OUT` scans the root file system at ROOT. It is a separate
program because it reads files as root. Files that are byte for byte in a Debian package are public and passed
over. The rules are those of detect-secrets (https://github.com/Yelp/detect-secrets) that know a secret by its
form; rules that guess, by entropy or by a word before the secret, are left out. Findings never hold the
secret itself.
"""

from __future__ import annotations

import codecs
import functools
import hashlib
import importlib.metadata
import os
import re
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, ClassVar, NamedTuple

from goldsmith.core import files
from goldsmith.core.documents import Document, about
from goldsmith.errors import ProvenanceError
from goldsmith.image import mount
from goldsmith.scan import contents

_LEFT_OUT = frozenset(
    (
        "Public IP (ipv4)",  # no secret
        # these know a secret by a word before it
        "Cloudant Credentials", "IBM COS HMAC Credentials", "IBM Cloud IAM Key", "SoftLayer Credentials",
    )
)  # fmt: skip
_UNREADABLE = "cannot be read"
_LARGEST = 4 << 20  # bytes; what is larger is not read, and named
_MORE = {  # forms that detect-secrets does not know
    "Private Key": re.compile(r"BEGIN ENCRYPTED PRIVATE KEY|PuTTY-User-Key-File-\d: "),
    "age Secret Key": re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]{50,}"),
}
_DPKG = "var/lib/dpkg/"  # what packages say of themselves
_COMPILED = re.compile(r"(.*/)__pycache__/([^/]+)\.cpython-\d+(\.opt-\d)?\.pyc")
_DATABASE = re.compile(r"var/lib/dpkg/(status|status\.d/.*|info/[^/]+\.md5sums)")
_MD5 = re.compile(r"\b[0-9a-f]{32}\b")
# The distribution's own, where no database says which files are as its packages brought them.
_PACKAGED = tuple(f"usr/{name}/" for name in ("bin", "include", "lib", "lib64", "libexec", "sbin", "share"))


@dataclass(frozen=True, order=True, kw_only=True, slots=True)
class Finding:
    """Something that looks like a secret."""

    layer: Annotated[str, about("Digest of the container image's layer or document; empty for the disk.")]
    path: Annotated[
        str, about("Path of the file; empty where the blob of that digest is a document or is unreadable.")
    ]
    line: Annotated[int, about("Line of the file, counted from 1; 0 where there is none.", ge=0)]
    rule: Annotated[str, about("Kind of secret that it looks like.")]

    def __str__(self) -> str:
        where = " of ".join(filter(None, (self.path, self.layer)))
        return f"{where}:{self.line}: {self.rule}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan(Document):
    """Findings in the disk or in one layer, as the cache keeps them."""

    SCHEMA: ClassVar[str] = "goldsmith.secret-scan"

    findings: Annotated[tuple[Finding, ...], about("Everything that looks like a secret.")] = ()
    unread: Annotated[tuple[str, ...], about("Paths of files that are too large to be read.")] = ()


@functools.cache
def rules_version() -> str:
    """Changes whenever the same content could give other findings."""
    version = importlib.metadata.version("detect-secrets")
    return f"detect-secrets-{version}-{hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]}"


def disk(root: Path) -> Scan:
    """Scan the root file system at root, without the blobs of containers."""
    store = mount.resolve(root, contents.STORE)
    paths: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if Path(folder, name) != store)
        paths += [Path(folder, name) for name in sorted(names)]
    regular = (path for path in paths if path.is_file() and not path.is_symlink())
    named = {path.relative_to(root).as_posix(): path for path in regular}
    public = _public(path.read_bytes() for name, path in named.items() if _DATABASE.fullmatch(name))
    if not public:
        named = {name: path for name, path in named.items() if not name.startswith(_PACKAGED)}
    parts = {name: _Part(path.stat().st_size, path.read_bytes) for name, path in named.items()}
    return _scan("", parts, public)


def layer(digest: str, source: IO[bytes]) -> Scan:
    """Scan one layer of a container image; the packages that it installs are in it, with their database.

    A layer that cannot be read to its end is a finding, because its content is not known.
    """
    try:
        with tarfile.open(fileobj=source, mode="r:*") as archive:
            members = [member for member in archive if member.isfile()]

            def read(member: tarfile.TarInfo) -> bytes:
                found = archive.extractfile(member)
                assert found is not None
                return found.read()

            named = {member.name.removeprefix("./"): member for member in members}
            public = _public(read(member) for name, member in named.items() if _DATABASE.fullmatch(name))
            parts = {name: _Part(m.size, functools.partial(read, m)) for name, m in named.items()}
            return _scan(digest, parts, public)
    except (tarfile.TarError, EOFError, zlib.error):
        return Scan(findings=(Finding(layer=digest, path="", line=0, rule=_UNREADABLE),), unread=())


def document(digest: str, text: str) -> Scan:
    """Scan a manifest, or a configuration with its environment and its history."""
    found = {Finding(layer=digest, path="", line=line, rule=rule) for line, rule in in_text(text)}
    return Scan(findings=tuple(sorted(found)), unread=())


def in_text(text: str) -> Iterator[tuple[int, str]]:
    """Line, counted from 1, and rule of whatever in text looks like a secret."""
    found = [(secret, name) for name, rule in _rules().items() for secret in set(rule.analyze_string(text))]
    found += [(match[0], name) for name, form in _MORE.items() for match in form.finditer(text)]
    for secret, name in found:
        yield text.count("\n", 0, max(0, text.find(secret))) + 1, name


class _Part(NamedTuple):
    """A file: its size in bytes, and how its content is read."""

    size: int
    read: Callable[[], bytes]


def _scan(where: str, files: Mapping[str, _Part], public: frozenset[str]) -> Scan:
    findings: set[Finding] = set()
    unread = []
    for name, part in files.items():
        if name.startswith(_DPKG):
            continue
        if part.size > _LARGEST:
            unread.append(name)
            continue
        source = files.get(_source_of(name))
        if source is not None and _md5(source.read()) in public:
            continue
        data = part.read()
        if _md5(data) not in public:
            found = {hit for text in _texts(data) for hit in in_text(text)}
            findings |= {Finding(layer=where, path=name, line=line, rule=rule) for line, rule in found}
    return Scan(findings=tuple(sorted(findings)), unread=tuple(sorted(unread)))


def _texts(data: bytes) -> Iterator[str]:
    """Everything is read as UTF-8, as far as it is that, and as UTF-16 too where it has its mark."""
    yield data.decode(errors="replace")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield data.decode("utf-16", errors="replace")


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _source_of(name: str) -> str:
    """Of a compiled Python module, which holds nothing that a package's source does not; else empty."""
    match = _COMPILED.fullmatch(name)
    return f"{match[1]}{match[2]}.py" if match else ""


def _public(databases: Iterable[bytes]) -> frozenset[str]:
    """MD5 of every file that dpkg knows of (deb-md5sums(5), and Conffiles of its status)."""
    return frozenset(digest for data in databases for digest in _MD5.findall(data.decode(errors="replace")))


@functools.cache
def _rules() -> Mapping[str, Any]:
    """Name -> detector of detect-secrets."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import RegexBasedDetector

    found: Mapping[str, type[Any]] = get_mapping_from_secret_type_to_class()
    return {
        name: kind() for name, kind in sorted(found.items())
        if issubclass(kind, RegexBasedDetector) and name not in _LEFT_OUT
    }  # fmt: skip


def main(root: Path, known: Path, out: Path) -> None:
    """Write the scan of the disk with all documents, under "", and that of each layer, under its digest.

    known: a folder with scans of earlier runs. Raises ProvenanceError for a layer whose digest is wrong.
    """
    with contents.blobs_of(root) as blobs:
        documents = [document(digest, text) for digest, text in contents.documents_of(blobs)]
        whole = disk(root)
        found = (*whole.findings, *(finding for scan in documents for finding in scan.findings))
        scans = {"": Scan(findings=found, unread=whole.unread)}
        for digest in contents.layers_of(blobs):
            contents.check(blobs, digest, blobs.sizes(), "a container")  # earlier scans are found by digest
            before = known / f"{digest.removeprefix('sha256:')}.json"
            if before.is_file():
                scans[digest] = Scan.read(before, error=ProvenanceError)
            else:
                with blobs.open(digest) as source:
                    scans[digest] = layer(digest, source)
    files.write_json(out, {digest: scan.as_dict() for digest, scan in scans.items()})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
