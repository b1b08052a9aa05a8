# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from goldsmith.containers import dockerfile, dockerfile_parser
from goldsmith.errors import BuildError

SHOWN = Path("app/Dockerfile")


def rewritten(text: str, names: dict[tuple[str, str], str] | None = None) -> list[str]:
    dockerfile.require_buildable(SHOWN, dockerfile_parser.parse(text))
    return [line for line in dockerfile.rewritten(text, names or {}).splitlines() if line]


def test_lines_are_continued_as_the_builder_does() -> None:
    text = "# escape=`\nFROM a\n\nrun x `\n  # why\n\n  y `  \n  z\nCOPY a\\ b /c\n"

    found = [(each.line, each.end, each.keyword, each.rest) for each in dockerfile_parser.parse(text)]

    assert found == [(2, 2, "FROM", "a"), (4, 8, "RUN", "x   y   z"), (9, 9, "COPY", "a\\ b /c")]


@pytest.mark.parametrize(
    ("line", "named", "hint"),
    [
        ("RUN --mount=type=bind,source=a,target=/a \\\n  cat /a", "RUN --mount=type=bind", "COPY"),
        ("RUN --mount=target=/a cat /a", "RUN --mount=target=/a", "COPY"),
        ("RUN --mount=type=secret,id=token x", "RUN --mount=type=secret", "secret"),
        ("RUN --mount=type=ssh git clone x", "RUN --mount=type=ssh", "context"),
        ("RUN --mount=type=cache,target=.npm npm ci", "RUN --mount=type=cache", "absolute"),
        ("RUN --network=none x", "RUN --network=none", "host's network"),
        ("COPY --chown=1:1 --chmod=755 a /a", "COPY --chmod=755", "RUN"),
        ("ADD --checksum=sha256:00 http://x.test/a /a", "ADD --checksum=sha256:00", "hash"),
        ("COPY <<EOF /etc/a\nx\nEOF", "here-document of COPY", "COPY it"),
        ("RUN <<EOF\n#!/usr/bin/python3\nprint()\nEOF", "here-document of RUN", "COPY it"),
    ],
)
def test_what_only_buildkit_builds_is_refused_with_its_line_and_a_way_out(
    line: str, named: str, hint: str
) -> None:
    with pytest.raises(BuildError) as e:
        rewritten(f"# a comment\nFROM scratch\n{line}\n")

    assert str(e.value).startswith("app/Dockerfile:3: ")
    assert named in str(e.value)
    assert hint in str(e.value.hint)


def test_mounts_of_caches_are_left_out_and_their_content_is_not_kept() -> None:
    text = (
        "FROM scratch\n"
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \\\n"
        "    --mount=type=tmpfs,dst=/tmp/ apt-get update\n"
        "COPY --link --chown=1:1 a /a\n"
    )

    assert rewritten(text) == ["FROM scratch", "RUN apt-get update", "COPY --chown=1:1 a /a"]
    assert dockerfile.discarded(dockerfile_parser.parse(text)) == {"var/cache/apt", "tmp"}


@pytest.mark.parametrize(
    ("stages", "found"),
    [
        ("FROM a AS build\n{mount}FROM b\nCOPY --from=build /out /app\n", set()),
        ("ARG X=build\nFROM a AS Build\n{mount}FROM ${{X}} AS more\nFROM b\nFROM more\n", {"app/cache"}),
        ("FROM a AS build\nFROM build AS more\n{mount}FROM build\n", set()),
    ],
)
def test_mounts_of_stages_that_are_not_in_the_image_leave_it_alone(stages: str, found: set[str]) -> None:
    text = stages.format(mount="RUN --mount=type=cache,target=/app/cache make\n")

    assert dockerfile.discarded(dockerfile_parser.parse(text)) == found


def test_a_platform_of_arguments_is_that_of_the_build() -> None:
    text = "FROM --platform=$BUILDPLATFORM scratch AS a\nFROM --platform=linux/arm64 a\n"

    assert rewritten(text) == ["FROM scratch AS a", "FROM --platform=linux/arm64 a"]


