# SPDX-License-Identifier: Apache-2.0
"""Check a spec's pods before a build, as the Heat hook in the image would check them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldsmith.core import paths
from goldsmith.spec import load, schema
from goldsmith.spec.document import YamlDocument
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.problem import Problem

if TYPE_CHECKING:
    from types import ModuleType

RULES = "the rules of the hook kubelet"
_HOOK = ("elements/heat-agent/agent-files", "elements/heat-config-kubelet/hook-files")


def check(loaded: LoadedSpec, pod_schema: Path | None) -> str:
    """Check verify.pods of a spec; return by what, in words.

    pod_schema: file of the JSON schema of a pod of the spec's kubelet; None checks by the rules that the
    hook has without one. Raises SpecError with every problem.
    """
    kubelet = loaded.spec.kubelet
    if kubelet is None or not loaded.spec.verify.pods:
        return "nothing, as there are none"
    found = [] if pod_schema is None else list(_by_schema(loaded.document, pod_schema))
    load.require_none(found or list(_by_rules(loaded.document)))
    return RULES if pod_schema is None else f"the schema of kubelet {kubelet.version} and {RULES}"


def _by_schema(document: YamlDocument, pod_schema: Path) -> Iterator[Problem]:
    """Problems of the form, each with its own line."""
    pod = json.loads(pod_schema.read_text())
    pods = {"items": {"$ref": pod["$ref"]}}
    rules = {
        "$defs": pod["$defs"],
        "properties": {"verify": {"properties": {"pods": pods}}},
    }
    yield from schema.check(dataclasses.replace(document, data=_without_nulls(document.data)), rules)


def _by_rules(document: YamlDocument) -> Iterator[Problem]:
    """What no schema finds: objects of an API server, volumes that are missing, names that stand twice."""
    for index, pod in enumerate(document.data["verify"]["pods"]):
        for line in _rules().problems([_without_nulls(pod)], schema=Path("/nonexistent")):
            yield document.problem(("verify", "pods", index), line)


@functools.cache
def _rules() -> ModuleType:
    """The hook's own module: an image and its plan judge pods alike."""
    with _importable(map(paths.shipped, _HOOK)):
        return importlib.import_module("heat_pods.check")


@contextlib.contextmanager
def _importable(folders: Iterator[Path]) -> Iterator[None]:
    before = list(sys.path)
    sys.path[:0] = [str(folder) for folder in folders]
    try:
        yield
    finally:
        sys.path[:] = before


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 - any part of a spec
    """Kubernetes treats null like a missing key."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(child) for key, child in value.items() if child is not None}
    return [_without_nulls(child) for child in value] if isinstance(value, list) else value
