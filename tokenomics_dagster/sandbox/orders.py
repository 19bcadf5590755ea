"""What a broker is asked for and keeps: orders and their states, fills, flows of cash, refusals.

What becomes of an order is broker.py's.
"""

import dataclasses
import enum
from datetime import datetime
from decimal import Decimal

from tokenomics_dagster.sandbox.bookings import ZERO, Entry


class Side(enum.StrEnum):
    BUY = "buy"
    SELL = "sell"


class OrderType(enum.StrEnum):
    MARKET = "market"
    LIMIT = "limit"


class Status(enum.StrEnum):
    """The statuses of Alpaca that this broker uses."""

    PENDING_NEW = "pending_new"
    ACCEPTED = "accepted"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"


WORKING = frozenset({Status.NEW, Status.PARTIALLY_FILLED})
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING_NEW: frozenset({Status.NEW, Status.REJECTED, Status.PENDING_CANCEL}),
    Status.ACCEPTED: frozenset({Status.NEW, Status.REJECTED, Status.PENDING_CANCEL}),
    Status.NEW: frozenset(
        {Status.PARTIALLY_FILLED, Status.FILLED, Status.PENDING_CANCEL, Status.CANCELED, Status.EXPIRED}
    ),
    Status.PARTIALLY_FILLED: frozenset(
        {Status.PARTIALLY_FILLED, Status.FILLED, Status.PENDING_CANCEL, Status.CANCELED, Status.EXPIRED}
    ),
    Status.PENDING_CANCEL: frozenset({Status.CANCELED, Status.EXPIRED}),
    Status.FILLED: frozenset(),
    Status.CANCELED: frozenset(),
    Status.EXPIRED: frozenset(),
    Status.REJECTED: frozenset(),
}


class Refused(Exception):
    """The broker's refusal: HTTP status, Alpaca's code and message, and the further keys of the body."""

    def __init__(self, status: int, code: int, message: str, **details: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = details


@dataclasses.dataclass(frozen=True, slots=True)
class OrderRequest:
    """A day order; exactly one of `qty` (shares) and `notional` (USD), `limit_price` for limit orders only."""

    symbol: str
    side: Side
    type: OrderType
    qty: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    client_order_id: str | None = None


@dataclasses.dataclass(slots=True)
class Order:
    id: str
    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    qty: Decimal | None
    notional: Decimal | None
    limit_price: Decimal | None
    status: Status
    submitted_at: datetime
    updated_at: datetime
    opens_at: datetime
    closes_at: datetime
    reserve: Decimal
    """What it held back when it was accepted: USD for a buy, shares for a sell."""
    parts: int
    fault: str | None
    since: float
    """Reading of the real clock, seconds, from which the current step's delay counts."""
    parts_done: int = 0
    filled_qty: Decimal = ZERO
    filled_value: Decimal = ZERO
    """Sum of qty x price, not rounded."""
    filled_amount: Decimal = ZERO
    """The cash that moved, whole cents."""
    cancel_sticks: bool = False
    filled_at: datetime | None = None
    canceled_at: datetime | None = None
    expired_at: datetime | None = None
    failed_at: datetime | None = None
    asset_id: str = ""
    """Of the stock when it was ordered; "": its symbol."""

    @property
    def is_final(self) -> bool:
        return not TRANSITIONS[self.status]

    @property
    def held(self) -> Decimal:
        """What it holds back now: USD for a buy, shares for a sell."""
        if self.is_final:
            return ZERO
        return max(ZERO, self.reserve - (self.filled_amount if self.side is Side.BUY else self.filled_qty))


@dataclasses.dataclass(frozen=True, slots=True)
class Fill:
    """One execution. `amount` is the cash that moved, USD: qty x price rounded half up to the cent."""

    id: str
    at: datetime
    order_id: str
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    amount: Decimal
    cum_qty: Decimal
    leaves_qty: Decimal
    order_status: Status


@dataclasses.dataclass(frozen=True, slots=True)
class CashFlow:
    """A deposit, or a withdrawal if `amount` (USD, whole cents) is negative."""

    id: str
    at: datetime
    amount: Decimal


Activity = Fill | CashFlow | Entry


@dataclasses.dataclass(frozen=True, slots=True)
class Restrictions:
    """What may stop an account from trading."""

    status: str = "ACTIVE"
    trading_blocked: bool = False
    account_blocked: bool = False
    trade_suspended_by_user: bool = False


def plain(number: Decimal) -> str:
    """As the API writes numbers: no exponent, no trailing zeros."""
    return f"{number.normalize():f}"


def cash_of(activity: Activity) -> Decimal:
    if not isinstance(activity, Fill):
        return activity.amount
    return -activity.amount if activity.side is Side.BUY else activity.amount


def shares_of(activity: Fill | Entry) -> Decimal:
    if isinstance(activity, Entry):
        return activity.shares
    return activity.qty if activity.side is Side.BUY else -activity.qty
