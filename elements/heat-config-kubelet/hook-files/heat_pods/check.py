# SPDX-License-Identifier: Apache-2.0
"""Check that pods can run on this image before any of their files are written."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from heat_pods.request import Pod

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_MAX_NAME = 253 - 65  # a static pod's name becomes NAME-NODE; a node's name is at most 63 long
# Objects of an API server: the kubelet refuses static pods that refer to them (HasAPIObjectReference).
_SPEC_NEEDS_API = ("serviceAccountName", "serviceAccount", "imagePullSecrets", "resourceClaims")
_NEEDS_API = ("configMap", "secret", "persistentVolumeClaim", "ephemeral", "projected")
_FROM_API = ("configMapKeyRef", "secretKeyRef", "configMapRef", "secretRef")
_SECRETS_OF_VOLUMES = ("secretRef", "secretName", "nodePublishSecretRef")


def problems(pods: Iterable[Pod], *, schema: Path) -> Iterator[str]:
    """A line for each reason why a pod cannot run, whatever the image contains."""
    pods = list(pods)
    validator = _validator(schema)
    seen: set[str] = set()
    for index, pod in enumerate(pods):
        name = name_of(pod)
        where = f"pod {name[1]}" if name[1] else f"pod number {index + 1}"
        wrong = [*_form(pod), *(_schema_errors(validator, pod) if validator else ())]
        if not wrong:
            wrong = [*_needs_api(pod), *_inconsistent(pod)]
        if name[1] in seen:
            wrong.append("its name stands twice")
        seen.add(name[1] or where)
        yield from (f"{where}: {line}" for line in wrong)


def name_of(pod: Mapping[str, Any]) -> tuple[str, str]:
    """Namespace and name; the name is empty if there is none."""
    metadata = pod.get("metadata")
    if not isinstance(metadata, dict):
        return "default", ""
    name = metadata.get("name")
    return str(metadata.get("namespace") or "default"), name if isinstance(name, str) else ""


def missing_images(pods: Iterable[Pod], stored: Collection[str]) -> Iterator[str]:
    """A line for each container whose image is not embedded or would be pulled from a registry."""
    for pod in pods:
        for container in containers(pod):
            image, where = container["image"], f"pod {name_of(pod)[1]}: container {container['name']}"
            name = full_name(image)
            if name not in stored and image not in stored:
                yield f"{where}: the image {image} is not embedded"
            elif (container.get("imagePullPolicy") or _default_policy(name)) == "Always":
                yield f"{where}: {image} is embedded; write imagePullPolicy: IfNotPresent"


def containers(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The pod's containers, including init containers."""
    spec = pod["spec"]
    return [*(spec.get("initContainers") or []), *spec["containers"]]


def full_name(image: str) -> str:
    """An image's full name, with the registry and the tag that Docker's short names omit.

    https://pkg.go.dev/github.com/distribution/reference#ParseNormalizedNamed
    """
    host, _, path = image.partition("/")
    if not path or not ("." in host or ":" in host or host == "localhost"):
        host, path = "docker.io", image
    if host in {"docker.io", "index.docker.io"}:
        host, path = "docker.io", path if "/" in path else f"library/{path}"
    image = f"{host}/{path}"
    has_tag = "@" in image or ":" in image.rpartition("/")[2]
    return image if has_tag else f"{image}:latest"


def _default_policy(name: str) -> str:
    return "Always" if name.endswith(":latest") else "IfNotPresent"


def _form(pod: Pod) -> Iterator[str]:
    """Checks on which the rest of this program relies, also without a schema in the image."""
    if pod.get("kind") != "Pod" or pod.get("apiVersion") != "v1":
        yield f"must be of kind Pod and apiVersion v1, got {pod.get('kind')!r}, {pod.get('apiVersion')!r}"
    name = name_of(pod)[1]
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        yield f"metadata.name must be lower case letters, digits, '-' and '.', got {name!r}"
    metadata = pod.get("metadata")
    if isinstance(metadata, dict) and not isinstance(metadata.get("annotations") or {}, dict):
        yield "metadata.annotations must be a mapping"
    spec = pod.get("spec")
    if not isinstance(spec, dict) or not isinstance(spec.get("containers"), list) or not spec["containers"]:
        yield "spec.containers must be a list with a container in it"
        return
    yield from _not_mappings(spec, "volumes", "spec.")
    for key in ("initContainers", "containers"):
        yield from _not_mappings(spec, key, "spec.")
        for index, container in _mappings(spec, key):
            yield from _container_form(container, f"spec.{key}[{index}].")


