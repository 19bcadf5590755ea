"""A rebalanced week as one page."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from tokenomics_dagster.interfaces.cli.audit import day_of
from tokenomics_dagster.interfaces.cli.terminal import check_outputs, err, out, write_json, write_text


def report(
    week: Annotated[
        date | None,
        typer.Argument(
            parser=day_of, metavar="WEEK", help="Any date of the week, 2026-08-24.", show_default="the last"
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    file: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write it here.", show_default=".tokenomics/reports/WEEK.html"),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Beside the benchmark and the universe: asks the broker for their bars.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write its figures to this file.", show_default=False)
    ] = None,
) -> None:
    """Make the page of a rebalanced week: what was traded and why, what is held, how sound the data was.

    It is made of stored records alone, unless it compares.
    """
    from tokenomics_dagster.operations import report as operation

    check_outputs({}, file, json_file)
    made = operation.report(week, compare=compare)
    where = file or operation.kept_at(made.week)
    write_text(where, made.page)
    if json_file is not None:
        write_json(json_file, made.document)
    out.print(made.summary)
    out.print(f"the page: {where.resolve()}")
    if show and not _opened(where.resolve().as_uri()):
        err.print("no browser could be opened here: open that file in yours")


def _opened(address: str) -> bool:
    import webbrowser

    return webbrowser.open(address)
