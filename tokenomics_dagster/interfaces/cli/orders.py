"""Orders whose end is not known, and what a person says became of one."""

from typing import Annotated, Literal

import typer

from tokenomics_dagster.interfaces.cli.decisions import ReasonArgument
from tokenomics_dagster.interfaces.cli.terminal import JsonOption, out, write_json


def orders(json_file: JsonOption = None) -> None:
    """List the orders whose end is not known, and say what to do about each."""
    from tokenomics_dagster.kit.checks import counted
    from tokenomics_dagster.operations.orders import orders_in_doubt, with_fills

    # Lines, for a table would cut ids and commands where the terminal is narrow.
    found = orders_in_doubt()
    if json_file is not None:
        write_json(json_file, found.document())
    out.print(f"{counted(len(found.doubts), 'order')} of account {found.account} whose end is not known")
    for doubt in found.doubts:
        row, order = doubt.row, doubt.order
        out.print(f"{row.client_order_id}: {row.side} {row.symbol}")
        out.print(f"  ledger  {with_fills(row.status, row.filled_qty)}" + (f" ({row.note})" if row.note else ""))
        out.print(f"  broker  {'does not find it' if order is None else with_fills(order.status, order.filled_qty)}")
        out.print(f"  to do   {doubt.advice(found.at)}")


def settle_order(
    client_order_id: Annotated[str, typer.Argument(help="As `tokenomics orders` names it.")],
    reason: ReasonArgument,
    end: Annotated[
        Literal["canceled", "filled", "never-sent"],
        typer.Option(
            "--as", help="What became of it: canceled, or ended otherwise, with what had filled; filled; never-sent."
        ),
    ],
) -> None:
    """Say what became of an order that the rebalance cannot find out; refused where the broker says otherwise."""
    from tokenomics_dagster.operations.orders import settle_order as settle

    for line in settle(client_order_id, end, reason):
        out.print(line)
