# SPDX-License-Identifier: Apache-2.0
"""Whether the entries of a lock's archive hold what their keys say, and are those of the lock.

Kinds that neither key nor lock describes are not looked at: allowed, base-signed, bundle, container and
pod-schema.
"""

from __future__ import annotations

import io
import lzma
import re
from collections.abc import Iterator, Mapping

from goldsmith.apt import store
from goldsmith.containers import build_context, manifests, registry
from goldsmith.core import paths
from goldsmith.errors import ProvenanceError
from goldsmith.provenance import lock_archive
from goldsmith.provenance.build_inputs import PACKAGES
from goldsmith.provenance.lock_archive import ArchivedEntry, OpenedArchive
from goldsmith.provenance.lockfile import Lock
from goldsmith.spec.model import ImageSpec

_MANIFEST = "manifest.json"
_ONLY = {PACKAGES: "content", "registry-manifest": _MANIFEST}  # the one file of an entry
_SIGNATURE = re.compile(r"signature-\d+")  # skopeo may leave these beside a manifest; nothing reads them
_SUM = b"SHA256: "
_LINE_MAX = 4096
_NOT_TRUSTED = "do not use this archive; export again where the lock was made"


def require(opened: OpenedArchive, locked: Lock, spec: ImageSpec) -> None:
    """Check the entries whose content is known by their keys or by the lock.

    spec: that of the lock. Raises ProvenanceError for an entry with other content, or of something else.
    """
    for entry in opened.listed.entries:
        if not _is_of_its_key(entry, locked):
            raise ProvenanceError(
                f"{opened.path} holds something else as {entry.kind}/{entry.key}", hint=_NOT_TRUSTED
            )
    named = _named(opened, locked, spec)
    for entry in opened.listed.entries:
        if entry.key not in named.get(entry.kind, (entry.key,)):
            raise ProvenanceError(
                f"{opened.path} holds {entry.kind}/{entry.key}, which its lock does not name",
                hint=_NOT_TRUSTED,
            )
        if entry.kind == "registry" and not _is_whole(opened, entry):
            raise ProvenanceError(
                f"{opened.path} does not hold all of {entry.kind}/{entry.key}", hint=_NOT_TRUSTED
            )


def _is_of_its_key(entry: ArchivedEntry, locked: Lock) -> bool:
    """The entry has exactly the files that its key names by their hashes; the kubelet is the lock's."""
    found = {path: file.sha256 for path, file in entry.files.items()}
    if entry.kind in _ONLY:
        return found == {_ONLY[entry.kind]: entry.key}
    if entry.kind == "download":  # its name is that of the URL
        return list(found.values()) == [entry.key]
    if entry.kind == "registry":
        blobs = {path: sha256 for path, sha256 in found.items() if not _SIGNATURE.fullmatch(path)}
        return blobs.pop(_MANIFEST, None) == entry.key and all(path == blobs[path] for path in blobs)
    if entry.kind == "kubelet":
        return locked.kubelet is not None and found.get("kubelet") == locked.kubelet["sha256"]
    return True


def _named(opened: OpenedArchive, locked: Lock, spec: ImageSpec) -> Mapping[str, frozenset[str]]:
    """By kind, the keys of the entries that the lock and its spec name."""
    downloads = [locked.base_image.sha256] if locked.base_image else []
    downloads += [locked.kubelet["sha256"]] if locked.kubelet else []
    pinned = frozenset(_pinned(spec))
    return {
        "download": frozenset(sha256.lower() for sha256 in downloads),
        PACKAGES: frozenset(_packages(opened, locked)),
        "registry-manifest": pinned,
        "registry": pinned | frozenset(_platforms(opened, pinned)),
    }


def _pinned(spec: ImageSpec) -> Iterator[str]:
    """The hex digests of the images that the spec, or a build context of it, takes from registries."""
    contexts = build_context.collect(spec.containers, paths.roots_of_specs())
    named = [container.registry or "" for container in spec.containers]
    named += [image for context in contexts for image in context.foreign]
    yield from (name.partition("@sha256:")[2] for name in named if registry.is_pinned(name))


def _platforms(opened: OpenedArchive, pinned: frozenset[str]) -> Iterator[str]:
    """The hex digests of the images in the indexes that are pinned."""
    for entry in opened.listed.entries:
        if entry.kind == "registry-manifest" and entry.key in pinned:
            index = manifests.manifest(_content(opened, entry, _MANIFEST), str(opened.path))
            yield from (each.digest.partition(":")[2] for each in index.manifests or ())


def _is_whole(opened: OpenedArchive, entry: ArchivedEntry) -> bool:
    """All blobs of an image's manifest are in its entry."""
    manifest = manifests.manifest(_content(opened, entry, _MANIFEST), str(opened.path))
    listed = [*([manifest.config] if manifest.config else []), *(manifest.layers or ())]
    return all(blob.digest.partition(":")[2] in entry.files for blob in listed)


def _packages(opened: OpenedArchive, locked: Lock) -> Iterator[str]:
    """The hashes of the lock's indexes and packages, and of all that these indexes list."""
    yield from (package.sha256 for package in locked.packages if package.sha256)
    indexes = {each["sha256"] for each in (locked.index or {}).values()}
    yield from indexes
    entries = {entry.key: entry for entry in opened.listed.entries if entry.kind == PACKAGES}
    for index in sorted(indexes & entries.keys()):
        listed = store.listed(_content(opened, entries[index], _ONLY[PACKAGES]).decode("utf-8", "replace"))
        yield from listed.values()
        lists = {sha256 for path, sha256 in listed.items() if path.endswith("/Packages.xz")}
        for sha256 in sorted(lists & entries.keys()):
            yield from _sums(_content(opened, entries[sha256], _ONLY[PACKAGES]))


def _sums(packed: bytes) -> Iterator[str]:
    """The hashes of the packages in a list, which is read in lines: a forged one may be of any size."""
    try:
        with lzma.open(io.BytesIO(packed)) as lines:
            while line := lines.readline(_LINE_MAX):
                if line.startswith(_SUM):
                    yield line.removeprefix(_SUM).strip().decode("ascii", "replace")
    except (lzma.LZMAError, EOFError):
        return


def _content(opened: OpenedArchive, entry: ArchivedEntry, path: str) -> bytes:
    return opened.content(lock_archive.member(entry.kind, entry.key, path), entry.files[path])
