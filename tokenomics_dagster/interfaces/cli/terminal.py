"""How the command speaks: texts as they are, errors, and files that it writes."""

import json
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from tokenomics_dagster.storage import private


def printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class _Terminal(Console):
    """Shows texts as they are, for many come from outside: nothing in them is markup or moves the cursor."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str("\n".join(map(printable, text.split("\n"))), **options)


out = _Terminal()
err = _Terminal(stderr=True)


def say_error(text: str) -> None:
    err.print(Text("error:", "red"), text)


def write_json(path: Path, document: Any) -> None:
    write_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    try:
        private.write_text(path, text)
    except OSError as error:
        say_error(f"{path} cannot be written: {error.strerror}")
        raise typer.Exit(1) from None
