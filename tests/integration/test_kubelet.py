# SPDX-License-Identifier: Apache-2.0
"""The kubelet from the real module with a real Go; quick if Go's build cache is warm."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.core import proc, runs
from goldsmith.errors import BuildError
from goldsmith.host import tools
from goldsmith.kubernetes import go_toolchain, kubelet
from goldsmith.kubernetes.pin import module_folder, pinned_version
from goldsmith.spec.model import Arch, KubeletSpec

pytestmark = pytest.mark.integration

_PT_INTERP = 3


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[runs.Run]:
    """A run with an empty cache; Go's caches are the user's."""
    monkeypatch.setenv("GOLDSMITH_CACHE", str(tmp_path / "cache"))
    with runs.run() as run:
        yield run


def obtain(run: runs.Run, log: Path, module: Path | None = None) -> kubelet.KubeletBinary:
    spec = KubeletSpec(version=pinned_version())
    return kubelet.obtain(spec, _host_arch(), run=run, log_path=log, module=module)


def _host_arch() -> Arch:
    arch = tools.host_arch()
    assert arch is not None, "no image is made for this machine"
    return arch


def _segments(binary: Path) -> list[int]:
    """The types of an ELF file's program headers (elf(5), 64 bit, little endian)."""
    head = binary.read_bytes()[:4096]
    (offset,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    types = [struct.unpack_from("<I", head, offset + size * n)[0] for n in range(count)]
    assert types, f"{binary} has no program headers"
    return types


def _builds(log: Path) -> int:
    return sum(line.startswith("+ ") and " build -v " in line for line in log.read_text().splitlines())


def test_the_kubelet_is_compiled_once_and_again_only_for_a_changed_input(
    run: runs.Run, tmp_path: Path
) -> None:
    log, module = tmp_path / "log", tmp_path / "module"
    shutil.copytree(module_folder(), module)

    first = obtain(run, log, module)
    second = obtain(run, log, module)

    assert first == second
    assert _builds(log) == 1
    assert first.path is not None
    assert proc.capture([first.path, "--version"]) == f"Kubernetes v{pinned_version()}\n"
    assert _PT_INTERP not in _segments(first.path)  # static: no dynamic loader is asked for

    (module / "tools.go").write_text((module / "tools.go").read_text() + "\n// changed\n")
    third = obtain(run, log, module)

    assert _builds(log) == 2
    assert third.path != first.path
    assert third.sha256 == first.sha256  # compiled in another folder, byte for byte the same


def test_a_toolchain_module_that_is_not_the_pinned_one_is_refused(
    run: runs.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "module"
    shutil.copytree(module_folder(), module)
    pin = go_toolchain.read_pin(module)
    wrong = {arch: f"h1:{'A' * 43}=" for arch in pin.sums}
    (module / go_toolchain.PIN_FILE).write_bytes(go_toolchain.Pin(version=pin.version, sums=wrong).to_json())
    _hide_fitting_gos(monkeypatch, tmp_path)

    with pytest.raises(BuildError, match="is not the pinned one"):
        obtain(run, tmp_path / "log", module)

    assert not [entry for entry in (tmp_path / "cache/go").iterdir() if entry.is_dir()]


def test_the_pinned_toolchain_module_compiles(
    run: runs.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = go_toolchain.read_pin(module_folder())
    _hide_fitting_gos(monkeypatch, tmp_path)

    go = go_toolchain.command(go_toolchain.choose("1.25.0", pin))

    (tmp_path / "hello.go").write_text('package main\n\nfunc main() { println("hello") }\n')
    env = go_toolchain.environment(go, {"CGO_ENABLED": "0"})
    proc.capture([go, "build", "-o", tmp_path / "hello", "hello.go"], env=env, cwd=tmp_path, timeout_s=300)
    assert proc.capture([go, "version"], env=env).startswith(f"go version go{pin.version} linux/")
    assert (tmp_path / "hello").stat().st_mode & 0o111


def _hide_fitting_gos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave one Go on PATH that fetches modules and reports a version that is too old to compile."""
    real = go_toolchain.any_go()
    (tmp_path / "bin").mkdir()
    disguise = tmp_path / "bin" / "go"
    disguise.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = version ]; then echo "go version go1.19.8 linux/disguise"; exit; fi\n'
        f'exec {real} "$@"\n'
    )
    disguise.chmod(0o755)
    monkeypatch.setattr(go_toolchain, "_ELSEWHERE", ())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
