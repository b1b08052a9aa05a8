# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from goldsmith.image import checkout


def git(folder: Path, *words: str) -> None:
    me = ("-c", "user.name=me", "-c", "user.email=me@host.test")
    subprocess.run(["git", *me, *words], cwd=folder, check=True, capture_output=True)


@pytest.mark.programs("git")
def test_the_commit_is_found_and_whether_files_differ_from_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")

    commit, dirty = checkout.commit_of(tmp_path)
    (tmp_path / "new").touch()

    assert len(commit) == 40
    assert not dirty
    assert checkout.commit_of(tmp_path) == (commit, True)


@pytest.mark.programs("git")
def test_a_folder_without_git_has_no_commit(tmp_path: Path) -> None:
    assert checkout.commit_of(tmp_path) == ("nogit", True)


def test_a_host_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goldsmith.core.proc.environment", lambda _extra=None: {"PATH": str(tmp_path)})

    assert checkout.commit_of(tmp_path) == ("nogit", True)


@pytest.mark.programs("git")
def test_the_repository_is_named_with_the_branch_or_else_the_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    without = checkout.origin_of(tmp_path)
    git(tmp_path, "remote", "add", "origin", "https://me:secret@git.test/team/images.git?token=x")

    on_a_branch = checkout.origin_of(tmp_path)
    git(tmp_path, "checkout", "-q", "--detach")
    detached = checkout.origin_of(tmp_path)

    commit, _ = checkout.commit_of(tmp_path)
    assert without == ("", "")
    assert on_a_branch == ("https://git.test/team/images.git", "refs/heads/main")
    assert detached == ("https://git.test/team/images.git", commit)


@pytest.mark.programs("git")
def test_a_repository_on_this_host_is_not_named(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    git(tmp_path, "remote", "add", "origin", str(tmp_path / "bare"))

    assert checkout.origin_of(tmp_path) == ("", "")
    assert checkout.origin_of(tmp_path / "none") == ("", "")


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://git.test/a/b.git", "https://git.test/a/b.git"),
        ("https://token@git.test:8443/a/b", "https://git.test:8443/a/b"),
        ("git@git.test:a/b.git", "ssh://git.test/a/b.git"),
        ("git.test:/srv/b", "ssh://git.test/srv/b"),
        ("ssh://git@git.test:22/a/b", "ssh://git.test:22/a/b"),
        ("https://a:b@[::1]/x#y", "https://[::1]/x"),
        ("file:///srv/git/b", ""), ("/srv/git/b", ""), ("../b", ""), ("./a:b", ""), ("https:///b", ""),
        ("ext::sh -c x", ""), ("https://[bad/x", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_repository_is_named_without_login_and_none_of_this_host(url: str, public: str) -> None:
    assert checkout.public_url(url) == public
