# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import datetime
import functools
import json
import re
from pathlib import Path

import pytest

from goldsmith.build.values import BuildResult
from goldsmith.cli import output
from goldsmith.cli.answers import PlanAnswer
from goldsmith.errors import CloudError
from goldsmith.image import dib_plan
from goldsmith.publish.inventory import Listing, ReleaseRow
from goldsmith.publish.publisher import CloudResult
from goldsmith.spec.document import parse_document
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import ContainerSpec, Distribution, ImageSpec, KubeletSpec
from tests.support import samples

MANIFEST = samples.parsed(
    build_id="b1", disks=[samples.disk("m.qcow2", b"x" * 2048) | {"sha256": "abc"}],
    stages_s={"image": 60.0, "boot": 9.5},
    verification=samples.verdict(tests=42, uncovered_images=["a.b/tool:1"]),
)  # fmt: skip
VERDICT = samples.judged(
    result="failed", tests=3, failed=["booted: test_x: no"], skipped=["booted: test_s: why"],
    not_applicable=["sealed: test_n: no pods"], uncovered_images=["a.b/tool:1"], image_sha256="abc",
)  # fmt: skip
SPEC = ImageSpec(
    name="mine", distribution=Distribution.debian, release="trixie", kubelet=KubeletSpec(version="1.35.4"),
    containers=(
        ContainerSpec(ref="a.b/pause:1", build="containers/pause"),
        ContainerSpec(ref="a.b/far:1", registry="r.test/far@sha256:1"),
        ContainerSpec(ref="a.b/here:1"),
    ),
)  # fmt: skip
LOADED = LoadedSpec(
    spec=SPEC,
    rendered="",
    path=Path("mine"),
    sha256="5" * 64,
    elements=(),
    document=parse_document("", lambda line: ("mine", line)),
)


RESULT = BuildResult(
    folder=Path("/out/mine/b1"), image=Path("/out/mine/b1/m.qcow2"), manifest=MANIFEST, is_latest=True
)


def plan() -> dib_plan.DibPlan:
    return dib_plan.plan(SPEC, dib_plan.Inputs(elements=Path("e"), identity=Path("i"), scratch=Path("s")))


@pytest.mark.parametrize("is_latest", [True, False])
def test_the_summary_of_a_build_goes_to_stderr(capsys: pytest.CaptureFixture[str], is_latest: bool) -> None:
    output.show(dataclasses.replace(RESULT, is_latest=is_latest))

    out, err = capsys.readouterr()
    assert out == ""
    for line in ("mine b1 is verified, in /out/mine/b1", "2.0 KiB, 1.0 GiB virtual", "sha256 abc",
                 "image 60.0  boot 9.5  total 69.5", "42 tests passed under tcg",
                 "not run by any pod of the spec: a.b/tool:1"):  # fmt: skip
        assert line in err, line
    assert ("a newer build is latest already" in err) is not is_latest


def test_the_summary_of_a_quick_build_says_what_it_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    quick = samples.parsed(build_id="b1", stages_s={}, verification=samples.verdict(result="quick"))

    output.show(dataclasses.replace(RESULT, manifest=quick, is_latest=False))

    err = capsys.readouterr().err
    assert "mine b1 is not verified, but passed the first boot's tests, in /out/mine/b1" in err
    assert "to verify it: the same command with --from verify --keep instead of --quick" in err
    assert "latest already" not in err


def test_a_verdict_lists_all_tests_that_did_not_pass() -> None:
    assert output.verdict_as_text(VERDICT).splitlines() == [
        "failed: 3 tests, 1 failed",
        "  booted: test_x: no",
        "  not applicable: sealed: test_n: no pods",
        "  skipped: booted: test_s: why",
        "  embedded, but not run by any pod: a.b/tool:1",
        "sha256 abc",
    ]
    assert output.verdict_as_text(dataclasses.replace(VERDICT, result="passed")).startswith("passed: 3 tests")


def test_a_plan_names_the_source_of_kubelet_and_containers() -> None:
    data = PlanAnswer.of(LOADED, plan(), pods_checked_by="rules").as_dict()

    assert data["kubelet"] == "1.35.4 from go-module"
    assert [c["from"] for c in data["containers"]] == ["containers/pause", "r.test/far@sha256:1", "engine"]


def test_a_plan_is_printed_as_lines() -> None:
    text = output.plan_as_text(PlanAnswer.of(LOADED, plan(), pods_checked_by="rules"))

    assert "container   a.b/here:1 from engine into containerd" in text.splitlines()
    assert "image env   DIB_RELEASE=trixie" in text.splitlines()
    assert "verify      pods (none)" in text.splitlines()
    assert text.endswith("\n")


def test_the_answer_of_a_build_has_its_image() -> None:
    answer = RESULT.as_dict()

    assert answer["schema"] == "goldsmith.build-result"
    assert answer["image"] == "/out/mine/b1/m.qcow2"


ROW = ReleaseRow(
    name="golden-b2", image="i1", release=12, build_id="20261130T010203Z-0a1b2c3", size=469_762_048,
    created="2026-03-01T12:00:00Z", hash="differs", status="deactivated", visibility="community", hidden=True,
    protected=False, alias=True, in_use=None, kernel="6.12.48+deb13-amd64", kubelet="1.35.4", images=3,
    released=True,
)  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "wide", "left_out"),
    [
        ("300", True, set()),
        ("300", False, {"kernel", "kubelet", "images", "visibility"}),
        ("100", False, {"kernel", "kubelet", "images", "visibility"}),
        ("60", False, {"kernel", "kubelet", "images", "visibility", "size", "age", "status"}),
    ],
)
def test_releases_are_a_table_that_fits_the_terminal(
    columns: str, wide: bool, left_out: set[str],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", columns)
    now = datetime.datetime(2026, 3, 3, 13, tzinfo=datetime.UTC)
    results = [CloudResult(cloud="prod", listing=Listing(now=now, rows=(ROW,)))]

    output.show_images(results, as_json=False, wide=wide)

    cloud, head, line = capsys.readouterr().out.splitlines()
    cells = {
        "release": "12", "build": ROW.build_id, "age": "2 d", "size": "448.0 MiB", "hash": "differs",
        "status": "deactivated", "visibility": "community, hidden", "alias": "<-", "used": "?",
        "kernel": "6.12.48+deb13-amd64", "kubelet": "1.35.4", "images": "3",
    }  # fmt: skip
    shown = {name: cell for name, cell in cells.items() if name not in left_out}
    assert cloud == "prod:"
    assert dict(zip(head.split(), re.split(r"\s{2,}", line), strict=True)) == shown
    assert wide or max(len(head), len(line)) <= min(int(columns), 100)


def test_clouds_that_answer_are_listed_beside_one_that_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    listing = Listing(now=datetime.datetime.now(datetime.UTC), rows=(), used_up=(1, 3))
    results = [
        CloudResult(cloud="away", error=CloudError("away: no answer")),
        CloudResult(cloud="here", listing=listing, orphans=()),
    ]

    output.show_images(results, as_json=False)
    output.show_orphans(results, cleaned=False, as_json=False)
    used_up = "  interrupted publications used up the release numbers 1, 3\n"
    assert capsys.readouterr().out == f"here:\n  no releases\n{used_up}here: no leftovers\n"
    for show in (output.show_images, functools.partial(output.show_orphans, cleaned=False)):
        show(results, as_json=True)
        answer = json.loads(capsys.readouterr().out)
        assert list(answer["clouds"]) == ["here"]
        assert answer["errors"] == {"away": "away: no answer"}
        assert answer.get("used_up") == ({"here": [1, 3]} if show is output.show_images else None)
