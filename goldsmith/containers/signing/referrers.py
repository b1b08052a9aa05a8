# SPDX-License-Identifier: Apache-2.0
"""Ask a registry what refers to an image: the referrers API, which skopeo does not call.

Formats: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-referrers (the API,
and the tag that stands for it in other registries), https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple, cast

import msgspec

from goldsmith.containers import manifests, oci, skopeo
from goldsmith.containers.manifests import Descriptor
from goldsmith.core import proc
from goldsmith.errors import BuildError, CommandError, HostError

_TIMEOUT_S = 60.0
_LARGEST = 8 << 20  # bytes of all pages together
_PAGES = 100
_DOCKER_HUB = "index.docker.io"
_CERTIFICATES = (Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))  # containers-certs.d(5)
_ACCEPT = f"{oci.OCI_INDEX}, application/json"
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next\b')

_PATH = re.compile(r"/(?!/)")  # anything else after the name of a host may make it another host


class NotListedError(Exception):
    """The registry gives no list of referrers that can be used; the text says why."""


class _Login(NamedTuple):
    """What `docker login` stored: user and password in base64, or a token that stands for them."""

    basic: str = ""
    refresh_token: str = ""


class _Helped(msgspec.Struct, frozen=True, rename="pascal"):
    """The answer of a credential helper."""

    username: str
    secret: str


class _Stored(msgspec.Struct, frozen=True):
    """A login in ~/.docker/config.json."""

    auth: str = ""
    identitytoken: str = ""


class _Token(msgspec.Struct, frozen=True):
    """The answer of a token server, which uses either name."""

    token: str = ""
    access_token: str = ""


def tag(digest: str) -> str:
    """The tag with the list of an image's referrers, in a registry without the API."""
    return digest.replace(":", "-")


def listed(name: str, digest: str) -> Iterator[Descriptor]:
    """What refers to the image digest of the repository name, page by page. Raises NotListedError."""
    host, _, repository = name.partition("/")
    api = _Api(host)
    path = f"/v2/{repository}/referrers/{digest}"
    left, seen = _LARGEST, set[str]()
    while path:
        if path in seen or len(seen) == _PAGES:
            raise NotListedError(f"{host} lists referrers on more than {len(seen)} pages")
        seen.add(path)
        data, links = api.get(path, left)
        left -= len(data)
        yield from _entries(data, host)
        path = _next(links, path, host)


def _entries(data: bytes, host: str) -> tuple[Descriptor, ...]:
    try:
        found = manifests.manifest(data, host).manifests
    except BuildError:
        found = None
    if found is None:
        raise NotListedError(f"{host} answers the referrers API with something else than an index")
    return found


def _next(links: str, path: str, host: str) -> str:
    """The next page's path; its host is always the registry, which has our login. Raises NotListedError."""
    found = _NEXT.search(links)
    if found is None:
        return ""
    target = urllib.parse.urlsplit(urllib.parse.urljoin(path, found[1]))
    if not _PATH.match(target.path):
        raise NotListedError(f"{host} names a next page that is no path: {found[1]}")
    return str(target._replace(scheme="", netloc="").geturl())


class _Answer(NamedTuple):
    status: int
    headers: Message
    data: bytes


@dataclass(slots=True)
class _Api:
    """One registry over HTTP, with what `docker login` stored once it asks for that."""

    host: str
    authorization: str = field(default="", init=False)

    def get(self, path: str, limit: int) -> tuple[bytes, str]:
        """Content, and the header Link, of a path of the registry. Raises NotListedError."""
        answer = self._fetch(path, limit)
        if answer.status == HTTPStatus.UNAUTHORIZED and not self.authorization:
            self.authorization = _authorize(self.host, answer.headers.get_all("WWW-Authenticate") or [])
            answer = self._fetch(path, limit)
        if answer.status != HTTPStatus.OK:
            raise NotListedError(f"{self.host} answers the referrers API with HTTP {answer.status}")
        return answer.data, ",".join(answer.headers.get_all("Link") or [])

    def _fetch(self, path: str, limit: int) -> _Answer:
        host = _DOCKER_HUB if self.host == "docker.io" else self.host
        if skopeo.is_loopback(self.host):
            with contextlib.suppress(NotListedError):  # skopeo tries HTTPS there first, too
                return _send(self.host, f"https://{host}{path}", self.authorization, limit)
            return _send(self.host, f"http://{host}{path}", self.authorization, limit)
        return _send(self.host, f"https://{host}{path}", self.authorization, limit)


