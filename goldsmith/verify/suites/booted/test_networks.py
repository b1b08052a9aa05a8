# SPDX-License-Identifier: Apache-2.0
"""Pods reach each other, the host and the outer world, and are reached at host ports."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator

import pytest
from guest import SERVED_PORT, Pod, in_network_of, inside_of, is_ready, wait_for
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations

_CONNECT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as peer:
    print(peer.recv(6).decode())
"""
_RESOLVE = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"
# Two servers of the outer world: one greets; one, at argv[2], answers questions for an address with argv[1]
# (RFC 1035).
_OUTER_SERVERS = f"""
import socket, sys, threading
greeting = socket.create_server(("", {SERVED_PORT}))
def greet():
    while True:
        peer, _ = greeting.accept()
        peer.sendall(b"outer!")
        peer.close()
threading.Thread(target=greet, daemon=True).start()
names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
names.bind((sys.argv[2], 53))
while True:
    asked, client = names.recvfrom(512)
    question = asked[12:asked.index(0, 12) + 5]
    answer = bytes.fromhex("c00c000100010000003c0004") + socket.inet_aton(sys.argv[1])
    kind = question[-4:-2]
    count = b"\\0\\1" if kind == b"\\0\\1" else b"\\0\\0"
    head = asked[:2] + b"\\x85\\0\\0\\1" + count + b"\\0\\0\\0\\0"
    names.sendto(head + question + (answer if kind == b"\\0\\1" else b""), client)
"""
OUTER, NEAR, FAR = "goldsmith-verify", "192.0.2.1", "192.0.2.2"  # addresses for documentation, RFC 5737

pytestmark = pytest.mark.needs("kubelet")


@pytest.fixture(scope="module")
def nameserver(host: Host, server: Pod) -> str:
    """The first IPv4 server that the pod's resolv.conf names."""
    text = host.check_output(f"{inside_of(host, server)} cat /etc/resolv.conf")
    found = re.search(r"^nameserver\s+([\d.]+)$", text, re.MULTILINE)
    assert found, f"the pod's resolv.conf names no server: {text}"
    return found[1]


@pytest.fixture(scope="module")
def outer(host: Host, nameserver: str) -> Iterator[str]:
    """An address in a network namespace of the guest that stands for the outer world; it knows no pods.

    The pods' name server is there, too.
    """
    inside = f"ip -n {OUTER}"
    commands = (
        f"ip netns add {OUTER}",
        f"ip link add verify0 type veth peer name verify1 netns {OUTER}",
        f"ip address add {NEAR}/30 dev verify0",
        "ip link set verify0 up",
        f"{inside} address add {FAR}/30 dev verify1",
        f"{inside} address add {nameserver}/32 dev lo",
        f"{inside} link set lo up",
        f"{inside} link set verify1 up",
        f"ip route add {nameserver}/32 via {FAR}",
    )
    host.check_output(" && ".join(commands))
    host.check_output(
        f"ip netns exec {OUTER} setsid python3 -IS -c %s {FAR} {nameserver} > /dev/null 2>&1 < /dev/null &",
        _OUTER_SERVERS,
    )
    listening = f"ip netns exec {OUTER} ss -Hln 'sport = :53 or sport = :{SERVED_PORT}'"
    assert wait_for(lambda: len(host.check_output(listening).splitlines()) == 2, 60)
    yield FAR
    host.check_output(f"ip netns pids {OUTER} | xargs -r kill; ip netns delete {OUTER}")


def connect(host: Host, address: str, port: int, *, prefix: str = "") -> str:
    """What a server sends first."""
    return str(host.check_output(f"{prefix} python3 -IS -c %s %s %s", _CONNECT, address, str(port))).strip()


def test_pod_of_the_suites_is_ready(server: Pod) -> None:
    assert is_ready(server), server


def test_host_port_is_reached_from_outside_the_vm(server: Pod, expected: Expectations) -> None:
    assert expected.host_port_at is not None
    with socket.create_connection(("127.0.0.1", expected.host_port_at), 20 * expected.slowness) as peer:
        assert peer.recv(6) == b"served"


def test_host_port_is_reached_from_the_vm_itself(host: Host, server: Pod, expected: Expectations) -> None:
    assert connect(host, "127.0.0.1", expected.host_port) == "served"


def test_pods_reach_each_other_and_the_host(host: Host, server: Pod, neighbour: Pod) -> None:
    inside = in_network_of(host, neighbour)
    gateway = host.check_output(f"{inside} ip route show default").split()[2]

    assert connect(host, server["status"]["podIP"], SERVED_PORT, prefix=inside) == "served"
    assert connect(host, gateway, 22, prefix=inside).startswith("SSH-")


def test_pods_ask_a_name_server_that_they_can_reach(nameserver: str) -> None:
    assert not ipaddress.ip_address(nameserver).is_loopback, "which is another one in each pod"


def test_pods_resolve_names_and_reach_the_outer_world(host: Host, server: Pod, outer: str) -> None:
    inside = inside_of(host, server)

    assert host.check_output(f"{inside} python3 -IS -c %s outer.test", _RESOLVE).strip() == outer
    assert connect(host, outer, SERVED_PORT, prefix=inside) == "outer!"
