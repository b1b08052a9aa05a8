# SPDX-License-Identifier: Apache-2.0
"""The answers of cloud-up, cloud-down and cloud-status as documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from goldsmith.core.documents import Document, about


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudUp(Document):
    """The answer of `cloud-up --json`."""

    SCHEMA: ClassVar[str] = "goldsmith.cloud-up"

    name: Annotated[str, about("Name of the cloud.")]
    clouds_yaml: Annotated[str, about("Its clouds.yaml, for OpenStack clients on this host.")]
    ports: Annotated[Mapping[str, int], about("Service type -> port of 127.0.0.1.")]
    seconds: Annotated[float, about("Seconds until every service answered.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudDown(Document):
    """The answer of `cloud-down --json`."""

    SCHEMA: ClassVar[str] = "goldsmith.cloud-down"

    name: Annotated[str, about("Name of the cloud.")]
    removed: Annotated[
        tuple[str, ...], about("What was ended and removed, a line each; empty without a cloud.")
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudStatus(Document):
    """The answer of `cloud-status --json`."""

    SCHEMA: ClassVar[str] = "goldsmith.cloud-status"
    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"clouds_yaml", "ports"})

    name: Annotated[str, about("Name of the cloud.")]
    running: Annotated[bool, about("The cloud runs.")]
    services: Annotated[
        Mapping[str, bool], about("Service -> whether it answers; empty if the cloud does not run.")
    ]
    clouds_yaml: Annotated[str | None, about("Its clouds.yaml, if it runs.")] = None
    ports: Annotated[Mapping[str, int] | None, about("Service type -> port of 127.0.0.1, if it runs.")] = None
