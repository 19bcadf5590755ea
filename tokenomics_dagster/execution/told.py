"""What the warehouse has of a symbol's plan, orders and report, for who explains it to a person. Only reads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.execution.fulfilment import by_order, moved
from tokenomics_dagster.execution.schema import OrdersDetails, PortfolioReport, PortfolioReportDetails
from tokenomics_dagster.model.plan import UNREADABLE, Plan
from tokenomics_dagster.portfolio.schema import TradePlan, TradePlanDetails

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import LedgerOrder
    from tokenomics_dagster.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Planned:
    """What an account's newest plan means to do with a symbol: its row, and what became of it.

    `side` is none where nothing is traded, for the `reason`; `target_weight` is of the equity. `carried_out`: orders of
    this plan have ended; `skipped`: why its order was not sent then. To be traded are `qty` shares, or else
    `notional` USD.
    """

    plan_id: str
    week: date
    made_at: datetime
    symbol: str
    side: str
    exit: bool
    target_weight: float
    reason: str | None
    carried_out: bool
    skipped: str | None
    qty: Decimal | None = None
    notional: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Trade:
    """An order as the ledger has it: shares or USD asked for, shares filled at a price in USD, as they were then, which
    splits since do not change. `value` in USD, as the broker booked it; `symbol` as it was called."""

    week: date
    symbol: str
    side: str
    qty: Decimal | None
    notional: Decimal | None
    status: str
    filled_qty: Decimal
    price: Decimal | None
    value: Decimal
    at: datetime
    note: str | None
    client_order_id: str


@dataclass(frozen=True, slots=True)
class Reported:
    """What the newest report says of a symbol: shares, USD, share of the equity; no shares: the strategy held none."""

    week: date
    at: datetime
    qty: float
    value: float | None
    weight: float | None


def newest_account(store: Warehouse) -> str | None:
    """The number of the account that was planned for last; None before the first plan."""
    newest = store.history("trade_plan", limit=1)
    return newest[0].details_as(TradePlanDetails).account if newest else None


def planned(store: Warehouse, account: str, symbols: Collection[str]) -> Planned | None:
    """Of the account's newest plan the row of the first of these symbols that has one; None where none has.

    Raises WarehouseError.
    """
    newest = store.newest_plan_of(account)
    if newest is None:
        return None
    made = store.load_stored("trade_plan", TradePlan, TradePlanDetails, partition=newest.partition, as_of=newest.as_of)
    if made is None:
        return None
    rows = {row["symbol"]: row for row in made.frame.to_dict("records")}
    row = next((rows[symbol] for symbol in symbols if symbol in rows), None)
    if row is None:
        return None
    try:
        plan_id = Plan.from_document(made.details.plan).plan_id
    except UNREADABLE:
        plan_id = ""
    ended = [one.details_as(OrdersDetails) for one in store.history("orders", partition=newest.partition)]
    orders = next((one for one in ended if one.plan_id == plan_id), None)
    return Planned(
        plan_id,
        date.fromisoformat(newest.partition),
        made.as_of,
        row["symbol"],
        row["side"],
        bool(row["exit"]),
        float(row["target_weight"]),
        _text(row["reason"]),
        orders is not None,
        None if orders is None else orders.skipped.get(row["symbol"]),
        *(Decimal(row[name]) if isinstance(row[name], str) else None for name in ("qty", "notional")),
    )


def trades(store: Warehouse, account: str, symbols: Collection[str]) -> tuple[Trade, ...]:
    """Of all weeks, oldest first."""
    rows = store.orders_in(account, symbols)
    if not rows:
        return ()
    fills = by_order(store.fills_of(account, rows[0].created_at, symbols))
    return tuple(_trade(row, moved(row, fills.get(row.broker_id or "", ()))) for row in rows)


def reported(store: Warehouse, account: str, symbols: Collection[str]) -> Reported | None:
    """By the account's newest report; None where there is none."""
    for one in store.newest_first("portfolio_report"):
        if one.details_as(PortfolioReportDetails).account != account:
            continue
        frame = store.load_snapshot("portfolio_report", PortfolioReport, partition=one.partition, as_of=one.as_of)
        rows = [] if frame is None else frame[frame["symbol"].isin(list(symbols))].to_dict("records")
        row: dict[Any, Any] = rows[0] if rows else {"qty": 0.0, "value": 0.0, "weight": 0.0}
        value, weight = (None if row[name] != row[name] else float(row[name]) for name in ("value", "weight"))
        return Reported(date.fromisoformat(one.partition), one.as_of, float(row["qty"]), value, weight)
    return None


def _trade(row: LedgerOrder, value: Decimal) -> Trade:
    return Trade(
        row.week,
        row.symbol,
        row.side,
        row.qty,
        row.notional,
        row.status,
        row.filled_qty,
        row.filled_avg_price,
        value,
        row.created_at,
        row.note,
        row.client_order_id,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
