"""Orders and the report after them."""

from collections import Counter
from typing import Any

import dagster as dg

from tokenomics_dagster.metadata import table
from tokenomics_dagster.portfolio.assets import rebalance_weeks
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.settings import load_settings
from tokenomics_dagster.storage.resources import DataFrame, WarehouseResource, schema_metadata


class OrdersConfig(dg.Config):
    """Leave empty, unless a plan waits for approval: then its id approves it."""

    approve: str = ""


@dg.asset(
    group_name="execution",
    kinds={"alpaca"},
    pool="alpaca",
    partitions_def=rebalance_weeks,
    metadata=schema_metadata("tokenomics_dagster.execution.schema.Orders"),
)
def orders(
    context: dg.AssetExecutionContext,
    config: OrdersConfig,
    trade_plan: DataFrame,
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
) -> DataFrame:
    """Carries the week's trade plan out: sells, waits until each is final, buys with the cash that is there, waits.

    Running it again sends nothing twice. It verifies plan, account, market, scores and approval for itself. With
    `approve` in the run config a person approves a plan that waits, and it goes on at once.
    """
    import pandas as pd

    from tokenomics_dagster.execution.rebalance import Rebalance
    from tokenomics_dagster.execution.schema import Orders
    from tokenomics_dagster.portfolio.plan import Plan

    plan = Plan.from_document(trade_plan.attrs["plan"])
    if config.approve:
        if config.approve != plan.plan_id:
            raise dg.Failure(
                f"the newest plan of the week is {plan.plan_id}, not {config.approve}: look at that one first",
                allow_retries=False,
            )
        warehouse.open().approve(plan.plan_id, plan.plan_hash, by="the UI", at=alpaca.clock().now)
    outcome = Rebalance(plan, alpaca, warehouse.open(), load_settings()).run()
    columns = list(Orders.to_schema().columns)
    rows = [[_text(getattr(row, column)) for column in columns] for row in outcome.orders]
    frame = pd.DataFrame(rows, columns=columns)
    books = outcome.reconciliation
    assert books is not None
    frame.attrs = {
        "as_of": alpaca.now(),
        "plan_id": plan.plan_id,
        "skipped": outcome.skipped,
        "stuck": outcome.stuck,
        "reconciliation_flaws": books.flaws,
    }
    states = Counter(row.status for row in outcome.orders)
    context.add_output_metadata(
        {
            "plan_id": plan.plan_id,
            "sent": len(frame),
            "fills": books.fills,
            "states": table(states.most_common(), "status", "orders"),
            "skipped": table(outcome.skipped.items(), "symbol", "reason"),
            "stuck": table(((what,) for what in outcome.stuck), "order"),
            "cash": table([(books.cash_expected, books.cash_found)], "expected, USD", "found, USD"),
            "books": table(((flaw,) for flaw in books.flaws), "what does not agree"),
        }
    )
    return frame


@dg.asset(
    group_name="execution",
    kinds={"alpaca", "pandas"},
    pool="alpaca",
    partitions_def=rebalance_weeks,
    deps=[orders],
    metadata=schema_metadata("tokenomics_dagster.execution.schema.PortfolioReport"),
)
def portfolio_report(context: dg.AssetExecutionContext, target_weights: DataFrame, alpaca: AlpacaResource) -> DataFrame:
    """What the account holds after the rebalance, against its targets."""
    from tokenomics_dagster.execution.report import report

    account = alpaca.account()
    targets = dict(zip(target_weights["symbol"], target_weights["weight"], strict=True))
    frame = report(targets, alpaca.positions(), account.equity)
    frame.attrs = {
        "as_of": alpaca.now(),
        "account": account.number,
        "equity": str(account.equity),
        "cash": str(account.cash),
    }
    largest = frame.reindex(frame["drift"].abs().sort_values(ascending=False).index).head(10)
    context.add_output_metadata(
        {
            "equity_usd": float(account.equity),
            "cash_usd": float(account.cash),
            "held": int((frame["qty"] > 0).sum()),
            "largest_drift": float(frame["drift"].abs().max()) if len(frame) else 0.0,
            "drift": table(
                largest[["symbol", "weight", "target_weight", "drift"]].itertuples(index=False),
                "symbol",
                "weight",
                "target",
                "drift",
            ),
        }
    )
    return frame


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
