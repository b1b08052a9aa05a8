# SPDX-License-Identifier: Apache-2.0
"""What a wheel leaves out: files of whoever builds it."""

from __future__ import annotations

import importlib.util
import subprocess
import types
from pathlib import Path

import pytest
from pathspec import GitIgnoreSpec

from goldsmith.core.paths import project_root

pytestmark = pytest.mark.programs("git")


def excluded(root: Path, version: str = "standard") -> list[str]:
    """The exclude patterns after the hook ran, of a wheel of root; the first one was there before."""
    found = importlib.util.spec_from_file_location("hatch_build", project_root() / "scripts/hatch_build.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    config = types.SimpleNamespace(target_config={"exclude": ["docs/decisions"]})
    app = types.SimpleNamespace(display_warning=lambda _text: None)
    hook = module.GoldsmithWheel(str(root), {}, config, None, str(root), "wheel", app)
    hook.initialize(version, {"force_include": {}})
    return list(config.target_config["exclude"])


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """One file that git knows, one that it ignores, two that it does not know."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    for name in ("known", "ignored", "mine [a]*", "!new/#own"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text("ignored\n")
    subprocess.run(["git", "-C", tmp_path, "add", "known", ".gitignore"], check=True)
    return tmp_path


def test_files_that_git_does_not_know_are_left_out_and_no_other(checkout: Path) -> None:
    matching = GitIgnoreSpec.from_lines(excluded(checkout)).match_file

    assert [matching(name) for name in ("mine [a]*", "!new/#own")] == [True, True]
    assert [matching(name) for name in ("known", "mine a*", "deep/mine [a]*")] == [False, False, False]


def test_an_editable_installation_and_what_is_no_checkout_leave_nothing_out(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert excluded(checkout, "editable") == ["docs/decisions"]
    assert excluded(tmp_path_factory.mktemp("no checkout")) == ["docs/decisions"]
