# SPDX-License-Identifier: Apache-2.0
"""One HTTP request, with a deadline as a whole and redirects that do not change what is asked.

A client that follows 301, 302 or 303 repeats a POST or PUT as a GET, or without its body: the answer to that
is none to the request. 307 and 308 ask for the same request again. A GET is the same after each of them.
https://www.rfc-editor.org/rfc/rfc9110#section-15.4
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

from heat_config import api, deadline

if TYPE_CHECKING:
    from requests import Response

_SAME_REQUEST = (307, 308)
_MAX_REDIRECTS = 10


class Unanswered(Exception):
    """There is no whole answer. The message has no URL: it may be a credential."""


class Answer(NamedTuple):
    """Status and body; the status is a redirect's own if it is not followed."""

    status: int
    text: str


def send(
    method: str, url: str, *, body: str | None = None, headers: Mapping[str, str] | None = None,
    max_redirects: int = _MAX_REDIRECTS, verify: bool = True,
) -> Answer:  # fmt: skip
    """The answer, whatever its status. Raises Unanswered, ValueError for what is no URL of http or https.

    verify: check the server's certificate.
    """
    import requests  # it takes a second of a slow guest

    if not is_url(url):
        raise ValueError("it is no URL of http or https")
    try:
        with deadline.within(deadline.REQUEST_S):
            for left in range(max_redirects, -1, -1):
                got = requests.request(
                    method, url, data=body, headers=headers, timeout=api.TIMEOUT_S, allow_redirects=False,
                    verify=verify,
                )  # fmt: skip
                onward = _onward(method, got) if left else None
                if onward is None:
                    break
                url = onward
            return Answer(got.status_code, got.content.decode(errors="replace"))
    except deadline.Exceeded as e:
        raise Unanswered(str(e)) from None
    except (requests.RequestException, ValueError) as e:  # the latter for a host's name that is none
        raise Unanswered(_reason(e)) from e


def is_url(text: str) -> bool:
    """True for a URL of http or https that names a host."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _onward(method: str, got: Response) -> str | None:
    """Where the same request goes next; None if this is the answer."""
    if not got.is_redirect or (method not in {"GET", "HEAD"} and got.status_code not in _SAME_REQUEST):
        return None
    target = urljoin(got.url, got.headers["location"])
    is_downgrade = urlsplit(got.url).scheme == "https" and urlsplit(target).scheme == "http"
    return None if is_downgrade or not is_url(target) else target


def _reason(error: BaseException) -> str:
    """The system's reason; the library's own text has the URL."""
    inner: BaseException | None = error
    while inner is not None and not (isinstance(inner, OSError) and inner.strerror):
        inner = inner.__cause__ or inner.__context__
    return f"{type(error).__name__}: {inner.strerror}" if isinstance(inner, OSError) else type(error).__name__
