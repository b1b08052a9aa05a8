# SPDX-License-Identifier: Apache-2.0
"""Acceptance test of a build in a cloud: launch, update, failure, rollback, reboot, another image, delete.

The stack is heat-templates/verify/verify.yaml: heat-standalone.yaml as users launch it, and a probe that
looks at the server from inside.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from goldsmith.containers import images_lock
from goldsmith.containers.images_lock import ImagesLock
from goldsmith.core import files
from goldsmith.errors import VerificationError
from goldsmith.heat import checks, hooks, inputs, outputs, report
from goldsmith.heat.client import Cloud
from goldsmith.heat.launcher import Launcher, UploadedImage
from goldsmith.heat.outputs import Probe
from goldsmith.heat.report import Report
from goldsmith.heat.stacks import Stack
from goldsmith.image.manifest import FILE, Manifest

CONSOLE = "heat-console.log"
_TEMPLATE = "verify/verify.yaml"
_POLLING_S = 3  # of the server under test; short, so that the test does not wait for polls
_LABEL = "goldsmith-verify"

Pods = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Where and how to launch. Times are in seconds."""

    flavor: str
    network: str = ""
    deadline_s: float = 900  # of one change of the stack
    pods_deadline_s: int = 300
    poll_transport: str = "POLL_SERVER_HEAT"
    signal_transport: str = "HEAT_SIGNAL"
    config_drive: bool = True  # False: the server asks the cloud's metadata service


@dataclass(frozen=True, kw_only=True, slots=True)
class _Test:
    """What all steps of one test share."""

    build: Path
    manifest: Manifest
    options: Options
    launcher: Launcher
    report: Report

    def upload(self, which: str) -> UploadedImage:
        """Upload the build under a unique release name, which templates get."""
        disk = self.build / self.manifest.disk.file
        return self.launcher.upload(disk, f"{self.manifest.name} {self.manifest.build_id}", which)

    def parameters(self, image: UploadedImage, pods: Pods, reason: str) -> dict[str, Any]:
        """Parameters of the template; another reason makes the probe run again."""
        return {
            "image": image.name, "flavor": self.options.flavor, "network": self.options.network, "pods": pods,
            "pods_deadline": self.options.pods_deadline_s, "polling_interval": _POLLING_S, "reason": reason,
            "poll_transport": self.options.poll_transport, "signal_transport": self.options.signal_transport,
            "config_drive": self.options.config_drive,
        }  # fmt: skip

    def update(self, image: UploadedImage, pods: Pods, reason: str) -> Stack:
        """Update the stack."""
        return self.launcher.update(_TEMPLATE, self.parameters(image, pods, reason))


@dataclass(frozen=True, kw_only=True, slots=True)
class Launched:
    """The server as one step leaves it to the next: its stack, image and pods, and its last probe."""

    image: UploadedImage
    pods: Pods
    stack: Stack
    probe: Probe


def run(build: Path, cloud: Cloud, options: Options, *, signed_by: str | None = None) -> Report:
    """Run the acceptance test of a verified build; the report is also written beside its manifest.

    Raises CloudError or VerificationError at the first step that fails. The stack and the images are
    removed in any case.
    """
    manifest = Manifest.read(build / FILE, error=VerificationError)
    disk = manifest.disk
    if files.sha256_of(build / disk.file) != disk.sha256:
        raise VerificationError(
            f"{build / disk.file} has another sha256 than its manifest says", hint="build the image again"
        )
    found = Report(
        cloud=cloud.name, image_sha256=disk.sha256,
        manifest_sha256=files.sha256_of(build / FILE), signed_by=signed_by,
    )  # fmt: skip
    launcher = Launcher(cloud, manifest.name, timeout_s=options.deadline_s)
    try:
        _run(_Test(build=build, manifest=manifest, options=options, launcher=launcher, report=found))
    finally:
        found.write(build)
    return found


def _run(test: _Test) -> None:
    """Every step; at the end, or at the first failure, remove everything from the cloud."""
    pods = copy.deepcopy(inputs.pods_of(test.build))
    try:
        with test.report.step("image"):
            image = test.upload("first")
        with test.report.step("create"):
            launched = _create(test, image, pods)
        for name, step in _STEPS.items():
            with test.report.step(name):
                launched = step(test, launched)
        if hooks.are_all(inputs.hooks_of(test.build)):
            with test.report.step("every hook"):
                _every_hook(test, launched)
    except BaseException:
        if console := test.launcher.console():
            (test.build / CONSOLE).write_text(console)
        raise
    finally:
        with test.report.step("delete"):
            test.launcher.remove()


def _create(test: _Test, image: UploadedImage, pods: Pods) -> Launched:
    """Every pod is ready, and runs from the images of the lock."""
    stack = test.launcher.create(_TEMPLATE, test.parameters(image, pods, "created"))
    checks.require_complete(stack, "CREATE")
    probe, found = outputs.probe(stack), outputs.of(stack)
    checks.require(
        probe.build == test.manifest.build_id, f"the server was launched from the build {probe.build}"
    )
    checks.require_datasource(probe.datasource, config_drive=test.options.config_drive)
    checks.require(found.addresses, "the stack has no address in its outputs")
    checks.require_pods(stack, pods)
    checks.require_digests(stack, ImagesLock.read(test.build / images_lock.FILE, error=VerificationError))
    missing = {pod["metadata"]["name"] for pod in pods} - set(found.stats)
    checks.require(not missing, f"the output stats has no figures of {sorted(missing)}")
    test.report.seconds_to_ready = round(outputs.timing(stack).seconds_to_ready, 1)
    return Launched(image=image, pods=pods, stack=stack, probe=probe)


