# SPDX-License-Identifier: Apache-2.0
"""Parse a Dockerfile as Docker does; refuse what engines read in different ways, or what this could misread.

Format: https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goldsmith.errors import BuildError

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
    lines = lines_of(text)
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


def lines_of(text: str) -> list[str]:
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
