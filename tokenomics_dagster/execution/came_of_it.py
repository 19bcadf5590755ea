"""What came of a week for a person: the account before and after, what is held, what was left out. Only reads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.kit.checks import Table
from tokenomics_dagster.kit.outcome import Outcome, Stage, in_lines, kind_of
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.plan import Plan

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.storage.warehouse import Warehouse


def outcome(store: Warehouse, now: datetime) -> Outcome:
    from tokenomics_dagster.execution.parity import parity
    from tokenomics_dagster.execution.recorded import recorded
    from tokenomics_dagster.execution.schema import Orders, OrdersDetails, PortfolioReport, PortfolioReportDetails
    from tokenomics_dagster.portfolio.schema import TradePlan, TradePlanDetails

    week = calendar.week_of(now).isoformat()
    plan = store.load_stored("trade_plan", TradePlan, TradePlanDetails, partition=week)
    sent = store.load_stored("orders", Orders, OrdersDetails, partition=week)
    report = store.load_stored("portfolio_report", PortfolioReport, PortfolioReportDetails, partition=week)
    assert plan is not None
    assert sent is not None
    assert report is not None
    columns = ["client_order_id", "symbol", "side", "qty", "notional", "status", "filled_qty", "filled_avg_price"]
    cells = sent.frame[columns].astype(object)
    left_out = plan.frame[plan.frame["reason"].notna()]
    skipped = {**dict(zip(left_out["symbol"], left_out["reason"], strict=True)), **sent.details.skipped}
    equity, cash = Decimal(report.details.equity), Decimal(report.details.cash)
    by_drift = report.frame["drift"].abs().sort_values(ascending=False).index
    largest = report.frame.reindex(by_drift).head(1)
    drifts = dict(zip(largest["symbol"], largest["drift"], strict=True))
    before, cost = Plan.from_document(plan.details.plan), cost_of_trading(sent.frame, plan.frame)
    statuses = Counter(sent.frame["status"])
    ended = ", ".join(f"{count} {status}" for status, count in statuses.most_common())
    if not any(map(sent.details.of_last_plan, sent.frame["client_order_id"])):
        ended = f"{ended}, before: now none was needed" if ended else "none was needed"
    kinds = in_lines(Counter(re.sub(r"\d[\d.,]*", "..", kind_of(reason)) for reason in skipped.values()))
    again = parity(recorded(store, plan))
    differing = [" ".join(one) for one in again.differences[:3]] + [f"{t}: {why}" for t, why in again.absent.items()]
    return Outcome(
        {
            "orders": cells.where(cells.notna(), None).to_dict("records"),
            "skipped": skipped,
            "equity_before": str(before.equity),
            "cost_of_trading": str(cost),
            "equity": str(equity),
            "cash": str(cash),
            "largest_drift": drifts,
            "parity": {
                "compared": dict(again.compared),
                "differences": [one._asdict() for one in again.differences],
                "absent": dict(again.absent),
            },
        },
        [
            Stage("orders", len(sent.frame), f"{ended}\nskipped: {kinds or 'none'}"),
            Stage(
                "decided again",
                sum(again.compared.values()),
                f"{len(again.differences)} are not what was recorded" + "".join(f"\n{one}" for one in differing),
            ),
        ],
        {
            "what became of the account, USD": _account(before, equity, cash, cost, drifts),
            **_holdings(store, report.frame, week),
        },
    )


def _account(before: Plan, equity: Decimal, cash: Decimal, cost: Decimal, drifts: Mapping[str, float]) -> Table:
    rows = [
        ("equity", f"{before.equity:,.2f}", f"{equity:,.2f}"),
        ("cash", f"{before.cash:,.2f}", f"{cash:,.2f}"),
        ("cost of trading", "", f"{cost:,.2f}, against the prices of the plan"),
        ("largest drift left", "", ", ".join(f"{s} {d:+.3%}" for s, d in drifts.items())),
    ]
    return Table(("", "before", "after"), rows)


def _holdings(store: Warehouse, report: pd.DataFrame, week: str, most: int = 10) -> dict[str, Table]:
    """The largest, with what their companies are called and what they were chosen by."""
    from tokenomics_dagster.portfolio.schema import TargetWeights
    from tokenomics_dagster.universe.schema import Universe

    universe = store.load_snapshot("universe", Universe)
    targets = store.load_snapshot("target_weights", TargetWeights, partition=week)
    assert universe is not None
    assert targets is not None
    known = (
        report[report["qty"] > 0]
        .merge(universe[["symbol", "name"]], on="symbol", how="left")
        .merge(targets[["symbol", "score"]], on="symbol", how="left")
        .sort_values(["value", "symbol"], ascending=[False, True])
    )
    cells = known.head(most).astype(object)
    rows = [
        (
            row["symbol"],
            row["name"] or "",
            "" if row["score"] is None else f"{row['score']:.1f}",
            f"{row['qty']:,.4f}",
            "not known" if row["value"] is None else f"{row['value']:,.2f}",
            "not known" if row["weight"] is None else f"{row['weight']:.2%}",
        )
        for row in cells.where(cells.notna(), None).to_dict("records")
    ]
    title = f"the {len(rows)} largest of {len(known):,} holdings"
    return {title: Table(("symbol", "company", "score", "shares", "USD", "weight"), rows)}


def cost_of_trading(orders: pd.DataFrame, plan: pd.DataFrame) -> Decimal:
    """What the fills cost more than at the prices of the plan, USD, to the cent: half a spread, and what prices moved.

    `orders` and `plan` are rows of Orders and TradePlan.
    """
    prices = dict(zip(plan["symbol"], plan["price"], strict=True))
    cost = Decimal(0)
    for row in orders[orders["filled_avg_price"].notna()].to_dict("records"):
        more = Decimal(row["filled_avg_price"]) - Decimal(prices[row["symbol"]])
        cost += (more if row["side"] == "buy" else -more) * Decimal(row["filled_qty"])
    return round(cost, 2)
