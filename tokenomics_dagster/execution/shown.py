"""What a materialization of orders and report shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from tokenomics_dagster.kit import plots, sketch
from tokenomics_dagster.kit.metadata import image, percent, series, table, usd

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.execution.fulfilment import Fulfilment
    from tokenomics_dagster.execution.rebalance import Outcome
    from tokenomics_dagster.execution.reconciliation import Reconciliation
    from tokenomics_dagster.execution.report import Report


def orders(
    plan_id: str, outcome: Outcome, of_week: int, books: Reconciliation, done: Fulfilment, why: str
) -> dict[str, Any]:
    """`of_week`: how many orders the week has had, of all its plans; `why`: what there was of it before the run."""
    states = Counter(row.status for row in outcome.orders)
    return {
        "in_short": f"{len(outcome.orders):,} orders, {books.fills:,} fills: {usd(done.traded_usd)} of "
        f"{usd(done.planned_usd)} were traded, {usd(done.untraded_usd)} ({done.untraded_pct:.2f} %) were not",
        "before_this_run": why,
        "plan_id": plan_id,
        "sent": len(outcome.orders),
        "orders_of_week": of_week,
        "fills": books.fills,
        **series(
            {
                "planned_usd": done.planned_usd,
                "traded_usd": done.traded_usd,
                "untraded_usd": done.untraded_usd,
                "untraded_pct": done.untraded_pct,
            }
        ),
        "not_traded": table(
            ((one.symbol, one.side, one.usd, one.kind, one.reason) for one in done.shortfalls),
            "symbol",
            "side",
            "USD",
            "reason",
            "why",
        ),
        "resized": table(outcome.resized.items(), "symbol", "by the prices of now"),
        "states": table(states.most_common(), "status", "orders"),
        "skipped": table(outcome.skipped.items(), "symbol", "reason"),
        "stuck": table(((what,) for what in outcome.stuck), "order"),
        "cash": table([(books.cash_expected, books.cash_found)], "expected, USD", "found, USD"),
        "books": table(((flaw,) for flaw in books.discrepancies), "what does not agree"),
    }


def portfolio_report(week: str, standing: Report, before: Mapping[str, float], max_drift_pct: float) -> dict[str, Any]:
    """`before`: the drift of each name when the week was planned."""
    frame: pd.DataFrame = standing.frame
    largest = frame.reindex(frame["drift"].abs().sort_values(ascending=False).index).head(10)
    farthest = float(frame["drift"].abs().max()) if len(frame) else 0.0
    held = int((frame["qty"] > 0).sum())
    return {
        "picture": sketch.bars(
            "distance of each weight from its target, sorted",
            frame["drift"].sort_values(ascending=False),
            f"weight less target of {len(frame):,} names: at most {percent(farthest)} of equity",
        ),
        "in_short": f"{held:,} names are held; equity {usd(standing.equity)}, of it {usd(standing.cash)} cash, where "
        f"{usd(standing.cash_meant)} was meant; no weight is more than {percent(farthest)} of equity off its target",
        # The page is made from the warehouse whenever it is asked for: a file would stay on the machine, or in the
        # container, of the run.
        "page": dg.MetadataValue.md(
            f"`tokenomics report {week} --open` shows the week as one page: what was traded and why, what is held, "
            "how sound the data was"
        ),
        "held": held,
        **series(
            {
                "equity_usd": standing.equity,
                "cash_usd": standing.cash,
                "cash_meant_usd": standing.cash_meant,
                "largest_drift_pct": 100 * farthest,
            }
        ),
        "foreign": table(standing.others, "held", "why it is left alone"),
        "drift": table(
            (
                (symbol, *map(percent, shares))
                for symbol, *shares in largest[["symbol", "weight", "target_weight", "drift"]].itertuples(index=False)
            ),
            "symbol",
            "weight",
            "target",
            "drift",
        ),
        "drift_before_and_after": image(
            "drift before and after",
            plots.drift_before_and_after,
            before,
            dict(zip(frame["symbol"], frame["drift"], strict=True)),
            max_drift_pct / 100,
        ),
    }
