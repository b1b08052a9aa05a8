# SPDX-License-Identifier: Apache-2.0
"""Answers of publish, plan-publish, rollback, images and resolve with --json: which keys they have."""

from __future__ import annotations

import json

import jsonschema
import pytest

from goldsmith.changes import build_diff
from goldsmith.changes.build_diff import BuildDiff, Sizes
from goldsmith.core import documents
from goldsmith.core.documents import Document
from goldsmith.errors import PublishError
from goldsmith.publish import answers
from goldsmith.publish.apply import Outcome
from goldsmith.publish.inventory import (
    ImagesAnswer,
    Orphan,
    OrphansAnswer,
    ReleaseRow,
    ResolvedImage,
)
from goldsmith.publish.model import Plan
from goldsmith.publish.publisher import CloudResult
from goldsmith.publish.release import GlanceImage

OUTCOME = Outcome(image="i1", name="golden-b2", number=2, changed=True, notes=["a note"], two_names_s=0.04)
DIFF = BuildDiff(old="b1", new="b2", size=Sizes(old=1, new=2), changes={"elements": ()})
ROW = ReleaseRow(
    name="golden-b2", image="i1", release=2, build_id="b2", created="2026-03-01T12:00:00Z", size=1 << 20,
    hash="ok", status="active", visibility="shared", hidden=True, protected=False, alias=True, in_use=None,
    kernel="6.1", kubelet="-", images=3, released=True,
)  # fmt: skip
RESULTS = [
    CloudResult(cloud="prod", seconds=7.9, outcome=OUTCOME, diff=DIFF),
    CloudResult(cloud="edge", seconds=0.1, error=PublishError("edge is down")),
]  # fmt: skip
WHEN_DONE = {"image", "release", "name", "changed", "notes", "two_names_s", "upload_s"}


def test_a_cloud_in_which_it_failed_has_only_the_error() -> None:
    done, failed = answers.published(RESULTS).as_dict()["clouds"]

    assert done.keys() == {"cloud", "seconds", "error", "diff", *WHEN_DONE}
    assert (done["two_names_s"], done["upload_s"], done["error"]) == (0.04, None, None)
    assert done["diff"].keys() == {"old", "new", "size", "changes", "not_compared"}
    assert failed == {"cloud": "edge", "seconds": 0.1, "error": "edge is down"}


def test_a_plan_has_the_diff_that_a_publication_would_have() -> None:
    target = GlanceImage(
        id="i1", name="mine", status="active", owner="p1", visibility="private", hidden=True,
        protected=False, tags=frozenset(), properties={}, size=None, disk_format="qcow2",
        hash_algo=None, hash_value=None, created="2026-03-01T12:00:00Z", min_disk=1, min_ram=512,
    )  # fmt: skip
    plan = Plan(target=target, holder="", actions=())

    (answer,) = answers.planned([CloudResult(cloud="prod", plan=plan, diff=DIFF)]).as_dict()["clouds"]

    assert answer["diff"] == answers.published(RESULTS).as_dict()["clouds"][0]["diff"]


def test_a_rollback_has_no_diff() -> None:
    (answer,) = answers.rolled_back([CloudResult(cloud="prod", outcome=OUTCOME)]).as_dict()["clouds"]

    assert answer.keys() == {"cloud", "seconds", "error", *WHEN_DONE}


@pytest.mark.parametrize(
    "answer",
    [
        answers.published(RESULTS), answers.rolled_back(RESULTS), answers.planned(RESULTS),
        ImagesAnswer(clouds={"prod": (ROW,)}, used_up={"prod": (1,)}), build_diff.answer(DIFF),
        OrphansAnswer(cleaned=True, clouds={"prod": (Orphan(id="i1", kind="server", name="x"),)}),
        ResolvedImage(cloud="prod", alias="a", image="i1", release=2, name="a-b2", build_id="b2"),
    ],
    ids=lambda answer: str(answer.SCHEMA),
)  # fmt: skip
def test_answers_are_as_their_schemas_have_them(answer: Document) -> None:
    data = json.loads(json.dumps(answer.as_dict()))

    jsonschema.validate(data, documents.json_schema(type(answer)))
    assert type(answer).parse(data, "answer") == answer
    with pytest.raises(PublishError, match="reads versions up to 1"):
        type(answer).parse({**data, "version": 2}, "answer", error=PublishError)
