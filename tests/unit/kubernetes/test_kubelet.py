# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from goldsmith.core import files, scratch
from goldsmith.errors import BuildError, CommandError, SpecError
from goldsmith.kubernetes import go_toolchain, kubelet
from goldsmith.kubernetes.pin import MODULE, PACKAGE, bump, module_file, module_folder, pinned_version
from goldsmith.spec.model import Arch, Download, KubeletSource, KubeletSpec

UPSTREAM = """\
module k8s.io/kubernetes

go 1.25.0

godebug default=go1.25

require (
\tgithub.com/blang/semver/v4 v4.0.0
\tk8s.io/api v0.0.0
\tk8s.io/kube-openapi v0.0.0-20250910181357-589584f1c912
\tk8s.io/client-go v0.0.0
)

replace (
\tk8s.io/api => ./staging/src/k8s.io/api
)
"""

# Compiles a shell script that says its version; tidies a go.sum; counts what it was asked for.
FAKE_GO = """\
#!/bin/bash
PATH=/usr/bin:/bin
here={folder}
echo "$*" >>"$here/calls"
case "$1 $2 $3" in
    version\\ -m*) printf '\\tmod\\tk8s.io/kubernetes\\t%s\\th1:kube=\\n' "$(cat "$here/made-from")" ;;
    version*) cat "$here/version" ;;
    env*) echo '{{}}' ;;
    build*)
        echo "go: downloading x.test/m v1.0.0" >&2
        echo x.test/m >&2
        env | sort >"$here/seen.env"
        cp go.mod "$here/seen.mod"
        while [ "$1" != -o ]; do shift; done
        printf '#!/bin/sh\\necho "%s"\\n' "$(cat "$here/says")" >"$2"
        chmod 755 "$2"
        [ ! -e "$here/build-fails" ] || exit 1 ;;
    "mod download -json") printf '{{"GoMod": "%s", "Sum": "h1:new="}}' "$here/upstream" ;;
    "mod tidy "*)
        [ ! -e "$here/tidy-fails" ] || exit 1
        echo "tidied go.sum" >go.sum ;;
    "list -m -versions")
        case "$4" in
            golang.org/toolchain)
                echo "$4 v0.0.1-go1.27.1.linux-amd64 v0.0.1-go1.27.1.linux-arm64" ;;
            *) echo "$4 v1.34.9 v1.35.4 v1.35.5 v1.36.0-rc.0" ;;
        esac ;;
    "list -mod=readonly -deps") cat "$here/deps" ;;
esac
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the only Go of this host."""
    monkeypatch.setattr(go_toolchain, "_ELSEWHERE", ())
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setenv("GOLDSMITH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "go"
    folder.mkdir()
    (folder / "go").write_text(FAKE_GO.format(folder=folder))
    (folder / "go").chmod(0o755)
    (folder / "version").write_text("go version go1.26.1 linux/amd64\n")
    (folder / "says").write_text("Kubernetes v1.35.4")
    (folder / "made-from").write_text("v1.35.4")
    (folder / "upstream").write_text(UPSTREAM)
    (folder / "deps").write_text(f"x.test/m\n{PACKAGE}\n")
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module kubelet\n\ngo 1.25.0\n\nrequire k8s.io/kubernetes v1.35.4\n")
    (folder / "go.sum").write_text("sums\n")
    (folder / "tools.go").write_text("package tools\n")
    pin = go_toolchain.Pin(version="1.26.10", sums={"amd64": "h1:a=", "arm64": "h1:b="})
    (folder / go_toolchain.PIN_FILE).write_bytes(pin.to_json())
    return folder


@pytest.fixture
def run(tmp_path: Path) -> scratch.Run:
    (tmp_path / "run").mkdir()
    return scratch.Run(folder=tmp_path / "run")


def obtain(
    run: scratch.Run, module: Path, *, arch: Arch = Arch.amd64, version: str = "1.35.4"
) -> kubelet.KubeletBinary:
    return kubelet.obtain(
        KubeletSpec(version=version), arch, run=run, log_path=run.folder / "log", module=module
    )


def builds(go: Path) -> int:
    return sum(line.startswith("build ") for line in (go / "calls").read_text().splitlines())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_compiled_kubelet_says_what_it_was_made_from(go: Path, module: Path, run: scratch.Run) -> None:
    binary = obtain(run, module)

    assert binary.path is not None
    assert binary.sha256 == files.sha256_of(binary.path)
    assert (binary.version, binary.source) == ("1.35.4", KubeletSource.go_module)
    assert binary.provenance["go"] == "go1.26.1 linux/amd64"
    assert binary.provenance["go-origin"] == "PATH"
    assert binary.provenance["module"] == "k8s.io/kubernetes v1.35.4 h1:kube="
    assert binary.provenance["go.sum sha256"] == hashlib.sha256(b"sums\n").hexdigest()
    assert "-trimpath" in binary.provenance["flags"]


def test_the_build_is_static_reproducible_and_ours(
    go: Path, module: Path, run: scratch.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOFLAGS", "-tags=theirs")

    obtain(run, module, arch=Arch.arm64)

    seen = dict(line.split("=", 1) for line in (go / "seen.env").read_text().splitlines() if "=" in line)
    wanted = {"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": "arm64", "GOTOOLCHAIN": "local"}
    assert {name: seen[name] for name in wanted} == wanted
    assert (seen["GOFLAGS"], seen["GOENV"], seen["GOWORK"]) == ("-mod=readonly", "off", "off")
    assert Path(seen["GOTMPDIR"]).is_relative_to(run.folder)
    call = next(line for line in (go / "calls").read_text().splitlines() if line.startswith("build "))
    assert "-trimpath -buildvcs=false -mod=readonly -ldflags -s -w -X" in call
    assert "version.gitVersion=v1.35.4 -o" in call


def test_unchanged_inputs_are_compiled_once(go: Path, module: Path, run: scratch.Run) -> None:
    assert obtain(run, module) == obtain(run, module)
    assert builds(go) == 1


@pytest.mark.parametrize("changed", ["go.mod", "go.sum", "tools.go", "go", "arch"])
def test_a_changed_input_is_compiled_anew(go: Path, module: Path, run: scratch.Run, changed: str) -> None:
    first = obtain(run, module)
    if changed == "go":
        (go / "version").write_text("go version go1.26.2 linux/amd64\n")
    elif changed != "arch":
        (module / changed).write_text((module / changed).read_text() + "// more\n")

    second = obtain(run, module, arch=Arch.arm64 if changed == "arch" else Arch.amd64)

    assert second.path != first.path
    assert builds(go) == 2


def test_a_failed_build_leaves_nothing_and_shows_gos_words(
    go: Path, module: Path, run: scratch.Run, tmp_path: Path
) -> None:
    (go / "build-fails").touch()

    with pytest.raises(CommandError, match=r"\| x\.test/m"):
        obtain(run, module)

    assert not [path for path in (tmp_path / "cache/kubelet").iterdir() if path.is_dir()]
    (go / "build-fails").unlink()
    assert obtain(run, module).path is not None


def test_a_kubelet_that_says_another_version_is_refused(go: Path, module: Path, run: scratch.Run) -> None:
    (go / "says").write_text("Kubernetes v1.35.4-dirty")

    with pytest.raises(BuildError, match=r"it says 'Kubernetes v1\.35\.4-dirty'"):
        obtain(run, module)


@pytest.mark.parametrize("made_from", ["v1.35.3", "nothing known"])
def test_a_kubelet_made_from_another_module_is_refused(
    go: Path, module: Path, run: scratch.Run, made_from: str
) -> None:
    (go / "made-from").write_text(made_from)

    with pytest.raises(BuildError, match=r"is not made from k8s\.io/kubernetes v1\.35\.4"):
        obtain(run, module)


def test_a_spec_of_another_version_than_the_pin_is_the_specs_fault(
    go: Path, module: Path, run: scratch.Run
) -> None:
    with pytest.raises(SpecError, match=r"is 1\.35\.5, and the Go module is pinned to 1\.35\.4") as caught:
        obtain(run, module, version="1.35.5")

    assert caught.value.hint is not None
    assert "scripts/inv kubelet-bump 1.35.5" in caught.value.hint


def test_a_package_is_left_to_the_distribution(run: scratch.Run) -> None:
    spec = KubeletSpec(version="1.35", source=KubeletSource.package)

    binary = kubelet.obtain(spec, Arch.amd64, run=run, log_path=run.folder / "log")

    assert (binary.path, binary.sha256, binary.version) == (None, None, "1.35")


@pytest.mark.parametrize("arch", [Arch.amd64, Arch.arm64])
def test_a_release_is_downloaded_checked_and_executable(
    go: Path, run: scratch.Run, tmp_path: Path, arch: Arch
) -> None:
    data = b"#!/bin/sh\necho Kubernetes v1.35.9\n"
    (tmp_path / "kubelet").write_bytes(data)
    source = Download(url=(tmp_path / "kubelet").as_uri(), sha256=hashlib.sha256(data).hexdigest())
    spec = KubeletSpec(version="1.35.9", source=KubeletSource.release, download=source)

    binary = kubelet.obtain(spec, arch, run=run, log_path=run.folder / "log")

    assert binary.path is not None
    assert binary.path.stat().st_mode & 0o777 == 0o755
    assert binary.sha256 == source.sha256


def test_a_release_of_another_version_is_refused(go: Path, run: scratch.Run, tmp_path: Path) -> None:
    data = b"#!/bin/sh\necho Kubernetes v1.35.8\n"
    (tmp_path / "kubelet").write_bytes(data)
    source = Download(url=(tmp_path / "kubelet").as_uri(), sha256=hashlib.sha256(data).hexdigest())
    spec = KubeletSpec(version="1.35.9", source=KubeletSource.release, download=source)

    with pytest.raises(BuildError, match=r"another version than v1\.35\.9"):
        kubelet.obtain(spec, Arch.amd64, run=run, log_path=run.folder / "log")


def test_a_module_file_replaces_the_staging_modules_alone() -> None:
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


def test_a_bump_to_what_asks_for_a_newer_go_moves_the_toolchain_too(go: Path, module: Path) -> None:
    (go / "upstream").write_text(UPSTREAM.replace("go 1.25.0", "go 1.27.0"))
    (go / "version").write_text("go version go1.27.3 linux/amd64\n")

    bump("1.35.5", module=module)

    pin = go_toolchain.read_pin(module)
    assert pin == go_toolchain.Pin(version="1.27.1", sums={"amd64": "h1:new=", "arm64": "h1:new="})


@pytest.mark.parametrize(
    ("version", "hint"),
    [("1.35.99", "the newest of its line is 1.35.5"), ("1.77.0", "none of the line v1.77.x")],
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
def test_what_is_no_release_is_refused_before_anything_is_asked(go: Path, module: Path, version: str) -> None:
    with pytest.raises(SpecError, match="is no version of the kubelet"):
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


def test_the_projects_own_pin_is_whole() -> None:
    folder = module_folder()

    assert pinned_version().startswith("1.35.")
    assert sorted(go_toolchain.read_pin(folder).sums) == ["amd64", "arm64"]
    sums = (folder / "go.sum").read_text()
    assert f"{MODULE} v{pinned_version()} h1:" in sums
