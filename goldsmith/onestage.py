# SPDX-License-Identifier: Apache-2.0
"""What tasks call that is a part of the road alone: export, verify, boot, look at the host."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from goldsmith import containers, guest, preflight, proc, progress, specfile, verify, workspace
from goldsmith import policy as policies
from goldsmith.containers import Bundle
from goldsmith.errors import SpecError
from goldsmith.verdict import Verdict


def export_images(name: str, variables: Mapping[str, str], target: Path, *, refresh: bool) -> Bundle:
    """Write a spec's bundle and its lock into the folder target."""
    loaded = specfile.load(name, variables)
    if not loaded.spec.containers:
        raise SpecError(f"{loaded.spec.name} lists no container images", hint="see its key containers")
    target.mkdir(parents=True, exist_ok=True)
    with workspace.run() as run:
        bundle = containers.export(
            loaded.spec.containers, layers=loaded.spec.layers, arch=loaded.spec.arch, run=run,
            refresh=refresh, log_path=run.folder / "export.log", policy=policies.of_spec(loaded.spec),
        )  # fmt: skip
        partial = target / ".bundle.tar.part"
        shutil.copyfile(bundle.path, partial)
        partial.replace(target / "bundle.tar")
        workspace.write_atomically(target / "images.lock.json", bundle.lock_path.read_bytes())
    return dataclasses.replace(bundle, path=target / "bundle.tar", lock_path=target / "images.lock.json")


def verify_file(
    image: Path, *, manifest: Path | None, out: Path, tests: Sequence[Path], fail_fast: bool = False
) -> Verdict:
    """Judge a disk image; that it differs from the manifest is one finding among the others."""
    if not image.is_file():
        raise SpecError(f"there is no disk image {image}")
    expected = None
    if manifest is not None:
        try:
            expected = json.loads(manifest.read_text())
        except (OSError, ValueError) as e:
            raise SpecError(f"cannot read the manifest {manifest}: {e}") from e
    out.mkdir(parents=True, exist_ok=True)
    subject = verify.Subject(image=image, out=out, manifest=expected, tests=tests, fail_fast=fail_fast)
    with workspace.run() as run:
        return verify.verify(subject, run=run, log_path=out / "verify.log")


def boot_shell(name: str, *, memory_mib: int) -> int:
    """A shell in a throw-away VM; name is a spec's, or a disk image. Returns the shell's exit status."""
    image = Path(name)
    if not image.is_file():
        image = workspace.find_qcow2(workspace.out_root(), name)
    with workspace.run() as run, guest.booted(image, run=run, memory_mib=memory_mib, cpus=2) as booted:
        progress.note(f"console: {booted.vm.console}; leave the shell to end the VM")
        return proc.interactive(["ssh", "-t", "-F", booted.ssh_config, "guest"])


def doctor(name: str) -> list[preflight.Check]:
    """Every check of this host, against the needs of a spec."""
    return preflight.host_checks(specfile.load(name, {}).spec)
