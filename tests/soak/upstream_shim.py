# SPDX-License-Identifier: Apache-2.0
"""Stand in for a program of heat-agents in its own tests: `upstream_shim.py PROGRAM` runs ours.

Only places are translated, by the variables that those tests set: folders of a hook's files and outputs, and
the path of what the hook calls. What is called, with which arguments and environment, and what is answered
is ours. Our programs remove their files; copies stay where upstream's would.
"""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ELEMENTS = Path(__file__).resolve().parents[2] / "elements"
sys.path[:0] = [
    str(_ELEMENTS / "heat-agent/agent-files"), str(_ELEMENTS / "heat-config-docker-cmd/docker-hook-files")
]  # fmt: skip

from heat_config import agent, deployment, given, tools  # noqa: E402
from heat_config.hooks import Hooks  # noqa: E402
from heat_config.record import Records  # noqa: E402
from heat_docker import hook as docker  # noqa: E402


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Names of upstream's variables for a hook. files: our name of a file -> upstream's."""

    working: str
    outputs: str
    program: str
    files: Mapping[str, str]


PLACES: Mapping[str, Places] = {
    "script": Places(
        working="HEAT_SCRIPT_WORKING", outputs="HEAT_SCRIPT_OUTPUTS", program="", files={"script": "{id}"}
    ),
    "ansible": Places(
        working="HEAT_ANSIBLE_WORKING", outputs="HEAT_ANSIBLE_OUTPUTS", program="HEAT_ANSIBLE_CMD",
        files={"playbook.yaml": "{id}_playbook.yaml", "variables.json": "{id}_variables.json"},
    ),
    "puppet": Places(
        working="HEAT_PUPPET_WORKING", outputs="HEAT_PUPPET_OUTPUTS", program="HEAT_PUPPET_CMD",
        files={"site.pp": "{id}.pp"},
    ),
    "cfn-init": Places(
        working="HEAT_CFN_INIT_LAST_METADATA_DIR", outputs="HEAT_CFN_INIT_LAST_METADATA_DIR",
        program="HEAT_CFN_INIT_CMD", files={"metadata.json": "last_metadata"},
    ),
}  # fmt: skip


def main(program: str) -> int:
    """Run one of our programs; its exit status."""
    if program in PLACES:
        return _tool(program)
    if program == "heat-config":
        return _pass()
    with tempfile.TemporaryDirectory() as folder:
        caller = Path(folder) / "docker"
        caller.write_text('#!/bin/sh\nexec "$HEAT_DOCKER_CMD" "$@"\n')
        caller.chmod(0o755)
        os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
        return docker.main() if program == "docker-cmd" else _prune_containers()


def _tool(name: str) -> int:
    places = PLACES[name]
    working = Path(os.environ[places.working])
    tools.TOOLS = {name: _moved(tools.TOOLS[name], places, working)}
    tools._HIERA = Path(os.environ.get("HEAT_PUPPET_HIERA_DATADIR", working))
    return given.answered(lambda config: tools.run(name, config, working / ".ours"))


def _moved(ours: Callable[..., tools.Call], places: Places, working: Path) -> Callable[..., tools.Call]:
    """The function of a hook; what it calls finds its files where upstream's would lie."""

    def call(config: Mapping[str, Any], scratch: Path) -> tools.Call:
        made = ours(config, scratch)
        outputs = f"{os.environ[places.outputs]}/{config['id']}"
        files = {scratch / ours: working / theirs.format(id=config["id"])
                 for ours, theirs in places.files.items()}  # fmt: skip
        names = {str(a): str(b) for a, b in files.items()} | {str(scratch / "output"): outputs}

        def renamed(text: str) -> str:
            for old, new in names.items():
                text = text.replace(old, new)
            return text

        for path, to in files.items():
            to.write_text(renamed(path.read_text()))
            shutil.copymode(path, to)
        for output in config.get("outputs") or []:
            (scratch / f"output.{output['name']}").symlink_to(f"{outputs}.{output['name']}")
        words = [renamed(str(word)) for word in made.argv]
        argv = (os.environ[places.program], *words[1:]) if places.program else tuple(words)
        return dataclasses.replace(made, argv=argv, env={k: renamed(v) for k, v in made.env.items()})

    return call


def _pass() -> int:
    """One pass of the agent; of each answer, upstream's two files."""
    logging.basicConfig(level=logging.INFO)
    deployed = Path(os.environ["HEAT_CONFIG_DEPLOYED"])
    own, metadata = deployed / ".ours", Path(os.environ["HEAT_SHELL_CONFIG"])
    own.mkdir(parents=True, exist_ok=True)
    status = agent.run(
        agent.Paths(
            metadata=metadata, records=own / "records", pruners=own / "prune", lock=own / "lock",
            hooks=Hooks(folders=(), templates=own / "templates"), launched=own / "launched",
            agent=own / "agent.conf", console=own / "console",
        )
    )  # fmt: skip
    records = Records(own / "records")
    for config in json.loads(metadata.read_text()):
        record = records.get(config["id"])
        if record is not None:
            (deployed / f"{config['id']}.json").write_text(json.dumps(config))
            (deployed / f"{config['id']}.notify.json").write_text(json.dumps(record.answer))
    return status


def _prune_containers() -> int:
    found = deployment.read(Path(os.environ["HEAT_SHELL_CONFIG"])) or ()
    sys.stdin = io.StringIO(json.dumps([each.key for each in found]))
    return docker.prune()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
