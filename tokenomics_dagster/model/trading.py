"""What a broker and a market say, as every room speaks of it: account, positions, orders, prices, what happened.

Pure. Amounts are Decimal, USD; instants aware UTC datetimes. How an answer is read is the provider's. Rules ask by the
protocols at the end: an account at a broker and a replayed history can stand behind them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal, Protocol

from tokenomics_dagster.model.calendar import NEW_YORK

EQUITY, OPTION, CRYPTO = "us_equity", "us_option", "crypto"
# Shares that one option contract stands for, unless a corporate action has adjusted it.
SHARES_PER_CONTRACT = 100
# The OCC's 21 characters: root (a digit at its end: adjusted), expiry, call or put, strike in thousandths of a USD.
_OCC = re.compile(r"^(?P<root>[A-Z.]+)(?P<adjusted>\d?)\s*\d{6}(?P<right>[CP])(?P<strike>\d{8})$")
FLOWS = frozenset({"CSD", "CSW", "JNL", "JNLC", "JNLS", "ACATC", "ACATS", "OCT", "FOPT"})
"""Types by which money or shares come or go; all others (dividends, fees) are what the account earned or lost."""
_SHARES = frozenset(
    {"ACATS", "FOPT", "JNL", "JNLS", "MA", "NC", "OPASN", "OPCA", "OPEXC", "REO", "REORG", "SPIN", "SPLIT", "VOF"}
)


@dataclass(frozen=True, slots=True)
class MarketClock:
    """What the broker says of its time and of the exchange's hours."""

    now: datetime
    is_open: bool
    next_open: datetime
    next_close: datetime


@dataclass(frozen=True, slots=True)
class Account:
    number: str
    status: str
    cash: Decimal
    equity: Decimal
    last_equity: Decimal
    currency: str
    trading_blocked: bool
    account_blocked: bool
    trade_suspended_by_user: bool


@dataclass(frozen=True, slots=True)
class Asset:
    symbol: str
    status: str
    tradable: bool
    fractionable: bool
    exchange: str
    attributes: tuple[str, ...]
    asset_class: str
    id: str = ""
    """Stays when the symbol changes."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Last trade, quote, today's bar (close, volume) and the session before; a side of 0 in a quote is None."""

    symbol: str
    price: Decimal | None
    price_at: datetime | None
    bid: Decimal | None
    ask: Decimal | None
    quote_at: datetime | None
    close: Decimal | None
    volume: Decimal | None
    previous_close: Decimal | None
    previous_volume: Decimal | None


@dataclass(frozen=True, slots=True)
class Bar:
    """One session, unadjusted."""

    session: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True)
class Order:
    """`status` is Alpaca's word as it came: a new one is possible, and must not be taken for final.

    `legs` are those of an order of several options at once, which has no symbol and no side of its own.
    """

    id: str
    client_order_id: str
    symbol: str
    side: str
    qty: Decimal | None
    notional: Decimal | None
    status: str
    filled_qty: Decimal
    filled_avg_price: Decimal | None
    submitted_at: datetime | None
    updated_at: datetime | None
    order_type: str
    limit_price: Decimal | None
    asset_class: str = EQUITY
    intent: str = ""
    """Of an option: buy_to_open, buy_to_close, sell_to_open, sell_to_close."""
    legs: tuple[Leg, ...] = ()
    asset_id: str = ""
    """The broker's of the stock, which stays when its symbol changes; "" where it did not say."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One option of an order of several; `ratio` contracts of it for each of the order's."""

    symbol: str
    side: str
    intent: str
    ratio: Decimal


@dataclass(frozen=True, slots=True)
class Fill:
    id: str
    order_id: str
    symbol: str
    side: str
    qty: Decimal
    price: Decimal
    at: datetime


