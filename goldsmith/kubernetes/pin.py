# SPDX-License-Identifier: Apache-2.0
"""Where the kubelet comes from: compiled from the Go module in kubernetes/, downloaded, or a package."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from goldsmith.core import paths, proc, progress
from goldsmith.core.files import sha256_of, write_atomically
from goldsmith.errors import BuildError, SpecError
from goldsmith.kubernetes import go_toolchain

MODULE = "k8s.io/kubernetes"
PACKAGE = f"{MODULE}/cmd/kubelet"

FILES = ("go.mod", "go.sum", "tools.go")
_BUMP_S = 1800.0


def module_folder() -> Path:
    """The Go module that pins the kubelet."""
    return paths.project_root() / "kubernetes"


def module_hashes(module: Path | None = None) -> dict[str, str]:
    """File of the Go module -> hex digest of SHA-256: all that a compiled kubelet is pinned by."""
    return {name: sha256_of((module or module_folder()) / name) for name in FILES}


def pinned_version(module: Path | None = None) -> str:
    """The kubelet version that go.mod requires, without v."""
    return pinned((module or module_folder()).joinpath("go.mod").read_text())


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
        any_go = go_toolchain.any_go()
        _check_exists(version, go_toolchain.versions(any_go, MODULE))
        upstream = Path(go_toolchain.download(any_go, f"{MODULE}@v{version}")["GoMod"]).read_text()
        pin = go_toolchain.read_pin(target)
        if not go_toolchain.satisfies(pin, go_line(upstream)):
            pin = go_toolchain.newest_pin(go_line(upstream))
        files = _resolve(upstream, version, pin, target, Path(scratch))
    for name, data in files.items():
        write_atomically(target / name, data)
    progress.note(f"the kubelet is pinned to v{version}, compiled by Go {go_line(upstream)} or newer")


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
            f"module kubelet\n\ngo {go_line(upstream)}\n",
            *(f"{line}\n" for line in godebug),
            f"require {MODULE} v{version}\n\nreplace (",
            *(f"\t{name} => {name} {tag}" for name in staging),
            ")\n",
        )
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
    upstream: str, version: str, pin: go_toolchain.Pin, target: Path, scratch: Path
) -> dict[str, bytes]:
    """The new contents of the files, after `go mod tidy` and a look at every package that is compiled."""
    for name in FILES:
        shutil.copyfile(target / name, scratch / name)
    (scratch / "go.mod").write_text(module_file(upstream, version))
    go = go_toolchain.command(go_toolchain.choose(go_line(upstream), pin))
    env = go_toolchain.environment(go, {"CGO_ENABLED": "0", "GOOS": "linux"})
    proc.capture([go, "mod", "tidy"], env=env, cwd=scratch, timeout_s=_BUMP_S)
    listing = proc.capture(
        [go, "list", "-mod=readonly", "-deps", PACKAGE], env=env, cwd=scratch, timeout_s=_BUMP_S
    )
    if PACKAGE not in listing.splitlines():
        raise BuildError(f"{PACKAGE} is not in {MODULE} v{version}")
    return {
        "go.mod": (scratch / "go.mod").read_bytes(),
        "go.sum": (scratch / "go.sum").read_bytes(),
        go_toolchain.PIN_FILE: pin.to_json(),
    }


def pinned(go_mod: str) -> str:
    return _only(rf"^(?:require )?\s*{re.escape(MODULE)} v(\d+\.\d+\.\d+)$", go_mod)


def go_line(go_mod: str) -> str:
    return _only(r"^go (\d+\.\d+(?:\.\d+)?)$", go_mod)


def _only(pattern: str, go_mod: str) -> str:
    match = re.search(pattern, go_mod, re.M)
    if match is None:
        raise BuildError(
            f"kubernetes/go.mod has no line like {pattern}", hint="run: scripts/inv kubelet-bump VERSION"
        )
    return match[1]
