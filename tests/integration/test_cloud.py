# SPDX-License-Identifier: Apache-2.0
"""The test cloud as users start, use and end it: real services, and the plain client."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.core import paths, reaper, wait
from goldsmith.devcloud import config, instance, lifecycle, venv
from goldsmith.errors import CloudError
from goldsmith.heat.client import connect
from tests.support.inv import INV, task
from tests.support.publications import PubPlace, write_spec
from tests.support.tiny_builds import TinyPlace

# openstacksdk uses names that it deprecated itself
pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

NAME, OTHER, THIRD = "test-one", "test-two", "test-three"
STORE_MIB = 30
SERVICES = ("keystone", "placement", "glance", "neutron", "heat", "nova")
TEMPLATES = [
    path
    for path in sorted((paths.project_root() / "heat-templates").rglob("*.yaml"))
    if path.parent.name != "environments"
]
ENVIRONMENTS = sorted((paths.project_root() / "heat-templates/environments").glob("*.yaml"))
FOR_USERS = sorted((paths.project_root() / "heat-templates").glob("*.yaml"))
assert TEMPLATES
assert ENVIRONMENTS
assert FOR_USERS


def answer(*words: str) -> dict[str, Any]:
    return dict(json.loads(task(*words, "--json")))


@pytest.fixture(scope="module")
def neighbour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A mounted disk image, as of a build that runs when the cloud starts."""
    folder = tmp_path_factory.mktemp("build of a neighbour")
    (folder / "mnt").mkdir()
    subprocess.run(["truncate", "-s", "8M", folder / "disk"], check=True)
    subprocess.run(["mkfs.ext4", "-q", folder / "disk"], check=True)
    subprocess.run(["mount", "-o", "loop", folder / "disk", folder / "mnt"], check=True)
    yield folder
    subprocess.run(["umount", folder / "mnt"], check=True)


@pytest.fixture(scope="module")
def cloud(neighbour: Path) -> Iterator[dict[str, Any]]:
    """The answer of cloud-up."""
    task("cloud-down", "--name", NAME)
    yield answer("cloud-up", "--name", NAME)
    task("cloud-down", "--name", NAME)
    assert remains(NAME) == []


