# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import http.server
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.apt import indexes
from goldsmith.apt.mirror import Mirrors
from goldsmith.core import paths
from goldsmith.errors import BuildError, HostError

HASH = "a" * 64


GOOD = """
sed '1,/^$/d; /^-----BEGIN PGP SIGNATURE/,$d' "$8" > "$7"
echo '[GNUPG:] NEWSIG'
echo '[GNUPG:] GOODSIG 5F5124D134572543 Debian'
echo '[GNUPG:] VALIDSIG AE88 2026-11-30 1796070636 0 4 0 1 10 01 AE88'
"""


def release(
    date: str = "Sat, 21 Nov 2026 09:15:44 UTC", packages: str = HASH, until: str = "", suite: str = "x",
    components: str = "main contrib",
) -> bytes:  # fmt: skip
    return (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
        f"Suite: stable\nCodename: {suite}\nComponents: {components}\n"
        f"Date: {date}\n{until}SHA256:\n {packages}   123 main/binary-amd64/Packages\n"
        f" {'b' * 64}   45 main/binary-arm64/Packages\n"
        "-----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----\n"
    ).encode()


@pytest.fixture
def served() -> Iterator[tuple[Mirrors, dict[str, bytes]]]:
    """A mirror on loopback, and its files by path."""
    files: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: object) -> None: ...

    for path in ("debian/dists/x", "debian/dists/x-updates", "security/dists/x-security"):
        files[f"/{path}/InRelease"] = release(suite=path.rpartition("/")[2])
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        base = f"http://user:p%40ss@127.0.0.1:{server.server_port}"
        yield Mirrors(debian=f"{base}/debian", security=f"{base}/security"), files
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keyring.gpg").touch()
    monkeypatch.setattr(indexes, "KEYRING", tmp_path / "keyring.gpg")


def test_the_key_depends_on_packages_and_not_on_the_signature(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path]
) -> None:
    calls = fake("gpgv", GOOD)
    mirrors, files = served
    first = indexes.current("x", mirrors)
    assert len(calls.read_text().splitlines()) == 3
    files["/security/dists/x-security/InRelease"] = release(
        date="Sun, 22 Nov 2026 09:15:44 UTC", suite="x-security"
    )
    again = indexes.current("x", mirrors)
    assert again.key("amd64") == first.key("amd64")
    assert again.epoch == first.epoch + 86400
    files["/security/dists/x-security/InRelease"] = release(packages="c" * 64, suite="x-security")
    newer = indexes.current("x", mirrors)
    assert newer.key("amd64") != first.key("amd64")
    assert newer.key("arm64") == first.key("arm64")


def test_an_invalid_signature_is_refused_without_showing_a_password(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path]
) -> None:
    fake("gpgv", "exit 1")
    with pytest.raises(BuildError, match=r"signature of 127\.0\.0\.1/debian/dists/x/InRelease") as e:
        indexes.current("x", served[0])
    assert "p%40ss" not in str(e.value)


def test_text_around_the_signed_part_is_refused(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path]
) -> None:
    fake("gpgv", GOOD)
    served[1]["/debian/dists/x/InRelease"] += b"more\n"
    with pytest.raises(BuildError, match="text outside"):
        indexes.current("x", served[0])


def test_offline_the_last_state_is_used_and_reported(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    fake("gpgv", GOOD)
    before = indexes.current("x", served[0])
    gone = Mirrors(debian="http://127.0.0.1:9/debian", security="http://127.0.0.1:9/security")
    assert indexes.current("x", gone).key("amd64") == before.key("amd64")
    assert "using Debian's index of Sat, 21 Nov 2026 09:15:44 GMT" in capsys.readouterr().err


def test_offline_without_an_earlier_state_is_an_error(fake: Callable[..., Path]) -> None:
    fake("gpgv", GOOD)
    gone = Mirrors(debian="http://127.0.0.1:9/debian", security="http://127.0.0.1:9/security")
    with pytest.raises(HostError, match="no earlier one is known"):
        indexes.current("x", gone)


def test_a_mirror_without_the_suite_is_not_reported_as_offline(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path]
) -> None:
    fake("gpgv", GOOD)
    with pytest.raises(HostError, match="answers 404"):
        indexes.current("y", served[0])


