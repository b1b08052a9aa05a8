# SPDX-License-Identifier: Apache-2.0
"""Compare a publication with `openstack image create --file`: the same file and Glance, in turns.

`python -m tests.bench.publish OUT CLOUD` is one publication, in a separate process, whose memory can be
measured. Both times include the start of the process; ours also hashes, compares and moves the alias.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from pathlib import Path

from goldsmith.cli.answers import BenchRow
from goldsmith.core import build_folders, paths, proc, progress
from goldsmith.core.runs import Run
from goldsmith.devcloud import lifecycle, venv
from goldsmith.devcloud.start import Options
from goldsmith.image import finished_build
from goldsmith.publish import desired, observe, publisher
from goldsmith.publish.glance import Glance
from goldsmith.spec import load

SPEC = "debian-kubelet"
PLAIN, PLAIN_UPLOAD = "openstack image create --file", "the same, less an openstack image list"
OURS, UPLOAD = "our publish, all of it", "our publish, its upload"
_CLOUD = "bench-publish"
_TRIALS = 5


def rows(run: Run) -> list[BenchRow]:
    """Median seconds of both; for ours also the highest memory peak. Raises SpecError without a build."""
    out = paths.out_root()
    build = finished_build.read(build_folders.find_build(out, SPEC))
    disk = build.folder / build.manifest.disk.file
    idle, plain, ours, uploads, peaks = [], [], [], [], []
    with lifecycle.owned(_CLOUD, Options(services=("glance",))) as running:
        env = {"OS_CLIENT_CONFIG_FILE": str(running.clouds_yaml), "OS_CLOUD": _CLOUD}
        glance = Glance(_CLOUD, clouds_yaml=running.clouds_yaml)
        client = venv.ensure_environment(log_path=run.folder / "pip.log") / "bin/openstack"
        create = (client, "image", "create", "--file", disk, "--disk-format", "qcow2", "plain")
        for trial in range(_TRIALS):
            progress.live(f"publication {trial + 1} of {_TRIALS}")
            idle.append(_timed((client, "image", "list"), env)[0])
            plain.append(_timed(create, env)[0])
            _remove_all(glance)
            seconds, output = _timed((sys.executable, "-m", "tests.bench.publish", out, _CLOUD), env)
            answer = json.loads(output)
            ours.append(seconds)
            uploads.append(answer["upload_s"])
            peaks.append(answer["peak_mib"])
            _remove_all(glance)
    size = disk.stat().st_size
    alone = statistics.median(plain) - statistics.median(idle)
    return [
        BenchRow(what=PLAIN_UPLOAD, seconds=round(alone, 2), bytes=size),
        BenchRow(what=PLAIN, seconds=round(statistics.median(plain), 2), bytes=size),
        BenchRow(
            what=OURS, seconds=round(statistics.median(ours), 2), bytes=size, peak_mib=round(max(peaks), 1)
        ),
        BenchRow(what=UPLOAD, seconds=round(statistics.median(uploads), 2), bytes=size),
    ]


def _timed(argv: tuple[proc.Arg, ...], env: dict[str, str]) -> tuple[float, str]:
    start = time.monotonic()
    output = proc.capture(argv, env=proc.environment(env), cwd=paths.project_root(), timeout_s=900)
    return time.monotonic() - start, output


def _remove_all(glance: Glance) -> None:
    line = desired.line_of(load.load(SPEC, {}).spec)
    state = observe.current_state(glance, line)
    records = [record for ids in state.records.values() for record in ids]
    plain = observe.images_named(glance, "plain", tag="")
    for image in (*(i.id for i in (*state.images, *plain)), *records):
        glance.delete(image)
    for note in (paths.out_root() / SPEC).glob(f"*/publish-{_CLOUD}.json"):
        note.unlink()


def _one(out: str, cloud: str) -> None:
    options = publisher.Options(out=Path(out), clouds=(cloud,), accept_unsigned="a measurement")
    (result,) = publisher.Publisher(SPEC, options).publish()
    publisher.require([result])
    assert result.outcome is not None
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = {"upload_s": result.outcome.upload_s, "peak_mib": peak_kib / 1024}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    _one(*sys.argv[1:])
