# SPDX-License-Identifier: Apache-2.0
"""Dockerfiles: the images that they use, and what is BuildKit's alone, rewritten or refused before a build.

goldsmith builds with the builder that every Docker engine has without BuildKit.
Format: https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from goldsmith.containers import dockerfile_parser
from goldsmith.containers.dockerfile_parser import Instruction
from goldsmith.errors import BuildError

_SHELL = '["/bin/sh", "-c"]'
_PLATFORM_ARGUMENT = re.compile(r"(TARGET|BUILD)(PLATFORM|OS|ARCH|VARIANT)")
_WAYS_OUT = {  # by flag, of COPY and ADD if not of RUN
    "--chmod": "set the mode in a RUN line; the x bit of a file in the context is kept",
    "--parents": "name each target folder in a COPY line",
    "--exclude": "exclude the files in .dockerignore",
    "--checksum": "put the file into the context, or check its hash in a RUN line",
    "--keep-git-dir": "put the files into the context",
    "--unpack": "unpack the archive in a RUN line",
    "--network": "remove it: builds use the host's network",
    "--security": "remove it: the builder has no privileged mode",
    "--device": "remove it: the builder passes no devices",
}
_MOUNTS = {
    "bind": "copy the files with COPY, in a stage of their own if the image must not have them",
    "secret": "put nothing secret into a build: give it to the container when it runs",
    "ssh": "put the files into the context",
}


def images(instructions: Sequence[Instruction]) -> Iterator[tuple[Instruction, str]]:
    """The images that a Dockerfile uses and the FROM, COPY or ADD that does, without its own stages."""
    arguments: dict[str, str] = {}
    stages: set[str] = {"scratch"}
    current: set[str] | None = None  # name of the stage that has begun, and is none to copy from yet
    for each in instructions:
        match each.keyword, each.rest.split():
            case "ARG", words if current is None:
                _declare(arguments, words)
            case "FROM", [image, *alias]:
                stages |= current or set()
                image = _expand(image, arguments)
                if image.lower() not in stages:
                    yield each, image
                current = {name.lower() for name in alias[1:2]}
            case "COPY" | "ADD", _:
                for flag in each.flags:
                    source = flag.removeprefix("--from=")
                    if source != flag and not source.isdigit() and source.lower() not in stages:
                        yield each, source


def require_buildable(path: Path, instructions: Sequence[Instruction]) -> None:
    """Raise BuildError for what only BuildKit builds and rewritten() does not replace. path: to show."""
    for each in instructions:
        if each.unclear is not None:
            raise BuildError(
                f"{path}:{each.line}: {each.unclear}",
                hint="write it as https://docs.docker.com/reference/dockerfile/ does",
            )
        for flag in each.flags:
            way_out = _way_out(each.keyword, flag)
            if way_out is not None:
                raise BuildError(
                    f"{path}:{each.line}: {each.keyword} {flag.partition(',')[0]} needs BuildKit,"
                    " which goldsmith does not use",
                    hint=way_out,
                )
        if each.heredocs and (each.keyword != "RUN" or each.heredocs[0].text.startswith("#!")):
            raise BuildError(
                f"{path}:{each.line}: this here-document of {each.keyword} needs BuildKit,"
                " which goldsmith does not use",
                hint=f"put the text into a file beside {path.name} and COPY it",
            )


def rewritten(
    text: str, names: Mapping[tuple[str, str], str], *, shells: Mapping[str, Sequence[str]] = {}
) -> str:
    """text for the builder: images by other names, here-documents as exec form, without mounts of caches.

    names: the name to use by keyword (FROM, COPY or ADD) and image. shells: of images with one of their own.
    """
    instructions = dockerfile_parser.parse(text)
    used = {id(each): image for each, image in images(instructions)}
    lines = dockerfile_parser.lines_of(text)
    for each, shell in _with_shells(instructions, shells):
        image = used.get(id(each), "")
        new = _rewritten(each, image, names.get((each.keyword, image)), shell)
        if new is not None:  # the number of lines stays: messages of the builder count them
            lines[each.line - 1 : each.end] = [new, *[""] * (each.end - each.line)]
    return "".join(f"{line}\n" for line in lines)


def discarded(instructions: Sequence[Instruction]) -> frozenset[str]:
    """Targets of the cache and tmpfs mounts of the image's own stages, without a leading /."""
    flags = (flag for each in _of_image(instructions) for flag in each.flags)
    return frozenset(_target(_mount(flag)).strip("/") for flag in flags if flag.startswith("--mount="))


