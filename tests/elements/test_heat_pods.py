# SPDX-License-Identifier: Apache-2.0
"""The hook for pods against a node that does what a test says, without one second of waiting."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from heat_config import given, record
from heat_pods import check, hook, manifests, node, request, watch
from heat_pods.hook import Place

from goldsmith.kubernetes import pod_schema

NGINX = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "main", "image": "a.b/nginx:1"}]},
}  # fmt: skip


def pod(name: str, image: str = "a.b/nginx:1", **container: object) -> dict[str, Any]:
    main = {"name": "main", "image": image, **container}
    return {**NGINX, "metadata": {"name": name}, "spec": {"containers": [main]}}


def pod_with(**spec: object) -> dict[str, Any]:
    return {**NGINX, "spec": {**NGINX["spec"], **spec}}  # type: ignore[dict-item]


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeNode:
    """Runs what the manifests say; state(name, age in seconds) is the status of a pod's container."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder, self.clock = folder, clock
        self.stored = {"a.b/nginx:1", "a.b/redis:1"}
        self.states: dict[str, Callable[[float], dict[str, Any]]] = {}
        self.begun: dict[str, float] = {}
        self.silent_until = 0.0
        self.lingering: set[str] = set()

    def pods(self) -> list[dict[str, Any]]:
        if self.clock.now < self.silent_until:
            raise node.Unreachable("the kubelet does not answer: refused")
        return [self._pod(path) for path in sorted(self.folder.glob("[!.]*"))]

    def _pod(self, path: Path) -> dict[str, Any]:
        manifest = json.loads(path.read_text())
        metadata = manifest["metadata"]
        uid = metadata["annotations"][manifests.HASH_ANNOTATION][:8]
        age = self.clock.now - self.begun.setdefault(uid, self.clock.now)
        name = metadata["name"]
        status = self.states.get(name, ready_after(2))(age)
        return {
            **manifest, "metadata": {**metadata, "uid": uid, "name": f"{name}-node"}, "status": status,
        }  # fmt: skip

    def running(self) -> set[str]:
        return {found["metadata"]["uid"] for found in self.pods()} | self.lingering

    def stats(self) -> dict[str, Any]:
        return {
            "pods": [
                {"podRef": {"uid": found["metadata"]["uid"]}, "network": {"rxBytes": 5},
                 "containers": [{"name": "main", "cpu": {"usageCoreNanoSeconds": 7}}]}
                for found in self.pods()
            ]
        }  # fmt: skip

    def log(self, namespace: str, pod: str, container: str) -> str:
        return f"{namespace}/{pod}/{container} says why\n"

    def said_of(self, file: str) -> str:
        return f"refused: {file}"

    def images(self) -> set[str]:
        return self.stored


def container(state: dict[str, Any], **more: object) -> dict[str, Any]:
    image = "a.b/nginx@sha256:11"
    return {"name": "main", "ready": False, "restartCount": 0, "image": "a.b/nginx:1", "imageID": image,
            "state": state, **more}  # fmt: skip


def status(is_ready: bool, each: dict[str, Any], phase: str = "Running") -> dict[str, Any]:
    return {
        "phase": phase, "podIP": "10.88.0.5", "containerStatuses": [each],
        "conditions": [{"type": "Ready", "status": str(is_ready)}],
    }  # fmt: skip


def ready_after(seconds: float) -> Callable[[float], dict[str, Any]]:
    def state(age: float) -> dict[str, Any]:
        return status(age >= seconds, container({"running": {}}, ready=age >= seconds))

    return state


def waits(reason: str, restarts: int = 0) -> Callable[[float], dict[str, Any]]:
    last = {"terminated": {"exitCode": 9, "reason": "Error"}} if restarts else {}
    each = container({"waiting": {"reason": reason}}, restartCount=restarts, lastState=last)

    def first_none(age: float) -> dict[str, Any]:
        return status(False, each if age >= 2 else container({"waiting": {}}))

    return first_none


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (watch, node):
        monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
        monkeypatch.setattr(module.time, "sleep", clock.sleep)
    return clock


@pytest.fixture
def fake_node(tmp_path: Path, clock: Clock) -> FakeNode:
    return FakeNode(tmp_path / "manifests", clock)


