"""How the command speaks: texts as they are, errors, and files that it writes."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.storage import private


JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the same for machines to this file.", show_default=False)
]


class CannotBeWritten(UserError):
    """A result that nobody could read is not computed."""


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


def check_outputs(read: Mapping[Path, str], *written: Path | None) -> None:
    """Raises CannotBeWritten before anything is computed that then could not be written, or would be written over what
    it was made of: `read` says of each file what it is."""
    seen = {path: f"it is {what}; name another file" for path, what in read.items()}
    for path in written:
        if path is None:
            continue
        where = path.resolve()
        why = next((why for other, why in seen.items() if _same(where, other)), None)
        why = why if where.parent.is_dir() else f"{where.parent} is not a folder"
        why = f"{where} is a folder" if where.is_dir() else why
        # What is no file, a device, is written as it stands; a file is replaced, which its folder must allow.
        if why is None and (where.is_file() or not where.exists()) and not os.access(where.parent, os.W_OK | os.X_OK):
            why = f"nothing may be written in {where.parent}"
        if why is not None:
            raise CannotBeWritten(f"{path} cannot be written, and nothing was run: {why}")
        seen[where] = "another result is to be written there; name another file"


def _same(one: Path, other: Path) -> bool:
    """Also by another name of the file: a link, a folder that is mounted twice."""
    return one == other.resolve() or (one.exists() and other.exists() and one.samefile(other))


def write_json(path: Path, document: Any) -> None:
    write_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    try:
        private.write_text(path, text)
    except OSError as error:
        say_error(f"{path} cannot be written: {error.strerror}")
        raise typer.Exit(1) from None
