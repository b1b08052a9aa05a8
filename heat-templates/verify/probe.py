#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Describe the server from inside, as JSON in the output "result". The hook for scripts runs this.

The JSON is read by goldsmith/heat/outputs.py, class Probe.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, "/usr/lib/heat-config")
from heat_pods import node, report, watch

DEADLINE_S = 240
CONTENT = Path("/var/lib/containerd/io.containerd.content.v1.content/blobs")
LOOPS = 2_000_000
HASH = "goldsmith.heat/manifest"


def pods() -> dict[str, Any]:
    """The static pods when all of them are ready, or as they are after the deadline."""
    kubelet, deadline = node.Kubelet(), time.monotonic() + DEADLINE_S
    while True:
        found: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(node.Unreachable):
            found = {pod["metadata"]["annotations"].get(HASH, ""): pod for pod in kubelet.pods()}
        expected = set(manifests())
        if expected <= found.keys() and all(watch.is_good(found[each]) for each in expected):
            break
        if time.monotonic() > deadline:
            break
        time.sleep(2)
    suffix = f"-{os.uname().nodename}"  # a static pod is called NAME-NODE
    return report.pods({pod["metadata"]["name"].removesuffix(suffix): pod for pod in found.values()})


def manifests() -> Iterator[str]:
    """The hash of each manifest."""
    for path in Path("/etc/kubernetes/manifests").glob("[!.]*"):
        yield json.loads(path.read_text())["metadata"]["annotations"][HASH]


def log_of_this_boot() -> list[str]:
    """Lines of the agent's log since this boot."""
    argv = ["journalctl", "-b", "-u", "os-collect-config", "-o", "cat", "--no-pager"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


def imported_since_boot() -> int:
    """How many blobs were imported into containerd's store since this boot."""
    boot = time.time() - float(Path("/proc/uptime").read_text().split()[0])
    return sum(path.stat().st_mtime > boot for path in CONTENT.rglob("*") if path.is_file())


def datasource() -> str:
    """cloud-init's source of this server's metadata: "config-disk (DEVICE)" or "metadata (URL)"."""
    return str(json.loads(Path("/run/cloud-init/instance-data.json").read_text())["v1"]["subplatform"])


def agent_cpu_s() -> float | None:
    """CPU seconds of the agent's unit since it started, hooks included."""
    argv = ["systemctl", "show", "os-collect-config", "--property=CPUUsageNSec", "--value"]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
    return int(shown) / 1e9 if shown.isdigit() else None


def loop_cpu_s() -> float:
    """CPU seconds of a loop that the host runs too, to compare their speed."""
    start = time.process_time()
    for _ in range(LOOPS):
        pass
    return time.process_time() - start


log = log_of_this_boot()
result = {
    "schema": "goldsmith.heat-probe",
    "version": 1,
    "reason": os.environ["reason"],
    "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
    "pods": pods(),
    "signals_of_this_boot": [line for line in log if " signalled, status " in line],
    "passes_cpu_s": [float(line.split()[-4]) for line in log if line.endswith(" s of CPU")],
    "imported_since_boot": imported_since_boot(),
    "agent_cpu_s": agent_cpu_s(),
    "loop_cpu_s": loop_cpu_s(),
    "datasource": datasource(),
    "build": json.loads(Path("/usr/lib/goldsmith/build.json").read_text())["build_id"],
}
Path(f"{os.environ['heat_outputs_path']}.result").write_text(json.dumps(result))
