# SPDX-License-Identifier: Apache-2.0
"""Pods of a spec, checked before a build."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from goldsmith.errors import SpecError
from goldsmith.kubernetes import pod_check, pod_schema
from goldsmith.spec import load
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.problem import Problem

SPEC = """
name: mine
distribution: debian
release: trixie
containers: [{ref: 'a.b/pause:1'}]
kubelet: {version: '1.35.4'}
verify:
  pods:
    - apiVersion: v1
      kind: Pod
      metadata: {name: web}
      spec:
        containers:
          - name: main
            image: a.b/pause:1
"""


TEXT, LIST, REF = {"type": "string", "format": "x"}, {"type": "array"}, "#/definitions/"
SWAGGER = {  # as much of Kubernetes' own as these pods need
    "definitions": {
        "io.k8s.api.core.v1.Pod": {
            "type": "object",
            "properties": {
                "apiVersion": TEXT, "kind": TEXT, "metadata": {"type": "object"},
                "spec": {"$ref": f"{REF}spec"},
            },
        },
        "spec": {
            "type": "object",
            "properties": {
                "containers": {"type": "array", "items": {"$ref": f"{REF}container"}},
                "serviceAccountName": TEXT, "volumes": LIST,
            },
        },
        "container": {
            "type": "object",
            "properties": {
                "name": TEXT, "image": TEXT, "imagePullPolicy": TEXT, "ports": LIST, "volumeMounts": LIST,
            },
        },
    }
}  # fmt: skip


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "pod-schema.json"
    path.write_text(json.dumps(pod_schema.pod_schema(SWAGGER)))
    return path


def loaded(folder: Path, more: str = "") -> LoadedSpec:
    path = folder / "mine.yaml.j2"
    path.write_text(SPEC + more)
    return load.load(str(path))


def problems(spec: LoadedSpec, schema: Path | None) -> list[Any]:
    with pytest.raises(SpecError) as e:
        pod_check.check(spec, schema)
    found = [problem for problem in e.value.problems if isinstance(problem, Problem)]
    return [(problem.line, problem.message) for problem in found]


def test_an_unknown_key_is_found_by_the_schema_at_its_line(tmp_path: Path, schema: Path) -> None:
    spec = loaded(tmp_path, "            imagePullPolice: Never\n")

    [(line, message)] = problems(spec, schema)

    assert line == 16
    assert message == "unknown key 'imagePullPolice' in verify.pods[0].spec.containers[0]"
    assert pod_check.check(spec, None) == pod_check.RULES, "which know no keys"


@pytest.mark.parametrize("by_schema", [True, False])
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("            volumeMounts: [{name: none, mountPath: /x}]\n", "there is no volume none"),
        ("        serviceAccountName: x\n", "spec.serviceAccountName needs an API server"),
        ("          - {name: main, image: 'a.b/pause:1'}\n", "two containers are called main"),
    ],
)
def test_what_no_schema_finds_is_found_by_the_rules_of_the_hook(
    tmp_path: Path, schema: Path, more: str, message: str, by_schema: bool
) -> None:
    [(line, found)] = problems(loaded(tmp_path, more), schema if by_schema else None)

    assert line == 9
    assert message in found


@pytest.mark.parametrize(
    "more",
    [
        "            env: [A=1]\n", "            env: {A: 1}\n", "            volumeMounts: [data]\n",
        "            ports: x\n", "            ports: [8080]\n", "        volumes: [data]\n",
        "        volumes: data\n",
        "        initContainers: 5\n",
    ],
)  # fmt: skip
def test_lists_of_another_form_are_found_without_a_schema(tmp_path: Path, more: str) -> None:
    [(line, message)] = problems(loaded(tmp_path, more), None)

    assert line == 9
    assert "must be a list of mappings, got " in message


def test_null_is_a_missing_key(tmp_path: Path, schema: Path) -> None:
    assert "schema of kubelet 1.35.4" in pod_check.check(
        loaded(tmp_path, "            ports: null\n        volumes: null\n"), schema
    )


def test_a_spec_without_pods_has_nothing_to_check(tmp_path: Path, schema: Path) -> None:
    path = tmp_path / "mine.yaml.j2"
    path.write_text(SPEC.partition("verify:")[0])

    assert pod_check.check(load.load(str(path)), schema) == "nothing, as there are none"
