# SPDX-License-Identifier: Apache-2.0
"""Whether an image can be made by layers, or has to be made in one go."""

from __future__ import annotations

from collections.abc import Iterator

from goldsmith.host import package_check
from goldsmith.image import dib_plan, element_hashes
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import Distribution

MARK = "element-root-only"  # in an element: none of its hooks looks at what is embedded
TAKES_HOST_FILES = frozenset({"devuser", "local-config"})  # elements of diskimage-builder: keys of this user
_BEFORE = "80-goldsmith-identity"  # later hooks of cleanup.d may change what ours have done
_ROOMY_MIB = 4096  # a disk that any root fits on, with the spare room that diskimage-builder leaves
_LATE = ("post-install.d", "post-root.d", "pre-finalise.d", "finalise.d", "cleanup.d")


def why_not(loaded: LoadedSpec) -> str:
    """Why the image of a spec is made in one go; empty if it is made by layers."""
    if loaded.spec.distribution is not Distribution.debian:
        return f"{loaded.spec.name} is built in one go: its distribution is {loaded.spec.distribution}"
    size_mib = loaded.spec.disk.size_mib
    if size_mib is not None and size_mib < _ROOMY_MIB:
        return f"{loaded.spec.name} is built in one go: its disk.size is small"
    taking = TAKES_HOST_FILES & element_hashes.folders(dib_plan.elements(loaded.spec), loaded.elements).keys()
    if taking:
        return f"{loaded.spec.name} is built in one go: the element {min(taking)} takes files of this host"
    hook = next(_late_hooks(loaded), None)
    if hook is None:
        return ""
    return (
        f"{loaded.spec.name} is built in one go: the hook {hook} may look at what is embedded "
        f"(if it does not, add a file {MARK} to its element)"
    )


def _late_hooks(loaded: LoadedSpec) -> Iterator[str]:
    """Hooks of the user's elements that run when containers are embedded, or later."""
    for name, folder in element_hashes.folders(dib_plan.elements(loaded.spec), loaded.elements).items():
        if package_check.is_ours(name, folder):
            continue
        for phase in _LATE:
            for hook in sorted(path for path in (folder / phase).glob("[!.]*") if path.is_file()):
                is_last = phase == "cleanup.d" and hook.name > _BEFORE
                if is_last or not (folder / MARK).exists():
                    yield f"{name}/{phase}/{hook.name}"
