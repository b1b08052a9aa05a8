# SPDX-License-Identifier: Apache-2.0
"""A test cloud on one machine: real OpenStack services in namespaces of their own. docs/devcloud.md.

For workstations and CI: one machine, SQLite, no packet filter, and nothing that survives its machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import tarfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith import (
    accelerator,
    cloudconf,
    cloudenv,
    cloudhealth,
    cloudplace,
    cloudrooms,
    proc,
    progress,
    wait,
    workspace,
)
from goldsmith.cloudhealth import SERVICES
from goldsmith.cloudplace import URLS, Place
from goldsmith.cloudrooms import Rooms
from goldsmith.errors import HostError, SpecError

# Ports that can be closed and opened without their service: the service, the signals that do it.
PORTS_ALONE = {"heat-api": ("heat", signal.SIGUSR1, signal.SIGUSR2)}
_ANSWER_S, _STOP_S = 120, 30
_SEED = "seed.tar"


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


def up(name: str) -> Cloud:
    """Start a cloud and wait until all of its services answer. Raises HostError, BuildError."""
    start = time.monotonic()
    _require_root()
    here = cloudplace.place(name)
    with cloudplace.claimed(here) as lock:
        _sweep(here)
        here.logs.mkdir(parents=True)
        try:
            with progress.step("environment"):
                venv = cloudenv.ensure(log_path=here.log_of("pip"))
            return _started(here, venv, lock, start)
        except BaseException:
            cloudrooms.end(here, None)
            raise


def down(name: str) -> list[str]:
    """End a cloud and remove all that is its own; a line for each thing that was removed."""
    _require_root()
    here = cloudplace.place(name)
    if not here.folder.exists():
        return []
    pid = here.read()["pid"] if here.is_live() and here.record.exists() else None
    done = cloudrooms.end(here, pid)
    shutil.rmtree(here.folder, ignore_errors=True)
    return [*done, f"removed {here.folder}"]


def status(name: str) -> dict[str, Any]:
    """Whether a cloud runs, and for each service its state. Raises SpecError for a bad name alone."""
    here = cloudplace.place(name)
    if not here.is_live():
        return {"name": name, "running": False, "services": {}}
    record = here.read()
    answers = {service: cloudhealth.is_well(service, record["ports"]) for service in SERVICES}
    return {
        "name": name, "running": True, "clouds_yaml": str(here.clouds_yaml), "ports": record["ports"],
        "services": answers,
    }  # fmt: skip


def service(action: str, name: str, *, cloud: str) -> None:
    """Stop or start one service of a running cloud, or its ports alone, and wait until that is so."""
    if action not in ("start", "stop") or name not in {*SERVICES, *PORTS_ALONE}:
        known = ", ".join((*SERVICES, *PORTS_ALONE))
        raise SpecError(f"cannot {action} {name}", hint=f"start or stop one of: {known}")
    rooms = _rooms(cloud)
    if name in PORTS_ALONE:
        _ports_alone(rooms, action, name, cloudplace.place(cloud).read()["ports"])
        return
    if action == "start":
        if not rooms.is_running(name):
            ports = cloudplace.place(cloud).read()["ports"]
            _wait_for(rooms, name, _serve(rooms, name), ports)
        return
    rooms.signal(name, signal.SIGTERM)
    try:
        wait.wait_until(lambda: not rooms.is_running(name), timeout_s=_STOP_S)
    except wait.Deadline:
        rooms.signal(name, signal.SIGKILL)


def _ports_alone(rooms: Rooms, action: str, name: str, ports: Mapping[str, int]) -> None:
    owner, close, open_ = PORTS_ALONE[name]
    rooms.signal(owner, open_ if action == "start" else close)
    try:
        wait.wait_until(lambda: cloudhealth.is_well(owner, ports) == (action == "start"), timeout_s=_STOP_S)
    except wait.Deadline:
        raise HostError(f"{name} did not {action}", hint=f"see {rooms.here.log_of(owner)}") from None


def environment(name: str) -> dict[str, str]:
    """The variables that make OpenStack's clients use a running cloud."""
    here = cloudplace.place(name)
    here.read()
    return {"OS_CLIENT_CONFIG_FILE": str(here.clouds_yaml), "OS_CLOUD": name}


def _started(here: Place, venv: Path, lock: int, start: float) -> Cloud:
    entry = workspace.cache_root() / "cloud-seed" / _key(venv)
    seed = entry / _SEED if workspace.is_intact(entry) else None
    secret = _prepare(here, venv, seed)
    with progress.step("namespaces"):
        rooms = cloudrooms.build(here, venv, lock=lock)
        ports = rooms.open_door()
        rooms.start("libvirtd", ["libvirtd", "-f", "/etc/libvirt/libvirtd.conf"])
    if seed is None:
        _make_databases(rooms, secret)
    with progress.step("services"):
        _start_services(rooms, secret, ports, populate=seed is None)
    with progress.step("hypervisor"):
        _finish(rooms, secret, ports, populate=seed is None)
    if seed is None:
        workspace.cached("cloud-seed", _key(venv), lambda folder: _save_seed(here, folder))
    cloudconf.write_clouds_yaml(here, ports, secret, _populate(rooms, "projects", secret, ports))
    here.write({"pid": rooms.pid, "venv": str(venv), "ports": ports})
    seconds = round(time.monotonic() - start, 1)
    return Cloud(name=here.name, clouds_yaml=here.clouds_yaml, ports=ports, seconds=seconds)


