# SPDX-License-Identifier: Apache-2.0
"""Run a program as root in mount and process namespaces of its own: all it mounts and starts ends with it.

`python -m goldsmith.core.isolation USER ENVIRONMENT -- PROGRAM ...` becomes PROGRAM as USER (a number);
ENVIRONMENT is a JSON file with the program's variables, because sudo passes none on.
"""

from __future__ import annotations

import json
import os
import pwd
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from goldsmith.core import privilege, proc
from goldsmith.core.proc import Arg

# Process 1 of a namespace has no default actions for signals, so it is not the program but its parent.
_PARENT = ("sh", "-c", '"$@"; exit $?', "goldsmith")


def contained(argv: Sequence[Arg], *, network: bool = True) -> tuple[Arg, ...]:
    """The command that runs argv as root in its own namespaces; network: it has the host's network."""
    return privilege.as_root(
        (
            "unshare", "--mount", "--propagation=slave", "--pid", "--fork", "--kill-child", "--mount-proc",
            *(() if network else ("--net",)), *_PARENT, *argv,
        )
    )  # fmt: skip


def as_ourselves(argv: Sequence[Arg], env: Mapping[str, str], variables: Path) -> tuple[Arg, ...]:
    """The command by which root runs argv as this user, with these variables; they are written to a file."""
    variables.touch(mode=0o600)
    variables.write_text(json.dumps(dict(env)))
    return (
        sys.executable, "-B", "-P", "-m", "goldsmith.core.isolation", str(os.getuid()), variables, "--",
        *argv,
    )  # fmt: skip


def main(user: str, environment: str, separator: str, *argv: str) -> None:
    """Become the program. Raises OSError."""
    assert separator == "--"
    env: dict[str, str] = json.loads(Path(environment).read_text())
    if int(user) != os.getuid():
        account = pwd.getpwuid(int(user))
        os.initgroups(account.pw_name, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    proc.become(argv, env)


if __name__ == "__main__":
    main(*sys.argv[1:])
