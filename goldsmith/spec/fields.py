# SPDX-License-Identifier: Apache-2.0
"""Map the keys of a spec to the fields of model.py: to build an ImageSpec, and to print its defaults.

An absent key fills nothing, so only model.py has defaults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.spec.model import (
    AllowedSecret,
    Arch,
    BaseImage,
    Canary,
    Compression,
    ContainerSpec,
    DiskFormat,
    DiskSpec,
    Distribution,
    Download,
    Embed,
    Hardware,
    HeatAgentSpec,
    HeatHook,
    ImageSpec,
    Into,
    KubeletSource,
    KubeletSpec,
    Layers,
    PartitionTable,
    PublishCloud,
    PublishSpec,
    Removal,
    Retired,
    VerifySpec,
    Visibility,
)

_UNITS = {"MiB": 1, "GiB": 1024}


@dataclass(frozen=True, slots=True)
class Key:
    """A dotted key and the field that it fills."""

    path: str
    owner: type
    field: str
    convert: Callable[[Any], Any]

    def default(self) -> object:
        """The field's default, or dataclasses.MISSING where the key is required."""
        found = next(field for field in dataclasses.fields(self.owner) if field.name == self.field)
        if found.default_factory is not dataclasses.MISSING:
            return found.default_factory()
        return found.default


def is_size(text: str) -> bool:
    """Whether mib() can read it."""
    return text[-3:] in _UNITS and text[:-3].isascii() and text[:-3].isdigit()


def mib(text: str) -> int:
    """'8GiB' -> 8192."""
    return int(text[:-3]) * _UNITS[text[-3:]]


KEYS = (
    Key("name", ImageSpec, "name", str),
    Key("distribution", ImageSpec, "distribution", Distribution),
    Key("release", ImageSpec, "release", str),
    Key("arch", ImageSpec, "arch", Arch),
    Key("base-image", ImageSpec, "base_image", lambda value: BaseImage(**value)),
    Key("base-image.url", BaseImage, "url", str),
    Key("base-image.sha256", BaseImage, "sha256", str),
    Key("base-image.checksums", BaseImage, "checksums", str),
    Key("base-image.keyring", BaseImage, "keyring", str),
    Key("mirror", ImageSpec, "mirror", str),
    Key("elements", ImageSpec, "elements", tuple),
    Key("packages", ImageSpec, "packages", tuple),
    Key("hardware", ImageSpec, "hardware", Hardware),
    Key("keep", ImageSpec, "keep", lambda value: tuple(Removal(item) for item in value)),
    Key("dib-env", ImageSpec, "dib_env", dict),
    Key("disk.formats", DiskSpec, "formats", lambda value: tuple(DiskFormat(item) for item in value)),
    Key("disk.compression", DiskSpec, "compression", Compression),
    Key("disk.partition-table", DiskSpec, "partition_table", PartitionTable),
    Key("disk.size", DiskSpec, "size_mib", mib),
    Key("kubelet.version", KubeletSpec, "version", str),
    Key("kubelet.source", KubeletSpec, "source", KubeletSource),
    Key("kubelet.url", Download, "url", str),
    Key("kubelet.sha256", Download, "sha256", str),
    Key("heat-agent.hooks", HeatAgentSpec, "hooks", lambda value: tuple(HeatHook(item) for item in value)),
    Key("heat-agent.polling-interval", HeatAgentSpec, "polling_interval_s", int),
    Key("containers[].ref", ContainerSpec, "ref", str),
    Key("containers[].build", ContainerSpec, "build", str),
    Key("containers[].registry", ContainerSpec, "registry", str),
    Key("containers[].into", ContainerSpec, "into", Into),
    Key("bundle.layers", ImageSpec, "layers", Layers),
    Key("embed", ImageSpec, "embed", Embed),
    Key("cloud-init.datasources", ImageSpec, "datasources", tuple),
    Key("unattended-upgrades", ImageSpec, "unattended_upgrades", bool),
    Key("min-ram", ImageSpec, "min_ram_mib", mib),
    Key("verify.boot-deadline", VerifySpec, "boot_deadline_s", int),
    Key("verify.pods-deadline", VerifySpec, "pods_deadline_s", int),
    Key("verify.memory", VerifySpec, "memory_mib", mib),
    Key("verify.cpus", VerifySpec, "cpus", int),
    Key("verify.pods", VerifySpec, "pods", tuple),
    Key("verify.tests", VerifySpec, "tests", tuple),
    Key("verify.allow-secrets[].path", AllowedSecret, "path", str),
    Key("verify.allow-secrets[].reason", AllowedSecret, "reason", str),
    Key("policy", ImageSpec, "policy", str),
    Key("vulnerabilities.fail-on", ImageSpec, "fail_on", str),
    Key("publish.clouds[].name", PublishCloud, "name", str),
    Key("publish.clouds[].format", PublishCloud, "format", DiskFormat),
    Key("publish.clouds[].visibility", PublishCloud, "visibility", Visibility),
    Key("publish.clouds[].stores", PublishCloud, "stores", tuple),
    Key("publish.clouds[].web-download", PublishCloud, "web_download", str),
    Key("publish.clouds[].canary", PublishCloud, "canary", Canary),
    Key("publish.clouds[].flavor", PublishCloud, "flavor", str),
    Key("publish.clouds[].network", PublishCloud, "network", str),
    Key("publish.clouds[].console", PublishCloud, "console", str),
    Key("publish.alias", PublishSpec, "alias", str),
    Key("publish.visibility", PublishSpec, "visibility", Visibility),
    Key("publish.share", PublishSpec, "share", tuple),
    Key("publish.properties", PublishSpec, "properties", dict),
    Key("publish.tags", PublishSpec, "tags", tuple),
    Key("publish.protected", PublishSpec, "protected", bool),
    Key("publish.keep", PublishSpec, "keep", int),
    Key("publish.retired", PublishSpec, "retired", Retired),
    Key("publish.signed-by", PublishSpec, "signed_by", str),
    Key("publish.accept-unsigned", PublishSpec, "accept_unsigned", str),
)


