# SPDX-License-Identifier: Apache-2.0
"""Compare the plans of all shipped specs with golden files.

Update the golden files: UPDATE_GOLDEN=1 pytest tests/unit/image/test_dib_plan_golden.py
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from goldsmith.cli import output
from goldsmith.cli.answers import PlanAnswer
from goldsmith.core import paths
from goldsmith.image import prepare
from goldsmith.kubernetes import pod_check
from goldsmith.spec.model import Embed

GOLDEN = paths.project_root() / "tests" / "golden" / "plans"
FEDORA = {"fedora_base_sha256": "f" * 64}

PLANS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "debian-kubelet": ("debian-kubelet", {}),
    "debian-kubelet-archive": ("debian-kubelet", {"embed": "archive"}),
    "debian-kubelet-unpacked": ("debian-kubelet", {"embed": "unpacked"}),
    "debian-kubelet-arm64": ("debian-kubelet", {"arch": "arm64"}),
    "debian-heat-full": ("debian-heat-full", {}),
    "fedora-kubelet": ("fedora-kubelet", FEDORA),
    "fedora-kubelet-archive": ("fedora-kubelet", {**FEDORA, "embed": "archive"}),
    "fedora-kubelet-arm64": ("fedora-kubelet", {**FEDORA, "arch": "arm64"}),
}


@pytest.mark.parametrize("golden", PLANS)
def test_a_shipped_spec_is_planned_as_the_golden_file(golden: str) -> None:
    name, variables = PLANS[golden]
    path = GOLDEN / f"{golden}.txt"

    text = output.plan_as_text(PlanAnswer.of(*prepare.plan(name, variables), pods_checked_by=pod_check.RULES))

    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_each_golden_file_has_a_plan() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(PLANS)


@pytest.mark.parametrize("embed", Embed)
def test_the_strategy_reaches_the_element(embed: Embed) -> None:
    _, plan = prepare.plan("debian-kubelet", {"embed": embed.value})

    assert plan.env["DIB_EMBED_STRATEGY"] == embed.value


def test_fedora_gets_its_base_image_and_package_and_nothing_of_debians() -> None:
    _, plan = prepare.plan("fedora-kubelet", FEDORA)

    assert plan.env["DIB_LOCAL_IMAGE"] == "BASE-IMAGE"
    assert plan.env["DIB_KUBELET_PACKAGE"] == "kubernetes1.35"
    assert not {"DIB_KUBELET_BINARY", "DIB_DISTRIBUTION_MIRROR", "DIB_DEBIAN_SECURITY_MIRROR"} & set(plan.env)


def test_arm64_boots_from_an_efi_partition() -> None:
    _, plan = prepare.plan("debian-kubelet", {"arch": "arm64"})

    assert "block-device-efi" in plan.argv
    assert "name: ESP" in plan.block_device
    assert "type: vfat" in plan.block_device
