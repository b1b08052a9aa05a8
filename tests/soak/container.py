# SPDX-License-Identifier: Apache-2.0
"""Soak test container: make the container image of goldsmith, and build the tiny image in it."""

from __future__ import annotations

import random
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker
import yaml
from docker.errors import DockerException

from goldsmith.containers import bundler
from goldsmith.core import paths, proc, runs
from goldsmith.devcloud import venv
from goldsmith.host import docker_engine
from goldsmith.image.manifest import FILE, Manifest
from goldsmith.spec.model import ContainerSpec, Layers
from tests.support import wheel
from tests.support.builds import SPEC

IMAGE, BASE, SUITE = "goldsmith.local/goldsmith:1", "goldsmith.local/bookworm:12", "bookworm"
_PARTS = SPEC.parent / "elements/tiny-os/tiny-files/make-parts"
_PYTHON = "3.11"  # of Debian's suite
_CAPABILITIES = {22: "SYS_BOOT", 24: "SYS_RESOURCE", 25: "SYS_TIME"}  # that hosts keep from their guests
_DEFAULTS = {"BASE": BASE, "PIP_NO_INDEX": "1"}


class InContainer:
    """Trials of `invoke soak container`: each builds the tiny image in a new container."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.site = place / "site"

    def prepare(self, _facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write the contexts of the image and of its base, and the folder that the containers build in."""
        shutil.rmtree(self.place, ignore_errors=True)
        context = write_contexts(self.place)
        made = wheel.build(context)
        argv = (
            sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--only-binary", ":all:",
            "--python-version", _PYTHON, "--dest", context,
            "--requirement", paths.shipped("requirements.lock"),
        )  # fmt: skip
        proc.capture(argv, env=proc.environment(venv.pip_settings()), timeout_s=900)
        parts = Path(proc.capture([sys.executable, _PARTS], cwd=paths.project_root(), timeout_s=600).strip())
        shutil.copytree(parts, self.place / "parts/tiny-os" / parts.name)
        shutil.copytree(SPEC.parent, self.site / "image-specs", ignore=shutil.ignore_patterns("elements"))
        shutil.copytree(SPEC.parent / "elements", self.site / "elements")
        return {"wheel": made.name}

    def one(self, index: int, _choice: random.Random) -> dict[str, Any]:
        """Build once; the image has to be verified, and made by the wheel with the locked packages."""
        log = self.place / f"build-{index + 1}.log"
        with runs.run() as run, docker_engine.engine(run, log) as client:
            bundle = bundler.export(
                [ContainerSpec(ref=IMAGE, build="containers/goldsmith")], layers=Layers.uncompressed,
                run=run, log_path=log, root=self.place,
            )  # fmt: skip
            with bundle.path.open("rb") as archive:
                client.images.load(archive)
            try:
                output = self._run(client)
            except DockerException as e:
                return {"problems": [str(e)]}
        log.with_suffix(".out").write_bytes(output)
        manifest = Manifest.read(self.site / "out/tiny/latest" / FILE)
        maker, verdict = manifest.made_by, manifest.verification
        return {
            "build_id": manifest.build_id,
            "record_sha256": maker and maker.record_sha256,
            "python_packages": list(map(str, manifest.python_packages or ())),
            "durations_s": dict(verdict.durations_s) if verdict else {},
            "problems": [
                problem
                for problem, found in (
                    ("the image was not verified", verdict is None or not verdict.passed),
                    ("the wheel is not named", maker is None or not maker.record_sha256),
                    ("other packages than the locked ones", manifest.python_packages != ()),
                )
                if found
            ],
        }

    def _run(self, client: docker.DockerClient) -> bytes:
        volumes = {
            "/dev": "/dev", self.site: "/site", self.place / "cache": "/cache",
            self.place / "scratch": "/scratch",
            self.place / "parts": "/root/.cache/goldsmith",  # hooks of elements do not get GOLDSMITH_CACHE
        }  # fmt: skip
        for name in ("cache", "scratch"):
            (self.place / name).mkdir(exist_ok=True)
        output: bytes = client.containers.run(
            IMAGE, ["build-image", "tiny"], network_mode="none", remove=True, stderr=True,
            environment={"CI": "true"}, hostname="localhost", **_rights(),  # else no name server knows it
            volumes=[f"{here}:{there}" for here, there in volumes.items()],
        )  # fmt: skip
        return output

    def finish(self) -> dict[str, Any]:
        """Nothing to check: a build that is not verified has failed its trial."""
        return {"problems": []}


def _rights() -> Mapping[str, Any]:
    """--privileged; on a host that lacks a capability, what that stands for, but for what is lacking."""
    bits = int(re.findall(r"^CapBnd:\s*(\w+)$", Path("/proc/self/status").read_text(), re.MULTILINE)[0], 16)
    lacking = [name for number, name in _CAPABILITIES.items() if not bits >> number & 1]
    if not lacking:
        return {"privileged": True}
    return {
        "cap_add": ["ALL"], "cap_drop": lacking, "device_cgroup_rules": ["a *:* rwm"], "cgroupns": "host",
        "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
    }  # fmt: skip


def write_contexts(place: Path) -> Path:
    """Write containers/ of place: a base, and the context of the image, which is returned without wheels."""
    shipped = paths.project_root() / "containers"
    context, base = place / "containers/goldsmith", place / "containers" / SUITE
    shutil.copytree(shipped / "base", base)
    recipe = yaml.safe_load((base / "rootfs.yaml").read_text())
    (base / "rootfs.yaml").write_text(yaml.safe_dump({**recipe, "suite": SUITE}))
    context.mkdir()
    text = (shipped / "goldsmith/Dockerfile").read_text()
    for name, value in _DEFAULTS.items():
        text, count = re.subn(rf"^ARG {name}=.*$", f"ARG {name}={value}", text, flags=re.MULTILINE)
        assert count == 1, f"the Dockerfile has no ARG {name}"
    (context / "Dockerfile").write_text(text)
    return context
