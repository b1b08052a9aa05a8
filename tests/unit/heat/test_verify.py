# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from goldsmith.core import build_folders
from goldsmith.devcloud import instance, lifecycle, start
from goldsmith.errors import HostError
from goldsmith.heat import acceptance, client, verify
from goldsmith.host import accelerator
from goldsmith.host.accelerator import ProbeResult


def fail(name: str, options: start.Options) -> None:
    raise HostError("no cloud here")


def test_a_verification_removes_the_leftovers_of_a_killed_one_and_no_other_cloud(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    killed, other = instance.named("verify-1"), instance.named("mine")
    for cloud in (killed, other):
        with instance.claimed(cloud):
            pass  # a folder of ours
    monkeypatch.setattr(lifecycle, "up", fail)
    monkeypatch.setattr(lifecycle, "down", lambda name: [])
    monkeypatch.setattr(build_folders, "find_build", lambda out, name: tmp_path)

    with pytest.raises(HostError):
        verify.verify(tmp_path, "tiny", cloud="", options=acceptance.Options(flavor="one"))

    assert not killed.folder.exists()
    assert other.folder.exists()


@pytest.mark.parametrize(
    ("options", "has_swift"),
    [
        (acceptance.Options(flavor="one"), False),
        (acceptance.Options(flavor="one", poll_transport="POLL_TEMP_URL"), True),
        (acceptance.Options(flavor="one", signal_transport="TEMP_URL_SIGNAL"), True),
    ],
)
def test_a_cloud_for_temporary_urls_has_swift(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: acceptance.Options, has_swift: bool
) -> None:
    asked: list[start.Options] = []

    def up(name: str, options: start.Options) -> None:
        asked.append(options)
        fail(name, options)

    monkeypatch.setattr(lifecycle, "up", up)
    monkeypatch.setattr(build_folders, "find_build", lambda out, name: tmp_path)

    with pytest.raises(HostError):
        verify.verify(tmp_path, "tiny", cloud="", options=options)
    assert ["swift" in each.services for each in asked] == [has_swift]


@pytest.mark.parametrize(
    ("spec", "slowness", "expected"),
    [
        ("{name: tiny}", 1.0, (900, 300)),
        ("{name: tiny}", 5.0, (1500, 600)),  # 180 s to boot, 120 s for the pods
        ("{name: tiny, verify: {boot-deadline: 60, pods-deadline: 400}}", 2.0, (920, 800)),
    ],
)
def test_in_a_test_cloud_of_its_own_deadlines_are_those_of_a_slow_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spec: str, slowness: float, expected: tuple[float, int]
) -> None:
    (tmp_path / "spec.yaml").write_text(spec)
    seen: list[acceptance.Options] = []
    found = ProbeResult(name="tcg", args=(), slowness=slowness, note="")

    def run(build: Path, cloud: client.Cloud, options: acceptance.Options, *, signed_by: str | None) -> None:
        seen.append(options)
        raise HostError("seen")

    running = lifecycle.Cloud(name="verify-1", clouds_yaml=tmp_path / "clouds.yaml", ports={}, seconds=1)
    monkeypatch.setattr(lifecycle, "up", lambda name, options: running)
    monkeypatch.setattr(lifecycle, "down", lambda name: [])
    monkeypatch.setattr(client, "connect", lambda name, clouds_yaml: SimpleNamespace(name=name))
    monkeypatch.setattr(accelerator, "find", lambda log_path: found)
    monkeypatch.setattr(build_folders, "find_build", lambda out, name: tmp_path)
    monkeypatch.setattr(acceptance, "run", run)

    with pytest.raises(HostError, match="seen"):
        verify.verify(tmp_path, "tiny", cloud="", options=acceptance.Options(flavor="one"))
    assert [(options.deadline_s, options.pods_deadline_s) for options in seen] == [expected]
