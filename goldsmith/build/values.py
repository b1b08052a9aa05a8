# SPDX-License-Identifier: Apache-2.0
"""The values of one build: its options, its context, what its image is made of, its result."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from goldsmith.apt.indexes import FRESH_ONLY, Accepted, IndexState
from goldsmith.containers.bundler import Bundle
from goldsmith.containers.policy import Policy
from goldsmith.core import paths
from goldsmith.core.documents import Document, about
from goldsmith.core.runs import Run
from goldsmith.image.build_info import Identity
from goldsmith.image.manifest import Manifest
from goldsmith.image.timings import Timings
from goldsmith.kubernetes.kubelet import KubeletBinary
from goldsmith.provenance.lockfile import Lock
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import ImageSpec

STAGES = ("spec", "preflight", "kubelet", "containers", "image", "artifact", "boot", "verify")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Options of a build, as the help of the task build-image explains them."""

    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    out: Path = dataclasses.field(default_factory=paths.out_root)
    keep: bool = False
    refresh: bool = False
    start: str = STAGES[0]
    locked: bool = False
    keep_going: bool = False
    force: bool = False
    verify: bool = False
    quick: bool = False
    verify_short_way: int = 0
    accepted: Accepted = FRESH_ONLY


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildResult(Document):
    """A finished build, verified unless --quick made it: the answer of build-image."""

    SCHEMA: ClassVar[str] = "goldsmith.build-result"
    OPTIONAL: ClassVar[frozenset[str]] = frozenset(("verdict",))

    folder: Annotated[Path, about("Folder of the build.")]
    image: Annotated[Path, about("The disk image that was tested.")]
    is_latest: Annotated[
        bool, about("Whether latest points to it; false if a newer build has it, and with --quick.")
    ]
    manifest: Annotated[Manifest, about("Its manifest.json.")]
    changed: Annotated[
        bool, about("Whether this build was made; false if the latest one has the same inputs already.")
    ] = True
    verdict: Annotated[
        Path | None, about("File of another verdict on an unchanged build, of --verify; else absent.")
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildContext:
    """One build: values that several stages need."""

    loaded: LoadedSpec
    identity: Identity
    folder: Path
    options: Options
    policy: Policy
    timings: Timings
    run: Run

    @property
    def spec(self) -> ImageSpec:
        return self.loaded.spec

    @property
    def log(self) -> Path:
        return self.folder / "build.log"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ingredients:
    """What an image is made of. parts: of unchanged.parts(); used: entries of the cache (kind, key)."""

    binary: KubeletBinary | None
    states: Mapping[str, IndexState]
    bundle: Bundle | None
    locked: Lock | None
    checkout: Mapping[str, Any]
    parts: Mapping[str, str]
    used: Set[tuple[str, str]]


def doubts(states: Mapping[str, IndexState], bundle: Bundle | None) -> tuple[str, ...]:
    """About package indexes that were accepted for an image and its containers: a sentence for each."""
    of_bundle = () if bundle is None else bundle.doubts
    return (*(doubt for state in states.values() for doubt in state.doubts), *of_bundle)


def suites_of(spec: ImageSpec) -> list[Path]:
    """The folders of the user's own test suites."""
    return [paths.project_root() / folder for folder in spec.verify.tests]
