"""The audit: whether it is whole, and the story of a week."""

import re
from datetime import date
from typing import Annotated

import typer

from tokenomics_dagster.interfaces.cli.terminal import out

app = typer.Typer(help="The record of every plan, approval, halt, order and reconciliation.", no_args_is_help=True)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("any date of the week is needed, such as 2026-08-24") from None


@app.command()
def verify(
    head: Annotated[
        str | None, typer.Option(help="Hash of a head noted elsewhere: it must be in the chain.", show_default=False)
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="The number of records noted with --head.", show_default=False)
    ] = None,
) -> None:
    """Find any change, deletion or reordering since the records were written; exit code 1 names the first bad one."""
    from tokenomics_dagster.operations.audit import verify_audit

    if head is not None and not re.fullmatch(r"[0-9a-f]{64}", head):
        raise typer.BadParameter("a head is 64 hexadecimal digits: the log of trades and messages of halts have them")
    if count is not None and head is None:
        raise typer.BadParameter("--count goes with --head")
    for line in verify_audit(head, count):
        out.print(line)


@app.command()
def show(
    week: Annotated[date, typer.Argument(parser=_day, metavar="WEEK", help="Any date of the week, 2026-08-24.")],
) -> None:
    """Tell the story of a week, in order; times in New York."""
    from tokenomics_dagster.operations.audit import audit_story

    for line in audit_story(week):
        out.print(line)
