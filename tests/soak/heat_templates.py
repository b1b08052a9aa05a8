# SPDX-License-Identifier: Apache-2.0
"""`soak heat-templates`: templates as others write them, with user data that call Heat's tools."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.core import build_folders, paths, wait
from goldsmith.errors import GoldsmithError, VerificationError
from goldsmith.heat.checks import require, require_complete
from goldsmith.heat.stacks import Stack
from tests.support.stack_trials import BOOT_S, FLAVOR, NETWORK, StackTrials

SPEC = "debian-heat-full"
FOLDER = Path(__file__).parent / "templates"
_STACK = "soak"  # also in the templates
_DELETE_S = 300
_UPDATED_S = 240  # a minute or so of it until cfn-hup looks


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A template, and what its wait condition hears; greets: an update has another greeting."""

    template: str
    hears: Mapping[str, str]
    greets: bool = False


CASES = (
    Case(template="native-wait-condition", hears={"named": "from the server"}),
    Case(template="cfn-signal", hears={"first": "/srv/site"}),
    Case(template="cfn-init", hears={}, greets=True),
    Case(template="cloudformation", hears={}, greets=True),
)


class Templates(StackTrials):
    """Trials of one template each, with the latest verified build of debian-heat-full."""

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Start a cloud that has the image."""
        build = build_folders.find_build(paths.out_root(), SPEC)
        self.begin()
        self.image = self.cloud.images.upload(next(build.glob("*.qcow2")), build.name)
        return {"build": build.name, "templates": [case.template for case in CASES]}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Create a stack, change what it can change, and delete it."""
        case = CASES[index % len(CASES)]
        problems = _problems(lambda: self._try(case))
        problems += _problems(lambda: self.cloud.stacks.delete(_STACK, timeout_s=_DELETE_S))
        return {"template": case.template, "problems": problems}

    def _try(self, case: Case) -> None:
        template = FOLDER / f"{case.template}.yaml"
        parameters = {"image": self.image, "flavor": FLAVOR, "network": NETWORK}
        greeting = {"greeting": "hello"} if case.greets else {}
        made = self.cloud.stacks.create(_STACK, template, {**parameters, **greeting}, timeout_s=BOOT_S)
        require_complete(made, "CREATE")
        said = json.loads(made.outputs["said"])
        require(said.items() >= case.hears.items() and len(said) > 0, f"the wait condition heard {said}")
        if not case.greets:
            return
        self._require_greeting(made, "hello")
        updated = self.cloud.stacks.update(
            made, template, {**parameters, "greeting": "good bye"}, timeout_s=BOOT_S
        )
        require_complete(updated, "UPDATE")
        require(
            updated.outputs["server"] == made.outputs["server"],
            "the update of its metadata replaced the server",
        )
        self._require_greeting(updated, "good bye")

    def _require_greeting(self, stack: Stack, greeting: str) -> None:
        line, server = f"the greeting is {greeting}", stack.outputs["server"]
        try:
            wait.wait_until(
                lambda: line in self.cloud.servers.console(server), timeout_s=_UPDATED_S, interval_s=2
            )
        except wait.Deadline:
            raise VerificationError(f"no {line!r} on the console after {_UPDATED_S} s") from None


def _problems(call: Callable[[], None]) -> list[str]:
    try:
        call()
    except GoldsmithError as e:
        return [str(e)]
    return []
