"""What the account has earned since the strategy's first order, against what, and at which cost (`performance`).

Only reads: the broker's record of equity, its activities and fills, bars; the warehouse's orders, plans and reports.
The formulas are those of reports/performance.py and books.py; which values are believed is judged.py's.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.execution.states import FINAL
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.extra import MissingExtra, require
from tokenomics_dagster.model.trading import Account, Activity, Holdings
from tokenomics_dagster.operations import comparison
from tokenomics_dagster.operations.common import account_named, as_document, new_york, open_store
from tokenomics_dagster.operations.orders import as_at_broker
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.reports.books import Books, books, fees_of, flows_of, unpriced
from tokenomics_dagster.reports.judged import SMALL, judged
from tokenomics_dagster.reports.performance import YEAR, Compared, Performance, Value, joined, turnover
from tokenomics_dagster.reports.recorded import reported, traded_by_week
from tokenomics_dagster.reports.trades import Totals, at_least, totals
from tokenomics_dagster.settings.loading import load_settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import LedgerOrder
    from tokenomics_dagster.storage.warehouse import Warehouse

_SEED = 1  # of the draws: the same record gives the same interval


@dataclass(frozen=True, slots=True)
class NotYet:
    """Why there is nothing to tell, in a sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class Costs:
    """USD: `spread`, what the strategy's trades were worse than the middle of the quotes that they were decided on, and
    `spread_bps` of what was traded of which that is known (`unknown`: trades of which it is not); `fees` as the broker
    booked them. `turnover`: bought and sold, both, over the mean value, in the whole time."""

    spread: Decimal
    spread_bps: Decimal | None
    unknown: int
    fees: Decimal
    turnover: float | None


@dataclass(frozen=True, slots=True)
class Sure:
    """How sure the growth a year is: `low` to `high` holds the truth in `level` of records like this one; None with
    `why` where nothing may be said."""

    low: float | None
    high: float | None
    level: float
    why: str


@dataclass(frozen=True, slots=True)
class Earned:
    """`account` as a person knows it; `begun`: what the first value is. `doubts`: what the record lacks or cannot tell,
    in sentences."""

    account: str
    begun: str
    performance: Performance
    compared: tuple[Compared, ...]
    costs: Costs
    books: Books | None
    sure: Sure
    doubts: tuple[str, ...]


def performance() -> Earned | NotYet:
    """Raises ProviderError, WarehouseError."""
    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        account, held, now = alpaca.account(), alpaca.holdings(), alpaca.clock().now  # the two that are to agree first
        rows = store.orders_except(account.number, ())
        shown = as_at_broker(rows, alpaca)
        rows = [shown.get(row.client_order_id, row) for row in rows]
        sent, unended = [row for row in rows if row.filled_qty], sum(row.status not in FINAL for row in rows)
        if not sent:
            none = f"no order of the strategy has filled in account {account.number}: there is nothing to measure"
            return NotYet(at_least(none, anything=False, unended=unended))
        found = _first(store, alpaca, account, sent[0])
        if found is None:
            return NotYet("what the account was worth at its first order is told by nobody: no return can be measured")
        first, begun, doubts = found
        last = Value(now, account.equity)
        if last.at <= first.at:
            return NotYet(
                f"the record begins at {new_york(first.at)}, and it is {new_york(now)} by the broker's clock: there is "
                "nothing to measure yet"
            )
        activities = alpaca.activities(after=first.at)
        cash = _books(store, alpaca, account, activities, sent[0])
        unsure, beside = _against(cash, account, held, activities)
        measured = judged(
            joined(first, _closes(alpaca, account, first, now), reported(store, account.number), last),
            flows_of(activities),
            unsure=unsure,
            beside=beside,
        )
        values = [measured.steps[0].start, *(step.end for step in measured.steps)]
        traded = traded_by_week(store, account.number, rows)
        return Earned(
            account=account_named(account.number, settings),
            begun=begun,
            performance=measured,
            compared=tuple(comparison.compared(store, alpaca, values, now, settings)),
            costs=_costs([totals(found) for found in traded.values()], activities, cash, values),
            books=cash,
            sure=_sure(measured),
            doubts=tuple(
                dict.fromkeys(
                    (
                        *measured.unsure,
                        *measured.beside,
                        *doubts,
                        *_unended(unended),
                        *measured.gaps,
                        *_cents(cash),
                    )
                )
            ),
        )


def _first(
    store: "Warehouse", alpaca: AlpacaResource, account: Account, order: "LedgerOrder"
) -> tuple[Value, str, list[str]] | None:
    """What the account was worth before the strategy's first order, what that is, and what is doubtful of it; None
    where nobody tells."""
    before = [(at, usd) for at, usd in store.equity_marks(account.number) if at <= order.created_at and usd > 0]
    if before:
        return Value(*before[-1]), "the equity that was read before the strategy's first order", []
    closed = calendar.previous_close(order.created_at)
    day = closed.astimezone(calendar.NEW_YORK).date()
    usd = alpaca.equity_history(day, day).get(day)
    if usd is not None and usd > 0:
        return Value(closed, usd), f"the close of {day}, before the strategy's first order", []
    reports = [one for one in reported(store, account.number) if one.usd > 0]
    if not reports:
        return None
    told = f"the report of {reports[0].day}"
    return reports[0], told, [f"what the account was worth before the first order is not known: {told} is the first"]


