# SPDX-License-Identifier: Apache-2.0
"""What publishing is made of besides the plan: builds, records, journal, properties, bodies, notes."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.errors import PublishError
from goldsmith.image import finished_build
from goldsmith.publish import build_diff, records
from goldsmith.publish.records import Records
from tests.support import samples


def test_a_record_says_what_the_build_folder_says(build: Path, tmp_path: Path) -> None:
    read = finished_build.read(build)
    disk = finished_build.disk(read, "qcow2")
    held = {"size": 1, "hash_algo": "sha512", "hash_value": "aa"}
    kept = Records(out=tmp_path / "no builds", name="mine", folder=tmp_path / "records")
    assert kept.get(read.id) is None

    kept.put(read.id, records.record(read, disk, held))

    found = kept.get(read.id)
    assert found is not None
    assert (found["manifest"], found["glance"]) == (samples.read(build), held)
    beside = records.beside(build)
    assert beside is not None
    assert build_diff.between(found, beside).is_empty
    assert records.record(read, disk, held) == records.record(read, disk, held)


def test_what_is_no_record_is_said(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="the file x is no record of a release"):
        records.parse(b"nothing", "the file x")
