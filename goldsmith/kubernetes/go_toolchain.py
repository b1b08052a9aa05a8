# SPDX-License-Identifier: Apache-2.0
"""Choose the Go that compiles: a new enough one of the host, else Go's own toolchain module.

Any Go, however old, can fetch that module (https://go.dev/ref/mod#go-mod-download). Its h1 sum must be
the one that is pinned in the repository.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.core import cache, proc, progress
from goldsmith.errors import BuildError, CommandError, HostError
from goldsmith.host import tools
from goldsmith.spec.model import Arch

PIN_FILE = "toolchain.json"
MODULE = "golang.org/toolchain"

Version = tuple[int, int, int]

_ELSEWHERE = (("/usr/local/go/bin", "go"), ("/usr/lib", "go-*/bin/go"))  # folders of Go that are not on PATH
_RELEASE = re.compile(r"go version go(\d+)\.(\d+)(?:\.(\d+))?(?=[ -])")  # no beta, rc or devel
_DOWNLOAD_S = 900.0
# The user decides from where modules come and where they are kept; all other settings of Go are ours.
_USER_SETTINGS = (
    "GOAUTH", "GOCACHE", "GOINSECURE", "GOMODCACHE", "GONOPROXY", "GONOSUMDB", "GOPATH", "GOPRIVATE",
    "GOPROXY", "GOSUMDB", "GOVCS",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """toolchain.json: a release of Go and, by architecture, the h1 sum of its toolchain module."""

    version: str  # "1.26.10"
    sums: Mapping[str, str]

    def to_json(self) -> bytes:
        return (json.dumps({"version": self.version, "sums": dict(self.sums)}, indent=2) + "\n").encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Go:
    """A Go that can compile; command is None for a toolchain module: see command().

    version: as `go version` prints it, e.g. "go1.26.10 linux/amd64"; origin: "PATH", or module and sum.
    """

    version: str
    origin: str
    command: Path | None
    pin: Pin


def read_pin(folder: Path) -> Pin:
    """The pin beside go.mod. Raises BuildError if it cannot be read."""
    path = folder / PIN_FILE
    try:
        data = json.loads(path.read_text())
        return Pin(version=str(data["version"]), sums=dict(data["sums"]))
    except (OSError, ValueError, TypeError, KeyError) as e:
        raise BuildError(
            f"cannot read the pinned Go toolchain {path}: {e!r}", hint=f"restore kubernetes/{PIN_FILE}"
        ) from e


def choose(minimum: str, pin: Pin) -> Go:
    """A Go that is at least minimum; runs only `go version`."""
    for path in host_gos():
        described = _describe(path)
        match = _RELEASE.match(described)
        if match and _version(".".join(filter(None, match.groups()))) >= _version(minimum):
            return Go(version=described.removeprefix("go version "), origin="PATH", command=path, pin=pin)
    if not satisfies(pin, minimum):
        raise BuildError(
            f"the kubelet needs Go {minimum}, but the pinned toolchain is Go {pin.version}",
            hint="run: scripts/inv kubelet-bump VERSION",
        )
    arch = _pinned_arch(minimum, pin)
    origin = f"toolchain module {module_version(pin.version, arch)} {pin.sums[arch]}"
    return Go(version=f"go{pin.version} linux/{arch}", origin=origin, command=None, pin=pin)


def command(go: Go) -> Path:
    """The program; a toolchain module is first fetched, checked and cached.

    Raises BuildError if the module is not the pinned one, HostError if the host has no Go to fetch it with.
    """
    if go.command is not None:
        return go.command
    module = next(word for word in go.origin.split() if word.startswith(MODULE))
    expected = go.origin.split()[-1]
    key = f"{module.rpartition('@')[2]}-{hashlib.sha256(expected.encode()).hexdigest()[:16]}"
    entry = cache.cached("go", key, lambda folder: _install(module, expected, folder))
    # Neither the cache's hashes nor Go modules record x bits.
    for program in (*(entry / "bin").iterdir(), *(entry / "pkg/tool").rglob("*")):
        program.chmod(0o755)
    return entry / "bin" / "go"


def satisfies(pin: Pin, minimum: str) -> bool:
    """The pinned Go is new enough."""
    return _version(pin.version) >= _version(minimum)


def module_version(version: str, arch: str) -> str:
    """The toolchain module's name, e.g. golang.org/toolchain@v0.0.1-go1.26.10.linux-amd64."""
    return f"{MODULE}@v0.0.1-go{version}.linux-{arch}"


def host_gos() -> Iterator[Path]:
    """Every Go of this host: in the order of PATH, then in other usual folders."""
    folders = proc.environment()["PATH"].split(os.pathsep)
    found = [Path(folder) / "go" for folder in folders if folder]
    for folder, pattern in _ELSEWHERE:
        found += sorted(Path(folder).glob(pattern), reverse=True)
    seen = set()
    for path in found:
        if os.access(path, os.X_OK) and path.is_file() and path.resolve() not in seen:
            seen.add(path.resolve())
            yield path