def _update(test: _Test, launched: Launched) -> Launched:
    """Change one pod: it alone gets another UID. The probe does not run."""
    changed = copy.deepcopy(launched.pods)
    changed[-1]["metadata"].setdefault("labels", {})[_LABEL] = "updated"
    asked = time.time()
    stack = test.update(launched.image, changed, "created")
    ended = time.time()
    checks.require_complete(stack, "UPDATE")
    checks.require_pods(stack, changed)
    was, now = outputs.of(launched.stack).pod_uids, outputs.of(stack).pod_uids
    name = changed[-1]["metadata"]["name"]
    others = [other for other in was if other != name and was[other] != now.get(other)]
    checks.require(not others, f"pods that did not change got another UID: {others}")
    checks.require(was.get(name) != now.get(name), f"the pod {name} was changed and kept its UID")
    test.report.update_s = report.split(asked, outputs.timing(stack), ended)
    return replace(launched, stack=stack, pods=changed)


def _crashing_pod(test: _Test, launched: Launched) -> Launched:
    """A pod that cannot start fails in time, with its reason, and the hook restores the pods."""
    bad = copy.deepcopy(launched.pods[-1])
    bad["metadata"]["name"] = "crashing"
    bad["spec"].pop("hostNetwork", None)
    for container in bad["spec"]["containers"]:
        container.update(command=["/nowhere"])
        container.pop("readinessProbe", None)
    stack = test.update(launched.image, [*launched.pods, bad], "created")
    checks.require_failed(stack, "pod crashing: container")
    took, printed = outputs.timing(stack).seconds_to_ready, outputs.of(stack).said
    checks.require(took <= test.options.pods_deadline_s, f"the failure was reported after {took:.0f} s")
    checks.require("put back" in printed, f"the hook did not report that it restored the pods: {printed!r}")
    return launched


def _roll_back(test: _Test, launched: Launched) -> Launched:
    """The containers that ran before the failure never stopped."""
    stack = test.update(launched.image, launched.pods, "rolled back")
    checks.require_complete(stack, "UPDATE")
    before = outputs.of(launched.stack)
    checks.require(outputs.of(stack).pod_uids == before.pod_uids, "the pods got other UIDs")
    probe = outputs.probe(stack)
    checks.require_started_once(before.pods, probe.pods)
    test.report.agent_in_3_changes = report.cost(launched.probe, probe)
    return replace(launched, probe=probe)


def _reboot(test: _Test, launched: Launched) -> Launched:
    """After a reboot the same pods are ready; nothing is imported, and nothing signalled, again."""
    before = outputs.of(launched.stack)
    test.launcher.cloud.servers.reboot(before.server, timeout_s=test.options.deadline_s)
    stack = test.update(launched.image, launched.pods, "rebooted")
    checks.require_complete(stack, "UPDATE")
    probe = outputs.probe(stack)
    checks.require(probe.boot_id != launched.probe.boot_id, "the server was not rebooted")
    unready = [name for name, pod in probe.pods.items() if not pod.is_ready]
    checks.require(not unready, f"not ready after the reboot: {unready}")
    uids = {name: pod.uid for name, pod in probe.pods.items()}
    checks.require(uids == before.pod_uids, f"other pods run after the reboot: {uids}")
    imported, signals = probe.imported_since_boot, list(probe.signals_of_this_boot)
    checks.require(imported == 0, f"{imported} blobs were imported again after the reboot")
    checks.require(not signals, f"the agent signalled again after the reboot: {signals}")
    return replace(launched, probe=probe)


def _new_image(test: _Test, launched: Launched) -> Launched:
    """Another release's name leads to another server with the same pods; the previous one is gone."""
    image = test.upload("second")
    stack = test.update(image, launched.pods, "replaced")
    checks.require_complete(stack, "UPDATE")
    checks.require_pods(stack, launched.pods)
    old, new = outputs.of(launched.stack).server, outputs.of(stack).server
    checks.require(old != new, "the image was changed and Heat did not replace the server")
    images = {server.id: server.image for server in test.launcher.cloud.servers.all()}
    checks.require(images.get(new) == image.id, f"the new server has the image {images.get(new)}")
    checks.require(old not in images, f"the replaced server {old} still exists")
    probe = outputs.probe(stack)
    expected = test.manifest.build_id
    checks.require(probe.build == expected, f"the new server was launched from the build {probe.build}")
    return replace(launched, image=image, stack=stack, probe=probe)


def _every_hook(test: _Test, launched: Launched) -> None:
    """A server of the template with every kind of configuration takes the place of the previous one."""
    test.launcher.delete_stack()
    hooks.verify(
        test.launcher,
        {
            "image": launched.image.name, "flavor": test.options.flavor, "network": test.options.network,
            "polling_interval": _POLLING_S,
        },
    )  # fmt: skip


_STEPS: Mapping[str, Callable[[_Test, Launched], Launched]] = {
    "update": _update,
    "crashing pod": _crashing_pod,
    "roll back": _roll_back,
    "reboot": _reboot,
    "new image": _new_image,
}
