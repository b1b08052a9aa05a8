# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.devcloud import lifecycle
from goldsmith.devcloud.instance import Instance
from goldsmith.devcloud.namespaces import Namespaces
from goldsmith.errors import HostError


@pytest.mark.parametrize(("uid", "users"), [(0, set()), (1000, {"--user", "--preserve-credentials"})])
def test_an_ordinary_users_cloud_is_entered_as_its_root(
    here: Instance, monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path], uid: int, users: set[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    calls = fake("nsenter")

    Namespaces(here, 77, here.folder / "venv").ask(["true"])

    words = calls.read_text().split()
    assert {"--target", "77", "--net", "--mount", "--pid", "true"} <= set(words)
    assert {"--user", "--preserve-credentials"} & set(words) == users


def test_a_host_that_gives_an_ordinary_user_no_namespaces_is_reported(
    monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    fake("unshare", "echo 'unshare failed: Operation not permitted' >&2; exit 1")

    with pytest.raises(HostError, match=r"(?s)no namespaces.*Operation not permitted") as e:
        lifecycle.up("mine")

    assert "--add-subuids" in (e.value.hint or "")