@pytest.fixture
def place(tmp_path: Path, fake_node: FakeNode) -> Place:
    return Place(
        node=fake_node,
        manifests=tmp_path / "manifests",
        state=tmp_path / "state",
        schema=tmp_path / "schema",
        lock=tmp_path / "lock",
    )


def deploy(
    place: Place, config: object, action: str = "CREATE", name: str = "pods", **inputs: object
) -> dict[str, Any]:
    values = {
        "deploy_stack_id": "one/11112222333",
        "deploy_resource_name": name,
        "deploy_action": action,
        **inputs,
    }
    listed = [{"name": key, "value": value} for key, value in values.items()]
    return hook.answer({"id": "x", "config": config, "inputs": listed}, place)


def files(place: Place) -> dict[str, tuple[int, str]]:
    """Inode and text of each manifest."""
    return {path.name: (path.stat().st_ino, path.read_text()) for path in place.manifests.glob("*")}


def names(place: Place) -> list[str]:
    """Names of the manifests, without the part that makes each unique."""
    return sorted(re.sub(r"\.[0-9a-f]{12}\.json$", "", name) for name in files(place))


def inode_of(place: Place, name: str) -> int:
    (found,) = (inode for file, (inode, _) in files(place).items() if file.startswith(f"{name}."))
    return found


# Bringing pods up


def test_a_pod_is_written_watched_and_reported(place: Place) -> None:
    answer = deploy(place, NGINX)

    assert answer["deploy_status_code"] == 0, answer["deploy_stderr"]
    assert names(place) == ["heat-11112222-pods.web"]
    assert answer["seconds_to_ready"] == 2
    assert answer["pod_names"] == ["web"]
    assert answer["pods"]["web"]["ip"] == "10.88.0.5"
    assert answer["pods"]["web"]["containers"]["main"]["image_digest"] == "sha256:11"
    assert answer["stats"]["web"]["containers"]["main"]["cpu_ns"] == 7


@pytest.mark.parametrize(
    "config",
    [
        [pod("one"), pod("two")],
        {"apiVersion": "v1", "kind": "List", "items": [pod("one"), pod("two")]},
        yaml.safe_dump([pod("one"), pod("two")]),
        yaml.safe_dump_all([pod("one"), pod("two")]),
        json.dumps({"kind": "PodList", "items": [pod("one"), pod("two")]}),
    ],
)
def test_pods_come_in_each_form(place: Place, config: object) -> None:
    assert deploy(place, config)["pod_names"] == ["one", "two"]


def test_inputs_stand_where_the_config_asks_for_them(place: Place) -> None:
    config = yaml.safe_dump(pod("web", env=[{"name": "GREETING", "value": {"get_input": "greeting"}}]))

    assert deploy(place, config, greeting="hello")["deploy_status_code"] == 0
    ((_, text),) = files(place).values()
    assert json.loads(text)["spec"]["containers"][0]["env"][0]["value"] == "hello"
    assert "'greeting', which is not given" in deploy(place, config)["deploy_stderr"]


def test_a_pod_that_did_not_change_is_not_touched(place: Place) -> None:
    before = deploy(place, [pod("same"), pod("other")])
    inode = inode_of(place, "heat-11112222-pods.same")

    after = deploy(place, [pod("same"), pod("other", image="a.b/redis:1")], "UPDATE")

    assert inode_of(place, "heat-11112222-pods.same") == inode
    assert after["pod_uids"]["same"] == before["pod_uids"]["same"]
    assert after["pod_uids"]["other"] != before["pod_uids"]["other"]


def test_a_pod_that_an_update_leaves_out_ends(place: Place) -> None:
    deploy(place, [pod("one"), pod("two")])

    assert deploy(place, [pod("two")], "UPDATE")["pod_names"] == ["two"]
    assert names(place) == ["heat-11112222-pods.two"]


@pytest.mark.parametrize(
    "config",
    [
        "[" * 5000 + "]" * 5000,
        "&a [*a]",
        "{kind: List, items: 5}",
        "{kind: List, items: {a: 1}}",
        "a: &a {b: *a}",
    ],
)
def test_odd_configs_are_refused_with_a_reason(place: Place, config: str) -> None:
    answer = deploy(place, config)

    assert answer["deploy_status_code"] == 1
    assert answer["deploy_stderr"]
    assert files(place) == {}


