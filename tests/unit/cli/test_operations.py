# SPDX-License-Identifier: Apache-2.0
"""Questions of operators as tasks: one document on standard output, and an exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from invoke.context import Context
from invoke.exceptions import Exit

from goldsmith.cli import operations, provenance, publish
from goldsmith.publish import publisher
from goldsmith.publish.operations import asking
from tests.support import published
from tests.support.fake_glance import FakeGlance
from tests.support.release_site import FIRST, SECOND, SPEC, Site

BOTH = ["prod", "edge"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Two releases in prod, and edge, which is away."""
    tmp_path.mkdir(exist_ok=True)
    made = Site(root=tmp_path, clouds={"prod": FakeGlance("prod")}, away={"edge"})
    made.spec.write_text(SPEC)
    for module in (publisher, asking):
        monkeypatch.setattr(module, "Glance", made.glance)
    for build in (FIRST, SECOND):
        made.build(build)
        made.publish(build)
    monkeypatch.setenv("GOLDSMITH_OUT", str(tmp_path / "no builds"))
    return made


def run(capsys: pytest.CaptureFixture[str], task: Any, **words: Any) -> tuple[int, Any, str]:
    """Exit code, the one document on standard output, and the error message of a task."""
    capsys.readouterr()
    code, said = 0, ""
    try:
        task(Context(), json=True, **words)
    except Exit as e:
        code, said = e.code, str(e)
    answer = json.loads(capsys.readouterr().out)
    published.check(answer)
    return code, answer, said


def test_every_question_is_answered_with_one_of_two_clouds_away(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    database = site.root / "osv"
    database.mkdir()
    (database / "a.json").write_text(json.dumps({"id": "D-1", "affected": []}))
    key = str(site.public_key())
    asked: dict[str, tuple[Any, dict[str, Any]]] = {
        "goldsmith.production": (operations.production, {}),
        "goldsmith.history": (operations.history, {"name": "golden"}),
        "goldsmith.servers": (operations.servers, {"name": "golden"}),
        "goldsmith.release-diffs": (publish.diff, {"old": "golden", "previous": True}),
        "goldsmith.release-checks": (provenance.verify_release, {"release": "golden", "key": key}),
        "goldsmith.release-vulnerabilities": (
            provenance.known_vulnerabilities, {"name": "golden", "release": True, "database": str(database)},
        ),
        "goldsmith.rollback-plan": (publish.rollback, {"name": "golden", "plan": True}),
    }  # fmt: skip

    for schema, (task, words) in asked.items():
        code, answer, said = run(capsys, task, cloud=BOTH, **words)

        assert (code, answer["schema"]) == (7, schema)
        assert "1 of 2 clouds failed" in said, schema
        assert "cannot use the cloud edge: no answer" in said, schema
        assert said.endswith("run this again when they answer"), schema
        alone, _, _ = run(capsys, task, cloud=["prod"], **words)
        assert alone == 0, schema


def test_the_wrong_key_is_exit_code_9_also_with_a_cloud_away(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = str(site.public_key(Ed25519PrivateKey.generate()))

    with pytest.raises(Exit) as e:
        provenance.verify_release(Context(), release="golden", key=wrong, cloud=BOTH)
    out, err = capsys.readouterr()
    code, answer, said = run(capsys, provenance.verify_release, release="golden", key=wrong, cloud=BOTH)

    assert (code, answer["clouds"]["prod"]["result"]) == (9, "failed")
    assert (e.value.code, str(e.value)) == (code, said)
    assert "FAILED  signature" in out
    assert "cannot use the cloud edge: no answer" in err
    assert "the release in prod fails its check" in said
    assert "not by the key" in said


def test_where_no_cloud_answers_nothing_is_printed_but_the_error(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()

    with pytest.raises(Exit) as e:
        operations.history(Context(), name="golden", cloud=["edge"])

    assert (e.value.code, capsys.readouterr().out) == (7, "")


def test_release_notes_are_markdown(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    operations.release_notes(Context(), build=SECOND, name="golden", cloud=["prod"])

    assert f"# mine {SECOND}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("task", "words", "said"),
    [
        (publish.diff, {"old": "", "new": ""}, "diff needs OLD and NEW"),
        (publish.diff, {"old": "b1", "new": ""}, "diff needs NEW"),
        (publish.diff, {"old": "b1", "new": "b2", "previous": True}, "does not take the word 'b2'"),
        (provenance.known_vulnerabilities, {"name": "x", "cloud": ["prod"]}, "--cloud needs a release"),
        (provenance.verify_release, {"release": "x", "key": "k", "build": "b1"}, "--build needs a cloud"),
        (
            provenance.verify_release, {"release": "x", "key": "k", "statement": "s", "cloud": ["prod"]},
            "--statement and --cloud do not go together",
        ),
    ],
)  # fmt: skip
def test_words_that_do_not_go_together(
    capsys: pytest.CaptureFixture[str], task: Any, words: dict[str, Any], said: str
) -> None:
    code, answer, _ = run(capsys, task, **words)

    assert (code, answer["schema"]) == (2, "goldsmith.error")
    assert said in answer["message"]
