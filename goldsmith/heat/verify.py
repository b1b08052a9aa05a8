# SPDX-License-Identifier: Apache-2.0
"""From a verified build to its verdict in a cloud: the user's, or a test cloud of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from goldsmith.core import builds, progress
from goldsmith.devcloud import lifecycle
from goldsmith.devcloud.services import SERVICES
from goldsmith.devcloud.start import Options
from goldsmith.heat import acceptance
from goldsmith.heat.acceptance import Wishes
from goldsmith.heat.client import Cloud
from goldsmith.provenance import release_check

_NETWORK = "golden"  # of every test cloud
_NAME = "verify-"  # of the clouds that live as long as one verification


def verify(
    out: Path, name: str, *, cloud: str, wishes: Wishes, signed_by: Path | None = None
) -> dict[str, Any]:
    """The verdict on the latest build of a spec, also written beside its manifest.

    signed_by: a public key, whose owner has to have signed the build.
    Raises what heatproof.prove() raises, ProvenanceError, and HostError where a test cloud cannot run.
    """
    build = builds.find_build(out, name)
    signer = None if signed_by is None else release_check.require(build, signed_by, otherwise="proven")
    if cloud:
        return acceptance.prove(build, Cloud(cloud), wishes, signed_by=signer).as_dict()
    with _test_cloud(wishes) as ours:
        wishes = replace(wishes, network=wishes.network or _NETWORK)
        return acceptance.prove(build, ours, wishes, signed_by=signer).as_dict()


@contextlib.contextmanager
def _test_cloud(wishes: Wishes) -> Iterator[Cloud]:
    """A cloud for this process alone, with Swift where a transport needs it."""
    for line in lifecycle.clean_dead(_NAME):
        progress.note(f"of an earlier verification that was killed: {line}")
    name = f"{_NAME}{os.getpid()}"
    has_swift = any("TEMP_URL" in each for each in (wishes.poll_transport, wishes.signal_transport))
    options = Options(services=tuple(SERVICES)) if has_swift else Options()
    with lifecycle.owned(name, options) as running:
        yield Cloud(name, clouds_yaml=running.clouds_yaml)
