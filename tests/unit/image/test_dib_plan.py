# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.core import proc
from goldsmith.errors import BuildError, SpecError
from goldsmith.image import dib, dib_plan
from goldsmith.spec import checks
from goldsmith.spec.model import (
    Arch,
    Compression,
    ContainerSpec,
    DiskSpec,
    Distribution,
    Embed,
    ImageSpec,
    KubeletSource,
    KubeletSpec,
    PartitionTable,
)
from tests.support import fakes

INPUTS = dib_plan.Inputs(elements=Path("/s/elements"), identity=Path("/s/identity"), scratch=Path("/s"))
PLAIN = ImageSpec(name="mine", distribution=Distribution.debian, release="trixie", containers=())
PAUSE = ContainerSpec(ref="our.local/pause:1", build="containers/pause")
WITH_KUBELET = dataclasses.replace(PLAIN, kubelet=KubeletSpec(version="1.35.4"), containers=(PAUSE,))


def plan(spec: ImageSpec = PLAIN, **inputs: Any) -> dib_plan.DibPlan:
    return dib_plan.plan(spec, dataclasses.replace(INPUTS, **inputs))


def partitions(spec: ImageSpec, **inputs: Any) -> dict[str, Any]:
    _, node = yaml.safe_load(plan(spec, **inputs).block_device)
    (kind,) = node
    return {"kind": kind, **node[kind]}


def with_disk(**changes: Any) -> ImageSpec:
    return dataclasses.replace(PLAIN, disk=DiskSpec(**changes))


def test_the_call_names_the_image_and_keeps_package_lists_out_of_memory() -> None:
    built = plan()

    assert built.argv[0] == "disk-image-create"
    assert built.image == Path("/s/mine-amd64.qcow2")
    assert built.argv[built.argv.index("-o") + 1] == str(built.image)
    assert "--no-tmpfs" in built.argv
    assert "--no-tmpfs" not in plan(tmpfs=True).argv


def test_a_plan_is_deterministic_and_immutable() -> None:
    assert plan(WITH_KUBELET) == plan(WITH_KUBELET)
    with pytest.raises(TypeError):
        plan().env["X"] = "1"  # type: ignore[index]


@pytest.mark.parametrize(
    ("compression", "words"),
    [(Compression.zstd, ("--qemu-img-options", "compression_type=zstd")), (Compression.none, ("-u",))],
)
def test_compression_becomes_options(compression: Compression, words: tuple[str, ...]) -> None:
    assert set(words) <= set(plan(with_disk(compression=compression)).argv)


def test_zlib_needs_no_options() -> None:
    argv = plan(with_disk(compression=Compression.zlib)).argv

    assert not {"-u", "--qemu-img-options"} & set(argv)


def test_variables_of_the_plan_win_over_those_of_the_spec() -> None:
    spec = dataclasses.replace(PLAIN, dib_env={"DIB_GRUB_TIMEOUT": "9", "TMP_DIR": "/elsewhere"})

    env = plan(spec).env

    assert env["DIB_GRUB_TIMEOUT"] == "9"
    assert env["TMP_DIR"] == "/s"


def test_every_variable_of_a_plan_is_reserved_or_a_default() -> None:
    spec = dataclasses.replace(WITH_KUBELET, mirror="http://m.test")
    full = plan(
        spec, bundle=Path("/b"), lock=Path("/l"), kubelet=Path("/k"), base_image=Path("/i"),
        debian_mirror="http://m.test", debian_security_mirror="http://s.test",
    )  # fmt: skip

    prefixes = tuple(checks.RESERVED_PREFIXES)
    ours = {name for name in full.env if not name.startswith(prefixes)}
    assert len(ours) > 5
    assert ours - set(dib_plan._DEFAULTS) <= checks.RESERVED.keys()


def test_all_folders_are_within_the_folder_of_the_run() -> None:
    for name in ("TMP_DIR", "DIB_IMAGE_CACHE", "DIB_LOCKFILES"):
        assert plan().env[name].startswith("/s"), name


def test_the_size_is_given_in_gib() -> None:
    assert plan(with_disk(size_mib=2560)).env["DIB_IMAGE_SIZE"] == "2.5"
    assert "DIB_IMAGE_SIZE" not in plan().env


def test_elements_come_once_and_those_of_the_spec_last() -> None:
    spec = dataclasses.replace(WITH_KUBELET, elements=("vm", "mine"))

    names = dib_plan.elements(spec)

    assert names[0] == "debian-minimal"
    assert names[-1] == "mine"
    assert len(set(names)) == len(names)
    assert {"goldsmith-identity", "goldsmith-seal", "kubelet", "heat-config-kubelet"} <= set(names)


