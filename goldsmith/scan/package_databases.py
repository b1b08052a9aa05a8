# SPDX-License-Identifier: Apache-2.0
"""Read the databases of installed packages: dpkg's, apk's and rpm's."""

from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import proc

_NAME = re.compile(r"\s*([^\s(:<>=~!|,]+)")  # of a package in a relation, without architecture and version
_FIELD, _RECORD, _ITEM = "\x1d", "\x1e", "\x1f"  # what rpm's answer ends them by: names may hold a newline
_NONE = "(none)"  # what rpm prints for a tag that a package lacks
_RPM_TAGS = ("NAME", "EVR", "ARCH", "SOURCERPM", "VENDOR", "PACKAGER", "LICENSE")
_RPM_LISTS = ("REQUIRENAME", "PROVIDENAME", "FILENAMES")


@dataclass(frozen=True, order=True, kw_only=True, slots=True)
class Package:
    """An installed package, as its database describes it; what a database lacks is empty.

    family: deb, rpm or apk. source: name and version of the source package, where they differ from the
    package's (deb), or its file (rpm). supplier: maintainer or vendor. licenses: names or an expression.
    requires: names of packages, capabilities and files that it needs, of which an alternative is enough
    where the package says so; provides: names that it answers to besides its own.
    """

    family: str
    name: str
    version: str
    arch: str
    source: str = ""
    supplier: str = ""
    licenses: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()


def dpkg(text: str) -> Iterator[Package]:
    """Installed packages of a dpkg status file (deb-control(5)); those without a status count too."""
    for paragraph in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): *(.*)$", paragraph, re.MULTILINE))
        is_installed = fields.get("Status", "ok installed").endswith("ok installed")
        if is_installed and {"Package", "Version", "Architecture"} <= fields.keys():
            name, version = fields["Package"], fields["Version"]
            relations = [fields.get(key, "") for key in ("Pre-Depends", "Depends")]
            yield Package(
                family="deb", name=name, version=version, arch=fields["Architecture"],
                source=_source(fields.get("Source", ""), name, version),
                supplier=fields.get("Maintainer", ""),
                requires=_names(re.split(r"[,|]", ",".join(relations))),
                provides=_names(fields.get("Provides", "").split(",")),
            )  # fmt: skip


def apk(text: str) -> Iterator[Package]:
    """Alpine's database (https://wiki.alpinelinux.org/wiki/Apk_spec)."""
    for paragraph in text.split("\n\n"):
        fields = dict(re.findall(r"^([PVAomLDp]):(.*)$", paragraph, re.MULTILINE))
        if {"P", "V", "A"} <= fields.keys():
            yield Package(
                family="apk", name=fields["P"], version=fields["V"], arch=fields["A"],
                source=f"{fields['o']} {fields['V']}" if "o" in fields else "",
                supplier=fields.get("m", ""), licenses=(fields["L"],) if fields.get("L") else (),
                requires=_apk_names(fields.get("D", "")), provides=_apk_names(fields.get("p", "")),
            )  # fmt: skip


def rpm(database: Path) -> Iterator[Package]:
    """Packages of an rpm database. Reads a copy, because rpm writes beside the database that it reads."""
    tags = [f"%{{{tag}}}" for tag in _RPM_TAGS] + [f"[%{{{tag}}}{_ITEM}]" for tag in _RPM_LISTS]
    with tempfile.TemporaryDirectory(prefix="goldsmith-rpm-") as scratch:
        copy = shutil.copytree(database, Path(scratch) / "rpm")
        answer = proc.capture(["rpm", "--dbpath", copy, "-qa", "--qf", _FIELD.join(tags) + _RECORD])
    found = [_rpm(row.split(_FIELD)) for row in answer.split(_RECORD)[:-1]]
    needed = {name for package, _ in found for name in package.requires}
    for package, files in found:
        if package.name != "gpg-pubkey":
            provides = {*package.provides, *(file for file in files if file in needed)} - {package.name}
            yield dataclasses.replace(package, provides=tuple(sorted(provides)))


def _rpm(row: list[str]) -> tuple[Package, list[str]]:
    """The package of a row, and its files."""
    known = ["" if value == _NONE else value for value in row[: len(_RPM_TAGS)]]
    name, version, arch, source, vendor, packager, license_ = known
    requires, provides, files = (
        [item for item in column.split(_ITEM) if item and item != _NONE] for column in row[len(_RPM_TAGS) :]
    )
    package = Package(
        family="rpm", name=name, version=version, arch=arch, source=source, supplier=vendor or packager,
        licenses=(license_,) if license_ else (), requires=tuple(sorted(set(requires))),
        provides=tuple(provides),
    )  # fmt: skip
    return package, files


def _source(field: str, name: str, version: str) -> str:
    """Name and version of a source package by the field Source; empty where they are the package's."""
    match = re.fullmatch(r"(\S+)(?: \((\S+)\))?", field)
    found = (match[1], match[2] or version) if match else (name, version)
    return "" if found == (name, version) else " ".join(found)


def _names(relations: list[str]) -> tuple[str, ...]:
    return tuple(sorted({match[1] for each in relations if (match := _NAME.match(each))}))


def _apk_names(words: str) -> tuple[str, ...]:
    """Names such as musl and so:libc.musl-x86_64.so.1; a conflict begins with an exclamation mark."""
    found = {re.split(r"[<>=~]", word)[0] for word in words.split() if not word.startswith("!")}
    return tuple(sorted(found - {""}))
