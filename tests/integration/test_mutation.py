# SPDX-License-Identifier: Apache-2.0
"""Verification of a broken image fails, and for the right reason.

Mutations that show only after a boot are trials of `invoke soak mutate`: docs/measurements/.
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


def test_a_mutation_with_another_finding_is_a_problem(built: dict[str, Any], tmp_path: Path) -> None:
    """Negative control of mutations.judge: an expected finding that is missing is a problem."""
    with runs.run() as run:
        target = run.folder / "other.qcow2"
        mutations.mutated(Path(built["image"]), QUICK[0], target)
        other = Mutation(name="other", script="", reason="sealed: test_no_ssh_host_keys")

        assert mutations.judge(target, other, tmp_path, run)


def test_a_manifest_with_another_container_image_is_a_finding(built: dict[str, Any], tmp_path: Path) -> None:
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


def test_a_file_with_other_bytes_than_in_the_manifest_is_a_finding(
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
