# SPDX-License-Identifier: Apache-2.0
"""Dockerfiles: the images that they use, and what is BuildKit's alone, rewritten or refused before a build.

goldsmith builds with the builder that every Docker engine has without BuildKit.
Format: https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.errors import BuildError

_SHELL = '["/bin/sh", "-c"]'
# What Go's unicode.IsSpace takes, which Docker's parser skips at the beginning of a line.
_SPACES = " \t\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_WORD = re.compile(r"([^\t\v\f\r ]*)[\t\v\f\r ]*(.*)", re.DOTALL)
_DIRECTIVE = re.compile(r"#\s*([a-z][a-z0-9]*)\s*=\s*(.+?)\s*", re.IGNORECASE | re.ASCII)
_FLAG = re.compile(r"--\S+")
_PLAIN_FLAG = re.compile(r"--[a-z-]+(=[!-~]*)?")
_PLAIN_FROM = re.compile(r"[!-~]+([ \t]+AS[ \t]+[!-~]+)?", re.IGNORECASE | re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_KEYWORDS = frozenset(
    (
        "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL",
        "MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
    )
)  # fmt: skip
_LIKE_HEREDOC = re.compile(r"""(?:^|(?<=\s))\d*<<-?((?:"[^"]*"|'[^']*'|\\.|[^\s<"'\\])+)""")
_HEREDOC = re.compile(r"(?:^|(?<=[\s;|&(]))\d*<<(-?)([\"']?)([A-Za-z_]\w*)\2(?=$|[\s;|&)>])")
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Heredoc:
    """body: its lines as they stand in the file. opening: the word that begins it."""

    opening: str
    name: str
    strip_tabs: bool
    body: str

    @property
    def text(self) -> str:
        return re.sub(r"^\t+", "", self.body, flags=re.MULTILINE) if self.strip_tabs else self.body


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruction:
    """line, end: its first and last line, counted from 1. rest: without flags, continued lines joined.

    unclear: why Docker engines may read it otherwise; None if they cannot.
    """

    line: int
    end: int
    keyword: str
    flags: tuple[str, ...]
    rest: str
    heredocs: tuple[Heredoc, ...] = ()
    unclear: str | None = None


def read(path: Path) -> str:
    """The text of a Dockerfile. Raises OSError, and BuildError if it is no text."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise BuildError(f"{path} is not UTF-8 text", hint="write it as UTF-8") from e


def parse(text: str) -> tuple[Instruction, ...]:
    """The instructions of a Dockerfile."""
    lines = _lines(text)
    escape, unclear = _escape(lines)
    found = []
    number = 0
    while number < len(lines):
        start = number
        if _is_skipped(lines[number]):
            number += 1
            continue
        joined, number = _joined(lines, number, escape)
        keyword, rest = _split(joined)
        heredocs, number = _heredocs(keyword, rest, lines, number)
        unclear = (
            unclear
            or _unclear(keyword, joined, rest, escape)
            or _other_heredoc(keyword, rest, heredocs, lines[number:])
        )
        flags, rest = _split_flags(rest)
        found.append(
            Instruction(
                line=start + 1, end=number, keyword=keyword, flags=flags, rest=rest, heredocs=heredocs,
                unclear=unclear,
            )
        )  # fmt: skip
        unclear = None
    return tuple(found)


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
    instructions = parse(text)
    used = {id(each): image for each, image in images(instructions)}
    lines = _lines(text)
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


def _lines(text: str) -> list[str]:
    """The lines as Docker counts them: only LF and CR LF end one."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines if lines[-1] else lines[:-1]


def _is_skipped(line: str) -> bool:
    """It is empty or a comment, also between continued lines."""
    return line.lstrip(_SPACES)[:1] in ("", "#")


def _escape(lines: Sequence[str]) -> tuple[str, str | None]:
    """The character that continues a line, and why engines may take another one.

    Directives end at the first line that is none.
    """
    escape, only_newer = "\\", False
    for line in lines:
        found = _DIRECTIVE.fullmatch(line.lstrip(_SPACES))
        if found is None or (name := found[1].lower()) not in ("syntax", "check", "escape"):
            break
        only_newer |= name == "check"
        if name == "escape":
            escape = found[2]
            if escape not in ("\\", "`"):
                return "\\", "the directive escape above must be \\ or `"
            if only_newer:
                return escape, "only newer engines honour the directive escape above, after check"
    return escape, None


def _joined(lines: Sequence[str], number: int, escape: str) -> tuple[str, int]:
    """An instruction without line breaks, and the number of the line after it.

    It ends with two characters of escape if one of its lines does: engines disagree whether that goes on.
    """
    parts: list[str] = []
    more = True
    while more and number < len(lines):
        line = lines[number]
        number += 1
        if parts and _is_skipped(line):
            continue
        bare = line.rstrip(" \t")
        more = bare.endswith(escape) and not bare.endswith(2 * escape)
        parts.append(bare.removesuffix(escape) if more else line)
    return "".join(parts), number


def _split(line: str) -> tuple[str, str]:
    """The keyword, in upper case, and the rest."""
    found = _WORD.fullmatch(line.strip(_SPACES))
    assert found is not None  # it takes every text
    return found[1].upper(), found[2]


def _unclear(keyword: str, joined: str, rest: str, escape: str) -> str | None:
    """Why engines may read an instruction otherwise, or find another image in it."""
    if joined.rstrip(" \t").endswith(2 * escape):
        return f"engines disagree whether a line that ends with {2 * escape} goes on"
    if _CONTROL.search(joined):
        return f"{keyword[:20]!r} has a control character"
    if keyword not in _KEYWORDS:
        return f"{keyword[:20]!r} is no instruction"
    flags, words = _split_flags(rest)
    if keyword == "ONBUILD":
        return _unclear_trigger(joined, words, escape)
    if keyword not in ("FROM", "COPY", "ADD"):
        return None
    if any(not _PLAIN_FLAG.fullmatch(flag) or re.search(r"[\"'\\]", flag) for flag in flags):
        return f"an option of {keyword} must be --NAME=VALUE in plain letters, without quotes"
    if keyword == "FROM" and not _PLAIN_FROM.fullmatch(words):
        return "FROM must be an image, or IMAGE AS NAME, in plain letters"
    return None


def _unclear_trigger(joined: str, trigger: str, escape: str) -> str | None:
    """Triggers run in a later build, which would pull their images unseen."""
    keyword, rest = _split(trigger)
    flags, _ = _split_flags(rest)
    if keyword == "FROM" or any(flag.partition("=")[0] == "--from" for flag in flags):
        return f"ONBUILD {keyword} must not name an image"
    if _LIKE_HEREDOC.search(rest):
        return "ONBUILD cannot have a here-document"
    return _unclear(keyword, joined, rest, escape)


def _other_heredoc(keyword: str, rest: str, heredocs: Sequence[Heredoc], later: Sequence[str]) -> str | None:
    """Why an engine may see a here-document, and no instructions in it, where _heredocs() sees none."""
    ours = {heredoc.name for heredoc in heredocs}
    for found in _LIKE_HEREDOC.finditer(rest) if keyword in ("RUN", "COPY", "ADD") else ():
        name = re.sub(r"[\"'\\]", "", found[1])
        if name not in ours and ("${" in name or any(line.lstrip("\t") == name for line in later)):
            return f"the name of the here-document {found[0]} must be letters, digits and _"
    return None


def _heredocs(keyword: str, rest: str, lines: Sequence[str], number: int) -> tuple[tuple[Heredoc, ...], int]:
    """The here-documents that an instruction opens; only what a later line ends is one."""
    found: list[Heredoc] = []
    for match in _HEREDOC.finditer(rest) if keyword in ("RUN", "COPY", "ADD") else ():
        strip = bool(match[1])
        ends = (
            i for i in range(number, len(lines)) if (lines[i].lstrip("\t") if strip else lines[i]) == match[3]
        )
        end = next(ends, None)
        if end is None:
            break
        body = "".join(f"{line}\n" for line in lines[number:end])
        found.append(Heredoc(opening=match[0], name=match[3], strip_tabs=strip, body=body))
        number = end + 1
    return tuple(found), number


def _split_flags(rest: str) -> tuple[tuple[str, ...], str]:
    flags = []
    rest = rest.strip()
    while found := _FLAG.match(rest):
        flags.append(found[0])
        rest = rest[found.end() :].lstrip()
    return tuple(flags), rest


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
