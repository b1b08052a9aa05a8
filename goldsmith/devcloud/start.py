# SPDX-License-Identifier: Apache-2.0
"""The start of a test cloud: namespaces, databases, services, the resources in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import proc, progress, wait
from goldsmith.devcloud import backends, config, namespaces, seed, services, tls
from goldsmith.devcloud.instance import URLS, CloudRecord, Instance
from goldsmith.devcloud.namespaces import Namespaces
from goldsmith.errors import HostError
from goldsmith.host import accelerator

_ANSWER_S = 120

# Programs that Nova's servers need besides the services.
_HELPERS: Mapping[str, tuple[str, ...]] = {
    "libvirtd": ("libvirtd", "-f", "/etc/libvirt/libvirtd.conf"),
    "dhcp": ("dnsmasq", "--conf-file=/run/cloud/etc/dhcp/dnsmasq.conf"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """services: which ones; store_mib: capacity of Glance's store, None: that of the disk.

    tls: clients must use TLS, with certificates of the cloud's own authority; quota_mib: how much a project
    may store in Glance, None: no limit; durable: Heat uses RabbitMQ and MariaDB, so that its engine can be
    killed and resumes its work.
    """

    services: tuple[str, ...] = services.DEFAULT
    store_mib: int | None = None
    tls: bool = False
    quota_mib: int | None = None
    durable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Starting:
    """What the steps share once the namespaces exist; seed: None if the databases are new."""

    cloud: Instance
    options: Options
    seed: Path | None
    secret: Mapping[str, str]
    inside: Namespaces
    ports: Mapping[str, int]

    def has(self, service: str) -> bool:
        return service in self.options.services

    def populate(self, task: str) -> dict[str, str]:
        """Run one task of devcloud/populate.py; its answer."""
        options = self.options
        stdin = config.settings(self.secret, self.ports, tls=options.tls, quota_mib=options.quota_mib)
        printed = self.inside.ask(["python", config.folder() / "populate.py", task], stdin=stdin)
        return dict(json.loads(printed)) if printed.strip() else {}


def run(cloud: Instance, venv: Path, options: Options, *, lock: int) -> Mapping[str, int]:
    """Start a cloud; service type -> its port on this host's loopback. lock: see instance.claimed()."""
    key = seed.key(venv, options.services, durable=options.durable)
    found = seed.find(key)
    secret = _prepare(cloud, venv, options, found)
    with progress.step("namespaces"):
        inside = namespaces.build(cloud, venv, lock=lock)
        if options.tls:
            tls.make(cloud.tls)
        starting = _Starting(
            cloud=cloud, options=options, seed=found, secret=secret, inside=inside,
            ports=inside.forward_ports(),
        )  # fmt: skip
        helpers = _start_helpers(starting)
    _make_databases(starting)
    with progress.step("services"):
        _start_services(starting)
    if starting.has("nova"):
        with progress.step("hypervisor"):
            _add_hypervisor(starting, helpers)
    if found is None:
        seed.keep(key, cloud)
    config.write_clouds_yaml(cloud, starting.ports, secret, starting.populate("projects"))
    CloudRecord(
        name=cloud.name, pid=inside.pid, venv=str(venv), ports=starting.ports, services=options.services,
        durable=options.durable,
    ).write(cloud.record)  # fmt: skip
    return starting.ports


def _prepare(cloud: Instance, venv: Path, options: Options, archive: Path | None) -> dict[str, str]:
    """Create state and configuration of a new cloud; its secrets."""
    cloud.state.mkdir()
    if archive is None:
        config.store_secrets(cloud.state / "secrets.json", config.new_secrets())
    else:
        seed.unpack(archive, cloud)
    secret = config.read_secrets(cloud.state / "secrets.json")
    virt_type = "kvm" if accelerator.find(log_path=cloud.log_of("probe")).name == "kvm" else "qemu"
    config.render(
        cloud, venv=venv, secret=secret, virt_type=virt_type, quota=options.quota_mib is not None,
        durable=options.durable,
    )  # fmt: skip
    return secret