def test_an_image_without_kubelet_and_containers_has_neither_element() -> None:
    assert not {"kubelet", "heat-config-kubelet"} & set(dib_plan.elements(PLAIN))


def test_a_custom_distribution_gets_a_disk_and_an_identity_only() -> None:
    spec = dataclasses.replace(PLAIN, distribution=Distribution.custom, elements=("busybox",))

    assert dib_plan.elements(spec) == ("block-device-gpt", "goldsmith-identity", "busybox")


def test_packages_are_one_argument() -> None:
    argv = plan(dataclasses.replace(PLAIN, packages=("vim", "jq"))).argv

    assert argv[argv.index("-p") + 1] == "vim,jq"
    assert "-p" not in plan().argv


def test_the_mirrors_are_for_debian_only() -> None:
    mirrors: dict[str, Any] = {"debian_mirror": "http://m.test", "debian_security_mirror": "http://s.test"}
    fedora = dataclasses.replace(PLAIN, distribution=Distribution.fedora)

    assert plan(**mirrors).env["DIB_DISTRIBUTION_MIRROR"] == "http://m.test"
    assert plan(**mirrors).env["DIB_DEBIAN_SECURITY_MIRROR"] == "http://s.test"
    assert "DIB_DISTRIBUTION_MIRROR" not in plan(fedora, **mirrors).env


@pytest.mark.parametrize("given", [{}, {"DIB_MMDEBSTRAP_EXTRA_ARGS": "--include=a"}])
def test_apt_takes_a_locked_index_of_any_age_and_no_other(given: dict[str, str]) -> None:
    spec = dataclasses.replace(PLAIN, dib_env=given)

    plain = plan(spec).env.get("DIB_MMDEBSTRAP_EXTRA_ARGS", "")
    pinned = plan(spec, pinned_index=True).env

    assert plain == " ".join(given.values())
    words = shlex.split(pinned["DIB_MMDEBSTRAP_EXTRA_ARGS"])
    assert words[:-1] == list(given.values())
    hook = words[-1].removeprefix("--setup-hook=")
    assert re.fullmatch(r'echo .*Check-Valid-Until.* >"\$1/etc/apt/apt.conf.d/99goldsmith-[a-z-]+"', hook)


def test_the_build_mirror_does_not_stay_in_the_image() -> None:
    env = plan(debian_mirror="http://build.test").env

    assert env["DIB_SEAL_MIRROR"] == ""


def test_gpt_has_a_partition_for_grub_before_the_root() -> None:
    found = partitions(PLAIN)

    assert found["label"] == "gpt"
    assert [(p["name"], p.get("type")) for p in found["partitions"]] == [("BSP", "EF02"), ("root", None)]
    assert "primary" not in found["partitions"][1]["flags"]


def test_mbr_has_one_primary_partition() -> None:
    found = partitions(with_disk(partition_table=PartitionTable.mbr))

    assert found["label"] == "mbr"
    assert [p["flags"] for p in found["partitions"]] == [["boot", "primary"]]


def test_arm64_boots_by_efi_whatever_the_table() -> None:
    spec = dataclasses.replace(with_disk(partition_table=PartitionTable.mbr), arch=Arch.arm64)

    found = partitions(spec)

    assert found["label"] == "gpt"
    assert [p["name"] for p in found["partitions"]] == ["ESP", "root"]
    assert "block-device-efi" in dib_plan.elements(spec)


def test_the_inputs_choose_the_partitioning_plugin() -> None:
    assert partitions(PLAIN)["kind"] == "partitioning"
    assert partitions(PLAIN, blkpg=True)["kind"] == "blkpg_partitioning"


@pytest.mark.parametrize("ref", ["our.local/pause:1", "pause:3.10", "r.test/a/pause@sha256:abc"])
def test_the_pause_image_is_found_by_its_name(ref: str) -> None:
    spec = dataclasses.replace(WITH_KUBELET, containers=(ContainerSpec(ref=ref),))

    assert dib_plan.pause_image(spec) == ref
    assert plan(spec).env["DIB_KUBELET_PAUSE_IMAGE"] == ref


@pytest.mark.parametrize("ref", ["our.local/pause-app:1", "our.local/menopause:1", "pause.test/app:1"])
def test_a_name_that_only_contains_pause_is_not_it(ref: str) -> None:
    spec = dataclasses.replace(WITH_KUBELET, containers=(ContainerSpec(ref=ref),))

    with pytest.raises(SpecError, match="no container image called pause"):
        plan(spec)


