# SPDX-License-Identifier: Apache-2.0
"""The files by which apt in a container's build uses the local proxy; no image keeps them."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable

from goldsmith.apt import indexes

CONFIGURATION = "etc/apt/apt.conf.d/zz-goldsmith-build"
SOURCES = "etc/apt/sources.list.d/goldsmith-build.list"
POLICY = "usr/sbin/policy-rc.d"  # README.policy-rc.d of init-system-helpers
POLICY_TEXT = b"#!/bin/sh\n# goldsmith: no package starts a service while an image is built\nexit 101\n"


def archive(proxy: str, suite: str | None, https_proxy: str | None = None, *, pinned: bool = False) -> bytes:
    """A tar archive to unpack at the root of an image before its RUN lines.

    proxy: address of proxy.serve(). suite: for an image without sources, which then gets Debian's.
    https_proxy: for sources with https; without it they are asked directly. pinned: a lock names the index,
    which may have expired; otherwise apt checks the age of all indexes.
    """
    files = {
        CONFIGURATION: (
            f'Acquire::http::Proxy "{proxy}";\nAcquire::http::Proxy::127.0.0.1 "DIRECT";\n'
            f'Acquire::https::Proxy "{https_proxy or "DIRECT"}";\n'  # otherwise it is that of http
            + ('Acquire::Check-Valid-Until "false";\n' if pinned else "")
            + 'Acquire::Retries "2";\nAcquire::Languages "none";\nDPkg::Use-Pty "0";\n'
        ).encode(),
        POLICY: POLICY_TEXT,
    }
    if suite is not None:
        files[SOURCES] = _sources(proxy, suite).encode()
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755 if name == POLICY else 0o644
            made.addfile(entry, io.BytesIO(data))
    return sink.getvalue()


def suite(release: str) -> str | None:
    """The suite of an image with this os-release(5); None if it is not Debian's."""
    fields = dict(re.findall(r"^(ID|VERSION_CODENAME)=[\"']?([\w.-]+)[\"']?$", release, re.MULTILINE))
    return fields.get("VERSION_CODENAME") if fields.get("ID") == "debian" else None


def have_sources(files: Iterable[tuple[str, str]]) -> bool:
    """Files of /etc/apt (name from apt/ on, content) name sources for apt."""
    lists = re.compile(r"apt/sources\.list|apt/sources\.list\.d/[^/]+\.(list|sources)")
    return any(
        lists.fullmatch(name) and re.search(r"^\s*(deb |deb\t|deb-src|Types:)", text, re.MULTILINE)
        for name, text in files
    )


def _sources(proxy: str, suite: str) -> str:
    by = f"deb [signed-by={indexes.KEYRING}]"
    return (
        f"{by} {proxy}/debian {suite} main\n{by} {proxy}/debian {suite}-updates main\n"
        f"{by} {proxy}/security {suite}-security main\n"
    )
