# SPDX-License-Identifier: Apache-2.0
"""Export from a store that the tests fill: none of this may need an engine."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest

from goldsmith.containers import build, build_context, bundler, content, oci, store
from goldsmith.containers.bundler import Bundle
from goldsmith.containers.policy import Policy
from goldsmith.core import files, paths
from goldsmith.core.runs import Run
from goldsmith.errors import BuildError, HostError
from goldsmith.spec.model import ContainerSpec, Into, Layers

LAYERS = [b"base" * 1000, b"top"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    (tmp_path / "run").mkdir()
    return Run(folder=tmp_path / "run")


@pytest.fixture
def spec(run: Run, tmp_path: Path) -> ContainerSpec:
    """A container whose image is in the store already."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app/Dockerfile").write_text("FROM scratch\n")
    spec = ContainerSpec(ref="a.test/app:1", build="app")
    keep(key_of(spec, tmp_path, run), tmp_path)
    return spec


def key_of(spec: ContainerSpec, root: Path, run: Run) -> str:
    with contextlib.ExitStack() as stack:
        resources = build.BuildResources(
            run=run, log_path=root / "log", arch="amd64", preferred_mirror=None, stack=stack, policy=Policy()
        )
        return build.keys(resources, build_context.collect([spec], (root,)))[spec.ref]


def keep(key: str, tmp_path: Path) -> None:
    files = {}
    for data in LAYERS:
        (tmp_path / oci.sha256(data)).write_bytes(data)
        files[oci.sha256(data)] = tmp_path / oci.sha256(data)
    store.keep(key, oci.canonical({"rootfs": {"diff_ids": list(files)}}), files)


def export(run: Run, tmp_path: Path, *specs: ContainerSpec, layers: Layers = Layers.uncompressed) -> Bundle:
    return bundler.export(specs, layers=layers, run=run, log_path=tmp_path / "log", root=tmp_path)


def test_the_lock_has_the_digest_of_the_content_that_can_be_read(
    spec: ContainerSpec, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for both kinds of layers; layers that are no tar archives have none."""
    (unread,) = export(run, tmp_path, spec).images
    monkeypatch.setattr(f"{__name__}.LAYERS", [bytes(10240)])  # an archive without members
    keep(key_of(spec, tmp_path, run), tmp_path)

    found = {export(run, tmp_path, spec, layers=layers).images[0].content_digest for layers in Layers}

    assert unread.content_digest is None
    assert found == {content.digest({}, [])}


def test_what_is_cached_needs_no_engine(spec: ContainerSpec, run: Run, tmp_path: Path) -> None:
    first = export(run, tmp_path, spec)
    again = export(run, tmp_path, spec)
    assert (first.reused, again.reused) == (False, True)
    assert again.sha256 == first.sha256 == files.sha256_of(first.path)
    (image,) = again.images
    assert (image.ref, image.source, image.into) == ("a.test/app:1", "build", Into.containerd)


@pytest.mark.parametrize("layers", list(Layers))
def test_a_rewritten_bundle_has_the_same_bytes(
    spec: ContainerSpec, run: Run, tmp_path: Path, layers: Layers
) -> None:
    first = export(run, tmp_path, spec, layers=layers)
    for kind in ("bundle", "layer-gzip"):
        shutil.rmtree(paths.cache_root() / kind, ignore_errors=True)
    again = export(run, tmp_path, spec, layers=layers)
    assert not again.reused
    assert again.sha256 == first.sha256


def test_a_damaged_bundle_is_written_again(spec: ContainerSpec, run: Run, tmp_path: Path) -> None:
    first = export(run, tmp_path, spec)
    with first.path.open("r+b") as file:
        file.seek(5000)
        file.write(b"rot")
    again = export(run, tmp_path, spec)
    assert (again.reused, again.sha256) == (False, first.sha256)
    assert files.sha256_of(again.path) == first.sha256


def test_a_damaged_layer_is_built_again_and_never_exported(
    spec: ContainerSpec, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = key_of(spec, tmp_path, run)
    layer = store.layer(oci.sha256(LAYERS[1]))
    layer.write_bytes(b"rot")
    with pytest.raises(HostError, match="no Docker engine answers"):  # it needs one: there is no other way
        export(run, tmp_path, spec)
    keep(key, tmp_path)
    assert [x.digest for x in export(run, tmp_path, spec).images[0].layers] == list(map(oci.sha256, LAYERS))


def test_a_changed_context_is_built_again(spec: ContainerSpec, run: Run, tmp_path: Path) -> None:
    (tmp_path / "app/new").touch()
    with pytest.raises(HostError, match="no Docker engine answers"):
        export(run, tmp_path, spec)


def test_refresh_builds_what_is_cached_and_keeps_it_if_that_fails(
    spec: ContainerSpec, run: Run, tmp_path: Path
) -> None:
    before = export(run, tmp_path, spec)
    with pytest.raises(HostError, match="no Docker engine answers"):
        bundler.export(
            [spec], layers=Layers.gzip, run=run, log_path=tmp_path / "log", root=tmp_path, refresh=True
        )
    after = export(run, tmp_path, spec)
    assert (after.reused, after.sha256) == (True, before.sha256)


def test_the_order_of_the_spec_is_the_order_of_the_lock(
    spec: ContainerSpec, run: Run, tmp_path: Path
) -> None:
    twin = ContainerSpec(ref="a.test/twin:1", build="app", into=Into.docker)
    bundle = export(run, tmp_path, twin, spec)
    assert [image.ref for image in bundle.images] == ["a.test/twin:1", "a.test/app:1"]
    assert [x["into"] for x in json.loads(bundle.lock_path.read_text())["images"]] == ["docker", "containerd"]


def test_one_name_for_two_containers_is_refused(spec: ContainerSpec, run: Run, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="twice"):
        export(run, tmp_path, spec, ContainerSpec(ref="a.test/app:1", registry="x"))


def test_an_empty_list_is_reported(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(run, tmp_path).images == ()
    assert "lists no containers" in capsys.readouterr().err
