# SPDX-License-Identifier: Apache-2.0
"""Start, inspect and end test clouds, and single services of them. See docs/devcloud.md."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from goldsmith.core import ownership, progress, reaper, removal, wait
from goldsmith.devcloud import backends, instance, namespaces, services, start
from goldsmith.devcloud.answers import CloudStatus, CloudUp
from goldsmith.devcloud.instance import Instance
from goldsmith.devcloud.namespaces import Namespaces
from goldsmith.devcloud.services import SERVICES
from goldsmith.devcloud.start import Options
from goldsmith.devcloud.venv import ensure_environment
from goldsmith.errors import HostError, SpecError

# Ports that can be closed and opened while their service runs: the service, the signals for both.
PORTS_ALONE = {"heat-api": ("heat", signal.SIGUSR1, signal.SIGUSR2)}
_STOP_S = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Cloud:
    """A running cloud as its clients see it."""

    name: str
    clouds_yaml: Path
    ports: Mapping[str, int]  # service type -> port of 127.0.0.1
    seconds: float

    def answer(self) -> CloudUp:
        """The answer of cloud-up --json."""
        return CloudUp(
            name=self.name, clouds_yaml=str(self.clouds_yaml), ports=self.ports, seconds=self.seconds
        )


def up(name: str, options: Options | None = None) -> Cloud:
    """Start a cloud and wait until all of its services answer. Raises SpecError, HostError, BuildError."""
    begun = time.monotonic()
    options = options or Options()
    options = replace(options, services=services.chosen(options.services))
    namespaces.require_possible()
    if options.durable:
        backends.require(options.services)
    cloud = instance.named(name)
    with instance.claimed(cloud) as lock:
        _sweep(cloud)
        cloud.logs.mkdir(parents=True)
        try:
            with progress.step("environment"):
                venv = ensure_environment(log_path=cloud.log_of("pip"))
            ports = start.run(cloud, venv, options, lock=lock)
        except BaseException:
            namespaces.end(cloud, None)
            raise
    seconds = round(time.monotonic() - begun, 1)
    return Cloud(name=name, clouds_yaml=cloud.clouds_yaml, ports=ports, seconds=seconds)


@contextlib.contextmanager
def owned(name: str, options: Options | None = None) -> Iterator[Cloud]:
    """A private cloud of this process, until the block ends; raises what up() raises.

    If the process is killed, clean_dead() ends the cloud.
    """
    cloud = instance.named(name)
    if cloud.is_abandoned():
        down(name)
    with instance.owned(cloud):
        try:
            yield up(name, options)
        finally:
            down(name)


def down(name: str) -> list[str]:
    """End a cloud, even if its record is unusable, and remove its folder; a line for each removed thing."""
    cloud = instance.named(name)
    if not cloud.folder.exists():
        return []
    cloud.require_ours()
    return [*namespaces.end(cloud, _pid(cloud)), *_remove(cloud)]


def clean_dead(prefix: str = "") -> list[str]:
    """Remove the leftovers of clouds, named PREFIX..., whose process 1 ended without cloud-down.

    Live clouds whose owner was killed, see owned(), are ended too. A line for each removed thing.
    """
    done = []
    for cloud in instance.existing():
        if not cloud.name.startswith(prefix):
            continue
        if cloud.is_live():
            done += down(cloud.name) if cloud.is_abandoned() else []
        elif not cloud.is_owned():
            # another process may be starting this cloud
            with contextlib.suppress(HostError), instance.claimed(cloud):
                done += [*reaper.reap(cloud.folder), *_remove(cloud)]
    return done


def _remove(cloud: Instance) -> list[str]:
    return [f"removed {cloud.folder}"] if removal.remove_tree(cloud.folder) else []


def status(name: str) -> CloudStatus:
    """Whether a cloud and each of its services run. Raises SpecError; HostError for an unusable record."""
    cloud = instance.named(name)
    if not cloud.is_live() or not cloud.record.exists():  # without a record it is starting or ending
        return CloudStatus(name=name, running=False, services={})
    record = cloud.read()
    answers = {each: services.is_well(each, record.ports, ca=cloud.ca) for each in record.services}
    return CloudStatus(
        name=name, running=True, clouds_yaml=str(cloud.clouds_yaml), ports=record.ports, services=answers
    )


def service(action: str, name: str, *, cloud: str) -> None:
    """Stop or start one service of a running cloud, or only its ports, and wait until that is done."""
    if action not in ("start", "stop") or name not in {*SERVICES, *PORTS_ALONE, backends.ENGINE}:
        known = ", ".join((*SERVICES, *PORTS_ALONE, backends.ENGINE))
        raise SpecError(f"cannot {action} {name}", hint=f"start or stop one of: {known}")
    inside = namespaces_of(cloud)
    record = instance.named(cloud).read()
    has = {*record.services, *([backends.ENGINE] if record.durable else [])}
    if PORTS_ALONE.get(name, (name,))[0] not in has:
        raise SpecError(f"the cloud {cloud} was started without {name}", hint="see: scripts/inv cloud-status")
    if name in PORTS_ALONE:
        _ports_alone(inside, action, name, record.ports)
        return
    if action == "start":
        if not inside.is_running(name):
            process = start.serve(inside, name)
            if name in SERVICES:
                start.wait_for(inside, name, process, record.ports)
        return
    inside.signal(name, signal.SIGTERM)
    try:
        wait.wait_until(lambda: not inside.is_running(name), timeout_s=_STOP_S)
    except wait.Deadline:
        inside.signal(name, signal.SIGKILL)


def _ports_alone(inside: Namespaces, action: str, name: str, ports: Mapping[str, int]) -> None:
    owner, close, open_ = PORTS_ALONE[name]
    if not inside.signal(owner, open_ if action == "start" else close):
        hint = f"run: scripts/inv cloud-service start {owner} --name {inside.cloud.name}"
        raise HostError(f"{owner} does not run, so its port {name} cannot be changed", hint=hint)
    try:
        wait.wait_until(
            lambda: services.is_well(owner, ports, ca=inside.cloud.ca) == (action == "start"),
            timeout_s=_STOP_S,
        )
    except wait.Deadline:
        raise HostError(f"{name} did not {action}", hint=f"see {inside.cloud.log_of(owner)}") from None


def environment(name: str) -> dict[str, str]:
    """The environment variables with which OpenStack's clients use a running cloud."""
    cloud = instance.named(name)
    cloud.read()
    return {"OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml), "OS_CLOUD": name}


def namespaces_of(name: str) -> Namespaces:
    """The namespaces of a running cloud. Raises HostError."""
    cloud = instance.named(name)
    record = cloud.read()
    return Namespaces(cloud, record.pid, Path(record.venv))


def _pid(cloud: Instance) -> int | None:
    """Process 1 of a live cloud; None without a usable record: the reaper finds processes by their marks."""
    with contextlib.suppress(HostError):
        pid = cloud.read().pid
        return pid if pid in reaper.processes(cloud.folder) else None  # not one that took its number
    return None


def _sweep(cloud: Instance) -> None:
    """Remove the leftovers of an earlier cloud of this name."""
    namespaces.end(cloud, None)
    for path in cloud.folder.iterdir():
        if path not in (cloud.folder / "lock", cloud.folder / ownership.FILE, cloud.owner):
            removal.remove_tree(path)
