"""What an experiment would have done on history, and how sure that is."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from tokenomics_dagster.interfaces.cli.terminal import check_outputs, out, tell_beside, write_json, write_text


def backtest(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An experiment: see config/experiments/.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the whole result to this file.", show_default=False)
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", help="Write it as one page to this file.", show_default=False)
    ] = None,
    check_lookahead: Annotated[
        bool,
        typer.Option("--check-lookahead", help="Look whether its strategy knows the future; exit code 1 if it does."),
    ] = False,
    controls: Annotated[
        bool, typer.Option(help="Compare it with random portfolios and vary each of its settings; takes longer.")
    ] = True,
) -> None:
    """Run an experiment on history: what it would have done, how sure that is, and what it cannot show."""
    from tokenomics_dagster.interfaces.cli import tables
    from tokenomics_dagster.interfaces.cli.words import span
    from tokenomics_dagster.model.progress import timed
    from tokenomics_dagster.operations import backtest as operation

    check_outputs(operation.files_read(file), json_file, html_file)
    if check_lookahead:
        _look_ahead(file)
    begun = time.monotonic()
    done = operation.backtest(file, controls=controls, say=timed(tell_beside, time.monotonic))
    tell_beside(f"done in {span(timedelta(seconds=time.monotonic() - begun))}")
    for table in tables.backtest(done.screen, out.width):  # first: a full disk must not take the result with it
        out.print(table)
    if json_file is not None:
        write_json(json_file, done.document)
    if html_file is not None:
        write_text(html_file, done.page)


def _look_ahead(file: Path) -> None:
    """Before anything else is told: the figures of a strategy that looks ahead are worth nothing."""
    from tokenomics_dagster.operations.backtest import look_ahead

    found = look_ahead(file, say=tell_beside)
    for sentence in found:
        out.print(f"looks ahead: {sentence}")
    if found:
        raise typer.Exit(1)
    out.print("no look-ahead was found")
