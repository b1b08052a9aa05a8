# SPDX-License-Identifier: Apache-2.0
"""What a registry's refusals mean, out of what skopeo says of them."""

from __future__ import annotations

import re

from goldsmith.errors import BuildError, CommandError


def host_of(name: str) -> str:
    """The registry of a repository's full name, with its port where it has one."""
    return name.partition("/")[0]


def explain(error: CommandError, name: str, digest: str) -> BuildError:
    """What failed, and what to do. digest: of the image, or a tag behind its colon.

    skopeo tells all its failures by text alone.
    """
    text = "\n".join(error.tail).lower()
    host = host_of(name)
    shown = f"{name}{digest}" if digest.startswith(":") else f"{name}@{digest}"
    for pattern, message, hint in (
        (r"unauthorized|authentication required|access to the resource is denied|\b40[13]\b",
         f"{host} refuses to hand over {shown}", f"run: docker login {host}"),
        (r"did not match|does not match|digest mismatch|digest invalid",
         f"{host} serves something else than {shown}",
         "do not use this registry until its owner has looked at it"),
        (r"manifest unknown|not found|name unknown|\b404\b",
         f"{host} has no image {shown}", "check name and digest in the spec"),
        (r"no such host|connection refused|timeout|unreachable|no route",
         f"{host} cannot be reached", "check the network and the registry's name"),
    ):  # fmt: skip
        if re.search(pattern, text):
            return BuildError(f"{message}\n  | {error.tail[-1]}", hint=hint)
    return error
