# SPDX-License-Identifier: Apache-2.0
"""heat-config's hook for the group kubelet: the deployment on standard input, the answer to Heat out.

CREATE, UPDATE and RESUME bring pods up; DELETE and SUSPEND end them. What cannot be is said before anything
is changed; where pods do not become ready, those that ran before are put back.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heat_config import given
from heat_config.given import BadRequest

from heat_pods import check, manifests, node, report, request, watch
from heat_pods.manifests import Folder
from heat_pods.node import Kubelet, Node, Unreachable
from heat_pods.request import Request
from heat_pods.watch import Outcome, Patience

_BACK_S = 120  # for pods that are put back
_SILENT_S = 60  # for a kubelet that does not answer whoever only wants to end pods


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Paths of the hook."""

    node: Node = field(default_factory=Kubelet)
    manifests: Path = Path("/etc/kubernetes/manifests")
    state: Path = Path("/var/lib/heat-config/kubelet")
    schema: Path = Path("/usr/lib/goldsmith/pod-schema.json")
    lock: Path = Path("/usr/lib/goldsmith/images.lock.json")

    def folder(self) -> Folder:
        """The manifests and their records."""
        return Folder(self.manifests, self.state)


def main() -> int:
    """Read the deployment, apply it, print the answer; exit status 0 if there is an answer."""
    return given.answered(lambda config: answer(config, Place()))


def prune() -> int:
    """End the pods of every deployment of Heat's whose key is not in the list on standard input."""
    place, wanted = Place(), set(json.load(sys.stdin))
    folder = place.folder()
    for key in sorted(folder.keys() - wanted):
        if key.startswith(f"{given.BY_HAND}/"):
            continue
        print(f"heat-config-kubelet: {key} is over, its pods end", file=sys.stderr)
        folder.forget(key)
    return 0


