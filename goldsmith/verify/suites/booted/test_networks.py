# SPDX-License-Identifier: Apache-2.0
"""Pods reach each other, the host and the outer world, and are reached at host ports."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

import pytest
from guest import LISTENING, SERVED_PORT, Pod, in_network_of, is_ready, said_at_host_port, wait_for
from testinfra.host import Host

from goldsmith.verify.expectations import Expectations

# what the servers at argv[1] argv[2], argv[3] argv[4], ... send first, a line each
_CONNECT = """
import socket, sys
words = iter(sys.argv[1:])
for address, port in zip(words, words):
    with socket.create_connection((address, int(port)), 10) as peer:
        print(peer.recv(6).decode())
"""
# Two servers of the outer world: one greets; one, at argv[2], answers questions for an address with argv[1]
# (RFC 1035).
_OUTER_SERVERS = f"""
import socket, sys, threading
greeting = {LISTENING}
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
OUTER = "goldsmith-verify"
NEAR, FAR = "192.0.2.1", "192.0.2.2"  # addresses for documentation, RFC 5737
NEAR_6, FAR_6 = "2001:db8::1", "2001:db8::2"  # RFC 3849

pytestmark = pytest.mark.needs("kubelet")


@pytest.fixture(scope="module")
def in_network(host: Host, server: Pod) -> str:
    """The beginning of a command in the network of the suites' server."""
    return in_network_of(host, server)


@pytest.fixture(scope="module")
def inside(in_network: str) -> str:
    """The same, with its files too."""
    return f"{in_network} --mount"


@pytest.fixture(scope="module")
def gateways(host: Host, in_network: str) -> list[str]:
    """The VM's addresses in the pods' network: of IPv4, and of IPv6."""
    routes = host.check_output(f"{in_network} sh -c 'ip -4 route show default; ip -6 route show default'")
    return re.findall(r"via (\S+)", routes)


@pytest.fixture(scope="module")
def nameserver(host: Host, inside: str) -> str:
    """The first IPv4 server that the pod's resolv.conf names."""
    text = host.check_output(f"{inside} cat /etc/resolv.conf")
    found = re.search(r"^nameserver\s+([\d.]+)$", text, re.MULTILINE)
    assert found, f"the pod's resolv.conf names no server: {text}"
    return found[1]


@pytest.fixture(scope="module")
def has_ipv6(server: Pod) -> bool:
    """Whether pods have IPv6: the machine, or a pod network that an element brings, may have none."""
    return any(":" in address for address in addresses_of(server))


@pytest.fixture(scope="module")
def outer(host: Host, nameserver: str, has_ipv6: bool) -> Iterator[list[str]]:
    """Addresses in a network namespace of the guest that stands for the outer world; it knows no pods.

    The pods' name server is there, too.
    """
    inside = f"ip -n {OUTER}"
    of_ipv6 = (
        f"ip address add {NEAR_6}/64 dev verify0 nodad",
        f"{inside} address add {FAR_6}/64 dev verify1 nodad",
    )
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
        *(of_ipv6 if has_ipv6 else ()),
    )
    serve = f"ip netns exec {OUTER} setsid python3 -IS -c %s {FAR} {nameserver} > /dev/null 2>&1 < /dev/null"
    host.check_output(" && ".join(commands) + f" && ({serve} &)", _OUTER_SERVERS)
    listening = f"ip netns exec {OUTER} ss -Hln 'sport = :53 or sport = :{SERVED_PORT}'"
    assert wait_for(lambda: len(host.check_output(listening).splitlines()) == 2, 60)
    yield [FAR, FAR_6] if has_ipv6 else [FAR]
    host.check_output(f"ip netns pids {OUTER} | xargs -r kill; ip netns delete {OUTER}")


def connect(host: Host, prefix: str, *targets: tuple[str, int]) -> list[str]:
    """What the servers at these addresses (or names) and ports send first."""
    words = [str(word) for target in targets for word in target]
    return list(
        host.check_output(f"{prefix} python3 -IS -c %s{' %s' * len(words)}", _CONNECT, *words).split()
    )


def addresses_of(pod: Pod) -> list[str]:
    """The pod's addresses: of IPv4, and of IPv6."""
    return [each["ip"] for each in pod["status"]["podIPs"]]


def test_pod_of_the_suites_is_ready(server: Pod) -> None:
    assert is_ready(server), server


def test_host_port_is_reached_from_outside_the_vm(server: Pod, expected: Expectations) -> None:
    assert said_at_host_port(expected) == b"served"


def test_host_port_is_reached_from_the_vm_itself(host: Host, server: Pod, expected: Expectations) -> None:
    assert connect(host, "", ("127.0.0.1", expected.host_port)) == ["served"]


def test_pods_have_ipv6_where_the_machine_has_it(host: Host, gateways: list[str], has_ipv6: bool) -> None:
    setting = host.run("cat /proc/sys/net/ipv6/conf/default/disable_ipv6").stdout.strip()
    network = host.run("readlink /etc/cni/net.d/10-pods.conflist").stdout

    assert any(":" in gateway for gateway in gateways) == has_ipv6
    assert has_ipv6 == (setting == "0") or not network.startswith("/usr/lib/goldsmith/pod-network-")


def test_pods_reach_each_other_and_the_host(
    host: Host, server: Pod, neighbour: Pod, gateways: list[str], expected: Expectations
) -> None:
    servers = [(address, SERVED_PORT) for address in addresses_of(server)]
    at_host = [(gateway, expected.host_port) for gateway in gateways]
    ssh = [(gateway, 22) for gateway in gateways]

    said = connect(host, in_network_of(host, neighbour), *servers, *at_host, *ssh)

    assert said[: -len(ssh)] == ["served"] * len([*servers, *at_host])
    assert [greeting[:4] for greeting in said[-len(ssh) :]] == ["SSH-"] * len(ssh)


def test_a_pod_reaches_itself_at_its_host_port(
    host: Host, inside: str, gateways: list[str], expected: Expectations
) -> None:
    said = connect(host, inside, *((gateway, expected.host_port) for gateway in gateways))
    assert said == ["served"] * len(gateways)


def test_pods_ask_a_name_server_that_they_can_reach(nameserver: str) -> None:
    assert not ipaddress.ip_address(nameserver).is_loopback, "which is another one in each pod"


def test_pods_resolve_names_and_reach_the_outer_world(host: Host, inside: str, outer: list[str]) -> None:
    said = connect(host, inside, *((address, SERVED_PORT) for address in ["outer.test", *outer]))
    assert said == ["outer!"] * (1 + len(outer))


def test_host_port_is_reached_from_the_outer_world(
    host: Host, outer: list[str], expected: Expectations
) -> None:
    near = [(address, expected.host_port) for address in [NEAR, NEAR_6][: len(outer)]]
    assert connect(host, f"ip netns exec {OUTER}", *near) == ["served"] * len(near)
