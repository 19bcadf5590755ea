"""What the warehouse has of weeks, reports and universes, for what is told of the portfolio. Only reads.

What follows from it stands in trades.py and performance.py.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.execution.fulfilment import Fulfilment, by_order
from tokenomics_dagster.model.plan import plan_id_in
from tokenomics_dagster.reports.performance import Value
from tokenomics_dagster.reports.trades import (
    Decided,
    NotTraded,
    Totals,
    Trade,
    decided,
    not_traded,
    totals,
    trades,
    wanted,
)

if TYPE_CHECKING:
    from tokenomics_dagster.portfolio.schema import TradePlanDetails
    from tokenomics_dagster.storage.records import FillRow, LedgerOrder, Stored
    from tokenomics_dagster.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class WeekOfTrades:
    """`week`: its Monday. `account` is "" and the rest empty where nothing was planned. `done`: None where no run has
    ended. `fees`: USD, what the broker took in that week, None where it cannot be asked, and `why`. `by_broker`: orders
    whose end the records do not know, and which are told as the broker shows them."""

    week: date
    account: str
    plans: tuple[str, ...]
    trades: tuple[Trade, ...]
    totals: Totals
    not_traded: tuple[NotTraded, ...]
    done: Fulfilment | None
    fees: Decimal | None
    why: str
    database: str
    by_broker: int = 0


def newest_week(store: Warehouse) -> date | None:
    """The Monday of the week that was planned last; None before the first."""
    newest = store.history("trade_plan", limit=1)
    return date.fromisoformat(newest[0].partition) if newest else None


def of_week(
    store: Warehouse, week: date, account: str | None = None, at_broker: Mapping[str, LedgerOrder] | None = None
) -> WeekOfTrades:
    """What the warehouse tells of a week, by its Monday, of the account of its newest plan unless one is named.

    `at_broker`: by client id the rows whose end it does not know, as the broker shows them; the fees, too, are the
    broker's to tell."""
    from tokenomics_dagster.execution.schema import OrdersDetails

    plans = _plans(store, week, account)
    if not plans:
        return WeekOfTrades(week, "", (), (), totals(()), (), None, None, "nothing was planned", store.address)
    newest = next(iter(plans.values()))
    account = newest.details.account
    shown = at_broker or {}
    found = _traded(store, week, account, {plan_id: decided(plan) for plan_id, plan in plans.items()}, shown)
    ended = store.history("orders", partition=week.isoformat(), limit=1)
    details = ended[0].details_as(OrdersDetails) if ended else None
    done = None if details is None or details.fulfilment is None else Fulfilment.from_document(details.fulfilment)
    traded = {one.symbol for one in found if one.shares}
    left = not_traded(newest, {} if details is None else details.skipped, done, traded)
    return WeekOfTrades(
        week=week,
        account=account,
        plans=tuple(reversed(plans)),
        trades=tuple(found),
        totals=totals(found),
        not_traded=tuple(left),
        done=done,
        fees=None,
        why="the broker was not asked",
        database=store.address,
        by_broker=sum(one.client_order_id in shown for one in found),
    )


def traded_by_week(store: Warehouse, account: str, rows: Sequence[LedgerOrder]) -> dict[date, list[Trade]]:
    """Of an account what came of these orders, by their weeks, for sums: without why each was sent.

    Read at once for all weeks: one after the other those of five years took seconds."""
    from tokenomics_dagster.portfolio.schema import TradePlanDetails

    made = (one.details_as(TradePlanDetails) for one in store.history("trade_plan"))
    plans = {plan_id_in(one.plan): wanted(one) for one in made if one.account == account}
    of_week: dict[date, list[LedgerOrder]] = {}
    for row in rows:
        of_week.setdefault(row.week, []).append(row)
    fills = _fills(store, account, rows)
    return {week: trades(some, fills, plans) for week, some in of_week.items()}


def _traded(
    store: Warehouse,
    week: date,
    account: str,
    plans: Mapping[str, Mapping[str, Decided]],
    shown: Mapping[str, LedgerOrder],
) -> list[Trade]:
    rows = [shown.get(row.client_order_id, row) for row in store.orders_of_week(account, week)]
    return trades(rows, _fills(store, account, rows), plans)


def _fills(store: Warehouse, account: str, rows: Iterable[LedgerOrder]) -> dict[str, list[FillRow]]:
    return by_order(store.fills_of_orders(account, {row.broker_id for row in rows if row.broker_id is not None}))


def _plans(store: Warehouse, week: date, account: str | None) -> dict[str, Stored[TradePlanDetails]]:
    """By their ids the plans of a week for the account, or for that of its newest one, the newest first."""
    from tokenomics_dagster.portfolio.schema import TradePlan, TradePlanDetails

    found: dict[str, Stored[TradePlanDetails]] = {}
    for snapshot in store.history("trade_plan", partition=week.isoformat()):
        plan = store.load_stored(
            "trade_plan", TradePlan, TradePlanDetails, partition=snapshot.partition, as_of=snapshot.as_of
        )
        if plan is None:
            continue
        account = account or plan.details.account
        if plan.details.account == account:
            found.setdefault(plan_id_in(plan.details.plan), plan)
    return found


def reported(store: Warehouse, account: str) -> list[Value]:
    """What the weekly reports tell of an account, the oldest first."""
    from tokenomics_dagster.execution.schema import PortfolioReportDetails

    told = ((one.as_of, one.details_as(PortfolioReportDetails)) for one in store.history("portfolio_report"))
    return sorted((Value(at, one.equity) for at, one in told if one.account == account), key=lambda one: one.at)


def universes(store: Warehouse, values: Sequence[Value], numbers: Iterable[int]) -> dict[int, list[str]]:
    """The names of the universe that was known at some of the values, by the number of these; those at which there was
    none are left out."""
    known = sorted(store.versions("universe"), key=lambda one: one.as_of)
    instants = [one.as_of for one in known]
    places = {number: bisect_right(instants, values[number].at) for number in numbers}
    names = {place: sorted(store.values_of(known[place - 1], "symbol", "rank")) for place in set(places.values()) - {0}}
    return {number: names[place] for number, place in places.items() if place}
