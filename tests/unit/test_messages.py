# SPDX-License-Identifier: Apache-2.0
"""Every error and note of the product stands in messages.txt and has its form: what failed, on what, hint.

A new or changed message: UPDATE_MESSAGES=1 pytest -n0 tests/unit/test_messages.py, then read the row as
somebody who is woken up by it. A row without a hint says why there is none.
"""

from __future__ import annotations

import ast
import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from goldsmith import errors
from goldsmith.core.paths import project_root
from tests.support import syntax

pytestmark = syntax.ONE_PROCESS

TABLE = Path(__file__).with_name("messages.txt")
PACKAGE = project_root() / "goldsmith"
HEAD = "# where | error, note or finding | message | hint; (none: why) where there is none\n"
ERRORS = {"error"} | {  # what is called error is the class that a caller wants raised
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.GoldsmithError)
}
_WITHOUT_HINT = {"note", "finding"}
NONE = re.compile(r"\(none: (?!\?)[^)]+\)")

# Words that a reader stumbles over; the glossary has the field's terms for them.
RIDDLES = re.compile(
    r"\b(anew|broken off|of its own|is said|are said|wish(es)?|roads?|doors?|pro(ve|ven|of)s?|sealed"
    r"|secrecy|borne|please|nobody knows|has to be said)\b"
)
NAMES = re.compile(r"^(Debian|Docker|Glance|Go|Heat|Kubernetes|Nova|OpenStack|QEMU|FROM|CycloneDX)\b")
VERBS = re.compile(
    r"^(add|allow|ask|build|check|change|choose|commit|compare|correct|did you mean|delete|do not|drop|enable"
    r"|exclude|free|full log|get|give|install|list|look|make|move|name|pin|publish|pull|push|put|quote"
    r"|rebuild|remove|rename|repair|restore|review|roll back|run|see|set|sign|start|store|there (is|are)"
    r"|keep|the newest|upgrade|use|wait|write|steps|stages|services|Debian|expected|every key|known)\b"
)


@dataclass(frozen=True, slots=True, order=True)
class Message:
    """where: the module. Texts are templates: {name} stands for a value."""

    where: str
    kind: str
    text: str
    hint: str | None

    def row(self, why: str) -> str:
        last = "" if self.kind in _WITHOUT_HINT else f" | {self.hint or f'(none: {why})'}"
        return f"{self.where} | {self.kind} | {self.text}{last}"


def template(node: ast.expr) -> str:
    """A text as it is written, its values in braces."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return template(node.left) + template(node.right)
    value = node.value if isinstance(node, ast.FormattedValue) else node
    return "{" + ast.unparse(value).replace("\n", " ").replace("|", "/") + "}"


def messages() -> Iterator[Message]:
    """Of every module, and the findings of verification: names of its tests, and what they say."""
    for path in sorted(PACKAGE.rglob("*.py")):
        where = str(path.relative_to(PACKAGE).with_suffix(""))
        if "suites" in path.parts:
            yield from findings(path, where)
            continue
        for node in syntax.nodes(path, ast.Call):
            if node.args and (kind := kind_of(node)):
                hints = [template(word.value) for word in node.keywords if word.arg == "hint"]
                text = template(node.args[0]).replace("\n", "\\n")
                yield Message(where, kind, text, hints[0] if hints else None)


def findings(path: Path, where: str) -> Iterator[Message]:
    """A finding is reported as PHASE: NAME OF THE TEST: MESSAGE."""
    for node in syntax.nodes(path, ast.FunctionDef):
        if node.name.startswith("test_"):
            yield Message(where, "finding", node.name.removeprefix("test_").replace("_", " "), None)
    for node in syntax.nodes(path, ast.Assert):
        if node.msg is not None:
            yield Message(where, "finding", template(node.msg), None)


def kind_of(call: ast.Call) -> str:
    function = call.func
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    if name == "note" and syntax.dotted(function) in {"progress.note", "note"}:
        return "note"
    return name if name in ERRORS else ""


@functools.cache
def found() -> list[Message]:
    return sorted(set(messages()), key=lambda m: (m.where, m.kind, m.text, m.hint or ""))


def rows() -> list[str]:
    return TABLE.read_text().splitlines()[1:] if TABLE.exists() else []


def updated() -> list[str]:
    """The table with what is new, and the reasons that it had."""
    reasons = {}
    for row in rows():
        head, _, last = row.rpartition(" | ")
        if match := re.fullmatch(r"\(none: (.*)\)", last):
            reasons[head] = match[1]
    return [m.row(reasons.get(m.row("").rpartition(" | ")[0], "?")) for m in found()]


def test_the_messages_are_found() -> None:
    assert len(found()) > 200
    kinds = {m.kind for m in found()}
    assert kinds >= {"SpecError", "HostError", "BuildError", "PublishError", "note", "finding"}


def test_every_message_stands_in_the_table() -> None:
    if os.environ.get("UPDATE_MESSAGES"):
        TABLE.write_text(HEAD + "".join(f"{row}\n" for row in updated()))

    assert rows() == updated()


def test_a_message_without_a_hint_has_a_reason() -> None:
    without = [row for row in rows() if "(none:" in row and row.split(" | ")[1] not in _WITHOUT_HINT]

    assert [row for row in without if not NONE.search(row)] == []


def bad_form(text: str) -> str:
    """What is wrong with the form of a message; empty: nothing."""
    bare = re.sub(r"\{[^}]*\}", "X", text)
    if RIDDLES.search(bare):
        return "has a word that a reader stumbles over"
    if bare.endswith((".", "!")) and not bare.endswith(" ..."):
        return "ends with a full stop"
    if bare[:1].isupper() and not bare.startswith("X") and not NAMES.match(bare):
        return "begins in upper case"
    return "is longer than a sentence" if len(bare) > 260 else ""


def bad_hint(hint: str) -> str:
    """What is wrong with the form of a hint; empty: nothing."""
    if RIDDLES.search(re.sub(r"\{[^}]*\}", "X", hint)):
        return "has a word that a reader stumbles over"
    if hint.endswith((".", "!")) and not hint.endswith("..."):
        return "ends with a full stop"
    return "" if hint.startswith("{") or VERBS.match(hint) else "does not begin with what to do"


def test_messages_have_their_form() -> None:
    assert [f"{m.where}: {m.text}: {why}" for m in found() if (why := bad_form(m.text))] == []


def test_hints_begin_with_what_to_do() -> None:
    assert [f"{m.where}: {m.hint}: {why}" for m in found() if m.hint and (why := bad_hint(m.hint))] == []


def test_bad_forms_are_seen() -> None:
    assert bad_form("the image was built anew")
    assert bad_form("No image")
    assert bad_form("no image.")
    assert not bad_form("no image {ref}")
    assert bad_hint("the store may be damaged")
    assert not bad_hint("run: scripts/inv clean")
