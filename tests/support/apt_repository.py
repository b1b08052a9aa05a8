# SPDX-License-Identifier: Apache-2.0
"""A signed Debian repository of small packages on loopback, whose contents a test can change."""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import http.server
import lzma
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from goldsmith.apt.mirror import Mirrors
from goldsmith.core import proc
from tests.support.gnupg import Gpg

SUITE = "trixie"
_LIST = "main/binary-amd64/Packages"


class Repository:
    """folder: its files; keyring: the key that verifies its signatures, which gpg makes."""

    def __init__(self, folder: Path, gpg: Gpg) -> None:
        self.folder, self.keyring = folder / "files", folder / "keyring.gpg"
        self._scratch, self._made, self._until = folder / "made", 0, ""
        folder.mkdir(parents=True)
        self._gpg = gpg
        gpg("--output", self.keyring, "--export")

    def publish(self, packages: Mapping[str, str], *, valid_s: int = 86400) -> None:
        """Replace the packages of the repository by these (name -> version).

        valid_s: seconds from now until the indexes expire.
        """
        self._until = email.utils.formatdate(time.time() + valid_s, usegmt=True)
        for path in self.folder.glob("debian/pool/main/*"):
            path.unlink()
        paragraphs = [self._package(name, version) for name, version in packages.items()]
        self._made += 1
        self._suite("debian", SUITE, paragraphs)
        self._suite("debian", f"{SUITE}-updates", [])
        self._suite("security", f"{SUITE}-security", [])

    def sha256(self, name: str, version: str) -> str:
        """The hex sha256 of a package as it was built."""
        return hashlib.sha256((self._scratch / f"{name}_{version}_amd64.deb").read_bytes()).hexdigest()

    @contextlib.contextmanager
    def served(self) -> Iterator[Mirrors]:
        """The addresses of the repository, as those of Debian's two mirrors."""
        handler = partial(_Quiet, directory=str(self.folder))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            base = f"http://127.0.0.1:{server.server_port}"
            try:
                yield Mirrors(debian=f"{base}/debian", security=f"{base}/security")
            finally:
                server.shutdown()
                thread.join()

    def _package(self, name: str, version: str) -> str:
        made = self._scratch / f"{name}_{version}_amd64.deb"
        if not made.exists():
            control = self._scratch / f"{name}-{version}" / "DEBIAN" / "control"
            control.parent.mkdir(parents=True)
            fields = {
                "Package": name, "Version": version, "Architecture": "amd64",
                "Maintainer": "Nobody <nobody@test.invalid>", "Description": "a stub",
            }  # fmt: skip
            control.write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))
            proc.capture(["dpkg-deb", "--root-owner-group", "--build", control.parents[1], made])
        pool = self.folder / "debian/pool/main" / made.name
        pool.parent.mkdir(parents=True, exist_ok=True)
        pool.write_bytes(made.read_bytes())
        return (
            f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/main/{made.name}\n"
            f"Size: {made.stat().st_size}\nSHA256: {self.sha256(name, version)}\nDescription: a stub\n"
        )

    def _suite(self, area: str, suite: str, paragraphs: list[str]) -> None:
        folder = self.folder / area / "dists" / suite
        plain = "\n".join(paragraphs).encode()
        lists = {f"{_LIST}.xz": lzma.compress(plain), _LIST: plain}
        for name, data in lists.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        date = email.utils.formatdate(1_790_000_000 + self._made, usegmt=True)
        listed = "".join(
            f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}\n" for name, data in lists.items()
        )
        release = folder / "Release"
        release.write_text(
            f"Origin: test\nSuite: {suite}\nCodename: {suite}\nDate: {date}\nValid-Until: {self._until}\n"
            f"Architectures: amd64\n"
            f"Components: main\nSHA256:\n{listed}"
        )
        self._gpg("--yes", "--output", folder / "InRelease", "--clearsign", release)
        release.unlink()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""
