# SPDX-License-Identifier: Apache-2.0
"""The only door to openstacksdk: a connection to a cloud, and its errors in our words."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goldsmith.errors import CloudError, GoldsmithError


def connect(name: str, *, clouds_yaml: Path | None, error: type[GoldsmithError]) -> Any:  # noqa: ANN401 - the SDK has no types
    """A connection that is authorized, by clouds.yaml and OS_* as OpenStack's clients take them.

    name "" is what OS_CLOUD or OS_AUTH_URL say. Raises error.
    """
    import openstack  # takes a second
    import openstack.config

    with translated(f"cannot use the cloud {name or 'of the environment'}", error):
        # OS_* variables of another cloud must not leak into one that we have made ourselves
        config = openstack.config.OpenStackConfig(
            config_files=None if clouds_yaml is None else [str(clouds_yaml)],
            load_envvars=clouds_yaml is None, load_yaml_config=True,
        )  # fmt: skip
        sdk = openstack.connection.Connection(config=config.get_one(cloud=name or None))
        sdk.authorize()
    return sdk


@contextlib.contextmanager
def translated(what: str, error: type[GoldsmithError] = CloudError) -> Iterator[None]:
    """What the SDK and what is below it raise becomes error, in one sentence."""
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
        said = _said(e)
        raise error(f"{what} (after {time.monotonic() - start:.0f} s): {said}", hint=_hint(said)) from e


def raise_for(response: Any) -> None:  # noqa: ANN401 - the SDK has no types
    """Raise the SDK's error for an answer that is one."""
    import openstack.exceptions

    openstack.exceptions.raise_from_response(response)


def status_of(error: BaseException | None) -> int | None:
    """The HTTP status behind an error that translated() raised; None where there was no answer."""
    cause = error.__cause__ if error else None
    status = getattr(cause, "status_code", None) or getattr(cause, "http_status", None)
    return int(status) if status else None


def _said(e: Exception) -> str:
    """An error's own words in one line, without those of the libraries below that only repeat them."""
    text = " ".join(str(e).split())
    if "certificate verify failed" in text:
        why = text.partition("certificate verify failed")[2].split("(")[0]
        return f"its certificate is not trusted{why}".strip()
    return re.split(r": HTTPS?ConnectionPool\(|: \('Connection aborted|: \[Errno", text)[0]


def _hint(said: str) -> str | None:
    if "certificate is not trusted" in said:
        return "name the certificate authority of the cloud by the key cacert in clouds.yaml"
    if "was not found" in said and "Cloud" in said:
        return "see: openstack config show, and the clouds in clouds.yaml"
    if "HTTP 401" in said:
        return "check user and password of this cloud in clouds.yaml"
    if "No endpoint data found" in said:
        return "the cloud has no such service, or it does not answer"
    return None
