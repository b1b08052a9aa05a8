# SPDX-License-Identifier: Apache-2.0
"""Seeds: kept copies of a new cloud's databases, keys and secrets, from which the next cloud starts."""

from __future__ import annotations

import hashlib
import sqlite3
import tarfile
from collections.abc import Sequence
from pathlib import Path

from goldsmith.core import cache, paths
from goldsmith.devcloud import config
from goldsmith.devcloud.instance import Instance

_KIND, _FILE = "cloud-seed", "seed.tar"
_PARTS = ("keys", "secrets.json", "nova/compute_id")  # besides the databases


def key(venv: Path, services: Sequence[str], *, durable: bool = False) -> str:
    """The key of a seed: a hash of everything that the databases of these services depend on."""
    digest = hashlib.sha256(f"{venv.name} {' '.join(services)}{' durable' if durable else ''}".encode())
    for part in config.key_parts():
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def find(seed: str) -> Path | None:
    """The archive of a seed by its key; None if there is none."""
    entry = paths.cache_root() / _KIND / seed
    return entry / _FILE if cache.is_intact(entry) else None


def unpack(archive: Path, cloud: Instance) -> None:
    """Restore a seed into the state of a cloud."""
    with tarfile.open(archive) as packed:
        # Debian 12's Python is too old for the argument filter=
        packed.extraction_filter = getattr(tarfile, "data_filter", None)
        packed.extractall(cloud.state)  # noqa: S202 - an archive of our own


def keep(seed: str, cloud: Instance) -> None:
    """Keep the state of a new cloud as a seed."""
    cache.cached(_KIND, seed, lambda folder: _pack(cloud, folder))


def _pack(cloud: Instance, folder: Path) -> None:
    with tarfile.open(folder / _FILE, "w") as archive:
        for path in sorted((cloud.state / "db").glob("*.db")):
            copy = folder / path.name
            with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
                source.backup(target)
            archive.add(copy, f"db/{path.name}")
            copy.unlink()
        for name in _PARTS:
            if (cloud.state / name).exists():
                archive.add(cloud.state / name, name)
    (folder / _FILE).chmod(0o600)
