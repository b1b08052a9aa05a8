# SPDX-License-Identifier: Apache-2.0
"""Ports of the VM that two pods want."""

from __future__ import annotations

import json
from typing import Any

import pytest

from goldsmith.spec import host_ports
from goldsmith.spec.document import parse_document

ANY = {"containerPort": 80, "hostPort": 8080}


def pod(*ports: Any, **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"ports": [port]} for port in ports], **spec}}


def problems(*pods: Any) -> list[str]:
    text = json.dumps({"verify": {"pods": pods}})
    return [
        problem.message for problem in host_ports.check(parse_document(text, lambda line: ("mine", line)))
    ]


@pytest.mark.parametrize(
    "pods",
    [
        (pod(ANY), pod(ANY)),
        (pod(ANY, ANY),),
        (pod(ANY), pod({"containerPort": 8080}, hostNetwork=True)),
        (pod({"containerPort": 8080}, hostNetwork=True), pod({"containerPort": 8080}, hostNetwork=True)),
        (pod(ANY), pod({**ANY, "hostIP": "192.0.2.1"})),
        (pod({**ANY, "hostIP": "0.0.0.0"}), pod({**ANY, "hostIP": "192.0.2.1"})),  # noqa: S104 - of a pod
        (pod(ANY), pod({**ANY, "protocol": "TCP"})),
    ],
)
def test_the_later_of_two_is_named(pods: tuple[Any, ...]) -> None:
    [found] = problems(*pods)

    assert "wants port 8080/TCP of the host twice" in found
    assert found.startswith(f"verify.pods[{len(pods) - 1}].spec.containers[")


@pytest.mark.parametrize("port", [88088, 65536, -1])
def test_a_port_that_no_machine_has_is_named(port: int) -> None:
    asked = [pod({"containerPort": 80, "hostPort": port}), pod({"containerPort": port}, hostNetwork=True)]

    found = problems(*asked)

    assert [f"wants port {port} of the host" in message for message in found] == [True, True]
    assert problems(pod({**ANY, "hostPort": 65535}), pod({"containerPort": port})) == []


@pytest.mark.parametrize(
    "pods",
    [
        (pod(ANY), pod({**ANY, "protocol": "UDP"})),
        (pod({**ANY, "hostIP": "192.0.2.1"}), pod({**ANY, "hostIP": "192.0.2.2"})),
        (pod({"containerPort": 80}), pod({"containerPort": 80})),
        (pod({"containerPort": 80}), pod({"containerPort": 80}, hostNetwork=True)),
        (pod({"hostPort": "8080"}), pod({"hostPort": "8080"})),  # the schema refuses these
        (
            {"spec": {"containers": 5}},
            {"spec": {"containers": [{"ports": {"a": 1}}, {"ports": [8080, None]}]}},
        ),
        ({"spec": {"containers": [{"ports": [{"hostPort": [1]}, {"hostPort": True}]}] * 2}}, 5, "x"),
        ({"spec": None}, {"spec": {"containers": [{"ports": "none"}, None]}}, None),
    ],
)
def test_these_can_run_side_by_side(pods: tuple[Any, ...]) -> None:
    assert problems(*pods) == []
