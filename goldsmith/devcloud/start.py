# SPDX-License-Identifier: Apache-2.0
"""The start of a test cloud: from its environment to services that answer."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tarfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import cache, paths, proc, progress, wait
from goldsmith.devcloud import backends, config, namespaces, services, tls
from goldsmith.devcloud.instance import URLS, Place
from goldsmith.devcloud.namespaces import Rooms
from goldsmith.errors import HostError
from goldsmith.host import accelerator

_ANSWER_S = 120
_SEED = "seed.tar"

# What Nova's servers need besides the services.
_HELPERS: Mapping[str, tuple[str, ...]] = {
    "libvirtd": ("libvirtd", "-f", "/etc/libvirt/libvirtd.conf"),
    "dhcp": ("dnsmasq", "--conf-file=/run/cloud/etc/dhcp/dnsmasq.conf"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """services: which ones; store_mib: how much Glance's store holds, None: what the disk has.

    tls: clients reach the cloud by TLS alone, with certificates of an authority of its own; quota_mib: what
    a project may keep in Glance, None: all that it wants; durable: Heat's messages and database are
    RabbitMQ's and MariaDB's, so that its engine can be killed and goes on.
    """

    services: tuple[str, ...] = services.DEFAULT
    store_mib: int | None = None
    tls: bool = False
    quota_mib: int | None = None
    durable: bool = False


class Start:
    """One start: what its steps share, from the environment to services that answer."""

    def __init__(self, here: Place, venv: Path, options: Options) -> None:
        self.here, self.venv, self.options = here, venv, options
        self.services = options.services
        entry = paths.cache_root() / "cloud-seed" / self._key()
        self.seed = entry / _SEED if cache.is_intact(entry) else None

    def run(self, lock: int) -> dict[str, int]:
        """All of it; service type -> its port on this host's loopback."""
        self.secret = self._prepare()
        with progress.step("namespaces"):
            self.rooms = namespaces.build(self.here, self.venv, lock=lock)
            if self.options.tls:
                tls.make(self.here.tls)
            self.ports = self.rooms.open_door()
            self._make_store()
            if "nova" in self.services:
                self.helpers = {name: self.rooms.start(name, argv) for name, argv in _HELPERS.items()}
            if self.options.durable:
                backends.start(self.rooms)
        self._make_databases()
        with progress.step("services"):
            self._start_services()
        if "nova" in self.services:
            with progress.step("hypervisor"):
                self._finish()
        if self.seed is None:
            cache.cached("cloud-seed", self._key(), lambda folder: _save_seed(self.here, folder))
        config.write_clouds_yaml(self.here, self.ports, self.secret, self._populate("projects"))
        self.here.write(
            {
                "pid": self.rooms.pid, "venv": str(self.venv), "ports": self.ports,
                "services": self.services, "durable": self.options.durable,
            }
        )  # fmt: skip
        return self.ports

    @property
    def _has_quota(self) -> bool:
        return self.options.quota_mib is not None

    def _key(self) -> str:
        return seed_key(self.venv, self.services, durable=self.options.durable)

    def _prepare(self) -> dict[str, str]:
        """State and configuration of a cloud that is about to start; its secrets."""
        here = self.here
        here.state.mkdir()
        if self.seed is None:
            config.store_secrets(here.state / "secrets.json", config.new_secrets())
        else:
            with tarfile.open(self.seed) as archive:
                # Debian 12's Python is too old for the word filter=
                archive.extraction_filter = getattr(tarfile, "data_filter", None)
                archive.extractall(here.state)  # noqa: S202 - an archive of our own
        secret = config.read_secrets(here.state / "secrets.json")
        virt_type = "kvm" if accelerator.find(log_path=here.log_of("probe")).name == "kvm" else "qemu"
        config.render(
            here, venv=self.venv, secret=secret, virt_type=virt_type, quota=self._has_quota,
            durable=self.options.durable,
        )  # fmt: skip
        return secret

    def _make_store(self) -> None:
        """A store of a size of its own is a file system in memory, which is full when that is used up."""
        if self.options.store_mib is not None:
            size = f"size={self.options.store_mib}m"
            self.rooms.run(
                ["mount", "-t", "tmpfs", "-o", size, "store", "/run/cloud/glance/images"], log="store"
            )

    def _make_databases(self) -> None:
        def make(project: str) -> None:
            words = ["sh", str(config.folder() / "databases.sh"), project, URLS["identity"]]
            env = {"OS_BOOTSTRAP_PASSWORD": self.secret["admin"]}
            self.rooms.run(words, log=f"database-{project}", env=env)

        # what a seed does not have: MariaDB's are made anew
        wanted = self.services if self.seed is None else ("heat",) if self.options.durable else ()
        if wanted:
            with progress.step("databases"), ThreadPoolExecutor(len(wanted)) as pool:
                running = [pool.submit(copy_context().run, make, project) for project in wanted]
                [each.result() for each in running]

    def _start_services(self) -> None:
        rooms, ports = self.rooms, self.ports
        wait_for(rooms, "keystone", serve(rooms, "keystone"), ports)
        if self.seed is None:
            self._populate("identity")
        self._populate("doors")
        if self._has_quota:
            self._populate("quota")
        others = [name for name in self.services if name not in ("keystone", "nova")]
        begun = {name: serve(rooms, name) for name in others}
        if self.options.durable:
            serve(rooms, backends.ENGINE)
        if "nova" in self.services:
            wait_for(rooms, "placement", begun["placement"], ports)  # nova-compute reports to it at once
            begun["nova"] = serve(rooms, "nova")
        for name, process in begun.items():
            wait_for(rooms, name, process, ports)

    def _finish(self) -> None:
        require_running(self.rooms, self.helpers)
        if self.seed is None:
            self.rooms.run(
                ["nova-manage", "--config-file", "/run/cloud/etc/nova.conf", "cell_v2", "discover_hosts"],
                log="discover-hosts",
            )
            self._populate("resources")
        self._populate("hypervisor")

    def _populate(self, what: str) -> dict[str, str]:
        script = config.folder() / "populate.py"
        stdin = config.settings(
            self.secret, self.ports, tls=self.options.tls, quota_mib=self.options.quota_mib
        )
        said = self.rooms.ask(["python", script, what], stdin=stdin)
        return dict(json.loads(said)) if said.strip() else {}