def test_here_documents_of_run_are_given_to_the_shell() -> None:
    text = (
        "FROM scratch\nRUN <<EOF\napt-get update\nFROM here\nEOF\n"
        'SHELL ["/bin/bash", "-ec"]\nRUN python3 <<-\'A\' > /a && cat <<B\n\tprint(1 << 2)\n\tA\nb\nB\n'
        'FROM scratch\nRUN <<X\necho "a"\nX\nRUN cat <<< EOF; echo $((1<<N))\n'
    )

    lines = rewritten(text)

    assert [line for line in lines if not line.startswith("RUN [")] == [
        "FROM scratch", 'SHELL ["/bin/bash", "-ec"]', "FROM scratch", "RUN cat <<< EOF; echo $((1<<N))",
    ]  # fmt: skip
    assert [json.loads(line.removeprefix("RUN ")) for line in lines if line.startswith("RUN [")] == [
        ["/bin/sh", "-c", "apt-get update\nFROM here\n"],
        ["/bin/bash", "-ec", "python3 <<-'A' > /a && cat <<B\n\tprint(1 << 2)\nA\nb\nB\n"],
        ["/bin/sh", "-c", 'echo "a"\n'],
    ]


@pytest.mark.parametrize(
    ("stages", "shell"),
    [
        ('FROM x:1 AS Base\nSHELL ["/bin/bash", "-ec"]\nFROM y:1\nFROM base\n', ["/bin/bash", "-ec"]),
        ("ARG B=base\nFROM y:1 AS base\nFROM ${B} AS two\nFROM x:1\nFROM two\n", ["/bin/ash", "-c"]),
        ("FROM --platform=linux/arm64 y:1\n", ["/bin/ash", "-c"]),
        ('FROM y:1 AS base\nSHELL ["/bin/sh", "-xc"]\nFROM y:1\n', ["/bin/ash", "-c"]),
        ('FROM x:1\nSHELL ["a"]\nFROM x:1 AS y\n', ["/bin/sh", "-c"]),
    ],
)
def test_here_documents_run_in_the_shell_of_the_stage_or_image_that_a_stage_is_from(
    stages: str, shell: list[str]
) -> None:
    text = f"{stages}RUN <<EOF\nls\nEOF\n"

    (line,) = [
        line
        for line in dockerfile.rewritten(text, {}, shells={"y:1": ["/bin/ash", "-c"]}).splitlines()
        if line.startswith("RUN")
    ]

    assert json.loads(line.removeprefix("RUN ")) == [*shell, "ls\n"]


def test_images_get_other_names_also_where_arguments_compose_them() -> None:
    text = (
        "ARG NAME=x.test/a TAG=1\nFROM --platform=linux/amd64 $NAME:${TAG} AS one\nFROM one\n"
        "COPY --from=x.test/a:1 --chown=1 /b /c\nCOPY --from=one /d /e\n"
    )

    lines = rewritten(text, {("FROM", "x.test/a:1"): "new:1", ("COPY", "x.test/a:1"): "other:1"})

    assert lines[1:] == [
        "FROM --platform=linux/amd64 new:1 AS one", "FROM one", "COPY --from=other:1 --chown=1 /b /c",
        "COPY --from=one /d /e",
    ]  # fmt: skip


def test_the_default_of_a_platform_argument_stays_as_with_buildkit() -> None:
    instructions = dockerfile_parser.parse("FROM scratch\nARG TARGETARCH=riscv64\nARG TARGETOS\n")

    found = dockerfile.platform_arguments(instructions, arch="arm64", host_arch="amd64")

    assert found == {"TARGETOS": "linux"}


def test_platform_arguments_have_the_values_that_buildkit_gives_them() -> None:
    instructions = dockerfile_parser.parse(
        "ARG BUILDARCH\nFROM scratch\nARG TARGETARCH A=1\nARG TARGETPLATFORM\n"
    )

    found = dockerfile.platform_arguments(instructions, arch="arm64", host_arch="amd64")

    assert found == {"BUILDARCH": "amd64", "TARGETARCH": "arm64", "TARGETPLATFORM": "linux/arm64"}


