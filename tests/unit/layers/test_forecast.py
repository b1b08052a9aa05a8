# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import pytest

from goldsmith.layers import forecast, root
from goldsmith.spec import load
from goldsmith.spec.model import Distribution

LOADED = load.load("debian-kubelet")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (None, "the root is built again: the cache has none"),
        ([], "the root comes from the cache, unless the package index or the kubelet has changed"),
        (
            ["element kubelet: install.d/50-kubelet"],
            "the root is built again: changed since the nearest one: element kubelet: install.d/50-kubelet",
        ),
        (list("abcdef"), "the root is built again: changed since the nearest one: a, b, c, d, e, and 1 more"),
    ],
)
def test_a_plan_says_what_happens_to_the_root(
    monkeypatch: pytest.MonkeyPatch, changed: list[str] | None, said: str
) -> None:
    monkeypatch.setattr(root, "changed", lambda _parts: changed)

    assert forecast.of_spec(LOADED) == said


def test_a_plan_says_why_an_image_is_built_in_one_go() -> None:
    fedora = dataclasses.replace(LOADED.spec, distribution=Distribution.fedora)

    assert "in one go" in forecast.of_spec(dataclasses.replace(LOADED, spec=fedora))
