# SPDX-License-Identifier: Apache-2.0
"""cfn-get-metadata: print a resource's metadata, or the value of one key in them, as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from heat_config import cfnapi, cfnmetadata, cfnstate
from heat_config.cfnapi import ApiError
from heat_config.cfnmetadata import RefusedError


def main(words: Sequence[str]) -> int:
    """Exit status 0: printed; 1: there are no such metadata or no such key; 2: the options are refused."""
    parser = argparse.ArgumentParser(prog="cfn-get-metadata", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("-s", "--stack", required=True)
    parser.add_argument("-r", "--resource", required=True)
    cfnapi.add_keys(parser)
    parser.add_argument("--credential-file", type=Path, help="has AWSAccessKeyId=... and AWSSecretKey=...")
    parser.add_argument("-u", "--url", default="", help="of Heat's CloudFormation API (as at launch)")
    parser.add_argument("-k", "--key", help="of a value in them: KEY.KEY; 'KEY' in quotes if it has a dot")
    given = parser.parse_args(words)
    if not (given.stack and given.resource):
        parser.error("the stack and the resource must not be empty")
    try:
        path = cfnmetadata.split_key(given.key) if given.key else ()
        keys = cfnapi.read_keys(given.credential_file) if given.credential_file else cfnapi.keys_of(given)
        asked = cfnstate.Asked(given.stack, given.resource, keys, given.url)
        found = cfnmetadata.at(cfnstate.find(asked, cfnstate.State(), program="cfn-get-metadata"), path)
    except (RefusedError, ApiError) as e:
        print(f"cfn-get-metadata: {e}", file=sys.stderr)
        return 1
    if found is None:
        print(f"cfn-get-metadata: the metadata of {given.resource} have no {given.key}", file=sys.stderr)
        return 1
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
