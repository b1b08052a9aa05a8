# SPDX-License-Identifier: Apache-2.0
"""Soak test rebuild: build the default image twice from the same inputs, and compare the two."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith.containers import bundler, policy
from goldsmith.core import privilege, proc, runs
from goldsmith.core.runs import Run
from goldsmith.image import dib, mount, prepare
from goldsmith.kubernetes import kubelet
from goldsmith.provenance import spec_lock
from goldsmith.spec import load

SPEC = "debian-kubelet"
_COMPARE_S = 600

# Pattern of a path -> why it differs between two builds from the same inputs.
EXCEPTIONS: Mapping[str, str] = {
    r"/var/lib/containerd/io\.containerd\.metadata\.v1\.bolt/meta\.db": "it has import times of blobs",
}


class Rebuild:
    """Trials of `invoke soak rebuild`: two builds of bundle, kubelet and root file system."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Report the paths that may differ."""
        return {"spec": SPEC, "exceptions": dict(EXCEPTIONS)}

    def one(self, _index: int, _choice: random.Random) -> dict[str, Any]:
        """Run the image stage twice and compare the root file systems."""
        with runs.run() as run:
            first, second = (self._made(run, name) for name in ("one", "the-other"))
            with (
                mount.opened(first, format_="qcow2", scratch=_folder(run, "mount-1")) as left,
                mount.opened(second, format_="qcow2", scratch=_folder(run, "mount-2")) as right,
            ):
                paths = _differing(left, right, run)
        may = {path: why for path in paths if (why := excepted(path)) is not None}
        return {
            "differing": may,
            "problems": [f"{path} differs" for path in paths if path not in may],
        }

    def finish(self) -> dict[str, Any]:
        """Nothing to check."""
        return {"problems": []}

    def _made(self, run: Run, name: str) -> Path:
        loaded, log = load.load(SPEC, {}), run.folder / f"{name}.log"
        spec = loaded.spec
        assert spec.kubelet is not None
        binary = kubelet.obtain(spec.kubelet, spec.arch, run=run, log_path=log)
        bundle = bundler.export(
            spec.containers, layers=spec.layers, arch=spec.arch, run=run, log_path=log,
            policy=policy.of_spec(spec),
        )  # fmt: skip
        index = spec_lock.index_states(spec, None)[spec.release]
        plan = prepare.make(
            loaded, _folder(run, name), binary=binary, bundle=bundle,
            pod_schema=kubelet.pod_schema(spec.kubelet), epoch=index.epoch,
        )  # fmt: skip
        return dib.build(plan, log_path=log)


def excepted(path: str) -> str | None:
    """Why a path may differ; None where it must not."""
    return next((why for pattern, why in EXCEPTIONS.items() if re.fullmatch(pattern, path)), None)


def _folder(run: Run, name: str) -> Path:
    folder = run.folder / name
    folder.mkdir()
    return folder


def _differing(left: Path, right: Path, run: Run) -> list[str]:
    out = run.folder / "differing.json"
    argv: tuple[proc.Arg, ...] = (sys.executable, "-B", "-m", "tests.soak.tree_diff", left, right, out)
    proc.run(privilege.as_root(argv), log_path=run.folder / "differing.log", timeout_s=_COMPARE_S)
    return [str(path) for path in json.loads(out.read_text())]
