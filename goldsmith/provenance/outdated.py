# SPDX-License-Identifier: Apache-2.0
"""Find what an upgrade of a lock would change, and locked packages that no mirror has any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from goldsmith.apt import indexes, mirror, packages
from goldsmith.apt.indexes import Accepted
from goldsmith.apt.packages import Offer
from goldsmith.core import runs
from goldsmith.errors import SpecError
from goldsmith.provenance import lockfile, spec_lock
from goldsmith.provenance.lockfile import Difference, Lock, LockedPackage, OutdatedAnswer
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import Distribution

GONE = "no mirror has it any more"


def find(loaded: LoadedSpec) -> OutdatedAnswer:
    """Changes in the checkout, tag drift, packages with newer versions, packages that are gone.

    Raises SpecError for a spec whose packages are not Debian's, and the errors of a missing lock or mirror.
    """
    locked = lockfile.read(spec_lock.path_of(loaded))
    with runs.run() as run:
        ours = (*lockfile.compare(locked, spec_lock.checkout(loaded)), *spec_lock.find(loaded.spec, run))
    if loaded.spec.distribution is not Distribution.debian:
        if locked.packages:
            raise SpecError(
                f"cannot look for newer packages of {loaded.spec.distribution}", hint="use a Debian spec"
            )
        return OutdatedAnswer(moved=ours)
    mirrors = mirror.find(loaded.spec.mirror)
    any_index = Accepted(older=True, remembered=True)  # nothing is built from it
    state = indexes.current(loaded.spec.release, mirrors, any_index)
    offers = packages.offers(state, loaded.spec.arch.value, mirrors)
    return OutdatedAnswer(moved=(*ours, *moved(locked, offers)))


def moved(locked: Lock, offers: Mapping[tuple[str, str], list[Offer]]) -> Iterator[Difference]:
    """Locked packages that have a newer version in the indexes, or that these have no more."""
    for package in locked.packages:
        found = offers.get((package.name, package.architecture), [])
        held = any(offer.sha256 == package.sha256 for offer in found)
        best = packages.newest(found) if found else None
        if best is not None and packages.is_newer(best.version, package.version):
            yield _difference(package, best.version if held else f"{best.version} ({GONE})")
        elif not held:
            yield _difference(package, GONE)


def _difference(package: LockedPackage, found: str) -> Difference:
    return Difference(
        part="packages", what=f"{package.name}:{package.architecture}", locked=package.version,
        found=found, who=lockfile.UPSTREAM,
    )  # fmt: skip
