# SPDX-License-Identifier: Apache-2.0
"""Whether the services of a test cloud answer."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping

# Service -> the APIs that its process serves, and where each says that it is there.
SERVICES: Mapping[str, tuple[str, ...]] = {
    "keystone": ("identity",),
    "placement": ("placement",),
    "glance": ("image",),
    "neutron": ("network",),
    "heat": ("orchestration", "cloudformation"),
    "nova": ("compute",),
}
_HEALTH = {
    "identity": "/v3",
    "image": "/healthcheck",
    "orchestration": "/healthcheck",
    "cloudformation": "/healthcheck",
}


def is_well(name: str, ports: Mapping[str, int]) -> bool:
    """Each API of a service answers on its port of 127.0.0.1."""
    return all(_answers(f"http://127.0.0.1:{ports[api]}{_HEALTH.get(api, '/')}") for api in SERVICES[name])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):  # noqa: S310 - our own port
            return True
    except urllib.error.HTTPError as e:
        return e.code < 500
    except OSError:
        return False
