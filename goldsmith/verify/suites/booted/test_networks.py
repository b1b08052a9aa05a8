# SPDX-License-Identifier: Apache-2.0
"""Pods reach each other and the host, and are reached at their host ports; nothing else answers unasked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from guest import SERVED_PORT, Pod, free_host_port, in_network_of, is_ready
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations

_CONNECT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as peer:
    print(peer.recv(6).decode())
"""
OUTSIDE, NEAR, FAR = "goldsmith-verify", "192.0.2.1", "192.0.2.2"  # addresses for documentation, RFC 5737


@pytest.fixture(scope="module")
def outside(host: Host, brought: Mapping[str, Pod]) -> Iterator[str]:
    """The beginning of a command in a network namespace of the guest, which stands for the outer world."""
    for command in (
        f"ip netns add {OUTSIDE}",
        f"ip link add verify0 type veth peer name verify1 netns {OUTSIDE}",
        f"ip address add {NEAR}/30 dev verify0",
        "ip link set verify0 up",
        f"ip -n {OUTSIDE} address add {FAR}/30 dev verify1",
        f"ip -n {OUTSIDE} link set verify1 up",
        f"ip -n {OUTSIDE} link set lo up",
        f"ip -n {OUTSIDE} route add default via {NEAR}",
    ):
        host.check_output(command)
    yield f"ip netns exec {OUTSIDE}"
    host.check_output(f"ip netns delete {OUTSIDE}")


@pytest.fixture(scope="module")
def host_port(expected: Expectations) -> int:
    return free_host_port(expected.info.verify.pods)


def connect(host: Host, address: str, port: int, *, prefix: str = "") -> str:
    """What a server sends first."""
    return str(host.check_output(f"{prefix} python3 -IS -c %s %s %s", _CONNECT, address, str(port))).strip()


@pytest.mark.needs("kubelet")
def test_pods_of_the_suites_are_ready(brought: Mapping[str, Pod]) -> None:
    assert [name for name, pod in brought.items() if not is_ready(pod)] == [], brought


@pytest.mark.needs("kubelet")
def test_host_port_is_reached_from_outside(host: Host, outside: str, host_port: int) -> None:
    assert connect(host, NEAR, host_port, prefix=outside) == "served"


@pytest.mark.needs("kubelet")
def test_host_port_is_reached_from_the_guest_itself(
    host: Host, brought: Mapping[str, Pod], host_port: int
) -> None:
    assert connect(host, "127.0.0.1", host_port) == "served"


@pytest.mark.needs("kubelet")
def test_pods_reach_each_other_and_the_host(host: Host, brought: Mapping[str, Pod]) -> None:
    one, other = brought["server"], brought["server-on-host-port"]
    inside = in_network_of(host, one)
    gateway = host.check_output(f"{inside} ip route show default").split()[2]

    assert connect(host, other["status"]["podIP"], SERVED_PORT, prefix=inside) == "served"
    assert connect(host, gateway, 22, prefix=inside).startswith("SSH-")


@pytest.mark.needs("systemd")
def test_names_of_neighbours_are_not_answered(host: Host) -> None:
    """LLMNR has port 5355, multicast DNS 5353."""
    sockets = host.check_output("ss -Hlntup").splitlines()
    assert [
        line for line in sockets if "systemd-resolve" in line and (":5355 " in line or ":5353 " in line)
    ] == []
