"""A broker and a clock over a panel: what the live room sees of a market that is replayed, and what it may do there.

The account is the engine's (account.py), and so are prices and costs: this module only tells them by the protocols of
model/trading.py and fills what is sent. What is decided, and when, is the caller's; nothing is read from the machine.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Literal, NamedTuple

import numpy as np

from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.plan import FRACTION, SHARE
from tokenomics_dagster.model.trading import (
    EQUITY,
    Account,
    Activity,
    Asset,
    CorporateAction,
    Fill,
    Holdings,
    MarketClock,
    Order,
    Position,
    Snapshot,
)
from tokenomics_dagster.providers.errors import OrderRejected, TooLate
from tokenomics_dagster.research import account
from tokenomics_dagster.research.account import Book, Market, Terms
from tokenomics_dagster.research.panel import Floats, Panel

NUMBER = "SIMULATED"
_NAME = "the simulated broker"
_MICRO = Decimal("0.000001")
_DUST = 5e-10  # half of the ninth decimal, the finest that a broker keeps
_ORDINARY_USD = 10_000.0  # what a quote's spread is for, where nobody knows how much is traded
_BOOKED = timedelta(hours=12)  # UTC: splits are booked before a session opens


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of an order: which part of it is filled (0 to 1), or why it is refused."""

    filled: float = 1.0
    refused: str = ""


Answering = Callable[[date, str, str], Answer]
"""By session, symbol and side; where there is none all is taken and filled."""


class ReplayedClock:
    """Stands where it is until somebody waits."""

    def __init__(self, start: datetime) -> None:
        self._start, self._waited = start, 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._waited)

    def monotonic(self) -> float:
        return self._waited

    def wait(self, seconds: float) -> None:
        self._waited += seconds

    def wait_until(self, instant: datetime) -> None:
        self.wait(max((instant - self.now()).total_seconds(), 0.0))


class Moment(NamedTuple):
    """What the market shows: of session `t` its own prices (`trades`), or still those of the close of `decided`."""

    t: int
    decided: int
    trades: bool


