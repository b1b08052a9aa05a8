# SPDX-License-Identifier: Apache-2.0
"""Run the acceptance test of the latest verified build: in the user's cloud, or in a private test cloud."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from goldsmith.core import build_folders, progress
from goldsmith.devcloud import lifecycle, start
from goldsmith.devcloud.services import SERVICES
from goldsmith.heat import acceptance, client, inputs
from goldsmith.heat.acceptance import Options
from goldsmith.heat.report import HeatVerdict
from goldsmith.host import accelerator
from goldsmith.provenance import release_check
from goldsmith.spec import load

_NETWORK = "golden"  # of every test cloud
_NAME = "verify-"  # of the clouds that live as long as one verification


def verify(
    out: Path, name: str, *, cloud: str, options: Options, signed_by: Path | None = None
) -> HeatVerdict:
    """The verdict on the latest build of a spec, which is also written beside its manifest.

    cloud: a cloud of clouds.yaml; "": a private test cloud. signed_by: a public key; its owner must have
    signed the build. Raises what acceptance.run() raises, ProvenanceError, and HostError if a test cloud
    cannot run.
    """
    build = build_folders.find_build(out, load.name_of(name))
    signer = None if signed_by is None else release_check.require(build, signed_by, otherwise="verified")
    if cloud:
        return acceptance.run(build, client.connect(cloud), options, signed_by=signer).verdict()
    with _test_cloud(options) as ours:
        connected = client.connect(ours.name, clouds_yaml=ours.clouds_yaml)
        options = replace(_on_this_host(options, build, ours), network=options.network or _NETWORK)
        return acceptance.run(build, connected, options, signed_by=signer).verdict()


@contextlib.contextmanager
def _test_cloud(options: Options) -> Iterator[lifecycle.Cloud]:
    """A test cloud that ends with the block, with Swift if a transport needs it."""
    for line in lifecycle.clean_dead(_NAME):
        progress.note(f"left over from a verification that was killed: {line}")
    name = f"{_NAME}{os.getpid()}"
    has_swift = any("TEMP_URL" in each for each in (options.poll_transport, options.signal_transport))
    started = start.Options(services=tuple(SERVICES)) if has_swift else start.Options()
    with lifecycle.owned(name, started) as running:
        yield running


def _on_this_host(options: Options, build: Path, ours: lifecycle.Cloud) -> Options:
    """The options with deadlines for this host, where servers may be emulated, beside other work."""
    found = accelerator.find(log_path=ours.clouds_yaml.with_name("probe.log"))
    boot_s, pods_s = inputs.deadlines_of(build)
    return replace(
        options,
        deadline_s=max(options.deadline_s, (boot_s + pods_s) * found.slowness),
        pods_deadline_s=max(options.pods_deadline_s, round(pods_s * found.slowness)),
    )
