# SPDX-License-Identifier: Apache-2.0
"""Glance's API v2 as a publisher uses it (https://docs.openstack.org/api-ref/image/v2/).

Every method raises PublishError. Requests that are safe to repeat are repeated for some seconds while a
cloud does not answer.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from goldsmith.core import openstack
from goldsmith.core.openstack import translated
from goldsmith.errors import PublishError
from goldsmith.publish import release
from goldsmith.publish.nova import Nova
from goldsmith.publish.release import GlanceImage

_CHUNK = 1 << 20
_SILENCE_S = 60  # a cloud that does not answer for so long is lost
_BUSY = (502, 503, 504)
_RETRIES = 4  # with pauses of half a second, one, two and four
_PATCH = "application/openstack-images-v2.1-json-patch"
# Attributes of an image; all other keys are properties.
_ATTRIBUTES = {"name", "os_hidden", "visibility", "protected", "tags", "min_disk", "min_ram"}
_IMAGES = "OS::Glance::Image"  # as metadata definitions call them


class Glance:
    """The images of one project in one cloud, as the user of clouds.yaml sees them."""

    def __init__(self, cloud: str, *, clouds_yaml: Path | None = None) -> None:
        self.cloud = cloud
        self._sdk = openstack.connect(cloud, clouds_yaml=clouds_yaml, error=PublishError)
        self.nova = Nova(self._sdk, cloud)  # of the same project
        self.project = str(self._sdk.current_project_id)
        self.user, self.project_name = openstack.names_of(self._sdk)

    def get(self, image: str, *, retries: int = _RETRIES) -> GlanceImage | None:
        """One image; None where there is none."""
        with translated(f"{self.cloud}: Glance does not show the image {image}", PublishError):
            answer = self._request("get", f"/images/{image}", connect_retries=retries)
            if answer.status_code == 404:
                return None
            openstack.raise_for(answer)
            return release.from_api(answer.json())

    def create(self, image: GlanceImage) -> bool:
        """Create an image without content; False where its ID is taken, or was once."""
        body = {
            "id": image.id, "name": image.name, "visibility": image.visibility, "os_hidden": image.hidden,
            "protected": image.protected, "tags": sorted(image.tags), "disk_format": image.disk_format,
            "container_format": "bare", "min_disk": image.min_disk, "min_ram": image.min_ram,
            **image.properties,
        }  # fmt: skip
        with translated(f"{self.cloud}: Glance does not create {image.name}", PublishError):
            answer = self._request("post", "/images", json=body)
            if answer.status_code == 409:
                return False
            openstack.raise_for(answer)
        return True

    def upload(
        self, image: str, data: Iterable[bytes] | bytes, *, to: str = "file", answer_s: float = _SILENCE_S
    ) -> None:
        """Send an image's content, once; to: "file", or "stage" where it is imported from there.

        data is iterable and has a length. Glance may take answer_s to store it. Nothing is repeated.
        """
        with translated(f"{self.cloud}: the upload of {image} failed", PublishError):
            answer = self._sdk.image.put(
                f"/images/{image}/{to}", data=data, timeout=(_SILENCE_S, max(_SILENCE_S, answer_s)),
                connect_retries=0,
                headers={"Content-Type": "application/octet-stream"},
            )  # fmt: skip
            openstack.raise_for(answer)

    def import_(self, image: str, method: Mapping[str, str], stores: Sequence[str]) -> None:
        """Start an import of staged data, or of data that Glance downloads; does not wait for it."""
        body: dict[str, Any] = {"method": dict(method)}
        if stores:
            body |= {"stores": list(stores), "all_stores_must_succeed": True}
        with translated(f"{self.cloud}: Glance does not import {image}", PublishError):
            openstack.raise_for(self._request("post", f"/images/{image}/import", json=body))

    def import_failure(self, image: str) -> str:
        """Why an import of this image failed, by Glance's task; empty where none did."""
        with translated(f"{self.cloud}: Glance does not show the imports of {image}", PublishError):
            answer = self._request("get", f"/images/{image}/tasks")
            tasks = answer.json().get("tasks", ()) if answer.status_code < 400 else ()
        return next((t.get("message") or "no reason" for t in tasks if t["status"] == "failure"), "")

    def change(self, image: str, changes: Mapping[str, tuple[object, object]]) -> None:
        """Change attributes and properties of one image in one call, so that nobody sees half of it."""
        patch = [_operation(key, after) for key, (_, after) in changes.items()]
        with translated(f"{self.cloud}: Glance does not change {image}", PublishError):
            answer = self._request(
                "patch", f"/images/{image}", data=json.dumps(patch), headers={"Content-Type": _PATCH}
            )
            openstack.raise_for(answer)

    def share(self, image: str, project: str) -> None:
        """Share an image with a project, which has to accept it."""
        with translated(f"{self.cloud}: Glance does not share {image} with {project}", PublishError):
            answer = self._request("post", f"/images/{image}/members", json={"member": project})
            if answer.status_code != 409:  # it is shared already
                openstack.raise_for(answer)

    def unshare(self, image: str, project: str) -> None:
        """Stop sharing an image with a project."""
        with translated(f"{self.cloud}: Glance does not stop sharing {image} with {project}", PublishError):
            answer = self._request("delete", f"/images/{image}/members/{project}")
            if answer.status_code != 404:
                openstack.raise_for(answer)

    def activate(self, image: str, *, off: bool = False) -> None:
        """Reactivate or deactivate an image."""
        action = "deactivate" if off else "reactivate"
        with translated(f"{self.cloud}: Glance does not {action} {image}", PublishError):
            openstack.raise_for(self._request("post", f"/images/{image}/actions/{action}"))

    def delete(self, image: str) -> None:
        """Delete an image, also one that is gone already."""
        with translated(f"{self.cloud}: Glance does not delete {image}", PublishError):
            answer = self._request("delete", f"/images/{image}")
            if answer.status_code != 404:
                openstack.raise_for(answer)

    def content(self, image: str) -> Iterator[bytes]:
        """An image's content, piece by piece."""
        with translated(f"{self.cloud}: cannot download {image}", PublishError):
            answer = self._sdk.image.get(f"/images/{image}/file", stream=True, timeout=_SILENCE_S)
            with contextlib.closing(answer):
                openstack.raise_for(answer)
                yield from answer.iter_content(_CHUNK)

    def quota_left(self) -> int | None:
        """Bytes that our quota leaves for images; None where there is none, or Glance does not report it."""
        with translated(f"{self.cloud}: Glance does not report our quota", PublishError):
            answer = self._request("get", "/info/usage")
            if answer.status_code >= 400:  # older than Glance 2021.1, or not for us
                return None
            usage = answer.json().get("usage", {}).get("image_size_total")
        if not usage or usage["limit"] < 0:
            return None
        return int(usage["limit"] - usage["usage"]) << 20

    def images(self, query: Mapping[str, str]) -> list[GlanceImage]:
        """All images that Glance lists for a query; administrators see those of all projects."""
        found, url, params = [], "/images", {**query, "limit": "200"}
        with translated(f"{self.cloud}: Glance does not list images", PublishError):
            while url:
                answer = self._request("get", url, params=params)
                openstack.raise_for(answer)
                data = answer.json()
                found += [release.from_api(each) for each in data["images"]]
                url, params = data.get("next", "").removeprefix("/v2"), {}
        return found

    def members(self, image: str) -> frozenset[str]:
        """IDs of the projects that an image is shared with."""
        with translated(f"{self.cloud}: Glance does not show who shares {image}", PublishError):
            answer = self._request("get", f"/images/{image}/members")
            openstack.raise_for(answer)
            return frozenset(member["member_id"] for member in answer.json()["members"])

    def has_accepted(self, image: str) -> bool:
        """Our project has accepted an image that another one shares with it."""
        with translated(f"{self.cloud}: Glance does not show who shares {image}", PublishError):
            answer = self._request("get", f"/images/{image}/members/{self.project}")
            return bool(answer.status_code == 200 and answer.json().get("status") == "accepted")

    def now(self) -> datetime.datetime:
        """The time by Glance's clock."""
        with translated(f"{self.cloud}: Glance does not answer", PublishError):
            date = self._request("get", "/images?limit=1").headers.get("Date")
        return email.utils.parsedate_to_datetime(date) if date else datetime.datetime.now(datetime.UTC)

    def property_definitions(self) -> dict[str, dict[str, Any]]:
        """Property of an image -> its JSON schema, by the metadata definitions; {} where there are none."""
        found: dict[str, dict[str, Any]] = {}
        of_images = {"resource_type": _IMAGES}
        with translated(f"{self.cloud}: cannot read Glance's metadata definitions", PublishError):
            answer = self._request(
                "get", "/metadefs/namespaces", params={"resource_types": _IMAGES, "limit": 1000}
            )
            for each in answer.json()["namespaces"] if answer.status_code < 400 else ():
                shown = self._request("get", f"/metadefs/namespaces/{each['namespace']}", params=of_images)
                found |= shown.json().get("properties", {}) if shown.status_code < 400 else {}
        return found

    def _request(self, method: str, url: str, **options: Any) -> Any:  # noqa: ANN401 - as the SDK's
        """A request that may be repeated; the answer, whatever its status. Raises what the SDK does."""
        patience = {
            "timeout": _SILENCE_S, "connect_retries": _RETRIES, "status_code_retries": _RETRIES,
            "retriable_status_codes": _BUSY,
        }  # fmt: skip
        return getattr(self._sdk.image, method)(url, **{**patience, **options})


def _operation(key: str, after: object) -> dict[str, object]:
    """One operation of a JSON patch as Glance takes it: `add` also replaces an existing property."""
    path = "/" + key.replace("~", "~0").replace("/", "~1")
    if after is None:
        return {"op": "remove", "path": path}
    return {"op": "replace" if key in _ATTRIBUTES else "add", "path": path, "value": after}
