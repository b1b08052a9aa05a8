# SPDX-License-Identifier: Apache-2.0
"""Call skopeo on a repository: TLS, the login of `docker login`, and what its failures mean."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from goldsmith.containers.policy import Rule
from goldsmith.core import proc, progress, wait
from goldsmith.core.runs import Run
from goldsmith.errors import BuildError, CommandError

_TIMEOUT_S = 1800
_DOCKER_HUB = "https://index.docker.io/v1/"  # the name that `docker login` stores it under

# skopeo reports a failure in words alone. {host} and {image} are filled in.
_FAILURES = (
    (
        r"unauthorized|authentication required|access to the resource is denied|\b40[13]\b",
        "{host} denies access to {image}", "run: docker login {host}", False,
    ),
    (
        r"did not match|does not match|digest mismatch|digest invalid",
        "{host} serves other content than {image}", "do not use this registry until its owner has checked it",
        False,
    ),
    (
        r"manifest unknown|not found|name unknown|\b404\b",
        "{host} has no image {image}", "check name and digest in the spec", False,
    ),
    (
        r"no such host|connection refused|timeout|unreachable|no route",
        "cannot reach {host}", "check the network and the registry's name", True,
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Skopeo:
    """One repository (name: in full, with its registry), as skopeo reads it; every method raises BuildError.

    `which` is a digest, or a tag with a colon before it.
    """

    name: str
    run: Run
    log_path: Path

    def manifest(self, which: str, *, timeout_s: float = _TIMEOUT_S) -> bytes:
        """The manifest or index as the registry serves it."""
        argv = self._argv("inspect", which, "--raw", *self._tls("--tls-verify"))
        try:
            return proc.capture(argv, timeout_s=timeout_s).encode()
        except CommandError as e:
            raise explain(e, self.name, which) from e

    def copy(self, which: str, target: Path) -> None:
        """Fill the folder target with manifest.json and the blobs, named by their hex digest."""
        self._copy(which, target, "--preserve-digests")

    def copy_signed(self, digest: str, rule: Rule, scratch: Path) -> None:
        """Copy an image into scratch, an empty folder; fails unless it has the rule's GPG signature.

        Formats: containers-policy.json(5), containers-registries.d(5).
        """
        required: Mapping[str, Any] = {
            "type": "signedBy", "keyType": "GPGKeys", "keyPath": str(rule.gpg_key),
            "signedIdentity": {"type": "matchRepository"},
        }  # fmt: skip
        document = {"default": [{"type": "reject"}], "transports": {"docker": {rule.prefix: [required]}}}
        (scratch / "policy.json").write_text(json.dumps(document))
        registries = scratch / "registries.d"
        registries.mkdir()
        lookaside = {"lookaside": rule.lookaside} if rule.lookaside else {}
        (registries / "rule.yaml").write_text(yaml.safe_dump({"docker": {rule.prefix: lookaside}}))
        files = ("--policy", str(scratch / "policy.json"), "--registries.d", str(registries))
        self._copy(digest, scratch / "image", policy=files)

    def _copy(self, which: str, target: Path, *options: str, policy: Sequence[str] = ()) -> None:
        argv = self._argv(
            "copy", which, "--quiet", *options, *self._tls("--src-tls-verify"), policy=policy, target=target
        )
        try:
            with (
                progress.meter(f"download {self.name}") as got,
                wait.meanwhile(lambda: got.at(_size(target))),
            ):
                proc.run(argv, log_path=self.log_path, timeout_s=_TIMEOUT_S)
        except CommandError as e:
            raise explain(e, self.name, which) from e

    def _argv(
        self, verb: str, which: str, *options: str, policy: Sequence[str] = (), target: Path | None = None
    ) -> tuple[proc.Arg, ...]:
        address = f"docker://{self.name}{which if which.startswith(':') else f'@{which}'}"
        to = () if target is None else (f"dir:{target}",)
        return ("skopeo", *policy, verb, *options, *self._authfile(), address, *to)

    def _tls(self, option: str) -> tuple[str, ...]:
        return (f"{option}=false",) if is_loopback(host_of(self.name)) else ()

    def _authfile(self) -> tuple[str, ...]:
        content = credentials(host_of(self.name))
        if content is None:
            return ()
        path = self.run.folder / "registry-auth.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(content))
        return ("--authfile", str(path))


def _size(folder: Path) -> int:
    """Bytes of the files in a folder that somebody else fills."""
    size = 0
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                size += path.stat().st_size
    return size


def host_of(name: str) -> str:
    """The registry of a repository's full name, with its port where it has one."""
    return name.partition("/")[0]


def is_loopback(host: str) -> bool:
    """Plain HTTP is for such a registry alone."""
    bare = re.sub(r":\d+$", "", host).strip("[]")
    try:
        return bare == "localhost" or ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


class _DockerConfig(msgspec.Struct, frozen=True, rename="camel"):
    """~/.docker/config.json, as much of it as holds logins."""

    auths: dict[str, dict[str, Any]] | None = None
    cred_helpers: dict[str, str] | None = None
    creds_store: str | None = None


def credentials(host: str) -> Mapping[str, Any] | None:
    """What `docker login` stored for host, in the form that skopeo reads (containers-auth.json(5))."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        stored = msgspec.json.decode((folder / "config.json").read_bytes(), type=_DockerConfig)
    except (OSError, ValueError, RecursionError):
        return None
    keys = (_DOCKER_HUB, "docker.io") if host == "docker.io" else (host, f"https://{host}", f"http://{host}")
    helpers, logins = stored.cred_helpers or {}, stored.auths or {}
    for key in keys:
        if key in helpers:
            return {"credHelpers": {host: helpers[key]}}
    for key in keys:
        if logins.get(key):
            return {"auths": {host: logins[key]}}
    if any(key in logins for key in keys) and stored.creds_store is not None:
        return {"credHelpers": {host: stored.creds_store}}
    return None


def explain(error: CommandError, name: str, which: str) -> BuildError:
    """A failure of skopeo as a message with a hint; the error itself where it is of an unknown kind."""
    text = "\n".join(error.tail).lower()
    host, image = host_of(name), f"{name}{which if which.startswith(':') else f'@{which}'}"
    for pattern, message, hint, retryable in _FAILURES:
        if re.search(pattern, text):
            last = f"\n  | {error.tail[-1]}"
            shown = message.format(host=host, image=image) + last
            return BuildError(shown, hint=hint.format(host=host), retryable=retryable)
    return error
