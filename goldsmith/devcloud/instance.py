# SPDX-License-Identifier: Apache-2.0
"""Where a one-machine cloud lives, whether it runs, and what it is called from outside."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.core import files, locks, paths
from goldsmith.errors import HostError, SpecError

DEFAULT = "devcloud"
ADDRESS = "10.77.0.1"  # in each cloud's own network namespace: two clouds may have the same
METADATA = "169.254.169.254"  # where guests without a config drive ask, in every cloud
SCHEMA, SCHEMA_VERSION = "goldsmith.cloud", 1

# Service type -> port. Heat's two APIs are one process, Nova's services are another.
PORTS: Mapping[str, int] = {
    "identity": 5000,
    "image": 9292,
    "placement": 8778,
    "network": 9696,
    "compute": 8774,
    "orchestration": 8004,
    "cloudformation": 8000,
    "object-store": 8080,
}
URLS: Mapping[str, str] = {kind: f"http://{ADDRESS}:{port}" for kind, port in PORTS.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The folder of one cloud. Whoever holds its lock is the cloud: it is inherited by its process 1."""

    name: str
    folder: Path

    @property
    def state(self) -> Path:
        """What the cloud sees as /run/cloud."""
        return self.folder / "state"

    @property
    def logs(self) -> Path:
        return self.folder / "log"

    @property
    def clouds_yaml(self) -> Path:
        return self.folder / "clouds.yaml"

    @property
    def tls(self) -> Path:
        """The folder of a cloud's own certificate authority; there is none where it speaks plain HTTP."""
        return self.folder / "tls"

    @property
    def ca(self) -> Path | None:
        """Whose certificates a client of this cloud has to trust; None where it speaks plain HTTP."""
        return self.tls / "ca.pem" if self.tls.exists() else None

    @property
    def record(self) -> Path:
        return self.folder / "cloud.json"

    @property
    def owner(self) -> Path:
        """A lock that is held by whom this cloud is for; there is none where it is for everybody."""
        return self.folder / "owner"

    def log_of(self, service: str) -> Path:
        """Everything that a service says."""
        return self.logs / f"{service}.log"

    def keep(self, folder: Path) -> None:
        """Copy what tells afterwards what happened: logs, databases, the consoles of servers. OSError."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.logs, folder)
        for path in self.state.glob("db/*.db"):
            shutil.copy(path, folder)
        for path in self.state.glob("nova/instances/*/console.log"):
            shutil.copy(path, folder / f"console-{path.parent.name}.log")

    def is_live(self) -> bool:
        """Its process 1 runs, or somebody is just starting it."""
        return locks.is_held(self.folder / "lock")

    def is_abandoned(self) -> bool:
        """Whom it was for has ended without taking it down."""
        return self.owner.exists() and not self.is_owned()

    def is_owned(self) -> bool:
        """Whom it is for lives."""
        return locks.is_held(self.owner)

    def read(self) -> dict[str, Any]:
        """The record of a running cloud: pid of its process 1, ports on the host. Raises HostError."""
        with contextlib.suppress(OSError, ValueError):
            record = json.loads(self.record.read_text())
            if record["schema"] == SCHEMA and self.is_live():
                return dict(record)
        raise HostError(
            f"the cloud {self.name} does not run", hint=f"run: scripts/inv cloud-up --name {self.name}"
        )

    def write(self, facts: Mapping[str, Any]) -> None:
        """Note the facts about a cloud that has just been started."""
        record = {"schema": SCHEMA, "version": SCHEMA_VERSION, "name": self.name, **facts}
        files.write_atomically(self.record, json.dumps(record, indent=1).encode())


def place(name: str) -> Place:
    """The place of a cloud of this user's. Raises SpecError for a name that is no plain word."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,20}", name):
        raise SpecError(f"{name!r} is no name for a cloud", hint="use a-z, 0-9 and -, at most 21 of them")
    return Place(name=name, folder=paths.scratch_root() / f"cloud-{name}")


def places() -> list[Place]:
    """Every cloud of this user's that was started and not taken down, whether it lives or not."""
    folders = sorted(paths.scratch_root().glob("cloud-*"))
    return [Place(name=folder.name.removeprefix("cloud-"), folder=folder) for folder in folders]


@contextlib.contextmanager
def owned(here: Place) -> Iterator[None]:
    """The place is for this process alone. Raises HostError if it is for another."""
    here.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    taken = HostError(
        f"the cloud {here.name} is in use by another process of ours", hint="wait until that has ended"
    )
    with locks.locked(here.owner, taken=taken):
        yield


@contextlib.contextmanager
def claimed(here: Place) -> Iterator[int]:
    """The place is ours; yields the file descriptor that says so. Raises HostError if it is taken."""
    here.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    taken = HostError(
        f"the cloud {here.name} runs already",
        hint=f"run: scripts/inv cloud-down --name {here.name}, or give yours another --name",
    )
    with locks.locked(here.folder / "lock", taken=taken) as lock:
        yield lock
