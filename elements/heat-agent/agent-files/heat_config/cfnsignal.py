# SPDX-License-Identifier: Apache-2.0
"""cfn-signal: tell a wait condition of Heat, by its handle's URL, whether the work of user data succeeded."""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from heat_config import web
from heat_config.cfnmetadata import is_true

INSTANCE = Path("/var/lib/cloud/data/instance-id")
_JSON = {"Content-Type": "application/json"}


def main(words: Sequence[str]) -> int:
    """Exit status 0: Heat has accepted the signal; 1: it has not; 2: the options are refused."""
    parser = _parser()
    given = parser.parse_args(words)
    if given.aws:
        parser.error("Heat signals by the URL of a wait condition's handle, not by --stack and --resource")
    if not given.url or not web.is_url(given.url):
        parser.error("the URL of a wait condition's handle is needed")
    status = _is_success(given.exit_code, given.success)
    body = {
        "Status": "SUCCESS" if status else "FAILURE", "Reason": given.reason,
        "UniqueId": given.id or _unique_id(), "Data": given.data,
    }  # fmt: skip
    try:
        got = web.send("PUT", given.url, body=json.dumps(body), headers=_JSON, verify=not given.insecure)
    except web.Unanswered as e:
        print(f"cfn-signal: the signal was not delivered: {e}", file=sys.stderr)
        return 1
    if not 200 <= got.status < 300:
        print(f"cfn-signal: the signal was not accepted: {got.status}: {got.text[:300]}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cfn-signal", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("url", nargs="?", help="the reference of an AWS::CloudFormation::WaitConditionHandle")
    parser.add_argument("-s", "--success", default="true", help="true for success (%(default)s)")
    parser.add_argument(
        "-e", "--exit-code", "--exit", metavar="STATUS", help="0 for success; goes before --success"
    )
    parser.add_argument("-r", "--reason", default="Configuration Complete", help="(%(default)s)")
    parser.add_argument(
        "-d", "--data", default="Application has completed configuration.", help="(%(default)s)"
    )
    parser.add_argument("-i", "--id", help="signals of one id count once (the server's id)")
    parser.add_argument("-k", "--insecure", action="store_true", help="do not check Heat's certificate")
    for option in ("--stack", "--resource", "--region"):
        parser.add_argument(option, dest="aws", help=argparse.SUPPRESS)
    return parser


def _is_success(exit_code: str | None, success: str) -> bool:
    """An exit status that is none, as of a variable that is not set, is no success."""
    return is_true(success) if exit_code is None else exit_code.strip() == "0"


def _unique_id() -> str:
    try:
        return INSTANCE.read_text().strip() or socket.getfqdn()
    except OSError:
        return socket.getfqdn()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
