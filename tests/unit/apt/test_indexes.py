# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import http.server
import json
import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.apt import indexes
from goldsmith.apt.indexes import Accepted
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
    files["/security/dists/x-security/InRelease"] = release(
        date="Sun, 22 Nov 2026 09:15:44 UTC", packages="c" * 64, suite="x-security"
    )
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


GONE = Mirrors(debian="http://127.0.0.1:9/debian", security="http://127.0.0.1:9/security")
REMEMBERED = Accepted(remembered=True)


def test_without_a_mirror_the_last_state_is_used_only_where_it_is_accepted(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    fake("gpgv", GOOD)
    before = indexes.current("x", served[0])
    with pytest.raises(HostError, match="cannot fetch Debian's index") as e:
        indexes.current("x", GONE)
    with pytest.raises(HostError):
        indexes.current("x", GONE, Accepted(older=True))

    found = indexes.current("x", GONE, REMEMBERED)

    assert e.value.retryable
    assert "Sat, 21 Nov 2026 09:15:44 GMT: --remembered-index" in (e.value.hint or "")
    assert found.releases == before.releases
    assert found.doubts == (
        "no mirror answered; the index of x is the last one seen, of Sat, 21 Nov 2026 09:15:44 GMT",
    )
    assert f"accepted: {found.doubts[0]}" in capsys.readouterr().err


def test_a_remembered_state_that_was_changed_meanwhile_is_refused(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path]
) -> None:
    fake("gpgv", GOOD)
    indexes.current("x", served[0])
    kept = paths.cache_root() / "index/x.json"
    kept.write_text(kept.read_text().replace("Codename: x\\n", "Codename: y\\n"))
    with pytest.raises(BuildError, match="is the index of y, not of x"):
        indexes.current("x", GONE, REMEMBERED)

    fake("gpgv", "exit 1")
    with pytest.raises(BuildError, match="signature of cache/debian/dists/x/InRelease"):
        indexes.current("x", GONE, REMEMBERED)


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", b"HTTP/1.0 200 OK\r\nContent-Length: 999\r\n\r\nhalf"]
)
def test_a_mirror_whose_answer_is_broken_or_cut_off_does_not_answer(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path], answer: bytes
) -> None:
    class Broken(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1000)
            self.request.sendall(answer)

    fake("gpgv", GOOD)
    indexes.current("x", served[0])
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Broken) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        base = f"http://127.0.0.1:{server.server_address[1]}"
        broken = Mirrors(debian=f"{base}/debian", security=f"{base}/security")
        with pytest.raises(HostError, match="cannot fetch Debian's index") as e:
            indexes.current("x", broken)
        assert indexes.current("x", broken, REMEMBERED).doubts
        server.shutdown()
    assert e.value.retryable


def test_a_record_without_all_indexes_is_none(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path]
) -> None:
    fake("gpgv", GOOD)
    indexes.current("x", served[0])
    file = paths.cache_root() / "index/x.json"
    file.write_text(
        json.dumps({"debian/dists/x/InRelease": json.loads(file.read_text())["debian/dists/x/InRelease"]})
    )

    with pytest.raises(HostError, match="no earlier one is known"):
        indexes.current("x", GONE, REMEMBERED)


SECURITY = "security/dists/x-security/InRelease"
DAY_BEFORE, DAY_AFTER = (f"{day} Nov 2026 09:15:44 UTC" for day in ("Fri, 20", "Sun, 22"))


def of_security(date: str) -> bytes:
    return release(date=date, suite="x-security")


def test_an_index_that_is_older_than_one_seen_before_is_refused_where_it_is_not_accepted(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    fake("gpgv", GOOD)
    mirrors, files = served
    indexes.current("x", mirrors)
    files[f"/{SECURITY}"] = of_security(DAY_BEFORE)
    doubt = (
        f"{SECURITY} is of Fri, 20 Nov 2026 09:15:44 GMT, older than that of"
        " Sat, 21 Nov 2026 09:15:44 GMT, which was seen here"
    )

    with pytest.raises(BuildError, match=f"a mirror is behind: {re.escape(doubt)}") as e:
        indexes.current("x", mirrors)
    with pytest.raises(BuildError):
        indexes.current("x", mirrors, REMEMBERED)
    found = indexes.current("x", mirrors, Accepted(older=True))

    assert e.value.retryable
    assert "--allow-older-index" in (e.value.hint or "")
    assert (found.doubts, found.releases[SECURITY]) == ((doubt,), of_security(DAY_BEFORE))
    assert f"accepted: {doubt}" in capsys.readouterr().err


def test_what_was_accepted_once_does_not_count_as_the_newest(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path]
) -> None:
    fake("gpgv", GOOD)
    mirrors, files = served
    indexes.current("x", mirrors)
    files[f"/{SECURITY}"] = of_security(DAY_BEFORE)
    indexes.current("x", mirrors, Accepted(older=True))

    with pytest.raises(BuildError, match="a mirror is behind"):
        indexes.current("x", mirrors)
    files[f"/{SECURITY}"] = of_security(DAY_AFTER)
    assert indexes.current("x", mirrors).doubts == ()
    assert indexes.current("x", GONE, REMEMBERED).releases[SECURITY] == of_security(DAY_AFTER)


@pytest.mark.parametrize("kept", ["", "[]", "{}", '{"security/dists/x-security/InRelease": "no index"}'])
def test_a_record_that_cannot_be_read_says_nothing_about_others(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path], kept: str
) -> None:
    fake("gpgv", GOOD)
    file = paths.cache_root() / "index/x.json"
    file.parent.mkdir(parents=True)
    file.write_text(kept)

    assert indexes.current("x", served[0]).doubts == ()
    assert indexes.current("x", GONE, REMEMBERED).releases[SECURITY] == served[1][f"/{SECURITY}"]


def test_an_index_that_a_lock_names_may_be_older_and_expired(
    served: tuple[Mirrors, dict[str, bytes]], fake: Callable[..., Path]
) -> None:
    fake("gpgv", GOOD)
    mirrors, files = served
    indexes.current("x", mirrors)
    old = release(date=DAY_BEFORE, until="Valid-Until: Sat, 28 Nov 2020 09:15:44 UTC\n", suite="x-security")
    files[f"/{SECURITY}"] = old
    named = {path.lstrip("/"): hashlib.sha256(text).hexdigest() for path, text in files.items()}

    assert indexes.current("x", mirrors, pinned=named).pinned
    with pytest.raises(BuildError, match="expired on"):
        indexes.current("x", mirrors, pinned={**named, "debian/dists/x/InRelease": HASH})


def test_offline_without_an_earlier_state_is_an_error(fake: Callable[..., Path]) -> None:
    fake("gpgv", GOOD)
    for accepted in (Accepted(), REMEMBERED):
        with pytest.raises(HostError, match="no earlier one is known"):
            indexes.current("x", GONE, accepted)


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

    with pytest.raises(BuildError, match="expired on") as e:
        indexes.current("x", GONE, REMEMBERED)

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
