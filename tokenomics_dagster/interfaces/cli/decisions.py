"""What a person decides: halt, resume, approve, adopt."""

from typing import Annotated

import typer

from tokenomics_dagster.interfaces.cli.terminal import JsonOption, out, printable, write_json


def _reason(text: str) -> str:
    text = " ".join(text.split())
    if not text:
        raise typer.BadParameter("a reason of printable text is needed: it is what the audit will tell")
    # No halt is refused for a sign without a width, which came with a copied text.
    return printable(text)


ReasonArgument = Annotated[str, typer.Argument(parser=_reason, metavar="REASON", help="Why; it is recorded.")]


def halt(
    reason: ReasonArgument,
    cancel_orders: Annotated[bool, typer.Option("--cancel-orders", help="Cancel all open orders, too.")] = False,
) -> None:
    """Stop a running rebalance before its next order, and every later one, until `resume`."""
    from tokenomics_dagster.operations.decisions import halt_trading

    for line in halt_trading(reason, cancel_orders=cancel_orders):
        out.print(line)


def resume(reason: ReasonArgument) -> None:
    """Let the rebalance trade again after a halt."""
    from tokenomics_dagster.operations.decisions import resume_trading

    for line in resume_trading(reason):
        out.print(line)


def approve(
    plan_id: Annotated[str, typer.Argument(help="As the waiting run names it.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Show a trade plan that waits for a person, and approve it."""
    from tokenomics_dagster.interfaces.cli import tables
    from tokenomics_dagster.model.identity import period_of_plan
    from tokenomics_dagster.operations.decisions import approve_plan, plan_to_approve

    try:
        period_of_plan(plan_id)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    waiting = plan_to_approve(plan_id)
    if json_file is not None:
        write_json(json_file, waiting.document())
    for table in tables.plan(waiting):
        out.print(table)
    if not yes:
        typer.confirm("Approve it?", abort=True)
    for line in approve_plan(plan_id):
        out.print(line)


def adopt(
    symbols: Annotated[list[str] | None, typer.Argument(metavar="SYMBOL...", help="Stocks that are held.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All stocks that no strategy has bought here.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Let the strategy have stocks that it did not buy: it then keeps, trims or sells them as its targets say."""
    from tokenomics_dagster.interfaces.cli import tables
    from tokenomics_dagster.operations import adoption
    from tokenomics_dagster.operations.common import document_of

    if bool(symbols) == every or any(len(symbol.split()) != 1 for symbol in symbols or ()):
        raise typer.BadParameter("name the stocks by their symbols, or all of them by --all", param_hint="SYMBOL...")
    offer = adoption.adoptable(symbols or [], every=every)
    if json_file is not None:
        write_json(json_file, document_of(offer))
    out.print(tables.adoptable(offer.stocks))
    out.print(f"held in the {offer.account}")
    out.print(f"to be recorded in {offer.database}")
    if not yes:
        typer.confirm("Let the strategy have them?", abort=True)
    for line in adoption.adopt(offer):
        out.print(line)
