# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.containers import oci, registry, skopeo
from goldsmith.containers.policy import Policy, Rule
from goldsmith.core.scratch import Run
from goldsmith.errors import BuildError

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


def pull(run: Run, reference: str) -> registry.Pulled:
    policy = Policy(rules=(Rule(prefix=reference.partition("/")[0], accepted="a test"),))
    return registry.pull(reference, arch="amd64", policy=policy, run=run, log_path=run.folder / "log")


def test_an_image_without_a_digest_is_refused(run: Run) -> None:
    with pytest.raises(BuildError, match="does not say which image") as e:
        pull(run, "host.test/app:1")
    assert "skopeo inspect" in (e.value.hint or "")


@pytest.mark.parametrize(
    ("stderr", "message", "hint"),
    [
        ("unauthorized: authentication required", "refuses to hand over", "docker login host.test"),
        ("manifest unknown: manifest unknown", "has no image", "check name and digest"),
        ("Manifest does not match provided manifest digest", "serves something else", "do not use"),
        ("dial tcp: lookup host.test: no such host", "cannot be reached", "check the network"),
    ],
)
def test_what_skopeo_complains_about_becomes_a_hint(
    run: Run, fake: Callable[..., Path], stderr: str, message: str, hint: str
) -> None:
    fake("skopeo", f"echo '{stderr}' >&2; exit 1")
    with pytest.raises(BuildError, match=message) as e:
        pull(run, f"host.test/app@{DIGEST}")
    assert hint in (e.value.hint or "")


def test_a_manifest_that_is_not_what_was_asked_for_is_refused(run: Run, fake: Callable[..., Path]) -> None:
    fake("skopeo", "echo '{}'")
    with pytest.raises(BuildError, match="was asked for"):
        pull(run, f"host.test/app@{DIGEST}")


def test_an_index_without_this_architecture_is_refused(run: Run, fake: Callable[..., Path]) -> None:
    platform = {"os": "linux", "architecture": "arm64"}
    index = json.dumps({"manifests": [{"digest": DIGEST, "platform": platform}]})
    fake("skopeo", f"printf %s '{index}'")
    with pytest.raises(BuildError, match="no image for linux/amd64"):
        pull(run, f"host.test/app@{oci.sha256(index.encode())}")


@pytest.mark.parametrize("digest", ["sha256:..", "sha256:", "sha256:a/b", None])
def test_an_index_that_lists_no_digest_is_refused(
    run: Run, fake: Callable[..., Path], digest: str | None
) -> None:
    """It would become the name of a folder in the cache."""
    platform = {"os": "linux", "architecture": "amd64"}
    index = json.dumps({"manifests": [{"digest": digest, "platform": platform}]})
    fake("skopeo", f"printf %s '{index}'")
    with pytest.raises(BuildError, match="lists what is no digest"):
        pull(run, f"host.test/app@{oci.sha256(index.encode())}")


def test_plain_http_is_for_loopback_alone(run: Run, fake: Callable[..., Path]) -> None:
    calls = fake("skopeo", "exit 1")
    for host in ("127.0.0.1:5000", "localhost:5000", "[::1]:5000", "host.test", "127.0.0.1.evil.test"):
        with pytest.raises(BuildError):
            pull(run, f"{host}/app@{DIGEST}")
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
        pull(run, f"a.test/app@{DIGEST}")
    path = run.folder / "registry-auth.json"
    assert f"--authfile {path}" in calls.read_text()
    assert "c2VjcmV0" not in calls.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "other.test" not in path.read_text()
