"""How the command speaks: texts as they are, errors, and files that it writes."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.model.progress import Interim
from tokenomics_dagster.storage import private

JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the same for machines to this file.", show_default=False)
]


_INTERIM_S = 30.0  # between two interim lines where they cannot be written over


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


class _Teller:
    """Says what a long job tells: on a terminal what is interim is one line that is written over, else a line now and
    then, for a log that is read later."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._open, self._written = False, -_INTERIM_S

    def __call__(self, line: str) -> None:
        if not isinstance(line, Interim):
            self.end()
            self._console.print(line)
        elif self._console.is_terminal:
            # As wide as the terminal it would wrap, and a wrapped line cannot be written over.
            self._console.file.write(f"\r\x1b[2K{printable(line)[: self._console.width - 1]}")
            self._console.file.flush()
            self._open = True
        elif time.monotonic() - self._written >= _INTERIM_S:
            self._written = time.monotonic()
            self._console.print(line)

    def end(self) -> None:
        """Takes the interim line away, for what comes now says more."""
        if self._open:
            self._console.file.write("\r\x1b[2K")
            self._open = False


out = _Terminal()
err = _Terminal(stderr=True)
tell, tell_beside = _Teller(out), _Teller(err)


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
