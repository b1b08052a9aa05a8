# SPDX-License-Identifier: Apache-2.0
"""Heat's API, with the user that Heat created for a server or a deployment."""

from __future__ import annotations

from typing import Any

TIMEOUT_S = 60  # of each request


def connect(*, auth_url: str, user_id: str, password: str, project_id: str, region: str | None) -> Any:  # noqa: ANN401
    """A keystoneauth1 adapter; it authenticates at its first request."""
    from keystoneauth1 import adapter, session  # it takes a second of a slow guest
    from keystoneauth1.identity import v3

    user = v3.Password(auth_url=auth_url, user_id=user_id, password=password, project_id=project_id)
    return adapter.Adapter(
        session.Session(auth=user, timeout=TIMEOUT_S), service_type="orchestration", interface="public",
        region_name=region or None,
    )  # fmt: skip
