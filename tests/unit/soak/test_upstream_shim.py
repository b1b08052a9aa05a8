# SPDX-License-Identifier: Apache-2.0
"""Our programs at the places that tests of heat-agents look at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak import upstream_shim

TOOL = """\
#!/bin/sh
printf '%s\\n' "$@" >"$TEST_STATE_PATH"
echo told >"{outputs}/1234.told"
echo done
"""


@pytest.fixture
def run(tmp_path: Path, fake: Callable[..., Path]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program of ours as theirs are: by its standard input and variables."""
    fake("setpriv", 'shift 2; exec "$@"')

    def call(program: str, given: object, **variables: Path) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-P", upstream_shim.__file__, program]
        env = {**os.environ, **{name: str(path) for name, path in variables.items()}}
        return subprocess.run(
            argv, input=json.dumps(given), env=env, capture_output=True, text=True, check=False
        )

    return call


def test_a_hook_has_its_files_and_outputs_where_theirs_has_them(
    tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    working, outputs, tool = tmp_path / "working", tmp_path / "outputs", tmp_path / "tool"
    for folder in (working, outputs):
        folder.mkdir()
    tool.write_text(TOOL.format(outputs=outputs))
    tool.chmod(0o755)
    config = {
        "id": "1234", "config": "the playbook", "outputs": [{"name": "told"}, {"name": "absent"}],
        "inputs": [{"name": "foo", "value": "bar"}],
    }  # fmt: skip

    done = run(
        "ansible", config, HEAT_ANSIBLE_WORKING=working, HEAT_ANSIBLE_OUTPUTS=outputs, HEAT_ANSIBLE_CMD=tool,
        TEST_STATE_PATH=tmp_path / "state",
    )  # fmt: skip

    assert json.loads(done.stdout) == {
        "deploy_stdout": "done\n", "deploy_stderr": "", "deploy_status_code": 0, "told": "told\n",
    }  # fmt: skip
    variables = json.loads((working / "1234_variables.json").read_text())
    assert variables == {
        "foo": "bar", "heat_config_id": "1234", "heat_outputs_path": f"{outputs}/1234",
    }  # fmt: skip
    assert (working / "1234_playbook.yaml").read_text() == "the playbook"
    assert (tmp_path / "state").read_text().split() == [
        "-i", "localhost,", "-c", "local", "-e", f"@{working}/1234_variables.json",
        f"{working}/1234_playbook.yaml",
    ]  # fmt: skip


def test_a_pass_leaves_their_two_files_of_each_deployment(
    tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "test").write_text('#!/bin/sh\ncat >/dev/null\necho \'{"deploy_stdout": "fine"}\'\n')
    (hooks / "test").chmod(0o755)
    config = {"id": "1111", "group": "test", "inputs": [], "config": "one"}
    metadata = tmp_path / "heat-config"
    metadata.write_text(json.dumps([config]))
    deployed = tmp_path / "deployed"

    done = run(
        "heat-config", "", HEAT_CONFIG_HOOKS=hooks, HEAT_CONFIG_DEPLOYED=deployed, HEAT_SHELL_CONFIG=metadata
    )

    assert done.returncode == 0
    assert json.loads((deployed / "1111.json").read_text()) == config
    assert json.loads((deployed / "1111.notify.json").read_text())["deploy_stdout"] == "fine"
