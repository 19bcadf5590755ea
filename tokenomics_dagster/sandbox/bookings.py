"""What happens to an account without an order: corporate actions, dividends, fees, interest, journal entries.

A booking waits for its instant and then changes holdings and cash, with the activities that tell so. What an action
does to the market stays out (actions.py), as do orders (broker.py).
"""

import dataclasses
import enum
from datetime import UTC, datetime
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from uuid import uuid4

CENT = Decimal("0.01")
SHARE = Decimal("1e-9")
"""The broker takes quantities of up to nine decimals."""
ZERO = Decimal(0)


class Change(enum.StrEnum):
    """What a booking does to a holding."""

    EXCHANGE = "exchange"
    """Split, rename, merger: the shares become `rate` of `into` each, and bring `cash` each."""
    DISTRIBUTE = "distribute"
    """Spin-off: each share brings `rate` of `into`, and stays."""
    PAY = "pay"
    """Dividend: `qty` shares bring `cash` each."""
    REMOVE = "remove"
    """Worthless: the shares go."""


@dataclasses.dataclass(slots=True)
class Holding:
    """Shares of one symbol, what they cost (whole cents), and the last price seen, which outlives a delisting."""

    qty: Decimal
    cost: Decimal
    price: Decimal


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A movement that no order made. `shares` is what the holding of `symbol` changes by, `amount` is in whole cents.

    `type` and `subtype` are Alpaca's; entries of one action share `group`. `qty` and `per_share` are of dividends only.
    """

    id: str
    at: datetime
    type: str
    subtype: str
    group: str
    symbol: str
    cusip: str
    shares: Decimal
    amount: Decimal
    qty: Decimal | None = None
    per_share: Decimal | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Booking:
    """What is to be done to the holding of `symbol` at an instant, and how the activities call it.

    `rate` is new shares for one, `cash` USD for one. `cost_share` is the part of the cost that a distribution takes
    along. Nothing happens if there is no holding then, or none was there when a dividend's `qty` was taken.
    """

    id: str
    at: datetime
    change: Change
    type: str
    subtype: str
    symbol: str
    cusip: str
    into: str = ""
    into_cusip: str = ""
    rate: Decimal = ZERO
    cash: Decimal = ZERO
    qty: Decimal = ZERO
    cost_share: Decimal = ZERO
    price: Decimal = ZERO
    """Of one share of `into`, until the market says otherwise."""


def carry_out(booking: Booking, holdings: dict[str, Holding], at: datetime) -> list[Entry]:
    """Change the holdings as booked; the entries that tell so, whose amounts the cash is yet to be moved by."""
    if booking.change is Change.PAY:
        if not booking.qty:
            return []
        amount = cents(booking.qty * booking.cash)
        return [_entry(booking, at, ZERO, amount, qty=booking.qty, per_share=booking.cash)]
    holding = holdings.get(booking.symbol)
    if holding is None:
        return []
    new = (holding.qty * booking.rate).quantize(SHARE, ROUND_DOWN)
    if booking.change is Change.DISTRIBUTE:
        cost = cents(holding.cost * booking.cost_share)
        holding.cost -= cost
        return _receive(booking, holdings, at, new, cost)
    del holdings[booking.symbol]
    amount = cents(holding.qty * booking.cash)
    gone = _entry(booking, at, -holding.qty, amount)
    return [gone, *_receive(booking, holdings, at, new, holding.cost)]


def _receive(
    booking: Booking, holdings: dict[str, Holding], at: datetime, shares: Decimal, cost: Decimal
) -> list[Entry]:
    if not shares:
        return []
    holding = holdings.setdefault(booking.into, Holding(ZERO, ZERO, booking.price))
    holding.qty += shares
    holding.cost += cost
    return [dataclasses.replace(_entry(booking, at, shares, ZERO), symbol=booking.into, cusip=booking.into_cusip)]


def _entry(
    booking: Booking,
    at: datetime,
    shares: Decimal,
    amount: Decimal,
    qty: Decimal | None = None,
    per_share: Decimal | None = None,
) -> Entry:
    return Entry(
        id=activity_id(at),
        at=at,
        type=booking.type,
        subtype=booking.subtype,
        group=booking.id,
        symbol=booking.symbol,
        cusip=booking.cusip,
        shares=shares,
        amount=amount,
        qty=qty,
        per_share=per_share,
    )


def activity_id(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%d%H%M%S}{at.microsecond // 1000:03d}::{uuid4()}"


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)
