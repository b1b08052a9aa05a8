# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ and MariaDB for a durable Heat, whose engine is a separate process that may be killed.

Debian's programs run as root in the cloud's namespaces and keep their data in the cloud's state.
"""

from __future__ import annotations

import functools
from collections.abc import Collection

from goldsmith.core import proc, wait
from goldsmith.devcloud.namespaces import Namespaces
from goldsmith.errors import CommandError, HostError, SpecError

ENGINE = "heat-engine"
_BROKER = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # the one on PATH runs only as its own user
_READY_S = 60
_PORTS = {"rabbitmq": 5672, "mariadb": 3306}
_ASK = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2)"


def require(services: Collection[str]) -> None:
    """Raises SpecError for a cloud without Heat, HostError if the programs are missing."""
    if "heat" not in services:
        raise SpecError(
            "a durable cloud needs Heat, which is not among its services", hint="add heat to --services"
        )
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


def start(inside: Namespaces) -> None:
    """Start both and wait until they accept connections. Raises HostError."""
    state = "/run/cloud/durable"
    install = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={state}/mariadb"]
    inside.run(
        [*install, "--auth-root-authentication-method=normal", "--skip-test-db"], log="mariadb-install"
    )
    inside.start("mariadb", ["mariadbd", "--defaults-file=/run/cloud/etc/durable/mariadb.conf"])
    inside.start(
        "rabbitmq", ["env", "RABBITMQ_CONF_ENV_FILE=/run/cloud/etc/durable/rabbitmq-env.conf", _BROKER]
    )
    for name, port in _PORTS.items():
        try:
            wait.wait_until(functools.partial(_answers, inside, port), timeout_s=_READY_S)
        except wait.Deadline:
            log = inside.cloud.log_of(name)
            raise HostError(f"{name} does not answer after {_READY_S} s", hint=f"see {log}") from None


def _answers(inside: Namespaces, port: int) -> bool:
    try:
        inside.ask(["python", "-c", _ASK, str(port)])
    except CommandError:
        return False
    return True