def _closes(alpaca: AlpacaResource, account: Account, first: Value, now: datetime) -> dict[date, Decimal]:
    """USD by day, as the broker tells them; of the previous close by the account itself, for the newest of the history
    may stand for the one before."""
    today = now.astimezone(calendar.NEW_YORK).date()
    closes = {day: usd for day, usd in alpaca.equity_history(first.day, today).items() if day < today}
    previous = calendar.previous_close(now).astimezone(calendar.NEW_YORK).date()
    return {**{day: usd for day, usd in closes.items() if day < previous}, previous: account.last_equity}


def _books(
    store: "Warehouse",
    alpaca: AlpacaResource,
    account: Account,
    activities: Sequence[Activity],
    order: "LedgerOrder",
) -> Books | None:
    """The account's cash since the first plan that was traded; None where that plan is not in the warehouse."""
    from tokenomics_dagster.model.plan import Plan

    document = store.find_plan(order.plan_id)
    if document is None:
        return None
    plan = Plan.from_document(document)
    return books(plan.created_at, plan.cash, account.cash, activities, alpaca.fills(after=plan.created_at))


def _costs(
    sums: Sequence[Totals], activities: Sequence[Activity], cash: Books | None, values: Sequence[Value]
) -> Costs:
    spread = sum((one.cost for one in sums), Decimal(0))
    measured = sum((one.measured for one in sums), Decimal(0))
    traded = sum((one.bought + one.sold for one in sums), Decimal(0)) if cash is None else cash.bought + cash.sold
    return Costs(
        spread=spread,
        spread_bps=spread / measured * 10_000 if measured else None,
        unknown=sum(one.unknown for one in sums),
        fees=fees_of(activities),
        turnover=turnover(traded, values),
    )


def _sure(found: Performance) -> Sure:
    """By the bootstrap that backtests are judged by, where the record allows it and the extra is there."""
    level = 0.95
    if found.unsure:
        return Sure(None, None, level, found.unsure[0])
    if found.sessions < YEAR:
        return Sure(None, None, level, f"an interval needs {YEAR} daily returns, and the record has {found.sessions}")
    if found.gaps:
        return Sure(None, None, level, f"an interval needs a record without gaps: {found.gaps[0]}")
    try:
        require("arch", extra="research", what="an interval")
    except MissingExtra as error:
        return Sure(None, None, level, str(error))
    import numpy as np

    from tokenomics_dagster.research.bootstrap import bootstrap
    from tokenomics_dagster.research.statistics import NotEnough

    # Of the first day there is but a part.
    returns = np.array([one.growth - 1 for one in found.steps[1:] if one.growth is not None])
    try:
        growth = bootstrap(returns, _SEED).growth
    except NotEnough as error:
        return Sure(None, None, level, str(error))
    return Sure(growth.low, growth.high, growth.level, "")


def _unended(orders: int) -> list[str]:
    return [at_least("what is told here was traded", anything=True, unended=orders)] if orders else []


def _against(
    cash: Books | None, account: Account, held: Holdings, activities: Sequence[Activity]
) -> tuple[list[str], list[str]]:
    """What the returns are no facts for, and what they must not be read without."""
    bound = SMALL * abs(account.equity)
    unsure, beside = [], unpriced(activities)
    if cash is None:
        beside.append(
            "the first plan is not in the warehouse, so that nobody can say whether the cash is what came and went"
        )
    elif abs(cash.difference) > bound:
        unsure.append(_unexplained(cash.difference))
    values = [one.market_value for one in held.ours.values()] + [one.value for one in held.foreign]
    values += [held.disputed_values.get(symbol) for symbol in held.disputed]
    known = [one for one in values if one is not None]
    off = account.equity - account.cash - sum(known, Decimal(0))
    if abs(off) > bound:
        told = (
            f"the account is told to be worth {account.equity:,.2f} USD, {off:+,.2f} USD off what its cash and the "
            "values of its positions make"
        )
        if len(known) == len(values):
            unsure.append(f"{told}: ask again, and look at the broker's dashboard if it stays")
        else:
            beside.append(f"{told}, of which {len(values) - len(known)} are not known")
    return unsure, beside


def _cents(cash: Books | None) -> list[str]:
    """What is too little to touch a return is told all the same."""
    return [_unexplained(cash.difference)] if cash is not None and cash.difference else []


def _unexplained(usd: Decimal) -> str:
    return (
        f"the account has {usd:+,.2f} USD of cash that neither flows, income, fees nor fills explain: see the broker's "
        "dashboard"
    )


def performance_document(found: Earned | NotYet) -> dict[str, Any]:
    """For machines: fractions as numbers, amounts as exact texts."""
    document: dict[str, Any] = as_document(found)
    if isinstance(found, Earned) and found.books is not None:
        document["books"] |= {"foreseen": f"{found.books.foreseen:f}", "difference": f"{found.books.difference:f}"}
    return document