def on_port(name: str, port: int = 80, **more: object) -> dict[str, Any]:
    return pod(name, ports=[{"containerPort": 8080, "hostPort": port}], **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([on_port("old")], [on_port("new")]),
        ([on_port("one", 80), on_port("two", 81)], [on_port("one", 81), on_port("two", 80)]),
        ([on_port("keeps", 81), on_port("old")], [on_port("keeps", 81), on_port("new"), on_port("more", 82)]),
    ],
    ids=["renamed", "swapped", "beside another"],
)
def test_a_pod_gets_a_port_of_the_host_once_the_one_that_had_it_has_ended(
    place: Place, fake_node: FakeNode, before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    """The kubelet refuses a pod for good whose port another one still has."""
    first = deploy(place, before)
    kept = {each["metadata"]["name"] for each in before if each in after}
    leaving = {uid for name, uid in first["pod_uids"].items() if name not in kept}
    fake_node.lingering = set(leaving)
    seen: list[list[str]] = []
    running = fake_node.running

    def watched() -> set[str]:
        seen.append([name.rpartition(".")[2] for name in names(place)])
        if len(seen) > 3:
            fake_node.lingering = set()
        return running()

    fake_node.running = watched  # type: ignore[method-assign]

    answer = deploy(place, after, "UPDATE")

    assert answer["deploy_status_code"] == 0, answer["deploy_stderr"]
    assert seen[:4] == [sorted(kept)] * 4, "the others were removed, and nothing new is there"
    assert answer["pod_names"] == sorted(each["metadata"]["name"] for each in after)
    assert all(answer["pod_uids"][name] == first["pod_uids"][name] for name in kept)


def test_a_port_is_given_back_when_its_new_pod_fails(place: Place, fake_node: FakeNode) -> None:
    deploy(place, [on_port("old")])
    fake_node.states["new"] = waits("ErrImageNeverPull")

    answer = deploy(place, [on_port("new")], "UPDATE")

    assert answer["deploy_status_code"] == 1
    assert "put back, and ready again" in answer["deploy_stdout"]
    assert names(place) == ["heat-11112222-pods.old"]


def test_two_deployments_whose_names_look_alike_have_files_of_their_own(place: Place) -> None:
    deploy(place, [pod("one")], name="web_a")
    deploy(place, [pod("two")], name="web-a")
    same = deploy(place, [pod("one" + "x" * 180)], name="web" * 60)

    assert same["deploy_status_code"] == 0, same["deploy_stderr"]
    assert len(files(place)) == 3
    assert max(len(name) for name in files(place)) < 200


def test_a_pod_without_a_probe_must_stay_ready_for_a_while(place: Place, fake_node: FakeNode) -> None:
    """Such a pod is ready the moment it starts, and this one dies a second later."""

    def dies(age: float) -> dict[str, Any]:
        if age < 2:
            return status(True, container({"running": {}}, ready=True))
        ended = {"terminated": {"exitCode": 1, "reason": "Error"}}
        return status(False, container(ended), phase="Failed")

    fake_node.states["web"] = dies

    answer = deploy(place, NGINX)

    assert answer["deploy_status_code"] == 1
    assert "pod web: container main ended with exit code 1: Error" in answer["deploy_stderr"]


def test_a_pod_that_ends_well_is_good(place: Place, fake_node: FakeNode) -> None:
    ended = container({"terminated": {"exitCode": 0}})
    fake_node.states["web"] = lambda _: status(False, ended, phase="Succeeded")

    assert deploy(place, NGINX)["deploy_status_code"] == 0


def test_a_kubelet_that_is_being_restarted_is_waited_for(place: Place, fake_node: FakeNode) -> None:
    fake_node.silent_until = fake_node.clock.now + 30

    assert deploy(place, NGINX)["deploy_status_code"] == 0


def test_an_embedded_image_is_called_by_the_digest_of_its_manifest(place: Place) -> None:
    lock = {"images": [{"config_digest": "sha256:11", "digest": "sha256:99"}]}
    place.lock.write_text(json.dumps(lock))

    assert deploy(place, NGINX)["pods"]["web"]["containers"]["main"]["image_digest"] == "sha256:99"


# Failures


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (waits("ErrImageNeverPull"), "container main, image a.b/nginx:1, cannot start: ErrImageNeverPull"),
        (
            waits("CrashLoopBackOff", restarts=3),
            "container main crashed 3 times, last with exit code 9: Error",
        ),
        (waits("RunContainerError", restarts=1), "cannot start: RunContainerError"),
        (waits("ImagePullBackOff"), "image a.b/nginx:1, cannot start: ImagePullBackOff"),
        (lambda _: {"phase": "Failed", "reason": "OutOfmemory"}, "pod web: it failed: OutOfmemory"),
    ],
)
def test_a_failure_is_found_before_the_deadline(
    place: Place, fake_node: FakeNode, state: Callable[[float], dict[str, Any]], line: str
) -> None:
    fake_node.states["web"] = state
    start = fake_node.clock.now

    answer = deploy(place, NGINX)

    assert answer["deploy_status_code"] == 1
    assert line in answer["deploy_stderr"]
    assert fake_node.clock.now - start < 30
    assert files(place) == {}, "there was nothing before, so nothing stays"
    assert answer["pods"]["web"], "what was seen of it is told all the same"


