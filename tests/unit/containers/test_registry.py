# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.containers import oci, registry
from goldsmith.containers.policy import Policy, Rule
from goldsmith.core.runs import Run
from goldsmith.errors import BuildError

DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "run").mkdir()
    return Run(folder=tmp_path / "run")


def pull(run: Run, reference: str) -> registry.Pulled:
    policy = Policy(rules=(Rule(prefix=reference.partition("/")[0], accepted="a test"),))
    return registry.pull(reference, arch="amd64", policy=policy, run=run, log_path=run.folder / "log")


def test_an_image_without_a_digest_is_refused(run: Run) -> None:
    with pytest.raises(BuildError, match="is not pinned by a digest") as e:
        pull(run, "host.test/app:1")
    assert "skopeo inspect" in (e.value.hint or "")


def test_a_manifest_with_another_digest_is_refused(run: Run, fake: Callable[..., Path]) -> None:
    fake("skopeo", "echo '{}'")
    with pytest.raises(BuildError, match="expected sha256"):
        pull(run, f"host.test/app@{DIGEST}")


def test_an_index_without_this_architecture_is_refused(run: Run, fake: Callable[..., Path]) -> None:
    platform = {"os": "linux", "architecture": "arm64"}
    index = json.dumps({"manifests": [{"digest": DIGEST, "platform": platform}]})
    fake("skopeo", f"printf %s '{index}'")
    with pytest.raises(BuildError, match="no image for linux/amd64"):
        pull(run, f"host.test/app@{oci.sha256(index.encode())}")


@pytest.mark.parametrize("digest", ["sha256:..", "sha256:", "sha256:a/b", None])
def test_an_index_that_lists_no_digest_is_refused(
    run: Run, fake: Callable[..., Path], digest: str | None
) -> None:
    """It would become the name of a folder in the cache."""
    platform = {"os": "linux", "architecture": "amd64"}
    index = json.dumps({"manifests": [{"digest": digest, "platform": platform}]})
    fake("skopeo", f"printf %s '{index}'")
    with pytest.raises(BuildError, match=r"an image without a valid digest|got `null`"):
        pull(run, f"host.test/app@{oci.sha256(index.encode())}")
