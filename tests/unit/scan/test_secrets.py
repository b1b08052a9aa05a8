# SPDX-License-Identifier: Apache-2.0
"""Secrets are found in files that no package installed. The secrets here are made up."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import jsonschema
import pytest

from goldsmith.containers import oci
from goldsmith.core import cache, documents
from goldsmith.core.ownership import Cleaned
from goldsmith.errors import ProvenanceError
from goldsmith.image.build_info import AllowedSecretInfo
from goldsmith.scan import contents, secret_scanner, secrets
from goldsmith.scan.secret_scanner import Finding, Scan
from goldsmith.scan.secrets import AllowedFinding, SecretReport

AWS = "AKIA" + "ABCDEFGHIJKLMNOP"
KEY = "-----BEGIN " + "OPENSSH PRIVATE KEY-----"
MANUAL = f"example: {AWS}\n"


def tree(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def packaged(text: str) -> dict[str, str]:
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return {"var/lib/dpkg/info/manual.md5sums": f"{digest}  usr/share/doc/manual\n"}


def archive(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def found(scan: Scan) -> list[tuple[str, int, str]]:
    return [(finding.path, finding.line, finding.rule) for finding in scan.findings]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (f"key={AWS}", "AWS Access Key"),
        (KEY, "Private Key"),
        ("url: https://me:" + "hunter2@example.org/", "Basic Auth Credentials"),
        ("ghp_" + "a" * 36, "GitHub Token"),
        ("xoxb-" + "1" * 12 + "-abcdef", "Slack Token"),
        ("pypi-AgEIcHlwaS5vcmc" + "A" * 70, "PyPI Token"),
        ("-----BEGIN " + "ENCRYPTED PRIVATE KEY-----", "Private Key"),
        ("PuTTY-User-Key-" + "File-3: ssh-ed25519", "Private Key"),
        ("AGE-SECRET-KEY-" + "1" + "Q" * 58, "age Secret Key"),
    ],
)
def test_a_secret_is_known_by_its_form(text: str, rule: str) -> None:
    assert list(secret_scanner.in_text(f"first\nsecond {text}\n")) == [(2, rule)]


def test_harmless_text_is_no_secret() -> None:
    assert list(secret_scanner.in_text("password = none\nhttps://example.org/a@b\n192.0.2.1\n")) == []


def test_a_packages_file_is_public_until_it_is_changed(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        **packaged(MANUAL),
        **{
            "usr/share/doc/manual": MANUAL,
            "usr/share/doc/changed": f"{MANUAL}\n",
            "etc/site.conf": f"\n{AWS}",
        },
    )

    assert found(secret_scanner.disk(root)) == [
        ("etc/site.conf", 2, "AWS Access Key"),
        ("usr/share/doc/changed", 1, "AWS Access Key"),
    ]


def test_without_a_database_the_distributions_own_folders_are_passed_over(tmp_path: Path) -> None:
    root = tree(tmp_path, **{"usr/lib/x": AWS, "usr/local/lib/x": AWS, "root/x": AWS})

    assert [path for path, _, _ in found(secret_scanner.disk(root))] == ["root/x", "usr/local/lib/x"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_text_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/site.conf").write_bytes(f"{mark}{AWS}".encode(encoding))

    assert [path for path, _, _ in found(secret_scanner.disk(tmp_path))] == ["etc/site.conf"]


def test_a_mark_that_lies_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/site.conf").write_bytes(b"\xff\xfe" + AWS.encode())

    assert [path for path, _, _ in found(secret_scanner.disk(tmp_path))] == ["etc/site.conf"]


def test_a_compiled_module_is_read_as_its_source(tmp_path: Path) -> None:
    cache = "usr/lib/python3/__pycache__"
    files = {
        f"{cache}/a.cpython-313.pyc": AWS,
        "usr/lib/python3/a.py": MANUAL,
        f"{cache}/b.cpython-313.pyc": AWS,
    }
    root = tree(tmp_path, **packaged(MANUAL), **files)

    assert [path for path, _, _ in found(secret_scanner.disk(root))] == [f"{cache}/b.cpython-313.pyc"]


def test_links_are_not_followed_and_what_is_large_is_named(tmp_path: Path) -> None:
    outside = tree(tmp_path / "outside", secret=AWS) / "secret"
    root = tree(tmp_path / "root", **packaged(MANUAL), **{"etc/large": "x" * ((4 << 20) + 1)})
    (root / "etc/link").symlink_to(outside)

    scan = secret_scanner.disk(root)

    assert scan == Scan(unread=("etc/large",))


def test_a_layer_has_its_own_packages(tmp_path: Path) -> None:
    data = archive({**packaged(MANUAL), "./usr/share/doc/manual": MANUAL, "app/.env": f"AWS={AWS}"})

    scan = secret_scanner.layer("sha256:11", io.BytesIO(data))

    assert found(scan) == [("app/.env", 1, "AWS Access Key")]
    assert {finding.layer for finding in scan.findings} == {"sha256:11"}


def test_a_layer_that_cannot_be_read_is_a_finding() -> None:
    cut_off = archive({"app/.env": AWS, "app/more": "x" * 4096})[:2000]

    for data in (b"no tar", cut_off):
        scan = secret_scanner.layer("sha256:11", io.BytesIO(data))
        assert [(finding.layer, finding.rule) for finding in scan.findings] == [
            ("sha256:11", "cannot be read")
        ]


@pytest.fixture
def root(tmp_path: Path) -> tuple[Path, str]:
    """A root with one container image of one layer, and that layer's digest."""
    store = tmp_path / "root" / contents.STORE.lstrip("/")
    store.mkdir(parents=True)
    config = json.dumps({"config": {"Env": [f"AWS={AWS}"]}}).encode()
    blobs = [archive({"app/.env": AWS}), config]
    digests = [oci.sha256(data) for data in blobs]
    manifest = {"config": {"digest": digests[1]}, "layers": [{"digest": digests[0]}]}
    for data in (*blobs, json.dumps(manifest).encode()):
        (store / oci.sha256(data).removeprefix("sha256:")).write_bytes(data)
    return tmp_path / "root", digests[0]


