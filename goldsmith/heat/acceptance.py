# SPDX-License-Identifier: Apache-2.0
"""Prove an image in a cloud: Heat launches it, its agent runs pods, and all that a release goes through.

The stack is heat-templates/verify/verify.yaml: heat-standalone.yaml as users have it, and a script beside it
that looks at the server from within.
"""

from __future__ import annotations

import contextlib
import copy
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.containers import images_lock
from goldsmith.containers.images_lock import ImagesLock
from goldsmith.core import files
from goldsmith.errors import CloudError, VerificationError
from goldsmith.heat import checks, hooks, inputs, report
from goldsmith.heat.client import Cloud, Stack
from goldsmith.heat.report import Report
from goldsmith.image.manifest import FILE, Manifest

CONSOLE = "heat-console.log"
_POLLING_S = 3  # of the server that is proven, so that a verification does not spend its time on waiting


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """Where and how to prove. Times are in seconds."""

    flavor: str
    network: str = ""
    deadline_s: float = 900  # of one change of the stack
    pods_deadline_s: int = 300
    poll_transport: str = "POLL_SERVER_HEAT"
    signal_transport: str = "HEAT_SIGNAL"
    config_drive: bool = True  # False: the server asks the cloud's metadata service


def prove(build: Path, cloud: Cloud, wishes: Wishes, *, signed_by: str | None = None) -> Report:
    """Take a verified build through a release's life in a cloud. The report is written beside its manifest.

    Raises CloudError or VerificationError at the first step that fails; whatever happens, the stack and the
    image are removed.
    """
    manifest = Manifest.read(build / FILE, error=VerificationError)
    disk = manifest.disk
    if files.sha256_of(build / disk.file) != disk.sha256:
        raise VerificationError(f"{build / disk.file} is not what its manifest says")
    report = Report(
        cloud=cloud.name, image_sha256=disk.sha256,
        manifest_sha256=files.sha256_of(build / FILE), signed_by=signed_by,
    )  # fmt: skip
    try:
        _Proof(build, manifest, cloud, wishes, report).run()
    finally:
        report.write(build)
    return report


