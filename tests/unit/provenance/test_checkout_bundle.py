# SPDX-License-Identifier: Apache-2.0
"""A commit as a git bundle, with real git."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from goldsmith.core import proc
from goldsmith.errors import ProvenanceError
from goldsmith.provenance import checkout_bundle

pytestmark = pytest.mark.programs("git", "git-upload-pack", "git-receive-pack")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits; the branch has only the first."""
    folder = tmp_path / "a repository"
    subprocess.run(["git", "init", "-q", folder], check=True)
    for number in (1, 2):
        (folder / "file").write_text(f"{number}")
        git(folder, "add", "file")
        git(folder, "-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", f"{number}")
    return folder


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.parametrize("worktree", [False, True])
def test_a_commit_that_no_branch_has_becomes_a_bundle_that_can_be_cloned(
    repository: Path, tmp_path: Path, worktree: bool
) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "reset", "-q", "--hard", "HEAD~")
    refs, source = git(repository, "for-each-ref"), repository
    if worktree:
        source = tmp_path / "worktree"
        git(repository, "worktree", "add", "-q", "--detach", str(source), commit)
    sums = set()
    for number in (1, 2):
        scratch = tmp_path / f"scratch{number}"
        scratch.mkdir()
        checkout_bundle.write(source, commit[:12], scratch / "b", scratch)
        sums.add(hashlib.sha256((scratch / "b").read_bytes()).hexdigest())

    subprocess.run(["git", "clone", "-q", tmp_path / "scratch1/b", tmp_path / "clone"], check=True)

    assert (tmp_path / "clone/file").read_text() == "2"
    assert git(tmp_path / "clone", "rev-parse", "HEAD") == commit
    assert len(sums) == 1
    assert git(repository, "for-each-ref") == refs


def test_the_checkout_may_be_that_of_another_user(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root, or in CI. The variable makes git take all owners for others."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setattr(proc, "_INHERITED", (*proc._INHERITED, "GIT_TEST_ASSUME_DIFFERENT_OWNER"))

    checkout_bundle.write(repository, "HEAD", tmp_path / "b", tmp_path / "scratch")

    assert (tmp_path / "b").stat().st_size > 0


def test_a_commit_that_is_nowhere_is_named(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(ProvenanceError, match="does not have the lock's commit 0123456789ab"):
        checkout_bundle.write(repository, "0123456789ab", tmp_path / "b", tmp_path)


def test_a_checkout_without_its_history_is_refused(repository: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{repository}", shallow], check=True)
    with pytest.raises(ProvenanceError, match="does not have the history") as e:
        checkout_bundle.write(shallow, "HEAD", tmp_path / "b", tmp_path)
    assert "--unshallow" in (e.value.hint or "")
