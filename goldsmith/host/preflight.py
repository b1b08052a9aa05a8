# SPDX-License-Identifier: Apache-2.0
"""Preflight checks of the host: one function for each, reported together before a build changes anything."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

from goldsmith.apt import mirror
from goldsmith.core import paths, privilege, proc, runs
from goldsmith.core.documents import Document, about
from goldsmith.core.progress import human_bytes
from goldsmith.errors import CommandError, GoldsmithError, HostError
from goldsmith.host import accelerator, docker_engine, package_check, partitions, python_packages, tools
from goldsmith.spec import load
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import DiskFormat, Distribution, ImageSpec, KubeletSource

_MIB = 1024 * 1024
_DIB = "disk-image-create"
_MIRRORS = "mirrors"
_MIRROR_TIMEOUT_S = 15
_BUILD_IN_MEMORY_MIB = 5120
_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """The result of one check."""

    name: Annotated[str, about("What was checked.")]
    ok: Annotated[bool, about("The host is fit for a build in this point.")]
    found: Annotated[str, about("What the check found.")]
    remedy: Annotated[str, about("What to type or change; empty if nothing.")] = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DoctorReport(Document):
    """The answer of `doctor --json`: every check of this host."""

    SCHEMA: ClassVar[str] = "goldsmith.doctor"

    ok: Annotated[bool, about("All checks are good.")]
    checks: Annotated[tuple[Check, ...], about("The checks, in their order.")]


def doctor(name: str, *, further: Mapping[str, Callable[[ImageSpec], None]] | None = None) -> DoctorReport:
    """Every check of this host, for the needs of a spec. further: checks by name, which raise."""
    loaded = load.load(name, {})
    checks = (*host_checks(loaded.spec), check_python_packages())
    if loaded.spec.packages:
        checks = (*checks, _guarded("packages", lambda: check_packages(loaded)))
    for title, call in (further or {}).items():
        checks = (*checks, _guarded(title, lambda title=title, call=call: _passed(title, call, loaded.spec)))  # type: ignore[misc]
    return DoctorReport(ok=all(check.ok for check in checks), checks=checks)


def host_checks(
    spec: ImageSpec | None = None, *, run: runs.Run | None = None, out: Path | None = None
) -> list[Check]:
    """Every check that a build of spec needs (None: of any spec); never raises for a bad host.

    Without a run it makes one, because accelerator and partitions are tried for real. out: the build's
    output folder, if not paths.out_root().
    """
    try:
        with runs.run_folder(run) as folder:
            checks = list(_all_checks(spec, folder, out or paths.out_root()))
            return [replace(each, remedy=_remedy(each, folder)) for each in checks]
    except OSError as e:
        return [Check(name="scratch folder", ok=False, found=str(e), remedy="set GOLDSMITH_SCRATCH")]
    except HostError as e:
        return [Check(name="scratch folder", ok=False, found=str(e), remedy=e.hint or "")]


def _remedy(check: Check, run: Path) -> str:
    """The remedy as it is typed here; none where it is to look into the folder of the run, which goes."""
    return "" if str(run) in check.remedy else paths.as_typed(check.remedy)


def require(
    spec: ImageSpec,
    *,
    run: runs.Run | None = None,
    out: Path | None = None,
    left_out: Collection[str] = (),
) -> list[Check]:
    """The checks, all of them good; raises HostError that lists the bad ones with their remedies.

    left_out: names of checks that may fail.
    """
    checks = host_checks(spec, run=run, out=out)
    bad = [check for check in checks if not check.ok and check.name not in left_out]
    if bad:
        listed = "".join(f"\n  {check.name}: {check.found}\n    {check.remedy}" for check in bad)
        raise HostError(
            f"this host cannot build {spec.name}{listed}", hint="run: scripts/inv doctor",
            retryable=all(check.name == _MIRRORS for check in bad),
        )  # fmt: skip
    return checks


def has_memory_to_build_in() -> bool:
    """The tree of an image and its disk fit in memory, and leave as much again for the rest of the host."""
    return _available_memory() >= 2 * _BUILD_IN_MEMORY_MIB * _MIB


def _all_checks(spec: ImageSpec | None, folder: Path, out: Path) -> Iterator[Check]:
    for tool in tools.for_needs(needs_of(spec)):
        yield check_tool(tool)
    yield check_dib()
    yield check_sudo()
    if needs_engine(spec):
        yield _guarded("Docker engine", check_engine)
    yield _guarded("accelerator", lambda: check_accelerator(folder / "preflight.log"))
    yield _guarded("loop devices and partitions", check_partitions)
    yield from check_disk(spec, out)
    yield check_memory(spec)
    yield check_output(out)
    if needs_mirror(spec):
        yield _guarded(_MIRRORS, lambda: check_mirrors(spec))


def _passed(name: str, check: Callable[[ImageSpec], None], spec: ImageSpec) -> Check:
    check(spec)
    return Check(name=name, ok=True, found="passed")


def check_packages(loaded: LoadedSpec) -> Check:
    """Debian has the packages that the spec names. Raises SpecError, and HostError without a mirror."""
    package_check.require(loaded)
    return Check(name="packages", ok=True, found=f"{len(loaded.spec.packages)} named by the spec")


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """A check that may raise: the error is the finding."""
    try:
        return check()
    except GoldsmithError as e:
        return Check(name=name, ok=False, found=str(e), remedy=e.hint or "")


def needs_of(spec: ImageSpec | None) -> tuple[str, ...]:
    """The needs of a build of spec, as in scripts/task-needs.tsv."""
    if spec is None:
        return ("disk", "vm", "containers", "kubelet")
    needs = ["disk", "vm"]
    if spec.containers:
        needs.append("containers")
    if builds_kubelet(spec):
        needs.append("kubelet")
    return tuple(needs)


def needs_engine(spec: ImageSpec | None) -> bool:
    """A container image is built, or taken from the engine."""
    return spec is None or any(container.registry is None for container in spec.containers)


def needs_mirror(spec: ImageSpec | None) -> bool:
    """Debian packages are fetched, for the disk image or for a container image."""
    if spec is None or spec.distribution is Distribution.debian:
        return True
    return any(container.build is not None for container in spec.containers)


def builds_kubelet(spec: ImageSpec | None) -> bool:
    """The kubelet is compiled on this host."""
    return spec is None or (spec.kubelet is not None and spec.kubelet.source is KubeletSource.go_module)


def check_tool(tool: tools.Tool) -> Check:
    path = tool.path()
    if path is not None:
        found = f"{path} {tool.version() or ''}".rstrip()
        return Check(name=tool.probe.rpartition("/")[2], ok=True, found=found)
    remedy = "run: scripts/inv --yes build-image"
    if tool.packages:
        remedy += f" (it installs {tool.packages})"
    return Check(name=tool.probe.rpartition("/")[2], ok=False, found="not installed", remedy=remedy)


def check_dib() -> Check:
    """disk-image-create is there, beside this Python or on PATH, at a path that its own scripts take."""
    name = "diskimage-builder"
    remedy = "install goldsmith into a virtual environment, at a path without spaces"
    beside = Path(sys.executable).parent / _DIB
    found = beside if beside.exists() else proc.which(_DIB)
    if found is None:
        return Check(name=name, ok=False, found=f"{beside} is missing", remedy=remedy)
    if any(letter.isspace() for letter in str(found)):
        return Check(name=name, ok=False, found=f"cannot run from {found.parent}", remedy=remedy)
    return Check(name=name, ok=True, found=str(found))


def check_python_packages() -> Check:
    """Builds run with other versions, too; those with --locked do not."""
    found = python_packages.differences()
    listed = ", ".join(map(str, found))
    return Check(
        name="Python packages", ok=True,
        found=f"differ from {python_packages.LOCK}: {listed}" if found else f"as in {python_packages.LOCK}",
        remedy=f"only for --locked: {python_packages.remedy()}" if found else "",
    )  # fmt: skip


def check_sudo() -> Check:
    """We are root, or may be; and sudo, which diskimage-builder always calls, prints nothing of its own."""
    said = _said_by_sudo()
    if said and privilege.can_be_root():
        named = "add this host's name to /etc/hosts" if "resolve host" in said else "make sudo quiet"
        return Check(
            name="root", ok=False, found=f"sudo prints: {said}",
            remedy=f"{named}: diskimage-builder takes it for the output of its commands",
        )  # fmt: skip
    if os.geteuid() == 0:
        return Check(name="root", ok=True, found="running as root")
    if not privilege.can_be_root():
        return Check(
            name="root", ok=False, found="sudo asks for a password",
            remedy="run: sudo -v, or allow sudo without a password (NOPASSWD), or build as root",
        )  # fmt: skip
    return Check(name="root", ok=True, found="sudo works without a password")


def _said_by_sudo() -> str:
    """What sudo prints besides the output of a command; nothing where it does not run at all."""
    with contextlib.suppress(CommandError):
        return proc.capture(("sh", "-c", "sudo -n true 2>&1")).strip()
    return ""


def check_engine() -> Check:
    client = docker_engine.answering()
    if client is not None:
        try:
            return Check(name="Docker engine", ok=True, found=f"version {client.version()['Version']}")
        finally:
            client.close()
    dockerd = proc.which("dockerd")
    if dockerd is None:
        return Check(
            name="Docker engine", ok=False, found="not running, and dockerd is not installed to start one",
            remedy="run: scripts/inv --yes build-image, or set DOCKER_HOST",
        )  # fmt: skip
    return Check(name="Docker engine", ok=True, found=f"not running; builds start a private {dockerd}")


def check_accelerator(log_path: Path) -> Check:
    found = accelerator.find(log_path=log_path)
    return Check(
        name="accelerator", ok=True, found=f"{found.name}, deadlines x {found.slowness} ({found.note})"
    )


def check_partitions() -> Check:
    how = {"kpartx": "by kpartx (device-mapper)", "blkpg": "by partx (BLKPG): kpartx does not work here"}
    found = f"work, {how[partitions.partition_mapper()]}"
    return Check(name="loop devices and partitions", ok=True, found=found)


def check_disk(spec: ImageSpec | None, out: Path) -> Iterator[Check]:
    """One check for each file system: folders on the same one share its space."""
    shares: dict[int, list[tuple[Path, int]]] = {}
    for folder, mib in _disk_needs(spec, out):
        shares.setdefault(_existing(folder).stat().st_dev, []).append((folder, mib))
    for share in shares.values():
        needed = sum(mib for _, mib in share) * _MIB
        free = shutil.disk_usage(_existing(share[0][0])).free
        where = ", ".join(str(folder) for folder, _ in share)
        yield Check(
            name="disk space", ok=free >= needed,
            found=f"{human_bytes(free)} free in {where}, up to {human_bytes(needed)} needed",
            remedy="" if free >= needed else "run: scripts/inv clean, or set GOLDSMITH_SCRATCH, _CACHE, _OUT",
        )  # fmt: skip


def _disk_needs(spec: ImageSpec | None, out: Path) -> tuple[tuple[Path, int], ...]:
    """Upper limits in MiB: diskimage-builder holds the tree and the raw disk at the same time."""
    image = (spec.disk.size_mib if spec else None) or 3072
    raw = image if spec and DiskFormat.raw in spec.disk.formats else 0
    cache = (3072 if builds_kubelet(spec) else 0) + (1024 if spec is None or spec.containers else 64)
    return (
        (paths.scratch_root(), 2 * image + 1024),
        (out, image // 2 + raw),
        (paths.cache_root(), cache),
    )


def check_memory(spec: ImageSpec | None) -> Check:
    vm = spec.verify.memory_mib if spec else 2048
    needed = max(vm + 512, 2048 if builds_kubelet(spec) else 0) * _MIB
    available = _available_memory()
    return Check(
        name="memory", ok=available >= needed,
        found=f"{human_bytes(available)} available, {human_bytes(needed)} needed",
        remedy="" if available >= needed else "stop other programs, or lower verify.memory in the spec",
    )  # fmt: skip


def _available_memory() -> int:
    """Bytes (proc_meminfo(5), MemAvailable)."""
    for line in _MEMINFO.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise HostError(f"{_MEMINFO} has no MemAvailable", hint="use Linux 3.14 or newer")


def check_output(out: Path) -> Check:
    if os.access(_existing(out), os.W_OK):
        return Check(name="output", ok=True, found=f"{out} is writable")
    return Check(
        name="output", ok=False, found=f"{out} is not writable",
        remedy="use another folder: --out DIR, or GOLDSMITH_OUT",
    )  # fmt: skip


def _existing(path: Path) -> Path:
    """path, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def check_mirrors(spec: ImageSpec | None) -> Check:
    """Both mirrors are known and have the release: the disk image needs them, whatever is cached."""
    mirrors = mirror.find(spec.mirror if spec else None)
    release = spec.release if spec and spec.distribution is Distribution.debian else "stable"
    found = f"{mirrors.debian}, {mirrors.security}"
    for base, suite in ((mirrors.debian, release), (mirrors.security, f"{release}-security")):
        url = f"{base}/dists/{suite}/InRelease"
        try:
            # mirror.find() returns only http and https, or the address that the user set.
            with urllib.request.urlopen(url, timeout=_MIRROR_TIMEOUT_S) as answer:  # noqa: S310
                answer.read(1)
        except (OSError, ValueError) as e:
            return Check(
                name=_MIRRORS, ok=False, found=f"cannot read {url}: {e}",
                remedy=f"set {mirror.DEBIAN_VARIABLE} and {mirror.SECURITY_VARIABLE} to mirrors that answer",
            )  # fmt: skip
    return Check(name=_MIRRORS, ok=True, found=found)
