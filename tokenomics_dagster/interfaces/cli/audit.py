"""The audit: whether it is whole, and the story of a week."""

import re
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from tokenomics_dagster.interfaces.cli.terminal import out, write_json

app = typer.Typer(
    help="The record of every plan, approval, adoption, halt, order and reconciliation.", no_args_is_help=True
)


def day_of(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("any date of the week is needed, such as 2026-08-24") from None


@app.command(epilog="Example: tokenomics audit verify")
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
    found = verify_audit(head, count)
    if found.noted_at is not None:
        out.print(
            f"record {found.noted_at:,} has the hash that was noted: nothing up to it was cut off or written anew"
        )
    out.print(f"{found.count:,} records in {found.address} are as they were written")
    out.print(f"the last one's hash is {found.hash}: noted elsewhere, it proves that the whole was not written anew")
    if found.uncovered:
        out.print(
            f"of {found.uncovered:,} scores, weights and plans nothing can be said: they have no hash, and are older "
            "than the first that has one, so that no order rests on them"
        )


@app.command(epilog="Example: tokenomics audit show 2026-08-24 --all")
def show(
    week: Annotated[date, typer.Argument(parser=day_of, metavar="WEEK", help="Any date of the week, 2026-08-24.")],
    every: Annotated[bool, typer.Option("--all", help="Each record after it, in order; times in New York.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write it, with each record, to this file.", show_default=False)
    ] = None,
) -> None:
    """Tell what became of a week in some ten lines: equity, what was traded and what not, who decided what."""
    from tokenomics_dagster.interfaces.cli import tables
    from tokenomics_dagster.model.calendar import NEW_YORK
    from tokenomics_dagster.operations.audit import audit_story

    story = audit_story(week)
    if json_file is not None:
        write_json(json_file, story.document())
    if not story.entries:
        out.print(f"nothing is recorded of the week of {story.week} in {story.address}")
        return
    out.print(tables.week(story))
    if not every:
        out.print(f"{len(story.entries):,} records tell it; --all shows each of them")
        return
    out.print()
    for entry in story.entries:
        at = entry.at.astimezone(NEW_YORK)
        out.print(f"{entry.seq:>6}  {at:%a %Y-%m-%d %H:%M:%S}  {entry.kind:<14}  {entry.text}")
