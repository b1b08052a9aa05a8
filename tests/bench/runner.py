# SPDX-License-Identifier: Apache-2.0
"""Compare export, image stage, verification and publication with plain tools and boots, in one run.

`python -m tests.bench.runner SOCKET TARGET SPOOL REF ...` is one cold export, in a separate process, whose
memory can be measured.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import docker

from goldsmith.apt import mirror
from goldsmith.cli.answers import BenchAnswer, BenchRow
from goldsmith.containers import bundler
from goldsmith.core import paths, privilege, proc, progress, removal, runs
from goldsmith.core.runs import Run
from goldsmith.errors import SpecError
from goldsmith.host import docker_engine
from goldsmith.image import dib, dib_plan
from goldsmith.image.packages import PackageList
from goldsmith.spec import load
from goldsmith.spec.model import Layers
from tests.bench import proof, publish
from tests.support.layered_images import Images

SPEC = "debian-kubelet"
_EXPORTS = 5  # trials of an export; their median counts, as of the others
_IMAGES = 3
COLD, WARM = "our image stage, root made", "our image stage, root from the cache"
PLAIN_DIB, PLAIN_ROOT = "disk-image-create alone", "mmdebstrap of the same packages"


def run(what: str) -> BenchAnswer:
    """Run benchmarks; the ratios are those of the README."""
    parts: dict[str, Callable[[Run], list[BenchRow]]] = {
        "export": _export, "image": _image, "proof": proof.rows, "publish": publish.rows,
    }  # fmt: skip
    if what and what not in parts:
        raise SpecError(f"no benchmark is called {what!r}", hint=f"one of: {' '.join(parts)}")
    with runs.run() as found:
        rows = [row for name in ([what] if what else parts) for row in parts[name](found)]
    return BenchAnswer(
        cpus=os.cpu_count(), load=round(os.getloadavg()[0], 2), rows=tuple(rows), ratios=_ratios(rows)
    )


def _export(run: Run) -> list[BenchRow]:
    spec = load.load(SPEC, {}).spec
    refs = [container.ref for container in spec.containers]
    log = run.folder / "bench.log"

    def bundle() -> bundler.Bundle:
        return bundler.export(spec.containers, layers=Layers.uncompressed, run=run, log_path=log)

    made = bundle()
    saved, ours, peaks = [], [], []
    target, spool = run.folder / "bench.tar", run.folder / "spool"
    with docker_engine.private(run, log) as client:
        with made.path.open("rb") as source:
            client.images.load(source)
        adapter = client.api.get_adapter("http+docker://localhost")
        socket = f"unix://{adapter.socket_path}"  # type: ignore[attr-defined] # its stubs know less
        for trial in range(_EXPORTS):  # in turns, so that other load affects both
            progress.live(f"export {trial + 1} of {_EXPORTS}")
            saved.append(_timed(lambda: proc.capture(["docker", "-H", socket, "save", "-o", target, *refs])))
            saved_bytes = target.stat().st_size
            spool.mkdir()
            argv: list[proc.Arg] = [sys.executable, "-m", "tests.bench.runner", socket, target, spool, *refs]
            answer = json.loads(proc.capture(argv, cwd=paths.project_root()))
            ours.append(answer["seconds"])
            peaks.append(answer["peak_mib"])
            shutil.rmtree(spool)
    return [
        _row("docker save", statistics.median(saved), saved_bytes),
        _row("our export, cold", statistics.median(ours), target.stat().st_size, max(peaks)),
        _row("our export, warm", _timed(bundle), made.size_bytes),
    ]


def _image(run: Run) -> list[BenchRow]:
    """The image stage, cold and with its root in the cache, and the plain tools, in turns."""
    images = Images(SPEC, run)
    seconds: dict[str, list[float]] = {name: [] for name in (COLD, WARM, PLAIN_DIB, PLAIN_ROOT)}
    size = 0
    for trial in range(_IMAGES):
        progress.live(f"image {trial + 1} of {_IMAGES}")
        start = time.monotonic()
        layer = images.root(f"root-{trial}", again=True)
        made = images.by_layers(f"cold-{trial}", layer)
        seconds[COLD].append(time.monotonic() - start)
        size = made.stat().st_size
        start = time.monotonic()
        images.by_layers(f"warm-{trial}", images.root("root"))
        seconds[WARM].append(time.monotonic() - start)
        plan = images.plan(f"plain-{trial}")
        seconds[PLAIN_DIB].append(_timed(lambda plan=plan: _bare(plan, log_path=images.log)))  # type: ignore[misc]
        names = [package.name for package in PackageList.read(layer.packages).packages]
        seconds[PLAIN_ROOT].append(_timed(lambda names=names: _mmdebstrap(run, images.spec.release, names)))  # type: ignore[misc]
        _remove_all(run.folder, f"*-{trial}")
    sizes = {COLD: size, WARM: size}
    return [_row(name, statistics.median(each), sizes.get(name, 0)) for name, each in seconds.items()]


def _remove_all(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        removal.remove_tree_as_root(path)


def _bare(plan: dib_plan.DibPlan, *, log_path: Path) -> None:
    """Run disk-image-create alone, with the arguments and environment of the plan."""
    plan.block_device_path.write_text(plan.block_device)
    with proc.background(plan.argv, log_path=log_path, env=dib.environment(plan)) as process:
        process.wait()


def _mmdebstrap(run: Run, release: str, packages: Sequence[str]) -> None:
    found = mirror.find()
    (run.folder / "root.tar").unlink(missing_ok=True)
    argv: list[proc.Arg] = [
        "mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}", release,
        run.folder / "root.tar",
        f"deb {found.debian} {release} main", f"deb {found.debian} {release}-updates main",
        f"deb {found.security} {release}-security main",
    ]  # fmt: skip
    proc.run(privilege.as_root(argv), log_path=run.folder / "bench.log")


def _timed(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def _row(what: str, seconds: float, size: int, peak_mib: float = 0) -> BenchRow:
    return BenchRow(what=what, seconds=round(seconds, 2), bytes=size, peak_mib=round(peak_mib, 1))


def _ratios(rows: Sequence[BenchRow]) -> dict[str, float]:
    found = {row.what: row for row in rows}
    pairs = {
        "export, time, ours to docker save": ("our export, cold", "docker save", "seconds"),
        "export, bytes, ours to docker save": ("our export, cold", "docker save", "bytes"),
        "image, time, ours to disk-image-create": (COLD, PLAIN_DIB, "seconds"),
        "verification, time, to two bare boots": (proof.PROOF, proof.BARE, "seconds"),
        "publish, time, ours to openstack's": (publish.OURS, publish.PLAIN, "seconds"),
        "upload, time, ours to openstack's": (publish.UPLOAD, publish.PLAIN_UPLOAD, "seconds"),
        "image, time, ours to mmdebstrap": (COLD, PLAIN_ROOT, "seconds"),
        "changed container, time, ours to mmdebstrap": (WARM, PLAIN_ROOT, "seconds"),
    }
    return {
        name: round(getattr(found[ours], key) / getattr(found[theirs], key), 2)
        for name, (ours, theirs, key) in pairs.items()
        if ours in found and theirs in found
    }


def _one_export(socket: str, target: str, spool: str, *refs: str) -> None:
    client = docker.DockerClient(base_url=socket)
    start = time.monotonic()
    bundler.archive_engine_images(client, refs, Path(target), Path(spool))
    seconds = time.monotonic() - start
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_mib": peak_kib / 1024}))


if __name__ == "__main__":
    _one_export(*sys.argv[1:])
