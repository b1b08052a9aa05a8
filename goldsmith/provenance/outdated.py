# SPDX-License-Identifier: Apache-2.0
"""What an upgrade of a lock would bring, and what of it can no longer be had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from goldsmith.apt import indexes, mirror, packages
from goldsmith.apt.packages import Offer
from goldsmith.core import scratch
from goldsmith.errors import SpecError
from goldsmith.provenance import lockfile, spec_lock
from goldsmith.provenance.lockfile import Lock, Move
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import Distribution

GONE = "no mirror has it any more"


def find(loaded: LoadedSpec) -> tuple[Move, ...]:
    """What moved in the checkout, which tags moved, and which packages have newer versions or are gone.

    Raises SpecError for a spec whose packages are not Debian's, and what a missing lock or mirror raises.
    """
    locked = lockfile.read(spec_lock.path_of(loaded))
    with scratch.run() as run:
        ours = (*lockfile.compare(locked, spec_lock.checkout(loaded)), *spec_lock.find(loaded.spec, run))
    if loaded.spec.distribution is not Distribution.debian:
        if locked["packages"]:
            raise SpecError(f"nothing is known of newer packages of {loaded.spec.distribution}")
        return ours
    mirrors = mirror.find(loaded.spec.mirror)
    state = indexes.current(loaded.spec.release, mirrors)
    offers = packages.offers(state, loaded.spec.arch.value, mirrors)
    return (*ours, *_packages(locked, offers))


def _packages(locked: Lock, offers: Mapping[tuple[str, str], list[Offer]]) -> Iterator[Move]:
    for package in locked["packages"]:
        found = offers.get((package["name"], package["architecture"]), [])
        held = any(offer.sha256 == package["sha256"] for offer in found)
        best = packages.newest(found) if found else None
        if best is not None and packages.is_newer(best.version, package["version"]):
            yield _move(package, best.version if held else f"{best.version} ({GONE})")
        elif not held:
            yield _move(package, GONE)


def _move(package: Mapping[str, Any], found: str) -> Move:
    return Move(
        part="packages", what=f"{package['name']}:{package['architecture']}", locked=package["version"],
        found=found, who=lockfile.UPSTREAM,
    )  # fmt: skip
