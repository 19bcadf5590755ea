"""What keeps the platform sound: ask again for what failed, let old runs go, bring the database to this version."""

import time
from datetime import timedelta
from math import isnan
from typing import Annotated

import typer

from tokenomics_dagster.interfaces.cli.terminal import JsonOption, out, say_error, tell, write_json


def repair(
    symbols: Annotated[
        list[str] | None, typer.Argument(parser=str.upper, metavar="SYMBOL...", help="Stocks to ask for again.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that the last sweep could not fetch.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="The whole universe: what was stored of late is wrong.")
    ] = False,
) -> None:
    """Fetch the financials of some symbols again; exit code 1 if some are still missing."""
    from tokenomics_dagster.interfaces.cli.words import counted, span
    from tokenomics_dagster.operations.repair import NotFollowed
    from tokenomics_dagster.operations.repair import repair as run

    if bool(symbols) + failed + again != 1:
        raise typer.BadParameter("name symbols, or give --failed or --again")
    begun = time.monotonic()
    try:
        done = run(symbols or [], again=again, say=tell)
    except NotFollowed as error:
        raise typer.BadParameter(str(error)) from None
    took = span(timedelta(seconds=time.monotonic() - begun))
    if done.missing:
        tell(f"{done.wanted - len(done.missing):,} of {counted(done.wanted, 'symbol')} fetched in {took}")
        say_error(f"still failed: {', '.join(done.missing)}")
        raise typer.Exit(1)
    tell(f"all were fetched: {counted(done.wanted, 'symbol')} in {took}")


def _number(value: float | None) -> float | None:
    if value is not None and isnan(value):  # which no range leaves out
        raise typer.BadParameter("a number is needed")
    return value


def purge(
    older_than: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=3_650,
            callback=_number,
            help="Days since a run was last touched.",
            show_default="retention.runs_days",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Delete old runs of the Dagster instance with their events and logs, but for those that something needs."""
    from tokenomics_dagster.interfaces.cli import tables
    from tokenomics_dagster.interfaces.cli.words import span
    from tokenomics_dagster.operations.common import document_of
    from tokenomics_dagster.operations.purge import PurgeBegun, purge_instance

    begun = time.monotonic()
    for found in purge_instance(older_than, dry_run=dry_run, say=tell):
        if isinstance(found, PurgeBegun):
            days = f"{found.older_than_days:g} days"
            tell(f"{_mb(found.stored_bytes)} in {found.folder}; runs older than {days} go ...")
            continue
        if json_file is not None:
            write_json(json_file, {"dry_run": dry_run, **document_of(found)})
        out.print(tables.runs("these runs would be deleted" if dry_run else "runs deleted", "job", found.deleted))
        out.print(tables.runs("old runs that stay", "because they have the", found.kept))
        if dry_run:
            out.print("nothing was deleted")
            return
        if found.evaluations:
            out.print(f"{found.evaluations:,} superseded evaluations of checks outside of runs deleted, too")
        took = span(timedelta(seconds=time.monotonic() - begun))
        out.print(f"size before: {_mb(found.before)}, after: {_mb(found.after)}; done in {took}")
        if found.unused:
            out.print(
                f"{_mb(found.unused)} more are unused inside the database files: they are given back when nothing else "
                "runs"
            )


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def migrate() -> None:
    """Bring the database to the schema of this version; safe to repeat, and while others do the same."""
    from tokenomics_dagster.operations.common import migrate as bring

    for line in bring():
        out.print(line)
