# SPDX-License-Identifier: Apache-2.0
"""Make a Debian root file system from signed packages: the only layer of a container image."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.apt import apt_warnings, indexes
from goldsmith.containers import build_context
from goldsmith.core import isolation, privilege, proc
from goldsmith.errors import SpecError
from goldsmith.spec import problem
from goldsmith.spec.document import parse_document

_TIMEOUT_S = 900
_TRACES = "etc/apt/sources.list etc/apt/apt.conf.d/99mmdebstrap etc/hostname etc/resolv.conf"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A rootfs.yaml; docs/containers.md says what its keys mean."""

    suite: str
    variant: str = "apt"
    packages: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ("bash",)


def read(folder: Path) -> Recipe:
    """The recipe in a context folder. Raises SpecError if it is not valid."""
    path = folder / build_context.ROOTFS
    document = parse_document(path.read_text(), lambda line: (str(path), line))
    if document.problems:
        lines = problem.indented(document.problems)
        raise SpecError(
            f"the recipe {path} is not valid{lines}", hint="see docs/containers.md",
            problems=document.problems,
        )  # fmt: skip
    try:
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in document.data.items()}
        return Recipe(**fields)
    except (TypeError, AttributeError) as e:
        raise SpecError(f"the recipe {path} is not valid: {e}", hint="see docs/containers.md") from e


def make(
    folder: Path, target: Path, *, arch: str, epoch: int, source: str, work: Path, log_path: Path
) -> None:
    """Write the root that the recipe in folder describes to target, a tar archive; work: an empty folder.

    source: address of apt.proxy.serve(). The same recipe, index and epoch give the same bytes.
    Raises HostError without root, and BuildError.
    """
    privilege.require_root("a container's root file system", otherwise="build as root")
    recipe = read(folder)
    files = _files(folder, work)
    argv: list[proc.Arg] = [  # verbose: else it shows apt's warnings only where apt fails
        "mmdebstrap", "--verbose", "--mode=root", "--format=tar",
        f"--architectures={arch}", f"--variant={recipe.variant}",
        *(["--include=" + ",".join(recipe.packages)] if recipe.packages else []),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.exclude),
        *(f"--dpkgopt=path-include={pattern}" for pattern in recipe.include),
        "--dpkgopt=force-unsafe-io",  # no fsync: nothing here has to survive a crash
        "--aptopt=Acquire::http::Proxy \"DIRECT\"",
        "--aptopt=Acquire::Check-Valid-Until \"false\"",  # see indexes.current(): a locked index may expire
        f"--customize-hook=cd \"$1\" && rm -f {_TRACES}",
        *([f"--customize-hook=cp -R --preserve=mode {files}/. \"$1\"/"] if files else []),
        recipe.suite, target, *_sources(recipe.suite, source),
    ]  # fmt: skip
    env = {"SOURCE_DATE_EPOCH": str(epoch), "TMPDIR": os.fspath(work), "LC_ALL": "C.UTF-8"}
    target.touch()  # so that we own it, though root writes it
    root_argv = isolation.contained(("env", *(f"{name}={value}" for name, value in env.items()), *argv))
    apt = apt_warnings.Watch()
    proc.run(root_argv, log_path=log_path, timeout_s=_TIMEOUT_S, on_line=apt.line)
    apt.require_none(f"the root of {folder.name}")


def config(folder: Path, *, arch: str, epoch: int, diff_id: str) -> Mapping[str, Any]:
    """The image configuration of the root (OCI image specification, config.md)."""
    created = datetime.datetime.fromtimestamp(epoch, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    recipe = read(folder)
    return {
        "architecture": arch,
        "os": "linux",
        "created": created,
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": list(recipe.cmd),
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": created, "created_by": f"goldsmith: Debian {recipe.suite} from packages"}],
    }


def _sources(suite: str, source: str) -> list[str]:
    by = f"deb [signed-by={indexes.KEYRING}]"
    return [
        f"{by} {source}/debian {suite} main",
        f"{by} {source}/debian {suite}-updates main",
        f"{by} {source}/security {suite}-security main",
    ]


def _files(folder: Path, work: Path) -> Path | None:
    """A copy of the context's files/: links as links, modes that do not depend on the checkout's umask."""
    if (folder / "files").is_symlink():
        raise SpecError(f"{folder / 'files'} is a link", hint="put the folder itself in its place")
    if not (folder / "files").is_dir():
        return None
    staged = work / "files"
    for path in sorted((folder / "files").rglob("*")):
        target = staged / path.relative_to(folder / "files")
        if path.is_dir() and not path.is_symlink():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            target.symlink_to(path.readlink())
        else:
            target.write_bytes(path.read_bytes())
            target.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    for path in [staged, *(p for p in staged.rglob("*") if p.is_dir() and not p.is_symlink())]:
        path.chmod(0o755)
    return staged
