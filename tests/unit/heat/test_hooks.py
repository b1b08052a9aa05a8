# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from goldsmith.errors import VerificationError
from goldsmith.heat import hooks
from goldsmith.heat.stacks import Stack

ALL = ["script", "kubelet", "ansible", "puppet", "docker-cmd", "cfn-init"]


class FakeLauncher:
    """Answers as the template's deployments would; one output can be spoilt."""

    def __init__(self, action: str = "", **spoilt: object) -> None:
        self.action, self.spoilt = action, spoilt
        self.ids = itertools.count()

    def create(self, template: str, parameters: Mapping[str, Any]) -> Stack:
        return self._stack("CREATE", parameters)

    def update(self, template: str, parameters: Mapping[str, Any]) -> Stack:
        return self._stack("UPDATE", parameters)

    def _stack(self, action: str, parameters: Mapping[str, Any]) -> Stack:
        assert parameters["full"] is True
        greeting = parameters["greeting"]
        outputs: dict[str, Any] = {
            "script_stdout": f"to standard output: {greeting}\n",
            "script_stderr": f"to standard error: {greeting}\n", "boot": "hello from the boot\n",
            "metadata": "hello from the metadata\n",
            "init_stdout": f"cfn-init: config config\n{greeting} from a deployment of metadata\n",
            "playbook": f"{greeting} from Ansible", "manifest": f"{greeting} from Puppet",
            "container_stdout": f"{greeting} from a container\n", "pods": {"redis": {}},
            "containers": {"web": {"id": next(self.ids), "state": "running"}},
        }  # fmt: skip
        if action == self.action:
            outputs |= self.spoilt
        return Stack(id="1", name="x", status=f"{action}_COMPLETE", reason="", outputs=outputs)


def verify(launcher: FakeLauncher) -> Stack:
    return hooks.verify(launcher, {"image": "i"})  # type: ignore[arg-type]


def test_every_kind_of_configuration_answers_and_is_changed_by_an_update() -> None:
    assert verify(FakeLauncher()).outputs["playbook"] == "good evening from Ansible"


@pytest.mark.parametrize(
    ("action", "output", "value", "message"),
    [
        ("CREATE", "script_stderr", "", "output script_stderr is ''"),
        ("CREATE", "metadata", None, "output metadata is None"),
        ("UPDATE", "init_stdout", "hello from a deployment of metadata", "the output init_stdout is 'hello"),
        ("CREATE", "containers", {"web": {"id": 1, "state": "exited"}}, "the container web is exited"),
        ("CREATE", "pods", None, "redis"),
        ("UPDATE", "playbook", "hello from Ansible", "output playbook is 'hello from Ansible'"),
        ("UPDATE", "boot", "good evening from the boot\n", "output boot is"),
        (
            "UPDATE",
            "containers",
            {"web": {"id": 0, "state": "running"}},
            "was not replaced when it was changed",
        ),
    ],
)
def test_a_wrong_answer_fails_verification(action: str, output: str, value: object, message: str) -> None:
    with pytest.raises(VerificationError, match=message):
        verify(FakeLauncher(action, **{output: value}))


def test_only_an_image_with_all_hooks_is_tested_with_all() -> None:
    assert hooks.are_all(ALL)
    assert not hooks.are_all(ALL[:-1])