def _prepare(here: Place, venv: Path, seed: Path | None) -> dict[str, str]:
    """State and configuration of a cloud that is about to start; its secrets."""
    here.state.mkdir()
    if seed is None:
        cloudconf.store_secrets(here.state / "secrets.json", cloudconf.new_secrets())
    else:
        with tarfile.open(seed) as archive:
            archive.extractall(here.state, filter="data")
    secret = cloudconf.read_secrets(here.state / "secrets.json")
    virt_type = "kvm" if accelerator.find(log_path=here.log_of("probe")).name == "kvm" else "qemu"
    cloudconf.render(here, venv=venv, secret=secret, virt_type=virt_type)
    return secret


def _key(venv: Path) -> str:
    digest = hashlib.sha256(venv.name.encode())
    for part in cloudconf.key_parts():
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def _make_databases(rooms: Rooms, secret: Mapping[str, str]) -> None:
    def make(project: str) -> None:
        words = ["sh", str(cloudconf.folder() / "databases.sh"), project, URLS["identity"]]
        rooms.run(words, log=f"database-{project}", env={"OS_BOOTSTRAP_PASSWORD": secret["admin"]})

    projects = ("keystone", "nova", "neutron", "heat", "glance", "placement")
    with progress.step("databases"), ThreadPoolExecutor(len(projects)) as pool:
        list(pool.map(make, projects))


def _start_services(
    rooms: Rooms, secret: Mapping[str, str], ports: Mapping[str, int], *, populate: bool
) -> None:
    _wait_for(rooms, "keystone", _serve(rooms, "keystone"), ports)
    if populate:
        _populate(rooms, "identity", secret, ports)
    _populate(rooms, "doors", secret, ports)
    begun = {name: _serve(rooms, name) for name in ("placement", "neutron", "glance", "heat")}
    _wait_for(rooms, "placement", begun["placement"], ports)  # nova-compute reports to it at once
    begun["nova"] = _serve(rooms, "nova")
    for name, process in begun.items():
        _wait_for(rooms, name, process, ports)


def _finish(rooms: Rooms, secret: Mapping[str, str], ports: Mapping[str, int], *, populate: bool) -> None:
    if populate:
        rooms.run(
            ["nova-manage", "--config-file", "/run/cloud/etc/nova.conf", "cell_v2", "discover_hosts"],
            log="discover-hosts",
        )
        _populate(rooms, "resources", secret, ports)
    _populate(rooms, "hypervisor", secret, ports)


def _populate(rooms: Rooms, what: str, secret: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    script = cloudconf.folder() / "populate.py"
    said = rooms.ask(["python", script, what], stdin=cloudconf.settings(secret, ports))
    return dict(json.loads(said)) if said.strip() else {}


def _serve(rooms: Rooms, name: str) -> proc.Process:
    (rooms.here.state / "pids" / name).unlink(missing_ok=True)
    return rooms.start(name, ["python", cloudconf.folder() / "serve.py", name])


def _wait_for(rooms: Rooms, name: str, process: proc.Process, ports: Mapping[str, int]) -> None:
    """Until each of a service's APIs answers."""
    log = rooms.here.log_of(name)
    try:
        wait.wait_until(
            lambda: cloudhealth.is_well(name, ports),
            timeout_s=_ANSWER_S,
            alive=lambda: process.poll() is None,
        )
    except wait.Deadline:
        raise HostError(f"{name} does not answer after {_ANSWER_S} s", hint=f"see {log}") from None
    except wait.Died:
        said = "".join(f"\n  | {line}" for line in log.read_text(errors="replace").splitlines()[-5:])
        raise HostError(f"{name} ended as soon as it was started{said}", hint=f"see {log}") from None


def _rooms(name: str) -> Rooms:
    _require_root()
    here = cloudplace.place(name)
    record = here.read()
    return Rooms(here, int(record["pid"]), Path(record["venv"]))


def _save_seed(here: Place, folder: Path) -> None:
    """Databases, keys and secrets: what the next cloud of the same inputs begins with."""
    with tarfile.open(folder / _SEED, "w") as archive:
        for path in sorted((here.state / "db").glob("*.db")):
            copy = folder / path.name
            with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
                source.backup(target)
            archive.add(copy, f"db/{path.name}")
            copy.unlink()
        for name in ("keys", "secrets.json", "nova/compute_id"):
            archive.add(here.state / name, name)
    (folder / _SEED).chmod(0o600)


def _sweep(here: Place) -> None:
    """What an earlier cloud of this name left, which nobody took down."""
    cloudrooms.end(here, None)
    for path in here.folder.iterdir():
        if path.name != "lock":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _require_root() -> None:
    if os.geteuid() != 0:
        raise HostError("a cloud needs root, for its namespaces", hint="run: sudo scripts/inv cloud-up")
