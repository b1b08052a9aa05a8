# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.core import paths
from goldsmith.errors import BuildError, SpecError
from goldsmith.kubernetes import go_toolchain
from goldsmith.kubernetes.pin import MODULE, bump, module_file, module_folder, pinned_version
from tests.support import installed
from tests.support.fake_go import UPSTREAM


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_module_file_replaces_only_the_staging_modules() -> None:
    text = module_file(UPSTREAM, "1.35.5")

    assert text == (
        "module kubelet\n\ngo 1.25.0\n\ngodebug default=go1.25\n\nrequire k8s.io/kubernetes v1.35.5\n\n"
        "replace (\n\tk8s.io/api => k8s.io/api v0.35.5\n\tk8s.io/client-go => k8s.io/client-go v0.35.5\n)\n"
    )


@pytest.mark.parametrize("version", ["1.35.5", "v1.35.5"])
def test_a_bump_moves_the_pin(go: Path, module: Path, version: str) -> None:
    before = contents(module)

    bump(version, module=module)

    assert pinned_version(module) == "1.35.5"
    assert (module / "go.sum").read_text() == "tidied go.sum\n"
    assert contents(module)[go_toolchain.PIN_FILE] == before[go_toolchain.PIN_FILE]
    assert sorted(contents(module)) == sorted(before)


def test_a_bump_to_a_release_that_needs_a_newer_go_moves_the_toolchain_too(go: Path, module: Path) -> None:
    (go / "upstream").write_text(UPSTREAM.replace("go 1.25.0", "go 1.27.0"))
    (go / "version").write_text("go version go1.27.3 linux/amd64\n")

    bump("1.35.5", module=module)

    pin = go_toolchain.read_pin(module)
    assert pin == go_toolchain.Pin(version="1.27.1", sums={"amd64": "h1:new=", "arm64": "h1:new="})


@pytest.mark.parametrize(
    ("version", "hint"),
    [("1.35.99", "the newest 1.35.x is 1.35.5"), ("1.77.0", "there is no 1.77.x")],
)
def test_a_version_that_does_not_exist_changes_nothing(
    go: Path, module: Path, version: str, hint: str
) -> None:
    before = contents(module)

    with pytest.raises(SpecError, match=f"has no version v{version}") as caught:
        bump(version, module=module)

    assert hint in str(caught.value.hint)
    assert contents(module) == before


@pytest.mark.parametrize("version", ["1.35", "latest", "1.36.0-rc.0", ""])
def test_an_invalid_version_is_refused_before_any_request(go: Path, module: Path, version: str) -> None:
    with pytest.raises(SpecError, match="is not a version of the kubelet"):
        bump(version, module=module)

    assert not (go / "calls").exists()


@pytest.mark.parametrize("fault", ["tidy", "deps"])
def test_a_bump_that_does_not_resolve_changes_nothing(go: Path, module: Path, fault: str) -> None:
    before = contents(module)
    if fault == "tidy":
        (go / "tidy-fails").touch()
    else:
        (go / "deps").write_text("x.test/m\n")

    with pytest.raises(BuildError):
        bump("1.35.5", module=module)

    assert contents(module) == before


def test_the_projects_own_pin_is_complete() -> None:
    folder = module_folder()

    assert pinned_version().startswith("1.35.")
    assert sorted(go_toolchain.read_pin(folder).sums) == ["amd64", "arm64"]
    sums = (folder / "go.sum").read_text()
    assert f"{MODULE} v{pinned_version()} h1:" in sums


def test_an_installed_goldsmith_bumps_a_pin_of_the_users_own(
    go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = installed.pretend(tmp_path, monkeypatch)
    (site / "kubernetes").mkdir()  # may be full of other things
    shipped = contents(module_folder())

    bump("1.35.5")

    assert module_folder() == site / "kubernetes"
    assert pinned_version() == "1.35.5"
    assert contents(module_folder()).keys() == shipped.keys()
    assert contents(paths.shipped("kubernetes")) == shipped
