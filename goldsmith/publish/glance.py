# SPDX-License-Identifier: Apache-2.0
"""Glance's API v2 as a publisher uses it (https://docs.openstack.org/api-ref/image/v2/).

Every method raises PublishError. What is safe to ask twice is asked again for some seconds where a cloud does
not answer.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from goldsmith.core import openstack
from goldsmith.core.openstack import translated
from goldsmith.errors import PublishError
from goldsmith.publish import release
from goldsmith.publish.model import Found, Limits
from goldsmith.publish.release import GlanceImage, Line, Wanted

CHUNK = 1 << 20
_SILENCE_S = 60  # a cloud that says nothing for so long has been lost
_BUSY = (502, 503, 504)
_RETRIES = 4  # with pauses of half a second, one, two and four
_PATCH = "application/openstack-images-v2.1-json-patch"
_BASE = {
    "name",
    "os_hidden",
    "visibility",
    "protected",
    "tags",
    "min_disk",
    "min_ram",
}  # the others: properties


class Glance:
    """The images of one project in one cloud, as the user of clouds.yaml sees them."""

    def __init__(self, cloud: str, *, clouds_yaml: Path | None = None) -> None:
        self.cloud = cloud
        self.sdk = openstack.connect(cloud, clouds_yaml=clouds_yaml, error=PublishError)
        self.project = str(self.sdk.current_project_id)

    def ask(self, method: str, url: str, **options: Any) -> Any:  # noqa: ANN401 - as the SDK's
        """A request that may be made twice; the answer, whatever its status. Raises what the SDK does."""
        patience = {
            "timeout": _SILENCE_S, "connect_retries": _RETRIES, "status_code_retries": _RETRIES,
            "retriable_status_codes": _BUSY,
        }  # fmt: skip
        return getattr(self.sdk.image, method)(url, **{**patience, **options})

    def look(self, line: Line, *, dead: frozenset[str] = frozenset()) -> Found:
        """What there is of a line of releases; dead: see Found."""
        mine, now = self._mine()
        images = tuple(
            i for i in mine if i.is_ours and line.alias in (i.name, i.properties.get(release.ALIAS))
        )
        known = {image.id for image in images}
        named = [*self.named(line.alias, tag=""), *(image for image in mine if image.name == line.alias)]
        records: dict[str, list[str]] = {}
        kept = [image for image in mine if _is_record(image, line)]
        half = [image for image in kept if image.status != "active"]
        for image in kept:
            if image.status == "active":
                records.setdefault(image.build_id, []).append(image.id)
        return Found(
            project=self.project, now=now, images=images, dead=dead,
            records={build: tuple(ids) for build, ids in records.items()},
            half_records=tuple(half),
            strangers=tuple({image.id: image for image in named if image.id not in known}.values()),
            members={image.id: self._members(image) for image in images if image.visibility == "shared"},
            in_use=self._in_use(images),
        )  # fmt: skip

    def named(self, name: str, *, tag: str = release.TAG, visibility: str = "") -> list[GlanceImage]:
        """What everybody who looks a name up sees, in one answer of Glance's.

        Community images of other projects are in it only if visibility is "community".
        """
        query = {"name": name, "tag": tag, "visibility": visibility}
        return self._seen({key: value for key, value in query.items() if value})

    def get(self, image: str, *, retries: int = _RETRIES) -> GlanceImage | None:
        """One image; None where there is none."""
        with translated(f"{self.cloud}: Glance does not show the image {image}", PublishError):
            answer = self.ask("get", f"/images/{image}", connect_retries=retries)
            if answer.status_code == 404:
                return None
            openstack.raise_for(answer)
            return release.from_api(answer.json())

    def create(self, wished: GlanceImage) -> bool:
        """Create an image without content; False where its ID is taken, or was once."""
        body = {
            "id": wished.id, "name": wished.name, "visibility": wished.visibility, "os_hidden": wished.hidden,
            "protected": wished.protected, "tags": sorted(wished.tags), "disk_format": wished.disk_format,
            "container_format": "bare", "min_disk": wished.min_disk, "min_ram": wished.min_ram,
            **wished.properties,
        }  # fmt: skip
        with translated(f"{self.cloud}: Glance does not create {wished.name}", PublishError):
            answer = self.ask("post", "/images", json=body)
            if answer.status_code == 409:
                return False
            openstack.raise_for(answer)
        return True

    def upload(
        self, image: str, data: Iterable[bytes] | bytes, *, to: str = "file", answer_s: float = _SILENCE_S
    ) -> None:
        """Send an image's content, once; to: "file", or "stage" where it is imported from there.

        data is iterable and has a length. Glance may take answer_s to store what it was sent. Nothing is
        tried twice.
        """
        with translated(f"{self.cloud}: the upload of {image} failed", PublishError):
            answer = self.sdk.image.put(
                f"/images/{image}/{to}", data=data, timeout=(_SILENCE_S, max(_SILENCE_S, answer_s)),
                connect_retries=0,
                headers={"Content-Type": "application/octet-stream"},
            )  # fmt: skip
            openstack.raise_for(answer)

    def import_(self, image: str, method: Mapping[str, str], stores: Sequence[str]) -> None:
        """Have Glance import what was staged, or what it fetches itself; returns at once."""
        body: dict[str, Any] = {"method": dict(method)}
        if stores:
            body |= {"stores": list(stores), "all_stores_must_succeed": True}
        with translated(f"{self.cloud}: Glance does not import {image}", PublishError):
            openstack.raise_for(self.ask("post", f"/images/{image}/import", json=body))

    def failed_import(self, image: str) -> str:
        """Why an import of this image failed, by Glance's own task; empty where none did."""
        with translated(f"{self.cloud}: Glance does not show the imports of {image}", PublishError):
            answer = self.ask("get", f"/images/{image}/tasks")
            tasks = answer.json().get("tasks", ()) if answer.status_code < 400 else ()
        return next((t.get("message") or "no reason" for t in tasks if t["status"] == "failure"), "")

    def change(self, image: str, changes: Mapping[str, tuple[object, object]]) -> None:
        """Change attributes and properties of one image in one call, so that nobody sees half of it."""
        patch = [_operation(key, after) for key, (_, after) in changes.items()]
        with translated(f"{self.cloud}: Glance does not change {image}", PublishError):
            answer = self.ask(
                "patch", f"/images/{image}", data=json.dumps(patch), headers={"Content-Type": _PATCH}
            )
            openstack.raise_for(answer)

    def keep_record(self, wanted: Wanted, data: bytes, image: str, run: str) -> None:
        """Store the record of a build as a hidden image of its own, under this new ID; run: release.RUN."""
        record = GlanceImage(
            id=image, name=f"{wanted.line.release_name(wanted.build_id)}.record", status="queued",
            owner=self.project, visibility="private", hidden=True, protected=False, size=None, created="",
            tags=frozenset({release.RECORD_TAG}), disk_format="raw", hash_algo=None, hash_value=None,
            properties={
                release.BUILD_ID: wanted.build_id, release.SHA256: wanted.sha256,
                release.ALIAS: wanted.line.alias, release.RUN: run,
            },
            min_disk=0, min_ram=0,
        )  # fmt: skip
        self.create(record)
        self.upload(image, data)

    def offer(self, image: str, project: str) -> None:
        """Share an image with a project, which has to accept it."""
        with translated(f"{self.cloud}: Glance does not share {image} with {project}", PublishError):
            answer = self.ask("post", f"/images/{image}/members", json={"member": project})
            if answer.status_code != 409:  # it is offered already
                openstack.raise_for(answer)

    def withdraw(self, image: str, project: str) -> None:
        """Share an image no longer with a project."""
        with translated(f"{self.cloud}: Glance does not withdraw {image} from {project}", PublishError):
            answer = self.ask("delete", f"/images/{image}/members/{project}")
            if answer.status_code != 404:
                openstack.raise_for(answer)

    def activate(self, image: str, *, off: bool = False) -> None:
        """Reactivate or deactivate an image."""
        action = "deactivate" if off else "reactivate"
        with translated(f"{self.cloud}: Glance does not {action} {image}", PublishError):
            openstack.raise_for(self.ask("post", f"/images/{image}/actions/{action}"))

    def delete(self, image: str) -> None:
        """Also one that is gone already."""
        with translated(f"{self.cloud}: Glance does not delete {image}", PublishError):
            answer = self.ask("delete", f"/images/{image}")
            if answer.status_code != 404:
                openstack.raise_for(answer)

    def content(self, image: str) -> Iterator[bytes]:
        """An image's content, piece by piece."""
        with translated(f"{self.cloud}: cannot download {image}", PublishError):
            answer = self.sdk.image.get(f"/images/{image}/file", stream=True, timeout=_SILENCE_S)
            with contextlib.closing(answer):
                openstack.raise_for(answer)
                yield from answer.iter_content(CHUNK)

    def room(self) -> int | None:
        """Bytes that our quota leaves for images; None where there is none, or it is not told."""
        with translated(f"{self.cloud}: Glance does not tell our quota", PublishError):
            answer = self.ask("get", "/info/usage")
            if answer.status_code >= 400:  # older than Glance 2021.1, or not for us
                return None
            usage = answer.json().get("usage", {}).get("image_size_total")
        if not usage or usage["limit"] < 0:
            return None
        return int(usage["limit"] - usage["usage"]) << 20

    def server_using(self, image: str) -> bool | None:
        """Whether any server of the cloud was made from an image; None where we may not see all of them."""
        query = {"image": image, "all_tenants": "1", "limit": "1"}
        with contextlib.suppress(PublishError), translated(f"{self.cloud}: no servers to see", PublishError):
            answer = self.sdk.compute.get("/servers", params=query, timeout=_SILENCE_S)
            openstack.raise_for(answer)
            return bool(answer.json()["servers"])
        return None

    def _in_use(self, images: Sequence[GlanceImage]) -> frozenset[str] | None:
        found = {image.id: self.server_using(image.id) for image in images if image.is_released}
        if None in found.values():
            return None
        return frozenset(image for image, used in found.items() if used)

    def _members(self, image: GlanceImage) -> frozenset[str]:
        with translated(f"{self.cloud}: Glance does not show who shares {image.id}", PublishError):
            answer = self.ask("get", f"/images/{image.id}/members")
            openstack.raise_for(answer)
            return frozenset(member["member_id"] for member in answer.json()["members"])

    def _mine(self) -> tuple[list[GlanceImage], datetime.datetime]:
        """The project's images, hidden ones too, and what time it is for Glance."""
        found, now = [], datetime.datetime.now(datetime.UTC)
        for hidden in ("false", "true"):
            found += self._list({"owner": self.project, "os_hidden": hidden})
        with translated(f"{self.cloud}: Glance does not answer", PublishError):
            date = self.ask("get", "/images?limit=1").headers.get("Date")
        return found, email.utils.parsedate_to_datetime(date) if date else now

    def _seen(self, query: Mapping[str, str]) -> list[GlanceImage]:
        """A list as users have it: an administrator's has private and shared images of all projects."""
        return [image for image in self._list(query) if self._is_for_us(image)]

    def _is_for_us(self, image: GlanceImage) -> bool:
        if image.owner == self.project or image.visibility not in ("private", "shared"):
            return True
        with translated(f"{self.cloud}: Glance does not show who shares {image.id}", PublishError):
            answer = self.ask("get", f"/images/{image.id}/members/{self.project}")
            return bool(answer.status_code == 200 and answer.json().get("status") == "accepted")

    def _list(self, query: Mapping[str, str]) -> list[GlanceImage]:
        found, url, params = [], "/images", {**query, "limit": "200"}
        with translated(f"{self.cloud}: Glance does not list images", PublishError):
            while url:
                answer = self.ask("get", url, params=params)
                openstack.raise_for(answer)
                data = answer.json()
                found += [release.from_api(each) for each in data["images"]]
                url, params = data.get("next", "").removeprefix("/v2"), {}
        return found


def _operation(key: str, after: object) -> dict[str, object]:
    """One step of a JSON patch as Glance takes it: `add` sets a property also where there is one."""
    path = "/" + key.replace("~", "~0").replace("/", "~1")
    if after is None:
        return {"op": "remove", "path": path}
    return {"op": "replace" if key in _BASE else "add", "path": path, "value": after}


def _is_record(image: GlanceImage, line: Line) -> bool:
    return release.RECORD_TAG in image.tags and image.properties.get(release.ALIAS) == line.alias


def wait_active(glance: Glance, image: str, limits: Limits) -> GlanceImage:
    """The image when it is active. Raises PublishError when it cannot become so any more."""
    while True:
        found = glance.get(image)
        if found is None:
            raise PublishError(f"{glance.cloud}: the image {image} is gone while it is brought in")
        if found.status == "active":
            return found
        if found.status in ("killed", "deleted", "deactivated"):
            raise PublishError(f"{glance.cloud}: the image {image} is {found.status}")
        if failed := glance.failed_import(image):
            raise PublishError(f"{glance.cloud}: Glance could not import {image}: {failed}")
        limits.require(f"{glance.cloud}: the image {image} is still {found.status}")
        time.sleep(0.5)
