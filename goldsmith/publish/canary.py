# SPDX-License-Identifier: Apache-2.0
"""Test an image in its cloud before it gets the alias: download and verify it, or boot a server from it."""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

from goldsmith.core import progress
from goldsmith.core.runs import Run
from goldsmith.errors import GoldsmithError, PublishError
from goldsmith.image.finished_build import Build
from goldsmith.publish import release
from goldsmith.publish.glance import Glance
from goldsmith.publish.model import Limits
from goldsmith.publish.nova import Nova
from goldsmith.publish.release import GlanceImage
from goldsmith.spec.model import Canary, PublishCloud
from goldsmith.verify import session

_REPORT = "goldsmith-canary: running"
# In the background: user data runs as a part of the boot, and is-system-running waits for its end.
_USER_DATA = """#!/bin/sh
systemd-run --quiet --no-block sh -c \
    'echo "goldsmith-canary: $(systemctl is-system-running --wait)" > /dev/console'
"""
_PREFIX = "goldsmith-canary-"
_POLL_S = 2.0
_BOOT_S = 900  # until the system of a server runs, also without KVM
_DELETE_S = 180
_TAIL = 5


def test(
    glance: Glance, image: GlanceImage, build: Build, cloud: PublishCloud, *, run: Run, limits: Limits
) -> None:
    """Raise PublishError unless the image passes the canary that the spec has for this cloud."""
    with progress.step(f"{glance.cloud}: canary, {cloud.canary}"):
        if cloud.canary in (Canary.server, Canary.both):
            _boot_server(glance, image, cloud, limits)
        if cloud.canary in (Canary.download, Canary.both):
            _verify_download(glance, image, build, run)


def fetch(glance: Glance, image: GlanceImage, target: Path) -> str:
    """Download an image's content to a file; its hex sha512."""
    digest = hashlib.sha512()
    with target.open("wb") as sink:
        for piece in _content(glance, image):
            digest.update(piece)
            sink.write(piece)
    return digest.hexdigest()


def sha512_of(glance: Glance, image: GlanceImage) -> str:
    """Hex sha512 of an image's content, which is downloaded for that and not stored."""
    digest = hashlib.sha512()
    for piece in _content(glance, image):
        digest.update(piece)
    return digest.hexdigest()


def _content(glance: Glance, image: GlanceImage) -> Iterator[bytes]:
    with progress.meter(f"{glance.cloud}: download {image.id}", total=image.size) as got:
        for piece in glance.content(image.id):
            yield piece
            got.add(len(piece))


def _verify_download(glance: Glance, image: GlanceImage, build: Build, run: Run) -> None:
    """Run the image suites in a throw-away VM of this machine, on the image as Glance has it."""
    folder = run.folder / f"c{image.id[:4]}"  # of this cloud alone, and short: it will hold a socket
    (folder / "run").mkdir(parents=True)
    copy = folder / f"fetched.{image.disk_format}"
    sha512 = fetch(glance, image, copy)
    made = {disk.format: disk.sha512 for disk in build.manifest.disks}
    where = f"{glance.cloud}: the image {image.id} downloaded from Glance"
    if made.get(image.disk_format, sha512) != sha512:
        raise PublishError(
            f"{where} is not the one uploaded: sha512 mismatch",
            hint="do not trust this Glance; nothing was published",
        )
    subject = session.Subject(image=copy, out=folder, manifest=None, fail_fast=True)
    try:
        vm = Run(folder=folder / "run")
        session.verify(subject, run=vm, log_path=folder / "verify.log").require(folder)
    except GoldsmithError as e:
        raise PublishError(
            f"{where} fails verification: {e}", hint="correct what the tests name; nothing was published"
        ) from e
    finally:
        copy.unlink()


def _boot_server(glance: Glance, image: GlanceImage, cloud: PublishCloud, limits: Limits) -> None:
    """Boot a server from the image; its console has to report that its system runs."""
    nova, expected = glance.nova, re.compile(cloud.console or re.escape(_REPORT))
    boot = Limits(until=min(limits.until, time.monotonic() + _BOOT_S), stop=limits.stop)
    with _server(nova, image, cloud) as server:
        console = ""
        while not expected.search(console):
            found = nova.get(server)
            if found.status == "ERROR":
                raise PublishError(
                    f"{nova.cloud}: no server boots from {image.id}: {found.fault}",
                    hint="see: openstack server show, and the log of nova-compute",
                )
            try:
                boot.require(f"{nova.cloud}: the canary of {image.id} does not report that it runs")
            except PublishError as e:
                tail = "".join(f"\n  | {line}" for line in console.splitlines()[-_TAIL:])
                raise PublishError(f"{e}{tail}") from None
            time.sleep(_POLL_S)
            console = nova.console(server)


@contextlib.contextmanager
def _server(nova: Nova, image: GlanceImage, cloud: PublishCloud) -> Iterator[str]:
    """The ID of a server that is removed at the end, like one that an earlier run left."""
    alias = image.properties[release.ALIAS]
    for old in leftovers(nova, alias):
        nova.delete(old)
    server = nova.create(
        f"{_PREFIX}{image.id}", image=image.id, flavor=cloud.flavor or "", network=cloud.network or "",
        user_data=_USER_DATA, metadata={release.ALIAS: alias},
    )  # fmt: skip
    try:
        yield server
    finally:
        nova.delete(server, wait_s=_DELETE_S)


def leftovers(nova: Nova, alias: str) -> list[str]:
    """IDs of our canary servers of this alias; none where the cloud does not list servers.

    One publication at a time has one.
    """
    with contextlib.suppress(PublishError):
        return [each.id for each in nova.servers(_PREFIX) if each.metadata.get(release.ALIAS) == alias]
    return []
