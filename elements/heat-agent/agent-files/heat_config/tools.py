# SPDX-License-Identifier: Apache-2.0
"""heat-config's hooks that run a program with the config: script, ansible, puppet, cfn-init.

Options, variables and facts are those of heat-agents' hooks of these names, so that what was written for
those runs here. A file "$heat_outputs_path.NAME" that the config's program writes becomes the output NAME.
Inputs may be secrets: they are in no command line, no log and, once the program has ended, in no file.
https://docs.openstack.org/heat/latest/template_guide/software_deployment.html
https://opendev.org/openstack/heat-agents
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heat_config import cfnmetadata, given

FOLDER = Path("/var/lib/heat-config")
_PUPPET_CHANGED = 2  # puppet apply --detailed-exitcodes: it succeeded, and changed something
_HIERA = Path("/etc/puppet/hieradata")
_NAME_S = 30  # for this server's full name: a name server that does not answer takes longer


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A program, its variables besides the agent's environment, and its exit statuses of success."""

    argv: tuple[str | Path, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    good: tuple[int, ...] = (0,)
    secret: Path | None = None  # a file elsewhere that goes when the program has ended


def script(config: Mapping[str, Any], scratch: Path) -> Call:
    """Run the config itself; each input is a variable of its environment."""
    program = _written(scratch / "script", _text(config.get("config")), mode=0o700)
    return Call(argv=(program,), env={**_inputs(config), "heat_outputs_path": str(scratch / "output")})


def ansible(config: Mapping[str, Any], scratch: Path) -> Call:
    """The config is a playbook; inputs are its variables.

    Options: tags, skip_tags, modulepath, callback_plugins, inventory. Without an inventory (or with
    "localhost,") the only host is this server, without ssh; else the inventory says how to reach its hosts.
    """
    options = config.get("options") or {}
    playbook = _written(scratch / "playbook.yaml", _text(config.get("config")))
    variables = {
        "heat_config_id": config.get("id"),
        **{item["name"]: item.get("value", "") for item in config.get("inputs") or []},
        "heat_outputs_path": str(scratch / "output"),
    }
    passed = _written(scratch / "variables.json", json.dumps(variables))
    words = [
        word for option, name in (
            ("--tags", "tags"), ("--skip-tags", "skip_tags"), ("--module-path", "modulepath")
        ) if options.get(name) for word in (option, str(options[name]))
    ]  # fmt: skip
    inventory = str(options.get("inventory") or "localhost,")
    here = ("-c", "local") if {*inventory.split(",")} == {"localhost", ""} else ()
    plugins = options.get("callback_plugins")
    return Call(
        argv=("ansible-playbook", "-i", inventory, *here, *words, "-e", f"@{passed}", playbook),
        env={"ANSIBLE_CALLBACK_PLUGINS": str(plugins)} if plugins else {},
    )


def puppet(config: Mapping[str, Any], scratch: Path) -> Call:
    """The config is a manifest; inputs are facts, or data of Hiera, or both.

    Options: enable_facter (true), enable_hiera (false), modulepath, tags, enable_debug, enable_verbose.
    """
    options = config.get("options") or {}
    manifest = _written(scratch / "site.pp", _text(config.get("config")))
    facts = _full_name()
    hiera = None
    for left in _HIERA.glob("heat_config_*.json"):  # of one that was killed
        left.unlink(missing_ok=True)
    if options.get("enable_facter", True):
        facts |= {f"FACTER_{name}": value for name, value in _inputs(config).items()}
    if options.get("enable_hiera"):
        _HIERA.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = {item["name"]: item.get("value", "") for item in config.get("inputs") or []}
        name = str(config.get("name")).replace("/", "_")
        hiera = _written(_HIERA / f"heat_config_{name}.json", json.dumps(data))
        facts["FACTER_deploy_config_name"] = name
    facts["FACTER_heat_outputs_path"] = str(scratch / "output")
    words = [
        word for option, name in (("--modulepath", "modulepath"), ("--tags", "tags"))
        if options.get(name) for word in (option, str(options[name]))
    ]  # fmt: skip
    words += [f"--{name}" for name in ("debug", "verbose") if options.get(f"enable_{name}")]
    said = ("--color", "false", "--detailed-exitcodes", "--logdest", "console")
    return Call(
        argv=("puppet", "apply", *said, *words, manifest), env=facts, good=(0, _PUPPET_CHANGED), secret=hiera
    )


def cfn_init(config: Mapping[str, Any], scratch: Path) -> Call:
    """The config is the value of AWS::CloudFormation::Init. Option: configsets, names separated by commas."""
    metadata = {cfnmetadata.KEY: config.get("config")}
    sets = (config.get("options") or {}).get("configsets")
    passed = _written(scratch / "metadata.json", json.dumps(metadata))
    return Call(argv=("cfn-init", "--file", passed, *(["--configsets", str(sets)] if sets else [])))


TOOLS: Mapping[str, Callable[[Mapping[str, Any], Path], Call]] = {
    "ansible": ansible, "cfn-init": cfn_init, "puppet": puppet, "script": script,
}  # fmt: skip


def run(name: str, config: Mapping[str, Any], folder: Path = FOLDER) -> dict[str, Any]:
    """Run one of TOOLS; the answer to Heat, with the outputs that its program wrote."""
    work = folder / name
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in work.glob("tmp*"):  # of one that was killed, and its inputs with it
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        call = TOOLS[name](config, Path(scratch))
        try:
            answer = _answer(call, work)
            return {**dict(_outputs(config, Path(scratch))), **answer}
        finally:
            if call.secret is not None:
                call.secret.unlink(missing_ok=True)


def _answer(call: Call, work: Path) -> dict[str, Any]:
    # for programs that need more than ASCII, in an image without other locales
    env = {**os.environ, "LC_ALL": "C.UTF-8", "HOME": os.environ.get("HOME", "/root"), **call.env}
    try:
        done = subprocess.run(
            ["setpriv", "--pdeathsig", "KILL", *call.argv], cwd=work, env=env, stdin=subprocess.DEVNULL,
            capture_output=True, check=False,
        )  # fmt: skip
        status = 0 if done.returncode in call.good else done.returncode
        said = (done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), status)
    except OSError as e:
        said = ("", f"cannot run {Path(call.argv[0]).name}: {e.strerror}", 126)
    except ValueError as e:  # a name or value of an input that no environment can hold
        said = ("", f"cannot hand the inputs to {Path(call.argv[0]).name}: {e}", 126)
    return dict(zip(("deploy_stdout", "deploy_stderr", "deploy_status_code"), said, strict=True))


def _outputs(config: Mapping[str, Any], scratch: Path) -> Iterator[tuple[str, str]]:
    for output in config.get("outputs") or []:
        path = scratch / f"output.{output['name']}"
        if path.is_file():
            yield output["name"], path.read_text(errors="replace")


def _full_name() -> dict[str, str]:
    """The fact fqdn, which Puppet 8 has no more by itself; none where the server has no full name."""
    try:
        done = subprocess.run(["hostname", "-f"], capture_output=True, text=True, check=True, timeout=_NAME_S)
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"FACTER_fqdn": done.stdout.strip()}


def _inputs(config: Mapping[str, Any]) -> dict[str, str]:
    """Inputs as text: text unchanged, all else as JSON."""
    return {item["name"]: _text(item.get("value")) for item in config.get("inputs") or []}


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def _written(path: Path, text: str, *, mode: int = 0o600) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    path.chmod(mode)
    return path


if __name__ == "__main__":
    sys.exit(given.answered(lambda config: run(sys.argv[1], config)))
