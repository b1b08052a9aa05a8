# SPDX-License-Identifier: Apache-2.0
"""Publish the tiny image in tests: specs with other keys of `publish`, and clouds.yaml files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from goldsmith.core import paths
from goldsmith.publish import publisher
from goldsmith.publish.publisher import Options, Publisher
from tests.support import published
from tests.support.builds import SPEC
from tests.support.tiny_builds import Outcome, TinyPlace


@dataclass(frozen=True, kw_only=True, slots=True)
class PubPlace:
    """One spec with a separate alias, and the builds of a TinyPlace."""

    tiny: TinyPlace
    spec: Path
    clouds_yaml: Path
    cloud: str
    alias: str

    def inv(self, task: str, *words: str | Path, cloud: str = "", status: int = 0) -> Outcome:
        """A task on this spec to its end, which has to be with this status."""
        return self._ended(self.begin(task, *words, cloud=cloud), status)

    def ask(self, *words: str | Path, status: int = 0) -> Outcome:
        """A task of these words alone, without the spec and without builds."""
        away = self.spec.parent / "nothing here"
        return self._ended(self._started(words, GOLDSMITH_OUT=str(away)), status)

    def _ended(self, process: subprocess.Popen[str], status: int) -> Outcome:
        out, err = process.communicate(timeout=300)
        assert process.returncode == status, out + err
        return Outcome(status=process.returncode, stdout=out, stderr=err)

    def begin(self, task: str, *words: str | Path, cloud: str = "") -> subprocess.Popen[str]:
        """A task, running."""
        return self._started([task, *words, "--name", self.spec, "--cloud", cloud or self.cloud])

    def _started(self, words: Sequence[str | Path], **environment: str) -> subprocess.Popen[str]:
        ours = {"OS_CLIENT_CONFIG_FILE": str(self.clouds_yaml)}
        return subprocess.Popen(
            [sys.executable, "-B", "-m", "invoke", *map(str, words)], cwd=paths.project_root(),
            env={**self.tiny.environment(), **ours, **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def publish(self, build: Path, *words: str, status: int = 0, cloud: str = "") -> Outcome:
        return self.inv("publish", "--build", build.name, *words, status=status, cloud=cloud)

    def release(self, build: Path, *, cloud: str = "", out: Path | None = None) -> None:
        """publish, in this process, as a part of a test's set-up. OS_CLIENT_CONFIG_FILE has to be set."""
        results = self._publisher(build.name, cloud, out).publish()
        publisher.require(results)

    def _publisher(self, build: str, cloud: str, out: Path | None) -> Publisher:
        options = Options(out=out or self.tiny.out, clouds=(cloud or self.cloud,), build=build)
        return Publisher(str(self.spec), options)

    def answer(self, task: str, *words: str) -> Any:
        """What a task answers for this cloud, as JSON."""
        answer = json.loads(self.inv(task, *words, "--json").stdout)
        published.check(answer)
        clouds = answer["clouds"]
        return clouds[self.cloud] if isinstance(clouds, dict) else clouds[0]

    def table(self) -> dict[str, tuple[bool, bool]]:
        """Build -> whether it holds the alias, whether it is hidden; staged ones with a question mark."""
        (result,) = self._publisher("", "", None).images()
        publisher.require([result])
        assert result.listing is not None
        rows = result.listing.rows
        return {row.build_id + ("" if row.released else "?"): (row.alias, row.hidden) for row in rows}


def write_spec(folder: Path, publish: Mapping[str, Any]) -> Path:
    """The tiny spec with another key `publish`; unsigned builds are accepted unless it names a key."""
    shutil.copytree(paths.project_root() / SPEC.parent, folder)
    spec = folder / SPEC.name
    lines = [line for line in spec.read_text().splitlines() if not line.startswith("publish:")]
    rules = {**({} if "signed-by" in publish else {"accept-unsigned": "a test"}), **publish}
    spec.write_text("\n".join([*lines, yaml.safe_dump({"publish": rules})]))
    return spec


def write_clouds(source: Path, target: Path, changes: Mapping[str, Mapping[str, Any]]) -> Path:
    """clouds.yaml with more clouds: new name -> {"like": a cloud, keys to change}."""
    clouds = yaml.safe_load(source.read_text())["clouds"]
    for name, change in changes.items():
        keys = {key: value for key, value in change.items() if key != "like"}
        auth = {**clouds[change["like"]]["auth"], **keys.pop("auth", {})}
        clouds[name] = {**clouds[change["like"]], **keys, "auth": auth}
        if clouds[name].get("cacert", "") is None:
            del clouds[name]["cacert"]
    target.write_text(yaml.safe_dump({"clouds": clouds}))
    return target
