# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest

from goldsmith.errors import BuildError, CommandError, HostError
from goldsmith.kubernetes import go_toolchain
from goldsmith.kubernetes.go_toolchain import Pin

NAME = "golang.org/toolchain@v0.0.1-go1.26.10.linux-amd64"

# Answers as Go does, from the files of a folder; writes down its arguments and what it sees of GO*.
FAKE_GO = """\
#!/bin/sh
PATH=/usr/bin:/bin
here={folder}
echo "$@" >>"$here/calls"
env | grep '^GO' | sort >"$here/seen.env"
case "$1 $2 $3" in
    version*) echo "go version {version} linux/amd64" ;;
    env*) cat "$here/settings" ;;
    "mod download -json") cat "$here/answer" ;;
    "mod download "*) if [ -e "$here/error" ]; then cat "$here/error" >&2; exit 1; fi ;;
    list*) cat "$here/versions" ;;
esac
"""


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host without any Go, for 64-bit PCs."""
    monkeypatch.setattr(go_toolchain, "_ELSEWHERE", ((str(tmp_path / "usr/lib"), "go-*/bin/go"),))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setenv("GOLDSMITH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def install_go(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings").write_text("{}")
    (folder / "go").write_text(FAKE_GO.format(folder=folder, version=version))
    (folder / "go").chmod(0o755)
    return folder / "go"


def add_to_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{folder}")


def toolchain_zip(path: Path, *, go: str = "#!/bin/sh\necho hello from the module\n") -> str:
    """A module's zip as the proxy has it; returns its h1 sum."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{NAME}/bin/go", go)
        archive.writestr(f"{NAME}/pkg/tool/linux_amd64/link", "linker")
        archive.writestr(f"{NAME}/VERSION", "go1.26.10\n")
    with zipfile.ZipFile(path) as archive:
        return go_toolchain.h1(archive)


def pin(sum_: str = "h1:amd64=", version: str = "1.26.10") -> Pin:
    return Pin(version=version, sums={"amd64": sum_, "arm64": "h1:arm64="})


