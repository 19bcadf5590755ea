"""What the platform knew at an instant."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import click
import typer

from tokenomics_dagster.interfaces.cli.terminal import out, write_json, write_text


def _instant(text: str) -> datetime:
    from tokenomics_dagster.operations.known import instant

    try:
        return instant(text)
    except ValueError:
        raise typer.BadParameter(
            "an instant with its zone is needed, such as 2026-08-24T14:05:00Z, or a date: its end in New York"
        ) from None


class _Kinds(click.Choice[str]):
    """The tables that the rooms let people ask for, read when they are needed: rooms load Dagster."""

    def __init__(self) -> None:
        super().__init__(())

    @property
    def choices(self) -> Sequence[str]:
        from tokenomics_dagster.operations.known import HOUSE

        return tuple(HOUSE.kinds)

    @choices.setter
    def choices(self, _: Sequence[str]) -> None:
        """click sets it once, to what it was made with."""


def known(
    at: Annotated[
        datetime,
        typer.Argument(parser=_instant, metavar="T", help="2026-08-24T14:05:00Z; a date is its end, New York."),
    ],
    what: Annotated[
        str | None,
        typer.Option(help="Only this.", show_default="all of them", click_type=_Kinds()),
    ] = None,
    symbol: Annotated[str | None, typer.Option(parser=str.upper, help="Only this stock.", show_default=False)] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all rows to this file.", show_default=False)
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write all rows of --what to this file.", show_default=False)
    ] = None,
) -> None:
    """Tell what the platform knew at an instant; exit code 1 if that is nothing."""
    from tokenomics_dagster.interfaces.cli import tables
    from tokenomics_dagster.operations.known import known as ask
    from tokenomics_dagster.operations.known import known_document

    if csv_file is not None and what is None:
        raise typer.BadParameter("--csv holds one table: say which by --what")
    found = ask(at, () if what is None else (what,), symbol)
    if json_file is not None:
        write_json(json_file, known_document(at, found))
    if csv_file is not None:
        write_text(csv_file, found[0].frame.to_csv(index=False))
    for table in tables.known(at, found):
        out.print(table)
