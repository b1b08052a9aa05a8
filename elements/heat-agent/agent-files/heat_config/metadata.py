# SPDX-License-Identifier: Apache-2.0
"""Read Heat's current metadata of this server, with the credentials of os-collect-config."""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heat_config import api, deadline, nested

_LEVELS = 4  # the answer, its metadata, their deployments, one of them: a value of it may nest too deeply


def current_ids(path: Path) -> frozenset[str] | None:
    """The ids of the deployments in the server's metadata; none where Heat does not answer.

    path: os-collect-config's configuration. None: it polls by another transport than POLL_SERVER_HEAT, and
    whoever wants to know waits for the next poll.
    """
    agent = configparser.ConfigParser(interpolation=None, strict=False)
    agent.read(path)
    if "heat" not in agent:
        return None
    return _ask({name: value.replace("$$", "$") for name, value in agent["heat"].items()})


def _ask(heat: Mapping[str, str]) -> frozenset[str]:
    from keystoneauth1 import exceptions

    heat_api = api.connect(
        auth_url=heat["auth_url"], user_id=heat["user_id"], password=heat["password"],
        project_id=heat["project_id"], region=heat.get("region_name"),
    )  # fmt: skip
    try:
        with deadline.within(deadline.REQUEST_S):
            text = heat_api.get(f"/stacks/{heat['stack_id']}/resources/{heat['resource_name']}/metadata").text
        found: dict[str, Any] = nested.loads(text, _LEVELS)
    except (exceptions.ClientException, deadline.Exceeded, ValueError):
        return frozenset()
    listed = (found.get("metadata") or {}).get("deployments") or []
    return frozenset(str(each.get("id")) for each in listed if isinstance(each, dict))
