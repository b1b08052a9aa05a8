# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.core.paths import project_root
from goldsmith.errors import VerificationError
from tests.lint import elements, linters


@pytest.fixture
def two_linters(monkeypatch: pytest.MonkeyPatch, fake: Callable[..., Path]) -> None:
    """Two linters of our own, and elements that are clean."""
    fake("good")
    fake("bad", "echo line 7 is too long; exit 1")
    monkeypatch.setattr(elements, "check", lambda _folder: [])


def use(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(linters, "_linters", lambda _root: [(name, (name,)) for name in names])


def test_every_linter_runs_also_after_one_has_failed(
    two_linters: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, "bad", "good")
    monkeypatch.setattr(elements, "check", lambda _folder: ["x: is not executable"])

    with pytest.raises(VerificationError) as e:
        linters.lint()

    assert (tmp_path / "good.calls").read_text() == "\n"
    assert "bad:\n  | line 7 is too long" in str(e.value)
    assert "elements:\n  | x: is not executable" in str(e.value)


def test_clean_is_clean(two_linters: None, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "good")

    linters.lint()


def test_shell_files_are_found_by_their_first_line(tmp_path: Path) -> None:
    for name, text in {
        "elements/a/install.d/50-a": "#!/bin/bash\n",
        "elements/a/environment.d/50-a.bash": "export A=1\n",
        "elements/a/files/tool": "#!/usr/bin/env python3\n",
        "elements/a/README.rst": "bash\n",
        "scripts/inv": "#!/bin/sh\n",
        "devcloud/etc/hook.j2": "#!/bin/sh\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert linters.shell_files(tmp_path) == [
        "elements/a/environment.d/50-a.bash", "elements/a/install.d/50-a", "scripts/inv",
    ]  # fmt: skip


def test_the_projects_own_scripts_are_among_them() -> None:
    found = linters.shell_files(project_root())

    assert "scripts/inv" in found
    assert "elements/goldsmith-seal/cleanup.d/90-goldsmith-seal" in found
    assert "elements/kubelet/kubelet-files/kubelet-certificates" in found
    assert "devcloud/init.sh" in found


def test_every_linter_that_the_project_has_settings_for_is_run() -> None:
    names = {name.split()[0] for name, _ in linters._linters(project_root())}
    configured = re.findall(r"^\[tool\.(\w+)", (project_root() / "pyproject.toml").read_text(), re.MULTILINE)

    assert set(configured) - {"pytest", "hatch", "coverage"} <= names
    assert {"shellcheck", "shfmt", "yamllint"} <= names
