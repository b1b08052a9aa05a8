# SPDX-License-Identifier: Apache-2.0
"""Make the image of a build reproducible: the same inputs give the same layers on each host and day.

Layers keep no time after the image's date, no order or names of the build host, and no traces of the build.
Formats: layer.md and config.md of the OCI image specification.
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

from goldsmith.apt import build_files
from goldsmith.containers import oci
from goldsmith.errors import BuildError

_BUFFER = 1 << 20
_NOISE = re.compile(
    r"var/log/(dpkg|alternatives|bootstrap|fontconfig)\.log|var/log/apt/.+|var/lib/apt/lists/.+"
    r"|var/cache/apt/(pkgcache|srcpkgcache)\.bin|var/cache/apt/archives/.+|var/cache/ldconfig/aux-cache"
    r"|var/cache/debconf/[^/]+-old|var/lib/dpkg/[^/]+-old|var/lib/dbus/machine-id"
)
_OWN = (build_files.CONFIGURATION, build_files.SOURCES)
_OWN_NAMES = {path.rpartition("/")[2] for path in _OWN}
_OWN_MAX = 4096  # more than our files have
_POLICY = build_files.POLICY.rpartition("/")[2]
_XATTR = "SCHILY.xattr."
_SECONDS_OF_DAY = 86400
_LONGEST_ADDRESS = len("127.0.0.1:65535")
_PYC_HEADER = 16  # magic number, flags, time, size: PEP 552
_IMAGE_KEYS = ("architecture", "author", "os", "os.version", "os.features", "variant")
_CONFIG_KEYS = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal",
    "Healthcheck", "OnBuild", "Shell", "StopTimeout", "ArgsEscaped",
)  # fmt: skip
_HISTORY_KEYS = ("author", "comment", "created_by", "empty_layer")
_OWN_COMMAND = " #(nop) "  # the builder's history has it for each instruction but RUN
_HASHED_SOURCE = re.compile(r"(file|dir|multi):[0-9a-f]{64}\b")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """epoch: the latest time that files have, in seconds since 1970.

    discarded: folders whose content no layer of a RUN line keeps.
    addresses: HOST:PORT, which no image may hold.
    """

    ref: str
    epoch: int
    discarded: Collection[str] = ()
    addresses: Collection[str] = ()

    def holds_address(self, data: bytes) -> bool:
        return any(address.encode() in data for address in self.addresses)


def image(
    config: bytes,
    layers: Sequence[tuple[str, Path]],
    rules: Rules,
    spool: Path,
    *,
    kept: Collection[str],
    dropped: Collection[str],
) -> tuple[bytes, dict[str, Path]]:
    """The configuration and the layers (by diff ID) of a built image, new files in the folder spool.

    layers: as saved. kept: diff IDs of layers of other images, which stay; dropped: of those of the build.
    Raises BuildError if the image holds the address of rules.
    """
    made: dict[str, Path] = {}
    diff_ids = []
    old_config = json.loads(config)
    of_run = _made_by_run(old_config.get("history") or (), len(layers))
    for number, (diff_id, path) in enumerate(layers):
        if diff_id in dropped:
            continue
        if diff_id not in kept:
            target = spool / f"layer-{number}.tar"
            own = rules if of_run[number] else replace(rules, discarded=())
            diff_id, path = layer(path, target, own), target
        made[diff_id] = path
        diff_ids.append(diff_id)
    lost = [old in dropped for old, _ in layers]
    new = _config(old_config, diff_ids, lost, rules.epoch)
    if rules.holds_address(new):
        raise _address_kept(rules, "its configuration")
    return new, made


def layer(source: Path, target: Path, rules: Rules) -> str:
    """Write the layer in source, a tar archive, to target; returns its diff ID."""
    with target.open("wb") as raw, tarfile.open(source, "r:", bufsize=_BUFFER) as archive:
        sink = _Hashed(raw)
        with tarfile.open(
            fileobj=cast(IO[bytes], sink), mode="w|", format=tarfile.PAX_FORMAT, bufsize=_BUFFER
        ) as out:
            for entry, origin in _entries(archive, rules):
                content = archive.extractfile(origin) if entry.isreg() else None
                _write(out, entry, content, rules)
    return f"sha256:{sink.sha256.hexdigest()}"


def epoch_of(created: str) -> int:
    """The seconds since 1970 of an image's date (RFC 3339); 0 if it is earlier or missing."""
    return max(0, int(datetime.datetime.fromisoformat(created).timestamp())) if created else 0


