"""What confirmed cash pays for. Pure; reading the account, its orders and their quotes is the caller's.

Cash pays, never buying power: that is lent on a margin account, and 0 or a day old on a cash account whose cash is
there. What the broker then refuses, because money has not settled, counts as not traded and is tried again later.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING

from tokenomics_dagster.model.plan import CENT, FRACTION, SHARE, Plan, PlannedOrder
from tokenomics_dagster.model.trading import (
    SHARES_PER_CONTRACT,
    Fill,
    Holdings,
    Order,
    Snapshot,
    booked,
    parse_option,
)
from tokenomics_dagster.portfolio.commitments import cost_left
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import LedgerOrder

NOT_ENOUGH_CASH = "not enough cash"

_MIN_BUY_USD = Decimal(1)  # the broker's


@dataclass(frozen=True, slots=True)
class HeldBack:
    """What open orders and shorts may still take, USD; `orders` names them, `unknown` is the first of unknown cost."""

    usd: Decimal
    orders: tuple[str, ...]
    unknown: str | None

    def __str__(self) -> str:
        if self.unknown is not None:
            return f"; open is {self.unknown}, and without any price nobody can tell what it takes"
        return f"; open orders may take {self.usd:,.2f} USD: {', '.join(self.orders[:5])}" if self.orders else ""


def held_back(orders: Iterable[Order], market: Mapping[str, Snapshot], holdings: Holdings) -> HeldBack:
    """Of the open orders of everybody, and of the shorts that the account holds."""
    total, names, unknown = Decimal(0), [], None
    for order in orders:
        cost = cost_left(order, market, holdings.symbols)
        if cost == 0:
            continue
        name = f"{order.side} {order.symbol} ({order.client_order_id})"
        names.append(name)
        if cost is None:
            unknown = unknown or name
        else:
            total += cost
    for row in holdings.foreign:
        if row.secures is None:
            unknown = unknown or str(row)
        elif row.secures:
            names.append(str(row))
            total += row.secures
    return HeldBack(total, tuple(names), unknown)


def cash_made(plan: Plan, rows: Iterable["LedgerOrder"], others: Iterable[Fill]) -> Decimal:
    """The plan's cash and what was moved since, USD: our fills by the plan's ledger `rows`, all else by activities."""
    made = plan.cash
    for row in rows:
        made += _moved(row.side, row.filled_qty, row.filled_avg_price or Decimal(0))
    for fill in others:
        shares = SHARES_PER_CONTRACT if parse_option(fill.symbol) else 1
        made += _moved(fill.side, fill.qty * shares, fill.price)
    return made


def _moved(side: str, qty: Decimal, price: Decimal) -> Decimal:
    amount = booked(qty, price)
    return -amount if side == "buy" else amount


@dataclass(frozen=True, slots=True)
class Paid:
    """The buys that are paid for, and by symbol why others are left out or smaller than planned."""

    orders: list[PlannedOrder]
    left_out: dict[str, str]
    cuts: dict[str, str]


def pay(
    buys: Mapping[PlannedOrder, "LedgerOrder | None"], cash: Decimal, rules: RebalancingSettings, because: str = ""
) -> Paid:
    """What `cash` USD pays for, in the order of the buys; `because` is said of all that it does not pay for.

    A buy that has a ledger row is sent again under its id, so it is the same order or none.
    """
    paid = Paid([], {}, {})
    for order, row in buys.items():
        if row is None:
            fitting = fit(order, cash, rules)
        else:
            again = replace(order, qty=row.qty, notional=row.notional)
            fitting = again if again.value <= cash else None
        short = f"{cash:.2f} USD left, {order.value:.2f} USD planned"
        if fitting is None:
            least = f", rebalancing.min_trade_usd is {rules.min_trade_usd:g}" if cash > 0 and row is None else ""
            paid.left_out[order.symbol] = f"{NOT_ENOUGH_CASH}: {short}{least}{because}"
            continue
        if fitting.value < order.value:
            paid.cuts[order.symbol] = f"{short}{because}"
        cash -= fitting.value
        paid.orders.append(fitting)
    return paid


def fit(order: PlannedOrder, cash: Decimal, rules: RebalancingSettings) -> PlannedOrder | None:
    """The order, cut to `cash` USD where it is larger; None when less than rebalancing.min_trade_usd would be left."""
    least = _MIN_BUY_USD
    if order.value > cash:
        least = max(least, Decimal(str(rules.min_trade_usd)))
        order = cut(order, max(cash, Decimal(0)), order.price)
    return order if order.value >= least else None


def cut(order: PlannedOrder, usd: Decimal, price: Decimal) -> PlannedOrder:
    """The order at `price`, no larger than it is, of `usd` at most; an order of whole shares stays one."""
    if order.notional is not None:
        return replace(order, price=price, notional=min(order.notional, usd.quantize(CENT, ROUND_DOWN)))
    assert order.qty is not None
    return replace(order, price=price, qty=min(order.qty, (usd / price).quantize(share_step(order.qty), ROUND_DOWN)))


def share_step(qty: Decimal) -> Decimal:
    """What a number of shares is rounded to: whole ones where it is whole, for its stock may trade in nothing else."""
    return SHARE if qty == qty.to_integral_value() else FRACTION
