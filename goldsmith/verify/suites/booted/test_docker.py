# SPDX-License-Identifier: Apache-2.0
"""The Docker engine has its images and creates containers from them without a registry."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from testinfra.host import Host

from goldsmith.spec.model import Into
from goldsmith.verify.expectations import Expectations

Ask = Callable[..., dict[str, Any]]
HOOK = "/usr/libexec/heat-config/hooks/docker-cmd"

pytestmark = pytest.mark.needs("containers-for-docker")
of_the_hook = pytest.mark.once("each call starts it again; the engine itself is asked after the reboot, too")


@pytest.fixture(scope="module")
def refs(expected: Expectations) -> dict[str, str]:
    return {i.ref: i.digest for i in expected.images if i.into is Into.docker}


@pytest.fixture
def answer(host: Host) -> Iterator[Ask]:
    """Call the hook by hand; remove its containers afterwards."""

    def ask(config: dict[str, Any], action: str = "CREATE") -> dict[str, Any]:
        inputs = [{"name": "deploy_action", "value": action}]
        asked = json.dumps({"id": "by-hand", "name": "verify", "inputs": inputs, "config": config})
        return dict(json.loads(host.check_output("printf %s %s | " + HOOK, "%s", asked)))

    yield ask
    ask({}, "DELETE")


def test_engine_is_healthy(host: Host) -> None:
    assert host.service("docker").is_running
    driver = host.check_output("docker info --format %s", "{{.DriverStatus}}")
    assert "containerd.snapshotter" in driver


def test_engine_knows_each_image_by_its_digest(host: Host, refs: dict[str, str]) -> None:
    known = {ref: host.check_output("docker image inspect --format %s %s", "{{.Id}}", ref) for ref in refs}
    assert known == refs


def test_each_image_makes_a_container(host: Host, refs: dict[str, str]) -> None:
    for ref in refs:
        made = host.check_output("docker create --pull never --network none %s", ref)
        host.check_output("docker rm %s", made)


@of_the_hook
@pytest.mark.needs("docker-cmd-hook")
def test_hook_refuses_what_is_not_embedded(answer: Ask) -> None:
    refused = answer({"stranger": {"image": "goldsmith.invalid/stranger:1"}})

    assert refused["deploy_status_code"] == 1
    assert "goldsmith.invalid/stranger:1 is not embedded" in refused["deploy_stderr"]


@of_the_hook
@pytest.mark.needs("docker-cmd-hook")
def test_hook_leaves_an_unchanged_container_alone_and_puts_back_one_whose_successor_fails(
    host: Host, answer: Ask, refs: dict[str, str]
) -> None:
    ref = min(refs, key=lambda ref: bool(re.search(r"(^|/)pause[:@]", ref)))  # pause only where alone
    given = ["GREETING=hello, world", "LINES=one\ntwo"]  # docker's command gets them in two ways
    one = {"image": ref, "environment": given}
    first = answer({"one": one})
    assert first["deploy_status_code"] == 0, first
    made = first["containers"]["one"]["id"]

    has = host.check_output("docker inspect --format %s %s", "{{json .Config.Env}}", made)
    again = answer({"one": one}, "UPDATE")
    failed = answer({"one": {**one, "command": ["/nowhere"]}}, "UPDATE")
    after = answer({"one": one}, "UPDATE")

    assert set(given) <= set(json.loads(has))
    assert again["containers"]["one"]["id"] == made
    assert failed["deploy_status_code"] != 0
    assert "container one" in failed["deploy_stderr"]
    assert after["containers"]["one"]["id"] == made
    assert after["containers"]["one"]["state"] == again["containers"]["one"]["state"], (
        "or it has ended by itself"
    )