def differing(before: Iterable[Path], after: Iterable[Path]) -> list[str]:
    """The paths by which the layers of two images differ."""
    one, other = _fingerprints(before), _fingerprints(after)
    return sorted({path for path, _ in one.items() ^ other.items()})


class _Hashed:
    """A file to write to, and the sha256 of what was written."""

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        return self._sink.write(data)


class _Searched:
    """A file to read; a BuildError where it holds the address of a build."""

    def __init__(self, source: IO[bytes], rules: Rules, path: str) -> None:
        self._source, self._rules, self._path = source, rules, path
        self._rest = b""

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        if self._rules.holds_address(self._rest + data):
            raise _address_kept(self._rules, f"/{self._path}")
        self._rest = (self._rest + data)[-_LONGEST_ADDRESS:]
        return data


def _address_kept(rules: Rules, where: str) -> BuildError:
    return BuildError(
        f"{rules.ref} keeps the address of the build's package proxy in {where}",
        hint="change the line of its Dockerfile that stores the environment of the build",
    )


def _entries(archive: tarfile.TarFile, rules: Rules) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarInfo]]:
    """The entries to write, in the order of their paths, and where their content is in archive."""
    found = {_path(entry): entry for entry in archive if not _is_noise(archive, entry, rules)}
    every = {_path(entry): entry for entry in archive.getmembers()}
    first: dict[str, str] = {}  # of each file with several names: the name that comes first
    for path in sorted(found, key=_in_order):
        entry = found[path]
        file = _normal(entry.linkname) if entry.islnk() else path
        origin = every.get(file, entry)
        new = _normalized(origin, rules.epoch)
        new.name = entry.name
        if file in first and (entry.islnk() or origin.isreg()):
            new.type, new.size, new.linkname = tarfile.LNKTYPE, 0, first[file]
        else:
            first[file] = entry.name
        yield new, origin


def _normalized(entry: tarfile.TarInfo, epoch: int) -> tarfile.TarInfo:
    new = copy.copy(entry)
    new.mtime = min(int(entry.mtime), epoch)
    new.uname = new.gname = ""
    new.pax_headers = {
        name: entry.pax_headers[name] for name in sorted(entry.pax_headers) if name.startswith(_XATTR)
    }
    return new


def _path(entry: tarfile.TarInfo) -> str:
    return _normal(entry.name)


def _normal(name: str) -> str:
    return name.removeprefix("./").rstrip("/")


def _in_order(path: str) -> list[str]:
    return path.split("/")


def _is_noise(archive: tarfile.TarFile, entry: tarfile.TarInfo, rules: Rules) -> bool:
    """A trace of the build that no image needs. Deletions (.wh.NAME) stay, except those of our own files."""
    path = _path(entry)
    name = path.rpartition("/")[2]
    if path.replace("/.wh.", "/") in _OWN or any(path.startswith(f"{each}/") for each in rules.discarded):
        return True
    if not (entry.isreg() or entry.islnk()) or name.startswith(".wh."):
        return False
    if entry.isreg() and (name == _POLICY or name in _OWN_NAMES):
        content = archive.extractfile(entry)
        assert content is not None
        return _is_own(name, content.read(_OWN_MAX), rules)
    return _NOISE.fullmatch(path) is not None


def _is_own(name: str, data: bytes, rules: Rules) -> bool:
    """The content is that of our file of this name, wherever a COPY of a folder put it."""
    return data == build_files.POLICY_TEXT if name == _POLICY else rules.holds_address(data)


