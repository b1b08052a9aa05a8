# SPDX-License-Identifier: Apache-2.0
"""Command line of the project: a collection of the tasks of goldsmith/cli/."""

from __future__ import annotations

from goldsmith.cli import build, collection, devcloud, development, heat, operations, provenance, publish

namespace = collection.of(build, publish, operations, provenance, heat, devcloud, development)
