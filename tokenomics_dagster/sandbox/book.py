"""The book of an account: all that outlives a restart, what is shown of it, and what an execution does to it."""

import dataclasses
from datetime import date, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

from pydantic import TypeAdapter

from tokenomics_dagster.sandbox.bookings import CENT, SHARE, ZERO, Booking, Entry, Holding, activity_id, cents
from tokenomics_dagster.sandbox.market import Instrument
from tokenomics_dagster.sandbox.orders import (
    Activity,
    CashFlow,
    Fill,
    Order,
    Restrictions,
    Side,
    Status,
    cash_of,
    shares_of,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """USD. Equity and market value are exact; cash and buying power are whole cents."""

    number: str
    created_at: datetime
    balance_asof: date
    cash: Decimal
    buying_power: Decimal
    long_market_value: Decimal
    equity: Decimal
    last_equity: Decimal
    restrictions: Restrictions


@dataclasses.dataclass(frozen=True, slots=True)
class Position:
    """`day_cost` values what was held at the previous close at its close, and what was bought since at its cost.

    `price` is None for what has no market and no price.
    """

    symbol: str
    qty: Decimal
    qty_available: Decimal
    cost: Decimal
    price: Decimal | None
    lastday_price: Decimal
    day_cost: Decimal


@dataclasses.dataclass(slots=True)
class Book:
    """Everything that outlives a restart."""

    account_number: str
    created_at: datetime
    at: datetime
    starting_cash: Decimal
    cash: Decimal
    orders: list[Order] = dataclasses.field(default_factory=list)
    holdings: dict[str, Holding] = dataclasses.field(default_factory=dict)
    activities: list[Activity] = dataclasses.field(default_factory=list)
    closes: dict[date, Decimal] = dataclasses.field(default_factory=dict)
    """Equity at each session's close."""
    restrictions: Restrictions = dataclasses.field(default_factory=Restrictions)
    bookings: list[Booking] = dataclasses.field(default_factory=list)
    """Those whose instant has not come."""

    def enter(self, entry: Entry) -> None:
        self.activities.append(entry)
        self.cash += entry.amount

    def bought_since(self, at: datetime) -> dict[str, tuple[Decimal, Decimal]]:
        """Shares, and the USD that they cost, by symbol."""
        bought: dict[str, tuple[Decimal, Decimal]] = {}
        for activity in reversed(self.activities):
            if activity.at <= at:
                break
            if isinstance(activity, Fill) and activity.side is Side.BUY:
                qty, cost = bought.get(activity.symbol, (ZERO, ZERO))
                bought[activity.symbol] = qty + activity.qty, cost + activity.amount
        return bought

    def fill(self, order: Order, qty: Decimal, price: Decimal, at: datetime, status: Status) -> None:
        """Shares and cash of one execution."""
        amount = cents(qty * price)
        holdings = self.holdings
        if order.side is Side.BUY:
            holding = holdings.setdefault(order.symbol, Holding(ZERO, ZERO, price))
            holding.qty += qty
            holding.cost += amount
        else:
            holding = holdings[order.symbol]
            sold_all = qty == holding.qty
            holding.cost -= holding.cost if sold_all else cents(holding.cost * qty / holding.qty)
            holding.qty -= qty
            if sold_all:
                del holdings[order.symbol]
        holding.price = price
        order.filled_qty += qty
        order.filled_value += qty * price
        order.filled_amount += amount
        if order.notional is not None:
            leaves = ((order.notional - order.filled_amount) / price).quantize(SHARE, ROUND_DOWN)
        else:
            assert order.qty is not None
            leaves = order.qty - order.filled_qty
        fill = Fill(
            id=activity_id(at),
            at=at,
            order_id=order.id,
            symbol=order.symbol,
            side=order.side,
            qty=qty,
            price=price,
            amount=amount,
            cum_qty=order.filled_qty,
            leaves_qty=ZERO if status is Status.FILLED else leaves,
            order_status=status,
        )
        self.activities.append(fill)
        self.cash += cash_of(fill)


def due(order: Order, part: int, price: Decimal, unit: Decimal) -> Decimal:
    """Shares that are to be filled at this price to come to the end of `part`, in whole `unit`s."""
    share = Decimal(part) / order.parts / (2 if order.fault == "stuck_partial" else 1)
    if order.notional is not None:
        usd = (order.notional * share).quantize(CENT, ROUND_DOWN) - order.filled_amount
        return (usd / price).quantize(SHARE, ROUND_DOWN)
    assert order.qty is not None
    return (order.qty * share).quantize(unit, ROUND_DOWN) - order.filled_qty


def unit_of(order: Order, instrument: Instrument) -> Decimal:
    """What a part of the order is rounded to: whole shares for an order of several whole shares."""
    if order.qty is None or order.qty != order.qty.to_integral_value():
        return SHARE
    return SHARE if order.qty == 1 and instrument.fractionable else Decimal(1)


_BOOK = TypeAdapter(Book)


def to_document(book: Book, real_s: float) -> dict[str, Any]:
    """The whole book in JSON's types, Decimals as strings; delays count from the reading `real_s` of the real clock."""
    aged = [dataclasses.replace(order, since=order.since - real_s) for order in book.orders]
    document: dict[str, Any] = _BOOK.dump_python(dataclasses.replace(book, orders=aged), mode="json")
    return document


def from_document(document: dict[str, Any], real_s: float) -> Book:
    """The reverse of `to_document`. ValueError if it is not one, or if its cash or shares do not add up."""
    book = _BOOK.validate_python(document)
    moved = sum((cash_of(activity) for activity in book.activities), book.starting_cash)
    if moved != book.cash:
        raise ValueError(f"saved broker state: cash is {book.cash}, but its fills and flows add up to {moved}")
    shares = {symbol: -holding.qty for symbol, holding in book.holdings.items()}
    for activity in book.activities:
        if not isinstance(activity, CashFlow):
            shares[activity.symbol] = shares.get(activity.symbol, ZERO) + shares_of(activity)
    if wrong := sorted(symbol for symbol, rest in shares.items() if rest):
        raise ValueError(f"saved broker state: the shares of {', '.join(wrong)} are not what moved them")
    for order in book.orders:
        order.since += real_s
    return book