class SimulatedBroker:
    """One account at a market that shows what `show` says. Fills at once, at the fill price and its cost, or in part
    as `answering` and `max_volume_pct` (of the session's volume; nothing where that is unknown) have it."""

    def __init__(
        self,
        panel: Panel,
        market: Market,
        terms: Terms,
        book: Book,
        clock: ReplayedClock,
        answering: Answering | None,
        max_volume_pct: float | None,
    ) -> None:
        self._panel, self._market, self._terms, self._book = panel, market, terms, book
        self._clock, self._answering, self._max_volume_pct = clock, answering, max_volume_pct
        self._symbols = [panel.symbols[column] for column in market.column]
        self._number = {symbol: h for h, symbol in enumerate(self._symbols)}
        self._moment = Moment(0, 0, trades=False)
        self._last_equity = Decimal(0)
        self._bought: dict[int, float] = {}
        self._orders: dict[str, Order] = {}
        self._fills: list[Fill] = []
        self._activities: list[Activity] = []
        self.trades: list[Floats] = []
        """Rows of account.trade, in the order made."""

    def show(self, moment: Moment, last_equity: float) -> None:
        """From now on this is the market; `last_equity`: USD at the close before."""
        if moment.t != self._moment.t:
            self._bought = {}
        self._moment, self._last_equity = moment, _usd(last_equity)

    def book_splits(self, t: int) -> None:
        """Splits and dividends of a session, before it opens."""
        held = self._book.held[: self._book.counts[account.HELD]].tolist()
        before = {h: float(self._book.shares[h]) for h in held}
        account.corporate_actions(self._market, self._terms, self._book, t)
        for h, shares in before.items():
            if self._book.shares[h] != shares:
                self._enter(
                    "SPLIT",
                    self._symbols[h],
                    Decimal(0),
                    self._morning(t),
                    _shares(float(self._book.shares[h]) - shares),
                )

    def pay_out(self, t: int) -> None:
        """What is held of names without a row at a decision, as the engine does."""
        for h in self._book.held[: self._book.counts[account.HELD]].tolist():
            if not account.there(self._market, t, h):
                shares, cash = _shares(float(self._book.shares[h])), float(self._book.money[account.CASH])
                account.pay_out(self._market, self._terms, self._book, t, h)
                self._keep()
                usd = _usd(float(self._book.money[account.CASH]) - cash)
                self._enter("MA", self._symbols[h], usd, self._morning(t), -shares)
        account.tidy(self._book)

    def clock(self) -> MarketClock:
        now = self._clock.now()
        day = now.astimezone(calendar.NEW_YORK).date()
        ahead = (calendar.session_on(day + timedelta(days=days)) for days in range(15))
        coming = (session for session in ahead if session is not None and session.close > now)
        first, second = next(coming), next(coming)
        is_open = first.contains(now)
        return MarketClock(now, is_open, second.open if is_open else first.open, first.close)

    def account(self) -> Account:
        cash, held = _usd(float(self._book.money[account.CASH])), self.holdings().ours.values()
        return Account(
            number=NUMBER,
            status="ACTIVE",
            cash=cash,
            equity=cash + sum((one.market_value or Decimal(0) for one in held), Decimal(0)).quantize(_MICRO),
            last_equity=self._last_equity,
            currency="USD",
            trading_blocked=False,
            account_blocked=False,
            trade_suspended_by_user=False,
        )

    def positions(self) -> Mapping[str, Position]:
        return self.holdings().ours

    def holdings(self) -> Holdings:
        return Holdings(
            {self._symbols[h]: self._position(h) for h in self._book.held[: self._book.counts[account.HELD]].tolist()}
        )

    def _position(self, h: int) -> Position:
        qty, price = _shares(float(self._book.shares[h])), Decimal(repr(self._price(h) or float(self._book.mark[h])))
        symbol = self._symbols[h]
        return Position(symbol, qty, qty, price, qty * price, None, "long", asset_id=symbol)

    def assets(self) -> Mapping[str, Asset]:
        """The names with a row when it was decided."""
        listed = [h for h in range(len(self._symbols)) if account.there(self._market, self._moment.decided, h)]
        return {symbol: self._asset(symbol) for symbol in (self._symbols[h] for h in listed)}

    def _asset(self, symbol: str) -> Asset:
        exchange = self._panel.exchange.get(symbol, "")
        return Asset(symbol, "active", True, self._terms.fractional, exchange, (), EQUITY, id=symbol)

    def orders(
        self, status: Literal["open", "closed", "all"] = "all", after: datetime | None = None
    ) -> Sequence[Order]:
        found = []
        for order in reversed(self._orders.values()):  # the newest first, so that a year's are not looked at each time
            assert order.submitted_at is not None
            if after is not None and order.submitted_at <= after:
                break
            if status == "all" or _is_final(order) == (status == "closed"):
                found.append(order)
            elif status == "open" and order.submitted_at < self._clock.now() - timedelta(days=1):
                break  # day orders: none of an earlier session is open
        return found[::-1]

    def order_by_client_id(self, client_order_id: str) -> Order | None:
        return self._orders.get(client_order_id)

    def check_in_time(self, not_after: datetime | None) -> None:
        if not_after is not None and self._clock.now() > not_after:
            raise TooLate(_NAME, "submit", None, f"its turn came at {self._clock.now()}, not by {not_after}")

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
        self.check_in_time(not_after)
        if client_order_id in self._orders:
            raise OrderRejected(_NAME, "submit", 422, "client_order_id must be unique")
        now = self._clock.now()
        order = Order(
            id=f"simulated-{len(self._orders) + 1}",
            client_order_id=client_order_id,
            symbol=symbol,
            side=side,
            qty=qty,
            notional=notional,
            status="new",
            filled_qty=Decimal(0),
            filled_avg_price=None,
            submitted_at=now,
            updated_at=now,
            order_type="market" if limit_price is None else "limit",
            limit_price=limit_price,
            asset_id=symbol,
        )
        day = self._panel.dates[self._moment.t].item()
        answer = Answer() if self._answering is None else self._answering(day, symbol, side)
        if answer.refused:
            raise OrderRejected(_NAME, "submit", 422, answer.refused)
        order = self._filled(order, self._number[symbol], answer.filled)
        self._orders[client_order_id] = order
        return order

    def _filled(self, order: Order, h: int, part: float) -> Order:
        """The order as it stands after what is filled of it. Raises OrderRejected for what is not there to trade."""
        price = self._price(h)
        if not price > 0:
            return order
        usd = float(order.notional) if order.notional is not None else float(order.qty or 0) * price
        rate = self._rate(self._terms, h, usd)
        sign = 1 if order.side == "buy" else -1
        each = Decimal(repr(price)) * (1 + sign * Decimal(repr(rate)))
        if order.limit_price is not None and sign * (each - order.limit_price) > 0:
            return order
        wanted = order.qty if order.qty is not None else (order.notional or Decimal(0)) / each
        wanted = wanted.quantize(FRACTION, ROUND_DOWN)
        shares = self._as_far(wanted, h, part)
        if not shares:
            return order
        worth = float(shares) * (price * (1 + sign * rate))
        cash, held = float(self._book.money[account.CASH]), _shares(float(self._book.shares[h]))
        if sign > 0 and worth + self._terms.fee > cash + float(_MICRO):
            raise OrderRejected(_NAME, "submit", 403, f"insufficient buying power: {worth:,.2f} of {cash:,.2f} USD")
        if sign < 0 and (shares > held or self._terms.fee - worth > cash):
            raise OrderRejected(_NAME, "submit", 403, f"insufficient qty or cash: {held:f} shares, {cash:,.2f} USD")
        paid = min(worth + self._terms.fee, cash) if sign > 0 else self._terms.fee - worth
        self._trade(h, sign * float(shares), price, paid)
        self._fills.append(
            Fill(f"fill-{len(self._fills) + 1}", order.id, order.symbol, order.side, shares, each, self._clock.now())
        )
        if self._terms.fee:
            self._enter("FEE", "", _usd(-self._terms.fee), self._clock.now())
        status = "filled" if shares == wanted else "partially_filled"
        return replace(order, status=status, filled_qty=shares, filled_avg_price=each)

    def _as_far(self, wanted: Decimal, h: int, part: float) -> Decimal:
        """How many shares are filled; of whole ones a whole number."""
        most = float(wanted) * part
        if self._max_volume_pct is not None:
            traded = self._volume(h) * self._max_volume_pct / 100
            most = min(most, max(traded - self._bought.get(h, 0.0), 0.0))
        if most >= float(wanted):
            return wanted
        return Decimal(repr(most)).quantize(SHARE if wanted == wanted.to_integral_value() else FRACTION, ROUND_DOWN)

    def _volume(self, h: int) -> float:
        """Shares of the session as ours are counted; 0 where it is unknown."""
        t, column = self._moment.t, self._market.column[h]
        usd = float(self._panel.price[t, column] * self._panel.volume[t, column])
        return usd / float(account.worth_of(self._market, self._book, t, h)) if usd > 0 else 0.0

    def _trade(self, h: int, shares: float, price: float, paid: float) -> None:
        account.trade(self._book, self._moment.t, h, shares, price, paid)
        self._bought[h] = self._bought.get(h, 0.0) + abs(shares)
        if self._book.shares[h] < _DUST:
            self._book.shares[h] = 0.0
        self._keep()
        account.tidy(self._book)

    def _keep(self) -> None:
        """The book has room for one trade: it is taken from there at once."""
        self.trades.append(self._book.fills[0].copy())
        self._book.counts[account.FILLS] = 0

    def cancel(self, order_id: str) -> bool:
        order = next((one for one in reversed(self._orders.values()) if one.id == order_id), None)
        if order is None or _is_final(order):
            return False
        self._orders[order.client_order_id] = replace(order, status="canceled", updated_at=self._clock.now())
        return True

    def fills(self, after: datetime) -> Sequence[Fill]:
        return self._fills[bisect_right(self._fills, after, key=lambda one: one.at) :]

    def activities(self, after: datetime, types: Sequence[str] = ()) -> Sequence[Activity]:
        since = self._activities[bisect_right(self._activities, after, key=lambda one: one.at) :]
        return [one for one in since if not types or one.type in types]

    def snapshots(self, symbols: Sequence[str]) -> Mapping[str, Snapshot]:
        """Of the names that are traded at this moment."""
        numbers = [self._number[symbol] for symbol in symbols if symbol in self._number]
        return {self._symbols[h]: self._snapshot(h, price) for h in numbers if (price := self._price(h)) > 0}

    def _snapshot(self, h: int, price: float) -> Snapshot:
        now, exact = self._clock.now(), Decimal(repr(price))
        free = self._terms._replace(impact=0.0)
        half = exact * Decimal(repr(self._rate(free, h, _ORDINARY_USD)))
        return Snapshot(
            symbol=self._symbols[h],
            price=exact,
            price_at=now,
            bid=exact - half,
            ask=exact + half,
            quote_at=now,
            close=exact,
            volume=None,
            previous_close=Decimal(repr(self._before(h))),
            previous_volume=None,
        )

    def _before(self, h: int) -> float:
        """USD at the close before the prices that are shown, in shares of now: by the return that the source tells."""
        if not self._moment.trades:
            return self._price(h)
        close = account.close_price(self._market, self._book, self._moment.t, h)
        grown = 1 + float(self._panel.returns[self._moment.t, self._market.column[h]])
        return float(close / grown) if grown > 0 else float(close)

    def corporate_actions(self, symbols: Sequence[str], start: date, end: date) -> Sequence[CorporateAction]:
        """Splits, no later than this session."""
        if not len(self._market.split):
            return []
        days = self._panel.dates[: self._moment.t + 1]
        first = int(np.searchsorted(days, np.datetime64(start)))
        last = int(np.searchsorted(days, np.datetime64(end), side="right"))
        found = []
        for symbol in symbols:
            column = self._market.column[self._number[symbol]]
            for t in range(first, last):
                ratio = float(self._market.split[t, column])
                if ratio > 0 and ratio != 1:
                    kind, day = "forward_split" if ratio > 1 else "reverse_split", days[t].item()
                    found.append(CorporateAction(kind, symbol, "", Decimal(repr(ratio)), day, day))
        return found

    def _price(self, h: int) -> float:
        """USD a share at this moment, 0 where none is traded."""
        t, decided, trades = self._moment
        if trades:
            return float(account.fill_price(self._market, self._terms, self._book, t, h))
        price = account.close_price(self._market, self._book, decided, h)
        if len(self._market.split):
            for ratio in self._market.split[decided + 1 : t + 1, self._market.column[h]]:
                price = price / ratio if ratio > 0 else price
        return float(price)

    def _rate(self, terms: Terms, h: int, usd: float) -> float:
        """What a trade of so much costs beside the price, a fraction of it, by what was known when it was decided."""
        return float(min(account.cost_of(self._market, terms, self._book, self._moment.decided, h, usd), 1.0))

    def _morning(self, t: int) -> datetime:
        """When a session's splits are booked."""
        return datetime.combine(self._panel.dates[t].item(), datetime.min.time(), UTC) + _BOOKED

    def _enter(self, kind: str, symbol: str, usd: Decimal, at: datetime, shares: Decimal | None = None) -> None:
        entry = Activity(f"entry-{len(self._activities) + 1}", kind, "", symbol, usd, shares, at)
        insort(self._activities, entry, key=lambda one: one.at)


def _is_final(order: Order) -> bool:
    return order.status in ("filled", "canceled")


def _usd(amount: float) -> Decimal:
    return Decimal(repr(amount)).quantize(_MICRO)


def _shares(count: float) -> Decimal:
    return Decimal(repr(count)).quantize(FRACTION)
