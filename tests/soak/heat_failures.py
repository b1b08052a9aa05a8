# SPDX-License-Identifier: Apache-2.0
"""What goes wrong around a server of Heat's, one thing a trial: on the real services and the real image."""

from __future__ import annotations

import contextlib
import copy
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from goldsmith.core import builds, openstack, paths, wait
from goldsmith.devcloud import instance, lifecycle
from goldsmith.errors import CloudError, VerificationError
from goldsmith.heat import checks, inputs
from goldsmith.heat.checks import require, require_complete, require_failed
from goldsmith.heat.client import Stack
from tests.soak import guest_scripts
from tests.soak.heat_cloud import BOOT_S, FLAVOR, NETWORK, SPEC, InACloud

_TEMPLATE = "verify/failures.yaml"
_POLLING_S = 2
_WEIGHT, _WEIGHTS = 120_000, 9  # characters, more than 1 MiB together
_ABOVE_LIMIT = 1_100_000  # characters; Heat takes requests of 1 MiB
_PODS = 30
_LOOKS = 5
_SITE = "http://{}:8080/healthz"  # of the first of the spec's pods, which is on the server's own network


# Methods of Failures, in the order in which they are tried.
CASES = (
    "wrong_image", "bad_schema", "not_embedded", "exits", "crashes", "never_ready", "one_name_twice",
    "heat_away_at_work", "heat_away_at_the_signal", "heat_gone", "wrong_credentials", "clock_off",
    "a_mebibyte", "above_the_limit", "many_pods", "overtaken", "rebooted", "containerd_killed",
    "kubelet_killed", "agent_killed", "full_disk", "spoilt_files", "suspended",
)  # fmt: skip


