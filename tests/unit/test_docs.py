# SPDX-License-Identifier: Apache-2.0
"""What the documentation names exists: tasks and options, files, links and headings, container images."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from goldsmith.cli.words import parsing
from goldsmith.core.paths import project_root
from tests.support import syntax

sys.path.insert(0, str(project_root()))  # where Invoke finds tasks.py
import tasks

pytestmark = syntax.ONE_PROCESS

ROOT = project_root()
PAGES = sorted(
    {
        *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "heat-templates").rglob("*.md"),
        *(ROOT / "elements").glob("*/README.rst"), *(ROOT / "containers").glob("*/README.md"),
        *(ROOT / "examples").rglob("README.md"),
    }
)  # fmt: skip
TOP = "|".join(
    sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("docs", "out"))
)
OF_THE_READER = {  # examples of files that a project of its own would have
    "elements/motd/", "image-specs/my-image.yaml.j2", "image-specs/policy.yaml",
    "image-specs/policy-lab.yaml", "tests/site", "tests/site/test_site.py",
}  # fmt: skip
OF_OTHERS = {  # options of docker, Dockerfiles, curl, cosign and the cfn tools
    "--build-arg", "--force-reinstall", "--hostname", "--privileged", "--volume",
    "--checksum", "--chmod", "--exclude", "--parents", "--data-binary", "--digest", "--insecure-ignore-tlog",
    "--access-key", "--credential-file", "--resource", "--secret-key",
}  # fmt: skip
CALL = re.compile(r"(?:^ +(?:\$ )?|[`(]|&& |=true )(?:scripts/inv|goldsmith) ([^`\n#|&;>)]*)", re.MULTILINE)


def text_of(page: Path) -> str:
    """Without line breaks inside a command."""
    return re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))


def calls() -> Iterator[tuple[str, list[str]]]:
    """Where scripts/inv is called, and with which words."""
    for page in PAGES:
        for found in CALL.finditer(text_of(page)):
            yield str(page.relative_to(ROOT)), found[1].split()


def options() -> dict[str, set[str]]:
    """The options of each task."""
    found = {}
    for name, task in tasks.namespace.tasks.items():
        words = {each.replace("_", "-") for argument in task.get_arguments() for each in argument.names}
        found[name] = {f"--{word}" for word in words} | {f"--no-{word}" for word in words}
    return found


def test_every_task_and_option_exists() -> None:
    known, wrong, seen = options(), [], 0
    for page, words in calls():
        while words and words[0].startswith("-"):
            words.pop(0)  # an option of the program
        if not words or words[0].isupper():
            continue
        seen += 1
        task, *rest = words
        named = {word.partition("=")[0].strip("[].,") for word in rest if word.startswith(("--", "[--"))}
        if task not in known or named - known[task] - {"--help"}:
            wrong.append(f"{page}: {' '.join(words)}")

    assert seen > 80
    assert not wrong


def test_every_option_that_a_page_names_alone_exists() -> None:
    of_the_program = {"--yes", *parsing.HELP, *parsing.LIST, *parsing.VERSION}
    known = OF_OTHERS.union(of_the_program, *options().values())
    found = {
        (str(page.relative_to(ROOT)), option[1])
        for page in PAGES
        for option in re.finditer(r"`(--[a-z][a-z-]+)", text_of(page))
    }

    assert len(found) > 20
    assert not {(page, option) for page, option in found if option not in known}


def test_every_file_that_a_page_names_exists() -> None:
    """Relative to the project, its package or the page; a name with capitals stands for others."""
    found = {
        (page.parent, name[1].rstrip("."))
        for page in PAGES
        for name in re.finditer(rf"(?<![\w./~-])((?:{TOP})/[\w./-]+)", text_of(page))
        if not re.search("[A-Z]{2}", name[1])
    }

    assert len(found) > 60
    missing = {
        name
        for folder, name in found
        if not any((place / name).exists() for place in (ROOT, ROOT / "goldsmith", folder))
    }
    assert missing == OF_THE_READER


def test_every_test_that_the_page_on_security_names_exists() -> None:
    named = set(
        re.findall(
            r"`((?:unit|integration|elements|soak|scripts)/[\w/.]+)", text_of(ROOT / "docs/security.md")
        )
    )

    assert len(named) > 10
    assert not {name for name in named if not (ROOT / "tests" / name).exists()}


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    links = [
        (page, link[1])
        for page in PAGES
        for link in re.finditer(r"\]\(([^)\s]+)\)", text_of(page))
        if not re.match(r"[a-z]+:", link[1])
    ]

    assert len(links) > 100
    wrong = []
    for page, link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(f"{page.relative_to(ROOT)}: {link}")
    assert not wrong


def anchors(page: Path) -> set[str]:
    """The anchors that a forge gives to headings, and those that the page sets itself."""
    text = page.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    return made | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


def test_every_image_that_a_page_names_exists() -> None:
    made = {
        name
        for folder in ("image-specs", "containers")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        for name in re.findall(r"goldsmith\.local/[a-z]+:[\w.]+", path.read_text(encoding="utf-8"))
    }
    named = {
        (str(page.relative_to(ROOT)), name)
        for page in PAGES
        for name in re.findall(r"goldsmith\.local/[a-z]+:[\w.]*\w", text_of(page))
    }

    assert len(named) > 4
    assert not {(page, name) for page, name in named if name not in made}
