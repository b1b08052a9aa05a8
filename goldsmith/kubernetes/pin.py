# SPDX-License-Identifier: Apache-2.0
"""The kubelet's pin, the Go module in kubernetes/: read its versions, move it to another release."""

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
_FOLDER = "kubernetes"
FILES = ("go.mod", "go.sum", "tools.go")
_BUMP_S = 1800.0


def module_folder() -> Path:
    """The Go module that pins the kubelet: the project's, else the one that comes with goldsmith."""
    roots = [root / _FOLDER for root in paths.roots_of_specs()]
    return next((root for root in roots if (root / go_toolchain.PIN_FILE).is_file()), roots[-1])


def module_hashes(module: Path | None = None) -> dict[str, str]:
    """Hex sha256 of each file of the Go module: together they pin a compiled kubelet."""
    return {name: sha256_of((module or module_folder()) / name) for name in FILES}


def pinned_version(module: Path | None = None) -> str:
    """The kubelet version that go.mod requires, without v."""
    return pinned((module or module_folder()).joinpath("go.mod").read_text())


def pinned(go_mod: str) -> str:
    """The version of Kubernetes that a go.mod requires, without v."""
    return _only(rf"^(?:require )?\s*{re.escape(MODULE)} v(\d+\.\d+\.\d+)$", go_mod)


def go_line(go_mod: str) -> str:
    """The version of Go that a go.mod requires at least."""
    return _only(r"^go (\d+\.\d+(?:\.\d+)?)$", go_mod)


def bump(version: str, *, module: Path | None = None) -> None:
    """Move the pin to another release, and the pin of the Go toolchain if the release needs a newer Go.

    The files change only after the whole new module was resolved. Raises SpecError if the version does not
    exist. module: the Go module to change; default: kubernetes/ of the project, which is made if need be.
    """
    source, target = module or module_folder(), module or paths.project_root() / _FOLDER
    version = version.removeprefix("v")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise SpecError(f"'{version}' is not a version of the kubelet", hint="use one such as 1.35.4")
    with progress.step(f"resolve {MODULE} v{version}"), tempfile.TemporaryDirectory() as scratch:
        any_go = go_toolchain.any_go()
        _check_exists(version, go_toolchain.versions(any_go, MODULE))
        upstream = Path(go_toolchain.download(any_go, f"{MODULE}@v{version}")["GoMod"]).read_text()
        pin = go_toolchain.read_pin(source)
        if not go_toolchain.satisfies(pin, go_line(upstream)):
            pin = go_toolchain.newest_pin(go_line(upstream))
        files = _resolve(upstream, version, pin, source, Path(scratch))
    target.mkdir(exist_ok=True)
    for name, data in files.items():
        write_atomically(target / name, data)
    progress.note(f"the kubelet is pinned to v{version}, compiled by Go {go_line(upstream)} or newer")


def module_file(upstream: str, version: str) -> str:
    """The go.mod with which a release of Kubernetes (upstream: its go.mod) builds as a dependency.

    Upstream requires its staging modules at v0.0.0 and replaces them by folders of its own checkout. Here
    each is replaced by its published tag, v0.MINOR.PATCH.
    """
    staging = sorted(set(re.findall(r"^\s*(?:require )?(k8s\.io/[\w-]+) v0\.0\.0\s*$", upstream, re.M)))
    godebug = re.findall(
        r"^godebug [^(\n]+$", upstream, re.M
    )  # godebug lines apply only in the main module, which is ours
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
    line = f"{version.rpartition('.')[0]}."
    near = [v.removeprefix("v") for v in known if v.startswith(f"v{line}") and "-" not in v]
    raise SpecError(
        f"{MODULE} has no version v{version}",
        hint=f"the newest {line}x is {near[-1]}" if near else f"there is no {line}x",
    )


def _resolve(
    upstream: str, version: str, pin: go_toolchain.Pin, source: Path, scratch: Path
) -> dict[str, bytes]:
    """The new contents of the files, after `go mod tidy` and a check that every package resolves."""
    for name in FILES:
        shutil.copyfile(source / name, scratch / name)
    (scratch / "go.mod").write_text(module_file(upstream, version))
    go = go_toolchain.command(go_toolchain.choose(go_line(upstream), pin))
    env = go_toolchain.environment(go, {"CGO_ENABLED": "0", "GOOS": "linux"})
    proc.capture([go, "mod", "tidy"], env=env, cwd=scratch, timeout_s=_BUMP_S)
    listing = proc.capture(
        [go, "list", "-mod=readonly", "-deps", PACKAGE], env=env, cwd=scratch, timeout_s=_BUMP_S
    )
    if PACKAGE not in listing.splitlines():
        raise BuildError(
            f"{MODULE} v{version} has no package {PACKAGE}", hint="choose another release of the kubelet"
        )
    return {
        **{name: (scratch / name).read_bytes() for name in FILES},
        go_toolchain.PIN_FILE: pin.to_json(),
    }


def _only(pattern: str, go_mod: str) -> str:
    match = re.search(pattern, go_mod, re.M)
    if match is None:
        raise BuildError(
            f"kubernetes/go.mod has no line like {pattern}", hint="run: scripts/inv kubelet-bump VERSION"
        )
    return match[1]
