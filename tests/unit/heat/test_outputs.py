# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from goldsmith.core import paths
from goldsmith.errors import VerificationError
from goldsmith.heat import outputs
from goldsmith.heat.outputs import Outputs, PodState, Probe
from goldsmith.heat.stacks import Stack


def stack(**found: Any) -> Stack:
    return Stack(id="1", name="web", status="UPDATE_COMPLETE", reason="fine", outputs=found)


def test_outputs_that_a_stack_lacks_or_has_not_yet_are_empty() -> None:
    assert outputs.of(stack(pods=None, timing=None)) == Outputs()


def test_outputs_of_the_hook_are_read_with_keys_that_nobody_needs() -> None:
    pods = {"web": {"uid": "u", "phase": "Running", "containers": {"main": {"ready": True, "restarts": 0}}}}

    found = outputs.of(stack(pods=pods, addresses={"net": ["10.0.0.1"]}, somebodys={"x": 1}))

    assert found.pods["web"].is_ready
    assert found.addresses == {"net": ("10.0.0.1",)}
    assert not PodState().is_ready


def test_outputs_of_another_type_are_a_failure_of_the_image() -> None:
    with pytest.raises(VerificationError, match="outputs of the stack web cannot be used: Expected `object`"):
        outputs.of(stack(pods=["web"]))
    with pytest.raises(VerificationError, match="the stack web has no output timing"):
        outputs.timing(stack())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "gave no result: UPDATE_COMPLETE, fine"),
        ("Traceback", "answered with no JSON: 'Traceback'"),
        ("{}", "is not a goldsmith.heat-probe document"),
        ({**Probe(boot_id="1", build="b").as_dict(), "version": 2}, "has version 2"),
    ],
)
def test_a_probe_that_cannot_be_used_is_a_failure_of_the_image(answer: object, message: str) -> None:
    with pytest.raises(VerificationError, match=message):
        outputs.probe(stack(probe=answer))


def test_a_probe_is_read_as_text_or_as_json() -> None:
    probe = Probe(boot_id="1", build="b", passes_cpu_s=(1.0,))

    assert outputs.probe(stack(probe=probe.as_dict())) == probe
    assert outputs.probe(stack(probe=json.dumps(probe.as_dict()))) == probe


def test_the_script_inside_the_server_writes_the_keys_that_are_read() -> None:
    script = (paths.project_root() / "heat-templates/verify/probe.py").read_text()
    (written,) = [
        [ast.literal_eval(key) for key in node.value.keys if key is not None]
        for node in ast.parse(script).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        and ast.unparse(node.targets[0]) == "result"
    ]  # fmt: skip

    assert set(written) == set(Probe(boot_id="", build="").as_dict())
    assert f'"schema": "{Probe.SCHEMA}",\n    "version": {Probe.VERSION}' in script