@pytest.fixture(scope="module")
def second(cloud: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Another cloud beside the first, of some services, with a small store and a durable Heat."""
    task("cloud-down", "--name", OTHER)
    services = "glance,heat,swift"
    words = ("--services", services, "--store-size", str(STORE_MIB), "--durable")
    yield answer("cloud-up", "--name", OTHER, *words)
    task("cloud-down", "--name", OTHER)
    assert remains(OTHER) == []
    assert answer("cloud-status", "--name", NAME)["running"] is True


def remains(name: str) -> list[str]:
    folder = paths.scratch_root() / f"cloud-{name}"
    return [*reaper.leftovers(folder), *(["its folder"] if folder.exists() else [])]


OWNER = """
import sys
from goldsmith.devcloud import lifecycle
from goldsmith.devcloud.start import Options

with lifecycle.owned(sys.argv[1], Options(services=("keystone",))):
    print("it runs", flush=True)
    sys.stdin.read()
"""


def client(cloud: dict[str, Any], *words: str, user: str = "") -> str:
    """The output of the plain client."""
    program = venv.ensure_environment(log_path=Path(os.devnull)) / "bin/openstack"
    env = {**os.environ, "OS_CLIENT_CONFIG_FILE": cloud["clouds_yaml"], "OS_CLOUD": f"{cloud['name']}{user}"}
    done = subprocess.run(
        [program, *words], env=env, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def openstack(cloud: dict[str, Any], *words: str, user: str = "") -> Any:
    """The same, as JSON."""
    return json.loads(client(cloud, *words, "-f", "json", user=user))


def test_every_service_answers(cloud: dict[str, Any]) -> None:
    found = answer("cloud-status", "--name", NAME)

    assert found["running"] is True
    assert found["services"] == dict.fromkeys(
        ("keystone", "placement", "glance", "neutron", "heat", "nova"), True
    )


def test_clouds_yaml_is_its_own_and_for_its_owner_alone(cloud: dict[str, Any]) -> None:
    path = Path(cloud["clouds_yaml"])

    assert path.stat().st_mode & 0o777 == 0o600
    clouds = yaml.safe_load(path.read_text())["clouds"]
    assert set(clouds) == {NAME, f"{NAME}-admin"}
    overrides = [key for key in clouds[NAME] if key.endswith("_endpoint_override")]
    assert len(overrides) == len(instance.PORTS)
    assert task("cloud-env", "--name", NAME).splitlines() == [
        f"export OS_CLIENT_CONFIG_FILE={path}",
        f"export OS_CLOUD={NAME}",
    ]


def test_mounts_of_others_do_not_stay_busy(cloud: dict[str, Any], neighbour: Path) -> None:
    pid = instance.named(NAME).read().pid

    assert "/dev/loop" in Path("/proc/self/mountinfo").read_text()
    assert "/dev/loop" not in Path(f"/proc/{pid}/mountinfo").read_text()


def test_a_running_cloud_is_not_started_over(cloud: dict[str, Any]) -> None:
    printed = task("cloud-up", "--name", NAME, status=3)

    assert f"error: the cloud {NAME} runs already" in printed
    assert f"cloud-down --name {NAME}" in printed


def test_the_plain_client_works_from_the_host(cloud: dict[str, Any]) -> None:
    hypervisors = openstack(cloud, "hypervisor", "list", user="-admin")

    assert [(h["Hypervisor Hostname"], h["State"]) for h in hypervisors] == [("cloud0", "up")]
    assert [network["Name"] for network in openstack(cloud, "network", "list")] == ["golden"]
    assert openstack(cloud, "stack", "list") == []


def test_a_second_cloud_is_independent_of_the_first(cloud: dict[str, Any], second: dict[str, Any]) -> None:
    openstack(second, "project", "create", "of-the-second", user="-admin")
    names = {project["Name"] for project in openstack(cloud, "project", "list", user="-admin")}

    assert set(second["ports"].values()).isdisjoint(cloud["ports"].values())
    assert names == {"admin", "demo", "service"}


def test_a_cloud_has_the_services_that_were_chosen(second: dict[str, Any]) -> None:
    services = answer("cloud-status", "--name", OTHER)["services"]

    assert services == dict.fromkeys(("keystone", "glance", "heat", "swift"), True)
    assert "was started without nova" in task("cloud-service", "stop", "nova", "--name", OTHER, status=2)


def test_heat_makes_temporary_urls_of_swifts(second: dict[str, Any], tmp_path: Path) -> None:
    template = tmp_path / "handle.yaml"
    template.write_text(
        'heat_template_version: "2021-04-16"\n'
        "resources: {handle: {type: OS::Heat::SwiftSignalHandle}}\n"
        "outputs: {url: {value: {get_attr: [handle, endpoint]}}}\n"
    )
    client(second, "stack", "create", "--wait", "-t", os.fspath(template), "url")

    url = openstack(second, "stack", "output", "show", "url", "url")["output_value"]

    assert re.match(r"http://10\.77\.0\.1:8080/v1/AUTH_\w+/.*temp_url_sig=", url)
    client(second, "stack", "delete", "--yes", "--wait", "url")


def test_a_store_with_a_size_can_be_full(second: dict[str, Any], tmp_path: Path) -> None:
    big = tmp_path / "big.raw"
    big.write_bytes(os.urandom((STORE_MIB + 1) << 20))
    words = (
        "image",
        "create",
        "--file",
        os.fspath(big),
        "--disk-format",
        "raw",
        "--container-format",
        "bare",
    )

    with pytest.raises(AssertionError, match=r"413|[Ss]torage|full"):
        client(second, *words, "big")


def test_a_service_is_stopped_and_started(cloud: dict[str, Any]) -> None:
    task("cloud-service", "stop", "heat", "--name", NAME)
    stopped = answer("cloud-status", "--name", NAME)["services"]
    task("cloud-service", "start", "heat", "--name", NAME)

    assert (stopped["heat"], stopped["keystone"]) == (False, True)
    assert answer("cloud-status", "--name", NAME)["services"]["heat"] is True
    assert openstack(cloud, "stack", "list") == []


def test_heats_ports_are_closed_while_its_engine_continues(cloud: dict[str, Any]) -> None:
    pid = (instance.named(NAME).state / "pids" / "heat").read_text()
    task("cloud-service", "stop", "heat-api", "--name", NAME)
    stopped = answer("cloud-status", "--name", NAME)["services"]
    task("cloud-service", "start", "heat-api", "--name", NAME)
    for _ in range(10):  # at once, while the thread that served them still waits for news of the port
        lifecycle.service("stop", "heat-api", cloud=NAME)
        lifecycle.service("start", "heat-api", cloud=NAME)

    assert stopped["heat"] is False
    assert openstack(cloud, "stack", "list") == []
    assert (instance.named(NAME).state / "pids" / "heat").read_text() == pid


def test_a_durable_heat_resumes_after_its_engine_was_killed(second: dict[str, Any], tmp_path: Path) -> None:
    """A request that arrives while there is no engine waits for one."""
    (tmp_path / "stack.yaml").write_text(STACK)
    heat = connect(OTHER, clouds_yaml=Path(second["clouds_yaml"])).stacks
    made = heat.create("durable", tmp_path / "stack.yaml", {"word": "first"}, timeout_s=120)
    assert lifecycle.namespaces_of(OTHER).signal("heat-engine", signal.SIGKILL)
    answers: list[str] = []

    def update() -> None:
        done = heat.update(made, tmp_path / "stack.yaml", {"word": "second"}, timeout_s=120)
        answers.extend([done.status, done.outputs["word"]])

    asking = threading.Thread(target=update)
    asking.start()
    time.sleep(3)
    task("cloud-service", "start", "heat-engine", "--name", OTHER)
    asking.join(timeout=180)

    assert answers == ["UPDATE_COMPLETE", "second"]
    heat.delete("durable", timeout_s=120)


def test_only_a_durable_heat_has_its_engine_as_a_service(cloud: dict[str, Any]) -> None:
    printed = task("cloud-service", "stop", "heat-engine", "--name", NAME, status=2)

    assert f"the cloud {NAME} was started without heat-engine" in printed


def test_an_unknown_service_and_an_invalid_name_are_reported(cloud: dict[str, Any]) -> None:
    assert "start or stop one of: keystone" in task(
        "cloud-service", "stop", "cinder", "--name", NAME, status=2
    )
    words = ("cloud-up", "--name", "heatless", "--services", "glance", "--durable")
    assert "a durable cloud needs Heat" in task(*words, status=2)
    assert "is no valid name for a cloud" in task("cloud-up", "--name", "../x", status=2)
    assert "the cloud nobody does not run" in task("cloud-env", "--name", "nobody", status=3)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_heat_accepts_every_template(cloud: dict[str, Any], template: Path) -> None:
    connect(NAME, clouds_yaml=Path(cloud["clouds_yaml"])).stacks.validate(template)


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.name)
@pytest.mark.parametrize("template", FOR_USERS, ids=lambda path: path.name)
def test_heat_accepts_every_environment(cloud: dict[str, Any], template: Path, environment: Path) -> None:
    words = ("orchestration", "template", "validate", "-f", "json", "-t", str(template), "-e")
    flavor = yaml.safe_load(environment.read_text())["parameters"]["flavor"]

    printed = json.loads(client(cloud, *words, str(environment)))

    assert printed["Parameters"]["flavor"]["Value"] == flavor


def test_an_environment_with_a_parameter_that_no_template_has_is_rejected(
    cloud: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text("parameters: {flavour: golden}\n")
    words = ("orchestration", "template", "validate", "-t", str(FOR_USERS[0]), "-e")

    with pytest.raises(AssertionError, match="flavour"):
        client(cloud, *words, str(tmp_path / "bad.yaml"))


def test_a_template_that_heat_rejects_is_reported(cloud: dict[str, Any], tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text('heat_template_version: "2021-04-16"\nresources: {x: {type: OS::Nobody::Knows}}\n')

    with pytest.raises(CloudError, match=r"Heat rejects the template bad\.yaml.*OS::Nobody::Knows"):
        connect(NAME, clouds_yaml=Path(cloud["clouds_yaml"])).stacks.validate(bad)


def test_a_stack_that_names_no_network_gets_the_only_one(cloud: dict[str, Any], tmp_path: Path) -> None:
    """The disk is empty, so nothing answers the deployment."""
    connected = connect(NAME, clouds_yaml=Path(cloud["clouds_yaml"]))
    heat = connected.stacks
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "empty", "1M"], check=True)
    image = connected.images.upload(tmp_path / "empty", "empty")
    template = paths.project_root() / "heat-templates/heat-standalone.yaml"
    words = ("-t", str(template), "--parameter", f"image={image}", "--parameter", "flavor=golden.small")
    client(cloud, "stack", "create", "nowhere", *words)

    def has_server() -> bool:
        assert heat.get("nowhere").status == "CREATE_IN_PROGRESS", heat.get("nowhere").reason
        return any(server["Status"] == "ACTIVE" for server in openstack(cloud, "server", "list"))

    wait.wait_until(has_server, timeout_s=120)
    (server,) = openstack(cloud, "server", "list")

    assert list(server["Networks"]) == ["golden"]
    heat.delete("nowhere", timeout_s=120)
    connected.images.delete(image)


STACK = """\
heat_template_version: "2021-04-16"
parameters:
  word: {type: string}
  kept: {type: string, default: kept}
resources:
  value: {type: OS::Heat::Value, properties: {value: {get_param: word}}}
outputs:
  word: {value: {get_attr: [value, value]}}
  kept: {value: {get_param: kept}}
"""
STEPS = """\
steps:
  - {name: before, outputs: {word: first}}
  - {name: change, parameters: {word: "{{ word }}"}, outputs: {word: second}, run: "grep -q second"}
  - {name: verify, run: "echo $STACK in $OS_CLOUD >&2; test -e '{{ flag }}'"}
  - {name: restore, parameters: {word: first}, outputs: {word: first, kept: mine}}
"""


def test_a_procedure_stops_at_the_first_failure_and_resumes_from_there(
    cloud: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", cloud["clouds_yaml"])
    (tmp_path / "stack.yaml").write_text(STACK)
    (tmp_path / "steps.yaml").write_text(STEPS)
    heat, flag = connect(NAME, clouds_yaml=Path(cloud["clouds_yaml"])).stacks, tmp_path / "flag"
    made = heat.create("stepwise", tmp_path / "stack.yaml", {"word": "first", "kept": "mine"}, timeout_s=120)
    words = ["stack-procedure", "--stack", "stepwise", "--procedure", str(tmp_path / "steps.yaml")]
    words += ["--cloud", NAME, "--var", f"flag={flag}", "--json"]

    wrong = task(*words, "--var", "word=third", status=8)
    assert "step change: the output word is 'third', must be 'second'" in wrong
    refused = task(*words, "--var", "word=second", "--from", "change", status=8)
    assert "step verify: the command exited with 1: stepwise in" in refused
    assert "resume with --from 'verify'" in refused
    assert heat.get(made.id).outputs["word"] == "second"
    flag.touch()
    done = json.loads(task(*words, "--var", "word=second", "--from", "verify"))

    assert [step["name"] for step in done["steps"]] == ["verify", "restore"]
    assert heat.get(made.id).outputs == {"word": "first", "kept": "mine"}
    assert "the procedure has no step 'x'" in task(*words, "--var", "word=x", "--from", "x", status=2)
    heat.delete("stepwise", timeout_s=120)


# What new-image.yaml.j2 changes and looks at of heat-group.yaml, without servers.
GROUP = """\
heat_template_version: "2021-04-16"
parameters:
  image: {type: string}
  count: {type: number}
outputs:
  image: {value: {get_param: image}}
  pods:
    value:
      yaql:
        expression: >
          let(good => $.data.image != bad)
          -> range($.data.count).toDict(str($), {web => {containers => {main => {ready => $good}}}})
        data: {count: {get_param: count}, image: {get_param: image}}
"""


def test_the_shipped_procedure_applies_its_steps_and_stops_if_a_container_is_not_ready(
    cloud: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", cloud["clouds_yaml"])
    (tmp_path / "group.yaml").write_text(GROUP)
    heat = connect(NAME, clouds_yaml=Path(cloud["clouds_yaml"])).stacks
    made = heat.create("group", tmp_path / "group.yaml", {"image": "old", "count": 2}, timeout_s=120)
    shipped = paths.project_root() / "heat-templates/procedures/new-image.yaml.j2"
    words = ["stack-procedure", "--stack", "group", "--procedure", str(shipped), "--cloud", NAME]

    wrong = task(*words, "--var", "image=new", "--var", "count=5", status=8)
    assert "step as it should be before: the command exited with 1: AssertionError: 2 servers, not 5" in wrong
    assert heat.get(made.id).outputs["image"] == "old"
    done = task(*words, "--var", "image=new", "--var", "count=2")
    assert [line.split(":")[0] for line in done.splitlines()] == [
        "as it should be before", "one server more", "the new image", "as many as before",
    ]  # fmt: skip
    stack = heat.get(made.id)
    assert (stack.outputs["image"], len(stack.outputs["pods"])) == ("new", 2)
    stopped = task(*words, "--var", "image=bad", "--var", "count=2", status=8)

    assert "step the new image: the command exited with 1: AssertionError: web: main is not ready" in stopped
    assert len(heat.get(made.id).outputs["pods"]) == 3, "the one more is still there"
    heat.delete("group", timeout_s=120)


THREADS = """\
import sys
sys.path.insert(0, sys.argv[1])
import heat_threads
from heat.engine import service
heat_threads.install()
group = service.ThreadGroup()
for _ in range(group.max_threads + 1):
    group.add_thread(lambda: None).join()
print(len(group.threads))
"""


def test_heat_accepts_signals_after_a_stacks_thousandth_step() -> None:
    python = venv.ensure_environment(log_path=Path(os.devnull)) / "bin/python"

    printed = subprocess.check_output([python, "-W", "ignore", "-c", THREADS, config.folder()], text=True)

    assert printed == "0\n"


# While an update works on a resource, other calls for it arrive, of the same template and of another one.
PREEMPTED = """\
import sys, types
sys.path.insert(0, sys.argv[1])
import heat_preempt
from heat.common import exception
from heat.engine import check_resource
heat_preempt.install()
checker = object.__new__(check_resource.CheckResource)
checker.engine_id, checker.msg_queue = "engine", None
checker._stale_resource_needs_retry = lambda *_: False
cancelled = []
def check(template):
    resource = types.SimpleNamespace(id=1, name="x", current_template_id=0)
    resource.handle_preempt = lambda: cancelled.append(template)
    resource.action_handler_task = lambda: iter(["at work"])
    checker._do_check_resource(None, "", types.SimpleNamespace(id=template), {}, True, resource, None, None)
def locked(*_):
    raise exception.UpdateInProgress(resource_name="x")
def at_work(resource, *_):
    check_resource.check_resource_update = locked
    for _ in resource.action_handler_task():
        check(1)
        check(2)
check_resource.check_resource_update = at_work
check(1)
check(1)
print(cancelled)
"""


def test_heat_does_not_cancel_the_update_in_progress() -> None:
    """It cancels only an update of another template; once its work has ended, the lock's owner is unknown."""
    python = venv.ensure_environment(log_path=Path(os.devnull)) / "bin/python"

    printed = subprocess.check_output([python, "-W", "ignore", "-c", PREEMPTED, config.folder()], text=True)

    assert printed == "[2, 1]\n"


# The kernel delivers a signal to any thread of a process, but Python's handler runs only in the main thread.
SIGNALLED = """
import signal, sys, threading, time
sys.path.insert(0, sys.argv[1])
import serve
def told():
    time.sleep(0.3)
    signal.pthread_kill(threading.get_ident(), signal.SIGWINCH)
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
signal.signal(signal.SIGWINCH, lambda *_: None)
signals = serve.signals(signal.SIGUSR1, signal.SIGUSR2)
threading.Thread(target=told).start()
print(next(signals) == signal.SIGUSR1)
"""


def test_a_service_receives_a_signal_that_was_delivered_to_another_thread() -> None:
    python = venv.ensure_environment(log_path=Path(os.devnull)) / "bin/python"

    printed = subprocess.check_output([python, "-c", SIGNALLED, config.folder()], text=True, timeout=60)

    assert printed == "True\n"


def test_a_canary_boots_and_its_image_is_seen_in_use(
    cloud: dict[str, Any], tiny_build: Path, tiny_place: TinyPlace, tmp_path: Path
) -> None:
    """What the tiny image says of itself, since it has nothing that would run user data, nor drivers for
    the drive that Nova gives it."""
    canary = {"canary": "both", "flavor": "golden.small", "console": "tiny: no config drive"}
    admin = f"{NAME}-admin"
    spec = write_spec(tmp_path / "spec", {"alias": "canaried", "clouds": [{"name": admin, **canary}]})
    place = PubPlace(
        tiny=tiny_place, spec=spec, clouds_yaml=Path(cloud["clouds_yaml"]), cloud=admin, alias="canaried"
    )

    printed = place.publish(tiny_build).stderr

    assert f"{admin}: canary, both done" in printed
    assert "booted done" in printed, "what Glance gives out is tested, too"
    assert openstack(cloud, "server", "list", "--all-projects", user="-admin") == []
    (row,) = place.answer("images")
    assert row["in_use"] is False
    words = ("--image", row["image"], "--flavor", "golden.small", "--network", "golden", "--wait")
    client(cloud, "server", "create", "user-of-it", *words, user="-admin")
    (row,) = place.answer("images")
    assert row["in_use"] is True
    assert_knows_itself_without_a_drive(openstack(cloud, "server", "show", "user-of-it", user="-admin"))
    client(cloud, "server", "delete", "--wait", "user-of-it", user="-admin")


ASK = """\
import http.client, sys
metadata = http.client.HTTPConnection("169.254.169.254", source_address=(sys.argv[1], 0), timeout=20)
metadata.request("GET", "/openstack/latest/meta_data.json")
print(metadata.getresponse().read().decode())
"""


def assert_knows_itself_without_a_drive(server: dict[str, Any]) -> None:
    """DHCP has its address, and the metadata service tells whoever has that address who it is."""
    (ip,) = server["addresses"]["golden"]
    offers = [path.read_text() for path in (instance.named(NAME).state / "dhcp").iterdir()]
    assert [offer.strip().partition(",")[2] for offer in offers] == [ip]
    inside = ["nsenter", "--net", "--target", str(instance.named(NAME).read().pid)]
    subprocess.run([*inside, "ip", "address", "add", f"{ip}/32", "dev", "lo"], check=True)
    printed = subprocess.check_output([*inside, sys.executable, "-c", ASK, ip], text=True)
    subprocess.run([*inside, "ip", "address", "delete", f"{ip}/32", "dev", "lo"], check=True)
    assert json.loads(printed)["uuid"] == server["id"]


def test_a_canary_that_does_not_report_that_it_runs(
    cloud: dict[str, Any], tiny_build: Path, tiny_place: TinyPlace, tmp_path: Path
) -> None:
    canary = {"canary": "server", "flavor": "golden.small", "console": "never said"}
    spec = write_spec(tmp_path / "spec", {"alias": "silent", "clouds": [{"name": NAME, **canary}]})
    place = PubPlace(
        tiny=tiny_place, spec=spec, clouds_yaml=Path(cloud["clouds_yaml"]), cloud=NAME, alias="silent"
    )

    printed = place.publish(tiny_build, "--deadline", "50", status=7).stderr

    assert "does not report that it runs" in printed
    assert "tiny: no config drive" in printed  # the end of its console
    assert place.answer("images") == []
    assert openstack(cloud, "server", "list") == []


def test_clean_ends_a_cloud_whose_owner_was_killed_and_no_other_of_its_name(cloud: dict[str, Any]) -> None:
    """In another scratch folder, as another user's would be."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as elsewhere:
        env = {**os.environ, "CI": "true", "GOLDSMITH_SCRATCH": elsewhere}
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, NAME], env=env, cwd=paths.project_root(), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        with owner:
            assert owner.stdout is not None
            assert "it runs\n" in owner.stdout
            owner.kill()
        folder = Path(elsewhere) / f"cloud-{NAME}"
        lived_on = reaper.processes(folder)
        done = subprocess.run([INV, "clean"], env=env, capture_output=True, text=True, check=True)

        assert lived_on
        assert f"removed {folder}" in done.stdout
        assert reaper.leftovers(folder) == []
    assert all(answer("cloud-status", "--name", NAME)["services"].values())


def test_a_cloud_that_was_killed_during_its_start_can_be_ended() -> None:
    """kill -9 in the middle of its start, when nothing but the processes' marks tells whose they are."""
    third = instance.named(THIRD)
    with subprocess.Popen(
        [INV, "cloud-up", "--name", THIRD], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as starting:  # fmt: skip
        deadline = time.monotonic() + 60
        while not (third.state / "pids" / "keystone").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(starting.pid, signal.SIGKILL)
    assert third.is_live(), "its process 1 outlives the process that started it"

    task("cloud-down", "--name", THIRD)

    assert remains(THIRD) == []
