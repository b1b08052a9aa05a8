# SPDX-License-Identifier: Apache-2.0
"""An image tried as a cloud has it, before it gets the alias: fetched back and verified, or booted there."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

from goldsmith.core import progress
from goldsmith.core.openstack import translated
from goldsmith.core.scratch import Run
from goldsmith.errors import GoldsmithError, PublishError
from goldsmith.image.finished_build import Build
from goldsmith.publish import release
from goldsmith.publish.glance import Glance
from goldsmith.publish.model import Limits
from goldsmith.publish.release import GlanceImage
from goldsmith.spec.model import Canary, PublishCloud
from goldsmith.verify import session

_SAYS = "goldsmith-canary: running"
# Asked in the background: user data is run by the boot, whose end is waited for.
_USER_DATA = """#!/bin/sh
systemd-run --quiet --no-block sh -c \
    'echo "goldsmith-canary: $(systemctl is-system-running --wait)" > /dev/console'
"""
_PREFIX = "goldsmith-canary-"
_POLL_S = 2.0
_RUNS_S = 900  # until the system of a server runs, on a hypervisor without KVM too
_GONE_S = 180
_TAIL = 5


def try_out(
    glance: Glance, image: GlanceImage, build: Build, cloud: PublishCloud, *, run: Run, limits: Limits
) -> None:
    """Raise PublishError unless the image is good as this cloud has it."""
    with progress.step(f"{glance.cloud}: canary, {cloud.canary}"):
        if cloud.canary in (Canary.server, Canary.both):
            _boot_server(glance, image, cloud, limits)
        if cloud.canary in (Canary.download, Canary.both):
            _verify_download(glance, image, build, run)


def fetch(glance: Glance, image: str, target: Path) -> str:
    """Download an image's content to a file; hex sha512 of what came."""
    digest = hashlib.sha512()
    with target.open("wb") as sink:
        for piece in glance.content(image):
            digest.update(piece)
            sink.write(piece)
            progress.live(f"{glance.cloud}: {progress.human_bytes(sink.tell())} fetched")
    return digest.hexdigest()


def sha512_of(glance: Glance, image: str) -> str:
    """Hex sha512 of an image's content, downloaded for it and kept nowhere."""
    digest = hashlib.sha512()
    for piece in glance.content(image):
        digest.update(piece)
    return digest.hexdigest()


def _verify_download(glance: Glance, image: GlanceImage, build: Build, run: Run) -> None:
    """The image suites, in a throw-away VM of this machine, on what Glance gives out."""
    place = run.folder / f"c{image.id[:4]}"  # of this cloud alone, and short: there will be a socket in it
    (place / "run").mkdir(parents=True)
    copy = place / f"fetched.{image.disk_format}"
    sha512 = fetch(glance, image.id, copy)
    made = {disk.format: disk.sha512 for disk in build.manifest.disks}
    if made.get(image.disk_format, sha512) != sha512:
        raise PublishError(f"{glance.cloud}: Glance gives out other bytes than it was given, for {image.id}")
    subject = session.Subject(image=copy, out=place, manifest=None, fail_fast=True)
    try:
        session.verify(subject, run=Run(folder=place / "run"), log_path=place / "verify.log").require(place)
    except GoldsmithError as e:
        raise PublishError(f"{glance.cloud}: the image does not do as Glance gives it out: {e}") from e
    finally:
        copy.unlink()


def _boot_server(glance: Glance, image: GlanceImage, cloud: PublishCloud, limits: Limits) -> None:
    """A server from the image; it has to say on its console that its system runs."""
    wanted = re.compile(cloud.console or re.escape(_SAYS))
    runs = Limits(until=min(limits.until, time.monotonic() + _RUNS_S), stop=limits.stop)
    with _server(glance, image, cloud) as server:
        console = ""
        while not wanted.search(console):
            status, fault = _status(glance, server)
            if status == "ERROR":
                raise PublishError(f"{glance.cloud}: no server boots from {image.id}: {fault}")
            try:
                runs.require(f"{glance.cloud}: the canary of {image.id} does not say that it runs")
            except PublishError as e:
                tail = "".join(f"\n  | {line}" for line in console.splitlines()[-_TAIL:])
                raise PublishError(f"{e}{tail}") from None
            time.sleep(_POLL_S)
            console = _console(glance, server)


@contextlib.contextmanager
def _server(glance: Glance, image: GlanceImage, cloud: PublishCloud) -> Iterator[str]:
    """The ID of a server that is removed whatever happens, as one that an earlier run left."""
    name = f"{_PREFIX}{image.id}"
    with translated(f"{glance.cloud}: cannot boot a server from {image.id}", PublishError):
        compute = glance.sdk.compute
        for old in leftovers(glance, image.properties[release.ALIAS]):
            compute.delete_server(old)
        flavor = compute.find_flavor(cloud.flavor, ignore_missing=False)
        network = (
            [{"uuid": glance.sdk.network.find_network(cloud.network, ignore_missing=False).id}]
            if cloud.network
            else "none"
        )
        user_data = base64.b64encode(_USER_DATA.encode()).decode()
        server = compute.create_server(
            name=name, image_id=image.id, flavor_id=flavor.id, networks=network, config_drive=True,
            user_data=user_data, metadata={release.ALIAS: image.properties[release.ALIAS]},
        )  # fmt: skip
    try:
        yield str(server.id)
    finally:
        with translated(f"{glance.cloud}: cannot remove the server {name}", PublishError):
            compute.delete_server(server)
            compute.wait_for_delete(server, wait=_GONE_S)


def leftovers(glance: Glance, alias: str) -> list[str]:
    """IDs of our servers that were canaries of this alias: one publication at a time has one."""
    with contextlib.suppress(PublishError), translated(f"{glance.cloud}: no servers to see", PublishError):
        found = glance.sdk.compute.servers(name=_PREFIX)
        return [str(server.id) for server in found if (server.metadata or {}).get(release.ALIAS) == alias]
    return []


def remove(glance: Glance, server: str) -> None:
    """Delete a server that was a canary. Raises PublishError."""
    with translated(f"{glance.cloud}: cannot remove the server {server}", PublishError):
        glance.sdk.compute.delete_server(server)


def _status(glance: Glance, server: str) -> tuple[str, str]:
    """Nova's status of a server, and what it says went wrong."""
    with translated(f"{glance.cloud}: Nova does not show the canary {server}", PublishError):
        found = glance.sdk.compute.get_server(server)
    return str(found.status), str((found.fault or {}).get("message", ""))


def _console(glance: Glance, server: str) -> str:
    """The end of a server's console; empty where there is none yet."""
    with contextlib.suppress(PublishError), translated("no console yet", PublishError):
        return str(glance.sdk.compute.get_server_console_output(server, length=200)["output"])
    return ""
