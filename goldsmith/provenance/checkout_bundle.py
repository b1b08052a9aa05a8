# SPDX-License-Identifier: Apache-2.0
"""Write a commit of the checkout, with its history, as a git bundle: `git clone FILE` restores it."""

from __future__ import annotations

from pathlib import Path

from goldsmith.core import proc
from goldsmith.errors import CommandError, ProvenanceError

_BRANCH = "refs/heads/locked"
_TIMEOUT_S = 600


def write(repository: Path, commit: str, target: Path, scratch: Path) -> None:
    """Write the bundle to target; scratch: an empty folder. Changes nothing in the repository.

    Raises ProvenanceError if the repository does not have the commit or all of its history.
    """
    if _git(repository, "rev-parse", "--is-shallow-repository") == "true":
        raise ProvenanceError(
            f"the checkout {repository} does not have the history of its commits",
            hint="run: git fetch --unshallow",
        )
    try:
        whole = _git(repository, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    except CommandError as e:
        raise ProvenanceError(
            f"the checkout {repository} does not have the lock's commit {commit}", hint="run: git fetch"
        ) from e
    objects = repository / _git(repository, "rev-parse", "--git-path", "objects")
    bare = scratch / "bundle.git"  # its branch exists only here
    _git(scratch, "init", "--bare", "--quiet", "--initial-branch=locked", bare)
    (bare / "objects/info/alternates").write_text(f"{objects.resolve()}\n")
    _git(bare, "update-ref", _BRANCH, whole)
    # one thread: several find other deltas each time
    _git(bare, "-c", "pack.threads=1", "bundle", "create", "--quiet", target.resolve(), "HEAD", _BRANCH)


def _git(folder: Path, *words: str | Path) -> str:
    argv = ("git", "-c", "safe.directory=*", "-C", folder, *words)  # it may be another user's checkout
    return proc.capture(argv, timeout_s=_TIMEOUT_S).strip()