def any_go() -> Path:
    """A working Go of any version. Raises HostError if there is none."""
    for path in host_gos():
        if _describe(path):
            return path
    raise HostError("Go is not installed; any release will do", hint="run: apt install golang-go")


def environment(go: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of this Go: the user's module proxy and caches, none of their other settings."""
    printed = proc.capture([go, "env", "-json", *_USER_SETTINGS], env=_base_environment())
    settings = {name: value for name, value in json.loads(printed).items() if value}
    return {**_base_environment(), **settings, "GOENV": "off", "GOWORK": "off", **(extra or {})}


def download(go: Path, module: str) -> dict[str, Any]:
    """Fetch MODULE@VERSION; the output of `go mod download -json`: Zip, GoMod, Sum and others."""
    with tempfile.TemporaryDirectory() as outside:  # outside of any module, whose go.mod would apply
        env = environment(go)
        # Twice, because with -json the reason of a failure is not on standard error.
        proc.capture([go, "mod", "download", module], env=env, cwd=Path(outside), timeout_s=_DOWNLOAD_S)
        answer = proc.capture([go, "mod", "download", "-json", module], env=env, cwd=Path(outside))
    result: dict[str, Any] = json.loads(answer)
    return result


def versions(go: Path, module: str) -> list[str]:
    """Every version of a module that the proxy lists, oldest first."""
    with tempfile.TemporaryDirectory() as outside:
        argv: tuple[proc.Arg, ...] = (go, "list", "-m", "-versions", module)
        answer = proc.capture(argv, env=environment(go), cwd=Path(outside), timeout_s=_DOWNLOAD_S)
    return answer.split()[1:]


def newest_pin(minimum: str) -> Pin:
    """The newest patch release of minimum's line that the module proxy has for every architecture."""
    go = any_go()
    arches = sorted(arch.value for arch in Arch)
    listed = set(versions(go, MODULE))
    line = ".".join(minimum.split(".")[:2])
    found = {m[1] for v in listed if (m := re.search(rf"-go({re.escape(line)}(?:\.\d+)?)\.linux-", v))}
    for version in sorted(found, key=_version, reverse=True):
        names = [module_version(version, arch) for arch in arches]
        if _version(version) >= _version(minimum) and all(n.rpartition("@")[2] in listed for n in names):
            progress.note(f"pinning the toolchain module of Go {version}")
            sums = {arch: download(go, name)["Sum"] for arch, name in zip(arches, names, strict=True)}
            return Pin(version=version, sums=sums)
    raise BuildError(
        f"there is no toolchain module of Go {line}, {minimum} or newer, for {' and '.join(arches)}",
        hint="wait until the module proxy has it, or choose another release of the kubelet",
    )


def h1(archive: zipfile.ZipFile) -> str:
    """The h1 sum of a module's zip file, as in go.sum (Hash1 of golang.org/x/mod/sumdb/dirhash)."""
    lines = []
    for name in sorted(archive.namelist()):
        with archive.open(name) as member:
            lines.append(f"{hashlib.file_digest(member, 'sha256').hexdigest()}  {name}\n")  # type: ignore[arg-type]
    return f"h1:{base64.b64encode(hashlib.sha256(''.join(lines).encode()).digest()).decode()}"


def _install(module: str, expected: str, folder: Path) -> None:
    with progress.step(f"fetch {module}"):
        answer = download(any_go(), module)
        _expect(module, expected, answer["Sum"])
        with zipfile.ZipFile(answer["Zip"]) as archive:
            _expect(module, expected, h1(archive))  # of the same bytes that are unpacked
            archive.extractall(folder)
        unpacked = folder / module  # a module's zip holds its name and version as folders
        for item in unpacked.iterdir():
            item.rename(folder / item.name)
        shutil.rmtree(folder / module.partition("/")[0])


def _expect(module: str, expected: str, got: str) -> None:
    if got != expected:
        raise BuildError(
            f"{module} is not the pinned one: expected {expected}, got {got}",
            hint=f"compare kubernetes/{PIN_FILE} with the repository's history",
        )


def _base_environment() -> dict[str, str]:
    env = {**proc.environment(), "GOTOOLCHAIN": "local"}  # or Go would replace itself by another version
    env.pop("GOFLAGS", None)
    return env


def _describe(go: Path) -> str:
    """The output of `go version`, "" if the program is not a working Go."""
    with contextlib.suppress(CommandError, OSError):
        answer = proc.capture([go, "version"], env=_base_environment(), timeout_s=30).strip()
        return answer if answer.startswith("go version ") else ""
    return ""


def _pinned_arch(minimum: str, pin: Pin) -> str:
    arch = tools.host_arch()
    if arch is None or arch not in pin.sums:
        raise HostError(
            f"no toolchain module is pinned for {platform.machine()}",
            hint=f"install Go {minimum} or newer, and put it on PATH",
        )
    return arch


def _version(text: str) -> Version:
    major, minor, patch = [*(int(part) for part in text.split(".")), 0, 0][:3]
    return (major, minor, patch)
