"""What becomes of the money: what was traded and why, what would be, what comes next, what it has earned."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from tokenomics_dagster.interfaces.cli.terminal import check_outputs, out, write_json


def day_of_week(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("any date of the week is needed, such as 2026-08-24") from None


JsonFile = Annotated[Path | None, typer.Option("--json", help="Write all of it to this file.", show_default=False)]


def trades(
    week: Annotated[
        date | None,
        typer.Argument(
            parser=day_of_week, metavar="WEEK", help="Any date of the week, 2026-08-24.", show_default="the newest"
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every trade and every name, not the largest ten.")] = False,
    json_file: JsonFile = None,
) -> None:
    """What was traded in a week: why, at which price against the quote; and what was not traded."""
    from tokenomics_dagster.interfaces.cli import portfolio_tables as tables
    from tokenomics_dagster.operations import trades as operation

    check_outputs({}, json_file)
    found = operation.trades_of_week(week)
    if json_file is not None:
        write_json(json_file, operation.trades_document(found))
    for one in tables.trades(found, every=every):
        out.print(one)


def plan(
    dry: Annotated[bool, typer.Option("--dry", help="Needed: real plans are made by the rebalance.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Every order and every name, not the largest ten.")] = False,
    json_file: JsonFile = None,
) -> None:
    """What a rebalance would do now, by the live rules; nothing is stored, nothing is sent.

    Before the open it goes by the quotes of the last session, and says so.
    """
    from tokenomics_dagster.interfaces.cli import portfolio_tables as tables
    from tokenomics_dagster.operations import dry_plan as operation

    if not dry:
        raise typer.BadParameter(
            "say --dry to see what would be traded now; a plan that waits is shown by `tokenomics approve PLAN_ID`",
            param_hint="--dry",
        )
    check_outputs({}, json_file)
    found = operation.dry_plan()
    if json_file is not None:
        write_json(json_file, operation.dry_plan_document(found))
    for one in tables.dry_plan(found, every=every):
        out.print(one)


def next_(json_file: JsonFile = None) -> None:
    """Schedules and sensors, on or off, their next tick and what it will do; sessions and half days to come."""
    from tokenomics_dagster.interfaces.cli import portfolio_tables as tables
    from tokenomics_dagster.operations import upcoming as operation

    check_outputs({}, json_file)
    found = operation.upcoming()
    if json_file is not None:
        write_json(json_file, operation.upcoming_document(found))
    for one in tables.upcoming(found):
        out.print(one)


def performance(json_file: JsonFile = None) -> None:
    """What the account has earned since the first order: by month, against others, drawdown, costs.

    True under deposits and withdrawals.
    """
    from tokenomics_dagster.interfaces.cli import portfolio_tables as tables
    from tokenomics_dagster.operations import performance as operation

    check_outputs({}, json_file)
    found = operation.performance()
    if json_file is not None:
        write_json(json_file, operation.performance_document(found))
    for one in tables.performance(found):
        out.print(one)
