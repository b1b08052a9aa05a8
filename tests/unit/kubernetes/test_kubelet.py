# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from goldsmith.core import files, runs
from goldsmith.errors import BuildError, CommandError, SpecError
from goldsmith.kubernetes import kubelet
from goldsmith.spec.model import Arch, Download, KubeletSource, KubeletSpec


@pytest.fixture
def run(tmp_path: Path) -> runs.Run:
    (tmp_path / "run").mkdir()
    return runs.Run(folder=tmp_path / "run")


def obtain(
    run: runs.Run,
    module: Path,
    *,
    arch: Arch = Arch.amd64,
    version: str = "1.35.4",
    locked_go: str | None = None,
) -> kubelet.KubeletBinary:
    return kubelet.obtain(
        KubeletSpec(version=version), arch, run=run, log_path=run.folder / "log", module=module,
        locked_go=locked_go,
    )  # fmt: skip


def builds(go: Path) -> int:
    return sum(line.startswith("build ") for line in (go / "calls").read_text().splitlines())


def test_a_compiled_kubelet_records_its_inputs(go: Path, module: Path, run: runs.Run) -> None:
    binary = obtain(run, module)

    assert binary.path is not None
    assert binary.sha256 == files.sha256_of(binary.path)
    assert (binary.version, binary.source) == ("1.35.4", KubeletSource.go_module)
    assert binary.provenance["go"] == "go1.26.1 linux/amd64"
    assert binary.provenance["go-origin"] == "PATH"
    assert binary.provenance["module"] == "k8s.io/kubernetes v1.35.4 h1:kube="
    assert binary.provenance["go.sum sha256"] == hashlib.sha256(b"sums\n").hexdigest()
    assert "-trimpath" in binary.provenance["flags"]


def test_the_build_is_static_and_reproducible_and_ignores_user_settings(
    go: Path, module: Path, run: runs.Run, monkeypatch: pytest.MonkeyPatch
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


def test_unchanged_inputs_are_compiled_once(go: Path, module: Path, run: runs.Run) -> None:
    assert obtain(run, module) == obtain(run, module)
    assert builds(go) == 1


@pytest.mark.parametrize("changed", ["go.mod", "go.sum", "tools.go", "go", "arch"])
def test_a_changed_input_is_compiled_again(go: Path, module: Path, run: runs.Run, changed: str) -> None:
    first = obtain(run, module)
    if changed == "go":
        (go / "version").write_text("go version go1.26.2 linux/amd64\n")
    elif changed != "arch":
        (module / changed).write_text((module / changed).read_text() + "// more\n")

    second = obtain(run, module, arch=Arch.arm64 if changed == "arch" else Arch.amd64)

    assert second.path != first.path
    assert builds(go) == 2


@pytest.mark.parametrize("host", ["go version go1.26.2 linux/amd64\n", ""])
def test_a_locked_kubelet_comes_from_the_cache_whatever_go_the_host_has(
    go: Path, module: Path, run: runs.Run, host: str
) -> None:
    first = obtain(run, module)
    if host:
        (go / "version").write_text(host)
    else:
        (go / "go").unlink()

    assert obtain(run, module, locked_go="go1.26.1 linux/amd64") == first


def test_a_locked_kubelet_that_the_cache_lost_is_compiled_by_the_go_of_the_host(
    go: Path, module: Path, run: runs.Run
) -> None:
    assert obtain(run, module, locked_go="go1.20.1 linux/amd64").provenance["go"] == "go1.26.1 linux/amd64"


def test_a_failed_build_leaves_nothing_and_shows_gos_output(
    go: Path, module: Path, run: runs.Run, tmp_path: Path
) -> None:
    (go / "build-fails").touch()

    with pytest.raises(CommandError, match=r"\| x\.test/m"):
        obtain(run, module)

    assert not [path for path in (tmp_path / "cache/kubelet").iterdir() if path.is_dir()]
    (go / "build-fails").unlink()
    assert obtain(run, module).path is not None


def test_a_kubelet_that_prints_another_version_is_refused(go: Path, module: Path, run: runs.Run) -> None:
    (go / "prints").write_text("Kubernetes v1.35.4-dirty")

    with pytest.raises(BuildError, match=r"prints 'Kubernetes v1\.35\.4-dirty'"):
        obtain(run, module)


@pytest.mark.parametrize("made_from", ["v1.35.3", "nothing known"])
def test_a_kubelet_made_from_another_module_is_refused(
    go: Path, module: Path, run: runs.Run, made_from: str
) -> None:
    (go / "made-from").write_text(made_from)

    with pytest.raises(BuildError, match=r"does not contain k8s\.io/kubernetes v1\.35\.4"):
        obtain(run, module)


def test_a_spec_of_another_version_than_the_pin_is_refused(go: Path, module: Path, run: runs.Run) -> None:
    with pytest.raises(SpecError, match=r"is 1\.35\.5, but the Go module is pinned to 1\.35\.4") as caught:
        obtain(run, module, version="1.35.5")

    assert caught.value.hint is not None
    assert "scripts/inv kubelet-bump 1.35.5" in caught.value.hint


def test_a_package_is_left_to_the_distribution(run: runs.Run) -> None:
    spec = KubeletSpec(version="1.35", source=KubeletSource.package)

    binary = kubelet.obtain(spec, Arch.amd64, run=run, log_path=run.folder / "log")

    assert (binary.path, binary.sha256, binary.version) == (None, None, "1.35")


@pytest.mark.parametrize("arch", [Arch.amd64, Arch.arm64])
def test_a_release_is_downloaded_checked_and_executable(
    go: Path, run: runs.Run, tmp_path: Path, arch: Arch
) -> None:
    data = b"#!/bin/sh\necho Kubernetes v1.35.9\n"
    (tmp_path / "kubelet").write_bytes(data)
    source = Download(url=(tmp_path / "kubelet").as_uri(), sha256=hashlib.sha256(data).hexdigest())
    spec = KubeletSpec(version="1.35.9", source=KubeletSource.release, download=source)

    binary = kubelet.obtain(spec, arch, run=run, log_path=run.folder / "log")

    assert binary.path is not None
    assert binary.path.stat().st_mode & 0o777 == 0o755
    assert binary.sha256 == source.sha256


def test_a_release_of_another_version_is_refused(go: Path, run: runs.Run, tmp_path: Path) -> None:
    data = b"#!/bin/sh\necho Kubernetes v1.35.8\n"
    (tmp_path / "kubelet").write_bytes(data)
    source = Download(url=(tmp_path / "kubelet").as_uri(), sha256=hashlib.sha256(data).hexdigest())
    spec = KubeletSpec(version="1.35.9", source=KubeletSource.release, download=source)

    with pytest.raises(BuildError, match=r"expected .Kubernetes v1\.35\.9"):
        kubelet.obtain(spec, Arch.amd64, run=run, log_path=run.folder / "log")


def test_the_record_of_a_compiled_kubelet_is_a_document(go: Path, module: Path, run: runs.Run) -> None:
    binary = obtain(run, module)
    assert binary.path is not None

    stored = json.loads(binary.path.with_name("kubelet.json").read_text())

    assert stored["schema"] == "goldsmith.kubelet"
    assert kubelet.CompiledKubelet.parse({**stored, "added": 1}, "x").sha256 == binary.sha256