def test_a_runtime_that_is_being_restarted_fails_nothing(place: Place, fake_node: FakeNode) -> None:
    def state(age: float) -> dict[str, Any]:
        return waits("CreateContainerError")(age) if age < 15 else ready_after(0)(age)

    fake_node.states["web"] = state

    assert deploy(place, NGINX)["deploy_status_code"] == 0


def test_a_sandbox_that_has_ended_is_the_kubelets_to_mend(place: Place, fake_node: FakeNode) -> None:
    """Seen with thirty pods in a slow server; runc's words."""
    why = "runc create failed: unable to create new parent process: namespace path: lstat /proc/0/ns/ipc: no"
    stuck = container({"waiting": {"reason": "RunContainerError", "message": why}})
    fake_node.states["web"] = lambda age: status(False, stuck) if age < 60 else ready_after(0)(age)

    assert deploy(place, NGINX)["deploy_status_code"] == 0


def test_the_last_lines_of_what_failed_are_told(place: Place, fake_node: FakeNode) -> None:
    fake_node.states["web"] = waits("CrashLoopBackOff", restarts=3)

    said = deploy(place, NGINX)["deploy_stderr"]

    assert said.endswith("last lines of web/main:\n  default/web-node/main says why")


def test_a_probe_that_never_succeeds_ends_at_the_deadline(place: Place, fake_node: FakeNode) -> None:
    fake_node.states["web"] = ready_after(1e9)
    start = fake_node.clock.now

    answer = deploy(place, pod("web", readinessProbe={"exec": {"command": ["false"]}}), pods_deadline="20")

    assert "its readinessProbe does not succeed, after 20 s" in answer["deploy_stderr"]
    assert 20 <= fake_node.clock.now - start < 30


def test_a_pod_that_the_kubelet_does_not_take_is_said(place: Place, fake_node: FakeNode) -> None:
    fake_node.pods = list  # type: ignore[method-assign]

    said = deploy(place, NGINX, pods_deadline=20)["deploy_stderr"]

    assert "pod web: the kubelet has not taken it up after 20 s\n" in said
    assert re.search(r"the kubelet on (heat-11112222-pods\.web\.\w+\.json):\n  refused: \1", said)


def test_a_failed_update_puts_back_the_pods_that_ran(place: Place, fake_node: FakeNode) -> None:
    deploy(place, [pod("one"), pod("two")])
    before = {name: text for name, (_, text) in files(place).items()}
    fake_node.states["three"] = waits("CrashLoopBackOff", restarts=3)

    answer = deploy(place, [pod("one", image="a.b/redis:1"), pod("three")], "UPDATE")

    assert {name: text for name, (_, text) in files(place).items()} == before
    assert answer["deploy_status_code"] == 1
    assert answer["deploy_stdout"] == "the 2 pods that were there before are put back, and ready again"


def test_a_hook_that_was_killed_in_the_middle_still_knows_the_last_good_pods(
    place: Place, fake_node: FakeNode
) -> None:
    deploy(place, pod("one"))
    before = {name: text for name, (_, text) in files(place).items()}
    manifests.Folder(place.manifests, place.state).set(
        "one/11112222333/pods", manifests.render([pod("bad")], key="one/11112222333/pods", label="x")
    )
    fake_node.states["bad"] = waits("ErrImageNeverPull")

    deploy(place, pod("bad"), "UPDATE")

    assert {name: text for name, (_, text) in files(place).items()} == before