class Failures(InACloud):
    """Trials of `invoke soak heat-failures`, of one server. After each the server has to be as before.

    As before: an update back is complete, and the containers that ran first have run on.
    """

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """A cloud, and a server of the latest build of the default spec, with its pods."""
        build = builds.find_build(paths.out_root(), SPEC)
        self.pods = inputs.pods_of(build)
        self.begin()
        self.image = self.cloud.upload(next(build.glob("*.qcow2")), build.name)
        self.probe = inputs.template("verify/probe.py").read_text()
        self.count = 0
        self.create(_TEMPLATE, self._parameters())
        self.at_first: Mapping[str, Any] | None = checks.probe(self.stack)["pods"]
        (address,) = next(iter(self.stack.outputs["addresses"].values()))
        self.site = _SITE.format(address)
        return {"build": build.name, "polling_interval_s": _POLLING_S}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """The next case of the list."""
        case = getattr(self, CASES[index % len(CASES)])
        start = time.monotonic()
        problems = []
        try:
            case()
            self._is_as_before()
        except (CloudError, VerificationError) as e:
            problems.append(str(e))
        return {"case": case.__doc__, "seconds": round(time.monotonic() - start, 1), "problems": problems}

    def wrong_image(self) -> None:
        """An image that is not there."""
        with checks.refused("image"):
            self.cloud.create("soak-wrong", inputs.template(_TEMPLATE), self._parameters(image="no such"),
                              timeout_s=BOOT_S)  # fmt: skip
        require(not self.cloud.leftovers("soak-wrong"), "something of the refused stack is left")

    def bad_schema(self) -> None:
        """A pod whose command is no list."""
        require_failed(self._with(guest_scripts.pod("bad", command="text")), "pod bad: spec.containers")

    def not_embedded(self) -> None:
        """A pod whose image the server does not have."""
        require_failed(
            self._with(guest_scripts.pod("missing", image="goldsmith.local/nobody:1")), "is not embedded"
        )

    def exits(self) -> None:
        """A container that ends with 1 and is not started again."""
        self._fails_with_its_log(
            guest_scripts.pod("ends", command=guest_scripts.CRASH, restartPolicy="Never"), "exit code 1"
        )

    def crashes(self) -> None:
        """A container that ends with 1 whenever it is started."""
        self._fails_with_its_log(guest_scripts.pod("crashes", command=guest_scripts.CRASH), "crashed")

    def never_ready(self) -> None:
        """A container whose probe never says yes."""
        probe = {"tcpSocket": {"port": 1}, "periodSeconds": 1}
        stack = self._with(guest_scripts.pod("unready", readinessProbe=probe), pods_deadline=25)
        require_failed(stack, "pod unready: container main")

    def one_name_twice(self) -> None:
        """Two deployments that want one pod name."""
        stack = self._change(others=[guest_scripts.pod(self.pods[0]["metadata"]["name"])])
        said = str(stack.outputs.get("others_failure"))
        require(stack.status == "UPDATE_FAILED" and "is taken by" in said, f"{stack.status}: {said}")

    def heat_away_at_work(self) -> None:
        """Heat's ports are closed while the script runs, and open when it has ended."""
        self._begin(script=guest_scripts.SLOW.format(20))
        self._wait_until_begun()
        with self._closed(8):
            pass
        self._answered()

    def heat_away_at_the_signal(self) -> None:
        """Heat's ports are closed for a minute, in which the script ends."""
        self._begin(script=guest_scripts.SLOW.format(6))
        self._wait_until_begun()
        with self._closed(60):
            require(self.answers(self.site), "the pods do not answer while Heat is away")
        self._answered()

    def heat_gone(self) -> None:
        """Heat ends while a deployment is under way and is not there for a minute; pods do without it."""
        self._begin(script=guest_scripts.SLOW.format(10))
        deployment = str(self.stack.outputs["script"])
        self._wait_until_begun()
        lifecycle.service("stop", "heat", cloud=self.name)
        time.sleep(60)
        is_up = self.answers(self.site)
        lifecycle.service("start", "heat", cloud=self.name)
        require(is_up, "the pods do not answer without Heat")
        wanted = {"status": "COMPLETE", "result": str(self.count)}
        self._becomes(lambda: wanted.items() <= self.cloud.deployment(deployment).items(), "answer to a Heat "
                      "that was gone")  # fmt: skip

    def wrong_credentials(self) -> None:
        """The server's password is not that of Keystone any more; then it is again."""
        heat = self.cloud.metadata(self.stack, "server")["os-collect-config"]["heat"]
        keystone = openstack.connect(
            f"{self.name}-admin", clouds_yaml=instance.place(self.name).clouds_yaml, error=CloudError
        ).identity
        keystone.update_user(heat["user_id"], password="another")
        try:
            self._begin(script=guest_scripts.SLOW.format(0))
            time.sleep(30)
            now = self.cloud.stack(self.stack.id, with_outputs=False).status
            require(now == "UPDATE_IN_PROGRESS", f"with wrong credentials the update is {now}")
            require(self.answers(self.site), "the pods do not answer while the credentials are wrong")
        finally:
            keystone.update_user(heat["user_id"], password=heat["password"])
        self._answered()

    def clock_off(self) -> None:
        """The server's clock is a day ahead."""
        try:
            require_complete(self._change(script="#!/bin/sh\ndate -s '1 day'\n"), "UPDATE")
            require_complete(self._with(guest_scripts.pod("tomorrow")), "UPDATE")
        finally:
            back = self._change(script="#!/bin/sh\ndate -s '-1 day'\n")
        require_complete(back, "UPDATE")

    def a_mebibyte(self) -> None:
        """More than 1 MiB of metadata, over several deployments."""
        require_complete(self._change(weight="x" * _WEIGHT, weights=_WEIGHTS), "UPDATE")

    def above_the_limit(self) -> None:
        """One config of more than Heat takes is refused, and nothing has changed."""
        before = self.cloud.stack(self.stack.id, with_outputs=False)
        with checks.refused("limit", "exceeds"):
            self._begin(weight="x" * _ABOVE_LIMIT, weights=1)
        require(self.cloud.stack(self.stack.id, with_outputs=False) == before, "the stack was changed")

    def many_pods(self) -> None:
        """Thirty pods in one deployment."""
        more = [guest_scripts.pod(f"pod-{number}") for number in range(_PODS - len(self.pods))]
        stack = self._with(*more, pods_deadline=700)
        require_complete(stack, "UPDATE")
        checks.require_pods(stack, [*self.pods, *more])

    def overtaken(self) -> None:
        """An update that is sent while another is under way."""
        self._begin(script=guest_scripts.SLOW.format(20))
        self._wait_until_begun()
        self._begin(script=guest_scripts.SLOW.format(1))
        self._answered()

    def rebooted(self) -> None:
        """The server is rebooted in the middle of a deployment."""
        self._begin(script=guest_scripts.COUNTED.format(name="rebooted", first="true"))
        self._wait_until_begun()
        self.cloud.reboot(str(self.stack.outputs["server"]), timeout_s=BOOT_S)
        self._answered("2")
        self.at_first = None

    def containerd_killed(self) -> None:
        """containerd is killed; the next pod starts all the same."""
        self._killed("containerd")

    def kubelet_killed(self) -> None:
        """So is the kubelet."""
        self._killed("kubelet")

    def agent_killed(self) -> None:
        """The agent, and the script that it runs, are killed in the middle of a deployment."""
        kill = "systemctl kill --signal=KILL os-collect-config"
        self._begin(script=guest_scripts.COUNTED.format(name="killed", first=kill))
        self._answered("2")

    def full_disk(self) -> None:
        """The disk is full for 45 s, in which pods are to change: it is done, or it is said."""
        require_complete(self._change(script=guest_scripts.FILL), "UPDATE")
        stack = self._with(guest_scripts.pod("no-room"))
        if stack.status != "UPDATE_COMPLETE":
            require_failed(stack, "No space left")
        time.sleep(45)

    def spoilt_files(self) -> None:
        """The agent's metadata is cut short, half a manifest lies about, and the agent is killed."""
        require_complete(self._change(script=guest_scripts.SPOIL), "UPDATE")
        time.sleep(5)
        require_complete(self._with(guest_scripts.pod("after-all"), script=guest_scripts.UNSPOIL), "UPDATE")

    def suspended(self) -> None:
        """The stack is suspended, and its pods end with it; resumed, they are there again."""
        require_complete(self.cloud.act(self.stack, "SUSPEND", timeout_s=BOOT_S), "SUSPEND")
        require(not self.answers(self.site), "the pods of a suspended stack answer")
        require_complete(self.cloud.act(self.stack, "RESUME", timeout_s=BOOT_S), "RESUME")
        self.at_first = None

    def _killed(self, program: str) -> None:
        require_complete(self._change(script=f"#!/bin/sh\npkill -KILL -x {program}\n"), "UPDATE")
        require_complete(self._with(guest_scripts.pod(f"after-{program}")), "UPDATE")

    def _fails_with_its_log(self, pod: dict[str, Any], why: str) -> None:
        stack = self._with(pod)
        require_failed(stack, why)
        require_failed(stack, "last words")

    def _is_as_before(self) -> None:
        names = {pod["metadata"]["name"] for pod in self.pods}
        for _ in range(_LOOKS):  # pods that an update takes away end after it
            stack = self._change()
            require_complete(stack, "UPDATE")
            now = checks.probe(stack)["pods"]
            if set(now) == names:
                break
        require(set(now) == names, f"the pods are {sorted(now)}, must be {sorted(names)}")
        if self.at_first is not None:
            checks.require_started_once(self.at_first, now)
        self.at_first = now

    def _answered(self, result: str = "") -> None:
        """The update that is under way ends well, with the script's answer."""
        stack = self.cloud.settled(self.stack.id, "UPDATE", timeout_s=BOOT_S)
        require_complete(stack, "UPDATE")
        said, wanted = str(stack.outputs["probe"]).strip(), result or str(self.count)
        require(said == wanted, f"the script's answer is {said!r}, must be {wanted!r}")

    def _wait_until_begun(self) -> None:
        """The script of the update that was sent last says on the console that it is at work."""
        words = f"begun {self.count}"
        self._becomes(lambda: words in self.cloud.console(self.stack.outputs["server"]), words)

    def _becomes(self, is_so: Callable[[], bool], what: str) -> None:
        def now() -> bool:
            with contextlib.suppress(CloudError):
                return is_so()
            return False

        try:
            wait.wait_until(now, timeout_s=240, interval_s=2)
        except wait.Deadline:
            raise VerificationError(f"no {what}") from None

    @contextlib.contextmanager
    def _closed(self, seconds: float) -> Iterator[None]:
        lifecycle.service("stop", "heat-api", cloud=self.name)
        try:
            time.sleep(seconds)
            yield
        finally:
            lifecycle.service("start", "heat-api", cloud=self.name)

    def _with(self, *more: dict[str, Any], **others: object) -> Stack:
        return self._change(pods=[*self.pods, *more], **others)

    def _change(self, **others: object) -> Stack:
        self._begin(**others)
        return self.cloud.settled(self.stack.id, "UPDATE", timeout_s=BOOT_S)

    def _begin(self, **others: object) -> None:
        template = inputs.template(_TEMPLATE)
        self.cloud.begin_update(self.stack, template, self._parameters(**others), timeout_s=BOOT_S)

    def _parameters(self, **others: object) -> dict[str, Any]:
        self.count += 1
        return {
            "image": self.image, "flavor": FLAVOR, "network": NETWORK, "pods": copy.deepcopy(self.pods),
            "script": self.probe, "reason": str(self.count), "polling_interval": _POLLING_S, **others,
        }  # fmt: skip
