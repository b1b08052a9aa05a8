# SPDX-License-Identifier: Apache-2.0
"""What the acceptance test accepts and rejects, on a fake cloud; integration/test_heat.py has a real one."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.core import build_folders
from goldsmith.errors import CloudError, SpecError, VerificationError
from goldsmith.heat import acceptance
from goldsmith.heat.acceptance import Options
from goldsmith.heat.outputs import Probe, Timing
from goldsmith.heat.report import JUNIT, VERDICT, Report, split
from goldsmith.heat.servers import Server
from goldsmith.heat.stacks import Stack
from goldsmith.verify import junit
from tests.support import samples

DIGEST = "sha256:11"
STEPS = ["image", "create", "update", "crashing pod", "roll back", "reboot", "new image", "delete"]


def pod(name: str) -> dict[str, Any]:
    container = {"name": "main", "image": "a.b/nginx:1"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container]},
    }


class FakeCloud:
    """Runs pods as a good image would; change() lets a test spoil a stack before it is shown."""

    name = "fake"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.images = FakeImages(self.calls)
        self.servers = FakeServers()
        self.stacks = FakeStacks(self)
        self.change: Callable[[str, dict[str, Any]], None] = lambda reason, stack: None
        self.left: list[str] = []

    def leftovers(self, name: str, *, servers: Collection[str] = ()) -> list[str]:
        assert len(name) == 6, "Heat cuts longer ones out of the names of servers"
        return self.left


class FakeImages:
    def __init__(self, calls: list[str]) -> None:
        self.calls = calls
        self.uploaded: dict[str, str] = {}

    def upload(self, path: Path, name: str) -> str:
        *words, mark, which = name.split()
        assert len(mark) == 6
        self.calls.append(f"upload {' '.join(words)} {which}")
        self.uploaded[f"id of {which}"] = name
        return f"id of {which}"

    def named(self, word: str) -> dict[str, str]:
        return {id_: name for id_, name in self.uploaded.items() if word in name}

    def delete(self, image: str) -> None:
        self.calls.append(f"delete image {image}")
        del self.uploaded[image]


class FakeServers:
    def __init__(self) -> None:
        self.boot = 1
        self.running: list[str] = []  # the images of the servers

    def all(self) -> list[Server]:
        return [
            Server(id=f"server of {image}", name="x", image=image, addresses=()) for image in self.running
        ]

    def reboot(self, server: str, *, timeout_s: float) -> None:
        self.boot += 1

    def console(self, server: str) -> str:
        return "the console\n"


class FakeStacks:
    def __init__(self, cloud: FakeCloud) -> None:
        self.cloud = cloud
        self.good: list[dict[str, Any]] = []

    def create(self, name: str, template: Path, parameters: Mapping[str, Any], *, timeout_s: float) -> Stack:
        assert template.exists()
        return self._stack("CREATE", parameters)

    def update(
        self, stack: Stack, template: Path, parameters: Mapping[str, Any], *, timeout_s: float
    ) -> Stack:
        return self._stack("UPDATE", parameters)

    def get(self, stack: str) -> Stack:
        raise CloudError("no such stack")

    def delete(self, stack: str, *, timeout_s: float) -> None:
        self.cloud.calls.append("delete stack")

    def _stack(self, action: str, parameters: Mapping[str, Any]) -> Stack:
        pods, reason = parameters["pods"], parameters["reason"]
        servers, uploaded = self.cloud.servers, self.cloud.images.uploaded
        servers.running = [id_ for id_, name in uploaded.items() if name == parameters["image"]]
        failure = self._failure(pods)
        if reason == "created" and action == "UPDATE":  # the script does not run in these
            reason = "crashed" if failure else "updated"
        self.good = self.good if failure else copy.deepcopy(pods)
        shown = {each["metadata"]["name"]: self._pod(each) for each in self.good}
        seen = {
            "schema": Probe.SCHEMA, "version": 1, "build": "build-1", "datasource": "config-disk (/dev/sr0)",
            "boot_id": str(servers.boot), "pods": copy.deepcopy(shown), "loop_cpu_s": 0.5,
            "imported_since_boot": 0, "signals_of_this_boot": [], "agent_cpu_s": 1.0,
            "passes_cpu_s": [1.0],
        }  # fmt: skip
        stack = {
            "status": f"{action}_FAILED" if failure else f"{action}_COMPLETE",
            "outputs": {
                "server": f"server of {servers.running[0]}", "addresses": {"net": ["10.0.0.1"]},
                "pods": shown, "failure": failure,
                "pod_uids": {name: each["uid"] for name, each in shown.items()},
                "stats": {name: {} for name in shown}, "said": "put back" if failure else "fine",
                "timing": {"begun_at": 1.0, "written_at": 2.0, "ready_at": 5.0}, "probe": seen,
            },
        }  # fmt: skip
        self.cloud.change(reason, stack)
        stack["outputs"]["probe"] = json.dumps(stack["outputs"]["probe"])  # type: ignore[index]
        return Stack(id="1", name="x", reason="", **stack)  # type: ignore[arg-type]

    @staticmethod
    def _failure(pods: list[dict[str, Any]]) -> str:
        containers = [(each["metadata"]["name"], each["spec"]["containers"][0]) for each in pods]
        for name, container in containers:
            if container.get("command") == ["/nowhere"]:
                return f"pod {name}: container main cannot start: RunContainerError"
        return ""

    @staticmethod
    def _pod(manifest: dict[str, Any]) -> dict[str, Any]:
        uid = hashlib.sha256(json.dumps(manifest).encode()).hexdigest()[:8]
        main = {"ready": True, "image": "a.b/nginx:1", "image_digest": DIGEST, "started_at": f"at {uid}"}
        return {"uid": uid, "containers": {"main": main}}


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A verified build with two pods."""
    folder = tmp_path / "out" / "mine" / "build-1"
    folder.mkdir(parents=True)
    (folder / "disk.qcow2").write_bytes(b"disk")
    samples.write(folder, samples.manifest(build_id="build-1", disks=[samples.disk("disk.qcow2", b"disk")]))
    spec = {"name": "mine", "heat-agent": {"hooks": ["kubelet"]}, "verify": {"pods": [pod("web"), pod("db")]}}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    lock = samples.images_lock(samples.image("a.b/nginx:1", digest=DIGEST))
    (folder / "images.lock.json").write_text(json.dumps(lock))
    (tmp_path / "out" / "mine" / "latest").symlink_to("build-1")
    return folder