def _container_form(container: Mapping[str, Any], where: str) -> Iterator[str]:
    for field in ("name", "image"):
        value = container.get(field)
        if not isinstance(value, str) or not value:
            yield f"{where}{field} must be text"
    for field in ("env", "envFrom", "ports", "volumeMounts"):
        yield from _not_mappings(container, field, where)
    for index, variable in _mappings(container, "env"):
        if not isinstance(variable.get("valueFrom") or {}, dict):
            yield f"{where}env[{index}].valueFrom must be a mapping"
    for index, port in _mappings(container, "ports"):
        for field in ("hostPort", "containerPort"):
            if not isinstance(port.get(field) or 0, int):
                yield f"{where}ports[{index}].{field} must be a number"


def _not_mappings(parent: Mapping[str, Any], key: str, where: str) -> Iterator[str]:
    value = parent.get(key)
    if value is not None and (not isinstance(value, list) or len(_mappings(parent, key)) < len(value)):
        yield f"{where}{key} must be a list of mappings, got {str(value)[:60]!r}"


def _mappings(parent: Mapping[str, Any], key: str) -> list[tuple[int, dict[str, Any]]]:
    value = parent.get(key)
    each = enumerate(value if isinstance(value, list) else [])
    return [(index, item) for index, item in each if isinstance(item, dict)]


def _needs_api(pod: Pod) -> Iterator[str]:
    for key in _SPEC_NEEDS_API:
        if pod["spec"].get(key):
            yield f"spec.{key} needs an API server, and there is none"
    for volume in pod["spec"].get("volumes") or []:
        sources = [s for kind, s in volume.items() if isinstance(s, dict) and kind not in _NEEDS_API]
        secrets = [key for key in _SECRETS_OF_VOLUMES if any(key in source for source in sources)]
        for kind in (*(kind for kind in _NEEDS_API if kind in volume), *secrets):
            yield f"volume {volume.get('name')}: {kind} needs an API server, and there is none"
    for container in containers(pod):
        sources = [
            *(container.get("envFrom") or []),
            *(e.get("valueFrom") or {} for e in container.get("env") or []),
        ]
        for source in sources:
            for kind in _FROM_API:
                if kind in source:
                    yield f"container {container['name']}: {kind} needs an API server, and there is none"


def _inconsistent(pod: Pod) -> Iterator[str]:
    """Problems that no schema finds and the kubelet refuses: duplicate names, missing volumes."""
    volumes = [volume.get("name") for volume in pod["spec"].get("volumes") or []]
    names = [container["name"] for container in containers(pod)]
    for what, listed in (("container", names), ("volume", volumes)):
        for name in sorted({str(each) for each in listed if listed.count(each) > 1}):
            yield f"two {what}s are called {name}"
    for container in containers(pod):
        for mount in container.get("volumeMounts") or []:
            if mount.get("name") not in volumes:
                yield f"container {container['name']}: there is no volume {mount.get('name')}"


def _validator(schema: Path) -> Any:  # noqa: ANN401 - jsonschema's class, imported only where it is used
    try:
        text = schema.read_text()
    except FileNotFoundError:
        return None
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(text))


def _schema_errors(validator: Any, pod: Pod) -> Iterator[str]:  # noqa: ANN401
    for error in sorted(validator.iter_errors(pod), key=lambda e: [str(part) for part in e.absolute_path]):
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        yield f"{path.lstrip('.') or 'pod'}: {error.message[:200]}"
