# SPDX-License-Identifier: Apache-2.0
"""Builds in an engine whose answers are written down here."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import docker
import pytest
from docker.errors import APIError, ImageNotFound

from goldsmith.containers import engine_build
from goldsmith.errors import BuildError


def image_id(number: int) -> str:
    return f"sha256:{number:012x}{'0' * 52}"


class Engine:
    """Images by number: each is FROM the one that parents names; tags has their names."""

    def __init__(self, output: list[str], made: dict[int, int]) -> None:
        self.api, self.output, self.made = self, output, made
        self.parents: dict[int, int] = {1: 0, 2: 1, 3: 0}
        self.tags: dict[int, list[str]] = {1: ["base:1"]}

    def images(self, *, quiet: bool, all: bool) -> list[str]:
        assert quiet
        assert all
        return [image_id(number) for number in self.parents]

    def build(self, *, tag: str, **_: Any) -> Iterator[dict[str, Any]]:
        self.parents |= self.made
        for line in self.output:
            yield {"error": "exit 1"} if line == "error" else {"stream": line}
        if "error" not in self.output:
            self.tags[max(self.made)] = [tag]
            yield {"aux": {"ID": image_id(max(self.made))}}

    def _find(self, name: str) -> int:
        for number in self.parents:
            if name in (image_id(number), short(number)) or name in self.tags.get(number, []):
                return number
        raise ImageNotFound(name)

    def inspect_image(self, name: str) -> dict[str, Any]:
        number = self._find(name)
        return {"Id": image_id(number), "RepoTags": self.tags.get(number, [])}

    def remove_image(self, name: str, *, noprune: bool, force: bool = False) -> None:
        assert noprune, "the engine would remove unnamed parents, whoever made them"
        number = self._find(name)
        if number in self.parents.values() or (self.tags.get(number) and not force):
            raise APIError("conflict")
        self.tags.pop(number, None)
        del self.parents[number]


def short(number: int) -> str:
    return image_id(number)[7:19]


def step(number: int) -> str:
    return f" ---> {short(number)}\n"


@pytest.mark.parametrize(
    ("output", "made"),
    [
        (["Step 1/3 : FROM base:1\n", step(1), step(10), "Removed container\n", step(11)], {10: 1, 11: 10}),
        ([step(1), step(10), step(11), step(1), step(20), step(21)], {10: 1, 11: 10, 20: 1, 21: 20}),
        ([step(1), step(10), step(10), step(20), step(2), step(30)], {10: 1, 20: 10, 30: 2}),
        ([step(1), step(10), step(11), "error"], {10: 1, 11: 10}),
        ([step(1), step(10), f"a ---> {short(3)}\n", step(3), step(3), step(11)], {10: 1, 11: 10}),
    ],
)
def test_all_images_that_a_build_made_are_removed_and_no_other(
    output: list[str], made: dict[int, int], tmp_path: Path
) -> None:
    engine = Engine(output, made)
    client = cast(docker.DockerClient, engine)
    there, steps = dict(engine.parents), list[str]()
    before = engine_build.ids(client)

    try:
        engine_build.build(
            client, io.BytesIO(), "goldsmith.local/built:1", steps,
            shown="a:1", arguments={}, arch="amd64", log_path=tmp_path / "log",
        )  # fmt: skip
    except BuildError:
        assert "error" in output
    assert engine.parents == there | made
    engine_build.remove(client, "goldsmith.local/built:1", steps, before)

    assert engine.parents == there
    assert engine.tags == {1: ["base:1"]}


def test_a_warning_of_apt_about_an_index_ends_the_build(tmp_path: Path) -> None:
    parts = ["W", ": ", "Failed to fetch http://x/InRelease  Connection refused", "\n"]  # as apt writes it
    engine = Engine([step(1), *parts, step(10)], {10: 1})

    with pytest.raises(BuildError, match=r"apt warned while a:1 was made.*Connection refused"):
        engine_build.build(
            cast(docker.DockerClient, engine), io.BytesIO(), "goldsmith.local/built:1", [],
            shown="a:1", arguments={}, arch="amd64", log_path=tmp_path / "log",
        )  # fmt: skip