def reference(container: Mapping[str, Any]) -> str:
    """The name of a container image: its ref, or its registry without the digest."""
    ref: str = container.get("ref") or container["registry"].partition("@")[0]
    return ref


def build(data: Mapping[str, Any], find: Callable[[str], Path | str]) -> ImageSpec:
    """The ImageSpec of checked data; find() gives the path of a file or folder that the spec names."""
    disk = DiskSpec(**_fields(data.get("disk", {}), "disk.", DiskSpec))
    verify = _fields(data.get("verify", {}), "verify.", VerifySpec)
    if "tests" in verify:
        verify["tests"] = tuple(str(find(folder)) for folder in verify["tests"])
    allowed = data.get("verify", {}).get("allow-secrets", ())
    verify["allow_secrets"] = tuple(
        AllowedSecret(**_fields(each, "verify.allow-secrets[].", AllowedSecret)) for each in allowed
    )
    top = {
        **_fields(data, "", ImageSpec),
        **_fields(data.get("bundle", {}), "bundle.", ImageSpec),
        **_fields(data.get("cloud-init", {}), "cloud-init.", ImageSpec),
        **_fields(data.get("vulnerabilities", {}), "vulnerabilities.", ImageSpec),
    }
    if "policy" in top:
        top["policy"] = str(find(top["policy"]))
    base, publish = top.get("base_image"), _publish(data.get("publish", {}))
    if base is not None and base.keyring is not None:
        top["base_image"] = dataclasses.replace(base, keyring=str(find(base.keyring)))
    if publish.signed_by is not None:
        publish = dataclasses.replace(publish, signed_by=str(find(publish.signed_by)))
    return ImageSpec(
        **top,
        disk=disk,
        verify=VerifySpec(**verify),
        kubelet=_kubelet(data.get("kubelet")),
        heat_agent=_heat_agent(data.get("heat-agent")),
        publish=publish,
        containers=tuple(_container(container, find) for container in data["containers"]),
    )


def _fields(data: Mapping[str, Any], prefix: str, owner: type) -> dict[str, Any]:
    return {
        key.field: key.convert(data[name])
        for key in KEYS
        if key.owner is owner
        and key.path.startswith(prefix)
        and (name := key.path.removeprefix(prefix)) in data
    }


def _kubelet(data: Mapping[str, Any] | None) -> KubeletSpec | None:
    if data is None:
        return None
    download = Download(url=data["url"], sha256=data["sha256"]) if "url" in data else None
    return KubeletSpec(**_fields(data, "kubelet.", KubeletSpec), download=download)


def _heat_agent(data: Mapping[str, Any] | None) -> HeatAgentSpec | None:
    return None if data is None else HeatAgentSpec(**_fields(data, "heat-agent.", HeatAgentSpec))


def _publish(data: Mapping[str, Any]) -> PublishSpec:
    clouds = tuple(
        PublishCloud(**_fields(each, "publish.clouds[].", PublishCloud)) for each in data.get("clouds", ())
    )
    return PublishSpec(**_fields(data, "publish.", PublishSpec), clouds=clouds)


def _container(data: Mapping[str, Any], find: Callable[[str], Path | str]) -> ContainerSpec:
    fields = _fields(data, "containers[].", ContainerSpec)
    if "build" in fields:
        fields["build"] = str(find(fields["build"]))
    return ContainerSpec(**{**fields, "ref": reference(data)})
