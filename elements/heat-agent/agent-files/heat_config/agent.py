# SPDX-License-Identifier: Apache-2.0
"""One pass over the deployments: run the hook of each that has not run, send each answer not yet accepted.

os-collect-config calls this, by os-refresh-config, right after it has fetched metadata that is new. When the
status is not 0 it keeps the metadata for new, fetches it again after its polling interval, and calls again:
so a signal that was not accepted is sent once more only after a look at what Heat wants now. A deployment
that Heat has replaced meanwhile has another id, and its old answer is never sent.
"""

from __future__ import annotations

import configparser
import contextlib
import fcntl
import json
import logging
import os
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heat_config import deployment, metadata, record, signalling, unheard
from heat_config.deployment import Deployment
from heat_config.hooks import Hooks
from heat_config.record import Record, Records

_LOG = logging.getLogger("heat-config")
# Files of os-collect-config's collectors that poll Heat. Without one of them, the metadata is that of the
# launch, which names no deployments: that is no reason to end any.
_FROM_HEAT = frozenset(("heat.json", "cfn.json", "request.json"))
# The greatest age of Heat's metadata if it cannot be read again before the next poll.
_LONG_S = 5
# What data of an unexpected form raise: the other deployments go on.
_ODD = (AttributeError, LookupError, RecursionError, TypeError, ValueError, configparser.Error)


@dataclass(frozen=True, kw_only=True, slots=True)
class Paths:
    """Paths in the image."""

    metadata: Path = Path("/run/heat-config/heat-config")
    records: Path = Path("/var/lib/heat-config/deployed")
    hooks: Hooks = field(default_factory=Hooks)
    pruners: Path = Path("/usr/libexec/heat-config/prune")
    lock: Path = Path("/run/heat-config/lock")
    launched: Path = Path("/var/lib/heat-cfntools/cfn-init-data")  # is there where Heat launched the server
    agent: Path = Path("/etc/os-collect-config.conf")
    console: Path = Path("/dev/console")


def main() -> int:
    """The status that os-refresh-config sees."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(levelname)s: %(message)s")
    status = run(Paths())
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    _LOG.info("this pass took %.2f s of CPU", sum(usage.ru_utime + usage.ru_stime for usage in usages))
    return status


def run(paths: Paths) -> int:
    """0 when nothing is left to do; 1 when a pass must follow. Nothing is touched for bad metadata."""
    if paths.launched.exists() and not _FROM_HEAT.intersection(
        Path(name).name for name in os.environ.get("OS_CONFIG_FILES", "").split(":")
    ):
        _LOG.error("Heat was not asked in this pass; nothing is changed")
        return 1
    with _alone(paths.lock) as is_alone:
        if not is_alone:
            _LOG.error("another pass is at work; nothing is changed")
            return 1
        return _pass(paths)


def _pass(paths: Paths) -> int:
    try:
        deployments = deployment.read(paths.metadata)
    except deployment.MetadataError as e:
        _LOG.error("%s; nothing is changed", e)
        return 1
    if deployments is None:
        return 0
    records = Records(paths.records)
    pruned = _prune(deployments, paths.pruners)  # first: a name may be free by that
    todo = _Pass(deployments, records, paths)
    done = [todo.bring_to_its_end(each) for each in _unsent_first(deployments, records)]
    records.forget_replaced(each.id for each in deployments)
    return 0 if all(done) and pruned else 1


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Hold the lock of passes; yields false if another pass holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _unsent_first(deployments: Sequence[Deployment], records: Records) -> list[Deployment]:
    """Heat's order, but signals that need no hook come first, because a hook may take long."""
    return sorted(deployments, key=lambda each: records.get(each.id) is None)


@dataclass(frozen=True, slots=True)
class _Pass:
    deployments: Sequence[Deployment]
    records: Records
    paths: Paths

    def bring_to_its_end(self, each: Deployment) -> bool:
        """Run the hook and signal, as far as not yet done; False if it must be tried again."""
        if not each.id:
            _LOG.error("%s", each.problem)
            return False
        found = self.records.get(each.id)
        if (found is not None and found.state != record.RAN) or each.idle:
            return True
        try:
            return self._run_and_signal(each, found)
        except signalling.Undelivered as e:
            _LOG.error("the signal of %s was not delivered and is kept: %s", each.name, e)
        except OSError as e:
            _LOG.error("cannot keep what became of %s: %s", each.name, e)
        except _ODD as e:  # without its text, which may be an input
            place = traceback.extract_tb(e.__traceback__)[-1]
            _LOG.error("%s: %s at %s:%s", each.name, type(e).__name__, place.filename, place.lineno)
        return False

    def _run_and_signal(self, each: Deployment, found: Record | None) -> bool:
        took_s = 0.0
        if found is None:
            start = time.monotonic()
            found = Record(state=record.RAN, answer=self.paths.hooks.answer(each))
            self.records.put(each.id, found)
            took_s = time.monotonic() - start
        if not signalling.has_address(each.inputs):
            self._keep_to_itself(each, found)
        elif not _is_wanted(each, self.paths, took_s):
            _LOG.warning("the signal of %s waits for a look at what Heat wants now", each.name)
            return False
        else:
            self._signal(each, found)
        return True

    def _keep_to_itself(self, each: Deployment, found: Record) -> None:
        """Heat wants no signal: who looks at the server, or hears of another deployment, sees a failure."""
        said = unheard.line(each.name, each.group, found.answer, self.paths.hooks.not_runnable(each))
        if said:
            unheard.announce(said, self.paths.console)
        else:
            _LOG.info("%s: %s done", each.name, each.action)
        self.records.put(each.id, Record(state=record.SIGNALLED, answer=found.answer, unheard=said))

    def _signal(self, each: Deployment, found: Record) -> None:
        lines = {
            other.id: kept for other in self.deployments
            if other.id and (kept := self.records.get(other.id)) is not None and kept.unheard
        }  # fmt: skip
        state = record.SIGNALLED
        try:
            signalling.send(
                each.inputs, unheard.added(found.answer, [kept.unheard for kept in lines.values()])
            )
        except signalling.Refused as e:
            _LOG.error("Heat refused the signal of %s: %s", each.name, e)
            state = record.REFUSED
        else:
            status = found.answer.get("deploy_status_code")
            _LOG.info("%s: %s signalled, status %s", each.name, each.action, status)
        self.records.put(each.id, Record(state=state, answer=found.answer))
        for id_, kept in lines.items() if state == record.SIGNALLED else ():
            self.records.put(id_, Record(state=kept.state, answer=kept.answer))


def _is_wanted(each: Deployment, paths: Paths, took_s: float) -> bool:
    """Whether Heat waits for this answer now: a signal names the resource, and would answer what came after.

    took_s: how long ago the metadata was fetched at least, since then a hook ran.
    """
    current = metadata.current_ids(paths.agent)
    return took_s <= _LONG_S if current is None else each.id in current


def _prune(deployments: Sequence[Deployment], pruners: Path) -> bool:
    """Tell hooks that keep something running which deployments exist: they end all others."""
    if not all(each.key for each in deployments):
        _LOG.error("a deployment cannot be read: nothing is ended, as it may be that one's")
        return False
    good = True
    for pruner in sorted(pruners.iterdir()) if pruners.is_dir() else ():
        keys = json.dumps([each.key for each in deployments])
        done = subprocess.run([pruner], input=keys.encode(), check=False)
        good = good and done.returncode == 0
    return good


if __name__ == "__main__":
    sys.exit(main())