def images(text: str) -> list[str]:
    """The images that a Dockerfile which may be built uses."""
    instructions = dockerfile_parser.parse(text)
    dockerfile.require_buildable(SHOWN, instructions)
    return [image for _, image in dockerfile.images(instructions)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# why\n# escape=`\nFROM a\nRUN x `\nFROM evil\n", ["a", "evil"]),
        ("  # syntax=x\n # Escape = `\nFROM `\n  a\nRUN x \\\nFROM evil\n", ["a", "evil"]),
        ("FROM a\nRUN x \\\u00a0\nFROM evil\n", ["a", "evil"]),
        ("FROM a\nRUN x \\\u0085\nFROM evil\n", ["a", "evil"]),
        ("FROM a\n# \u2028FROM shown\n\u00a0# \\\nFROM evil\n", ["a", "evil"]),
        ("FROM a\nRUN x \\\n\u00a0\n \u3000# c\nFROM shown AS b\nCOPY --from=b /x /\n", ["a", "b"]),
        ("FROM \\\r\n# a comment\r\n\r\n  # and one\r\n  a \\\r\n  AS b\r\nFROM b\r\n", ["a"]),
        ("FROM a AS b\nCOPY --from=b /x /\n", ["a", "b"]),
        ("ARG A=x A=a\nARG B=$A:1\nFROM $B\nARG C=shown\nFROM ${C:-evil}\n", ["a:1", "evil"]),
        ("FROM a\nRUN echo 'x <<foo bar' $((1 <<N)) \u00a0\nCOPY --from=a b /c\n", ["a", "a"]),
        ("FROM a\nONBUILD RUN x\nONBUILD COPY --chown=1 a /b\n", ["a"]),
    ],
)
def test_images_are_those_that_the_engine_would_use(text: str, found: list[str]) -> None:
    assert images(text) == found


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("ONBUILD COPY --chown=1 --from=evil /x /", "ONBUILD COPY must not name an image"),
        ("onbuild from evil", "ONBUILD FROM must not name an image"),
        ("ONBUILD RUN <<EOF\nFROM a AS evil\nEOF", "ONBUILD cannot have a here-document"),
        ("COPY --fr\\om=evil /x /", "an option of COPY must be --NAME=VALUE"),
        ('COPY --from="evil" /x /', "an option of COPY must be --NAME=VALUE"),
        ("ADD --fr\u00f6m=evil /x /", "an option of ADD must be --NAME=VALUE"),
        ("FROM a AS b c", "FROM must be an image, or IMAGE AS NAME"),
        ("FROM\u00a0evil", "is no instruction"),
        ("RUN x \\\\\nFROM evil", "engines disagree whether a line that ends with"),
        ("RUN x \\\r\r\nFROM evil", "'RUN' has a control character"),
        ('RUN cat <<"RUN x"\nFROM a AS evil\nRUN x', "the name of the here-document"),
        ("RUN cat <<E\\OF\nFROM a AS evil\nEOF", "the name of the here-document"),
    ],
)
def test_what_engines_may_read_otherwise_is_refused_with_its_line(lines: str, message: str) -> None:
    with pytest.raises(BuildError) as e:
        images(f"FROM a\n{lines}\nCOPY --from=evil /x /\n")

    assert str(e.value).startswith("app/Dockerfile:2: ")
    assert message in str(e.value)


def test_a_line_that_is_continued_by_nothing_is_refused() -> None:
    with pytest.raises(BuildError, match="app/Dockerfile:2: '' is no instruction"):
        images("FROM a\n\\\n")


@pytest.mark.parametrize("directives", ["# check=skip=all\n# escape=`", "# escape=!"])
def test_directives_that_engines_read_differently_are_refused(directives: str) -> None:
    with pytest.raises(BuildError, match="the directive escape above"):
        images(f"{directives}\nFROM a\n")


def test_a_byte_order_mark_hides_no_instruction(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_bytes(b"\xef\xbb\xbfFROM evil\r\nRUN a\rb\n")

    assert dockerfile_parser.read(path) == "FROM evil\r\nRUN a\rb\n"


def test_a_dockerfile_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_bytes(b"FROM a\n# \xff\n")

    with pytest.raises(BuildError, match="Dockerfile is not UTF-8 text"):
        dockerfile_parser.read(path)
