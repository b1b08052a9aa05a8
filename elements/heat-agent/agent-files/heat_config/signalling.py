# SPDX-License-Identifier: Apache-2.0
"""Signal the result of a deployment to Heat, by the transport that its inputs name.

CFN_SIGNAL and TEMP_URL_SIGNAL: a URL that Heat signed, deploy_signal_id. HEAT_SIGNAL: the deployment's own
Keystone user. NO_SIGNAL: none of these. https://docs.openstack.org/heat/latest/template_guide/openstack.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from heat_config import api, deadline, web

# Heat reads at most max_json_body_size, by default 1 MiB.
_MAX_BODY = 1_000_000
_TRIMMED = ("deploy_stdout", "deploy_stderr")
# What Heat says of a body, and will not say otherwise tomorrow. All else may come from what stands before
# Heat while that is away; where it is Heat's own, its metadata soon names the deployment no more.
_NEVER = frozenset((400, 413))
_JSON = {"Content-Type": "application/json"}


class Undelivered(Exception):
    """Heat was not reachable or could not respond: the same signal may succeed later."""


class Refused(Exception):
    """Heat rejects this signal, now and later."""


def has_address(inputs: Mapping[str, Any]) -> bool:
    """False for deployments with NO_SIGNAL."""
    return any(inputs.get(name) for name in ("deploy_queue_id", "deploy_signal_id", "deploy_auth_url"))


def send(inputs: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """Return after Heat has accepted the answer, or needs none. Raises Undelivered, Refused."""
    body = fitted(answer)
    if inputs.get("deploy_queue_id"):
        raise Refused("ZAQAR_SIGNAL is not supported by this image: use HEAT_SIGNAL")
    if inputs.get("deploy_signal_id"):
        _by_url(str(inputs["deploy_signal_id"]), str(inputs.get("deploy_signal_verb") or "POST"), body)
    elif inputs.get("deploy_auth_url"):
        _by_heat(inputs, body)


def fitted(answer: Mapping[str, Any]) -> str:
    """The answer as JSON of a size that Heat reads: the beginnings of what was printed give way.

    Outputs are not cut: a failure that names them is the answer where they are too large.
    """
    body = json.dumps(answer)
    for name in _TRIMMED:
        excess = len(body) - _MAX_BODY
        text = answer.get(name)
        if excess > 0 and isinstance(text, str):
            # one character can take six bytes of JSON, \u2026: cut by what each takes
            kept = len(json.dumps(text)) - excess
            answer = {**answer, name: _tail(text, max(0, kept))}
            body = json.dumps(answer)
    if len(body) > _MAX_BODY:
        large = [name for name, value in answer.items() if len(json.dumps(value)) > _MAX_BODY // 10]
        why = f"outputs too large for Heat: {', '.join(large) or 'all together'}"
        body = json.dumps({"deploy_stdout": "", "deploy_stderr": why, "deploy_status_code": 1})
    return body


def _tail(text: str, size: int) -> str:
    """The longest end of text whose JSON has at most size bytes, marked as shortened."""
    mark = "[beginning cut off]\n"
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if len(json.dumps(mark + text[-middle:])) <= size:
            low = middle
        else:
            high = middle - 1
    return mark + (text[-low:] if low else "")


def _by_url(url: str, verb: str, body: str) -> None:
    try:
        got = web.send(verb, url, body=body, headers=_JSON)
    except (web.Unanswered, ValueError) as e:
        raise Undelivered(f"the signed URL: {e}") from e
    _judge(got.status, got.text)


def _by_heat(inputs: Mapping[str, Any], body: str) -> None:
    from keystoneauth1 import exceptions

    heat = api.connect(
        auth_url=inputs["deploy_auth_url"], user_id=inputs["deploy_user_id"],
        password=inputs["deploy_password"], project_id=inputs["deploy_project_id"],
        region=inputs.get("deploy_region_name"),
    )  # fmt: skip
    path = f"/stacks/{inputs['deploy_stack_id']}/resources/{inputs['deploy_resource_name']}/signal"
    try:
        with deadline.within(deadline.REQUEST_S):
            # the library would follow any redirect, with the token, and take what is there for Heat's answer
            got = heat.post(path, data=body, headers=_JSON, raise_exc=False, redirect=False)
    except (exceptions.ClientException, deadline.Exceeded) as e:
        raise Undelivered(f"{type(e).__name__}: {e}") from e
    _judge(got.status_code, got.text)


def _judge(status: int, text: str) -> None:
    if 200 <= status < 300:
        return
    said = f"{status}: {text[:300]}"
    if status in _NEVER:
        raise Refused(said)
    raise Undelivered(said)
