# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import goldsmith
from goldsmith.core import paths
from goldsmith.image import checkout, made_by
from goldsmith.image.made_by import MadeBy
from tests.support import installed

# The digest of a RECORD's line is base64 without padding.
CODE = b"print()\n"
LINE = "goldsmith/code.py,sha256=2FlPoSaOyrxir3yeJEm4xG2w9CbNmq04TGfv5Z5YKz4,8"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package of one file, and its metadata as pip leaves them."""
    installed.pretend(tmp_path, monkeypatch)
    folder = tmp_path / "found first"
    (folder / "goldsmith/__pycache__").mkdir(parents=True)
    (folder / "goldsmith/code.py").write_bytes(CODE)
    (folder / "goldsmith/__pycache__/code.cpython-311.pyc").touch()
    (folder / "goldsmith/.pytest_cache").mkdir()
    (folder / "goldsmith/.pytest_cache/CACHEDIR.TAG").touch()
    metadata = folder / "goldsmith-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: goldsmith\nVersion: 0\n")
    (metadata / "RECORD").write_text(
        "../../../bin/goldsmith,sha256=AAAA,200\ngoldsmith-0.dist-info/INSTALLER,sha256=BBBB,4\n"
        f"goldsmith-0.dist-info/RECORD,,\n{LINE}\ngoldsmith/__pycache__/code.cpython-311.pyc,,\n"
    )
    monkeypatch.syspath_prepend(folder)
    return folder


def test_an_installed_goldsmith_is_known_by_the_files_of_its_wheel(package: Path) -> None:
    assert made_by.here() == MadeBy(
        version=goldsmith.__version__, record_sha256=hashlib.sha256(f"{LINE}\n".encode()).hexdigest()
    )


def test_what_an_installer_adds_to_the_record_of_a_wheel_changes_nothing() -> None:
    of_the_wheel = f"goldsmith/b.py,sha256=CCCC,1\n{LINE}\ngoldsmith-0.dist-info/RECORD,,\n"
    as_installed = f"../bin/goldsmith,sha256=AAAA,2\r\n{LINE}\r\ngoldsmith/b.py,sha256=CCCC,1\r\n"

    assert made_by.sha256_of_record(of_the_wheel) == made_by.sha256_of_record(as_installed)
    assert made_by.sha256_of_record(LINE) != made_by.sha256_of_record(of_the_wheel)


def test_files_that_were_changed_added_or_lost_are_named(package: Path) -> None:
    (package / "goldsmith/code.py").write_bytes(CODE + b"#")
    (package / "goldsmith/added").touch()
    with (package / "goldsmith-0.dist-info/RECORD").open("a") as record:
        record.write("goldsmith/lost.py,sha256=CCCC,1\n")

    assert made_by.here().changed == ("goldsmith/added", "goldsmith/code.py", "goldsmith/lost.py")


def test_without_a_record_nothing_is_claimed_about_the_wheel(package: Path) -> None:
    (package / "goldsmith-0.dist-info/RECORD").unlink()

    assert made_by.here().record_sha256 is None


@pytest.mark.parametrize(("commit", "named"), [("c" * 40, "c" * 40), (checkout.NO_COMMIT, None)])
def test_a_checkout_is_known_by_its_commit(
    monkeypatch: pytest.MonkeyPatch, commit: str, named: str | None
) -> None:
    commits = {paths.project_root(): (commit, True)}
    monkeypatch.setattr(checkout, "commit_of", lambda folder: commits[folder])

    assert made_by.here() == MadeBy(version=goldsmith.__version__, commit=named)
