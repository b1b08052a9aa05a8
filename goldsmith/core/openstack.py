# SPDX-License-Identifier: Apache-2.0
"""Connect to clouds with openstacksdk, and translate its errors. No other module imports it."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goldsmith.errors import CloudError, GoldsmithError


def connect(name: str, *, clouds_yaml: Path | None, error: type[GoldsmithError]) -> Any:  # noqa: ANN401 - the SDK has no types
    """An authorized connection, configured by clouds.yaml and OS_* like OpenStack's own clients.

    name: "" for the cloud of OS_CLOUD or OS_AUTH_URL. Raises error.
    """
    import openstack  # takes a second
    import openstack.config

    with translated(f"cannot use the cloud {name or 'of the environment'}", error):
        # OS_* variables of another cloud must not apply to a cloud that we made ourselves
        config = openstack.config.OpenStackConfig(
            config_files=None if clouds_yaml is None else [str(clouds_yaml)],
            load_envvars=clouds_yaml is None, load_yaml_config=True,
        )  # fmt: skip
        sdk = openstack.connection.Connection(config=config.get_one(cloud=name or None))
        sdk.authorize()
    return sdk


@contextlib.contextmanager
def translated(what: str, error: type[GoldsmithError] = CloudError) -> Iterator[None]:
    """Turn exceptions of the SDK, and of the libraries below it, into error with one sentence."""
    import keystoneauth1.exceptions
    import openstack.exceptions
    import requests.exceptions

    start = time.monotonic()
    try:
        yield
    except (
        openstack.exceptions.SDKException,
        keystoneauth1.exceptions.ClientException,
        requests.exceptions.RequestException,
        OSError,
    ) as e:
        reason = _reason(e)
        raise error(f"{what} (after {time.monotonic() - start:.0f} s): {reason}", hint=_hint(reason)) from e


def raise_for(response: Any) -> None:  # noqa: ANN401 - the SDK has no types
    """Raise the SDK's error if the response is an error."""
    import openstack.exceptions

    openstack.exceptions.raise_from_response(response)


def status_of(error: BaseException | None) -> int | None:
    """The HTTP status behind an error that translated() raised; None if there was no response."""
    cause = error.__cause__ if error else None
    status = getattr(cause, "status_code", None) or getattr(cause, "http_status", None)
    return int(status) if status else None


def _reason(e: Exception) -> str:
    """The message of an exception in one line, without the repetitions of the libraries below."""
    text = " ".join(str(e).split())
    if "certificate verify failed" in text:
        why = text.partition("certificate verify failed")[2].split("(")[0]
        return f"its certificate is not trusted{why}".strip()
    return re.split(r": HTTPS?ConnectionPool\(|: \('Connection aborted|: \[Errno", text)[0]


def _hint(reason: str) -> str | None:
    if "certificate is not trusted" in reason:
        return "name the certificate authority of the cloud in clouds.yaml (key cacert)"
    if "was not found" in reason and "Cloud" in reason:
        return "see: openstack config show, and the clouds in clouds.yaml"
    if "HTTP 401" in reason:
        return "check user and password of this cloud in clouds.yaml"
    if "No endpoint data found" in reason:
        return "the cloud has no such service, or it does not answer"
    return None
