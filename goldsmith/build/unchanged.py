# SPDX-License-Identifier: Apache-2.0
"""Whether a build would make what the latest verified one is: all its inputs are the same."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import goldsmith
from goldsmith.apt.indexes import IndexState
from goldsmith.build import values
from goldsmith.containers import policy
from goldsmith.containers.bundler import Bundle
from goldsmith.core import build_folders, progress
from goldsmith.core.build_folders import is_verified
from goldsmith.core.documents import as_data
from goldsmith.core.files import sha256_of
from goldsmith.errors import BuildError, GoldsmithError
from goldsmith.host import python_packages
from goldsmith.image import dib_plan, element_hashes, finished_build
from goldsmith.image.build_info import Identity
from goldsmith.kubernetes.kubelet import KubeletBinary
from goldsmith.layers import forecast, root, split
from goldsmith.provenance import build_inputs
from goldsmith.provenance.build_inputs import BuildInputs
from goldsmith.scan import vulnerabilities
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import Distribution, ImageSpec

MARK = "element-fetches-nothing"  # in an element: what it does follows from its files alone
_CLOSED = ("block-device", "goldsmith-")  # elements that fetch nothing


def parts(
    loaded: LoadedSpec,
    identity: Identity,
    checkout: Mapping[str, object],
    *,
    states: Mapping[str, IndexState],
    binary: KubeletBinary | None,
    bundle: Bundle | None,
) -> dict[str, str]:
    """All that decides what a build makes and whether it is verified: the words for a part -> its hash.

    checkout: of resume.inputs(), as it was when the build began.
    """
    elements = checkout["elements"]
    assert isinstance(elements, Mapping)
    rest = {name: value for name, value in checkout.items() if name not in ("elements", "spec")}
    found: dict[str, object] = {
        "the spec": loaded.sha256,
        **{f"element {name}": value for name, value in elements.items()},
        **{f"package index of {suite}": state.key(loaded.spec.arch.value) for suite, state in states.items()},
        "what was accepted of package indexes": values.doubts(states, bundle),
        "the checkout": rest,
        "the commit": [identity.commit, identity.dirty, identity.repository, identity.ref],
        "goldsmith": [_code(), as_data(identity.made_by)],
        "the Python environment": [sys.version, as_data(python_packages.differences())],
        "the kubelet": None if binary is None else binary.sha256,
        "the container images": None if bundle is None else bundle.sha256,
        "the tests of verify.tests": [_tree(folder) for folder in values.suites_of(loaded.spec)],
        "the policy": _rules(loaded.spec),
        "files that dib-env names": root.host_files(loaded),
        "the vulnerability database": _database(),
    }
    return {name: _hash(value) for name, value in found.items()}


def why_unknown(loaded: LoadedSpec) -> str:
    """Why the inputs of a build cannot be known before it; empty where they can."""
    spec = loaded.spec
    if spec.distribution is Distribution.fedora:
        return "packages are those of the day"
    folders = element_hashes.folders(dib_plan.elements(spec), loaded.elements)
    taking = split.TAKES_HOST_FILES & folders.keys()
    if taking:
        return f"the element {min(taking)} takes files of this host"
    if spec.distribution is Distribution.custom:
        open_ = (n for n, at in folders.items() if not n.startswith(_CLOSED) and not (at / MARK).exists())
        name = next(open_, None)
        return "" if name is None else f"the element {name} may fetch what changes"
    return ""


def latest_with(inputs: Mapping[str, str], spec_folder: Path) -> Path | None:
    """The folder of the latest verified build, if it has these inputs and is whole; else None.

    A note says what has changed since.
    """
    build = (spec_folder / build_folders.LATEST).resolve()
    if not is_verified(build):
        return None
    try:
        before = BuildInputs.read(build / build_inputs.FILE)
        made = finished_build.read(build, BuildError).manifest
    except GoldsmithError as e:
        progress.note(f"{build.name} is not taken for this build: {e}")
        return None
    if not before.parts:  # of an earlier goldsmith
        return None
    changed = [name for name in {**before.parts, **inputs} if before.parts.get(name) != inputs.get(name)]
    if changed:
        progress.note(f"changed since {build.name}: {forecast.first_of(changed)}")
        return None
    for disk in made.disks:
        with progress.step(f"hash {disk.file}"):
            if not (build / disk.file).is_file() or sha256_of(build / disk.file) != disk.sha256:
                progress.note(f"{build / disk.file} is not what {build.name} verified: building it again")
                return None
    return build


def _code() -> str:
    """Of goldsmith's own files: what builds, and the suites that verify."""
    return _tree(Path(goldsmith.__file__).parent)


def _tree(folder: Path) -> str:
    return element_hashes.sha256_of_tree(element_hashes.tree(folder))


def _rules(spec: ImageSpec) -> object:
    rules = policy.of_spec(spec)
    return [rules.engine, sorted(rule.fingerprint() for rule in rules.rules)]


def _database() -> object:
    """Of its files' names, sizes and times: it may be large."""
    path = vulnerabilities.database_path()
    if path is None or not path.exists():
        return None
    files = [path, *sorted(path.rglob("*"))] if path.is_dir() else [path]
    return [[str(each), (about := each.stat()).st_size, about.st_mtime_ns] for each in files]


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
