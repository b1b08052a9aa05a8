# SPDX-License-Identifier: Apache-2.0
"""List the packages of an offline image, and its container images with their packages.

The list comes from the disk alone, not from what the build meant to install.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import lzma
import posixpath
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from goldsmith.containers import manifests, oci
from goldsmith.containers.manifests import Manifest
from goldsmith.errors import BuildError, ProvenanceError
from goldsmith.image import mount
from goldsmith.scan import debian_copyright, package_databases
from goldsmith.scan.package_databases import Package

STORE = "/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256"
ARCHIVE = "/var/lib/goldsmith/bundle.tar"
_DPKG = "var/lib/dpkg/status"
_APK = "lib/apk/db/installed"
_RELEASE = ("usr/lib/os-release", "etc/os-release")  # the second counts, where it is a file
_COPYRIGHT = "usr/share/doc/{}/copyright"
_DATABASES = re.compile(
    rf"{'|'.join(_RELEASE)}|{_DPKG}|{_DPKG}\.d/[^/]+|{_APK}|(?:var/lib|usr/lib/sysimage)/rpm/[^/]+"
    rf"|{_COPYRIGHT.format('[^/]+')}"
)
_LINKS = re.compile(rf"{_COPYRIGHT.format('[^/]+')}|{posixpath.dirname(_COPYRIGHT).format('[^/]+')}")
_IS_LINK = b"\0"  # before the target of a link; no text that is read begins so
_MOST_LINKS = 8
_MOST_COPYRIGHT = 1 << 22  # bytes
_RPM_FOLDERS = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
_MOST_MANIFEST = 1 << 20  # bytes; a larger blob is a layer
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """digest: of its manifest. unread: why its packages are not known, empty where they are.

    os: the fields of its os-release(5); empty where it has none.
    """

    digest: str
    os: Mapping[str, str]
    layers: tuple[str, ...]
    packages: tuple[Package, ...]
    unread: str = ""

    @property
    def release(self) -> str:
        """ID and version of its distribution, such as debian-13; empty where it has none."""
        return release_of(self.os)


Changes = Mapping[str, bytes | None]  # path -> content, None where a layer deletes it


def packages(root: Path) -> tuple[Package, ...]:
    """The packages of a root file system, sorted. Raises HostError where rpm is needed and missing."""
    status = mount.resolve(root, f"/{_DPKG}")
    if status.is_file():
        found = package_databases.dpkg(status.read_text(errors="replace"))
        return tuple(sorted(_licensed(package, _copyright_of(root, package.name)) for package in found))
    for folder in (mount.resolve(root, path) for path in _RPM_FOLDERS):
        if folder.is_dir():
            return tuple(sorted(package_databases.rpm(folder)))
    return ()


def containers(root: Path) -> tuple[Container, ...]:
    """The container images of an offline image, after a hash of every blob. Raises ProvenanceError."""
    with blobs_of(root) as blobs:
        return _containers(blobs)


@contextlib.contextmanager
def blobs_of(root: Path) -> Iterator[Store | Archive]:
    """The blobs of the container images: in containerd's store, or in the archive that it will import."""
    archive = mount.resolve(root, ARCHIVE)
    if archive.is_file():
        with tarfile.open(archive) as bundle:
            yield Archive(bundle)
    else:
        yield Store(mount.resolve(root, STORE))


def layers_of(blobs: Store | Archive) -> tuple[str, ...]:
    """The digests of the images' layers, unique and sorted. Raises ProvenanceError."""
    found = (_manifest(blobs, digest) for digest, size in blobs.sizes().items() if size <= _MOST_MANIFEST)
    return tuple(sorted({layer.digest for manifest in found if manifest for layer in manifest.layers or ()}))


def documents_of(blobs: Store | Archive) -> Iterator[tuple[str, str]]:
    """Digest and text of the images' manifests, configurations and other blobs that are no layers."""
    layers = set(layers_of(blobs))
    for digest, size in sorted(blobs.sizes().items()):
        if size <= _MOST_MANIFEST and digest not in layers:
            with blobs.open(digest) as source:
                yield digest, source.read().decode(errors="replace")


class Store:
    """Blobs as containerd keeps them."""

    def __init__(self, folder: Path) -> None:
        self._files = {f"sha256:{path.name}": path for path in folder.iterdir()} if folder.is_dir() else {}

    def sizes(self) -> dict[str, int]:
        """Digest -> bytes."""
        return {digest: path.stat().st_size for digest, path in self._files.items()}

    def open(self, digest: str) -> IO[bytes]:
        """A blob's content."""
        return self._files[digest].open("rb")


class Archive:
    """Blobs in an OCI archive."""

    def __init__(self, bundle: tarfile.TarFile) -> None:
        self._bundle = bundle
        self._members = {
            f"sha256:{member.name.rpartition('/')[2]}": member
            for member in bundle
            if member.isfile() and member.name.startswith("blobs/sha256/")
        }

    def sizes(self) -> dict[str, int]:
        """Digest -> bytes."""
        return {digest: member.size for digest, member in self._members.items()}

    def open(self, digest: str) -> IO[bytes]:
        """A blob's content."""
        source = self._bundle.extractfile(self._members[digest])
        assert source is not None
        return source


def _containers(blobs: Store | Archive) -> tuple[Container, ...]:
    sizes = blobs.sizes()
    parsed = {digest: _manifest(blobs, digest) for digest, n in sizes.items() if n <= _MOST_MANIFEST}
    layers: dict[str, Changes | str] = {}
    found = []
    for digest, manifest in sorted(parsed.items()):
        if manifest is None or manifest.config is None:
            continue
        listed = tuple(layer.digest for layer in manifest.layers or ())
        for needed in (manifest.config.digest, *listed):
            check(blobs, needed, sizes, f"the image {digest}")
        for layer in listed:
            if layer not in layers:
                layers[layer] = _databases(blobs, layer)
        found.append(_container(digest, listed, [layers[layer] for layer in listed]))
    return tuple(found)


