# SPDX-License-Identifier: Apache-2.0
"""The folder, lock and record of one test cloud; the addresses of its services."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from goldsmith.core import locks, ownership, paths
from goldsmith.core.documents import Document, about
from goldsmith.errors import HostError, SpecError

DEFAULT = "devcloud"
_KIND = "cloud"
ADDRESS = "10.77.0.1"  # in each cloud's own network namespace: two clouds may have the same
METADATA = "169.254.169.254"  # the metadata service, for guests without a config drive

# Service type -> port. Heat's two APIs share a process, and so do Nova's services.
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
class CloudRecord(Document):
    """cloud.json: a running cloud."""

    SCHEMA: ClassVar[str] = "goldsmith.cloud"

    name: Annotated[str, about("Name of the cloud.")]
    pid: Annotated[int, about("Its process 1, as this host sees it.")]
    venv: Annotated[str, about("Folder of the Python environment of its services.")]
    ports: Annotated[Mapping[str, int], about("Service type -> port of 127.0.0.1.")]
    services: Annotated[tuple[str, ...], about("The services that it was started with.")]
    durable: Annotated[bool, about("Heat uses RabbitMQ and MariaDB.")] = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One cloud's folder. A held lock in it means that the cloud is live: its process 1 inherits the lock."""

    name: str
    folder: Path

    @property
    def state(self) -> Path:
        """The folder that the cloud sees as /run/cloud."""
        return self.folder / "state"

    @property
    def logs(self) -> Path:
        return self.folder / "log"

    @property
    def clouds_yaml(self) -> Path:
        return self.folder / "clouds.yaml"

    @property
    def tls(self) -> Path:
        """The folder of the cloud's certificate authority; it exists if the cloud uses TLS."""
        return self.folder / "tls"

    @property
    def ca(self) -> Path | None:
        """The certificate that clients of this cloud must trust; None for plain HTTP."""
        return self.tls / "ca.pem" if self.tls.exists() else None

    @property
    def record(self) -> Path:
        return self.folder / "cloud.json"

    @property
    def owner(self) -> Path:
        """A lock held by the process that the cloud belongs to; it exists only if it belongs to one."""
        return self.folder / "owner"

    def is_ours(self) -> bool:
        """Its folder has our marker."""
        return ownership.is_ours(self.folder, _KIND)

    def require_ours(self) -> None:
        """Raise HostError if its folder is there and is not ours."""
        if self.folder.exists() and not self.is_ours():
            raise HostError(
                f"{self.folder} is not marked as the folder of a test cloud",
                hint="move it away, or give your cloud another --name",
            )

    def log_of(self, service: str) -> Path:
        """The log of a service."""
        return self.logs / f"{service}.log"

    def keep(self, folder: Path) -> None:
        """Copy logs, databases and consoles of servers, to look at after the cloud's end. Raises OSError."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.logs, folder)
        for path in self.state.glob("db/*.db"):
            shutil.copy(path, folder)
        for path in self.state.glob("nova/instances/*/console.log"):
            shutil.copy(path, folder / f"console-{path.parent.name}.log")

    def is_live(self) -> bool:
        """Its process 1 runs, or it is being started."""
        return locks.is_held(self.folder / "lock")

    def is_abandoned(self) -> bool:
        """Its owner ended without ending the cloud."""
        return self.owner.exists() and not self.is_owned()

    def is_owned(self) -> bool:
        """Its owner is alive."""
        return locks.is_held(self.owner)

    def read(self) -> CloudRecord:
        """The record of a running cloud. Raises HostError if it does not run or its record is unusable."""
        if not self.is_live() or not self.record.exists():
            raise HostError(
                f"the cloud {self.name} does not run", hint=f"run: scripts/inv cloud-up --name {self.name}"
            )
        try:
            return CloudRecord.read(self.record, error=HostError)
        except HostError as e:
            end = f"end the cloud: scripts/inv cloud-down --name {self.name}"
            raise HostError(str(e), hint=f"{e.hint}, or {end}" if e.hint else end) from e


def named(name: str) -> Instance:
    """A cloud of this user. Raises SpecError for an invalid name."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,20}", name):
        raise SpecError(
            f"{name!r} is no valid name for a cloud",
            hint="use a-z, 0-9 and -, at most 21 characters, a letter first",
        )
    return Instance(name=name, folder=paths.scratch_root() / f"cloud-{name}")


def existing() -> list[Instance]:
    """Every cloud of this user that has a folder, whether it is live or not."""
    folders = sorted(paths.scratch_root().glob("cloud-*"))
    clouds = [Instance(name=folder.name.removeprefix("cloud-"), folder=folder) for folder in folders]
    return [cloud for cloud in clouds if cloud.is_ours()]


def _make_folder(cloud: Instance) -> None:
    """Make the cloud's folder, with our marker. Raises HostError if something else has its place."""
    cloud.folder.mkdir(mode=0o700, exist_ok=True)
    if not any(cloud.folder.iterdir()):
        ownership.mark(cloud.folder, _KIND)
    cloud.require_ours()


@contextlib.contextmanager
def owned(cloud: Instance) -> Iterator[None]:
    """Own the cloud until the block ends. Raises HostError if another process owns it."""
    _make_folder(cloud)
    taken = HostError(
        f"the cloud {cloud.name} is in use by another goldsmith process", hint="wait until that has ended"
    )
    with locks.locked(cloud.owner, taken=taken):
        yield


@contextlib.contextmanager
def claimed(cloud: Instance) -> Iterator[int]:
    """Hold the cloud's lock; yields its file descriptor. Raises HostError if the cloud is live."""
    _make_folder(cloud)
    taken = HostError(
        f"the cloud {cloud.name} runs already",
        hint=f"run: scripts/inv cloud-down --name {cloud.name}, or give yours another --name",
    )
    with locks.locked(cloud.folder / "lock", taken=taken) as lock:
        yield lock
