# SPDX-License-Identifier: Apache-2.0
"""Results of several clouds, and differences between builds."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.errors import PublishError, SpecError
from goldsmith.publish import publisher
from goldsmith.publish.publisher import Options
from tests.support import samples

OLD, NEW = "20260301T120000Z-abcdefa", "20260302T120000Z-abcdefa"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """The spec mine, of which two builds are in out/."""
    path = tmp_path / "mine.yaml.j2"
    path.write_text("name: mine\ndistribution: debian\nrelease: trixie\ncontainers: []\n")
    for build, value in ((OLD, "1"), (NEW, "2")):
        folder = samples.build(tmp_path / "out/mine" / build, spec_sha256=value * 64)
        (folder / "spec.yaml").write_text(f"dib-env: {{DIB_X: '{value}'}}\n")
    return path


def test_one_failed_cloud_raises_its_own_error_and_several_a_table() -> None:
    bad = publisher.CloudResult(cloud="a", error=PublishError("a: no room", hint="make some"))
    good = publisher.CloudResult(cloud="b")

    publisher.require([good])
    with pytest.raises(PublishError, match="a: no room") as one:
        publisher.require([bad])
    assert one.value.hint == "make some"
    with pytest.raises(PublishError, match=r"failed\n  \| a +a: no room \(make some\)\n  \| b +done"):
        publisher.require([bad, good])


def test_the_difference_of_two_builds_is_in_the_order_in_which_they_are_named(
    spec: Path, tmp_path: Path
) -> None:
    options = Options(out=tmp_path / "out")

    back = publisher.difference(str(spec), options, NEW, OLD).text().splitlines()

    assert back[:3] == [f"{OLD}, after {NEW}", "  spec (1)", "    ~ dib-env.DIB_X 2 -> 1"]


def test_a_build_differs_in_nothing_from_itself(spec: Path, tmp_path: Path) -> None:
    found = publisher.difference(str(spec), Options(out=tmp_path / "out"), OLD, OLD)

    assert (found.old, found.new, found.is_empty) == (OLD, OLD, True)


@pytest.mark.parametrize("builds", [(OLD, "b9"), ("b9", NEW), ("b9", "b9")])
def test_a_build_that_nobody_knows_is_named(spec: Path, tmp_path: Path, builds: tuple[str, str]) -> None:
    with pytest.raises(SpecError, match="there is no record of the build b9 of mine"):
        publisher.difference(str(spec), Options(out=tmp_path / "out"), *builds)


@pytest.mark.parametrize(
    ("verdicts", "hint", "retryable"),
    [
        ((True, True), "run this again when they answer", True),
        ((True, False), "correct what each cloud names", False),
        ((None, True), "correct what each cloud names", None),
    ],
)
def test_clouds_that_refuse_are_not_only_asked_again(
    verdicts: tuple[bool | None, ...], hint: str, retryable: bool | None
) -> None:
    errors = [PublishError("refused", retryable=verdict) for verdict in verdicts]

    with pytest.raises(PublishError) as e:
        publisher.require([publisher.CloudResult(cloud="a", error=error) for error in errors])

    assert hint in str(e.value.hint)
    assert e.value.retryable is retryable
