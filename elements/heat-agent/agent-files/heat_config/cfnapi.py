# SPDX-License-Identifier: Apache-2.0
"""Ask Heat's CloudFormation API for a resource's metadata, with the keys of a user that Heat trusts.

The signature is version 2 of AWS, without a time: so a wrong clock does not matter.
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackResource.html
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from heat_config import web

SERVER = Path("/var/lib/heat-cfntools/cfn-metadata-server")  # the API's URL, which Heat puts there at boot
_PATH = "/v1/"
_KEY_NAMES = ("AWSAccessKeyId", "AWSSecretKey")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class ApiError(Exception):
    """Heat cannot be asked, or does not answer with metadata."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """An access key of Keystone and its secret."""

    access: str
    secret: str = field(repr=False)


def read_keys(path: Path) -> Keys:
    """The keys of a file with AWSAccessKeyId=... and AWSSecretKey=... Raises ApiError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as e:
        raise ApiError(f"cannot read {path}: {getattr(e, 'strerror', None) or e}") from None
    found = {name: re.search(rf"^{name} *= *(\S+)", text, re.MULTILINE) for name in _KEY_NAMES}
    lacking = [name for name, match in found.items() if match is None]
    if lacking:
        raise ApiError(f"{path} has no {lacking[0]}")
    access, secret = (match[1] for match in found.values() if match)
    return Keys(access=access, secret=secret)


def add_keys(parser: argparse.ArgumentParser) -> None:
    """Add heat-cfntools' options for asking Heat."""
    parser.add_argument("--access-key", help="a Keystone access key")
    parser.add_argument("--secret-key", help="its secret; visible to every user of this machine")
    parser.add_argument("--region", help="not needed: Heat's address is here")


def keys_of(given: argparse.Namespace) -> Keys | None:
    """The keys among the options, None unless both are there."""
    if not (given.access_key and given.secret_key):
        return None
    return Keys(access=given.access_key, secret=given.secret_key)


def describe(*, stack: str, resource: str, keys: Keys, url: str = "") -> dict[str, Any]:
    """The metadata of a resource, {} for none. Raises ApiError.

    url: of the API; by default the one that Heat put here.
    """
    address = _signed(_address(url or _server()), {
        "Action": "DescribeStackResource", "StackName": stack, "LogicalResourceId": resource,
        "AWSAccessKeyId": keys.access, "SignatureVersion": "2", "SignatureMethod": "HmacSHA256",
        "ContentType": "JSON",
    }, keys.secret)  # fmt: skip
    try:
        got = web.send("GET", address, max_redirects=0)  # the signature holds for this host alone
    except (web.Unanswered, ValueError) as e:
        raise ApiError(f"no answer from Heat: {e}") from e
    if got.status != 200:
        raise ApiError(f"Heat answers {got.status} for {resource} of {stack}: {got.text[:300]}")
    return _metadata(got.text)


def _server() -> str:
    try:
        return SERVER.read_text().strip()
    except OSError as e:
        raise ApiError(f"the address of Heat's API is not known: {SERVER}: {e.strerror}") from None


def _address(url: str) -> str:
    """The URL with the version's path, which older Heats leave out."""
    if not web.is_url(url):
        raise ApiError("the address of Heat's API is no URL of http or https")
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path if path.endswith(_PATH.rstrip('/')) else path + '/v1'}/"


def _signed(url: str, params: Mapping[str, str], secret: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.lower().removesuffix(
        _DEFAULT_PORTS[parts.scheme]
    )  # as a client names it to the server
    query = "&".join(f"{name}={quote(params[name], safe='-_.~')}" for name in sorted(params))
    text = "\n".join(("GET", host, parts.path, query))
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return f"{url}?{query}&Signature={quote(base64.b64encode(digest), safe='')}"


def _metadata(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)["DescribeStackResourceResponse"]["DescribeStackResourceResult"]
        metadata = found["StackResourceDetail"].get("Metadata") or {}
        metadata = json.loads(metadata) if isinstance(metadata, str) else metadata
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise ApiError("the answer of Heat's API has no metadata of a resource")
    return metadata
