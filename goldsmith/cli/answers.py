# SPDX-License-Identifier: Apache-2.0
"""Answers of the tasks plan and export-images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from goldsmith.containers.bundler import Bundle
from goldsmith.containers.images_lock import LockedImage
from goldsmith.core.documents import Document, about
from goldsmith.image.dib_plan import DibPlan
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.site import Site


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedImage:
    """The call of diskimage-builder."""

    argv: Annotated[tuple[str, ...], about("Command line.")]
    env: Annotated[Mapping[str, str], about("Environment.")]
    block_device: Annotated[str, about("Block device configuration, YAML.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedVerification:
    """How a build would verify the image."""

    pods: Annotated[tuple[str, ...], about("Names of the pods that must become ready.")]
    pods_checked_by: Annotated[
        str, about("What their manifests were held against: the kubelet's schema if it is in the cache.")
    ]
    boot_deadline_s: Annotated[int, about("Seconds until ssh answers, on a host with KVM.")]
    pods_deadline_s: Annotated[int, about("Seconds until all pods are ready, on a host with KVM.")]
    tests: Annotated[tuple[str, ...], about("Folders of the user's own suites.")]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanAnswer(Document):
    """The commands of a build: the answer of plan."""

    SCHEMA: ClassVar[str] = "goldsmith.plan"

    name: Annotated[str, about("Name of the spec.")]
    spec_sha256: Annotated[str, about("Hex sha256 of the rendered spec.")]
    kubelet: Annotated[str | None, about("VERSION from SOURCE; null without a kubelet.")]
    containers: Annotated[
        tuple[Mapping[str, str], ...],
        about("Container images to embed: ref, from (folder, reference in a registry, or engine), into."),
    ]
    embed: Annotated[str, about("How they are embedded: content-store, archive or unpacked.")]
    image: Annotated[PlannedImage, about("The call of diskimage-builder.")]
    formats: Annotated[tuple[str, ...], about("Formats of the disk image.")]
    verify: Annotated[PlannedVerification, about("How the image would be verified.")]
    root: Annotated[
        str, about("Whether its root file system comes from the cache, or why it would be built again.")
    ] = ""

    @classmethod
    def of(cls, loaded: LoadedSpec, plan: DibPlan, *, pods_checked_by: str, root: str = "") -> PlanAnswer:
        """The plan of a spec. pods_checked_by: of pod_check.check(). root: of layers.forecast.of_spec()."""
        spec = loaded.spec
        kubelet = spec.kubelet
        return cls(
            name=spec.name, spec_sha256=loaded.sha256, root=root,
            kubelet=None if kubelet is None else f"{kubelet.version} from {kubelet.source}",
            containers=tuple(
                {"ref": c.ref, "from": c.build or c.registry or "engine", "into": c.into.value}
                for c in spec.containers
            ),
            embed=spec.embed.value,
            image=PlannedImage(argv=plan.argv, env=dict(plan.env), block_device=plan.block_device),
            formats=tuple(format_.value for format_ in spec.disk.formats),
            verify=PlannedVerification(
                pods=tuple(pod["metadata"]["name"] for pod in spec.verify.pods),
                pods_checked_by=pods_checked_by,
                boot_deadline_s=spec.verify.boot_deadline_s, pods_deadline_s=spec.verify.pods_deadline_s,
                tests=tuple(spec.verify.tests),
            ),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class InitAnswer(Document):
    """The files of a new image: the answer of init."""

    SCHEMA: ClassVar[str] = "goldsmith.init"

    name: Annotated[str, about("The name of the image.")]
    folder: Annotated[Path, about("The folder that the files are in.")]
    spec: Annotated[str, about("What plan and build-image call the spec: its name, or the path of its file.")]
    written: Annotated[tuple[Path, ...], about("The new files, relative to the folder.")]
    kept: Annotated[tuple[Path, ...], about("Files that images share and that were there: unchanged.")]

    @classmethod
    def of(cls, site: Site) -> InitAnswer:
        """The answer for a new site."""
        return cls(name=site.name, folder=site.folder, spec=site.called, written=site.written, kept=site.kept)


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleAnswer(Document):
    """The archive of a spec's container images: the answer of export-images."""

    SCHEMA: ClassVar[str] = "goldsmith.bundle"

    file: Annotated[Path, about("The OCI archive.")]
    sha256: Annotated[str, about("Hex sha256 of the archive.")]
    size: Annotated[int, about("Bytes of the archive.")]
    reused: Annotated[bool, about("Whether it came from the cache.")]
    images: Annotated[tuple[LockedImage, ...], about("The images in it.")]

    @classmethod
    def of(cls, bundle: Bundle) -> BundleAnswer:
        """The answer for a bundle."""
        return cls(
            file=bundle.path, sha256=bundle.sha256, size=bundle.size_bytes, reused=bundle.reused,
            images=bundle.images,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRow:
    """One measured piece of work."""

    what: Annotated[str, about("The work.")]
    seconds: Annotated[float, about("Seconds it took; the median where it was repeated.")]
    bytes: Annotated[int, about("Bytes of what it made.")]
    peak_mib: Annotated[float, about("MiB of memory at most; 0 where it was not measured.")] = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchAnswer(Document):
    """Our work beside that of the plain tools: the answer of bench."""

    SCHEMA: ClassVar[str] = "goldsmith.bench"

    cpus: Annotated[int | None, about("Processors of the host.")]
    load: Annotated[float, about("Load average of the last minute, at the end.")]
    rows: Annotated[tuple[BenchRow, ...], about("The measurements.")]
    ratios: Annotated[Mapping[str, float], about("Ours divided by the plain tool's.")]

    def as_text(self) -> str:
        """A table of rows, then the ratios."""
        lines = [f"{'what':<44} {'seconds':>9} {'MiB':>9} {'peak MiB':>9}"]
        for row in self.rows:
            mib = f"{row.bytes / 2**20:.1f}" if row.bytes else ""
            peak = f"{row.peak_mib:.0f}" if row.peak_mib else ""
            lines.append(f"{row.what:<44} {row.seconds:>9.2f} {mib:>9} {peak:>9}")
        return "\n".join([*lines, *(f"{name}: {value:.2f}" for name, value in self.ratios.items())])
