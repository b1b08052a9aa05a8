# SPDX-License-Identifier: Apache-2.0
"""What a build checks before it makes anything: the host, the policy, names of packages, pods."""

from __future__ import annotations

from pathlib import Path

from goldsmith.apt.indexes import FRESH_ONLY, Accepted
from goldsmith.build import dib_env, values
from goldsmith.containers import bundler
from goldsmith.core import progress
from goldsmith.errors import BuildError, HostError, SpecError
from goldsmith.host import package_check, preflight, python_packages
from goldsmith.image import dib_plan, element_hashes
from goldsmith.kubernetes import kubelet, pod_check
from goldsmith.scan import vulnerabilities
from goldsmith.spec.load import LoadedSpec
from goldsmith.spec.model import Arch, ImageSpec


def require(
    loaded: LoadedSpec, *, out: Path, locked: bool, resumed: bool, accepted: Accepted = FRESH_ONLY
) -> None:
    """Raise an error of what is wrong if the spec cannot be built here. out: the build's output folder.

    locked: all packages may be in the cache, so no mirror is asked, and the environment is to be that of
    requirements.lock. resumed: nothing is fetched. accepted: package indexes besides fresh ones.
    """
    spec = loaded.spec
    _require_buildable(spec)
    require_readable(loaded)
    if locked:
        python_packages.require_locked()
    bundler.require_allowed(spec)
    vulnerabilities.needed(spec.fail_on)
    preflight.require(spec, out=out, left_out=("mirrors",) if locked or accepted.remembered else ())
    fetch = not locked and not resumed
    if fetch:
        package_check.require(loaded, accepted)
    pod_check.check(loaded, _pod_schema(spec, fetch=fetch))


def require_readable(loaded: LoadedSpec) -> None:
    """Raise SpecError for what is wrong in the files that a spec names: variables, elements, suites."""
    dib_env.require(loaded)
    element_hashes.files(dib_plan.elements(loaded.spec), loaded.elements)  # some links cannot be hashed
    for suite in values.suites_of(loaded.spec):
        for path in sorted(suite.glob("**/*.py")):
            _require_python(path)


def _require_python(path: Path) -> None:
    try:
        compile(path.read_bytes(), path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as e:
        line, what = (f":{e.lineno or 1}", e.msg) if isinstance(e, SyntaxError) else ("", e)
        hint = "correct the suite; verify.tests names it"
        raise SpecError(f"{path}{line} is no Python: {what}", hint=hint) from e


def _require_buildable(spec: ImageSpec) -> None:
    """Refuse specs that goldsmith can plan but not build yet."""
    if spec.arch is not Arch.amd64:
        raise SpecError(
            f"{spec.name}: {spec.arch} images can be planned but not built yet",
            hint=f"run: scripts/inv plan {spec.name}",
        )


def _pod_schema(spec: ImageSpec, *, fetch: bool) -> Path | None:
    if spec.kubelet is None or not spec.verify.pods:
        return None
    found = kubelet.cached_pod_schema(spec.kubelet)
    if found is not None or not fetch:
        return found
    try:
        return kubelet.pod_schema(spec.kubelet)
    except (BuildError, HostError) as e:
        progress.note(f"pods are checked by {pod_check.RULES} alone: {e}")
        return None
