# SPDX-License-Identifier: Apache-2.0
"""Resume a failed build from its finished disk image, if none of its inputs has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from goldsmith.core import documents, files
from goldsmith.core.build_folders import is_verified
from goldsmith.core.files import sha256_of
from goldsmith.errors import BuildError
from goldsmith.image.manifest import Manifest
from goldsmith.kubernetes import pin
from goldsmith.provenance import spec_lock
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import KubeletSource

# Earlier stages have their results in the cache, so a new build reaches the image stage in seconds.
RESUMABLE = ("boot", "verify")
_STATE = "resume.json"
_HINT = "build without --from; add --keep to keep the disk image if the build fails"
_WORDS = {
    "spec": "the spec", "python": "the Python requirements", "elements": "the elements",
    "base-image": "the base image", "contexts": "the containers' build contexts",
    "kubelet": "the kubelet's Go module",
}  # fmt: skip


def inputs(loaded: LoadedSpec) -> dict[str, Any]:
    """Hashes of all inputs in the checkout. Call it before the build starts, for save()."""
    source = loaded.spec.kubelet
    compiled = source is not None and source.source is KubeletSource.go_module
    return {**spec_lock.checkout(loaded), "kubelet": pin.module_hashes() if compiled else None}


@dataclass(frozen=True, kw_only=True, slots=True)
class ResumeState:
    """The state of a failed build for --from. Only the goldsmith that wrote it reads it."""

    manifest: Manifest
    inputs: Mapping[str, Any] = field(default_factory=dict)


def save(build: Path, manifest: Manifest, made_of: Mapping[str, Any]) -> None:
    """After the artifact stage, write the state for a later --from."""
    files.write_json(build / _STATE, documents.as_data(ResumeState(manifest=manifest, inputs=made_of)))


def forget(build: Path) -> None:
    """Remove the state: the build is complete."""
    (build / _STATE).unlink()


def manifest(build: Path) -> Manifest:
    """The manifest as the artifact stage wrote it. Raises BuildError."""
    return _state(build).manifest


def _state(build: Path) -> ResumeState:
    try:
        return msgspec.json.decode((build / _STATE).read_bytes(), type=ResumeState)
    except (OSError, ValueError) as e:
        raise BuildError(f"cannot read {build / _STATE}: {e}", hint=_HINT) from e


def _has_disk(build: Path) -> bool:
    return (build / _state(build).manifest.disk.file).exists()


def find(builds: Path, loaded: LoadedSpec) -> Path:
    """The newest build below builds that failed, or was quick. Raises BuildError if it cannot be resumed."""
    candidates = sorted(path.parent for path in builds.glob(f"*/{_STATE}") if not is_verified(path.parent))
    if not candidates:
        raise BuildError(f"there is no failed build of {loaded.spec.name} to resume in {builds}", hint=_HINT)
    build = ([each for each in candidates if _has_disk(each)] or candidates)[-1]
    state = _state(build)
    disk = build / state.manifest.disk.file
    if not disk.exists():
        raise BuildError(f"the failed build {build.name} has no disk image any more: {disk}", hint=_HINT)
    now = inputs(loaded)
    changed = [words for part, words in _WORDS.items() if now[part] != state.inputs.get(part, "?")]
    if changed:
        raise BuildError(f"inputs of {build.name} have changed since: {', '.join(changed)}", hint=_HINT)
    if sha256_of(disk) != state.manifest.disk.sha256:
        raise BuildError(f"{disk} has changed since {build.name} built it", hint=_HINT)
    return build