def scans(root: Path, tmp_path: Path) -> dict[str, Scan]:
    (tmp_path / "known").mkdir(exist_ok=True)
    secret_scanner.main(root, tmp_path / "known", tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())
    return {digest: Scan.parse(scan, digest) for digest, scan in found.items()}


def keep(scan: Scan, digest: str, known: Path) -> None:
    """As a scan of an earlier run."""
    known.mkdir(exist_ok=True)
    scan.write(known / f"{digest.removeprefix('sha256:')}.json")


def test_an_images_own_environment_is_looked_at(root: tuple[Path, str], tmp_path: Path) -> None:
    found = scans(root[0], tmp_path)[""].findings

    assert [(finding.rule, bool(finding.layer)) for finding in found] == [("AWS Access Key", True)]


def test_a_layer_that_could_not_be_read_is_not_cached() -> None:
    bad = secret_scanner.layer("sha256:11", io.BytesIO(b"no tar"))

    assert secrets._layers({"": bad, "sha256:11": bad, "sha256:22": Scan()}) == ["sha256:22"]


def test_layers_are_scanned_once(root: tuple[Path, str], tmp_path: Path) -> None:
    folder, digest = root
    first = scans(folder, tmp_path)
    keep(Scan(), digest, tmp_path / "known")

    assert [finding.path for finding in first[digest].findings] == ["app/.env"]
    assert scans(folder, tmp_path)[digest].findings == ()


def test_a_layer_that_is_not_what_its_digest_says_is_an_error(root: tuple[Path, str], tmp_path: Path) -> None:
    folder, digest = root
    with (folder / contents.STORE.lstrip("/") / digest.removeprefix("sha256:")).open("ab") as blob:
        blob.write(b"x")

    keep(Scan(), digest, tmp_path / "known")

    with pytest.raises(ProvenanceError, match=r"a container has the content of sha256"):
        scans(folder, tmp_path)


def test_allowed_findings_are_listed_with_their_reasons(root: tuple[Path, str], tmp_path: Path) -> None:
    tree(root[0], **{"etc/one.conf": AWS, "etc/two.conf": AWS})
    allow = [
        AllowedSecretInfo(path="/", reason="documents"),
        AllowedSecretInfo(path="/app/*", reason="an example"),
        AllowedSecretInfo(path="/etc/two.conf", reason="a test"),
    ]

    report = secrets.judge(scans(root[0], tmp_path), allow)

    assert [str(finding) for finding in report.findings] == ["etc/one.conf:1: AWS Access Key"]
    assert {finding.path: finding.reason for finding in report.allowed} == {
        "": "documents", "app/.env": "an example", "etc/two.conf": "a test",
    }  # fmt: skip
    assert AWS not in json.dumps(report.as_dict())


def test_rules_have_a_version() -> None:
    assert secret_scanner.rules_version().startswith("detect-secrets-1.")


def test_the_scan_of_a_layer_is_an_entry_of_the_cache(tmp_path: Path) -> None:
    scan = Scan(findings=(Finding(layer="sha256:22", path="a", line=1, rule="x"),))

    secrets._keep({"": scan, "sha256:22": scan})
    secrets._lay_out(tmp_path / "known")

    assert cache.clean_cache() == Cleaned()
    assert [path.name for path in (tmp_path / "known").iterdir()] == ["22.json"]
    assert Scan.read(tmp_path / "known/22.json") == scan


def test_the_report_is_a_document_that_comes_back(tmp_path: Path) -> None:
    where = {"layer": "", "path": "etc/a", "line": 3, "rule": "Private Key"}
    kept = {
        "schema": "goldsmith.secrets", "version": 1, "rules": "detect-secrets-1", "findings": [where],
        "allowed": [{**where, "reason": "an example"}], "unread": ["etc/large"], "error": "",
    }  # fmt: skip

    report = SecretReport.parse(kept, "secrets.json")

    assert report.findings == (Finding(layer="", path="etc/a", line=3, rule="Private Key"),)
    assert [type(finding) for finding in report.allowed] == [AllowedFinding]
    assert report.as_dict() == kept
    jsonschema.validate(kept, documents.json_schema(SecretReport))
