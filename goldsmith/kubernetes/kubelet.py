# SPDX-License-Identifier: Apache-2.0
"""Obtain the kubelet: compile the pinned Go module, download a release, or leave it to a package."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from goldsmith.core import cache, download, proc, progress, runs
from goldsmith.core.documents import Document, about
from goldsmith.core.files import sha256_of
from goldsmith.errors import BuildError, SpecError
from goldsmith.host import tools
from goldsmith.kubernetes import go_toolchain, pin
from goldsmith.kubernetes.pin import FILES, MODULE, PACKAGE
from goldsmith.kubernetes.pod_schema import cached_schema, obtain_schema
from goldsmith.spec.model import Arch, KubeletSource, KubeletSpec

_BUILD_S = 7200.0  # 3 minutes on two idle cores
_KIND, _RECORD = "kubelet", "kubelet.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class KubeletBinary:
    """A kubelet. path: None for a package, which the distribution installs during the image build."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class CompiledKubelet(Document):
    """kubelet.json of the cache: a compiled kubelet."""

    SCHEMA: ClassVar[str] = "goldsmith.kubelet"

    sha256: Annotated[str, about("Hex sha256 of the binary.")]
    provenance: Annotated[Mapping[str, str], about("Go, its origin, flags, and hashes of the Go module.")]


def record(binary: KubeletBinary | None) -> KubeletRecord | None:
    """The record of a kubelet in manifest and lock."""
    if binary is None:
        return None
    return KubeletRecord(
        version=binary.version, source=binary.source.value, sha256=binary.sha256,
        provenance=dict(binary.provenance),
    )  # fmt: skip


def obtain(
    kubelet: KubeletSpec,
    arch: Arch,
    *,
    run: runs.Run,
    log_path: Path,
    module: Path | None = None,
    locked_go: str | None = None,
) -> KubeletBinary:
    """The kubelet that the spec names; the output of programs is appended to log_path.

    module: the folder with go.mod, by default the project's. locked_go: the Go of a lock, as `go version`
    prints it: a kubelet of the cache that it compiled is taken, whatever Go this host has.
    Raises SpecError if the spec's version is not the pinned one, and BuildError or HostError if the kubelet
    cannot be compiled or downloaded.
    """
    if kubelet.source is KubeletSource.package:
        return KubeletBinary(path=None, version=kubelet.version, source=kubelet.source)
    if kubelet.source is KubeletSource.release:
        return _release(kubelet, arch, log_path)
    plan = _plan(kubelet, arch, module or pin.module_folder(), locked_go)
    return _compiled(plan, run, log_path)


def pod_schema(kubelet: KubeletSpec, *, module: Path | None = None) -> Path | None:
    """The JSON schema of a pod of this kubelet; None if only its binary is known."""
    if kubelet.source is not KubeletSource.go_module:
        return None
    return obtain_schema(MODULE, kubelet.version, _go_sum(module))


def cached_pod_schema(kubelet: KubeletSpec, *, module: Path | None = None) -> Path | None:
    """The same if it is in the cache, else None."""
    if kubelet.source is not KubeletSource.go_module:
        return None
    return cached_schema(MODULE, kubelet.version, _go_sum(module))


def _go_sum(module: Path | None) -> str:
    return ((module or pin.module_folder()) / "go.sum").read_text()


