# SPDX-License-Identifier: Apache-2.0
"""Which container image of an old build is which of a new one, and whether the two have the same content."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from goldsmith.containers import oci
from goldsmith.containers.images_lock import LockedImage


class Sameness(enum.Enum):
    """How the contents of two images compare."""

    same = enum.auto()
    other = enum.auto()
    unknown = enum.auto()


class Pair(NamedTuple):
    """An image of the old build and the one of the new build that it became; None where there is none."""

    old: LockedImage | None
    new: LockedImage | None


def pairs(old: Sequence[LockedImage], new: Sequence[LockedImage]) -> list[Pair]:
    """Every image once, by reference: by the same one, else the same content, else the only other tag."""
    left, right = sorted(old, key=_ref), sorted(new, key=_ref)
    found: list[Pair] = []
    for is_pair in (_same_ref, _same_content, _only_tag(left, right)):
        for image in list(left):
            match = next((each for each in right if is_pair(image, each)), None)
            if match is not None:
                found.append(Pair(image, match))
                left.remove(image)
                right.remove(match)
    found += [Pair(image, None) for image in left] + [Pair(None, image) for image in right]
    return sorted(found, key=lambda pair: [each.ref for each in (pair.new, pair.old) if each])


def compare(old: LockedImage, new: LockedImage) -> Sameness:
    """By content. A digest decides where it is the same, or both images are pinned by it in a registry."""
    layers = [tuple(layer.diff_id for layer in image.layers) for image in (old, new)]
    if old.digest == new.digest or (old.config_digest == new.config_digest and layers[0] == layers[1]):
        return Sameness.same
    if old.content_digest and new.content_digest:
        return Sameness.same if old.content_digest == new.content_digest else Sameness.other
    return Sameness.other if old.source == new.source == "registry" else Sameness.unknown


def _ref(image: LockedImage) -> str:
    return image.ref


def _same_ref(old: LockedImage, new: LockedImage) -> bool:
    return old.ref == new.ref


def _same_content(old: LockedImage, new: LockedImage) -> bool:
    return compare(old, new) is Sameness.same


def _only_tag(
    old: Sequence[LockedImage], new: Sequence[LockedImage]
) -> Callable[[LockedImage, LockedImage], bool]:
    """Of a repository that has one image in each build."""
    counts = [Counter(oci.repository(image.ref) for image in images) for images in (old, new)]

    def is_pair(one: LockedImage, other: LockedImage) -> bool:
        name = oci.repository(one.ref)
        return name == oci.repository(other.ref) and all(count[name] == 1 for count in counts)

    return is_pair
