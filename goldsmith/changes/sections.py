# SPDX-License-Identifier: Apache-2.0
"""Compare each kind of content of two builds. What one of them did not record is reported, not guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from goldsmith.changes import container_images, spec_keys
from goldsmith.changes.container_images import Pair, Sameness
from goldsmith.changes.contents import Contents
from goldsmith.containers.images_lock import LockedImage
from goldsmith.core.documents import about
from goldsmith.image.element_hashes import ElementFile
from goldsmith.image.packages import Package
from goldsmith.kubernetes.kubelet import KubeletRecord

SPEC, BASE_IMAGE, KERNEL, KUBELET = "spec", "base image", "kernel", "kubelet"
IMAGES, INSIDE, PACKAGES = "container images", "packages in container images", "packages"
ELEMENTS, FILES = "elements", "files of elements"
NAMES = (SPEC, BASE_IMAGE, KERNEL, KUBELET, IMAGES, INSIDE, PACKAGES, ELEMENTS, FILES)
_LONGEST = 60  # characters of a value in a text


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One thing that changed."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"of", "was"})

    name: Annotated[
        str, about("Name of the key, kernel, container image, package, element or file; or `kubelet`.")
    ]
    old: Annotated[str | None, about("Value, version or digest in the old build; null if absent.")]
    new: Annotated[str | None, about("Value, version or digest in the new build; null if absent.")]
    of: Annotated[str | None, about("The container image or element that it is in.")] = None
    was: Annotated[str | None, about("Its name in the old build, if it had another one there.")] = None

    @property
    def is_both(self) -> bool:
        """Both builds have it."""
        return self.old is not None and self.new is not None

    @property
    def is_entry(self) -> bool:
        """An entry of a list of the spec, which has keys of its own."""
        return self.name.endswith("]")

    def line(self) -> str:
        """For people; what is new or gone under its whole name is not named twice."""
        return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in self._line())

    def _line(self) -> str:
        if self.old is None:
            return f"+ {self.name}{self._valued(self.new)}"
        if self.new is None:
            return f"- {self.name}{self._valued(self.old)}"
        name = f"{self.was} -> {self.name}" if self.was else self.name
        if self.old == self.new:
            return f"~ {name}, same content"
        return f"~ {name} {_short(self.old)} -> {_short(self.new)}"

    def _valued(self, value: str | None) -> str:
        return "" if value == self.name or self.name.endswith(f"[{value}]") else f" {_short(value)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class NotCompared:
    """Something that may have changed."""

    what: Annotated[str, about("What it is.")]
    why: Annotated[str, about("Why it was not compared.")]

    def line(self) -> str:
        """For people."""
        return f"    ? {self.what}: {self.why}"


_Found = Iterator[Change | NotCompared]


def compare(old: Contents, new: Contents) -> tuple[dict[str, tuple[Change, ...]], tuple[NotCompared, ...]]:
    """The changes of each section, and what could not be compared."""
    changes: dict[str, tuple[Change, ...]] = {}
    unknown: list[NotCompared] = []
    for name, section in _SECTIONS.items():
        found = list(section(old, new))
        changes[name] = tuple(each for each in found if isinstance(each, Change))
        unknown += [each for each in found if isinstance(each, NotCompared)]
    return changes, tuple(unknown)


def _spec(old: Contents, new: Contents) -> _Found:
    if old.spec is None or new.spec is None:
        yield from _changes(old.settings, new.settings)
        if old.spec_sha256 != new.spec_sha256:
            yield _missing("other keys of the spec", old, new, old.spec, new.spec)
        return
    before, after = {**old.spec, **old.settings}, {**new.spec, **new.settings}
    found = _changes(before, after)
    yield from (each for each in found if spec_keys.only_order(each.name, each.old, each.new))


def _base_image(old: Contents, new: Contents) -> _Found:
    values = [{each.base_image.url: each.base_image.sha256} if each.base_image else {} for each in (old, new)]
    if len(values[0]) == len(values[1]) == 1 and values[0] != values[1]:
        (before, was), (after, now) = values[0].popitem(), values[1].popitem()
        yield Change(name=after, old=was, new=now, was=before if before != after else None)
    else:
        yield from _changes(*values)


def _kernels(old: Contents, new: Contents) -> _Found:
    if old.kernels is None or new.kernels is None:
        yield _missing(KERNEL, old, new, old.kernels, new.kernels)
    else:
        yield from _changes({each: each for each in old.kernels}, {each: each for each in new.kernels})


def _kubelet(old: Contents, new: Contents) -> _Found:
    """Where the versions are the same: what it was made of, and the program itself, as far as both say."""
    before, after = old.kubelet, new.kubelet
    shown = [{"kubelet": f"{each.version} ({each.source})"} if each else {} for each in (before, after)]
    if before and after and shown[0] == shown[1]:
        one, other = _made_of(before), _made_of(after)
        both = one.keys() & other.keys()
        yield from _changes({key: one[key] for key in both}, {key: other[key] for key in both})
    else:
        yield from _changes(*shown)


def _made_of(kubelet: KubeletRecord) -> dict[str, str]:
    program = {"kubelet sha256": kubelet.sha256} if kubelet.sha256 else {}
    return {**{f"kubelet {key}": value for key, value in kubelet.provenance.items()}, **program}


def _images(old: Contents, new: Contents) -> _Found:
    if old.containers is None or new.containers is None:
        yield _missing(IMAGES, old, new, old.containers, new.containers)
        return
    for one, other in container_images.pairs(old.containers, new.containers):
        if one and other:
            yield from _pair(one, other, old, new)
        elif image := one or other:
            digest = image.content_digest or image.digest
            yield Change(name=image.ref, old=digest if one else None, new=digest if other else None)


def _pair(one: LockedImage, other: LockedImage, old: Contents, new: Contents) -> _Found:
    """An image of both builds: its new name, its new content."""
    was = one.ref if one.ref != other.ref else None
    before, after = one.digest, other.digest
    if one.content_digest and other.content_digest:
        before, after = one.content_digest, other.content_digest
    same = container_images.compare(one, other)
    if same is Sameness.same:
        after = before
    if was or same is Sameness.other:
        yield Change(name=other.ref, old=before, new=after, was=was)
    if same is Sameness.unknown:
        lack = _missing("", old, new, one.content_digest, other.content_digest)
        digests = f"digests {_short(before)} -> {_short(after)}"
        yield NotCompared(what=f"content of {other.ref}", why=f"{lack.why}; {digests}")


def _inside(old: Contents, new: Contents) -> _Found:
    """Packages in the images of both builds whose contents are not the same."""
    if old.containers is None or new.containers is None:
        return  # the images themselves are not compared
    both = [pair for pair in container_images.pairs(old.containers, new.containers) if _differ(pair)]
    known = [each.container_packages for each in (old, new)]
    if both and None in known:
        yield _missing(INSIDE, old, new, *known)
        return
    for one, other in both:
        assert one is not None
        assert other is not None
        listed = [(found or {}).get(image.ref) for found, image in zip(known, (one, other), strict=True)]
        if listed[0] is None or listed[1] is None:
            yield _missing(f"packages in {other.ref}", old, new, *listed)
        else:
            yield from _changes(listed[0], listed[1], of=other.ref)


def _differ(pair: Pair) -> bool:
    """Both builds have the image, and its content is not known to be the same."""
    one, other = pair
    return bool(one and other and container_images.compare(one, other) is not Sameness.same)


def _packages(old: Contents, new: Contents) -> _Found:
    if old.packages is None or new.packages is None:
        yield _missing(PACKAGES, old, new, old.packages, new.packages)
        return
    several = _several(old.packages) | _several(new.packages)
    before, after = _by_name(old.packages, several), _by_name(new.packages, several)
    for name in sorted({*before, *after}):
        one, other = before.get(name, ()), after.get(name, ())
        versions = [_versions(each) for each in (one, other)]
        if versions[0] == versions[1] and _rebuilt(one, other):
            versions = [
                f"{shown} sha256 {_sums(each)}" for shown, each in zip(versions, (one, other), strict=True)
            ]
        if versions[0] != versions[1]:
            yield Change(name=name, old=versions[0] or None, new=versions[1] or None)


def _several(packages: Iterable[Package]) -> set[str]:
    """Names of packages that are there for several architectures."""
    found: dict[str, set[str]] = {}
    for package in packages:
        found.setdefault(package.name, set()).add(package.architecture)
    return {name for name, architectures in found.items() if len(architectures) > 1}


def _by_name(packages: Iterable[Package], several: set[str]) -> dict[str, list[Package]]:
    found: dict[str, list[Package]] = {}
    for package in packages:
        name = f"{package.name}:{package.architecture}" if package.name in several else package.name
        found.setdefault(name, []).append(package)
    return found


def _versions(packages: Iterable[Package]) -> str:
    return ", ".join(sorted(package.version for package in packages))


def _rebuilt(old: Iterable[Package], new: Iterable[Package]) -> bool:
    """The same versions for the same architecture from other files; of files that are not known, no."""
    both = (*old, *new)
    known = all(package.sha256 for package in both)
    return known and len({package.architecture for package in both}) == 1 and _sums(old) != _sums(new)


def _sums(packages: Iterable[Package]) -> str:
    return " ".join(sorted(package.sha256 or "" for package in packages))


def _elements(old: Contents, new: Contents) -> _Found:
    yield from _changes(old.elements, new.elements)


def _files(old: Contents, new: Contents) -> _Found:
    """Files of elements that both builds have."""
    changed = [
        name for name in sorted({*old.elements} & {*new.elements}) if old.elements[name] != new.elements[name]
    ]
    if changed and (old.element_files is None or new.element_files is None):
        yield _missing(FILES, old, new, old.element_files, new.element_files)
        return
    for name in changed:
        before, after = (_listed((each.element_files or {}).get(name, {})) for each in (old, new))
        yield from _changes(before, after, of=name)


def _listed(files: Mapping[str, ElementFile]) -> dict[str, str]:
    return {path: f"{file.sha256}{' executable' if file.executable else ''}" for path, file in files.items()}


def _changes(old: Mapping[str, str], new: Mapping[str, str], *, of: str | None = None) -> Iterator[Change]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield Change(name=name, old=old.get(name), new=new.get(name), of=of)


def _missing(what: str, old: Contents, new: Contents, before: object, after: object) -> NotCompared:
    """before, after: what the builds recorded of it, None for nothing."""
    lack = [each.build_id for each, found in ((old, before), (new, after)) if found is None]
    return NotCompared(what=what, why=f"not recorded in {' and '.join(dict.fromkeys(lack))}")


def _short(text: str | None) -> str:
    """Digests by their first twelve digits; of a long value the beginning."""
    words = [word.removeprefix("sha256:") for word in (text or "").split(" ")]
    shown = " ".join(word[:12] if len(word) == 64 else word for word in words)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 20]}... ({len(shown)} characters)"


_SECTIONS: Mapping[str, Callable[[Contents, Contents], _Found]] = {
    SPEC: _spec, BASE_IMAGE: _base_image, KERNEL: _kernels, KUBELET: _kubelet, IMAGES: _images,
    INSIDE: _inside, PACKAGES: _packages, ELEMENTS: _elements, FILES: _files,
}  # fmt: skip
