# SPDX-License-Identifier: Apache-2.0
"""Download files into the cache: streamed, resumed after faults, their sha256 checked before use."""

from __future__ import annotations

import hashlib
import http.client
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import IO

from goldsmith.core import cache, progress
from goldsmith.errors import BuildError

SCHEMES = ("https", "http", "file")

_ATTEMPTS = 4
_PAUSE_S = 1.0  # before the second attempt; twice as long before each further one
_STALL_S = 60.0  # give up a connection without data for so long
_SLOWEST = 1024  # bytes a second, over _STALL_S: give up a slower one too
_CHUNK = 1 << 18
_TEMPORARY = frozenset(
    (
        HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT,
    )
)  # fmt: skip


class _TemporaryError(Exception):
    """A failure that another attempt may not have."""


def fetch(url: str, sha256: str, *, log_path: Path) -> Path:
    """The file in the cache, under its sha256 and with its name from the URL.

    Follows redirects, resumes a broken transfer, and appends a line to log_path. Raises BuildError if the
    file cannot be fetched or has another sha256; then nothing is kept.
    """
    shown = _checked_scheme(url)

    def fill(folder: Path) -> None:
        start = time.monotonic()
        size = _store(url, sha256, folder / _file_name(url), shown)
        took = f"{progress.human_bytes(size)} in {time.monotonic() - start:.1f} s"
        with log_path.open("a", encoding="utf-8") as log:
            log.write(f"fetched {shown}: {took}, sha256 {sha256}\n")

    entry = cache.cached("download", sha256.lower(), fill)
    return next(path for path in sorted(entry.iterdir()) if not path.name.startswith("."))


def to_file(url: str, target: Path) -> None:
    """Download a file without a known sha256, for content with its own signature. Raises BuildError."""
    shown = _checked_scheme(url)
    with target.open("w+b") as sink:
        _transfer(url, sink, shown)


def _checked_scheme(url: str) -> str:
    """Check the scheme; return the URL without secrets, for messages."""
    shown, scheme = _shown(url), urllib.parse.urlsplit(url).scheme
    if scheme not in SCHEMES:
        raise BuildError(f"cannot fetch {shown}: {scheme or 'no scheme'}", hint=f"use {', '.join(SCHEMES)}")
    return shown


def _store(url: str, sha256: str, target: Path, shown: str) -> int:
    with target.open("w+b") as sink:
        _transfer(url, sink, shown)
        sink.seek(0)
        got = hashlib.file_digest(sink, "sha256").hexdigest()
        size = sink.tell()
    if got != sha256.lower():
        raise BuildError(
            f"{shown} has another sha256: expected {sha256}, got {got}",
            hint="compare with the checksum of its publisher; nothing was kept",
            retryable=False,
        )
    return size


def _transfer(url: str, sink: IO[bytes], shown: str) -> None:
    pause_s = _PAUSE_S
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _attempt(url, sink, shown)
        except _TemporaryError as e:
            if attempt == _ATTEMPTS:
                hint = "check the network, the proxy variables and the URL, then build again"
                message = f"cannot fetch {shown}, tried {attempt} times: {e}"
                raise BuildError(message, hint=hint, retryable=True) from e
            progress.note(f"{shown}: {e}; again in {pause_s:.0f} s")
            time.sleep(pause_s)
            pause_s *= 2
        else:
            return


def _attempt(url: str, sink: IO[bytes], shown: str) -> None:
    """Download the rest of sink. Raises _TemporaryError, or BuildError where a retry makes no sense."""
    request = urllib.request.Request(url, headers={"User-Agent": "goldsmith"})  # noqa: S310 - see SCHEMES
    if sink.tell():
        request.add_header("Range", f"bytes={sink.tell()}-")
    try:
        with urllib.request.urlopen(request, timeout=_STALL_S) as response:  # noqa: S310
            if response.status != HTTPStatus.PARTIAL_CONTENT:
                _empty(sink)
            _receive(response, sink, shown)
    except urllib.error.HTTPError as e:
        e.close()
        if e.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            _empty(sink)
        elif e.code not in _TEMPORARY:
            raise _wrong(shown, f"{e.code} {e.reason}", hint="check the URL") from e
        raise _TemporaryError(f"{e.code} {e.reason}") from e
    except urllib.error.URLError as e:
        raise _without_response(e.reason, request.type, shown) from e
    except http.client.InvalidURL:  # its own message would show a password
        raise _wrong(shown, "not a valid URL", hint="remove user and password from the URL") from None
    except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as e:
        raise _TemporaryError(str(e) or type(e).__name__) from e


def _without_response(reason: str | BaseException, scheme: str, shown: str) -> Exception:
    """The error to raise when there was no response."""
    if isinstance(reason, ssl.SSLCertVerificationError):
        hint = "name your own certificate authority in SSL_CERT_FILE"
        return _wrong(shown, reason, hint=hint)
    if scheme == "file":
        return _wrong(shown, reason, hint="check the URL")
    return _TemporaryError(str(reason))


def _wrong(shown: str, reason: object, *, hint: str) -> BuildError:
    """Another attempt would fail in the same way."""
    return BuildError(f"cannot fetch {shown}: {reason}", hint=hint, retryable=False)


def _receive(response: http.client.HTTPResponse, sink: IO[bytes], shown: str) -> None:
    length = response.headers.get("Content-Length")
    total = None if length is None else sink.tell() + int(length)
    mark_s, mark = time.monotonic(), sink.tell()
    # read1 returns the data that has arrived; read() would wait for a whole chunk, however slow
    read = getattr(response, "read1", response.read)
    with progress.meter(f"fetch {shown}", total=total, done=sink.tell()) as got:
        while data := read(_CHUNK):
            sink.write(data)
            got.at(sink.tell())
            now_s = time.monotonic()
            if now_s - mark_s >= _STALL_S:
                if sink.tell() - mark < _SLOWEST * _STALL_S:
                    raise _TemporaryError(f"less than {_SLOWEST} bytes a second")
                mark_s, mark = now_s, sink.tell()
    if total is not None and sink.tell() != total:
        raise _TemporaryError(f"the connection ended after {sink.tell()} of {total} bytes")


def _empty(sink: IO[bytes]) -> None:
    sink.seek(0)
    sink.truncate()


def _shown(url: str) -> str:
    """The URL without possible secrets: user, password and query."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _file_name(url: str) -> str:
    """The last part of the URL's path, in characters that every file system allows."""
    last = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])
    return re.sub(r"[^A-Za-z0-9._+-]", "_", last).lstrip(".")[-120:] or "file"
