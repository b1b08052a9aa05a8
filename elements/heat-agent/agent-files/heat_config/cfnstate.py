# SPDX-License-Identifier: Apache-2.0
"""What cfn-init and cfn-hup know of resources' metadata, on disk across reboots.

Nothing of it holds for another server: a server launched from a snapshot of this one has other metadata of
its launch, by which that is seen.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from heat_config import cfnapi, cfnmetadata
from heat_config.cfnapi import ApiError, Keys
from heat_config.cfnmetadata import RefusedError
from heat_config.record import make_folder_durably, write_durably

LAUNCHED = Path("/var/lib/heat-cfntools/cfn-init-data")  # the metadata, as Heat puts them here at boot
FOLDER = Path("/var/lib/heat-config/cfn")


class State:
    """A folder with what is known of resources: metadata, sets applied, what cfn-hup's hooks have seen."""

    def __init__(self, folder: Path | None = None, launched: Path | None = None) -> None:
        self.folder, self._launched = folder or FOLDER, launched or LAUNCHED

    def metadata(self, resource: str) -> dict[str, Any] | None:
        """As cfn-init applied them, or as cfn-hup fetched them since; None for neither."""
        found = self._get(self._path_of(resource))
        return found if isinstance(found, dict) else None

    def put_metadata(self, resource: str, metadata: Mapping[str, Any]) -> None:
        """Raises OSError."""
        self._put(self._path_of(resource), metadata)

    def sets(self, resource: str) -> list[str]:
        """The configSets of the resource that cfn-init has applied here, in the order of their first time."""
        found = self._get(self._path_of(resource, "sets"))
        return [str(name) for name in found] if isinstance(found, list) else []

    def add_sets(self, resource: str, sets: Sequence[str]) -> None:
        """Raises OSError."""
        self._put(self._path_of(resource, "sets"), list(dict.fromkeys([*self.sets(resource), *sets])))

    def seen(self) -> dict[str, str | None]:
        """Hook -> the digest of what it last acted on, None for nothing."""
        found = self._get(self.folder / "hooks.json")
        return found if isinstance(found, dict) else {}

    def put_seen(self, seen: Mapping[str, str | None]) -> None:
        """Raises OSError."""
        self._put(self.folder / "hooks.json", seen)

    def launched(self) -> dict[str, Any]:
        """The metadata at launch. Raises RefusedError."""
        found = cfnmetadata.load(self._launched)
        if not isinstance(found, dict):
            raise RefusedError(f"{self._launched} has no metadata")
        return found

    def _path_of(self, resource: str, what: str = "metadata") -> Path:
        return self.folder / f"{what}-{quote(resource, safe='')}.json"

    def _get(self, path: Path) -> object:
        try:
            stored = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError):
            return None
        is_of_here = isinstance(stored, dict) and stored.get("launched") == self._server()
        return stored.get("value") if is_of_here else None

    def _put(self, path: Path, value: Mapping[str, Any] | Sequence[str]) -> None:
        if self._get(path) != value:
            make_folder_durably(self.folder, mode=0o700)
            write_durably(path, json.dumps({"launched": self._server(), "value": value}))

    def _server(self) -> str:
        try:
            return hashlib.sha256(self._launched.read_bytes()).hexdigest()
        except OSError:
            return ""


class Asked(NamedTuple):
    """Which metadata are meant; without keys Heat is not asked."""

    stack: str
    resource: str
    keys: Keys | None
    url: str = ""


def find(asked: Asked, state: State, *, program: str) -> dict[str, Any]:
    """The metadata: from Heat; else as last known here; else as at launch. Raises RefusedError.

    A note on standard error says when Heat did not answer.
    """
    if asked.keys is not None:
        try:
            return cfnapi.describe(stack=asked.stack, resource=asked.resource, keys=asked.keys, url=asked.url)
        except ApiError as e:
            print(f"{program}: {e}; the metadata of this machine are used", file=sys.stderr)
    known = state.metadata(asked.resource) if asked.resource else None
    return state.launched() if known is None else known
