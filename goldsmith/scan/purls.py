# SPDX-License-Identifier: Apache-2.0
"""Package URLs (https://github.com/package-url/purl-spec): one spelling in bills and statements. Pure."""

from __future__ import annotations

import re

from packageurl import PackageURL

from goldsmith.containers import oci


def package(family: str, distro: str, name: str, version: str, arch: str, source: str = "") -> PackageURL:
    """A distribution's package. distro: ID and version by os-release(5), such as debian-13.

    source: name and version of its source package, or its file for rpm; it becomes `upstream`, where
    scanners look for it.
    """
    epoch, colon, rest = version.partition(":") if family == "rpm" else ("", "", "")
    qualifiers = {
        "arch": arch, "distro": distro, "epoch": epoch if colon else "",
        "upstream": _upstream(family, name, version, source),
    }  # fmt: skip
    distribution = re.sub(r"-\d[^-]*$", "", distro) or "linux"
    return PackageURL(family, distribution, name, rest if colon else version, qualifiers)


def go_module(path: str, version: str, subpath: str | None = None) -> PackageURL:
    """A module of Go, or a folder in it."""
    namespace, _, name = path.rpartition("/")
    return PackageURL("golang", namespace, name, version, subpath=subpath)


def container(ref: str | None, digest: str) -> PackageURL:
    """A container image by its reference, in full or short (None: not known), and its manifest's digest."""
    if ref is None:
        return PackageURL("oci", None, "unknown", digest)
    repository = oci.repository(ref)
    name = repository.rpartition("/")[2]
    return PackageURL("oci", None, name, digest, {"repository_url": repository})


def _upstream(family: str, name: str, version: str, source: str) -> str:
    if family == "rpm":
        return source
    origin, _, origin_version = source.partition(" ")
    if origin_version and origin_version != version:
        return f"{origin}@{origin_version}"
    return "" if origin == name else origin