class _Proof:
    """The steps in their order, each on what the one before left."""

    def __init__(self, build: Path, manifest: Manifest, cloud: Cloud, wishes: Wishes, report: Report) -> None:
        self.build, self.manifest, self.cloud, self.wishes, self.report = (
            build,
            manifest,
            cloud,
            wishes,
            report,
        )
        self.mark = secrets.token_hex(3)  # which stays where Heat shortens the names of a stack's servers
        self.name = f"verify-{manifest.name}-{self.mark}"
        self.pods = [copy.deepcopy(pod) for pod in inputs.pods_of(build)]
        self.stack: Stack | None = None
        self.at_first: Mapping[str, Any] = {}  # what the server looked like when it was created
        self.servers: set[str] = set()

    def run(self) -> None:
        """Every step; at the end, or at the first failure, everything of ours in the cloud is removed."""
        try:
            with self.report.step("image"):
                self._upload("first")
            self._steps()
        except BaseException:
            self._keep_console()
            raise
        finally:
            with self.report.step("delete"):
                self._delete()

    def _upload(self, which: str) -> None:
        """The build under the name of a release, which stays with it: what templates are given."""
        self.image = f"{self.manifest.name} {self.manifest.build_id} {self.mark} {which}"
        self.image_id = self.cloud.upload(self.build / self.manifest.disk.file, self.image)

    def _steps(self) -> None:
        with self.report.step("create"):
            first = self._create()
        with self.report.step("update"):
            second = self._update(first)
        with self.report.step("crashing pod"):
            self._crashing()
        with self.report.step("roll back"):
            self._rolled_back(second)
        with self.report.step("reboot"):
            self._rebooted(second)
        with self.report.step("new image"):
            self._replaced(second)
        if hooks.are_all(inputs.hooks_of(self.build)):
            with self.report.step("every hook"):
                self._every_hook()

    def _create(self) -> Stack:
        stack = self.cloud.create(
            self.name, inputs.template("verify/verify.yaml"), self._parameters(self.pods, "created"),
            timeout_s=self.wishes.deadline_s,
        )  # fmt: skip
        self._note(stack)
        checks.require_complete(stack, "CREATE")
        probe = self.at_first = checks.probe(stack)
        checks.require(probe["build"] == self.manifest.build_id, f"the server is of build {probe['build']}")
        checks.require_datasource(probe["datasource"], config_drive=self.wishes.config_drive)
        checks.require(bool(stack.outputs["addresses"]), "the stack has no address in its outputs")
        checks.require_pods(stack, self.pods)
        checks.require_digests(stack, ImagesLock.read(self.build / images_lock.FILE, error=VerificationError))
        missing = {pod["metadata"]["name"] for pod in self.pods} - set(stack.outputs["stats"] or {})
        checks.require(not missing, f"no figures of {sorted(missing)} in the output stats")
        timing = stack.outputs["timing"]
        self.report.figures["seconds_to_ready"] = round(timing["ready_at"] - timing["written_at"], 1)
        return stack

    def _update(self, before: Stack) -> Stack:
        """Change one pod, leave the others: only that one gets another UID. The script does not run."""
        changed = copy.deepcopy(self.pods)
        changed[-1]["metadata"].setdefault("labels", {})["goldsmith-verify"] = "updated"
        asked = time.time()
        stack = self._updated(changed, "created")
        ended = time.time()
        checks.require_complete(stack, "UPDATE")
        checks.require_pods(stack, changed)
        was, now = before.outputs["pod_uids"], stack.outputs["pod_uids"]
        name = changed[-1]["metadata"]["name"]
        kept = [other for other in was if other != name and was[other] != now.get(other)]
        checks.require(not kept, f"pods that did not change got another UID: {kept}")
        checks.require(was[name] != now[name], f"the pod {name} was changed and kept its UID")
        self.report.figures["update_s"] = report.split(asked, stack.outputs["timing"], ended)
        self.pods = changed
        return stack

    def _crashing(self) -> None:
        """A pod that cannot start fails with its reason."""
        bad = copy.deepcopy(self.pods[-1])
        bad["metadata"]["name"] = "crashing"
        bad["spec"].pop("hostNetwork", None)
        for container in bad["spec"]["containers"]:
            container.update(command=["/nowhere"])
            container.pop("readinessProbe", None)
        stack = self._updated([*self.pods, bad], "created")
        checks.require_failed(stack, "pod crashing: container")
        took = stack.outputs["timing"]["ready_at"] - stack.outputs["timing"]["written_at"]
        checks.require(took <= self.wishes.pods_deadline_s, f"the failure was seen after {took:.0f} s")
        checks.require("put back" in str(stack.outputs["said"]), f"the hook said {stack.outputs['said']!r}")

    def _rolled_back(self, before: Stack) -> None:
        """The containers that ran before the failure are the very ones that run now."""
        stack = self._updated(self.pods, "rolled back")
        checks.require_complete(stack, "UPDATE")
        checks.require(stack.outputs["pod_uids"] == before.outputs["pod_uids"], "the pods got other UIDs")
        probe = checks.probe(stack)
        checks.require_started_once(before.outputs["pods"], probe["pods"])
        self.report.figures["agent_in_3_changes"] = report.cost(self.at_first, probe)

    def _rebooted(self, before: Stack) -> None:
        boot = checks.probe(self._current())["boot_id"]
        self.cloud.reboot(before.outputs["server"], timeout_s=self.wishes.deadline_s)
        stack = self._updated(self.pods, "rebooted")
        checks.require_complete(stack, "UPDATE")
        probe = checks.probe(stack)
        checks.require(probe["boot_id"] != boot, "the server was not rebooted")
        unready = [name for name, pod in probe["pods"].items() if not checks.is_ready(pod)]
        checks.require(not unready, f"not ready after the reboot: {unready}")
        uids = {name: pod["uid"] for name, pod in probe["pods"].items()}
        checks.require(uids == before.outputs["pod_uids"], f"after the reboot there are other pods: {uids}")
        checks.require(
            probe["imported_since_boot"] == 0, f"{probe['imported_since_boot']} blobs were imported anew"
        )
        checks.require(not probe["signals_of_this_boot"], f"a second signal: {probe['signals_of_this_boot']}")

    def _replaced(self, before: Stack) -> None:
        """Another release's name is another server, with the same pods; the one before is gone."""
        self._upload("second")
        stack = self._updated(self.pods, "replaced")
        checks.require_complete(stack, "UPDATE")
        checks.require_pods(stack, self.pods)
        old, new = before.outputs["server"], stack.outputs["server"]
        checks.require(old != new, "the image is another one, and the server is not")
        images = {server.id: server.image for server in self.cloud.servers()}
        checks.require(images.get(new) == self.image_id, f"the new server has the image {images.get(new)}")
        checks.require(old not in images, f"the server {old}, which was replaced, is still there")
        checks.require(checks.probe(stack)["build"] == self.manifest.build_id, "of another build")

    def _every_hook(self) -> None:
        """A server of the template with every kind of configuration, in place of the one before."""
        self.cloud.delete(self.name, timeout_s=self.wishes.deadline_s)
        self._note(
            hooks.prove(
                self.cloud, self.name, inputs.template("software-config.yaml"),
                {
                    "image": self.image, "flavor": self.wishes.flavor, "network": self.wishes.network,
                    "polling_interval": _POLLING_S,
                },
                timeout_s=self.wishes.deadline_s,
            )
        )  # fmt: skip

    def _delete(self) -> None:
        """Stack and images, those too whose upload was cut off, and a look at whether anything is left."""
        if self.stack is not None or self.cloud.leftovers(self.mark):
            self.cloud.delete(self.name, timeout_s=self.wishes.deadline_s)
        for image in self.cloud.images(self.mark):
            self.cloud.delete_image(image)
        left = self.cloud.leftovers(self.mark, servers=self.servers)
        checks.require(not left, f"left in the cloud: {', '.join(left)}")

    def _updated(self, pods: list[dict[str, Any]], reason: str) -> Stack:
        assert self.stack is not None
        return self._note(
            self.cloud.update(
                self.stack, inputs.template("verify/verify.yaml"), self._parameters(pods, reason),
                timeout_s=self.wishes.deadline_s,
            )
        )  # fmt: skip

    def _note(self, stack: Stack) -> Stack:
        self.stack = stack
        if stack.outputs.get("server"):
            self.servers.add(stack.outputs["server"])
        return stack

    def _current(self) -> Stack:
        assert self.stack is not None
        return self.stack

    def _parameters(self, pods: list[dict[str, Any]], reason: str) -> dict[str, Any]:
        return {
            "image": self.image, "flavor": self.wishes.flavor, "network": self.wishes.network, "pods": pods,
            "pods_deadline": self.wishes.pods_deadline_s, "polling_interval": _POLLING_S, "reason": reason,
            "poll_transport": self.wishes.poll_transport, "signal_transport": self.wishes.signal_transport,
            "config_drive": self.wishes.config_drive,
        }  # fmt: skip

    def _keep_console(self) -> None:
        """What the server said, beside the verdict."""
        server = None
        with contextlib.suppress(CloudError):
            stack = self.stack or self.cloud.stack(self.name)
            server = stack.outputs.get("server")
        if server:
            (self.build / CONSOLE).write_text(self.cloud.console(server))
