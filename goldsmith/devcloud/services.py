# SPDX-License-Identifier: Apache-2.0
"""The services of a test cloud: which there are, what they need, whether they answer."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path

from goldsmith.errors import SpecError

# Service -> the APIs that its process serves.
SERVICES: Mapping[str, tuple[str, ...]] = {
    "keystone": ("identity",),
    "placement": ("placement",),
    "glance": ("image",),
    "neutron": ("network",),
    "heat": ("orchestration", "cloudformation"),
    "nova": ("compute",),
    "swift": ("object-store",),
}
DEFAULT = tuple(name for name in SERVICES if name != "swift")
_NEEDS = {"nova": ("keystone", "placement", "glance", "neutron")}  # all others need only Keystone
# Path of an API that answers when the API works; default: /
_HEALTH = {
    "identity": "/v3",
    "image": "/healthcheck",
    "orchestration": "/healthcheck",
    "cloudformation": "/healthcheck",
    "object-store": "/healthcheck",
}


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    """These services with those that they need, in the order of SERVICES. Raises SpecError for others."""
    names = list(names) or list(DEFAULT)
    if unknown := [name for name in names if name not in SERVICES]:
        raise SpecError(f"no service {unknown[0]!r}", hint=f"services: {', '.join(SERVICES)}")
    needed = {need for name in names for need in (name, *_NEEDS.get(name, ("keystone",)))}
    return tuple(name for name in SERVICES if name in needed)


def is_well(name: str, ports: Mapping[str, int], *, ca: Path | None = None) -> bool:
    """Each API of a service answers on its port of 127.0.0.1; ca: use TLS and trust this authority."""
    scheme = "http" if ca is None else "https"
    trust = None if ca is None else ssl.create_default_context(cafile=ca)
    return all(
        _answers(f"{scheme}://127.0.0.1:{ports[api]}{_HEALTH.get(api, '/')}", trust) for api in SERVICES[name]
    )


def _answers(url: str, trust: ssl.SSLContext | None) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10, context=trust):  # noqa: S310 - our own port
            return True
    except urllib.error.HTTPError as e:
        return e.code < 500
    except OSError:
        return False