def answer(config: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """The answer for Heat, also after any failure."""
    try:
        asked = request.parse(config)
        return _end(asked, place) if asked.action in given.ENDS else _bring_up(asked, place)
    except (BadRequest, OSError) as e:
        return _failed(_why(e))


def _bring_up(asked: Request, place: Place) -> dict[str, Any]:
    begun = time.time()
    folder = place.folder()
    good = folder.good(asked.key)
    try:
        texts = manifests.render(_checked(asked, place, folder), key=asked.key, label=asked.label)
        folder.prepare_good(asked.key, texts)
    except (BadRequest, Unreachable, OSError) as e:
        return {**_failed(_why(e)), **_take_back_unproven(asked, place, good)}
    try:
        is_changed = _replace(asked, place, texts)
    except OSError:
        folder.set(asked.key, good)
        raise
    timing = {"begun_at": begun, "written_at": time.time()}
    seen = watch.until_ready(place.node, manifests.hashes(texts), _patience(asked))
    if seen.failures:
        said = (*report.logs(place.node, seen.pods), *report.refusals(place.node, texts, seen.pods))
        return {
            **_outputs(place, seen, timing),
            **_failed("\n".join((*seen.failures, *said))),
            **_put_back(asked, place, good),
        }
    folder.keep_good(asked.key)
    what = "ready" if is_changed else "ready, unchanged"
    return {
        **_outputs(place, seen, timing),
        "stats": report.stats(place.node, seen.pods),
        "deploy_stdout": f"{len(texts)} pods {what} after {seen.seconds} s",
        "deploy_stderr": "",
        "deploy_status_code": 0,
    }


def _checked(asked: Request, place: Place, folder: Folder) -> tuple[request.Pod, ...]:
    """The pods, if all of them can run here. Raises BadRequest with every problem, Unreachable."""
    problems = list(check.problems(asked.pods, schema=place.schema))
    if not problems:
        names = [check.name_of(pod) for pod in asked.pods]
        problems = manifests.free_of(names, folder.names_of_others(asked.key))
    if not problems and not asked.allow_pull:
        stored = node.patiently(place.node.images, timeout_s=asked.deadline_s)
        problems = list(check.missing_images(asked.pods, stored))
    if problems:
        raise BadRequest("\n".join(problems))
    return asked.pods


def _replace(asked: Request, place: Place, texts: Mapping[str, str]) -> bool:
    """Make these the manifests of the deployment; a pod whose host port another one gets ends first."""
    folder = place.folder()
    first = manifests.in_the_way(folder.of(asked.key), texts)
    if first:
        uids: set[str] = set()
        with contextlib.suppress(Unreachable):
            pods = node.patiently(place.node.pods, timeout_s=asked.deadline_s)
            uids = {report.uid(pod) for pod in watch.of(pods, manifests.hashes(first)).values()}
        folder.remove(first)
        watch.until_gone(place.node, uids, deadline_s=asked.deadline_s)
    return folder.set(asked.key, texts) or bool(first)


def _take_back_unproven(asked: Request, place: Place, good: Mapping[str, str]) -> dict[str, str]:
    """Restore the pods from before an interrupted change, whose pods were never seen ready."""
    return _put_back(asked, place, good) if place.folder().is_unproven(asked.key) else {}


def _put_back(asked: Request, place: Place, good: Mapping[str, str]) -> dict[str, str]:
    """Restore the previous pods and report their states."""
    try:
        _replace(asked, place, good)
        place.folder().drop_prepared(asked.key)
    except OSError as e:
        return {"deploy_stdout": f"the pods that were there before cannot be put back: {e.strerror}"}
    if not good:
        return {"deploy_stdout": "there were no pods before: those that failed are removed"}
    patience = Patience(deadline_s=_BACK_S, min_ready_s=0, max_restarts=asked.max_restarts)
    seen = watch.until_ready(place.node, manifests.hashes(good), patience)
    how = "ready again" if not seen.failures else f"not ready: {'; '.join(seen.failures)}"
    return {"deploy_stdout": f"the {len(good)} pods that were there before are put back, and {how}"}


def _end(asked: Request, place: Place) -> dict[str, Any]:
    if asked.is_replaced:
        said = "nothing ends: another deployment has taken this one's place, and the pods are its own"
        return {"deploy_stdout": said, "deploy_stderr": "", "deploy_status_code": 0}
    folder = place.folder()
    before = manifests.hashes(folder.of(asked.key))
    try:
        pods = node.patiently(place.node.pods, timeout_s=_SILENT_S)
    except Unreachable as e:
        _withdraw(asked, folder)
        return _failed(f"the manifests are removed; whether the pods have ended is not known: {e}")
    uids = {report.uid(pod) for pod in watch.of(pods, before).values()}
    _withdraw(asked, folder)
    left = watch.until_gone(place.node, uids, deadline_s=asked.deadline_s)
    if left:
        return _failed(
            f"{len(left)} of {len(uids)} pods still run {asked.deadline_s:.0f} s after they were told to end"
        )
    return {"deploy_stdout": f"{len(uids)} pods ended", "deploy_stderr": "", "deploy_status_code": 0}


def _withdraw(asked: Request, folder: Folder) -> None:
    """Remove the manifests; keep the good set of a deployment that is only suspended."""
    if asked.action == "DELETE":
        folder.forget(asked.key)
    else:
        folder.set(asked.key, {})
        folder.drop_prepared(asked.key)


def _patience(asked: Request) -> Patience:
    return Patience(
        deadline_s=asked.deadline_s, min_ready_s=asked.min_ready_s, max_restarts=asked.max_restarts
    )


def _outputs(place: Place, seen: Outcome, timing: Mapping[str, float]) -> dict[str, Any]:
    """The outputs of a deployment whose pods were watched: see the README for the names."""
    found = report.pods(seen.pods, report.embedded(place.lock))
    return {
        "pods": found,
        "pod_names": sorted(found),
        "pod_uids": {name: pod["uid"] for name, pod in found.items()},
        "pod_ips": {name: pod["ip"] for name, pod in found.items()},
        "seconds_to_ready": seen.seconds,
        "timing": {**timing, "ready_at": timing["written_at"] + seen.seconds},
    }


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot write: {error.strerror} ({error.filename})"
    return str(error)


def _failed(why: str) -> dict[str, Any]:
    return {"deploy_stdout": "", "deploy_stderr": why, "deploy_status_code": 1}