def _start_helpers(starting: _Starting) -> dict[str, proc.Process]:
    """Glance's store, Nova's helpers, and the backends of a durable Heat; the helpers' processes."""
    inside, options = starting.inside, starting.options
    if options.store_mib is not None:  # a file system in memory: full when so much is used
        size = f"size={options.store_mib}m"
        inside.run(["mount", "-t", "tmpfs", "-o", size, "store", "/run/cloud/glance/images"], log="store")
    helpers = {name: inside.start(name, argv) for name, argv in _HELPERS.items() if starting.has("nova")}
    if options.durable:
        backends.start(inside)
    return helpers


def _make_databases(starting: _Starting) -> None:
    """Create the databases that the seed does not have; those in MariaDB are never in it."""

    def make(project: str) -> None:
        words = ["sh", str(config.folder() / "databases.sh"), project, URLS["identity"]]
        env = {"OS_BOOTSTRAP_PASSWORD": starting.secret["admin"]}
        starting.inside.run(words, log=f"database-{project}", env=env)

    options = starting.options
    missing = options.services if starting.seed is None else ("heat",) if options.durable else ()
    if missing:
        with progress.step("databases"), ThreadPoolExecutor(len(missing)) as pool:
            running = [pool.submit(copy_context().run, make, project) for project in missing]
            [each.result() for each in running]


def _start_services(starting: _Starting) -> None:
    """Start every service and wait until it answers, Keystone first, Nova after Placement."""
    inside, ports = starting.inside, starting.ports
    wait_for(inside, "keystone", serve(inside, "keystone"), ports)
    if starting.seed is None:
        starting.populate("identity")
    starting.populate("forwarded_endpoints")
    if starting.options.quota_mib is not None:
        starting.populate("quota")
    others = [name for name in starting.options.services if name not in ("keystone", "nova")]
    begun = {name: serve(inside, name) for name in others}
    if starting.options.durable:
        serve(inside, backends.ENGINE)
    if starting.has("nova"):
        wait_for(inside, "placement", begun["placement"], ports)  # nova-compute reports to it at once
        begun["nova"] = serve(inside, "nova")
    for name, process in begun.items():
        wait_for(inside, name, process, ports)


def _add_hypervisor(starting: _Starting, helpers: Mapping[str, proc.Process]) -> None:
    """Wait until Nova can schedule servers; create flavors and network in a new cloud."""
    require_running(starting.inside, helpers)
    if starting.seed is None:
        starting.inside.run(
            ["nova-manage", "--config-file", "/run/cloud/etc/nova.conf", "cell_v2", "discover_hosts"],
            log="discover-hosts",
        )
        starting.populate("resources")
    starting.populate("hypervisor")


def serve(inside: Namespaces, name: str) -> proc.Process:
    """Start a service; it may end at once, see wait_for()."""
    (inside.cloud.state / "pids" / name).unlink(missing_ok=True)
    return inside.start(name, ["python", config.folder() / "serve.py", name])


def wait_for(inside: Namespaces, name: str, process: proc.Process, ports: Mapping[str, int]) -> None:
    """Wait until each API of a service answers. Raises HostError."""
    log = inside.cloud.log_of(name)
    try:
        wait.wait_until(
            lambda: services.is_well(name, ports, ca=inside.cloud.ca),
            timeout_s=_ANSWER_S,
            alive=lambda: process.poll() is None,
        )
    except wait.Deadline:
        raise HostError(f"{name} does not answer after {_ANSWER_S} s", hint=f"see {log}") from None
    except wait.Died:
        raise _ended_at_once(inside, name) from None


def require_running(inside: Namespaces, helpers: Mapping[str, proc.Process]) -> None:
    """Raise HostError for a helper that ended: nothing else notices, and servers would wait for it."""
    for name, process in helpers.items():
        if process.poll() is not None:
            raise _ended_at_once(inside, name)


def _ended_at_once(inside: Namespaces, name: str) -> HostError:
    log = inside.cloud.log_of(name)
    tail = "".join(f"\n  | {line}" for line in log.read_text(errors="replace").splitlines()[-5:])
    return HostError(f"{name} ended as soon as it was started{tail}", hint=f"see {log}")
