# SPDX-License-Identifier: Apache-2.0
"""Whether the pods of a spec can run from the container images that it embeds for the kubelet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from goldsmith.specbuild import reference
from goldsmith.specyaml import Document, KeyPath, Problem, dotted


def check(document: Document) -> Iterator[Problem]:
    """Every problem of verify.pods, with one another and with containers."""
    pods = document.get(list, "verify", "pods")
    if pods and document.data.get("kubelet") is None:
        yield document.problem(("verify", "pods"), "pods need a kubelet", "add the key 'kubelet'")
    seen: set[str] = set()
    for index, pod in enumerate(pods):
        if not isinstance(pod, dict):
            continue
        path: KeyPath = ("verify", "pods", index)
        if pod.get("apiVersion") != "v1" or pod.get("kind") != "Pod":
            hint = "it begins with apiVersion: v1 and kind: Pod"
            yield document.problem(path, f"{dotted(path)} is no pod manifest", hint)
            continue
        metadata = pod.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
            message = "metadata.name must be small letters, digits and hyphens"
            yield document.problem((*path, "metadata", "name"), f"{dotted(path)}: {message}")
        elif name in seen:
            yield document.problem((*path, "metadata", "name"), f"pod '{name}' stands twice")
        seen.add(str(name))
        yield from _pod_images(document, path, pod.get("spec"))


def _pod_images(document: Document, path: KeyPath, spec: object) -> Iterator[Problem]:
    known = destinations(document)
    if not isinstance(spec, dict) or not spec.get("containers"):
        yield document.problem((*path, "spec"), f"{dotted(path)} has no spec.containers")
        return
    for group in ("initContainers", "containers"):
        items = spec.get(group)
        for index, item in enumerate(items if isinstance(items, list) else []):
            where = (*path, "spec", group, index, "image")
            image = item.get("image") if isinstance(item, dict) else None
            if not isinstance(image, str):
                yield document.problem(where, f"{dotted(where)} must name an image")
            elif image not in known:
                names = [str(name) for name in known if name]
                close = get_close_matches(image, names, n=1)
                hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(names) or 'none'}"
                yield document.problem(where, f"image '{image}' is not among the spec's containers", hint)
            elif known[image] != "containerd":
                yield document.problem(where, f"image '{image}' goes into docker, where no kubelet finds it")


def destinations(document: Document) -> Mapping[str | None, str]:
    """The containers' references (None where there is none yet) -> what they go into."""
    return {
        reference_of(container): container.get("into", "containerd")
        for container in document.get(list, "containers")
        if isinstance(container, dict)
    }


def reference_of(container: object) -> str | None:
    """By which pods name an entry of containers; None where it cannot be told."""
    if not isinstance(container, dict):
        return None
    names = (container.get("ref"), container.get("registry"))
    if not any(isinstance(name, str) and name for name in names):
        return None
    return reference({key: value for key, value in container.items() if isinstance(value, str)})
