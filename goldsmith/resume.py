# SPDX-License-Identifier: Apache-2.0
"""Go on with a failed build from its finished disk image, if nothing that it was made of has changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from goldsmith.core import documents, files
from goldsmith.core.builds import is_verified
from goldsmith.core.files import sha256_of
from goldsmith.errors import BuildError
from goldsmith.image.manifest import Manifest
from goldsmith.kubernetes import pin
from goldsmith.provenance import spec_lock
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import KubeletSource

# Earlier stages keep their results in the cache, so a new build is at the image in seconds anyway.
RESUMABLE = ("boot", "verify")
_STATE = "resume.json"
_HINT = "run it without --from, and with --keep if it may fail again"
_WORDS = {
    "spec": "the spec", "python": "the Python requirements", "elements": "the elements",
    "base-image": "the base image", "contexts": "the containers' build contexts",
    "kubelet": "the kubelet's Go module",
}  # fmt: skip


def inputs(loaded: LoadedSpec) -> dict[str, Any]:
    """What a disk image is made of and the checkout holds, by content: for save(), from before the build."""
    source = loaded.spec.kubelet
    compiled = source is not None and source.source is KubeletSource.go_module
    return {**spec_lock.checkout(loaded), "kubelet": pin.module_hashes() if compiled else None}


@dataclass(frozen=True, kw_only=True, slots=True)
class ResumeState:
    """What a failed build keeps for --from; goldsmith's own, of this version alone."""

    manifest: Manifest
    inputs: Mapping[str, Any] = field(default_factory=dict)


def save(build: Path, manifest: Manifest, made_of: Mapping[str, Any]) -> None:
    """Note, after the artifact stage, what a later --from needs."""
    files.write_json(build / _STATE, documents.as_data(ResumeState(manifest=manifest, inputs=made_of)))


def forget(build: Path) -> None:
    """The build is complete: there is nothing to resume."""
    (build / _STATE).unlink()


def manifest(build: Path) -> Manifest:
    """The manifest as the artifact stage left it. Raises BuildError."""
    return _state(build).manifest


def _state(build: Path) -> ResumeState:
    try:
        return msgspec.json.decode((build / _STATE).read_bytes(), type=ResumeState)
    except (OSError, ValueError) as e:
        raise BuildError(f"cannot read {build / _STATE}: {e}", hint=_HINT) from e


def find(builds: Path, loaded: LoadedSpec) -> Path:
    """The newest failed build below builds that can go on; raises BuildError, saying why, if none can."""
    candidates = sorted(path.parent for path in builds.glob(f"*/{_STATE}") if not is_verified(path.parent))
    if not candidates:
        raise BuildError(f"no failed build of {loaded.spec.name} with its disk image was kept", hint=_HINT)
    build = candidates[-1]
    state = _state(build)
    disk = build / state.manifest.disk.file
    if not disk.exists():
        raise BuildError(f"the disk image of {build.name} is gone", hint=_HINT)
    now = inputs(loaded)
    changed = [words for part, words in _WORDS.items() if now[part] != state.inputs.get(part, "?")]
    if changed:
        raise BuildError(f"since {build.name} these have changed: {', '.join(changed)}", hint=_HINT)
    if sha256_of(disk) != state.manifest.disk.sha256:
        raise BuildError(f"{disk} is not what {build.name} made", hint=_HINT)
    return build