def accept(build: Path, cloud: FakeCloud) -> Report:
    return acceptance.run(build, cloud, Options(flavor="golden"))  # type: ignore[arg-type]


def verdict(build: Path) -> dict[str, Any]:
    return dict(json.loads((build / VERDICT).read_text()))


def test_a_good_image_passes_every_step_and_leaves_nothing(build: Path) -> None:
    cloud = FakeCloud()

    report = accept(build, cloud)

    assert report.passed
    assert [step["name"] for step in verdict(build)["steps"]] == STEPS
    assert verdict(build)["result"] == "passed"
    assert (
        verdict(build)["manifest_sha256"]
        == hashlib.sha256((build / "manifest.json").read_bytes()).hexdigest()
    )
    assert cloud.calls == [
        "upload mine build-1 first", "upload mine build-1 second", "delete stack",
        "delete image id of first", "delete image id of second",
    ]  # fmt: skip
    assert junit.count(build / JUNIT).tests == len(STEPS)


def in_outputs(*path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(stack: dict[str, Any]) -> None:
        found = stack["outputs"]
        for key in path[:-1]:
            found = found[key]
        found[path[-1]] = value

    return change


def status(value: str) -> Callable[[dict[str, Any]], None]:
    return lambda stack: stack.update(status=value)


@pytest.mark.parametrize(
    ("reason", "spoil", "step", "message"),
    [
        ("created", status("CREATE_FAILED"), "create", "CREATE_FAILED"),
        (
            "created",
            in_outputs("probe", "build", value="other"),
            "create",
            "the server was launched from the build other",
        ),
        (
            "created",
            in_outputs("probe", "datasource", value="metadata (http://169.254.169.254)"),
            "create",
            "the server's datasource is metadata",
        ),
        ("created", in_outputs("addresses", value={}), "create", "no address"),
        ("created", in_outputs("pods", value={}), "create", "the pods are []"),
        (
            "created",
            in_outputs("pods", "web", "containers", "main", "ready", value=False),
            "create",
            "not ready",
        ),
        (
            "created",
            in_outputs("pods", "web", "containers", "main", "image_digest", value="x"),
            "create",
            "runs x",
        ),
        ("created", in_outputs("stats", value={"db": {}}), "create", "has no figures of ['web']"),
        ("updated", in_outputs("pod_uids", "web", value="new"), "update", "got another UID: ['web']"),
        ("crashed", status("UPDATE_COMPLETE"), "crashing pod", "an update that must fail is UPDATE_COMPLETE"),
        (
            "crashed",
            in_outputs("failure", value="no"),
            "crashing pod",
            "does not give its reason 'pod crashing: container': 'no'",
        ),
        (
            "crashed",
            in_outputs("said", value="oops"),
            "crashing pod",
            "did not report that it restored the pods: 'oops'",
        ),
        (
            "crashed",
            in_outputs("timing", "ready_at", value=400.0),
            "crashing pod",
            "was reported after 398 s",
        ),
        ("rolled back", in_outputs("pod_uids", "web", value="new"), "roll back", "the pods got other UIDs"),
        (
            "rolled back",
            in_outputs("probe", "pods", "web", "containers", "main", "started_at", value="later"),
            "roll back",
            "containers of the pod web were restarted",
        ),
        ("rebooted", in_outputs("probe", "boot_id", value="1"), "reboot", "the server was not rebooted"),
        (
            "rebooted",
            in_outputs("probe", "pods", "web", "uid", value="x"),
            "reboot",
            "other pods run after the reboot",
        ),
        (
            "rebooted",
            in_outputs("probe", "imported_since_boot", value=3),
            "reboot",
            "3 blobs were imported again",
        ),
        (
            "rebooted",
            in_outputs("probe", "signals_of_this_boot", value=["x"]),
            "reboot",
            "the agent signalled again",
        ),
        ("replaced", status("UPDATE_FAILED"), "new image", "UPDATE_FAILED"),
        ("replaced", in_outputs("pods", value={}), "new image", "the pods are []"),
        (
            "replaced",
            in_outputs("server", value="server of id of first"),
            "new image",
            "Heat did not replace",
        ),
        ("replaced", in_outputs("server", value="another"), "new image", "the new server has the image None"),
    ],
)
def test_each_fault_is_found(
    build: Path, reason: str, spoil: Callable[[dict[str, Any]], None], step: str, message: str
) -> None:
    cloud = FakeCloud()
    cloud.change = lambda now, stack: spoil(stack) if now == reason else None

    with pytest.raises(VerificationError):
        accept(build, cloud)

    failed = {each["name"]: each["failed"] for each in verdict(build)["steps"] if each["failed"]}
    assert list(failed) == [step]
    assert message in failed[step]
    assert "delete stack" in cloud.calls
    assert cloud.images.uploaded == {}, "everything is removed all the same"
    assert (build / acceptance.CONSOLE).read_text() == "the console\n"
    assert junit.count(build / JUNIT).failed


def test_a_replaced_server_that_stays_is_a_failure(build: Path) -> None:
    cloud = FakeCloud()

    def stays(reason: str, stack: dict[str, Any]) -> None:
        if reason == "replaced":
            cloud.servers.running.append("id of first")

    cloud.change = stays
    with pytest.raises(VerificationError, match="the replaced server server of id of first still exists"):
        accept(build, cloud)


def test_an_image_whose_upload_was_interrupted_is_removed(build: Path) -> None:
    cloud = FakeCloud()
    upload = cloud.images.upload

    def cut_off(path: Path, name: str) -> str:
        upload(path, name)
        raise KeyboardInterrupt

    cloud.images.upload = cut_off  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        accept(build, cloud)
    assert cloud.images.uploaded == {}


def test_leftovers_in_the_cloud_are_a_failure(build: Path) -> None:
    cloud = FakeCloud()
    cloud.left = ["port x"]

    with pytest.raises(VerificationError, match="left in the cloud: port x"):
        accept(build, cloud)


def test_an_image_that_differs_from_its_manifest_is_not_uploaded(build: Path) -> None:
    (build / "disk.qcow2").write_bytes(b"other")
    cloud = FakeCloud()

    with pytest.raises(VerificationError, match="has another sha256 than its manifest says"):
        accept(build, cloud)
    assert cloud.calls == []


def test_a_spec_without_an_agent_or_pods_is_refused(build: Path) -> None:
    (build / "spec.yaml").write_text("name: mine\nverify: {pods: [{}]}\n")

    with pytest.raises(SpecError, match="mine has no Heat agent"):
        accept(build, FakeCloud())


def test_without_a_verified_build_the_hint_is_the_next_command(build: Path, tmp_path: Path) -> None:
    assert build_folders.find_build(tmp_path / "out", "mine") == build
    with pytest.raises(SpecError) as e:
        build_folders.find_build(tmp_path / "out", "other")
    assert str(e.value.hint).startswith("run: scripts/inv build-image other")


def test_an_update_is_split_into_what_took_its_time() -> None:
    timing = Timing(begun_at=103.0, written_at=103.5, ready_at=110.0)

    assert split(100.0, timing, 112.0) == {
        "polling": 3.0, "checking and writing": 0.5, "kubelet": 6.5, "signal and Heat": 2.0,
        "total": 12.0,
    }  # fmt: skip
