# SPDX-License-Identifier: Apache-2.0
"""Where the kubelet comes from: compiled from the Go module in kubernetes/, downloaded, or a package."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from goldsmith.core import cache, download, proc, progress, scratch
from goldsmith.core.documents import about
from goldsmith.core.files import sha256_of
from goldsmith.errors import BuildError, SpecError
from goldsmith.host import tools
from goldsmith.kubernetes import go_toolchain, pin
from goldsmith.kubernetes.pin import FILES, MODULE, PACKAGE
from goldsmith.kubernetes.pod_schema import obtain_schema
from goldsmith.spec.model import Arch, KubeletSource, KubeletSpec

_BUILD_S = 7200.0  # 3 minutes on two idle cores


@dataclass(frozen=True, kw_only=True, slots=True)
class KubeletBinary:
    """path: None for a package, which the distribution installs within the build."""

    path: Path | None
    version: str
    source: KubeletSource
    sha256: str | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class KubeletRecord:
    """The kubelet of an image and its origin, for manifest and lock."""

    version: Annotated[str, about("Version, without v.")]
    source: Annotated[str, about("How it was obtained: go-module, release or package.")]
    sha256: Annotated[str | None, about("Hex sha256 of the program; null for a package.")]
    provenance: Annotated[
        Mapping[str, str], about("What it was made of, or where it was downloaded; keys differ by source.")
    ] = field(default_factory=dict)


def record(binary: KubeletBinary | None) -> KubeletRecord | None:
    """What manifest and lock keep of a kubelet."""
    if binary is None:
        return None
    return KubeletRecord(
        version=binary.version, source=binary.source.value, sha256=binary.sha256,
        provenance=dict(binary.provenance),
    )  # fmt: skip


def obtain(
    kubelet: KubeletSpec, arch: Arch, *, run: scratch.Run, log_path: Path, module: Path | None = None
) -> KubeletBinary:
    """The kubelet that the spec names; what programs say is appended to log_path.

    module: the folder with go.mod, by default the project's. Raises SpecError when the spec's version
    is not the pinned one, else what the source's own steps raise.
    """
    if kubelet.source is KubeletSource.package:
        return KubeletBinary(path=None, version=kubelet.version, source=kubelet.source)
    if kubelet.source is KubeletSource.release:
        return _release(kubelet, arch, log_path)
    return _compiled(kubelet, arch, run, log_path, module or pin.module_folder())


def pod_schema(kubelet: KubeletSpec, *, module: Path | None = None) -> Path | None:
    """What the kubelet takes for a pod, as a JSON schema; None where only its binary is known."""
    if kubelet.source is not KubeletSource.go_module:
        return None
    go_sum = (module or pin.module_folder()) / "go.sum"
    return obtain_schema(MODULE, kubelet.version, go_sum.read_text())


def _compiled(
    kubelet: KubeletSpec, arch: Arch, run: scratch.Run, log_path: Path, module: Path
) -> KubeletBinary:
    files = {name: (module / name).read_bytes() for name in FILES}  # what is hashed is what is compiled
    go_mod = files["go.mod"].decode()
    pinned = pin.pinned(go_mod)
    if kubelet.version != pinned:
        raise SpecError(
            f"kubelet.version is {kubelet.version}, and the Go module is pinned to {pinned}",
            hint=f'write "{pinned}", or move the pin: scripts/inv kubelet-bump {kubelet.version}',
        )
    go = go_toolchain.choose(pin.go_line(go_mod), go_toolchain.read_pin(module))
    flags = _flags(pinned)
    shape = {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": arch.value}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    key = json.dumps([go.version, flags, shape, hashes], sort_keys=True)
    provenance = {
        "go": go.version,
        "go-origin": go.origin,
        "flags": " ".join(f"{name}={value}" for name, value in shape.items()) + f" {' '.join(flags)}",
        **{f"{name} sha256": digest for name, digest in hashes.items()},
    }

    def fill(folder: Path) -> None:
        with progress.step(f"compile the kubelet v{pinned} for {arch} with {go.version.split()[0]}"):
            binary = folder / "kubelet"
            program = go_toolchain.command(go)
            env = go_toolchain.environment(program, {**shape, "GOFLAGS": "-mod=readonly"})
            _compile(program, flags, binary, files, env, run, log_path)
            found = {**provenance, "module": _embedded(program, binary, pinned)}
            _check_version(binary, pinned, arch)
        stored = {"sha256": sha256_of(binary), "provenance": found}
        (folder / "kubelet.json").write_text(json.dumps(stored))

    entry = cache.cached("kubelet", hashlib.sha256(key.encode()).hexdigest()[:32], fill)
    stored = json.loads((entry / "kubelet.json").read_text())
    return KubeletBinary(path=entry / "kubelet", version=pinned, source=kubelet.source, **stored)


def _release(kubelet: KubeletSpec, arch: Arch, log_path: Path) -> KubeletBinary:
    if kubelet.download is None:
        raise SpecError("a kubelet release has no url and sha256", hint="add kubelet.url and kubelet.sha256")
    path = download.fetch(kubelet.download.url, kubelet.download.sha256, log_path=log_path)
    path.chmod(0o755)
    _check_version(path, kubelet.version, arch)
    return KubeletBinary(
        path=path, version=kubelet.version, source=kubelet.source, sha256=kubelet.download.sha256,
        provenance={"url": kubelet.download.url},
    )  # fmt: skip


def _flags(version: str) -> tuple[str, ...]:
    # Of the version package only what is known is set: there is no git commit and no clean tree to claim.
    linker = f"-s -w -X k8s.io/component-base/version.gitVersion=v{version}"
    return ("-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", linker)


def _compile(
    go: Path,
    flags: tuple[str, ...],
    binary: Path,
    files: Mapping[str, bytes],
    env: Mapping[str, str],
    run: scratch.Run,
    log_path: Path,
) -> None:
    source = Path(tempfile.mkdtemp(prefix="kubelet-", dir=run.folder))
    for name, data in files.items():
        (source / name).write_bytes(data)
    argv: tuple[proc.Arg, ...] = (go, "build", "-v", *flags, "-o", binary, PACKAGE)
    # Go's own scratch folder would outlive a kill anywhere but here.
    env = {**env, "GOTMPDIR": str(source)}
    proc.run(argv, log_path=log_path, env=env, cwd=source, timeout_s=_BUILD_S, on_line=_counter())


def _counter() -> Callable[[str], None]:
    """Shows `go build -v`, which names each package that it has begun to compile."""
    start, packages = time.monotonic(), 0

    def show(line: str) -> None:
        nonlocal packages
        if line.startswith("go: "):
            progress.live(line)
        elif line:
            packages += 1
            progress.live(f"{packages} packages, {time.monotonic() - start:.0f} s: {line}")

    return show


def _embedded(go: Path, binary: Path, version: str) -> str:
    """Module, version and sum of Kubernetes as the binary itself has them; BuildError if they are others."""
    said = proc.capture([go, "version", "-m", binary], env=go_toolchain.environment(go))
    match = re.search(rf"^\s+mod\s+{re.escape(MODULE)}\s+(\S+)\s+(h1:\S+)$", said, re.M)
    if match is None or match[1] != f"v{version}":
        raise BuildError(f"the compiled kubelet is not made from {MODULE} v{version}")
    return f"{MODULE} {match[1]} {match[2]}"


def _check_version(binary: Path, version: str, arch: Arch) -> None:
    """Ask the kubelet itself, where this host can run it."""
    if arch is not tools.host_arch():
        return
    said = proc.capture([binary, "--version"], timeout_s=120).strip()
    if said != f"Kubernetes v{version}":
        raise BuildError(
            f"the kubelet is of another version than v{version}: it says '{said}'",
            hint="correct kubelet.version in the spec",
        )
