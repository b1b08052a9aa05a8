# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

from goldsmith.containers import build_context, rootfs
from goldsmith.spec.model import ContainerSpec
from tests.soak import container


def test_the_image_of_goldsmith_is_built_from_packages_of_a_suite_alone(tmp_path: Path) -> None:
    folder = container.write_contexts(tmp_path)

    spec = ContainerSpec(ref=container.IMAGE, build="containers/goldsmith")
    base, made = build_context.collect([spec], (tmp_path,))

    assert (base.ref, made.folder) == (container.BASE, folder)
    assert rootfs.read(base.folder).suite == container.SUITE
    assert made.foreign == ()
    assert "ARG PIP_NO_INDEX=1\n" in (folder / "Dockerfile").read_text()