def test_a_refusal_after_a_change_that_was_cut_off_puts_back_the_pods_that_ran(
    place: Place, fake_node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(place, pod("one"))
    before = {name: text for name, (_, text) in files(place).items()}

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(watch, "until_ready", killed)
        with pytest.raises(KeyboardInterrupt):
            deploy(place, pod("cut-off"), "UPDATE")
    assert names(place) == ["heat-11112222-pods.cut-off"]

    answer = deploy(place, pod("bad", image="a.b/none:1"), "UPDATE")

    assert "not embedded" in answer["deploy_stderr"]
    assert "put back, and ready again" in answer["deploy_stdout"]
    assert {name: text for name, (_, text) in files(place).items()} == before
    assert deploy(place, pod("bad", image="a.b/none:1"), "UPDATE")["deploy_stdout"] == "", "once is enough"


def test_a_refusal_does_not_wake_pods_that_were_told_to_rest(place: Place, fake_node: FakeNode) -> None:
    deploy(place, pod("one"))
    fake_node.states["bad"] = waits("ErrImageNeverPull")
    deploy(place, pod("bad"), "UPDATE")
    deploy(place, pod("one"), "SUSPEND")

    deploy(place, pod("bad", image="a.b/none:1"), "RESUME")

    assert files(place) == {}


def test_pods_that_were_not_ready_for_long_enough_are_a_failure(place: Place) -> None:
    answer = deploy(place, NGINX, pods_deadline=5, min_ready_seconds=60)

    assert answer["deploy_status_code"] == 1
    assert "not for min_ready_seconds" in answer["deploy_stderr"]


def test_a_full_disk_leaves_the_pods_that_ran(
    place: Place, fake_node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(place, pod("one"))
    before = {name: text for name, (_, text) in files(place).items()}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device", "manifest")

    monkeypatch.setattr(os, "fsync", full)
    answer = deploy(place, pod("one", image="a.b/redis:1"), "UPDATE")

    assert answer["deploy_stderr"] == "cannot write: No space left on device (manifest)"
    assert {name: text for name, (_, text) in files(place).items()} == before
    assert not list(place.manifests.glob(".*"))


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the file system, in order: "unlink NAME", "rename NAME" (the new one), "sync NAME"."""
    events: list[str] = []
    unlink, replace, fsync = os.unlink, os.replace, os.fsync

    def unlinked(path: Path, **options: Any) -> None:
        unlink(path, **options)
        events.append(f"unlink {Path(path).suffix}")

    def replaced(source: Path, target: Path) -> None:
        replace(source, target)
        events.append(f"rename {Path(target).suffix}")

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        events.append(f"sync {path.name if path.is_dir() else path.suffix}")

    monkeypatch.setattr(os, "unlink", unlinked)
    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(os, "fsync", synced)
    return events


def test_a_power_failure_keeps_the_good_set_and_the_pods_in_order(place: Place, on_disk: list[str]) -> None:
    place.manifests.mkdir()
    place.state.mkdir()
    manifest = ["sync .new", "rename .json", f"sync {place.manifests.name}"]
    prepared = ["sync .new", "rename .prepared", f"sync {place.state.name}"]
    good = ["rename .json", f"sync {place.state.name}"]

    deploy(place, pod("one"))

    assert on_disk == [*prepared, *manifest, *good]


def test_a_power_failure_brings_no_pod_back_whose_manifest_was_removed(
    place: Place, on_disk: list[str]
) -> None:
    deploy(place, [pod("one"), pod("two")])
    on_disk.clear()

    manifests.Folder(place.manifests, place.state).forget("one/11112222333/pods")

    assert on_disk == [
        "unlink .json", "unlink .json", f"sync {place.manifests.name}",
        "unlink .json", f"sync {place.state.name}",
    ]  # fmt: skip


def test_a_folder_that_is_made_is_known_to_the_disk(tmp_path: Path, on_disk: list[str]) -> None:
    record.make_folder_durably(tmp_path / "a/b", mode=0o700)
    record.make_folder_durably(tmp_path / "a/b", mode=0o700)

    assert on_disk == [f"sync {tmp_path.name}", "sync a"]
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o700


def test_a_disk_without_room_for_the_good_set_is_found_before_anything_runs(place: Place) -> None:
    deploy(place, pod("one"))
    before = files(place)
    place.state.rename(place.state.with_name("away"))
    place.state.write_text("no folder can be made here")

    answer = deploy(place, pod("one", image="a.b/redis:1"), "UPDATE")

    assert answer["deploy_stderr"].startswith("cannot write: ")
    assert files(place) == before


# What is refused before anything is written


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("a: [", "the config is no YAML"),
        ("just text", "the config must be pods, got 'just text'"),
        ({**NGINX, "kind": "Deployment"}, "must be of kind Pod and apiVersion v1, got 'Deployment'"),
        (pod("Web_1"), "metadata.name must be lower case letters"),
        ({**NGINX, "spec": {}}, "spec.containers must be a list with a container in it"),
        (pod("web", image=""), "spec.containers[0].image must be text"),
        ([pod("web"), pod("web")], "pod web: its name stands twice"),
        (pod("web", image="a.b/other:1"), "container main: the image a.b/other:1 is not embedded"),
        (
            pod("web", imagePullPolicy="Always"),
            "a.b/nginx:1 is embedded; write imagePullPolicy: IfNotPresent",
        ),
        (pod("web", envFrom=[{"secretRef": {"name": "x"}}]), "secretRef needs an API server"),
        (pod_with(imagePullSecrets=[{"name": "x"}]), "spec.imagePullSecrets needs an API server"),
        (pod_with(serviceAccountName="x"), "spec.serviceAccountName needs an API server"),
        (
            pod_with(volumes=[{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "x"}}}]),
            "volume v: nodePublishSecretRef needs an API server",
        ),
        (pod_with(volumes=[{"name": "v", "emptyDir": {}}] * 2), "two volumes are called v"),
        (pod_with(initContainers=pod("web")["spec"]["containers"]), "two containers are called main"),
        (pod("web", volumeMounts=[{"name": "v", "mountPath": "/v"}]), "container main: there is no volume v"),
        ("when: 2024-99-99", "the config is no YAML: month must be in"),
    ],
)
def test_what_cannot_run_is_refused(place: Place, config: object, line: str) -> None:
    deploy(place, pod("ran", image="a.b/redis:1"))
    before = files(place)

    answer = deploy(place, config, "UPDATE")

    assert answer["deploy_status_code"] == 1
    assert line in answer["deploy_stderr"]
    assert files(place) == before


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (pod("web", env=["A=1"]), "spec.containers[0].env must be a list of mappings, got \"['A=1']\""),
        (pod("web", env={"A": 1}), "spec.containers[0].env must be a list of mappings"),
        (
            pod("web", env=[{"name": "A", "valueFrom": "x"}]),
            "containers[0].env[0].valueFrom must be a mapping",
        ),
        (pod("web", env=[{"name": "A", "valueFrom": 5}]), "containers[0].env[0].valueFrom must be a mapping"),
        (pod("web", envFrom=[5]), "spec.containers[0].envFrom must be a list of mappings"),
        (pod("web", ports="x"), "spec.containers[0].ports must be a list of mappings, got 'x'"),
        (pod("web", volumeMounts=["data"]), "spec.containers[0].volumeMounts must be a list of mappings"),
        (pod("web", ports=[{"hostPort": ["1"]}]), "spec.containers[0].ports[0].hostPort must be a number"),
        (
            {**NGINX, "metadata": {"name": "a", "annotations": ["x"]}},
            "metadata.annotations must be a mapping",
        ),
        (pod_with(volumes=["data"]), "spec.volumes must be a list of mappings"),
        (pod_with(volumes="data"), "spec.volumes must be a list of mappings, got 'data'"),
        (pod_with(initContainers=5), "spec.initContainers must be a list of mappings, got '5'"),
        (pod_with(initContainers=["x", {"name": "a"}]), "spec.initContainers[1].image must be text"),
        (pod_with(containers=[5]), "spec.containers must be a list of mappings"),
    ],
)
def test_wrong_forms_are_said_also_without_the_kubelets_schema(
    place: Place, config: object, line: str
) -> None:
    assert line in deploy(place, config)["deploy_stderr"]
    assert files(place) == {}


def test_options_are_refused_and_the_inputs_named(place: Place) -> None:
    values = [{"name": "deploy_action", "value": "DELETE"}]
    asked = {"id": "a", "name": "pods", "config": [NGINX], "options": {"containers_timeout": 9}}

    refused = hook.answer(asked, place)
    ended = hook.answer({**asked, "inputs": values}, place)

    assert refused["deploy_status_code"] == 1
    assert "no options, got containers_timeout; it has inputs: pods_deadline, " in refused["deploy_stderr"]
    assert ended["deploy_status_code"] == 0
    assert names(place) == []


def test_every_problem_is_said_at_once(place: Place) -> None:
    answer = deploy(place, [pod("one", image="x"), pod("two", image="y")])

    assert "image x is not embedded" in answer["deploy_stderr"]
    assert "image y is not embedded" in answer["deploy_stderr"]


def test_two_deployments_cannot_have_one_pod(place: Place) -> None:
    deploy(place, pod("web"), name="first")

    answer = deploy(place, pod("web", image="a.b/redis:1"), name="second")

    assert answer["deploy_stderr"] == "pod web: the name is taken by one/11112222333/first"
    assert len(files(place)) == 1


def test_a_manifest_that_somebody_wrote_as_yaml_has_its_name_too(place: Place) -> None:
    place.manifests.mkdir()
    (place.manifests / "own.yaml").write_text(yaml.safe_dump(NGINX))

    assert "pod web: the name is taken by a manifest of the image" in deploy(place, NGINX)["deploy_stderr"]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000 + "]" * 50_000, '{"a":' * 50_000 + "1" + "}" * 50_000, "a: " + "[" * 5000 + "]" * 5000,
        '{"metadata": {"name": "x", "annotations": {"goldsmith.heat/deployment": [1]}}}',
        '{"metadata": {"name": ["x"], "annotations": []}}', "a: &a [*a]", "!!python/tuple [1]",
    ],
    ids=range(7),
)  # fmt: skip
def test_an_odd_manifest_of_somebody_else_hides_no_other(place: Place, text: str) -> None:
    deploy(place, pod("web"), name="first")
    (place.manifests / "a.yaml").write_text(text)
    folder = manifests.Folder(place.manifests, place.state)

    assert folder.keys() == {"one/11112222333/first"}
    assert folder.names_of_others("")["default", "web"] == "one/11112222333/first"


def test_names_that_look_alike_are_no_file_of_another_deployment(place: Place) -> None:
    deploy(place, pod("api-x"), name="web")
    deploy(place, pod("x"), name="web-api")

    assert len(files(place)) == 2


def test_images_may_come_from_a_registry_if_that_is_said(place: Place) -> None:
    assert deploy(place, pod("web", image="a.b/other:1"), allow_pull="true")["deploy_status_code"] == 0


def test_an_input_that_is_no_number_is_said(place: Place) -> None:
    said = deploy(place, NGINX, pods_deadline="soon")["deploy_stderr"]

    assert said == "the input pods_deadline must be a number, got 'soon'"


def test_pods_are_held_to_the_schema_of_the_kubelet(place: Place) -> None:
    swagger = {
        "definitions": {
            "io.k8s.api.core.v1.Pod": {
                "description": "x", "type": "object",
                "properties": {
                    "apiVersion": {"type": "string"}, "kind": {"type": "string"},
                    "metadata": {"type": "object"}, "spec": {"$ref": "#/definitions/spec"},
                },
            },
            "spec": {
                "type": "object",
                "properties": {"containers": {"type": "array"}, "nodeName": {"type": "string"}},
            },
            "unneeded": {"type": "object"},
        }
    }  # fmt: skip
    schema = pod_schema.pod_schema(swagger)
    place.schema.write_text(json.dumps(schema))

    answer = deploy(place, {**NGINX, "spec": {**NGINX["spec"], "nodename": "x", "nodeName": 3}})  # type: ignore[dict-item]

    assert list(schema["$defs"]) == ["io.k8s.api.core.v1.Pod", "spec"]
    assert (
        "pod web: spec: Additional properties are not allowed ('nodename' was unexpected)"
        in answer["deploy_stderr"]
    )
    assert "pod web: spec.nodeName: 3 is not of type 'string'" in answer["deploy_stderr"]
    assert deploy(place, {**NGINX, "spec": {**NGINX["spec"], "nodeName": None}})["deploy_status_code"] == 0  # type: ignore[dict-item]


# Ending them


@pytest.mark.parametrize("action", ["DELETE", "SUSPEND"])
def test_pods_end(place: Place, action: str) -> None:
    deploy(place, [pod("one"), pod("two")])

    answer = deploy(place, [pod("one"), pod("two")], action)

    assert answer["deploy_stdout"] == "2 pods ended"
    assert files(place) == {}


def test_pods_that_do_not_end_are_a_failure(place: Place, fake_node: FakeNode) -> None:
    uid = deploy(place, NGINX)["pod_uids"]["web"]
    fake_node.lingering = {uid}

    assert "1 of 1 pods still run" in deploy(place, NGINX, "DELETE")["deploy_stderr"]


def test_pods_end_whatever_has_become_of_the_config(place: Place) -> None:
    deploy(place, NGINX)

    assert deploy(place, "a: [", "DELETE")["deploy_status_code"] == 0
    assert files(place) == {}


def test_the_end_of_a_deployment_that_was_replaced_ends_nothing(place: Place) -> None:
    deploy(place, NGINX)
    inputs = [
        {"name": "deploy_stack_id", "value": "one/11112222333"},
        {"name": "deploy_resource_name", "value": "pods"}, {"name": "deploy_action", "value": "DELETE"},
    ]  # fmt: skip

    answer = hook.answer({"id": "x", "inputs": inputs, given.REPLACED: True}, place)

    assert answer["deploy_status_code"] == 0
    assert names(place) == ["heat-11112222-pods.web"]


def test_manifests_go_also_where_the_kubelet_stays_silent(place: Place, fake_node: FakeNode) -> None:
    deploy(place, NGINX)
    fake_node.silent_until = fake_node.clock.now + 3600

    answer = deploy(place, None, "DELETE")

    assert answer["deploy_status_code"] == 1
    assert "the manifests are removed" in answer["deploy_stderr"]
    assert files(place) == {}


def test_pods_end_when_the_kubelet_is_back(place: Place, fake_node: FakeNode) -> None:
    deploy(place, NGINX)
    fake_node.silent_until = fake_node.clock.now + 30

    assert deploy(place, NGINX, "DELETE")["deploy_stdout"] == "1 pods ended"


def test_suspended_pods_resume(place: Place) -> None:
    before = deploy(place, NGINX)
    deploy(place, NGINX, "SUSPEND")

    assert deploy(place, NGINX, "RESUME")["pod_uids"] == before["pod_uids"]


def test_pods_of_deployments_that_are_gone_are_pruned(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(place, pod("one"), name="first")
    deploy(place, pod("two"), name="second")
    hook.answer({"id": "hand", "config": pod("three"), "inputs": []}, place)
    (place.manifests / "users-own.json").write_text(json.dumps(pod("own")))
    monkeypatch.setattr(hook, "Place", lambda: place)
    monkeypatch.setattr(hook.json, "load", lambda _: ["one/11112222333/second"])  # type: ignore[attr-defined]

    assert hook.prune() == 0
    assert names(place) == ["heat-11112222-second.two", "heat-hand.three", "users-own.json"]
    assert "one/11112222333/first is over" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("me/nginx:1", "docker.io/me/nginx:1"),
        ("docker.io/nginx:1", "docker.io/library/nginx:1"),
        ("index.docker.io/nginx@sha256:11", "docker.io/library/nginx@sha256:11"),
        ("index.docker.io/me/nginx", "docker.io/me/nginx:latest"),
        ("localhost/nginx", "localhost/nginx:latest"),
        ("host:5000/nginx", "host:5000/nginx:latest"),
        ("a.b/nginx@sha256:11", "a.b/nginx@sha256:11"),
    ],
)
def test_short_names_of_images_mean_what_docker_makes_of_them(short: str, full: str) -> None:
    assert check.full_name(short) == full


def test_labels_differ_where_deployments_do() -> None:
    assert request.label("one/aaaabbbbcc", "Web_Pods") == "aaaabbbb-web-pods"
    assert request.label("two/bbbbbbbbcc", "Web_Pods") != request.label("one/aaaabbbbcc", "Web_Pods")
