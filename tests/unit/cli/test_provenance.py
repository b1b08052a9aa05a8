# SPDX-License-Identifier: Apache-2.0
"""Answers of tasks that judge: one JSON document on standard output, also where they fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from invoke.context import Context
from invoke.exceptions import Exit

from goldsmith.cli import build, provenance
from goldsmith.cli.common import ErrorAnswer
from goldsmith.core import documents
from goldsmith.provenance.release_check import ReleaseCheck
from goldsmith.scan.vulnerabilities import VulnerabilityReport
from goldsmith.verify import session
from tests.support import samples

BILL = {
    "bomFormat": "CycloneDX",
    "components": [
        {"type": "library", "bom-ref": "host/deb/glibc", "name": "glibc", "version": "2.41-1",
         "purl": "pkg:deb/debian/glibc@2.41-1?arch=amd64&distro=debian-13"},
    ],
}  # fmt: skip
RECORD = {
    "id": "D-1", "database_specific": {"severity": "HIGH"},
    "affected": [
        {"package": {"ecosystem": "Debian:13", "name": "glibc"},
         "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]},
    ],
}  # fmt: skip


def key(folder: Path) -> str:
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    path = folder / "key.pub"
    path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return str(path)


def written(folder: Path, name: str, value: object) -> str:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))
    return str(path)


def failure(capsys: pytest.CaptureFixture[str], task: Any, **words: Any) -> tuple[int, Any, str]:
    """Exit code and message of a task, and the one document on its standard output."""
    with pytest.raises(Exit) as e:
        task(Context(), json=True, **words)
    return e.value.code, json.loads(capsys.readouterr().out), str(e.value)


def test_a_release_that_fails_its_check_is_one_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer, message = failure(
        capsys, provenance.verify_release, release=str(tmp_path), key=key(tmp_path)
    )

    jsonschema.validate(answer, documents.json_schema(ReleaseCheck))
    assert (code, answer["result"]) == (9, "failed")
    assert message.startswith("error: 1 of 1 checks of the release failed")


def test_vulnerabilities_over_the_budget_are_one_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bill = written(tmp_path, "sbom.cdx.json", BILL)
    written(tmp_path, "osv/D-1.json", RECORD)

    code, answer, message = failure(
        capsys, provenance.known_vulnerabilities, name=bill, database=str(tmp_path / "osv"), fail_on="high"
    )

    jsonschema.validate(answer, documents.json_schema(VulnerabilityReport))
    assert (code, [each["id"] for each in answer["findings"]]) == (9, ["D-1"])
    assert message.startswith("error: 1 known vulnerabilities are over the budget (high)")


def test_an_image_that_fails_its_verification_is_one_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = samples.judged(result="failed", failed=["booted: test_x: no"])
    monkeypatch.setattr(session, "verify_file", lambda *_args, **_options: verdict)

    code, answer, message = failure(capsys, build.verify_image, file="a.qcow2", out=str(tmp_path))

    assert (code, answer["schema"], answer["result"]) == (6, "goldsmith.verdict", "failed")
    assert message.startswith("error: 1 of 9 tests failed")


@pytest.mark.parametrize(
    ("task", "words", "code"),
    [
        (provenance.verify_release, {"release": "no-such", "key": "no-such"}, 2),
        (provenance.known_vulnerabilities, {"name": "x", "fail_on": "severe"}, 2),
        (build.verify_image, {"file": "no-such.qcow2"}, 2),
    ],
)
def test_an_error_before_the_answer_is_the_one_answer(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    task: Any,
    words: dict[str, str],
    code: int,
) -> None:
    monkeypatch.chdir(tmp_path)

    ended, answer, message = failure(capsys, task, **words)

    jsonschema.validate(answer, documents.json_schema(ErrorAnswer))
    assert (ended, answer["code"]) == (code, code)
    assert message.startswith(f"error: {answer['message']}")


@pytest.mark.parametrize(
    "words",
    [{"export": "a", "import_": "b"}, {"export": "a", "upgrade": True}, {"import_": "b", "upgrade": "all"}],
)
def test_a_lock_is_written_exported_or_imported(
    words: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    code, answer, _ = failure(capsys, provenance.lock, **words)
    assert code == 2
    assert "do not go together" in answer["message"]


def test_a_file_that_is_no_archive_is_one_error_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no archive")
    code, answer, _ = failure(capsys, provenance.lock, name="debian-kubelet", import_=str(tmp_path / "file"))
    assert code == 9
    assert "is no archive of a lock" in answer["message"]
