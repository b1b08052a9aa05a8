# SPDX-License-Identifier: Apache-2.0
"""Fetch the cloud image that a build starts from, and check its hash and its publisher's signature.

A publisher such as Fedora signs a list of checksums inline (gpg --clearsign). Its lines are
"SHA256 (FILE) = HASH", as `sha256sum --tag` writes them, or "HASH  FILE". Lists with a detached signature
(Debian, Ubuntu) are not supported.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from goldsmith.apt import gpgv
from goldsmith.apt.gpgv import NoValidSignature
from goldsmith.core import cache, download, files, paths, progress
from goldsmith.core.documents import about, as_data
from goldsmith.errors import BuildError, ProvenanceError
from goldsmith.spec.model import BaseImage

_RULES = 2  # raise it when a list that was accepted may be refused
_LINES = (
    re.compile(r"^([0-9a-fA-F]{64}) [ *](\S+)$", re.MULTILINE),
    re.compile(r"^SHA256 \((?P<name>[^)]+)\) = (?P<digest>[0-9a-fA-F]{64})$", re.MULTILINE),
)


def fetch(base: BaseImage, *, log_path: Path) -> Path:
    """Download the image with the spec's hash, after checking the publisher's signed checksums.

    Raises BuildError if a download fails, ProvenanceError if the signature or the hash is wrong.
    """
    if base.checksums is not None:
        about_it = f"{_RULES} {base.url} {base.sha256} {as_data(record(base))}"
        key = hashlib.sha256(about_it.encode()).hexdigest()
        # cached: the check needs no network again as long as image and keyring stay the same
        with progress.share("signatures"):
            cache.cached("base-signed", key, lambda _: _check(base, log_path))
    return download.fetch(base.url, base.sha256, log_path=log_path)


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseImageRecord:
    """The cloud image that a build started from, for manifest and lock."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"checksums", "keyring_sha256"})

    url: Annotated[str, about("Where it was downloaded.")]
    sha256: Annotated[str, about("Hex sha256 of the file.")]
    checksums: Annotated[str | None, about("URL of the signed list of checksums that has it.")] = None
    keyring_sha256: Annotated[str | None, about("Hex sha256 of the keyring of its signature.")] = None


def record(base: BaseImage | None) -> BaseImageRecord | None:
    """The record of a base image for manifest and lock."""
    if base is None:
        return None
    if base.checksums is None:
        return BaseImageRecord(url=base.url, sha256=base.sha256)
    return BaseImageRecord(
        url=base.url, sha256=base.sha256, checksums=base.checksums,
        keyring_sha256=files.sha256_of(_keyring(base)),
    )  # fmt: skip


def _check(base: BaseImage, log_path: Path) -> None:
    assert base.checksums is not None
    name = urllib.parse.unquote(urllib.parse.urlsplit(base.url).path.rpartition("/")[2])
    with progress.step(f"check who signed {name}"), tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch) / "checksums"
        download.to_file(base.checksums, listed)
        text = _signed_text(listed, _keyring(base), base.checksums)
        found = sums(text).get(name)
        if found != base.sha256:
            raise ProvenanceError(
                f"{base.checksums} has {found or 'no checksum'} for {name}, the spec has {base.sha256}",
                hint="check the key base-image.sha256 of the spec",
            )
        with log_path.open("a", encoding="utf-8") as log:
            log.write(f"{base.checksums} is signed, and lists {name} as {base.sha256}\n")


def sums(text: str) -> dict[str, str]:
    """File -> hex sha256 in lower case, from a list in either format."""
    plain, tagged = _LINES
    found = {name: digest for digest, name in plain.findall(text)}
    found |= {match["name"]: match["digest"] for match in tagged.finditer(text)}
    return {name: digest.lower() for name, digest in found.items()}


def _signed_text(listed: Path, keyring: Path, shown: str) -> str:
    """The text that the signature covers, without anything around it."""
    signed = listed.with_suffix(".signed")
    try:
        gpgv.verify(listed, keyring, output=signed)
        return signed.read_text()
    except (NoValidSignature, OSError, UnicodeDecodeError) as e:
        raise ProvenanceError(
            f"{shown} is not signed by a key of {keyring.name}: {e}",
            hint="get the keyring from a source that you trust; for armored keys run: gpg --dearmor",
        ) from e


def _keyring(base: BaseImage) -> Path:
    assert base.keyring is not None
    path = paths.project_root() / base.keyring
    if not path.is_file():
        raise BuildError(
            f"the keyring {path} does not exist", hint="correct the key base-image.keyring of the spec"
        )
    return path
