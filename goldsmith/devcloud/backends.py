# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ and MariaDB for a test cloud's Heat, whose engine then is a process of its own that may be killed.

Debian's programs, each as root in the cloud's namespaces; what they keep is in the cloud's state.
"""

from __future__ import annotations

import functools
from collections.abc import Collection

from goldsmith.core import proc, wait
from goldsmith.devcloud.namespaces import Rooms
from goldsmith.errors import CommandError, HostError, SpecError

ENGINE = "heat-engine"
_BROKER = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # the one on PATH is for its own user alone
_READY_S = 60
_PORTS = {"rabbitmq": 5672, "mariadb": 3306}
_ASK = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2)"


def require(services: Collection[str]) -> None:
    """Raises SpecError for a cloud without Heat, HostError where the programs are not there."""
    if "heat" not in services:
        raise SpecError("it is Heat that is durable, and not among the services", hint="--services heat,...")
    missing = [
        name
        for name in (_BROKER, "mariadbd", "mariadb-install-db", "my_print_defaults")
        if proc.which(name) is None
    ]
    if missing:
        raise HostError(
            f"a durable Heat needs {', '.join(missing)}",
            hint="Debian: apt-get install rabbitmq-server mariadb-server-core mariadb-client-core",
        )


def start(rooms: Rooms) -> None:
    """Both, until each takes connections. Raises HostError."""
    state = "/run/cloud/durable"
    install = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={state}/mariadb"]
    rooms.run([*install, "--auth-root-authentication-method=normal", "--skip-test-db"], log="mariadb-install")
    rooms.start("mariadb", ["mariadbd", "--defaults-file=/run/cloud/etc/durable/mariadb.conf"])
    rooms.start(
        "rabbitmq", ["env", "RABBITMQ_CONF_ENV_FILE=/run/cloud/etc/durable/rabbitmq-env.conf", _BROKER]
    )
    for name, port in _PORTS.items():
        try:
            wait.wait_until(functools.partial(_answers, rooms, port), timeout_s=_READY_S)
        except wait.Deadline:
            log = rooms.here.log_of(name)
            raise HostError(f"{name} does not answer after {_READY_S} s", hint=f"see {log}") from None


def _answers(rooms: Rooms, port: int) -> bool:
    try:
        rooms.ask(["python", "-c", _ASK, str(port)])
    except CommandError:
        return False
    return True
