# SPDX-License-Identifier: Apache-2.0
"""cfn-init: bring this machine to what AWS::CloudFormation::Init says. For user data, and for deployments.

Takes the place of heat-cfntools' program of this name, which needs a library that Python 3.12 and later do
not run. Heat has put the metadata on this machine at boot; with keys Heat is asked for those of now.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from heat_config import cfnapi, cfnmetadata, cfnstate, deadline
from heat_config.cfnmetadata import Config, RefusedError, is_true

_SYMLINK = "120"  # how the mode of a file begins that is one
_FETCH_TIMEOUT_S = 60  # of silence
FETCH_DEADLINE_S = 1800  # for a whole file or archive
Changed = dict[str, set[str]]  # section -> the names of what was changed


class FailedError(Exception):
    """A step failed; the steps before it succeeded."""


def apply(config: Config) -> None:
    """Apply one config, section by section. Raises FailedError, OSError."""
    changed: Changed = {}
    for section, step in _STEPS.items():
        if section in config:
            changed[section] = step(config[section], changed)


def _packages(kinds: Mapping[str, Any], _changed: Changed) -> set[str]:
    wanted = {name: _versions(value) for name, value in kinds.get("apt", {}).items()}
    missing = {name for name, versions in wanted.items() if versions or not _is_installed(name)}
    if missing:
        words = [f"{name}={version}" for name in sorted(missing) for version in wanted[name]]
        words += [name for name in sorted(missing) if not wanted[name]]
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        _run("packages", ["apt-get", "-q", "update"], env)
        _run("packages", ["apt-get", "-q", "-y", "install", *words], env)
    return missing


def _versions(value: object) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else [str(value)] if value else []


def _is_installed(package: str) -> bool:
    argv = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout == "installed"


def _groups(groups: Mapping[str, Any], _changed: Changed) -> set[str]:
    missing = {name for name in groups if not _is_known("group", name)}
    for name in sorted(missing):
        gid = groups[name].get("gid")
        _run(f"group {name}", ["groupadd", *(["--gid", str(gid)] if gid else []), name])
    return missing


def _users(users: Mapping[str, Any], _changed: Changed) -> set[str]:
    """Create system users without a login."""
    missing = {name for name in users if not _is_known("passwd", name)}
    for name in sorted(missing):
        user = users[name]
        words = ["--shell", "/usr/sbin/nologin"]
        words += ["--uid", str(user["uid"])] if user.get("uid") else []
        words += ["--groups", ",".join(user["groups"])] if user.get("groups") else []
        words += ["--create-home", "--home-dir", user["homeDir"]] if user.get("homeDir") else []
        _run(f"user {name}", ["useradd", *words, name])
    return missing


def _is_known(database: str, name: str) -> bool:
    return subprocess.run(["getent", database, name], capture_output=True, check=False).returncode == 0


def _sources(sources: Mapping[str, Any], _changed: Changed) -> set[str]:
    for target, url in sources.items():
        with tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch) / "archive"
            with _fetched(str(url)) as answer, archive.open("wb") as copy:
                shutil.copyfileobj(answer, copy)
            if tarfile.is_tarfile(archive):
                with tarfile.open(archive) as tar:
                    tar.extractall(target, filter="tar")  # links may be absolute
            elif zipfile.is_zipfile(archive):
                _unzip(archive, Path(target))
            else:
                raise FailedError(f"sources: {target}: what was fetched is neither a tar nor a zip archive")
        _say(f"source {target} unpacked")
    return set(sources)


def _unzip(archive: Path, target: Path) -> None:
    """Unpack a zip archive with its files' permissions, which zipfile itself leaves out."""
    with zipfile.ZipFile(archive) as unpacked:
        for member in unpacked.infolist():
            path = Path(unpacked.extract(member, target))
            permissions = (member.external_attr >> 16) & 0o755
            if permissions and not member.is_dir():
                path.chmod(permissions)


def _files(files: Mapping[str, Any], _changed: Changed) -> set[str]:
    changed = {name for name, file in files.items() if _place(Path(name), file)}
    for name in sorted(changed):
        _say(f"file {name} written")
    return changed