@dataclass(frozen=True, kw_only=True, slots=True)
class _CompilePlan:
    """The inputs of a compilation. files: those of the Go module, read once, so that hashes match them."""

    version: str
    arch: Arch
    go: go_toolchain.Go
    files: Mapping[str, bytes]

    @property
    def flags(self) -> tuple[str, ...]:
        # Set only the version: the commit and the state of the git tree are unknown here.
        linker = f"-s -w -X k8s.io/component-base/version.gitVersion=v{self.version}"
        return ("-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", linker)

    @property
    def target(self) -> dict[str, str]:
        return {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": self.arch.value}

    @property
    def hashes(self) -> dict[str, str]:
        return {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()}

    @property
    def key(self) -> str:
        """The cache key: everything that changes the binary, and the form of its record."""
        form = f"{CompiledKubelet.SCHEMA} {CompiledKubelet.VERSION}"
        parts = [form, self.go.version, self.flags, self.target, self.hashes]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def provenance(self) -> dict[str, str]:
        target = " ".join(f"{name}={value}" for name, value in self.target.items())
        return {
            "go": self.go.version,
            "go-origin": self.go.origin,
            "flags": f"{target} {' '.join(self.flags)}",
            **{f"{name} sha256": digest for name, digest in self.hashes.items()},
        }


def _plan(kubelet: KubeletSpec, arch: Arch, module: Path, locked_go: str | None) -> _CompilePlan:
    files = {name: (module / name).read_bytes() for name in FILES}
    go_mod = files["go.mod"].decode()
    pinned = pin.pinned(go_mod)
    if kubelet.version != pinned:
        raise SpecError(
            f"kubelet.version is {kubelet.version}, but the Go module is pinned to {pinned}",
            hint=f'write "{pinned}", or move the pin: scripts/inv kubelet-bump {kubelet.version}',
        )
    go = go_toolchain.choose(pin.go_line(go_mod), go_toolchain.read_pin(module))
    plan = _CompilePlan(version=pinned, arch=arch, go=go, files=files)
    before = dataclasses.replace(plan, go=dataclasses.replace(go, version=locked_go or go.version))
    return plan if cache.sealed(_KIND, before.key) is None else before


def _compiled(plan: _CompilePlan, run: runs.Run, log_path: Path) -> KubeletBinary:
    entry = cache.cached(_KIND, plan.key, lambda folder: _fill(folder, plan, run, log_path))
    stored = CompiledKubelet.read(entry / _RECORD)
    return KubeletBinary(
        path=entry / "kubelet", version=plan.version, source=KubeletSource.go_module, sha256=stored.sha256,
        provenance=stored.provenance,
    )  # fmt: skip


def _fill(folder: Path, plan: _CompilePlan, run: runs.Run, log_path: Path) -> None:
    """Compile into a cache entry, and check the binary."""
    binary = folder / "kubelet"
    with progress.step(
        f"compile the kubelet v{plan.version} for {plan.arch} with {plan.go.version.split()[0]}"
    ):
        program = go_toolchain.command(plan.go)
        _compile(program, plan, binary, run, log_path)
        module = _embedded(program, binary, plan.version)
        _check_version(binary, plan.version, plan.arch)
    compiled = CompiledKubelet(sha256=sha256_of(binary), provenance={**plan.provenance, "module": module})
    compiled.write(folder / _RECORD)


def _release(kubelet: KubeletSpec, arch: Arch, log_path: Path) -> KubeletBinary:
    if kubelet.download is None:
        raise SpecError(
            "the kubelet release has no url and sha256", hint="add kubelet.url and kubelet.sha256"
        )
    path = download.fetch(kubelet.download.url, kubelet.download.sha256, log_path=log_path)
    path.chmod(0o755)
    _check_version(path, kubelet.version, arch)
    return KubeletBinary(
        path=path, version=kubelet.version, source=kubelet.source, sha256=kubelet.download.sha256,
        provenance={"url": kubelet.download.url},
    )  # fmt: skip


def _compile(go: Path, plan: _CompilePlan, binary: Path, run: runs.Run, log_path: Path) -> None:
    source = Path(tempfile.mkdtemp(prefix="kubelet-", dir=run.folder))
    for name, data in plan.files.items():
        (source / name).write_bytes(data)
    argv: tuple[proc.Arg, ...] = (go, "build", "-v", *plan.flags, "-o", binary, PACKAGE)
    # In a run's folder Go's temporary files are removed even if we are killed.
    extra = {**plan.target, "GOFLAGS": "-mod=readonly", "GOTMPDIR": str(source)}
    env = go_toolchain.environment(go, extra)
    proc.run(argv, log_path=log_path, env=env, cwd=source, timeout_s=_BUILD_S, on_line=_counter())


def _counter() -> Callable[[str], None]:
    """Show the progress of `go build -v`, which names each package when it starts to compile it."""
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
    """Module, version and sum of Kubernetes in the binary. Raises BuildError for another version."""
    printed = proc.capture([go, "version", "-m", binary], env=go_toolchain.environment(go))
    match = re.search(rf"^\s+mod\s+{re.escape(MODULE)}\s+(\S+)\s+(h1:\S+)$", printed, re.M)
    if match is None or match[1] != f"v{version}":
        raise BuildError(
            f"the compiled kubelet does not contain {MODULE} v{version}",
            hint=f"run: scripts/inv kubelet-bump {version}",
        )
    return f"{MODULE} {match[1]} {match[2]}"


def _check_version(binary: Path, version: str, arch: Arch) -> None:
    """Compare with the version that the kubelet prints, if this host can run it."""
    if arch is not tools.host_arch():
        return
    printed = proc.capture([binary, "--version"], timeout_s=120).strip()
    if printed != f"Kubernetes v{version}":
        raise BuildError(
            f"the kubelet prints '{printed}', expected 'Kubernetes v{version}'",
            hint="correct kubelet.version in the spec",
        )
