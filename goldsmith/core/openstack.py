# SPDX-License-Identifier: Apache-2.0
"""Connect to clouds with openstacksdk, and translate its errors. No other module imports it."""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from goldsmith.errors import CloudError, GoldsmithError

_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)
_HINTS: Mapping[int, str] = {
    HTTPStatus.BAD_REQUEST: "correct the value that the cloud names: it refuses the same request again",
    HTTPStatus.UNAUTHORIZED: "check the credentials in clouds.yaml, or OS_*: they may have expired",
    HTTPStatus.FORBIDDEN: "leave out what is forbidden, such as a protected property, or ask for the right",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "ask for a larger quota, or delete what is no longer needed",
}


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
        chosen = config.get_one(cloud=name or None)
        sdk = openstack.connection.Connection(config=chosen)
        try:
            sdk.authorize()
        except openstack.exceptions.SDKException as e:
            if _status(e) == HTTPStatus.UNAUTHORIZED:
                what = f"the cloud {chosen.name} rejects our login: {_reason(e)}"
                raise error(what, hint=_login(chosen), retryable=False) from e
            raise
    return sdk


def cloud_names() -> list[str]:
    """The clouds of the user's clouds.yaml, sorted; none without such a file."""
    import openstack.config

    config = openstack.config.OpenStackConfig()
    return sorted({*config.get_cloud_names()} - {config.envvar_key}) if config.config_filename else []


def names_of(connection: Any) -> tuple[str, str]:  # noqa: ANN401 - the SDK has no types
    """Names of the user and the project of a connection, by its token; empty where it has none."""
    session = connection.session
    get_access = getattr(session.auth, "get_access", None)  # only plugins of Keystone have it
    if get_access is None:
        return "", ""
    access = get_access(session)
    return access.username or "", access.project_name or ""


def _login(chosen: Any) -> str:  # noqa: ANN401 - the SDK has no types
    """What to do about credentials of this kind that a cloud rejects."""
    auth = {**chosen.config, **(chosen.config.get("auth") or {})}
    where = f"the entry {chosen.name} of clouds.yaml, or OS_*"
    if any(key.startswith("application_credential") and value for key, value in auth.items()):
        return f"make a new application credential if this one has expired or is deleted; set it in {where}"
    if auth.get("token") and not auth.get("password"):
        return f"get a new token if this one has expired; set it in {where}"
    return f"check user, password, project and domains in {where}"


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
        status = _status(e)
        raise error(
            f"{what} (after {time.monotonic() - start:.0f} s): {reason}",
            hint=_hint(reason, status), retryable=_may_pass(e, status),
        ) from e  # fmt: skip


def forbidden() -> type[Exception]:
    """The SDK's error for what our role does not allow."""
    import openstack.exceptions

    return openstack.exceptions.ForbiddenException


def raise_for(response: Any) -> None:  # noqa: ANN401 - the SDK has no types
    """Raise the SDK's error if the response is an error."""
    import openstack.exceptions

    openstack.exceptions.raise_from_response(response)


def status_of(error: BaseException | None) -> int | None:
    """The HTTP status behind an error that translated() raised; None if there was no response."""
    return _status(error.__cause__ if error else None)


def _status(cause: BaseException | None) -> int | None:
    status = getattr(cause, "status_code", None) or getattr(cause, "http_status", None)
    if not status and (text := re.search(r"\(HTTP (\d{3})\)", str(cause))):  # the SDK wraps it so
        status = text[1]
    return int(status) if status else None


def _may_pass(e: BaseException, status: int | None) -> bool | None:
    """Whether the same call may succeed later; None: not known."""
    if status is None:
        return True if _is_unreachable(e) else None
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER:
        return True
    return False if status in _HINTS else None


def _is_unreachable(e: BaseException | None) -> bool:
    """A connection or a wait failed, also below another error of the SDK. A certificate does not pass."""
    import keystoneauth1.exceptions
    import openstack.exceptions
    import requests.exceptions

    certificates = (
        keystoneauth1.exceptions.SSLError,
        requests.exceptions.SSLError,
        ssl.SSLCertVerificationError,
    )
    passing = (
        keystoneauth1.exceptions.RetriableConnectionFailure, openstack.exceptions.ResourceTimeout,
        requests.exceptions.ConnectionError, requests.exceptions.Timeout,
        requests.exceptions.ChunkedEncodingError, ConnectionError, TimeoutError, socket.gaierror,
    )  # fmt: skip
    if e is None or isinstance(e, certificates):
        return False
    is_passing = isinstance(e, passing) or (isinstance(e, OSError) and e.errno in _UNREACHABLE)
    return is_passing or _is_unreachable(e.__cause__ or e.__context__)


def _reason(e: Exception) -> str:
    """The message of an exception in one line, without the repetitions of the libraries below."""
    text = " ".join(str(e).split())
    if "certificate verify failed" in text:
        why = text.partition("certificate verify failed")[2].split("(")[0]
        return f"its certificate is not trusted{why}".strip()
    return re.split(r": HTTPS?ConnectionPool\(|: \('Connection aborted|: \[Errno", text)[0]


def _hint(reason: str, status: int | None) -> str | None:
    if "certificate is not trusted" in reason:
        return "name the certificate authority of the cloud in clouds.yaml (key cacert)"
    if "was not found" in reason and "Cloud" in reason:
        return "see: openstack config show, and the clouds in clouds.yaml"
    if "No endpoint data found" in reason:
        return "the cloud has no such service, or it does not answer"
    return _HINTS.get(status or 0)