def _manifest(blobs: Store | Archive, digest: str) -> Manifest | None:
    """An image's manifest, None for any other blob."""
    with blobs.open(digest) as source:
        data = source.read()
    try:
        parsed = manifests.manifest(data, digest)
    except BuildError:
        return None
    if parsed.config is None or parsed.layers is None:
        return None
    if oci.sha256(data) != digest:
        raise ProvenanceError(f"offline image: the manifest {digest} has other content than its digest says")
    return parsed


def check(blobs: Store | Archive, digest: str, sizes: Mapping[str, int], owner: str) -> None:
    """Raise ProvenanceError unless a blob of owner exists and its content has that digest."""
    if digest not in sizes:
        raise ProvenanceError(f"offline image: blob {digest} of {owner} is missing")
    with blobs.open(digest) as source:
        found = f"sha256:{hashlib.file_digest(source, 'sha256').hexdigest()}"  # type: ignore[arg-type]
    if found != digest:
        raise ProvenanceError(f"offline image: blob {digest} of {owner} has the content of {found}")


def _databases(blobs: Store | Archive, layer: str) -> Changes | str:
    """Changes of a layer to package databases; the reason where the layer cannot be read."""
    try:
        with blobs.open(layer) as source, tarfile.open(fileobj=source, mode="r:*") as archive:
            return dict(_changes(archive))
    except tarfile.ReadError:
        return f"the compression of layer {layer} is not supported"
    except (tarfile.TarError, EOFError, KeyError, zlib.error, lzma.LZMAError) as e:
        return f"the layer {layer} cannot be read: {type(e).__name__}"


def _changes(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes | None]]:
    for member in archive:
        path = member.name.removeprefix("./").strip("/")
        folder, _, name = path.rpartition("/")
        if name == _OPAQUE:
            yield f"{folder}/", None
        elif name.startswith(_WHITEOUT):
            yield f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/"), None
        elif (member.isfile() or member.islnk()) and _DATABASES.fullmatch(path):
            source = archive.extractfile(member)  # none for a link to what is no file
            if source is not None:
                yield path, source.read(_MOST_COPYRIGHT if _LINKS.fullmatch(path) else -1)
        elif member.issym() and _LINKS.fullmatch(path):
            yield path, _IS_LINK + member.linkname.encode(errors="surrogateescape")


def _container(digest: str, layers: tuple[str, ...], changes: Iterable[Changes | str]) -> Container:
    files: dict[str, bytes] = {}
    for change in changes:
        if isinstance(change, str):
            return Container(digest=digest, layers=layers, packages=(), unread=change, os={})
        _apply(files, change)
    unread = "it has an rpm database" if any("/rpm/" in path for path in files) else ""
    found: list[Package] = []
    for path, data in files.items():
        text = data.decode(errors="replace")
        if path.startswith(_DPKG) and not path.endswith(".md5sums"):
            found += (
                _licensed(each, _copyright_in(files, each.name)) for each in package_databases.dpkg(text)
            )
        elif path == _APK:
            found += package_databases.apk(text)
    releases = [files[path].decode(errors="replace") for path in _RELEASE if path in files]
    return Container(
        digest=digest, layers=layers, packages=tuple(sorted(found)), unread=unread,
        os=fields_of(releases[-1]) if releases else {},
    )  # fmt: skip


def _licensed(package: Package, text: str) -> Package:
    """The package of Debian's, with the licences of its copyright file."""
    return dataclasses.replace(package, licenses=debian_copyright.licenses(text))


def _copyright_of(root: Path, name: str) -> str:
    """The copyright file of an installed package; empty where it has none."""
    path = mount.resolve(root, f"/{_COPYRIGHT.format(name)}")
    if not path.is_file():
        return ""
    with path.open("rb") as source:
        return source.read(_MOST_COPYRIGHT).decode(errors="replace")


def _copyright_in(files: Mapping[str, bytes], name: str) -> str:
    """The same in the files of layers, where the file or its folder may be a link."""
    path = _COPYRIGHT.format(name)
    for _ in range(_MOST_LINKS):
        folder = posixpath.dirname(path)
        link = next((each for each in (folder, path) if files.get(each, b"").startswith(_IS_LINK)), None)
        if link is None:
            return files.get(path, b"").decode(errors="replace")
        target = files[link].removeprefix(_IS_LINK).decode(errors="replace")
        above = posixpath.join("/", posixpath.dirname(link), target)
        path = posixpath.normpath(above + path.removeprefix(link)).lstrip("/")
    return ""


def fields_of(text: str) -> dict[str, str]:
    """The fields of an os-release(5) file, without quotes."""
    pairs = (line.strip().partition("=")[::2] for line in text.splitlines() if "=" in line)
    return {key: value.strip("\"'") for key, value in pairs}


def release_of(fields: Mapping[str, str]) -> str:
    """ID and version by the fields of os-release(5), such as debian-13; empty where it names none."""
    return "-".join(fields[key] for key in ("ID", "VERSION_ID") if fields.get(key))


def _apply(files: dict[str, bytes], change: Changes) -> None:
    """Apply a layer to those below it; deletions come first (OCI image-spec, layer.md, whiteouts)."""
    for gone in [path for path, data in change.items() if data is None]:
        inside = f"{gone.rstrip('/')}/" if gone.strip("/") else ""  # empty: of the root, so everything
        for path in [path for path in files if path == gone or path.startswith(inside)]:
            del files[path]
    files.update({path: data for path, data in change.items() if data is not None})
