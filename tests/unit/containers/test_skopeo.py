# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.containers import skopeo
from goldsmith.core import wait
from goldsmith.core.runs import Run
from goldsmith.errors import BuildError
from tests.support.meters import Meters

DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "run").mkdir()
    return Run(folder=tmp_path / "run")


@pytest.fixture
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def store(content: object) -> None:
        (tmp_path / "config.json").write_text(json.dumps(content))

    return store


def manifest(run: Run, name: str) -> bytes:
    return skopeo.Skopeo(name=name, run=run, log_path=run.folder / "log").manifest(DIGEST)


@pytest.mark.parametrize(
    ("stderr", "message", "hint", "retryable"),
    [
        ("unauthorized: authentication required", "denies access", "docker login host.test", False),
        ("manifest unknown: manifest unknown", "has no image", "check name and digest", False),
        ("Manifest does not match provided manifest digest", "serves other content", "do not use", False),
        ("dial tcp: lookup host.test: no such host", "cannot reach host.test", "check the network", True),
    ],
)
def test_a_failure_of_skopeo_becomes_a_message_with_a_hint(
    run: Run, fake: Callable[..., Path], stderr: str, message: str, hint: str, retryable: bool
) -> None:
    fake("skopeo", f"echo '{stderr}' >&2; exit 1")
    with pytest.raises(BuildError, match=message) as e:
        manifest(run, "host.test/app")
    assert hint in (e.value.hint or "")
    assert e.value.retryable is retryable


def test_plain_http_is_for_loopback_alone(run: Run, fake: Callable[..., Path]) -> None:
    calls = fake("skopeo", "exit 1")
    for host in ("127.0.0.1:5000", "localhost:5000", "[::1]:5000", "host.test", "127.0.0.1.evil.test"):
        with pytest.raises(BuildError):
            manifest(run, f"{host}/app")
    insecure = ["--tls-verify=false" in line for line in calls.read_text().splitlines()]
    assert insecure == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("stored", "host", "found"),
    [
        ({"auths": {"a.test": {"auth": "eA=="}}}, "a.test", {"auths": {"a.test": {"auth": "eA=="}}}),
        ({"auths": {"a.test": {"auth": "eA=="}}}, "b.test", None),
        ({"auths": {"https://a.test": {"auth": "eA=="}}}, "a.test", {"auths": {"a.test": {"auth": "eA=="}}}),
        ({"credHelpers": {"a.test": "pass"}}, "a.test", {"credHelpers": {"a.test": "pass"}}),
        ({"auths": {"a.test": {}}, "credsStore": "pass"}, "a.test", {"credHelpers": {"a.test": "pass"}}),
        (
            {"auths": {"https://index.docker.io/v1/": {"auth": "eA=="}}},
            "docker.io",
            {"auths": {"docker.io": {"auth": "eA=="}}},
        ),
    ],
)
def test_what_docker_login_stored_is_found(
    login: Callable[[object], None], stored: object, host: str, found: object
) -> None:
    login(stored)
    assert skopeo.credentials(host) == found


def test_credentials_go_through_a_private_file(
    run: Run, fake: Callable[..., Path], login: Callable[[object], None]
) -> None:
    login({"auths": {"a.test": {"auth": "c2VjcmV0"}, "other.test": {"auth": "b3RoZXI="}}})
    calls = fake("skopeo", "exit 1")
    with pytest.raises(BuildError):
        manifest(run, "a.test/app")
    path = run.folder / "registry-auth.json"
    assert f"--authfile {path}" in calls.read_text()
    assert "c2VjcmV0" not in calls.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "other.test" not in path.read_text()


def test_how_much_of_an_image_came_is_shown(
    run: Run, fake: Callable[..., Path], meters: Meters, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(wait, "meanwhile", functools.partial(wait.meanwhile, interval_s=0.01))
    target = tmp_path / "target"
    target.mkdir()
    fake("skopeo", f"printf 12345 > {target}/a; printf 67 > {target}/b; sleep 0.3")

    skopeo.Skopeo(name="host.test/app", run=run, log_path=tmp_path / "log").copy(DIGEST, target)

    (meter,) = meters
    assert (meter.title, meter.total, meter.done) == ("download host.test/app", None, 7)
