# SPDX-License-Identifier: Apache-2.0
"""A test cloud on one machine: real OpenStack services in namespaces of their own. docs/devcloud.md.

For workstations and CI: one machine, SQLite, no packet filter, and nothing that survives its machine.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from goldsmith.core import progress, reaper, wait
from goldsmith.devcloud import backends, instance, namespaces, services, start
from goldsmith.devcloud.instance import Place
from goldsmith.devcloud.namespaces import Rooms
from goldsmith.devcloud.services import SERVICES
from goldsmith.devcloud.start import Options, Start
from goldsmith.devcloud.venv import ensure_environment
from goldsmith.errors import HostError, SpecError

# Ports that can be closed and opened without their service: the service, the signals that do it.
PORTS_ALONE = {"heat-api": ("heat", signal.SIGUSR1, signal.SIGUSR2)}
_STOP_S = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Cloud:
    """A running cloud as its clients see it."""

    name: str
    clouds_yaml: Path
    ports: Mapping[str, int]  # service type -> port of 127.0.0.1
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """The answer of cloud-up --json."""
        return {
            "name": self.name, "clouds_yaml": str(self.clouds_yaml), "ports": dict(self.ports),
            "seconds": self.seconds,
        }  # fmt: skip


def up(name: str, options: Options | None = None) -> Cloud:
    """Start a cloud and wait until all of its services answer. Raises SpecError, HostError, BuildError."""
    start = time.monotonic()
    options = options or Options()
    options = replace(options, services=services.chosen(options.services))
    namespaces.require_possible()
    if options.durable:
        backends.require(options.services)
    here = instance.place(name)
    with instance.claimed(here) as lock:
        _sweep(here)
        here.logs.mkdir(parents=True)
        try:
            with progress.step("environment"):
                venv = ensure_environment(log_path=here.log_of("pip"))
            ports = Start(here, venv, options).run(lock)
        except BaseException:
            namespaces.end(here, None)
            raise
    seconds = round(time.monotonic() - start, 1)
    return Cloud(name=name, clouds_yaml=here.clouds_yaml, ports=ports, seconds=seconds)


@contextlib.contextmanager
def owned(name: str, options: Options | None = None) -> Iterator[Cloud]:
    """A cloud for this process alone, until the block ends; raises what up() raises.

    Where the process is killed, clean_dead() ends it.
    """
    here = instance.place(name)
    if here.is_abandoned():
        down(name)
    with instance.owned(here):
        try:
            yield up(name, options)
        finally:
            down(name)


def down(name: str) -> list[str]:
    """End a cloud and remove all that is its own; a line for each thing that was removed."""
    here = instance.place(name)
    if not here.folder.exists():
        return []
    pid = here.read()["pid"] if here.is_live() and here.record.exists() else None
    done = namespaces.end(here, pid)
    shutil.rmtree(here.folder, ignore_errors=True)
    return [*done, f"removed {here.folder}"]


def clean_dead(prefix: str = "") -> list[str]:
    """Remove what is left of clouds, named PREFIX..., whose process 1 has ended without cloud-down.

    Those that are owned() by somebody who was killed are ended first. A line for each thing that was removed.
    """
    done = []
    for here in instance.places():
        if not here.name.startswith(prefix):
            continue
        if here.is_live():
            done += down(here.name) if here.is_abandoned() else []
        elif not here.is_owned():
            # another may be about to take the place
            with contextlib.suppress(HostError), instance.claimed(here):
                done += reaper.reap(here.folder)
                shutil.rmtree(here.folder, ignore_errors=True)
                done.append(f"removed {here.folder}")
    return done


def status(name: str) -> dict[str, Any]:
    """Whether a cloud runs, and for each service its state. Raises SpecError for a bad name alone."""
    here = instance.place(name)
    if not here.is_live() or not here.record.exists():  # without a record it is about to start, or to end
        return {"name": name, "running": False, "services": {}}
    record = here.read()
    answers = {name: services.is_well(name, record["ports"], ca=here.ca) for name in record["services"]}
    return {
        "name": name, "running": True, "clouds_yaml": str(here.clouds_yaml), "ports": record["ports"],
        "services": answers,
    }  # fmt: skip


def service(action: str, name: str, *, cloud: str) -> None:
    """Stop or start one service of a running cloud, or its ports alone, and wait until that is so."""
    if action not in ("start", "stop") or name not in {*SERVICES, *PORTS_ALONE, backends.ENGINE}:
        known = ", ".join((*SERVICES, *PORTS_ALONE, backends.ENGINE))
        raise SpecError(f"cannot {action} {name}", hint=f"start or stop one of: {known}")
    inside = rooms(cloud)
    record = instance.place(cloud).read()
    has = {*record["services"], *([backends.ENGINE] if record.get("durable") else [])}
    if PORTS_ALONE.get(name, (name,))[0] not in has:
        raise SpecError(f"the cloud {cloud} was started without {name}", hint="see: scripts/inv cloud-status")
    if name in PORTS_ALONE:
        _ports_alone(inside, action, name, record["ports"])
        return
    if action == "start":
        if not inside.is_running(name):
            process = start.serve(inside, name)
            if name in SERVICES:
                start.wait_for(inside, name, process, record["ports"])
        return
    inside.signal(name, signal.SIGTERM)
    try:
        wait.wait_until(lambda: not inside.is_running(name), timeout_s=_STOP_S)
    except wait.Deadline:
        inside.signal(name, signal.SIGKILL)


def _ports_alone(inside: Rooms, action: str, name: str, ports: Mapping[str, int]) -> None:
    owner, close, open_ = PORTS_ALONE[name]
    if not inside.signal(owner, open_ if action == "start" else close):
        hint = f"run: scripts/inv cloud-service start {owner} --name {inside.here.name}"
        raise HostError(f"{owner}, whose port {name} is, does not run", hint=hint)
    try:
        wait.wait_until(
            lambda: services.is_well(owner, ports, ca=inside.here.ca) == (action == "start"),
            timeout_s=_STOP_S,
        )
    except wait.Deadline:
        raise HostError(f"{name} did not {action}", hint=f"see {inside.here.log_of(owner)}") from None


def environment(name: str) -> dict[str, str]:
    """The variables that make OpenStack's clients use a running cloud."""
    here = instance.place(name)
    here.read()
    return {"OS_CLIENT_CONFIG_FILE": str(here.clouds_yaml), "OS_CLOUD": name}


def rooms(name: str) -> Rooms:
    """The namespaces of a running cloud. Raises HostError."""
    here = instance.place(name)
    record = here.read()
    return Rooms(here, int(record["pid"]), Path(record["venv"]))


def _sweep(here: Place) -> None:
    """What an earlier cloud of this name left, which nobody took down."""
    namespaces.end(here, None)
    for path in here.folder.iterdir():
        if path not in (here.folder / "lock", here.owner):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