@pytest.mark.parametrize("version", ["go1.25.0", "go1.25.3", "go1.26", "go1.26.8 X:loopvar", "go2.0"])
def test_a_go_on_path_that_is_new_enough_is_used(
    host: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    go = install_go(host / "a", version)
    add_to_path(host / "a", monkeypatch)

    chosen = go_toolchain.choose("1.25.0", pin())

    assert (chosen.command, chosen.origin) == (go, "PATH")
    assert chosen.version == f"{version} linux/amd64"
    assert go_toolchain.command(chosen) == go


@pytest.mark.parametrize("version", ["go1.19.8", "go1.24.9", "go1.25rc1", "devel go1.27-abcdef", "go1.9"])
def test_a_go_that_is_too_old_or_no_release_gives_way_to_the_module(
    host: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    install_go(host / "a", version)
    add_to_path(host / "a", monkeypatch)

    chosen = go_toolchain.choose("1.25.0", pin())

    assert chosen.command is None
    assert chosen.origin == f"toolchain module {NAME} h1:amd64="
    assert chosen.version == "go1.26.10 linux/amd64"


def test_a_fitting_go_behind_an_old_one_is_found(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_go(host / "old", "go1.19.8")
    broken = install_go(host / "broken", "go1.26.1")
    broken.write_text("#!/bin/sh\nexit 3\n")
    fitting = install_go(host / "usr/lib/go-1.26/bin", "go1.26.1")
    add_to_path(host / "old", monkeypatch)
    add_to_path(host / "broken", monkeypatch)

    assert go_toolchain.choose("1.25.0", pin()).command == fitting


def test_the_module_is_chosen_without_any_go(host: Path) -> None:
    assert go_toolchain.choose("1.25.0", pin()).command is None


def test_no_go_at_all_is_the_hosts_fault(host: Path) -> None:
    chosen = go_toolchain.choose("1.25.0", pin())

    with pytest.raises(HostError, match="Go is not installed") as caught:
        go_toolchain.command(chosen)

    assert caught.value.hint == "run: apt install golang-go"


def test_a_pin_that_is_too_old_says_how_to_move_it(host: Path) -> None:
    with pytest.raises(BuildError, match=r"needs Go 1\.27\.0") as caught:
        go_toolchain.choose("1.27.0", pin())

    assert caught.value.hint is not None
    assert "kubelet-bump" in caught.value.hint


def test_a_machine_without_a_pinned_module_needs_a_go(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")

    with pytest.raises(HostError, match="riscv64"):
        go_toolchain.choose("1.25.0", pin())


def test_the_module_is_unpacked_with_its_programs_executable(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_go(host / "old", "go1.19.8")
    add_to_path(host / "old", monkeypatch)
    total = toolchain_zip(host / "module.zip")
    (host / "old/answer").write_text(json.dumps({"Zip": str(host / "module.zip"), "Sum": total}))

    go = go_toolchain.command(go_toolchain.choose("1.25.0", pin(total)))

    root = go.parent.parent
    assert os.access(go, os.X_OK)
    assert os.access(root / "pkg/tool/linux_amd64/link", os.X_OK)
    assert sorted(path.name for path in root.iterdir() if path.name[0] != ".") == ["VERSION", "bin", "pkg"]


@pytest.mark.parametrize("lie", ["the proxy's sum", "the zip's contents"])
def test_another_module_than_the_pinned_one_is_refused(
    host: Path, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    install_go(host / "old", "go1.19.8")
    add_to_path(host / "old", monkeypatch)
    good = toolchain_zip(host / "module.zip")
    bad = toolchain_zip(host / "other.zip", go="#!/bin/sh\necho owned\n")
    zip_, said = ("module.zip", bad) if lie == "the proxy's sum" else ("other.zip", good)
    (host / "old/answer").write_text(json.dumps({"Zip": str(host / zip_), "Sum": said}))

    with pytest.raises(BuildError, match=f"{NAME} is not the pinned one: expected {good}, got {bad}"):
        go_toolchain.command(go_toolchain.choose("1.25.0", pin(good)))

    assert not list((host / "cache/go").glob("v*"))


def test_the_sum_is_that_of_go_sum() -> None:
    # worked out with the shell: sha256sum a.go go.mod | sha256sum, as base64
    expected = "h1:b9RJb37CvQY92oDeV3vmlx7AGJ28kcxTOTFjNKfXFDw="
    path = Path(os.environ["GOLDSMITH_CACHE"]).parent / "m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("example.test/m@v1.0.0/go.mod", "module example.test/m\n")
        archive.writestr("example.test/m@v1.0.0/a.go", "package m\n")

    with zipfile.ZipFile(path) as archive:
        assert go_toolchain.h1(archive) == expected


def test_a_failed_download_says_why(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = install_go(host / "a", "go1.26.1")
    (host / "a/error").write_text("go: module x.test/m: 410 Gone\n")

    with pytest.raises(CommandError, match="410 Gone"):
        go_toolchain.download(go, "x.test/m@v1.0.0")


def test_go_sees_the_users_proxy_and_no_flags_of_theirs(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = install_go(host / "a", "go1.26.1")
    (host / "a/settings").write_text('{"GOPROXY": "https://goproxy.test", "GOSUMDB": "", "GOVCS": "*:off"}')
    monkeypatch.setenv("GOFLAGS", "-tags=theirs")
    monkeypatch.setenv("GOEXPERIMENT", "theirs")

    env = go_toolchain.environment(go, {"GOARCH": "arm64"})

    assert env["GOPROXY"] == "https://goproxy.test"
    settings = {name: value for name, value in env.items() if name.startswith("GO") and name != "GOPROXY"}
    ours = {name: value for name, value in settings.items() if not name.startswith("GOLDSMITH_")}
    assert ours == {
        "GOARCH": "arm64", "GOENV": "off", "GOTOOLCHAIN": "local", "GOVCS": "*:off", "GOWORK": "off"
    }  # fmt: skip
    assert "GOFLAGS" not in (host / "a/seen.env").read_text()


def test_the_newest_pin_is_the_newest_that_every_architecture_has(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_go(host / "a", "go1.19.8")
    add_to_path(host / "a", monkeypatch)
    both = [f"v0.0.1-go1.27{patch}.linux-{arch}" for patch in (".9", ".10") for arch in ("amd64", "arm64")]
    others = ["v0.0.1-go1.27.11.linux-amd64", "v0.0.1-go1.27.12.windows-amd64", "v0.0.1-go1.28.1.linux-amd64"]
    (host / "a/versions").write_text(
        " ".join([go_toolchain.MODULE, *both, "v0.0.1-go1.27rc1.linux-amd64", *others])
    )
    (host / "a/answer").write_text('{"Sum": "h1:x="}')

    assert go_toolchain.newest_pin("1.27.0") == Pin(
        version="1.27.10", sums={"amd64": "h1:x=", "arm64": "h1:x="}
    )
    calls = (host / "a/calls").read_text()
    assert f"mod download -json {go_toolchain.MODULE}@v0.0.1-go1.27.10.linux-arm64" in calls


def test_no_pin_that_is_new_enough_is_an_error(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_go(host / "a", "go1.19.8")
    add_to_path(host / "a", monkeypatch)
    (host / "a/versions").write_text(f"{go_toolchain.MODULE} v0.0.1-go1.27.1.linux-amd64")

    with pytest.raises(BuildError, match=r"no toolchain module of Go 1\.27"):
        go_toolchain.newest_pin("1.27.0")


def test_a_pin_is_read_as_it_was_written(host: Path) -> None:
    (host / go_toolchain.PIN_FILE).write_bytes(pin().to_json())

    assert go_toolchain.read_pin(host) == pin()


def test_a_broken_pin_is_named(tmp_path: Path) -> None:
    (tmp_path / go_toolchain.PIN_FILE).write_text('{"sums": {}}')

    with pytest.raises(BuildError, match=r"cannot read the pinned Go toolchain .*toolchain\.json: .*version"):
        go_toolchain.read_pin(tmp_path)
