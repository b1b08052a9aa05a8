# SPDX-License-Identifier: Apache-2.0
"""Images of one cloud user in Glance: upload, find by name, delete."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goldsmith.core import progress, wait
from goldsmith.core.openstack import translated


class Images:
    """Glance's client; every method raises CloudError."""

    def __init__(self, sdk: Any) -> None:  # noqa: ANN401 - the SDK has no types
        self._sdk = sdk

    def upload(self, path: Path, name: str) -> str:
        """Upload a qcow2 file as a private image; returns the image's ID."""
        with progress.step(f"upload {path.name}"), translated(f"cannot upload {path}"), _shown(path):
            image = self._sdk.create_image(
                name, filename=str(path), disk_format="qcow2", container_format="bare",
                visibility="private", wait=True, timeout=600, validate_checksum=False,
            )  # fmt: skip
        return str(image.id)

    def delete(self, image: str) -> None:
        """Delete an image; one that does not exist is no error."""
        with translated(f"cannot delete the image {image}"):
            self._sdk.image.delete_image(image, ignore_missing=True)

    def named(self, word: str) -> dict[str, str]:
        """ID -> name of the user's images whose name contains word, in any state."""
        with translated("Glance does not list the images"):
            found = self._sdk.image.images(owner=self._sdk.current_project_id, visibility="private")
            return {str(each.id): str(each.name) for each in found if word in str(each.name)}


@contextlib.contextmanager
def _shown(path: Path) -> Iterator[None]:
    """Show how much of a file is read while the block lasts: the SDK does not tell what it has sent."""
    with (
        progress.meter(total=path.stat().st_size) as sent,
        wait.meanwhile(lambda: sent.at(_position(path))),
    ):
        yield


def _position(path: Path) -> int:
    """How far this process has read a file that it has open; 0 where it has not."""
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # it was closed
            if each.readlink() == path.resolve():
                about = Path("/proc/self/fdinfo", each.name).read_text()
                return int(re.findall(r"^pos:\s*(\d+)$", about, re.MULTILINE)[0])
    return 0