def _send(host: str, url: str, authorization: str, limit: int, form: dict[str, str] | None = None) -> _Answer:
    """The answer, of whatever status; a redirect does not take the authorization along."""
    data = None if form is None else urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(url, data=data, headers={"Accept": _ACCEPT})  # noqa: S310 - callers do
    if authorization:
        request.add_unredirected_header("Authorization", authorization)
    try:
        with _open(host, request) as answer:
            content = answer.read(limit + 1)
    except (OSError, http.client.HTTPException, ValueError) as e:  # ValueError: a redirect to nonsense
        raise NotListedError(f"cannot ask {host} for referrers: {e}") from e
    if len(content) > limit:
        raise NotListedError(f"{host} answers the referrers API with more than {_LARGEST >> 20} MiB")
    return _Answer(int(answer.status or 0), answer.headers, content)


def _open(host: str, request: urllib.request.Request) -> http.client.HTTPResponse | urllib.error.HTTPError:
    try:
        return cast(http.client.HTTPResponse, _opener(host).open(request, timeout=_TIMEOUT_S))
    except urllib.error.HTTPError as e:
        return e


def _authorize(host: str, challenges: list[str]) -> str:
    """The header for the first way to log in, of those that the registry offers, that is possible."""
    login = _login(host)
    for challenge in challenges:
        kind, _, rest = challenge.partition(" ")
        if kind.lower() == "basic" and login.basic:
            return f"Basic {login.basic}"
        if kind.lower() == "bearer":
            pairs = [each for each in urllib.request.parse_http_list(rest) if "=" in each]
            return f"Bearer {_token(host, urllib.request.parse_keqv_list(pairs), login)}"
    raise NotListedError(f"{host} denies access to its referrers API; run: docker login {host}")


def _token(host: str, words: dict[str, str], login: _Login) -> str:
    """A token of the server that a challenge names; without a login, that of an anonymous user."""
    realm = urllib.parse.urlsplit(words.get("realm", ""))
    if realm.scheme != "https" and not (realm.scheme == "http" and skopeo.is_loopback(realm.netloc)):
        raise NotListedError(f"{host} wants a login at {realm.geturl() or 'no address'}, which is not HTTPS")
    query: dict[str, str] = {key: words[key] for key in ("service", "scope") if key in words}
    if login.refresh_token:
        form = {**query, "grant_type": "refresh_token", "client_id": "goldsmith",
                "refresh_token": login.refresh_token}  # fmt: skip
        answer = _send(host, realm.geturl(), "", _LARGEST, form)
    else:
        asked = "&".join(filter(None, (realm.query, urllib.parse.urlencode(query))))
        basic = f"Basic {login.basic}" if login.basic else ""
        answer = _send(host, realm._replace(query=asked).geturl(), basic, _LARGEST)
    try:
        token = msgspec.json.decode(answer.data, type=_Token)
    except (ValueError, RecursionError):
        token = _Token()
    if not (token.token or token.access_token):
        raise NotListedError(f"{host} gives no token for its referrers API (HTTP {answer.status})")
    return token.token or token.access_token


def _opener(host: str) -> urllib.request.OpenerDirector:
    secure = urllib.request.HTTPSHandler(context=trust(host))
    if skopeo.is_loopback(host):
        return urllib.request.build_opener(urllib.request.ProxyHandler({}), secure)
    return urllib.request.build_opener(secure)


def trust(host: str) -> ssl.SSLContext:
    """TLS as skopeo checks it: not on loopback; elsewhere with the CAs of the system and of certs.d."""
    if skopeo.is_loopback(host):
        unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        return unchecked
    context = ssl.create_default_context()
    for folder in (parent / host for parent in _CERTIFICATES):
        for path in sorted(folder.glob("*.crt")):
            context.load_verify_locations(path)
        for path in sorted(folder.glob("*.cert")):
            context.load_cert_chain(path, path.with_suffix(".key"))
    return context


def _login(host: str) -> _Login:
    """What `docker login` stored for host; nothing where that cannot be used."""
    stored = skopeo.credentials(host) or {}
    try:
        if "credHelpers" in stored:
            return _helped(stored["credHelpers"][host], host)
        login = msgspec.convert(stored.get("auths", {}).get(host, {}), type=_Stored)
    except (ValueError, CommandError, HostError):
        return _Login()
    return _Login(basic=login.auth, refresh_token=login.identitytoken)


def _helped(helper: str, host: str) -> _Login:
    asked = f"https://{_DOCKER_HUB}/v1/" if host == "docker.io" else host
    answer = proc.capture([f"docker-credential-{helper}", "get"], stdin=asked.encode())
    found = msgspec.json.decode(answer, type=_Helped)
    if found.username == "<token>":
        return _Login(refresh_token=found.secret)
    return _Login(basic=base64.b64encode(f"{found.username}:{found.secret}".encode()).decode())