def _place(path: Path, file: Mapping[str, Any]) -> bool:
    """Write a file as configured; True if it changed. A file that is there keeps what is not configured."""
    content, mode = _content(file), str(file.get("mode") or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode.startswith(_SYMLINK):
        if path.is_symlink() and os.fsencode(path.readlink()) == content:
            return False
        path.unlink(missing_ok=True)
        path.symlink_to(os.fsdecode(content))
        return True
    differs = path.is_symlink() or not path.is_file() or path.read_bytes() != content
    before = path.stat() if path.is_file() and not path.is_symlink() else None
    owner, group = (before.st_uid, before.st_gid) if before else ("root", "root")
    # By descriptor throughout: whoever may write to the folder could put a link in the place of a name.
    if differs:
        descriptor, name = tempfile.mkstemp(prefix=".cfn-init-", dir=path.parent)
    else:
        descriptor, name = os.open(path, os.O_RDONLY | os.O_NOFOLLOW), ""
    try:
        if differs:
            with os.fdopen(os.dup(descriptor), "wb") as sink:
                sink.write(content)
        shutil.chown(descriptor, file.get("owner", owner), file.get("group", group))
        os.fchmod(descriptor, (int(mode, 8) if mode else before.st_mode if before else 0o644) & 0o7777)
        if differs:
            Path(name).replace(path)
    finally:
        os.close(descriptor)
        if differs:
            Path(name).unlink(missing_ok=True)
    return differs


def _content(file: Mapping[str, Any]) -> bytes:
    if "source" in file:
        with _fetched(str(file["source"])) as answer:
            return bytes(answer.read())
    content = file["content"]
    text = content if isinstance(content, str) else json.dumps(content)
    return base64.b64decode(text) if file.get("encoding") == "base64" else text.encode()


@contextlib.contextmanager
def _fetched(url: str) -> Iterator[HTTPResponse]:
    """The answer, which the body reads. Raises FailedError, also when that takes too long as a whole."""
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise FailedError(f"{url}: only http and https are fetched from")
    try:
        with (
            deadline.within(FETCH_DEADLINE_S),
            urllib.request.urlopen(url, timeout=_FETCH_TIMEOUT_S) as answer,  # noqa: S310 - see above
        ):
            yield answer
    except deadline.Exceeded as e:
        raise FailedError(f"{url.partition('?')[0]}: {e}") from None


def _commands(commands: Mapping[str, Any], _changed: Changed) -> set[str]:
    """Run the commands in the order of their names, like CloudFormation."""
    return {name for name in sorted(commands) if _ran(name, commands[name])}


def _ran(name: str, command: Mapping[str, Any]) -> bool:
    env = {key: str(value) for key, value in command.get("env", {}).items()}
    try:
        where = str(Path(command["cwd"]).expanduser()) if command.get("cwd") else None
    except RuntimeError as e:
        raise FailedError(f"command {name}: {command['cwd']}: {e}") from None
    test = command.get("test")
    if test and subprocess.run(_words(test), env={**os.environ, **env}, cwd=where, check=False).returncode:
        _say(f"command {name} not needed, as its test says")
        return False
    try:
        _run(f"command {name}", _words(command["command"]), env, where)
    except FailedError:
        if not is_true(command.get("ignoreErrors")):
            raise
    return True


def _words(command: object) -> list[str]:
    return [str(word) for word in command] if isinstance(command, list) else ["/bin/sh", "-c", str(command)]


def _services(kinds: Mapping[str, Any], changed: Changed) -> set[str]:
    services = {name: service for kind in kinds.values() for name, service in kind.items()}
    for name, service in services.items():
        if "enabled" in service:
            _systemctl("enable" if is_true(service["enabled"]) else "disable", name)
        if "ensureRunning" in service and not is_true(service["ensureRunning"]):
            _systemctl("stop", name)
        elif _depends_on(service, changed):
            _systemctl("restart", name)
        elif "ensureRunning" in service:
            _systemctl("start", name)
    return set(services)


def _depends_on(service: Mapping[str, Any], changed: Changed) -> bool:
    """True if something that the service depends on changed in this run."""
    packages = {name for names in service.get("packages", {}).values() for name in names}
    named = {section: set(service.get(section, ())) for section in ("files", "sources", "commands")}
    return any(
        changed.get(section, set()) & names for section, names in {**named, "packages": packages}.items()
    )


def _systemctl(verb: str, name: str) -> None:
    _run(f"service {name}: {verb}", ["systemctl", verb, name])


_STEPS: Mapping[str, Callable[[Mapping[str, Any], Changed], set[str]]] = {
    "packages": _packages, "groups": _groups, "users": _users, "sources": _sources, "files": _files,
    "commands": _commands, "services": _services,
}  # fmt: skip


def _run(
    what: str, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: str | None = None
) -> None:
    """Run a program; its output goes to ours. Raises FailedError."""
    _say(what)
    try:
        done = subprocess.run(
            argv, env={**os.environ, **(env or {})}, cwd=cwd, stdin=subprocess.DEVNULL, check=False
        )
    except OSError as e:
        raise FailedError(f"{what}: cannot run {argv[0]}: {e.strerror}") from None
    if done.returncode:
        raise FailedError(f"{what}: {argv[0]} ended with status {done.returncode}")


def _say(text: str) -> None:
    print(f"cfn-init: {text}", flush=True)


def main(words: Sequence[str]) -> int:
    """Exit status 0: done; 1: a step failed; 2: the metadata is refused and nothing was changed."""
    parser = argparse.ArgumentParser(prog="cfn-init", description=__doc__.partition("\n")[0])
    parser.add_argument("--file", type=Path, help="take the metadata from this file, as JSON")
    parser.add_argument(
        "-c", "--configsets", default=cfnmetadata.DEFAULT_SET, help="sets, with commas (%(default)s)"
    )
    parser.add_argument("-s", "--stack", default="", help="of the server; needed with the keys below")
    parser.add_argument("-r", "--resource", default="", help="of the server; for cfn-hup, too")
    cfnapi.add_keys(parser)
    given = parser.parse_args(words)
    state = cfnstate.State()
    try:
        metadata, where = _metadata(given, state)
        init = cfnmetadata.init_of(metadata, where)
        sets = given.configsets.split(",")
        for name, config in cfnmetadata.configs(init, sets):
            _say(f"config {name}")
            apply(config)
        if given.resource and not given.file:
            state.add_sets(given.resource, sets)
            state.put_metadata(given.resource, metadata)
    except RefusedError as e:
        print(f"cfn-init: {e}; nothing was changed", file=sys.stderr)
        return 2
    except (FailedError, OSError, ValueError, LookupError, tarfile.TarError, zipfile.BadZipFile) as e:
        print(f"cfn-init: {e}", file=sys.stderr)
        return 1
    return 0


def _metadata(given: argparse.Namespace, state: cfnstate.State) -> tuple[dict[str, Any], str]:
    """The metadata and where they are from. Raises RefusedError."""
    if given.file:
        found = cfnmetadata.load(given.file)
        return found if isinstance(found, dict) else {}, str(given.file)
    keys = cfnapi.keys_of(given) if given.stack and given.resource else None
    asked = cfnstate.Asked(given.stack, given.resource, keys)
    return cfnstate.find(
        asked, state, program="cfn-init"
    ), f"the metadata of {given.resource or 'this server'}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