def booked(qty: Decimal, price: Decimal) -> Decimal:
    """USD that a fill moves: the broker rounds each to the cent, and so what several move is no product of sums."""
    return (qty * price).quantize(Decimal("0.01"), ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Position:
    """Shares of a US stock, long. `price` and `market_value` are None while Alpaca knows no price, USD.

    `covering`: shares that secure short calls, which is why they are not in `qty_available`. `asset_id` stays when the
    symbol changes.
    """

    symbol: str
    qty: Decimal
    qty_available: Decimal
    price: Decimal | None
    market_value: Decimal | None
    avg_entry_price: Decimal | None
    side: str
    asset_id: str = ""
    asset_class: str = EQUITY
    covering: Decimal = Decimal(0)
    cost_basis: Decimal | None = None
    """USD that were paid for the shares, as the broker counts it; None where it does not say."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """A row that this strategy neither trades nor counts on. `qty` is negative for a short; `value` USD, as far as
    it is known, negative for what is owed."""

    symbol: str
    asset_class: str
    qty: Decimal | None
    value: Decimal | None
    short: bool = False

    def __str__(self) -> str:
        value = "of unknown value" if self.value is None else f"{self.value:,.2f} USD"
        qty = "?" if self.qty is None else f"{self.qty:f}"
        return f"{self.symbol} ({self.asset_class}): {qty}, {value}"

    @property
    def long_stock(self) -> bool:
        """Whether it could be traded, had a strategy bought it or a person adopted it."""
        return self.asset_class == EQUITY and not self.short

    @property
    def reason(self) -> str:
        """Why it is left alone."""
        if self.long_stock:
            return f"no strategy has ever bought it here: `tokenomics adopt {self.symbol}` lets it be traded"
        return "not traded by this strategy"

    @property
    def secures(self) -> Decimal | None:
        """USD of cash that it binds: a short put its strike, any other short what buying it back costs.

        None: short, and nobody knows how much.
        """
        if not self.short:
            return Decimal(0)
        option = parse_option(self.symbol) if self.asset_class == OPTION else None
        if option is not None and option.right == "P":
            return None if self.qty is None else option.strike * SHARES_PER_CONTRACT * -self.qty
        return None if self.value is None else abs(self.value)


@dataclass(frozen=True, slots=True)
class Option:
    """What the name of an option says: `root` is the underlying without punctuation, `strike` USD a share."""

    root: str
    right: str
    strike: Decimal


@dataclass(frozen=True, slots=True)
class Holdings:
    """`ours` and `disputed` by symbol; a symbol is never in both. `disputed`: a sentence each, why it is left alone."""

    ours: dict[str, Position] = field(default_factory=dict)
    foreign: tuple[Foreign, ...] = ()
    disputed: dict[str, str] = field(default_factory=dict)
    disputed_values: dict[str, Decimal] = field(default_factory=dict)
    """USD, what the disputed rows of a symbol are said to be worth together."""

    @property
    def disputed_value(self) -> Decimal:
        """USD, of all of them."""
        return sum(self.disputed_values.values(), Decimal(0))

    @property
    def foreign_assets(self) -> Decimal:
        """USD in what others hold in this account, long."""
        return sum((row.value for row in self.foreign if row.value is not None and row.value > 0), Decimal(0))

    @property
    def foreign_value(self) -> Decimal:
        """USD, long less short."""
        return sum((row.value for row in self.foreign if row.value is not None), Decimal(0))

    @property
    def secured(self) -> Decimal:
        """USD of cash that shorts bind; infinite while one of them has no known value."""
        return sum((Decimal("Infinity") if s is None else s for s in (r.secures for r in self.foreign)), Decimal(0))

    @property
    def symbols(self) -> frozenset[str]:
        """Of all stocks of which there are shares, whoever they belong to."""
        others = {row.symbol for row in self.foreign if row.long_stock}
        return frozenset({*self.ours, *self.disputed, *others})

    def leaving(self, symbols: Collection[str]) -> Holdings:
        """The same with these stocks among the foreign rows: nothing of them is traded or counted on."""
        rows = [
            Foreign(symbol, EQUITY, position.qty, position.market_value)
            for symbol, position in self.ours.items()
            if symbol in symbols
        ]
        rows += [
            Foreign(symbol, EQUITY, None, self.disputed_values.get(symbol))
            for symbol in self.disputed
            if symbol in symbols
        ]
        return Holdings(
            ours={symbol: one for symbol, one in self.ours.items() if symbol not in symbols},
            foreign=(*self.foreign, *rows),
            disputed={symbol: one for symbol, one in self.disputed.items() if symbol not in symbols},
            disputed_values={symbol: usd for symbol, usd in self.disputed_values.items() if symbol not in symbols},
        )

    def investable(self, account: Account) -> Decimal:
        """The part of the account's equity (USD) that weights are of: without what others hold in it.

        What is owed for shorts stays deducted: the proceeds lie in the cash, and are needed to buy them back. This
        platform never borrows: a loan is first what others owe for what they hold, and nothing of ours is sold for it.
        """
        loan = max(-account.cash, Decimal(0))
        return account.equity - max(self.foreign_assets - loan, Decimal(0))


@dataclass(frozen=True, slots=True)
class Activity:
    """Anything but a fill. `cash` in USD, negative where it went; `symbol` is empty where no security is concerned.

    `by_day`: only its day in New York is told, `at` is the beginning of that, and it may lie anywhere in it.
    """

    id: str
    type: str
    sub_type: str
    symbol: str
    cash: Decimal
    qty: Decimal | None
    at: datetime
    by_day: bool = False

    @property
    def day(self) -> date:
        """In New York."""
        return self.at.astimezone(NEW_YORK).date()

    def may_be_since(self, instant: datetime) -> bool:
        return self.at >= instant or (self.by_day and self.day == instant.astimezone(NEW_YORK).date())

    @property
    def moves_shares(self) -> bool:
        return self.type in _SHARES or self.sub_type == "SDIV"

    def __str__(self) -> str:
        kind = f"{self.type} {self.sub_type}".strip()
        return f"{kind} {self.symbol} {self.cash:+,.2f} USD".replace("  ", " ")


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """`kind` as Alpaca has it, but in the singular: forward_split, name_change. `ratio`: a split's new shares for one.

    `effective` is the ex-date, else the effective date, else that of processing; the books may follow a day later.
    """

    kind: str
    symbol: str
    new_symbol: str
    ratio: Decimal | None
    effective: date
    processed: date

    @property
    def is_split(self) -> bool:
        return self.kind in ("forward_split", "reverse_split", "unit_split")

    def __str__(self) -> str:
        into = f" to {self.new_symbol}" if self.new_symbol and self.new_symbol != self.symbol else ""
        ratio = f" of {self.ratio.normalize():f} for 1" if self.ratio is not None else ""
        return f"{self.kind.replace('_', ' ')} of {self.symbol}{into}{ratio} on {self.effective}"


def parse_option(symbol: str) -> Option | None:
    """None for what is no name of an option."""
    found = _OCC.match(symbol)
    return None if found is None else Option(found["root"], found["right"], Decimal(found["strike"]) / 1000)


def root_of(symbol: str) -> str:
    """How the names of options write a stock: BRK.B is BRKB there."""
    return re.sub(r"[^A-Z0-9]", "", symbol)


def one_name(symbol: str, asset_class: str) -> str:
    """Crypto is BTCUSD among the positions and BTC/USD among the orders; here always as among the positions."""
    return symbol.replace("/", "") if asset_class == CRYPTO else symbol


def class_by_name(symbol: str) -> str:
    """The class of an asset of which only the name is known; a name that could be a stock's is one."""
    if "/" in symbol:
        return CRYPTO
    return OPTION if parse_option(symbol) else EQUITY if symbol else ""


def explaining(activities: Iterable[Activity], since: datetime, usd: Decimal) -> list[Activity]:
    """Those since an instant that best explain how much cash has come since. What tells only that it was on the day of
    that instant may lie before it: all of it counts, or none."""
    known = [one for one in activities if one.may_be_since(since)]
    sure = [one for one in known if one.at >= since]
    return min(sure, known, key=lambda some: abs(usd - sum((one.cash for one in some), Decimal(0))))


class Broker(Protocol):
    """One account. Each method raises ProviderError."""

    def clock(self) -> MarketClock:
        """Asked for anew each time: decisions to trade use it."""

    def account(self) -> Account: ...

    def positions(self) -> Mapping[str, Position]:
        """What may be traded of `holdings`."""

    def holdings(self) -> Holdings: ...

    def assets(self) -> Mapping[str, Asset]:
        """Active US equities by symbol."""

    def orders(
        self, status: Literal["open", "closed", "all"] = "all", after: datetime | None = None
    ) -> Sequence[Order]:
        """Submitted after `after`, oldest first."""

    def order_by_client_id(self, client_order_id: str) -> Order | None:
        """None if the broker has none; whatever else goes wrong raises."""

    def check_in_time(self, not_after: datetime | None) -> None:
        """Raises TooLate if that instant has passed."""

    def submit(
        self,
        symbol: str,
        side: Literal["buy", "sell"],
        client_order_id: str,
        qty: Decimal | None = None,
        notional: Decimal | None = None,
        limit_price: Decimal | None = None,
        not_after: datetime | None = None,
    ) -> Order:
        """One day order, sent at most once; without a `limit_price` at the market.

        Raises TooLate, OrderRejected, TransientError (nothing was ordered), or AmbiguousOrder.
        """

    def cancel(self, order_id: str) -> bool:
        """Ask for a cancel; False if the order is final already."""

    def fills(self, after: datetime) -> Sequence[Fill]: ...

    def activities(self, after: datetime, types: Sequence[str] = ()) -> Sequence[Activity]:
        """What was, or may have been, entered since `after` without an order (of these types)."""


class MarketData(Protocol):
    """Prices and announcements. Each method raises ProviderError."""

    def snapshots(self, symbols: Sequence[str]) -> Mapping[str, Snapshot]:
        """Those that there are; compare with what was asked."""

    def corporate_actions(self, symbols: Sequence[str], start: date, end: date) -> Sequence[CorporateAction]:
        """Of `symbols`, processed from `start` to `end`, both included."""


class Brokerage(Broker, MarketData, Protocol):
    """An account and the prices that it is traded at."""


class Clock(Protocol):
    """The time that rules see, and their only way to let it pass."""

    def now(self) -> datetime:
        """The broker's, UTC. For stamps; decisions to trade use `Broker.clock`. Raises ProviderError."""

    def monotonic(self) -> float:
        """Seconds since some instant, which no correction of a clock moves."""

    def wait(self, seconds: float) -> None:
        """Returns when they have passed."""


class Deadline:
    """Comes `seconds` after it is made, by the reading that only goes on: a clock that is set neither ends a wait nor
    prolongs it."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._at = clock.monotonic() + seconds

    @property
    def passed(self) -> bool:
        return self._clock.monotonic() >= self._at
