# SPDX-License-Identifier: Apache-2.0
"""packages.json: the packages of an image. The element goldsmith-identity writes it during the build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from goldsmith.core.documents import Document, about

FILE = "packages.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """An installed package, and the file that it was installed from."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"header_sha256", "source"})

    name: Annotated[str, about("Name of the package.")]
    version: Annotated[str, about("Version, with epoch and revision.")]
    architecture: Annotated[str, about("Architecture, as the distribution names it.")]
    sha256: Annotated[str | None, about("Hex sha256 of the package file; null where it is not known.")] = None
    suite: Annotated[str | None, about("Suite or repository that it was fetched from.")] = None
    header_sha256: Annotated[str | None, about("Of an rpm: hex sha256 of its header.")] = None
    source: Annotated[
        str | None,
        about("Name and version of its source package where they differ from its own; of an rpm: its file."),
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageList(Document):
    """The packages of an image, and its kernels."""

    SCHEMA: ClassVar[str] = "goldsmith.packages"

    packages: Annotated[tuple[Package, ...], about("Installed packages, by name and architecture.")]
    kernels: Annotated[tuple[str, ...], about("Versions of the kernels in /boot.")] = ()
    family: Annotated[str, about("Kind of the packages: deb or rpm; empty without any.")] = ""
    distro: Annotated[
        str, about("Distribution and its version by os-release(5), such as debian-13; empty where unknown.")
    ] = ""
