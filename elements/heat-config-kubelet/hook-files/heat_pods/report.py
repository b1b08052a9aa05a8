# SPDX-License-Identifier: Apache-2.0
"""The outputs of a deployment about its pods, all JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from heat_pods.node import Node, Unreachable
from heat_pods.watch import container_statuses


def embedded(lock: Path) -> dict[str, str]:
    """From images.lock.json: digest of a config -> digest of its manifest, which users know."""
    try:
        images = json.loads(lock.read_text())["images"]
    except (OSError, ValueError, KeyError):
        return {}
    return {image["config_digest"]: image["digest"] for image in images}


def pods(
    found: Mapping[str, Mapping[str, Any]], manifests: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Name -> UID, address, phase and containers of each pod; manifests: see embedded()."""
    return {
        name: {
            "uid": uid(pod),
            "name": pod["metadata"]["name"],
            "namespace": pod["metadata"].get("namespace", "default"),
            "ip": pod.get("status", {}).get("podIP"),
            "phase": pod.get("status", {}).get("phase"),
            "containers": {each["name"]: _container(each, manifests) for each in container_statuses(pod)},
        }
        for name, pod in found.items()
    }


def uid(pod: Mapping[str, Any]) -> str:
    """The UID of a static pod, which depends on its manifest."""
    return str(pod["metadata"]["uid"])


def stats(node: Node, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Name -> the cAdvisor statistics of each pod and container; {} if the kubelet does not respond.

    https://pkg.go.dev/k8s.io/kubelet/pkg/apis/stats/v1alpha1: bytes, nanoseconds of CPU since its start.
    """
    try:
        summary = node.stats().get("pods") or []
    except Unreachable:
        return {}
    by_uid = {each.get("podRef", {}).get("uid"): each for each in summary}
    uids = {name: uid(pod) for name, pod in found.items()}
    return {name: _figures(by_uid[each]) for name, each in uids.items() if each in by_uid}


def logs(node: Node, found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The last lines of each failing container, below a line with its name."""
    lines: list[str] = []
    for name, pod in found.items():
        for status in container_statuses(pod):
            if status.get("ready") or (status.get("state", {}).get("terminated") or {}).get("exitCode") == 0:
                continue
            namespace = pod["metadata"].get("namespace", "default")
            printed = node.log(namespace, pod["metadata"]["name"], status["name"]).splitlines()
            if printed:
                lines += [f"last lines of {name}/{status['name']}:", *(f"  {line}" for line in printed)]
    return lines


def refusals(node: Node, texts: Mapping[str, str], found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The kubelet's log lines about manifests (file name -> text) of pods that it did not start."""
    lines: list[str] = []
    for file, text in texts.items():
        if json.loads(text)["metadata"]["name"] not in found and (said := node.said_of(file)):
            lines += [f"the kubelet on {file}:", f"  {said}"]
    return lines


def _container(status: Mapping[str, Any], manifests: Mapping[str, str]) -> dict[str, Any]:
    kind, details = next(iter((status.get("state") or {"waiting": {}}).items()))
    last = (status.get("lastState") or {}).get("terminated") or {}
    digest = _digest(status.get("imageID") or "")
    return {
        "ready": bool(status.get("ready")),
        "state": kind,
        "reason": details.get("reason"),
        "message": details.get("message"),
        "exit_code": details.get("exitCode", last.get("exitCode")),
        "started_at": details.get("startedAt"),
        "restarts": status.get("restartCount", 0),
        "image": status.get("image"),
        "image_digest": manifests.get(digest, digest) if digest else None,
    }


def _digest(image_id: str) -> str | None:
    """NAME@sha256:MANIFEST of an image that was pulled, sha256:CONFIG of one that was imported."""
    _, found, digest = image_id.rpartition("sha256:")
    return f"sha256:{digest}" if found else None


def _figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    network = summary.get("network") or {}
    return {
        "network": {"rx_bytes": network.get("rxBytes"), "tx_bytes": network.get("txBytes")},
        "containers": {each["name"]: _usage(each) for each in summary.get("containers") or []},
    }


def _usage(container: Mapping[str, Any]) -> dict[str, Any]:
    cpu, memory = container.get("cpu") or {}, container.get("memory") or {}
    rootfs, logs_ = container.get("rootfs") or {}, container.get("logs") or {}
    return {
        "cpu_ns": cpu.get("usageCoreNanoSeconds"),
        "cpu_nanocores": cpu.get("usageNanoCores"),
        "memory_working_set_bytes": memory.get("workingSetBytes"),
        "memory_rss_bytes": memory.get("rssBytes"),
        "rootfs_used_bytes": rootfs.get("usedBytes"),
        "logs_used_bytes": logs_.get("usedBytes"),
    }