def test_a_kubelet_is_a_file_or_a_package_never_both() -> None:
    packaged = KubeletSpec(version="1.35.4", source=KubeletSource.package)
    as_package = plan(dataclasses.replace(WITH_KUBELET, kubelet=packaged), kubelet=Path("/k")).env
    as_file = plan(WITH_KUBELET, kubelet=Path("/k")).env

    assert as_file["DIB_KUBELET_BINARY"] == "/k"
    assert "DIB_KUBELET_PACKAGE" not in as_file
    assert as_package["DIB_KUBELET_PACKAGE"]
    assert "DIB_KUBELET_BINARY" not in as_package


@pytest.mark.parametrize("embed", list(Embed))
def test_the_bundle_is_embedded_as_the_spec_says(embed: Embed) -> None:
    spec = dataclasses.replace(WITH_KUBELET, embed=embed)

    env = plan(spec, bundle=Path("/b"), lock=Path("/l")).env

    assert (env["DIB_EMBED_BUNDLE"], env["DIB_EMBED_LOCK"]) == ("/b", "/l")
    assert env["DIB_EMBED_STRATEGY"] == embed.value
    assert "DIB_EMBED_BUNDLE" not in plan(WITH_KUBELET).env


@pytest.fixture
def real_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path]) -> dib_plan.DibPlan:
    """A plan in an existing folder; its diskimage-builder is looked up among the fakes."""
    fake("sudo", fakes.SUDO)
    fake("unshare", fakes.UNSHARE)
    fake("python", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    monkeypatch.setattr(sys, "executable", str(tmp_path / "fakes" / "python"))
    return plan(scratch=tmp_path)


def test_a_build_writes_its_block_device_configuration_and_passes_its_environment(
    tmp_path: Path, fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, real_plan: dib_plan.DibPlan
) -> None:
    monkeypatch.setenv("DIB_RELEASE", "left over")
    monkeypatch.setenv("OS_PASSWORD", "hunter2")
    monkeypatch.setenv("GOLDSMITH_DEBIAN_MIRROR", "http://me:hunter2@mirror.test/debian")
    monkeypatch.setenv(proc.RUN_MARKER, str(tmp_path))
    fake("disk-image-create", f'env > "{tmp_path}/env"; touch "{tmp_path}/mine-amd64.qcow2"')

    image = dib.build(real_plan, log_path=tmp_path / "log")

    assert image == real_plan.image
    assert real_plan.block_device_path.read_text() == real_plan.block_device
    seen = (tmp_path / "env").read_text().splitlines()
    assert "DIB_RELEASE=trixie" in seen
    assert not [line for line in seen if line.startswith("OS_")]
    assert [line for line in seen if line.startswith("GOLDSMITH_")] == [f"GOLDSMITH_RUN={tmp_path}"]


def test_a_failed_build_names_the_hook(
    tmp_path: Path, fake: Callable[..., Path], real_plan: dib_plan.DibPlan
) -> None:
    line = "2026-01-01 00:00:00.000 | dib-run-parts Running /tmp/in_target.d/install.d/50-kubelet"
    fake("disk-image-create", f"echo '{line}'; echo boom; exit 1")

    with pytest.raises(BuildError, match=r"failed in install\.d/50-kubelet[\s\S]*boom") as e:
        dib.build(real_plan, log_path=tmp_path / "log")

    assert e.value.exit_code == 4
    assert e.value.hint == f"full log: {tmp_path}/log"


def test_a_build_that_writes_no_image_is_an_error(
    tmp_path: Path, fake: Callable[..., Path], real_plan: dib_plan.DibPlan
) -> None:
    fake("disk-image-create", "exit 0")

    with pytest.raises(BuildError, match=r"wrote no image .*mine-amd64\.qcow2"):
        dib.build(real_plan, log_path=tmp_path / "log")


def test_root_uuid_and_time_stamp_come_from_the_inputs() -> None:
    inputs = dataclasses.replace(INPUTS, root_uuid="0d5a4a1e-53c5-5a41-8f0e-6a4c0f6d2b77", epoch=1700000000)

    made = dib_plan.plan(PLAIN, inputs)

    assert "uuid: 0d5a4a1e-53c5-5a41-8f0e-6a4c0f6d2b77" in made.block_device
    assert made.env["SOURCE_DATE_EPOCH"] == "1700000000"
    assert "uuid" not in dib_plan.plan(PLAIN, INPUTS).block_device
