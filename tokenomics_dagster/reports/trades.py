"""What was traded in a week and why, at which price against the quote it was decided on, and what was not. Pure.

Rows of the ledger, fills and plans in, data out; they are read by operations/. Amounts are Decimal, USD and shares.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.execution.fulfilment import Fulfilment, moved
from tokenomics_dagster.execution.states import FINAL
from tokenomics_dagster.model.plan import CENT
from tokenomics_dagster.reports.figures import counted

if TYPE_CHECKING:
    from tokenomics_dagster.portfolio.schema import TradePlanDetails
    from tokenomics_dagster.storage.records import FillRow, LedgerOrder, Made

_BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class Decided:
    """What a plan wanted of a name, and on which market: `bid` and `ask` at the decision (None: not kept), `price` what
    it was sized with (the last trade within the quote, else its middle). `shares`: None for an order by amount."""

    symbol: str
    side: str
    why: str
    shares: Decimal | None
    usd: Decimal
    price: Decimal
    bid: Decimal | None
    ask: Decimal | None

    @property
    def middle(self) -> Decimal:
        """Of the quote at the decision; where that was not kept, the price of the plan."""
        return self.price if self.bid is None or self.ask is None else (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class Trade:
    """An order of the week and what came of it. `shares` and `usd` are what was filled, `usd` as the broker books it
    (each fill rounded to the cent), `price` their mean; None where nothing was filled. `ended`: whether that is all,
    for its state is final; else it is the least, for more may have filled than is known.

    `middle`: of the quote at the decision, `slippage_bps` and `cost_usd` how much worse the price was than that, so
    that a buy above it and a sell below it are positive (the implementation shortfall of what was filled, Perold 1988);
    None where no plan tells it. `quoted`: whether the plan kept the quote; else `middle` is the price that it was sized
    with.
    """

    client_order_id: str
    plan_id: str
    symbol: str
    side: str
    why: str
    status: str
    ended: bool
    sent_at: datetime
    shares: Decimal
    usd: Decimal
    price: Decimal | None
    middle: Decimal | None
    quoted: bool
    slippage_bps: Decimal | None
    cost_usd: Decimal | None
    note: str | None


@dataclass(frozen=True, slots=True)
class NotTraded:
    """What is held or wanted and was not traded, and why. `usd`: what was meant and is missing, None where nothing was
    meant (a drift under the threshold). `side` is "" then."""

    symbol: str
    side: str
    usd: Decimal | None
    why: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Of the week's trades, USD: `bought`, `sold`, what both cost against the middle of the quotes, and that in basis
    points of `measured`, what was traded of which it is known; `unknown`: trades of which it is not. `unended`: orders
    whose end is not known, so that all sums are the least."""

    bought: Decimal
    sold: Decimal
    measured: Decimal
    cost: Decimal
    cost_bps: Decimal | None
    orders: int
    filled: int
    unknown: int
    unended: int


def decided(made: Made[TradePlanDetails]) -> dict[str, Decided]:
    """By symbol what a plan wanted to trade, and why."""
    found = wanted(made.details)
    rows = made.frame[made.frame["symbol"].isin(list(found))].to_dict("records")
    return found | {row["symbol"]: replace(found[row["symbol"]], why=why_traded(row)) for row in rows}


def wanted(details: TradePlanDetails) -> dict[str, Decided]:
    """The same without why, of the plan's document alone: enough for sums, over years of which its rows need not be
    read."""
    quotes, found = details.quotes or {}, {}
    for order in details.plan["orders"]:
        symbol, price = str(order["symbol"]), Decimal(order["price"])
        shares = None if order["qty"] is None else Decimal(order["qty"])
        usd = Decimal(order["notional"]) if shares is None else cents(shares * price)
        found[symbol] = Decided(symbol, order["side"], "", shares, usd, price, *quotes.get(symbol, (None, None)))
    return found


def why_traded(row: Mapping[Any, Any]) -> str:
    """The reason of a trade, of a row of a `TradePlan`: entered, left, or how far it had drifted."""
    target, current = row["target_weight"], row["current_weight"]
    remark = f"; {row['reason']}" if isinstance(row["reason"], str) else ""
    if row["exit"]:
        return f"left: it is no longer among the targets{remark}"
    if current is None or math.isnan(current):
        return f"to {target:.2%} of the portfolio{remark}"
    if current == 0:
        return f"entered: {target:.2%} of the portfolio{remark}"
    return f"drift: from {current:.2%} to its target of {target:.2%}{remark}"


