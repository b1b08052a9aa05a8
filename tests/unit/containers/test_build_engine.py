# SPDX-License-Identifier: Apache-2.0
"""Builds of Dockerfiles by an engine whose answers are written down here."""

from __future__ import annotations

import contextlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import docker
import pytest
from docker.errors import NotFound

from goldsmith.apt import indexes
from goldsmith.apt.indexes import IndexState
from goldsmith.apt.mirror import SECURITY_VARIABLE
from goldsmith.containers import build, policy
from goldsmith.containers.build_context import Context
from goldsmith.core.runs import Run
from goldsmith.errors import HostError


class Engine:
    """An engine whose images all have a volume and a shell of their own, and no files."""

    def __init__(self) -> None:
        self.api = self.images = self
        self.volumes: list[str] = []
        self.arguments: list[dict[str, str]] = []
        self.dockerfiles: list[str] = []

    def __call__(self, **_: Any) -> list[str]:
        return []

    def get(self, name: str) -> Any:
        self.attrs = {
            "Id": f"sha256:{name}", "Created": "", "Config": {"Shell": ["/bin/ash", "-c"]},
            "RootFS": {"Layers": [name]},
        }  # fmt: skip
        return self

    def create_host_config(self, **_: Any) -> dict[str, str]:
        return {}

    def create_container(self, image: str, **_: Any) -> dict[str, str]:
        self.volumes.append(image)
        return {"Id": image}

    def get_archive(self, container: str, path: str) -> Any:
        raise NotFound(f"{container}: {path}")

    def remove_container(self, container: str, *, force: bool, v: bool = False) -> None:
        assert force
        if v:
            self.volumes.remove(container)

    def remove_image(self, name: str, **_: Any) -> None: ...

    def build(self, *, fileobj: IO[bytes], buildargs: dict[str, str], **_: Any) -> Iterator[dict[str, Any]]:
        with tarfile.open(fileobj=fileobj) as archive:
            content = archive.extractfile("Dockerfile")
            assert content is not None
            self.dockerfiles.append(content.read().decode())
        self.arguments.append(buildargs)
        yield {"aux": {"ID": "sha256:made"}}


@pytest.fixture
def resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[build.BuildResources]:
    monkeypatch.setenv(SECURITY_VARIABLE, "http://127.0.0.1:9/security")
    monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
    (tmp_path / "run").mkdir()
    with contextlib.ExitStack() as stack:
        yield build.BuildResources(
            run=Run(folder=tmp_path / "run"), log_path=tmp_path / "log", arch="amd64",
            preferred_mirror="http://127.0.0.1:9/debian", stack=stack, policy=cast(policy.Policy, None),
            _client=cast(docker.DockerClient, Engine()),
        )  # fmt: skip


def built(resources: build.BuildResources, folder: Path, text: str) -> Engine:
    (folder / "app").mkdir()
    (folder / "app/Dockerfile").write_text(text)
    context = Context(ref="a.test/app:1", folder=folder / "app", rootfs=False)
    build._docker_build(resources, context, {context.ref: "0"})
    return cast(Engine, resources.client)


@pytest.mark.parametrize("lines", ["FROM scratch\nCOPY a /\n", "FROM x.test/a:1\nENV A=1\n"])
def test_a_dockerfile_without_run_needs_no_mirror(
    lines: str, resources: build.BuildResources, tmp_path: Path
) -> None:
    engine = built(resources, tmp_path, lines)

    assert resources.addresses == ()
    assert engine.arguments == [{"http_proxy": "http://proxy.test:3128"}]


def test_the_address_of_the_package_proxy_is_in_no_environment_of_run(
    resources: build.BuildResources, tmp_path: Path
) -> None:
    engine = built(resources, tmp_path, "FROM x.test/a:1\nRUN env > /env\n")

    (address,) = resources.addresses
    assert not [each for each in engine.arguments if address in str(each)]


@pytest.mark.parametrize("retryable", [True, None])
def test_a_suite_that_the_mirror_lacks_is_left_to_apt_and_a_mirror_without_an_answer_ends_the_build(
    resources: build.BuildResources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retryable: bool | None
) -> None:
    def current(*_words: object) -> IndexState:
        raise HostError("no index", retryable=retryable)

    monkeypatch.setattr(build, "_debian", lambda _client, _image: ("buster", True))
    monkeypatch.setattr(indexes, "current", current)

    if retryable:
        with pytest.raises(HostError, match="no index"):
            built(resources, tmp_path, "FROM x.test/a:1\nRUN true\n")
    else:
        assert len(built(resources, tmp_path, "FROM x.test/a:1\nRUN true\n").dockerfiles) == 2


def test_no_volume_of_a_base_stays_in_the_engine(resources: build.BuildResources, tmp_path: Path) -> None:
    assert built(resources, tmp_path, "FROM x.test/db:1\nRUN true\n").volumes == []


def test_here_documents_run_in_the_shell_of_the_image(
    resources: build.BuildResources, tmp_path: Path
) -> None:
    engine = built(resources, tmp_path, "FROM x.test/a:1\nRUN <<A\nls\nA\n")

    assert 'RUN ["/bin/ash", "-c", "ls\\n"]' in engine.dockerfiles[-1]