def test_without_a_keyring_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "KEYRING", Path("/nonexistent"))
    with pytest.raises(HostError) as e:
        indexes.current("x", Mirrors(debian="http://127.0.0.1:9", security="http://127.0.0.1:9"))
    assert "debian-archive-keyring" in (e.value.hint or "")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("debian/dists/x/InRelease", "Sat, 28 Nov 2020 09:15:44 GMT"),
        ("security/dists/x-security/InRelease", "Sat, 28 Nov 2020 09:15:44 GMT"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "GMT", "+0000"])
def test_an_expired_index_is_refused_and_not_remembered(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path], path: str, shown: str, zone: str
) -> None:
    fake("gpgv", GOOD)
    served[1][f"/{path}"] = release(
        until=f"Valid-Until: Sat, 28 Nov 2020 09:15:44 {zone}\n", suite=path.split("/")[2]
    )

    with pytest.raises(BuildError, match=f"Debian's index {path} expired on {re.escape(shown)}") as e:
        indexes.current("x", served[0])

    assert "clock" in (e.value.hint or "")
    assert not (paths.cache_root() / "index").exists()


def test_an_index_that_is_still_valid_is_used(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path]
) -> None:
    fake("gpgv", GOOD)
    served[1]["/debian/dists/x/InRelease"] = release(until="Valid-Until: Sat, 28 Nov 2099 09:15:44 UTC\n")
    assert not indexes.current("x", served[0]).pinned


def test_an_index_without_a_readable_end_is_refused(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path]
) -> None:
    fake("gpgv", GOOD)
    served[1]["/debian/dists/x/InRelease"] = release(until="Valid-Until: soon\n")
    with pytest.raises(BuildError, match="has no valid Valid-Until: soon"):
        indexes.current("x", served[0])


def test_offline_the_last_state_is_refused_once_it_has_expired(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("gpgv", GOOD)
    served[1]["/debian/dists/x/InRelease"] = release(until="Valid-Until: Sat, 28 Nov 2099 09:15:44 UTC\n")
    indexes.current("x", served[0])
    monkeypatch.setattr(time, "time", lambda: 4_200_000_000.0)
    gone = Mirrors(debian="http://127.0.0.1:9/debian", security="http://127.0.0.1:9/security")

    with pytest.raises(BuildError, match="expired on") as e:
        indexes.current("x", gone)

    assert "--locked" in (e.value.hint or "")


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("debian/dists/x", release(suite="w"), "/dists/x/InRelease is the index of w, not of x"),
        ("debian/dists/x-updates", release(suite="x"), "is the index of x, not of x-updates"),
        ("security/dists/x-security", release(suite="x-updates"), "is the index of x-updates, not of x-sec"),
        ("debian/dists/x", release(components="contrib non-free"), "has no component main, but: contrib non"),
    ],
)
def test_a_signed_index_of_another_suite_is_refused(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path], path: str, text: bytes, problem: str
) -> None:
    fake("gpgv", GOOD)
    served[1][f"/{path}/InRelease"] = text

    with pytest.raises(BuildError, match=problem):
        indexes.current("x", served[0])

    assert not (paths.cache_root() / "index").exists()


def test_security_names_its_components_in_its_own_way_and_a_suite_may_have_two_names(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path]
) -> None:
    fake("gpgv", GOOD)
    files = served[1]
    files["/security/dists/x-security/InRelease"] = release(suite="x-security", components="updates/main")
    for name in [path for path in files if "/dists/x" in path]:
        files[name.replace("/dists/x", "/dists/stable")] = files[name].replace(b"Codename: x", b"Codename: y")

    indexes.current("x", served[0])
    with pytest.raises(BuildError, match="is the index of y-updates, not of stable-updates"):
        indexes.current("stable", served[0])
