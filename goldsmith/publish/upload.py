# SPDX-License-Identifier: Apache-2.0
"""Upload a disk image to Glance, and check that Glance holds the same bytes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from goldsmith.core import openstack, progress
from goldsmith.errors import CommandError, PublishError
from goldsmith.image import qemu_img
from goldsmith.image.finished_build import DiskFile
from goldsmith.publish import canary
from goldsmith.publish.glance import Glance
from goldsmith.publish.model import DesiredRelease, Limits
from goldsmith.publish.release import GlanceImage
from goldsmith.spec.model import PublishCloud

_TRIES = 3
_CHUNK = 1 << 20
_POLL_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """One disk image to one cloud. scratch: a folder for content that is downloaded to be compared."""

    to: Glance
    disk: DiskFile
    desired: DesiredRelease
    cloud: PublishCloud
    limits: Limits
    scratch: Path

    def upload(self, image: str) -> None:
        """Upload the image, or have Glance fetch it, until it is active. Raises PublishError."""
        if self.cloud.web_download:
            file = f"{self.desired.line.name}/{self.desired.build_id}/{self.disk.path.name}"
            uri = f"{self.cloud.web_download.rstrip('/')}/{file}"
            with progress.step(f"{self.to.cloud}: Glance fetches {uri}"):
                self.to.import_(image, {"name": "web-download", "uri": uri}, self.cloud.stores)
                wait_active(self.to, image, self.limits)
            return
        with progress.step(f"{self.to.cloud}: upload {self.disk.path.name}"):
            self._send(image, to="stage" if self.cloud.stores else "file")
            if self.cloud.stores:
                self.to.import_(image, {"name": "glance-direct"}, self.cloud.stores)
            wait_active(self.to, image, self.limits)

    def check(self, image: str) -> GlanceImage:
        """The image as Glance has it. Compared are size and hash, or the content if Glance converted it.

        Raises PublishError where Glance has something else than what was sent.
        """
        found = wait_active(self.to, image, self.limits)
        if found.disk_format != self.desired.disk_format:
            self._compare_content(found)
        elif found.size != self.desired.size or not self._has_hash(found):
            raise PublishError(
                f"{self.to.cloud}: the image in Glance differs from {self.disk.path.name}: "
                f"{found.hash_algo} {found.hash_value}, {found.size} bytes (image {found.id})",
                hint="check what is between here and Glance: it changes data; nothing was published",
            )
        return found

    def _send(self, image: str, *, to: str) -> None:
        for left in reversed(range(_TRIES)):
            body = UploadBody(self.disk, self.to.cloud, self.limits)
            try:
                return self.to.upload(image, body, to=to, answer_s=self.limits.left_s())
            except PublishError as e:
                refused = openstack.status_of(e)
                if refused == 413:
                    raise PublishError(
                        f"{self.to.cloud}: Glance has no room for {self.disk.path.name}: its store "
                        "is full, or the quota is used up",
                        hint="see: scripts/inv images",
                    ) from e
                if not left or body.is_final or (refused and 400 <= refused < 500):
                    raise
                progress.note(f"{e}; trying again")
            if self._settled(image) == "active":
                return None
        raise AssertionError

    def _settled(self, image: str) -> str:
        """The status of an image after its upload was interrupted: as soon as Glance has noticed it."""
        while True:
            found = self.to.get(image)
            if found is None or found.status in ("queued", "uploading", "active"):
                return found.status if found else "gone"
            self.limits.require(f"{self.to.cloud}: Glance still waits for the rest of the image {image}")
            time.sleep(1)

    def _has_hash(self, found: GlanceImage) -> bool:
        known = {"sha256": self.desired.sha256, "sha512": self.desired.sha512}
        if found.hash_algo is None:  # this Glance hashes nothing: compare every byte
            return canary.sha512_of(self.to, found) == self.desired.sha512
        return found.hash_value == (known.get(found.hash_algo) or self.disk.hashed_by(found.hash_algo))

    def _compare_content(self, found: GlanceImage) -> None:
        with progress.step(
            f"{self.to.cloud}: compare the content that Glance converted to {found.disk_format}"
        ):
            copy = self.scratch / f"{found.id}.{found.disk_format}"
            try:
                canary.fetch(self.to, found, copy)
                qemu_img.require_identical(self.disk.path, self.disk.format, copy, found.disk_format)
            except CommandError as e:
                raise PublishError(
                    f"{self.to.cloud}: the image {found.id} that Glance converted has other content: {e}",
                    hint="use the format that the cloud stores: publish.clouds[].format",
                ) from e
            finally:
                copy.unlink(missing_ok=True)


class UploadBody:
    """A disk file as a request body: iterable once, with a length, as requests wants it for streaming.

    Raises PublishError past the deadline, when interrupted, and where the file became shorter. Glance's hash
    tells afterwards whether the bytes are right.
    """

    def __init__(self, disk: DiskFile, cloud: str, limits: Limits) -> None:
        self.disk, self.cloud, self.limits = disk, cloud, limits
        self.is_final = False  # another try would fail as well

    def __len__(self) -> int:
        return self.disk.size

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        with self.disk.path.open("rb") as source, progress.meter(total=len(self)) as meter:
            while piece := source.read(_CHUNK):
                self._require(sent)
                yield piece
                sent += len(piece)
                meter.at(sent)
        if sent < self.disk.size:
            self.is_final = True
            raise PublishError(
                f"{self.cloud}: {self.disk.path} became shorter while it was uploaded",
                hint="build again, and publish that build",
            )

    def _require(self, sent: int) -> None:
        try:
            self.limits.require(f"{self.cloud}: only {sent} of {len(self)} bytes were sent")
        except PublishError:
            self.is_final = True
            raise


def wait_active(glance: Glance, image: str, limits: Limits) -> GlanceImage:
    """The image when it is active. Raises PublishError when it cannot become active any more."""
    while True:
        found = glance.get(image)
        if found is None:
            raise PublishError(
                f"{glance.cloud}: the image {image} disappeared while it was uploaded", hint="run this again"
            )
        if found.status == "active":
            return found
        if found.status in ("killed", "deleted", "deactivated"):
            raise PublishError(
                f"{glance.cloud}: the image {image} is {found.status}", hint="see the log of glance-api"
            )
        if failed := glance.import_failure(image):
            raise PublishError(
                f"{glance.cloud}: Glance could not import {image}: {failed}", hint="see the log of glance-api"
            )
        limits.require(f"{glance.cloud}: the image {image} is still {found.status}")
        time.sleep(_POLL_S)
