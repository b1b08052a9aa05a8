# SPDX-License-Identifier: Apache-2.0
"""The proof is proven: an image that is broken turns verification red, for the right reason.

The mutations that take a boot to show are trials of `invoke soak mutate`: docs/measurements/.
"""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from goldsmith.core import runs
from goldsmith.image.manifest import Manifest
from goldsmith.verify import session
from tests.support import mutations
from tests.support.mutations import Mutation

pytestmark = pytest.mark.integration

QUICK = [mutation for mutation in mutations.MUTATIONS if mutation.reason.startswith("sealed:")]


def test_there_are_mutations_of_each_phase() -> None:
    assert len(QUICK) == 5
    assert len(mutations.MUTATIONS) == 9


@pytest.mark.parametrize("mutation", QUICK, ids=lambda mutation: str(mutation.name))
def test_mutated_image_fails_for_the_right_reason(
    built: dict[str, Any], mutation: Mutation, tmp_path: Path
) -> None:
    with runs.run() as run:
        target = run.folder / "mutated.qcow2"
        mutations.mutated(Path(built["image"]), mutation, target)

        assert mutations.judge(target, mutation, tmp_path, run) == []


def test_image_that_is_whole_would_not_count_as_mutated(built: dict[str, Any], tmp_path: Path) -> None:
    """The negative control of the judge: a finding that is not there is a problem."""
    with runs.run() as run:
        target = run.folder / "other.qcow2"
        mutations.mutated(Path(built["image"]), QUICK[0], target)
        other = Mutation(name="other", script="", reason="sealed: test_no_ssh_host_keys")

        assert mutations.judge(target, other, tmp_path, run)


def test_manifest_that_names_another_container_image_is_found(built: dict[str, Any], tmp_path: Path) -> None:
    manifest = copy.deepcopy(built["manifest"])
    manifest["containers"][0]["digest"] = f"sha256:{'0' * 64}"
    compared = Manifest.parse(manifest, "manifest")
    subject = session.Subject(image=Path(built["image"]), out=tmp_path, manifest=compared, fail_fast=True)
    with runs.run() as run:
        verdict = session.verify(subject, run=run, log_path=tmp_path / "log")

    assert {line.split(":")[1].strip() for line in verdict.failed} == {
        "test_container_images_are_those_of_the_manifest",
        "test_manifest_and_image_name_the_same_container_images",
    }


def test_file_that_is_not_the_manifests_is_a_finding_among_others(
    built: dict[str, Any], tmp_path: Path
) -> None:
    with runs.run() as run:
        target = run.folder / "other.qcow2"
        shutil.copy(built["image"], target)
        with target.open("r+b") as file:  # past the end of what qcow2 reads: other bytes, the same disk
            file.seek(0, os.SEEK_END)
            file.write(bytes(512))
        compared = Manifest.parse(built["manifest"], "manifest")
        subject = session.Subject(image=target, out=tmp_path, manifest=compared, fail_fast=True)
        verdict = session.verify(subject, run=run, log_path=tmp_path / "log")

    assert [line.split(":")[1].strip() for line in verdict.failed] == ["test_bytes_are_those_of_the_manifest"]
