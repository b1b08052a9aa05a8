# SPDX-License-Identifier: Apache-2.0
"""The pods that the suites bring along."""

from __future__ import annotations

import importlib
import types
from pathlib import Path
from typing import Any, cast

import pytest
from testinfra.host import Host

from goldsmith.errors import VerificationError
from goldsmith.verify.expectations import Expectations

booted = importlib.import_module("goldsmith.verify.suites.booted.conftest")
IMAGE = "goldsmith.local/pause:1"


class Guest:
    """A VM with these folders."""

    class File:
        exists = True

    def file(self, _path: str) -> File:
        return self.File()


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [], **spec}}


def own(*pods: dict[str, Any]) -> list[str]:
    """Names of the suites' own pods for a spec with these."""
    build = {"schema": "goldsmith.build", "version": 1, "verify": {"pods": list(pods)}}
    data = {
        "schema": "goldsmith.expectations", "version": 1, "systemd": True, "build": build, "images": [],
        "manifest": None, "image_sha256": "1", "user": "root", "hostname": "golden", "nics": [],
        "grow_mib": 0, "slowness": 1.0,
    }  # fmt: skip
    expected = Expectations.parse(data, "a test", error=VerificationError)
    made = booted.own_pods(cast(Host, Guest()), expected, IMAGE)
    assert {container["image"] for pod in made for container in pod["spec"]["containers"]} == {IMAGE}
    return [pod["metadata"]["name"] for pod in made]


def test_the_suites_bring_a_neighbour_where_the_spec_has_none() -> None:
    assert own() == ["server", "neighbour"]
    assert own(pod("host", hostNetwork=True), pod("job", restartPolicy="Never")) == ["server", "neighbour"]


def test_a_pod_of_the_spec_in_a_network_of_its_own_is_the_neighbour() -> None:
    assert own(pod("host", hostNetwork=True), pod("web")) == ["server"]


def test_any_pod_that_is_ready_is_a_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "web": None,
        "crashing": {"status": {"phase": "Pending"}},
        "late": {"status": {"phase": "Succeeded"}},
    }
    monkeypatch.setattr(booted, "find_pod", lambda _guest, name, _namespace: found[name])

    assert booted.wait_for_any(None, [("default", name) for name in found], 0) == found["late"]


def test_a_neighbour_that_is_not_ready_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(booted, "find_pod", lambda *_words: None)
    monkeypatch.setattr(booted.pod_failures, "report", lambda _guest, keys: f"not ready: {keys}")

    with pytest.raises(pytest.fail.Exception, match=r"not ready: .*web"):
        booted.wait_for_any(None, [("default", "web")], 0)


@pytest.mark.parametrize("name", ["sandbox_image", "sandbox"])
def test_the_image_of_sandboxes_is_that_of_containerds_configuration(name: str) -> None:
    assert booted.sandbox_image(f"version = 3\n    {name} = '{IMAGE}'\n") == IMAGE


def test_tests_that_wait_are_late_and_the_users_are_last() -> None:
    here = Path(str(booted.__file__)).parent

    def item(name: str, *fixtures: str, folder: Path = here, late: bool = False) -> types.SimpleNamespace:
        return types.SimpleNamespace(
            name=name, path=folder / "test_it.py", fixturenames=fixtures,
            get_closest_marker=lambda marker: marker if late and marker == "late" else None,
        )  # fmt: skip

    items = [
        item("theirs", folder=Path("/mine")), item("agent", late=True), item("network", "server", "settled"),
        item("pods", "settled"), item("system"),
    ]  # fmt: skip

    booted.pytest_collection_modifyitems(items)

    assert [each.name for each in items] == ["system", "pods", "network", "agent", "theirs"]