def _write(out: tarfile.TarFile, entry: tarfile.TarInfo, content: IO[bytes] | None, rules: Rules) -> None:
    path = _path(entry)
    if content is None:
        if rules.holds_address(entry.linkname.encode(errors="surrogateescape")):
            raise _address_kept(rules, f"/{path}")
        out.addfile(entry)
        return
    change = _CHANGES.get(path) or (_pyc if path.endswith(".pyc") else None)
    if change is not None:
        data = change(content.read(), rules.epoch)
        entry.size, content = len(data), io.BytesIO(data)
    out.addfile(entry, cast(IO[bytes], _Searched(content, rules, path)))


def _pyc(data: bytes, epoch: int) -> bytes:
    """Compiled Python that is valid by its source's time gets the time that the source has in the layer."""
    if len(data) < _PYC_HEADER or any(data[4:8]):
        return data
    time = min(int.from_bytes(data[8:12], "little"), epoch)
    return data[:8] + time.to_bytes(4, "little") + data[12:]


def _shadow(data: bytes, epoch: int) -> bytes:
    """shadow(5): the third field is the day of the last change of the password; 0 asks for a new one."""
    if epoch == 0:  # the image has no date
        return data
    latest = max(1, epoch // _SECONDS_OF_DAY)
    lines = []
    for line in data.split(b"\n"):
        fields = line.split(b":")
        if len(fields) > 2 and fields[2].isdigit():
            fields[2] = b"%d" % min(int(fields[2]), latest)
        lines.append(b":".join(fields))
    return b"\n".join(lines)


def _machine_id(data: bytes, _: int) -> bytes:
    """machine-id(5): an empty file gets its content at the first boot."""
    return data if data.strip() == b"uninitialized" else b""


_CHANGES = {"etc/shadow": _shadow, "etc/shadow-": _shadow, "etc/machine-id": _machine_id}


def _config(old: Mapping[str, Any], diff_ids: Sequence[str], lost: Sequence[bool], epoch: int) -> bytes:
    created = datetime.datetime.fromtimestamp(epoch, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    settings = old.get("config") or {}
    return oci.canonical(
        {
            **{key: old[key] for key in _IMAGE_KEYS if old.get(key)},
            "created": created,
            "config": {key: settings[key] for key in _CONFIG_KEYS if settings.get(key)},
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
            "history": _history(old.get("history") or (), lost, created),
        }
    )


def _made_by_run(history: Sequence[Mapping[str, Any]], count: int) -> list[bool]:
    """Of each of count layers: a RUN line may have made it. The last entries are those of the last layers."""
    commands = [str(entry.get("created_by")) for entry in history if not entry.get("empty_layer")]
    found = [_OWN_COMMAND not in command for command in commands[max(0, len(commands) - count) :]]
    return [True] * (count - len(found)) + found


def _history(old: Sequence[Mapping[str, Any]], lost: Sequence[bool], created: str) -> list[dict[str, Any]]:
    """Without the entries of dropped layers. The last entries are those of the last layers."""
    found: list[dict[str, Any]] = []
    layers = list(lost)
    for entry in reversed(old):
        if not entry.get("empty_layer") and layers and layers.pop():
            continue
        new = {key: entry[key] for key in _HISTORY_KEYS if entry.get(key)}
        new["created"] = min(str(entry.get("created") or created), created)
        if "created_by" in new:
            new["created_by"] = _HASHED_SOURCE.sub(r"\1", str(new["created_by"]))
        found.append(new)
    return found[::-1]


def _fingerprints(layers: Iterable[Path]) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in layers:
        with tarfile.open(path, "r:", bufsize=_BUFFER) as archive:
            for entry in archive:
                content = archive.extractfile(entry) if entry.isreg() else None
                digest = hashlib.file_digest(content, "sha256").digest() if content else b""  # type: ignore[arg-type]
                about = (entry.type, entry.mode, entry.uid, entry.gid, entry.mtime, entry.linkname, digest)
                found[f"/{_path(entry)}"] = about
    return found
