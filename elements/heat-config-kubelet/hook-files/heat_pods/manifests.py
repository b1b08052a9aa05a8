# SPDX-License-Identifier: Apache-2.0
"""The kubelet's folder of static pods: a file for each pod of a deployment, written atomically.

A file that is being written has a name that begins with a dot, which the kubelet passes over.

A deployment's last good set is kept beside it, so that a failed change can be taken back, also by the next
pass after this program was killed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from heat_config.record import make_folder_durably, remove_durably, sync_folder, write_durably

from heat_pods.check import name_of
from heat_pods.request import KEY_ANNOTATION, Pod

_SHOWN = 60  # characters of a label or a name in the name of a file
HASH_ANNOTATION = "goldsmith.heat/manifest"
Texts = Mapping[str, str]  # file name -> content


def render(pods: Iterable[Pod], *, key: str, label: str) -> dict[str, str]:
    """The files of a deployment's pods. The same pods give the same bytes, so that the kubelet keeps them."""
    return dict(_render(pod, key, label) for pod in pods)


def _render(pod: Pod, key: str, label: str) -> tuple[str, str]:
    namespace, name = name_of(pod)
    digest = hashlib.sha256(json.dumps(pod, sort_keys=True).encode()).hexdigest()
    metadata = pod["metadata"]
    notes = {**(metadata.get("annotations") or {}), KEY_ANNOTATION: key, HASH_ANNOTATION: digest}
    marked = {**pod, "metadata": {**metadata, "namespace": namespace, "annotations": notes}}
    return _file_name(key, label, namespace, name), json.dumps(marked, sort_keys=True, indent=1)


def _file_name(key: str, label: str, namespace: str, name: str) -> str:
    """Another one for each pod of each deployment: labels of two may be the same, names may be long."""
    unique = hashlib.sha256(f"{key}\n{namespace}\n{name}".encode()).hexdigest()[:12]
    return f"heat-{label[:_SHOWN]}.{name[:_SHOWN]}.{unique}.json"


def in_the_way(before: Texts, after: Texts) -> dict[str, str]:
    """Files whose pods have to end first: they hold a port of the host that another pod is to have.

    The kubelet refuses a pod while another one has its port, and does not try again.
    """
    changed = {name: text for name, text in after.items() if before.get(name) != text}
    wanted = {name: _host_ports(text) for name, text in changed.items()}
    return {
        name: text
        for name, text in before.items()
        if after.get(name) != text
        and any(_host_ports(text) & ports for other, ports in wanted.items() if other != name)
    }


def _host_ports(text: str) -> set[tuple[str, int]]:
    """Protocol and port of the host, of each container; in the host's network each port is one."""
    spec = json.loads(text)["spec"]
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    ports = [port for container in containers for port in container.get("ports") or []]
    shared = "containerPort" if spec.get("hostNetwork") else "hostPort"
    numbers = [
        (str(port.get("protocol") or "TCP"), port.get("hostPort") or port.get(shared)) for port in ports
    ]
    return {(protocol, number) for protocol, number in numbers if number}


def hashes(texts: Texts) -> dict[str, str]:
    """Pod name -> the hash by which the kubelet reports the running version."""
    metadata = [json.loads(text)["metadata"] for text in texts.values()]
    return {each["name"]: each["annotations"][HASH_ANNOTATION] for each in metadata}


class Folder:
    """The manifests of one node, and the records of each deployment."""

    def __init__(self, manifests: Path, state: Path) -> None:
        self._manifests, self._state = manifests, state

    def of(self, key: str) -> dict[str, str]:
        """The current files of a deployment."""
        return {name: text for name, text, owner, _ in self._read() if owner == key}

    def names_of_others(self, key: str) -> dict[tuple[str, str], str]:
        """(namespace, name) -> owner, for all pods of others."""
        return {pod: owner or "a manifest of the image" for _, _, owner, pod in self._read() if owner != key}

    def keys(self) -> set[str]:
        """Every deployment that has files or a state here."""
        stored = (self._load(path).get("key") for path in self._state.glob("*.json"))
        return {key for key in (*(owner for _, _, owner, _ in self._read()), *stored) if key}

    def set(self, key: str, texts: Texts) -> bool:
        """Make these the files of a deployment; unchanged ones are not touched.

        Returns whether anything changed. Raises OSError, after which nothing of a file is half there.
        """
        before = self.of(key)
        changed = {name: text for name, text in texts.items() if before.get(name) != text}
        make_folder_durably(self._manifests)
        for name, text in changed.items():
            write_durably(self._manifests / name, text)
        gone = before.keys() - texts.keys()
        self.remove(gone)
        return bool(changed or gone)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; they do not come back with a power failure. Raises OSError."""
        remove_durably(self._manifests / name for name in names)

    def good(self, key: str) -> dict[str, str]:
        """The last set of a deployment's files with which all of its pods were ready; {} for none."""
        found = self._load(self._state_of(key)).get("good")
        return found if isinstance(found, dict) else {}

    def prepare_good(self, key: str, texts: Texts) -> None:
        """Record a set that may become the good one, while the disk has room for it. Raises OSError."""
        make_folder_durably(self._state, mode=0o700)
        write_durably(self._prepared(key), json.dumps({"key": key, "good": dict(texts)}))

    def keep_good(self, key: str) -> None:
        """Make the prepared set, whose content is on the disk, the good one: its pods were ready."""
        self._prepared(key).replace(self._state_of(key))
        sync_folder(self._state)

    def is_unproven(self, key: str) -> bool:
        """True if a change was started and its end was never seen."""
        return self._prepared(key).exists()

    def drop_prepared(self, key: str) -> None:
        """Drop the prepared set: it is not the current one."""
        remove_durably([self._prepared(key)])

    def forget(self, key: str) -> None:
        """Remove a deployment's files, then its records: keys() knows it until its pods are gone for good."""
        self.set(key, {})
        remove_durably([self._state_of(key), self._prepared(key)])

    def _prepared(self, key: str) -> Path:
        return self._state_of(key).with_suffix(".prepared")

    def _state_of(self, key: str) -> Path:
        return self._state / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def _read(self) -> list[tuple[str, str, str | None, tuple[str, str]]]:
        """Name, text, owning deployment and (namespace, name) of each valid pod manifest."""
        found = []
        for path in sorted(self._manifests.glob("[!.]*")):
            try:
                text = path.read_text()
                pod = _parsed(text)
                notes = pod.get("metadata", {}).get("annotations") or {}
                owner = notes.get(KEY_ANNOTATION)
                found.append((path.name, text, owner if isinstance(owner, str) else None, name_of(pod)))
            except (OSError, ValueError, AttributeError, RecursionError, yaml.YAMLError):
                continue
        return found

    @staticmethod
    def _load(path: Path) -> dict[str, Any]:
        try:
            stored = json.loads(path.read_text())
        except (OSError, ValueError):
            return {}
        return stored if isinstance(stored, dict) else {}


def _parsed(text: str) -> Any:  # noqa: ANN401 - whatever stands in a file
    """A manifest as the kubelet reads it: JSON, or YAML if others wrote it."""
    try:
        return json.loads(text)
    except ValueError:
        return yaml.safe_load(text)


def free_of(names: Collection[tuple[str, str]], taken: Mapping[tuple[str, str], str]) -> list[str]:
    """A line for each pod name that another owner uses."""
    return [
        f"pod {name}: the name is taken by {taken[(space, name)]}"
        for space, name in names
        if (space, name) in taken
    ]
