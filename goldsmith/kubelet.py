# SPDX-License-Identifier: Apache-2.0
"""Where the kubelet comes from: compiled from the Go module in kubelet/, downloaded, or a package."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from goldsmith import download, gotoolchain, hosttools, podschema, proc, progress, workspace
from goldsmith.errors import BuildError, SpecError
from goldsmith.spec import Arch, KubeletSource, KubeletSpec

MODULE = "k8s.io/kubernetes"
PACKAGE = f"{MODULE}/cmd/kubelet"

_FILES = ("go.mod", "go.sum", "tools.go")
_BUILD_S = 7200.0  # 3 minutes on two idle cores
_BUMP_S = 1800.0


@dataclass(frozen=True, kw_only=True, slots=True)
class KubeletBinary:
    """path: None for a package, which the distribution installs within the build."""

    path: Path | None
    version: str
    source: KubeletSource
    sha256: str | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)


def obtain(
    kubelet: KubeletSpec, arch: Arch, *, run: workspace.Run, log_path: Path, module: Path | None = None
) -> KubeletBinary:
    """The kubelet that the spec names; what programs say is appended to log_path.

    module: the folder with go.mod, by default the project's. Raises SpecError when the spec's version
    is not the pinned one, else what the source's own steps raise.
    """
    if kubelet.source is KubeletSource.package:
        return KubeletBinary(path=None, version=kubelet.version, source=kubelet.source)
    if kubelet.source is KubeletSource.release:
        return _release(kubelet, arch, log_path)
    return _compiled(kubelet, arch, run, log_path, module or module_folder())


def pod_schema(kubelet: KubeletSpec, *, module: Path | None = None) -> Path | None:
    """What the kubelet takes for a pod, as a JSON schema; None where only its binary is known."""
    if kubelet.source is not KubeletSource.go_module:
        return None
    go_sum = (module or module_folder()) / "go.sum"
    return podschema.obtain(MODULE, kubelet.version, go_sum.read_text())


def module_folder() -> Path:
    """The Go module that pins the kubelet."""
    return workspace.project_root() / "kubelet"


def module_hashes(module: Path | None = None) -> dict[str, str]:
    """File of the Go module -> hex digest of SHA-256: all that a compiled kubelet is pinned by."""
    return {name: workspace.sha256_of((module or module_folder()) / name) for name in _FILES}


def pinned_version(module: Path | None = None) -> str:
    """The kubelet version that go.mod requires, without v."""
    return _pinned((module or module_folder()).joinpath("go.mod").read_text())


def bump(version: str, *, module: Path | None = None) -> None:
    """Move the pin to another release, and that of the Go toolchain when the release asks for a newer Go.

    The files change only after all of the new module was resolved. Raises SpecError for a version that
    does not exist.
    """
    target = module or module_folder()
    version = version.removeprefix("v")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise SpecError(f"'{version}' is no version of the kubelet", hint="give one such as 1.35.4")
    with progress.step(f"resolve {MODULE} v{version}"), tempfile.TemporaryDirectory() as scratch:
        any_go = gotoolchain.any_go()
        _check_exists(version, gotoolchain.versions(any_go, MODULE))
        upstream = Path(gotoolchain.download(any_go, f"{MODULE}@v{version}")["GoMod"]).read_text()
        pin = gotoolchain.read_pin(target)
        if not gotoolchain.satisfies(pin, _go_line(upstream)):
            pin = gotoolchain.newest_pin(_go_line(upstream))
        files = _resolve(upstream, version, pin, target, Path(scratch))
    for name, data in files.items():
        workspace.write_atomically(target / name, data)
    progress.note(f"the kubelet is pinned to v{version}, compiled by Go {_go_line(upstream)} or newer")


def module_file(upstream: str, version: str) -> str:
    """The go.mod with which a release of Kubernetes (upstream: its go.mod) builds as a dependency.

    It requires its staging modules at v0.0.0 and replaces them by folders that its own checkout alone
    has; each is replaced by its published tag, v0.MINOR.PATCH.
    """
    staging = sorted(set(re.findall(r"^\s*(?:require )?(k8s\.io/[\w-]+) v0\.0\.0\s*$", upstream, re.M)))
    godebug = re.findall(r"^godebug [^(\n]+$", upstream, re.M)  # counts in the main module alone: here
    tag = f"v0.{version.partition('.')[2]}"
    return "\n".join(
        (
            f"module kubelet\n\ngo {_go_line(upstream)}\n",
            *(f"{line}\n" for line in godebug),
            f"require {MODULE} v{version}\n\nreplace (",
            *(f"\t{name} => {name} {tag}" for name in staging),
            ")\n",
        )
    )


def _compiled(
    kubelet: KubeletSpec, arch: Arch, run: workspace.Run, log_path: Path, module: Path
) -> KubeletBinary:
    files = {name: (module / name).read_bytes() for name in _FILES}  # what is hashed is what is compiled
    go_mod = files["go.mod"].decode()
    pinned = _pinned(go_mod)
    if kubelet.version != pinned:
        raise SpecError(
            f"kubelet.version is {kubelet.version}, and the Go module is pinned to {pinned}",
            hint=f'write "{pinned}", or move the pin: scripts/inv kubelet-bump {kubelet.version}',
        )
    go = gotoolchain.choose(_go_line(go_mod), gotoolchain.read_pin(module))
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
            program = gotoolchain.command(go)
            env = gotoolchain.environment(program, {**shape, "GOFLAGS": "-mod=readonly"})
            _compile(program, flags, binary, files, env, run, log_path)
            found = {**provenance, "module": _embedded(program, binary, pinned)}
            _check_version(binary, pinned, arch)
        stored = {"sha256": workspace.sha256_of(binary), "provenance": found}
        (folder / "kubelet.json").write_text(json.dumps(stored))

    entry = workspace.cached("kubelet", hashlib.sha256(key.encode()).hexdigest()[:32], fill)
    stored = json.loads((entry / "kubelet.json").read_text())
    return KubeletBinary(path=entry / "kubelet", version=pinned, source=kubelet.source, **stored)


def _release(kubelet: KubeletSpec, arch: Arch, log_path: Path) -> KubeletBinary:
    if kubelet.download is None:
        raise SpecError("a kubelet release has no url and sha256", hint="add kubelet.url and kubelet.sha256")
    path = download.fetch(kubelet.download, log_path=log_path)
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
    run: workspace.Run,
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
    said = proc.capture([go, "version", "-m", binary], env=gotoolchain.environment(go))
    match = re.search(rf"^\s+mod\s+{re.escape(MODULE)}\s+(\S+)\s+(h1:\S+)$", said, re.M)
    if match is None or match[1] != f"v{version}":
        raise BuildError(f"the compiled kubelet is not made from {MODULE} v{version}")
    return f"{MODULE} {match[1]} {match[2]}"


def _check_version(binary: Path, version: str, arch: Arch) -> None:
    """Ask the kubelet itself, where this host can run it."""
    if arch is not hosttools.host_arch():
        return
    said = proc.capture([binary, "--version"], timeout_s=120).strip()
    if said != f"Kubernetes v{version}":
        raise BuildError(
            f"the kubelet is of another version than v{version}: it says '{said}'",
            hint="correct kubelet.version in the spec",
        )


def _check_exists(version: str, known: list[str]) -> None:
    if f"v{version}" in known:
        return
    line = f"v{version.rpartition('.')[0]}."
    near = [v.removeprefix("v") for v in known if v.startswith(line) and "-" not in v]
    raise SpecError(
        f"{MODULE} has no version v{version}",
        hint=f"the newest of its line is {near[-1]}" if near else f"there is none of the line {line}x",
    )


def _resolve(
    upstream: str, version: str, pin: gotoolchain.Pin, target: Path, scratch: Path
) -> dict[str, bytes]:
    """The new contents of the files, after `go mod tidy` and a look at every package that is compiled."""
    for name in _FILES:
        shutil.copyfile(target / name, scratch / name)
    (scratch / "go.mod").write_text(module_file(upstream, version))
    go = gotoolchain.command(gotoolchain.choose(_go_line(upstream), pin))
    env = gotoolchain.environment(go, {"CGO_ENABLED": "0", "GOOS": "linux"})
    proc.capture([go, "mod", "tidy"], env=env, cwd=scratch, timeout_s=_BUMP_S)
    listing = proc.capture(
        [go, "list", "-mod=readonly", "-deps", PACKAGE], env=env, cwd=scratch, timeout_s=_BUMP_S
    )
    if PACKAGE not in listing.splitlines():
        raise BuildError(f"{PACKAGE} is not in {MODULE} v{version}")
    return {
        "go.mod": (scratch / "go.mod").read_bytes(),
        "go.sum": (scratch / "go.sum").read_bytes(),
        gotoolchain.PIN_FILE: pin.to_json(),
    }


def _pinned(go_mod: str) -> str:
    return _only(rf"^(?:require )?\s*{re.escape(MODULE)} v(\d+\.\d+\.\d+)$", go_mod)


def _go_line(go_mod: str) -> str:
    return _only(r"^go (\d+\.\d+(?:\.\d+)?)$", go_mod)


def _only(pattern: str, go_mod: str) -> str:
    match = re.search(pattern, go_mod, re.M)
    if match is None:
        raise BuildError(
            f"kubelet/go.mod has no line like {pattern}", hint="run: scripts/inv kubelet-bump VERSION"
        )
    return match[1]
