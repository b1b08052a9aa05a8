# SPDX-License-Identifier: Apache-2.0
"""cfn-hup: look once whether resources' metadata have changed in Heat, and run the hooks for what has.

It is no daemon: cron or a timer calls it, as often as changes should be seen. What a hook has acted on is
kept on disk once its action has succeeded; an action that failed or was killed runs again with the next call.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heat_config import cfnapi, cfnhooks, cfnmetadata
from heat_config.cfnapi import ApiError
from heat_config.cfnhooks import Config, Hook
from heat_config.cfnmetadata import RefusedError, is_true
from heat_config.cfnstate import State
from heat_config.record import make_folder_durably

FOLDER = Path("/etc/cfn")
_RUNNING = {"active", "activating", "reloading", "refreshing"}


def main(words: Sequence[str]) -> int:
    """Exit status 0: all is done; 1: no answer of Heat, or an action failed; 2: the configuration is bad."""
    summary = (__doc__ or "").partition(": ")[2].partition("\n")[0]
    parser = argparse.ArgumentParser(prog="cfn-hup", description=summary)
    parser.add_argument(
        "-c", "--config", type=Path, default=FOLDER / "hooks.d", help="the folder of hooks (%(default)s)"
    )
    parser.add_argument("-f", "--no-daemon", action="store_true", help="always so: it looks once and ends")
    parser.add_argument("-v", "--verbose", action="store_true", help="also say where nothing has changed")
    given = parser.parse_args(words)
    try:
        config = cfnhooks.read(FOLDER, given.config)
        return _alone(config, State(), is_verbose=given.verbose or config.is_verbose)
    except RefusedError as e:
        print(f"cfn-hup: {e}; nothing was done", file=sys.stderr)
        return 2
    except (ApiError, OSError) as e:
        print(f"cfn-hup: {e}", file=sys.stderr)
        return 1


def _alone(config: Config, state: State, *, is_verbose: bool) -> int:
    """Run a pass, unless an earlier one still is at work."""
    make_folder_durably(state.folder, mode=0o700)
    with (state.folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if is_verbose:
                _say("an earlier call is still at work")
            return 0
        keys = cfnapi.read_keys(config.credentials)
        good = True
        for resource in dict.fromkeys(hook.resource for hook in config.hooks):
            hooks = [hook for hook in config.hooks if hook.resource == resource]
            try:
                metadata = cfnapi.describe(stack=config.stack, resource=resource, keys=keys)
            except ApiError as e:
                print(f"cfn-hup: {e}", file=sys.stderr)
                good = False
                continue
            good = _changes(hooks, metadata, state, is_verbose=is_verbose) and good
            good = _services(hooks, metadata, state) and good
        return 0 if good else 1


def _changes(hooks: Sequence[Hook], metadata: Mapping[str, Any], state: State, *, is_verbose: bool) -> bool:
    """Run the hooks of one resource for what has changed; False if it must be tried again. Raises OSError.

    A hook that was never called before compares with what cfn-init has applied, if it has.
    """
    resource = hooks[0].resource
    known, seen = state.metadata(resource), state.seen()
    for hook in hooks:
        seen.setdefault(hook.key, _digest(cfnmetadata.at(known, hook.path)))
    state.put_seen(seen)  # before what it is compared with is replaced
    state.put_metadata(resource, metadata)  # before any action, which may call cfn-init
    good = True
    for hook in hooks:
        now = _digest(cfnmetadata.at(metadata, hook.path))
        event = _event(seen[hook.key], now)
        if event is None and is_verbose:
            _say(f"[{hook.name}]: nothing has changed in {resource}")
        if event in hook.triggers and not _ran(hook, event):
            good = False
            continue
        seen[hook.key] = now
        state.put_seen(seen)
    return good


def _digest(value: object) -> str | None:
    """None for what is not there or is empty."""
    if value in (None, "", {}, []):
        return None
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _event(before: str | None, now: str | None) -> str | None:
    if before == now:
        return None
    return cfnhooks.ADD if before is None else cfnhooks.REMOVE if now is None else cfnhooks.UPDATE


def _services(hooks: Sequence[Hook], metadata: Mapping[str, Any], state: State) -> bool:
    """Start services that cfn-init was to keep running, for the hooks that want to know of it."""
    wanting = [hook for hook in hooks if cfnhooks.RESTARTED in hook.triggers]
    if not wanting or cfnmetadata.KEY not in metadata:
        return True
    try:
        init = cfnmetadata.init_of(metadata, f"the metadata of {hooks[0].resource}")
        configs = cfnmetadata.configs(init, _applied(init, state.sets(hooks[0].resource)))
    except RefusedError as e:
        print(f"cfn-hup: {e}", file=sys.stderr)
        return False
    good = True
    for kind in (kind for _, config in configs for kind in config.get("services", {}).values()):
        for name, service in kind.items():
            if is_true(service.get("ensureRunning")) and not _is_running(name):
                good = _started(name) and good
                good = all([_ran(hook, cfnhooks.RESTARTED) for hook in wanting]) and good
    return good


def _applied(init: Mapping[str, Any], sets: Sequence[str]) -> list[str]:
    """The configSets that cfn-init has applied and that still are there; without any applied, `default`."""
    known = init.get("configSets")
    if not isinstance(known, Mapping):
        return [cfnmetadata.DEFAULT_SET]
    return [name for name in sets or [cfnmetadata.DEFAULT_SET] if name in known]


def _is_running(service: str) -> bool:
    asked = subprocess.run(["systemctl", "is-active", service], capture_output=True, text=True, check=False)
    return asked.stdout.strip() in _RUNNING


def _started(service: str) -> bool:
    _say(f"service {service}: start")
    status = subprocess.run(["systemctl", "start", service], check=False).returncode
    if status:
        print(f"cfn-hup: service {service}: systemctl ended with status {status}", file=sys.stderr)
    return status == 0


def _ran(hook: Hook, event: str) -> bool:
    """Run a hook's action as its user; its output goes to ours. False if it failed."""
    _say(f"[{hook.name}]: {event} of {hook.resource}")
    # the action must not outlive this call: the next one would run it a second time in parallel
    argv = ["setpriv", "--pdeathsig", "KILL", "/bin/sh", "-c", hook.action]
    try:
        status = subprocess.run(
            argv, cwd="/", stdin=subprocess.DEVNULL, check=False, **_user(hook.run_as)
        ).returncode
        why = f"its action ended with status {status}" if status else ""
    except KeyError:
        why = f"there is no user {hook.run_as!r}"
    except (OSError, subprocess.SubprocessError) as e:
        why = f"its action cannot run: {e}"
    if why:
        print(f"cfn-hup: [{hook.name}]: {why}", file=sys.stderr)
    return not why


def _user(name: str) -> dict[str, Any]:
    """Options of subprocess for this user. Raises KeyError."""
    user = pwd.getpwnam(name)
    env = {**os.environ, "HOME": user.pw_dir, "USER": name, "LOGNAME": name}
    if user.pw_uid == os.geteuid():
        return {"env": env}
    groups = os.getgrouplist(name, user.pw_gid)
    return {"env": env, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}


def _say(text: str) -> None:
    print(f"cfn-hup: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
