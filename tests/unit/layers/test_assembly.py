# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goldsmith.containers.bundler import Bundle
from goldsmith.containers.images_lock import LockedImage, LockedLayer
from goldsmith.core import isolation
from goldsmith.errors import BuildError
from goldsmith.image import dib_plan, packages, prepare, qemu_img
from goldsmith.layers import assembly
from goldsmith.layers.assembly import Parts
from goldsmith.layers.root import RootLayer
from goldsmith.spec import load
from goldsmith.spec.model import Compression, DiskSpec, Embed, ImageSpec, PartitionTable

SPEC = load.load("debian-kubelet").spec
TABLE = {
    "partitions": [{"node": "{raw}1", "start": 1, "size": 8}, {"node": "{raw}2", "start": 9, "size": 99}]
}


LAYERS = (
    LockedLayer(digest="sha256:a", size=60 << 20, diff_id="sha256:a"),
    LockedLayer(digest="sha256:b", size=60 << 20, diff_id="sha256:c"),  # it is packed
)
IMAGE = LockedImage(
    ref="a", names=("a",), digest="d", index_digest=None, config_digest="c", media_type="m", size=1,
    layers=LAYERS, source="build",
)  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the program that runs as root was asked for."""
    found: dict[str, Any] = {}

    def contained(argv: tuple[object, ...], *, network: bool) -> tuple[object, ...]:
        found.update(json.loads(Path(str(argv[-1])).read_text()), network=network)
        return ("true",)

    monkeypatch.setattr(isolation, "contained", contained)
    return found


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    for hook in ("heat-config-kubelet/post-install.d/60-heat-config-kubelet", "goldsmith-seal/x"):
        path = tmp_path / "elements" / hook
        path.parent.mkdir(parents=True)
        path.touch()
    for name in ("bundle.tar", "lock.json", "schema.json"):
        (tmp_path / name).write_text(name)
    (tmp_path / "identity").mkdir()
    bundle = Bundle(
        path=tmp_path / "bundle.tar", lock_path=tmp_path / "lock.json", images=(IMAGE,),
        size_bytes=60 << 20, sha256="2", reused=True,
    )  # fmt: skip
    inputs = dib_plan.Inputs(
        elements=tmp_path / "elements", identity=tmp_path / "identity", scratch=tmp_path,
        bundle=bundle.path, lock=bundle.lock_path,
    )  # fmt: skip
    return Parts(
        plan=dib_plan.plan(SPEC, inputs), elements=tmp_path / "elements", identity=tmp_path / "identity",
        bundle=bundle, pod_schema=tmp_path / "schema.json",
    )  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> RootLayer:
    for name in ("root.raw", packages.FILE):
        (tmp_path / name).write_text(name)
    return RootLayer(
        disk=tmp_path / "root.raw", packages=tmp_path / packages.FILE, log=tmp_path / "log", used=frozenset(),
        reused=True, epoch=7,
    )  # fmt: skip


@pytest.fixture
def calls(fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Path]:
    """Calls of the programs that change the disk."""
    raw = tmp_path / "assembly.raw"
    table = json.dumps({"partitiontable": TABLE}).replace("{raw}", str(raw))
    fake("cp", 'exec /bin/cp "$@"')
    fake("true")
    converted = tmp_path / "converted"
    monkeypatch.setattr(qemu_img, "make_qcow2", lambda _raw, _target, how: converted.write_text(how.value))
    return {
        "truncate": fake("truncate"), "sfdisk": fake("sfdisk", f"echo '{table}'"), "converted": converted,
    }  # fmt: skip


def assemble(spec: ImageSpec, root: RootLayer, parts: Parts, tmp_path: Path) -> Path:
    return assembly.assemble(spec, root, parts, tmp_path, log_path=tmp_path / "build.log")


def test_the_hooks_that_come_after_the_root_run_on_a_copy(
    asked: dict[str, Any], parts: Parts, root: RootLayer, calls: dict[str, Path], tmp_path: Path
) -> None:
    image = assemble(SPEC, root, parts, tmp_path)

    hooks = Path(asked["hooks"])
    assert image == parts.plan.image
    assert (asked["start"], asked["size"], asked["network"]) == (9 * 512, 99 * 512, False)
    assert (hooks / asked["inside"]).is_file()
    assert (hooks / "embed/bundle.tar").read_text() == "bundle.tar"
    assert (hooks / "embed/pod-schema.json").read_text() == "schema.json"
    assert [Path(hook).name for hook in asked["outside"]] == ["80-goldsmith-identity", "90-goldsmith-seal"]
    assert asked["env"]["DIB_EMBED_STRATEGY"] == "content-store"
    assert asked["env"]["DIB_EMBED_LATER"] == "0"
    assert (parts.identity / packages.FILE).read_text() == packages.FILE
    assert root.disk.read_text() == "root.raw"  # it is in the cache
    assert calls["converted"].read_text() == "zstd"


@pytest.mark.parametrize(("embed", "more"), [(Embed.content_store, 100), (Embed.unpacked, 800)])
def test_the_disk_grows_by_what_is_embedded_and_spare_room(
    asked: dict[str, Any], parts: Parts, root: RootLayer, calls: dict[str, Path], tmp_path: Path,
    embed: Embed, more: int,
) -> None:  # fmt: skip
    assemble(dataclasses.replace(SPEC, embed=embed), root, parts, tmp_path)

    assert f"--size {more * 2**20 + len('root.raw')} " in calls["truncate"].read_text()
    sfdisk = calls["sfdisk"].read_text()
    assert sfdisk.index("--relocate gpt-bak-std") < sfdisk.index("-N 2")


def test_a_disk_is_as_large_as_the_spec_says(
    asked: dict[str, Any], parts: Parts, root: RootLayer, calls: dict[str, Path], tmp_path: Path
) -> None:
    assemble(dataclasses.replace(SPEC, disk=DiskSpec(size_mib=4096)), root, parts, tmp_path)

    assert f"--size {4 << 30} " in calls["truncate"].read_text()


def test_a_disk_is_not_made_smaller_than_its_root(
    asked: dict[str, Any], parts: Parts, root: RootLayer, calls: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(BuildError, match=r"more than disk\.size"):
        assemble(dataclasses.replace(SPEC, disk=DiskSpec(size_mib=0)), root, parts, tmp_path)


def test_an_mbr_has_no_copy_at_the_end(
    asked: dict[str, Any], parts: Parts, root: RootLayer, calls: dict[str, Path], tmp_path: Path
) -> None:
    disk = DiskSpec(partition_table=PartitionTable.mbr, compression=Compression.none)

    assemble(dataclasses.replace(SPEC, disk=disk), root, parts, tmp_path)

    assert "--relocate" not in calls["sfdisk"].read_text()
    assert calls["converted"].read_text() == "none"


def test_without_containers_nothing_runs_inside(
    asked: dict[str, Any], parts: Parts, root: RootLayer, calls: dict[str, Path], tmp_path: Path
) -> None:
    bare = dataclasses.replace(SPEC, containers=(), kubelet=None, heat_agent=None)

    assemble(bare, root, dataclasses.replace(parts, bundle=None), tmp_path)

    assert asked["inside"] == ""
    assert calls["truncate"].read_text() == ""


_FAILING = r"""printf 'no room\nTraceback (most recent call last):\n  File "x"\n'
echo 'goldsmith.errors.BuildError: 60-x failed with exit status 1'; exit 1"""


def test_a_hook_that_fails_is_shown_with_its_last_lines(
    parts: Parts, root: RootLayer, calls: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "contained", lambda *_argv, **_options: ("sh", "-c", _FAILING))

    with pytest.raises(BuildError, match="cannot embed the containers in a copy of the root") as e:
        assemble(SPEC, root, parts, tmp_path)

    assert str(e.value).splitlines()[1:] == ["  | no room", "  | BuildError: 60-x failed with exit status 1"]


def test_the_plan_of_a_root_has_no_containers_and_is_raw() -> None:
    _, whole = prepare.plan("debian-kubelet", {})
    here = Path("SCRATCH")
    inputs = dib_plan.Inputs(elements=here, identity=here, scratch=here, root_layer=True, kubelet=here)

    alone = dib_plan.plan(SPEC, inputs)

    assert alone.argv[4:6] == ("-t", "raw")
    assert "compression_type=zstd" not in alone.argv
    assert alone.env["DIB_EMBED_LATER"] == "1"
    assert not [name for name in alone.env if name in ("DIB_EMBED_BUNDLE", "DIB_HEAT_POD_SCHEMA")]
    assert alone.argv[-len(dib_plan.elements(SPEC)) :] == whole.argv[-len(dib_plan.elements(SPEC)) :]
