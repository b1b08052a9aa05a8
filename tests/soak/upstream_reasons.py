# SPDX-License-Identifier: Apache-2.0
"""Reasons why tests of heat-agents fail with our programs, or are not run with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A difference between their programs and ours. shows: a part of the test's failure that shows it."""

    reason: str
    shows: str


def _words(*words: str) -> str:
    """Neighbouring arguments, as a failure shows them."""
    return ",\n ".join(repr(word) for word in words)


def _ansible(*options: str) -> Difference:
    return Difference(
        reason="we add -c local where the config names no inventory, and give -e before the playbook",
        shows=_words("-i", "localhost,", "-c", "local", *options, "-e"),
    )


def _puppet(*options: str, end: tuple[str, ...] = ("--logdest", "console")) -> Difference:
    return Difference(
        reason="no log files in /var/log/puppet: what Puppet says is in the answer",
        shows=_words(*end, *options) + ",\n '/",  # the manifest comes next
    )


def _docker(shows: str) -> Difference:
    return Difference(
        reason="we ask the engine in another order; their fake engine answers by the number of the call",
        shows=shows,
    )


_NO_ID = "our hooks refuse a deployment without id, which Heat always sends"
_PATHS = ("--module-path", "/opt/ansible:/usr/share/ansible")
_TAGS, _SKIPPED = ("--tags", "abc,def"), ("--skip-tags", "abc,def")

# Trial -> CLASS.test -> why it fails
REASONS: Mapping[str, Mapping[str, Difference]] = {
    "ansible": {
        "HookAnsibleTest.test_hook": _ansible(),
        "HookAnsibleTest.test_hook_ansible_failed": _ansible(),
        "HookAnsibleTest.test_hook_inventory": Difference(
            reason="HEAT_ANSIBLE_INVENTORY is not read; the option inventory is",
            shows=_words("-i", "localhost,", "-c", "local", "-e"),
        ),
        "HookAnsibleTest.test_hook_modulepath": _ansible(*_PATHS),
        "HookAnsibleTest.test_hook_skip_tags": _ansible(*_SKIPPED),
        "HookAnsibleTest.test_hook_skip_tags_empty": _ansible(),
        "HookAnsibleTest.test_hook_skip_tags_modulepath": _ansible(*_SKIPPED, *_PATHS),
        "HookAnsibleTest.test_hook_tags": _ansible(*_TAGS),
        "HookAnsibleTest.test_hook_tags_modulepath": _ansible(*_TAGS, *_PATHS),
        "HookAnsibleTest.test_hook_tags_skip_tags": _ansible(*_TAGS, "--skip-tags", "abc"),
        "HookAnsibleTest.test_hook_with_callback_plugins": _ansible(),
    },
    "puppet": {
        "HookPuppetTest.test_hook": _puppet("--debug", "--verbose"),
        "HookPuppetTest.test_hook_hiera": _puppet("--debug", "--verbose", end=("--tags", "package,file")),
        "HookPuppetTest.test_hook_no_debug": _puppet("--verbose"),
        # without both: each test before has failed, and left an option switched off in their shared data
        "HookPuppetTest.test_hook_no_verbose": _puppet(),
        "HookPuppetTest.test_hook_puppet_failed": _puppet(),
    },
    "cfn-init": {
        "HookCfnInitTest.test_hook": Difference(reason=_NO_ID, shows="mapping with an id"),
        "HookCfnInitTest.test_hook_cfn_init_failed": Difference(reason=_NO_ID, shows="mapping with an id"),
        "HookCfnInitTest.test_hook_invalid_json": Difference(
            reason="what is no deployment is answered with status 1, and the hook itself ends with 0",
            shows="MismatchError: 1 != 0",
        ),
    },
    "docker-cmd": {
        "HookDockerCmdTest.test_cleanup_changed": _docker(_words("ps", "--all", "--quiet", "--no-trunc")),
        "HookDockerCmdTest.test_cleanup_deleted": _docker("/test_state.json_1'"),
        "HookDockerCmdTest.test_cleanup_rename": _docker("/test_state.json_2'"),
        "HookDockerCmdTest.test_hook": _docker("docker ps failed: Error: No such image"),
        "HookDockerCmdTest.test_hook_exit_codes": _docker("docker container failed: Warning: custom exit"),
        "HookDockerCmdTest.test_hook_failed": _docker("docker ps failed: Error: No such image"),
        "HookDockerCmdTest.test_hook_unique_names": _docker("docker container failed: Error: No such image"),
    },
    "heat-config": {
        "HeatConfigTest.test_run_heat_config": Difference(
            reason="records are not moved from HEAT_CONFIG_DEPLOYED_OLD; all before that passes",
            shows="/1111.json' matches MatchesAll(MatchesPredicate(<function exists",
        ),
    },
}  # fmt: skip

_NO_HOOK = "goldsmith has no hook for this group; Heat hears so at once"

# Files of tests that no trial runs -> why
NOT_RUN: Mapping[str, str] = {
    "test_heat_config_docker_compose.py": _NO_HOOK,
    "test_heat_config_kubelet.py": "their script writes manifests v1beta2; ours takes pods of v1",
    "test_heat_config_notify.py": "tests functions of a module; the agent sends signals itself",
    "test_hook_apply_config.py": _NO_HOOK,
    "test_hook_chef.py": _NO_HOOK,
    "test_hook_docker_compose.py": _NO_HOOK,
    "test_hook_hiera.py": _NO_HOOK,
    "test_hook_json_file.py": _NO_HOOK,
    "test_hook_kubelet.py": "tests functions of a module, for manifests v1beta2; ours takes pods of v1",
    "test_hook_salt.py": _NO_HOOK,
}
