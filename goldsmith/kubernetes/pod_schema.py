# SPDX-License-Identifier: Apache-2.0
"""The JSON schema of a pod, made from the Go module of the compiled kubelet.

Kubernetes describes its API in api/openapi-spec/swagger.json (OpenAPI 2.0). The schema takes the parts of a
pod from it and forbids unknown keys, which the kubelet itself would silently ignore. It also forbids null,
which Kubernetes treats like a missing key: remove such keys before validation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith.core import cache, progress
from goldsmith.errors import BuildError
from goldsmith.kubernetes import go_toolchain

FILE = "pod-schema.json"
_POD = "io.k8s.api.core.v1.Pod"
_KIND = "pod-schema"  # of the cache
_REF = "#/definitions/"
_VERSION = 1  # raise it when the same input gives another schema


def obtain_schema(module: str, version: str, go_sum: str) -> Path:
    """The schema's file for MODULE v VERSION, whose sum must be the one in go_sum. Raises BuildError."""
    line = _sum_line(module, version, go_sum)
    if line is None:
        raise BuildError(
            f"kubernetes/go.sum has no sum of {module} v{version}",
            hint="run: scripts/inv kubelet-bump VERSION",
        )
    expected = line.split()[2]

    def fill(folder: Path) -> None:
        with progress.step(f"schema of a pod of v{version}"):
            got = go_toolchain.download(go_toolchain.any_go(), f"{module}@v{version}")
            if got["Sum"] != expected:
                raise BuildError(
                    f"{module} v{version} has the sum {got['Sum']}, expected {expected}",
                    hint="compare kubernetes/go.sum with the repository's history",
                )
            swagger = json.loads(Path(got["Dir"], "api/openapi-spec/swagger.json").read_text())
            (folder / FILE).write_text(json.dumps(pod_schema(swagger), sort_keys=True))

    return cache.cached(_KIND, _key(line), fill) / FILE


def cached_schema(module: str, version: str, go_sum: str) -> Path | None:
    """The schema's file if it is in the cache."""
    line = _sum_line(module, version, go_sum)
    entry = None if line is None else cache.find(_KIND, _key(line))
    return None if entry is None else entry / FILE


def _sum_line(module: str, version: str, go_sum: str) -> str | None:
    return next((x for x in go_sum.splitlines() if x.startswith(f"{module} v{version} h1:")), None)


def _key(line: str) -> str:
    return hashlib.sha256(f"{_VERSION} {line}".encode()).hexdigest()[:32]


def pod_schema(swagger: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a pod from the OpenAPI description of all of Kubernetes."""
    definitions = swagger["definitions"]
    needed: dict[str, Any] = {}
    waiting = [_POD]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = _closed(definitions[name])
            waiting += [child.removeprefix(_REF) for child in _references(definitions[name])]
    needed[_POD]["required"] = ["apiVersion", "kind", "metadata", "spec"]
    text = json.dumps({"$ref": _REF + _POD, "definitions": needed}).replace(_REF, "#/$defs/")
    schema = json.loads(text)
    return {"$ref": schema["$ref"], "$defs": schema["definitions"]}


def _closed(definition: Mapping[str, Any]) -> dict[str, Any]:
    """A definition without its descriptions; if it lists properties, it allows no others."""
    plain: dict[str, Any] = _plain(definition)
    if plain.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    if plain.get("type") == "string" and not plain.get("format"):
        return {"type": ["string", "number"]}  # a quantity: 1 as well as "1Gi"
    if "properties" in plain:
        plain["additionalProperties"] = False
    return plain


def _plain(value: Any) -> Any:  # noqa: ANN401 - any part of the description
    if isinstance(value, dict):
        return {
            name: _plain(child)
            for name, child in value.items()
            if not (name == "description" and isinstance(child, str)) and not name.startswith("x-")
        }
    return [_plain(child) for child in value] if isinstance(value, list) else value


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for child in value.values() for ref in _references(child)]
    return [ref for child in value for ref in _references(child)] if isinstance(value, list) else []
