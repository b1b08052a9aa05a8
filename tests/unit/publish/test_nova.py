# SPDX-License-Identifier: Apache-2.0
"""Servers as Nova lists them."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

import openstack.exceptions
import pytest

from goldsmith.errors import PublishError
from goldsmith.publish.nova import Nova, Server


class Compute:
    """openstacksdk's proxy: lists lazily, so that a refusal comes with the first server."""

    def __init__(self, *, is_admin: bool, broken: bool = False) -> None:
        self.is_admin, self.broken = is_admin, broken

    def servers(self, *, all_projects: bool = False, **query: Any) -> Iterator[Any]:
        if self.broken:
            raise openstack.exceptions.HttpException("no answer")
        if all_projects and not self.is_admin:
            raise openstack.exceptions.ForbiddenException("no")
        assert query == {"image": "i1"}
        for project in ("p1", "p2") if all_projects else ("p1",):
            yield types.SimpleNamespace(
                id=f"s-{project}", name="web", project_id=project, status="ACTIVE",
                created_at="2026-03-01T12:00:00Z",
            )  # fmt: skip


def nova(compute: Compute) -> Nova:
    return Nova(types.SimpleNamespace(compute=compute), "prod")


def test_an_administrator_sees_the_servers_of_all_projects_and_others_their_own() -> None:
    everybody, complete = nova(Compute(is_admin=True)).servers_of("i1")
    own, incomplete = nova(Compute(is_admin=False)).servers_of("i1")

    assert ([server.project for server in everybody], complete) == (["p1", "p2"], True)
    assert incomplete is False
    assert own == [
        Server(id="s-p1", name="web", project="p1", status="ACTIVE", created="2026-03-01T12:00:00Z")
    ]


def test_a_nova_that_does_not_answer_is_an_error() -> None:
    with pytest.raises(PublishError, match="prod: cannot list servers"):
        nova(Compute(is_admin=True, broken=True)).servers_of("i1")