def platform_arguments(instructions: Sequence[Instruction], *, arch: str, host_arch: str) -> dict[str, str]:
    """Values of the platform's predefined arguments that the Dockerfile declares with ARG."""
    declared = {word for each in instructions if each.keyword == "ARG" for word in each.rest.split()}
    found = {}
    for name in sorted(declared):
        if match := _PLATFORM_ARGUMENT.fullmatch(name):
            own = arch if match[1] == "TARGET" else host_arch
            values = {"PLATFORM": f"linux/{own}", "OS": "linux", "ARCH": own, "VARIANT": ""}
            found[name] = values[match[2]]
    return found


def _of_image(instructions: Sequence[Instruction]) -> list[Instruction]:
    """The instructions of the last stage and of the stages that it is FROM."""
    stages: dict[str, list[Instruction]] = {}
    current: list[Instruction] = []
    for each, parent, name in _with_stages(instructions):
        if each.keyword == "FROM":
            current = stages[name] = [*stages.get(parent.lower(), ())]
        current.append(each)
    return current


def _with_shells(
    instructions: Sequence[Instruction], shells: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Instruction, str]]:
    """Each instruction and the words of the shell, as JSON, that runs its command line."""
    stages: dict[str, str] = {}
    shell, current = _SHELL, ""
    for each, parent, name in _with_stages(instructions):
        if each.keyword == "FROM":
            foreign = json.dumps([*shells[parent]]) if shells.get(parent) else _SHELL
            shell, current = stages.get(parent.lower(), foreign), name
        elif each.keyword == "SHELL":
            shell = each.rest
        stages[current] = shell
        yield each, shell


def _with_stages(instructions: Sequence[Instruction]) -> Iterator[tuple[Instruction, str, str]]:
    """Each instruction; what its stage is FROM, and the stage's name in lower case, "" without one."""
    arguments: dict[str, str] = {}
    parent = name = ""
    begun = False
    for each in instructions:
        match each.keyword, each.rest.split():
            case "ARG", words if not begun:
                _declare(arguments, words)
            case "FROM", [image, *alias]:
                parent = _expand(image, arguments)
                name, begun = alias[1].lower() if len(alias) > 1 else "", True
        yield each, parent, name


def _declare(arguments: dict[str, str], words: Sequence[str]) -> None:
    """Take what ARG lines before the first FROM say; the last one counts."""
    for name, _, default in (word.partition("=") for word in words):
        arguments[name] = _expand(default.strip("\"'"), arguments)


def _way_out(keyword: str, flag: str) -> str | None:
    """What to write instead of a flag; None if the builder has it, or if it is left out."""
    name = flag.partition("=")[0]
    if keyword == "RUN" and name == "--mount":
        mount = _mount(flag)
        kind = mount.get("type", "bind")
        if kind not in ("cache", "tmpfs"):
            return _MOUNTS.get(kind, "remove it")
        target = _target(mount)
        if "from" in mount or not target.startswith("/") or "$" in target or not target.strip("/"):
            return "write the mount's target as an absolute path, without from and without arguments"
        return None
    return _WAYS_OUT.get(name) if keyword in ("RUN", "COPY", "ADD") else None


def _mount(flag: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in flag.partition("=")[2].split(","))
    return {key: value for key, _, value in pairs}


def _target(mount: Mapping[str, str]) -> str:
    return mount.get("target") or mount.get("dst") or mount.get("destination") or ""


def _rewritten(each: Instruction, image: str, name: str | None, shell: str) -> str | None:
    """The instruction for the builder; None if it stays."""
    flags = [flag for flag in each.flags if not _is_left_out(flag)]
    if each.heredocs:
        return f"RUN {shell.rstrip().removesuffix(']')}, {json.dumps(_script(each))}]"
    rest = each.rest
    if name is not None and each.keyword == "FROM":
        rest = " ".join([name, *rest.split()[1:]])
    elif name is not None:
        flags = [f"--from={name}" if flag == f"--from={image}" else flag for flag in flags]
    elif len(flags) == len(each.flags):
        return None
    return " ".join([each.keyword, *flags, rest])


def _is_left_out(flag: str) -> bool:
    """The builder does not have it, or (a platform of predefined arguments) cannot expand it."""
    return flag.startswith(("--mount=", "--link")) or (flag.startswith("--platform=") and "$" in flag)


def _script(each: Instruction) -> str:
    """What the shell runs: the here-document itself if the line has nothing else, or the line with it."""
    if each.rest == each.heredocs[0].opening:
        return each.heredocs[0].text
    documents = "".join(f"{document.body}{document.name}\n" for document in each.heredocs)
    return f"{each.rest}\n{documents}"


def _expand(text: str, arguments: Mapping[str, str]) -> str:
    return re.sub(
        r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))",
        lambda m: arguments.get(m[1] or m[3]) or m[2] or "",
        text,
    )