def seed_key(venv: Path, services: Sequence[str], *, durable: bool = False) -> str:
    """Of the databases that a cloud of these services begins with: all that they depend on."""
    digest = hashlib.sha256(f"{venv.name} {' '.join(services)}{' durable' if durable else ''}".encode())
    for part in config.key_parts():
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def serve(rooms: Rooms, name: str) -> proc.Process:
    """Start a service, unless what it needs is missing; see wait_for()."""
    (rooms.here.state / "pids" / name).unlink(missing_ok=True)
    return rooms.start(name, ["python", config.folder() / "serve.py", name])


def wait_for(rooms: Rooms, name: str, process: proc.Process, ports: Mapping[str, int]) -> None:
    """Until each of a service's APIs answers."""
    log = rooms.here.log_of(name)
    try:
        wait.wait_until(
            lambda: services.is_well(name, ports, ca=rooms.here.ca),
            timeout_s=_ANSWER_S,
            alive=lambda: process.poll() is None,
        )
    except wait.Deadline:
        raise HostError(f"{name} does not answer after {_ANSWER_S} s", hint=f"see {log}") from None
    except wait.Died:
        raise _ended_at_once(rooms, name) from None


def require_running(rooms: Rooms, helpers: Mapping[str, proc.Process]) -> None:
    """Nobody else asks for them, and a server would wait for them in vain. Raises HostError."""
    for name, process in helpers.items():
        if process.poll() is not None:
            raise _ended_at_once(rooms, name)


def _ended_at_once(rooms: Rooms, name: str) -> HostError:
    log = rooms.here.log_of(name)
    said = "".join(f"\n  | {line}" for line in log.read_text(errors="replace").splitlines()[-5:])
    return HostError(f"{name} ended as soon as it was started{said}", hint=f"see {log}")


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
            if (here.state / name).exists():
                archive.add(here.state / name, name)
    (folder / _SEED).chmod(0o600)