def trades(
    rows: Iterable[LedgerOrder],
    fills: Mapping[str, Sequence[FillRow]],
    plans: Mapping[str, Mapping[str, Decided]],
) -> list[Trade]:
    """The orders of a week, sells first, the largest first; `fills` by the broker's ids of their orders, and what each
    plan wanted by its own."""
    found = [
        _trade(row, fills.get(row.broker_id or "", ()), plans.get(row.plan_id, {}).get(row.symbol)) for row in rows
    ]
    return sorted(found, key=lambda one: (one.side != "sell", -one.usd, one.symbol))


def _trade(row: LedgerOrder, fills: Sequence[FillRow], wanted: Decided | None) -> Trade:
    usd = moved(row, fills)
    price = usd / row.filled_qty if row.filled_qty else None
    if wanted is not None and wanted.side != row.side:
        wanted = None
    middle = None if wanted is None else wanted.middle
    bps = None if middle is None or price is None else slippage_bps(row.side, price, middle)
    cost = None if middle is None or price is None else _worse(row.side) * (usd - row.filled_qty * middle)
    return Trade(
        client_order_id=row.client_order_id,
        plan_id=row.plan_id,
        symbol=row.symbol,
        side=row.side,
        why="its plan is not in the warehouse" if wanted is None else wanted.why,
        status=row.status,
        ended=row.status in FINAL,
        sent_at=row.created_at,
        shares=row.filled_qty,
        usd=usd,
        price=price,
        middle=middle,
        quoted=wanted is not None and wanted.bid is not None,
        slippage_bps=bps,
        cost_usd=None if cost is None else cost.quantize(CENT, ROUND_HALF_UP),
        note=row.note,
    )


def slippage_bps(side: str, price: Decimal, middle: Decimal) -> Decimal:
    """How much worse a price was than the middle of the quote, in basis points of that; below 0 where it was better."""
    return _worse(side) * (price / middle - 1) * _BPS


def totals(found: Sequence[Trade]) -> Totals:
    known = [one for one in found if one.cost_usd is not None]
    measured = sum((one.usd for one in known), Decimal(0))
    cost = sum((one.cost_usd for one in known if one.cost_usd is not None), Decimal(0))
    return Totals(
        bought=sum((one.usd for one in found if one.side == "buy"), Decimal(0)),
        sold=sum((one.usd for one in found if one.side == "sell"), Decimal(0)),
        measured=measured,
        cost=cost,
        cost_bps=cost / measured * _BPS if measured else None,
        orders=len(found),
        filled=sum(one.shares > 0 for one in found),
        unknown=sum(one.shares > 0 and one.cost_usd is None for one in found),
        unended=sum(not one.ended for one in found),
    )


def at_least(told: str, *, anything: bool, unended: int) -> str:
    """What is told to have been traded, as far as it may be told while the end of orders is not known: a run that was
    stopped leaves orders of which the records know no fill."""
    if not unended:
        return told
    end = f"the end of {counted(unended, 'order')} is not known: `tokenomics orders`"
    return f"at least {told}; {end}" if anything else f"what was traded is not known, for {end}"


def not_traded(
    newest: Made[TradePlanDetails], skipped: Mapping[str, str], done: Fulfilment | None, traded: Iterable[str]
) -> list[NotTraded]:
    """What the newest plan holds or wants and was not traded: first what was meant, the largest first; then the rest.

    `skipped`: what its run did not send, `traded`: symbols with an order of the week that filled.
    """
    meant = [
        NotTraded(one.symbol, one.side, one.usd, one.reason if one.kind in one.reason else f"{one.kind}: {one.reason}")
        for one in (() if done is None else done.shortfalls)
    ]
    told = {one.symbol for one in meant}
    left = newest.frame[newest.frame["side"] == "none"]
    reasons = {**dict(zip(left["symbol"], left["reason"], strict=True)), **skipped}
    rest = sorted(symbol for symbol in reasons if symbol not in told and symbol not in set(traded))
    return [*meant, *(NotTraded(symbol, "", None, reasons[symbol]) for symbol in rest)]


def cents(usd: Decimal) -> Decimal:
    return usd.quantize(CENT, ROUND_HALF_UP)


def _worse(side: str) -> Decimal:
    """A buy is worse above the middle, a sell below it."""
    return Decimal(1) if side == "buy" else Decimal(-1)
