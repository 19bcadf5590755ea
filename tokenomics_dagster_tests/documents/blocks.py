"""The blocks of code in the documents, and what each says of how it was shown to work.

After the language stands one word, and for some what belongs to it:

    sh test               run by the tests, in the order of the page
    sh tested FILE        run by that test file
    sh cluster, docker    not run here: it needs a cluster, or a container engine
    sh by-hand WHY        not run here, for the reason that stands there
    python test           statements and answers as in a Python prompt, run in the order of the page
    python tested FILE    run by that test file; so are yaml and json
    python shown FILE     stands word for word in that file, which is tested
    yaml settings         a settings file
    yaml run-config JOB   the run config of a job
    text                  nothing to run
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from tokenomics_dagster_tests.conftest import REPOSITORY

FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)^```$", re.MULTILINE)
KINDS = {
    "sh": {"test", "tested", "cluster", "docker", "by-hand"},
    "python": {"test", "tested", "shown"},
    "yaml": {"tested", "settings", "run-config"},
    "json": {"tested"},
    "text": {""},
}
WITH_MORE = {"tested", "shown", "by-hand", "run-config"}
"""Kinds after which something must stand."""


def pages() -> list[str]:
    """Every document that a user reads, by its path in the repository."""
    return [
        "README.md",
        "CONTRIBUTING.md",
        *(f"docs/{path.name}" for path in sorted((REPOSITORY / "docs").glob("*.md"))),
    ]


class Block(NamedTuple):
    """`more` is what stands after the kind; `line` where the block begins, for a message."""

    page: str
    line: int
    language: str
    kind: str
    more: str
    body: str

    @property
    def lines(self) -> list[str]:
        return self.body.splitlines()

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> Iterator[Block]:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        language, _, rest = found[1].partition(" ")
        kind, _, more = rest.partition(" ")
        yield Block(page, text.count("\n", 0, found.start()) + 1, language, kind, more, found[2])


def all_blocks() -> list[Block]:
    return [block for page in pages() for block in blocks_of(page)]


def indented(page: str) -> list[int]:
    """The lines at which a block begins that is one by its indent alone, so that nobody says how it was shown."""
    text = FENCE.sub(lambda found: "\n" * (found[0].count("\n")), (REPOSITORY / page).read_text(encoding="utf-8"))
    lines = text.split("\n")
    return [
        at + 1
        for at, line in enumerate(lines)
        if line.startswith("    ") and at and not lines[at - 1].strip() and not _in_list(lines, at)
    ]


def _in_list(lines: list[str], at: int) -> bool:
    """Whether an indented line goes on with the item of a list."""
    for line in reversed(lines[:at]):
        if line and not line.startswith(" "):
            return bool(re.match(r"([-*]|\d+\.) ", line))
    return False
