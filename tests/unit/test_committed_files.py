# SPDX-License-Identifier: Apache-2.0
"""What no committed file may hold: names of registries, paths of one machine, a source without a licence."""

from __future__ import annotations

import re

import pytest

from tests.support.modules import OTHERS, PATHS, ROOT, committed_files

# Joined, so that this file does not name them itself.
REGISTRIES = tuple(
    ".".join(words)
    for words in (
        ("deb", "debian", "org"), ("security", "debian", "org"), ("proxy", "golang", "org"),
        ("sum", "golang", "org"), ("pypi", "org"), ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"), ("registry-1", "docker", "io"), ("archive", "ubuntu", "com"),
    )
)  # fmt: skip

MACHINE_PATHS = re.compile(
    "|".join(
        ("/roo" + r"t/(?!\.)[\w-]+/", "/wo" + r"rk/[a-z.]+", "/ho" + r"me/[a-z]\w*/", "/Use" + r"rs/\w+/")
    )
)


@pytest.mark.programs("git")
def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is nothing to ask for the list of files")
    files = committed_files()
    assert len(files) > 100
    found = []
    for path in files:
        text = path.read_text(errors="replace")
        words = [word for word in REGISTRIES if word in text] + MACHINE_PATHS.findall(text)
        found += [f"{path.relative_to(ROOT)}: {word}" for word in words]

    assert not found


def test_the_search_for_paths_of_one_machine_finds_them() -> None:
    for path in ("/ho" + "me/ann/src", "/wo" + "rk/main", "/roo" + "t/lab/x", "/Use" + "rs/ann/x"):
        assert MACHINE_PATHS.search(path), path
    for path in ("/root/.ssh/authorized_keys", "/homepage", "/workers"):
        assert not MACHINE_PATHS.search(path), path


def test_every_source_file_has_its_licence() -> None:
    assert not [
        str(path)
        for path in [*PATHS.values(), *OTHERS]
        if "SPDX-License-Identifier: Apache-2.0" not in path.read_text()[:99]
    ]
