# SPDX-License-Identifier: Apache-2.0
"""Go on with a failed build from its finished disk image, if what that was made of has not changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from goldsmith import artifact
from goldsmith.errors import BuildError
from goldsmith.specfile import LoadedSpec
from goldsmith.workspace import is_verified, sha256_of

# Earlier stages keep their results in the cache, so a new build is at the image in seconds anyway.
RESUMABLE = ("boot", "verify")
_STATE = "resume.json"


def save(build: Path, manifest: dict[str, Any], loaded: LoadedSpec) -> None:
    """Note, after the artifact stage, what a later --from needs."""
    artifact.write_json(build / _STATE, {"manifest": manifest, "spec_sha256": loaded.sha256})


def forget(build: Path) -> None:
    """The build is complete: there is nothing to resume."""
    (build / _STATE).unlink()


def manifest(build: Path) -> dict[str, Any]:
    """The manifest as the artifact stage left it."""
    state = json.loads((build / _STATE).read_text())
    return dict(state["manifest"])


def find(builds: Path, loaded: LoadedSpec) -> Path:
    """The newest failed build below builds that can go on; raises BuildError, saying why, if none can."""
    hint = "run it without --from, and with --keep if it may fail again"
    candidates = sorted(path.parent for path in builds.glob(f"*/{_STATE}") if not is_verified(path.parent))
    if not candidates:
        raise BuildError(f"no failed build of {loaded.spec.name} with its disk image was kept", hint=hint)
    build = candidates[-1]
    state = json.loads((build / _STATE).read_text())
    disk = build / state["manifest"]["disks"][0]["file"]
    if not disk.exists():
        raise BuildError(f"the disk image of {build.name} is gone", hint=hint)
    changed = [what for what, is_same in _inputs(state, loaded) if not is_same]
    if changed:
        raise BuildError(f"since {build.name} these have changed: {', '.join(changed)}", hint=hint)
    if sha256_of(disk) != state["manifest"]["disks"][0]["sha256"]:
        raise BuildError(f"{disk} is not what {build.name} made", hint=hint)
    return build


def _inputs(state: dict[str, Any], loaded: LoadedSpec) -> list[tuple[str, bool]]:
    stored: dict[str, str] = state["manifest"]["elements"]
    now = {name: _element_hash(name, loaded) or hash_ for name, hash_ in stored.items()}
    return [("the spec", state["spec_sha256"] == loaded.sha256), ("the elements", stored == now)]


def _element_hash(name: str, loaded: LoadedSpec) -> str | None:
    """Of an element of the project's or the user's; diskimage-builder's own change by its version."""
    for folder in loaded.elements:
        if (folder / name).is_dir():
            return artifact.tree_sha256(folder / name)
    return None
