"""The broker: account, orders, positions, fills. A pure engine, brought up to date whenever it is asked.

What it keeps is book.py and orders.py, what it accepts acceptance.py. Which prices there are (market.py), when the
exchange is open (sessions.py), what goes wrong (faults.py) and how it looks over HTTP (alpaca_api.py) stay out.

A long-only cash account. The rules that are the sandbox's own, because the real API leaves them open:

- Cash is whole cents: each fill moves qty x price rounded half up to the cent, nothing else does but deposits and what
  is booked without an order (bookings.py). Starting cash + flows - buys + sells is the cash, exactly.
- An open buy holds back what it was estimated to cost when it came (limit, or ask; notional: itself), less what it has
  spent. Buying power = cash - what is held, and is never negative. A buy whose price has run away is filled as far as
  the money goes that no other order holds; the rest is cancelled.
- An open sell holds its shares; one by notional holds notional / bid, and sells no more than that.
- An order that is open when its shares are split, renamed or taken away is cancelled.
- A market order that was queued while the exchange was closed is filled in one print at the open, at its instant,
  even if the clock jumps over it. A jump over the close first completes what would have been filled, then expires.
"""

import dataclasses
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any, Protocol

from tokenomics_dagster.sandbox.acceptance import check_account, check_asset, to_reserve
from tokenomics_dagster.sandbox.book import Account, Book, Position, due, from_document, to_document, unit_of
from tokenomics_dagster.sandbox.bookings import (
    CENT,
    SHARE,
    ZERO,
    Booking,
    Change,
    Entry,
    Holding,
    activity_id,
    carry_out,
    cents,
)
from tokenomics_dagster.sandbox.clock import Clock
from tokenomics_dagster.sandbox.market import Market
from tokenomics_dagster.sandbox.orders import (
    TRANSITIONS,
    WORKING,
    Activity,
    CashFlow,
    Order,
    OrderRequest,
    OrderType,
    Refused,
    Restrictions,
    Side,
    Status,
)
from tokenomics_dagster.sandbox.sessions import Sessions

ACCOUNT_NUMBER = "PA0SANDBOX01"
PARTS_FROM_USD = (Decimal(5_000), Decimal(20_000))
"""Orders of at least these values are filled in two and in three parts."""
SLOW_FACTOR = 40
"""How many times longer an order with the fault `slow_fill` takes: 2 s at the default delay."""


class OrderFaults(Protocol):
    """The part of faults.Faults that strikes orders."""

    def order_fault(self, symbol: str, side: str) -> str | None: ...

    def cancel_sticks(self, symbol: str, side: str) -> bool: ...


class Broker:
    """One account. Every public method first brings the book up to date with the clock; all are thread-safe.

    `fill_delay_s` is real time from acceptance to the last fill, so that a clock that stands or jumps blocks nothing;
    `real_seconds` reads that time.
    """

    def __init__(
        self,
        market: Market,
        clock: Clock,
        calendar: Sessions,
        faults: OrderFaults,
        cash: Decimal = Decimal(100_000),
        fill_delay_s: float = 0.05,
        real_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        if not cash.is_finite() or cash < 0 or cash != cash.quantize(CENT):
            raise ValueError(f"cash: {cash} is not allowed; whole cents, 0 or more")
        self.calendar = calendar
        self._market = market
        self._clock = clock
        self._faults = faults
        self._fill_delay_s = fill_delay_s
        self._real_seconds = real_seconds
        self._lock = threading.RLock()
        now = clock.now()
        self._adopt(Book(ACCOUNT_NUMBER, now, now, cash, cash))

    def _adopt(self, book: Book) -> None:
        self._book = book
        self._by_id = {order.id: order for order in book.orders}
        self._by_client_id = {order.client_order_id: order for order in book.orders}
        self._open = {order.id: order for order in book.orders if not order.is_final}

    def to_state(self) -> dict[str, Any]:
        """The whole book in JSON's types, Decimals as strings; for `load_state`."""
        with self._lock:
            return to_document(self._book, self._real_seconds())

    def load_state(self, state: dict[str, Any]) -> None:
        """Replace the book by a saved one. ValueError if it is not one, or if its cash or shares do not add up."""
        with self._lock:
            self._adopt(from_document(state, self._real_seconds()))

    def advance(self) -> datetime:
        """Bring the book up to date with the clock; the instant that it then stands at."""
        with self._lock:
            now = self._clock.now()
            closed = {one.close: one.date for one in self.calendar.closed_between(self._book.at, now)}
            passed = set(closed)
            for order in self._open.values():
                if order.status is Status.ACCEPTED:
                    passed.add(order.opens_at)
                passed.add(order.closes_at)
            passed |= {booking.at for booking in self._book.bookings}
            for at in sorted(instant for instant in passed if instant <= now):
                self._carry_out(at)
                for order in list(self._open.values()):
                    if order.status is Status.ACCEPTED and order.opens_at <= at:
                        self._open_with_the_session(order, at)
                    if not order.is_final and order.closes_at <= at:
                        self._end_with_the_session(order, at)
                if at in closed:
                    self._book.closes[closed[at]] = self._book.cash + self._market_value(at)
            for order in list(self._open.values()):
                self._work(order, now)
            self._book.at = now
            return now

    def account(self) -> Account:
        with self._lock:
            now = self.advance()
            value = self._market_value(now)
            asof = self.calendar.previous_day(now).date
            known = [session for session in self._book.closes if session <= asof]
            return Account(
                number=self._book.account_number,
                created_at=self._book.created_at,
                balance_asof=asof,
                cash=self._book.cash,
                buying_power=self._buying_power(),
                long_market_value=value,
                equity=self._book.cash + value,
                last_equity=self._book.closes[max(known)] if known else self._book.starting_cash,
                restrictions=self._book.restrictions,
            )

    def positions(self) -> list[Position]:
        """All positions, by symbol."""
        with self._lock:
            now = self.advance()
            previous = self.calendar.previous_day(now)
            bought = self._book.bought_since(previous.close)
            found = []
            for symbol in sorted(self._book.holdings):
                holding = self._book.holdings[symbol]
                lastday = self._price(symbol, holding, previous.close)
                today_qty, today_cost = bought.get(symbol, (ZERO, ZERO))
                new = min(holding.qty, today_qty)
                day_cost = (holding.qty - new) * lastday + (new * today_cost / today_qty if new else ZERO)
                found.append(
                    Position(
                        symbol=symbol,
                        qty=holding.qty,
                        qty_available=holding.qty - self._held_shares(symbol),
                        cost=holding.cost,
                        price=self._price_now(symbol, holding, now),
                        lastday_price=lastday,
                        day_cost=day_cost,
                    )
                )
            return found

    def position(self, symbol: str) -> Position:
        for position in self.positions():
            if position.symbol == symbol:
                return position
        raise Refused(404, 40410000, "position does not exist")

    def orders(self, wanted: Callable[[Order], bool] = lambda order: True) -> list[Order]:  # noqa: ARG005
        """The wanted ones of all orders ever accepted, in the order of their submission; copies."""
        with self._lock:
            self.advance()
            return [dataclasses.replace(order) for order in self._book.orders if wanted(order)]

    def order(self, order_id: str) -> Order:
        with self._lock:
            self.advance()
            return dataclasses.replace(self._find(order_id))

    def order_by_client_id(self, client_order_id: str) -> Order:
        with self._lock:
            self.advance()
            if client_order_id not in self._by_client_id:
                raise Refused(404, 40410000, f"order not found for {client_order_id}")
            return dataclasses.replace(self._by_client_id[client_order_id])

    def activities(self) -> list[Activity]:
        """Everything that moved cash or shares, oldest first."""
        with self._lock:
            self.advance()
            return sorted(self._book.activities, key=lambda activity: activity.at)

    def equity_at_closes(self) -> dict[date, Decimal]:
        """Equity at the close of each session that the account has lived through, USD."""
        with self._lock:
            self.advance()
            return dict(self._book.closes)

    def deposit(self, amount: Decimal) -> None:
        """Pay in, or out if negative. ValueError if not whole cents, or if more is taken out than the buying power."""
        with self._lock:
            now = self.advance()
            self._require_sound(amount, "deposit", "withdrawal")
            self._book.cash += amount
            self._book.activities.append(CashFlow(activity_id(now), now, amount))

    def book(self, booking: Booking) -> None:
        """Have it carried out at its instant, at once if that has come."""
        with self._lock:
            now = self.advance()
            self._book.bookings.append(booking)
            self._carry_out(now)

    def enter(self, kind: str, subtype: str, amount: Decimal) -> None:
        """A fee, interest or journal entry of `amount` USD, whole cents; ValueError if it takes more than there is."""
        with self._lock:
            now = self.advance()
            self._require_sound(amount, kind, kind)
            identity = activity_id(now)
            self._book.enter(Entry(identity, now, kind, subtype, identity, "", "", ZERO, amount))

    def held(self, symbol: str) -> Decimal:
        """Shares of one symbol, 0 if there are none; what they cost last stays known although it leaves the market."""
        with self._lock:
            self._market_value(self.advance())
            holding = self._book.holdings.get(symbol)
            return holding.qty if holding else ZERO

    def cancel_for_action(self, symbol: str) -> None:
        """Cancel what is open in a symbol, at once: its orders are about shares that there will not be."""
        with self._lock:
            self._cancel_all_of(symbol, self.advance())

    def restrict(self, restrictions: Restrictions) -> None:
        """Block or free the account; open orders go on."""
        with self._lock:
            self.advance()
            self._book.restrictions = restrictions

    def submit(self, request: OrderRequest) -> Order:
        """Accept an order, or raise Refused. The order that comes back is `pending_new`, `accepted` while closed."""
        with self._lock:
            now = self.advance()
            client_order_id = request.client_order_id or str(uuid.uuid4())
            # first of all: to a client that lost the answer "not enough money" would say that the first try failed
            if client_order_id in self._by_client_id:
                raise Refused(422, 40010001, "client_order_id must be unique")
            check_account(self._book.restrictions)
            instrument = check_asset(request, self._market, self._open.values())
            quote = self._market.quote(request.symbol, now)
            holding = self._book.holdings.get(request.symbol)
            existing = holding.qty if holding else ZERO
            held = self._held_shares(request.symbol)
            reserve = to_reserve(request, quote, self._buying_power(), existing, held)
            value = reserve if request.side is Side.BUY else reserve * quote.bid
            session = self.calendar.current_or_next(now)
            order = Order(
                id=str(uuid.uuid4()),
                client_order_id=client_order_id,
                symbol=instrument.symbol,
                side=request.side,
                type=request.type,
                qty=request.qty,
                notional=request.notional,
                limit_price=request.limit_price,
                status=Status.PENDING_NEW if session.open <= now else Status.ACCEPTED,
                submitted_at=now,
                updated_at=now,
                opens_at=session.open,
                closes_at=session.close,
                reserve=reserve,
                parts=1 + sum(value >= limit for limit in PARTS_FROM_USD),
                fault=self._faults.order_fault(request.symbol, request.side),
                since=self._real_seconds(),
                asset_id=instrument.asset_id,
            )
            self._book.orders.append(order)
            self._by_id[order.id] = self._by_client_id[client_order_id] = self._open[order.id] = order
            return dataclasses.replace(order)

    def cancel(self, order_id: str) -> Order:
        """Ask for a cancel: `pending_cancel` at once, `canceled` after half the fill delay unless a fault holds it."""
        with self._lock:
            now = self.advance()
            order = self._find(order_id)
            if order.status is Status.PENDING_CANCEL:
                raise Refused(422, 42210000, "order pending cancel")
            if order.is_final:
                raise Refused(422, 42210000, f'order is already in "{order.status}" state')
            order.cancel_sticks = self._faults.cancel_sticks(order.symbol, order.side)
            order.since = self._real_seconds()
            self._move(order, Status.PENDING_CANCEL, now)
            return dataclasses.replace(order)

    def cancel_all(self) -> list[Order]:
        """Ask for a cancel of every open order that is not being cancelled yet."""
        with self._lock:
            self.advance()
            return [
                self.cancel(order.id)
                for order in list(self._open.values())
                if order.status is not Status.PENDING_CANCEL
            ]

    def close_position(self, symbol: str, qty: Decimal | None = None, percentage: Decimal | None = None) -> Order:
        """Sell a position, or `qty` shares or `percentage` (0 to 100) of it, at the market.

        Part of a whole number of shares is rounded down to whole shares, as the real API says it does.
        """
        with self._lock:
            held = self.position(symbol).qty
            if qty is None and percentage is not None:
                unit = Decimal(1) if held == held.to_integral_value() else SHARE
                qty = (held * percentage / 100).quantize(unit, ROUND_DOWN)
            return self.submit(OrderRequest(symbol, Side.SELL, OrderType.MARKET, qty=held if qty is None else qty))

    def close_all_positions(self, *, cancel_orders: bool = False) -> list[tuple[str, Order | Refused]]:
        """Sell everything; for each symbol the order, or the refusal. Cancels asked for here take no time."""
        with self._lock:
            self.advance()
            if cancel_orders:
                self.cancel_all()
                for order in list(self._open.values()):
                    if order.status is Status.PENDING_CANCEL and not order.cancel_sticks:
                        self._move(order, Status.CANCELED, self._book.at)
            answers: list[tuple[str, Order | Refused]] = []
            for symbol in sorted(self._book.holdings):
                try:
                    answers.append((symbol, self.close_position(symbol)))
                except Refused as refusal:
                    answers.append((symbol, refusal))
            return answers

    def _require_sound(self, amount: Decimal, coming: str, going: str) -> None:
        if not amount.is_finite() or amount == 0 or amount != amount.quantize(CENT):
            raise ValueError(f"{coming}: {amount} USD is not allowed; whole cents, other than 0")
        if amount + self._buying_power() < 0:
            raise ValueError(f"{going}: {-amount} USD is more than the buying power, {self._buying_power()} USD")

    def _carry_out(self, at: datetime) -> None:
        """Do the bookings whose instant has come by `at`."""
        due = [booking for booking in self._book.bookings if booking.at <= at]
        self._book.bookings = [booking for booking in self._book.bookings if booking.at > at]
        for booking in sorted(due, key=lambda booking: booking.at):
            if booking.change not in (Change.PAY, Change.DISTRIBUTE):
                self._cancel_all_of(booking.symbol, at)
            for entry in carry_out(booking, self._book.holdings, at):
                self._book.enter(entry)

    def _cancel_all_of(self, symbol: str, at: datetime) -> None:
        for order in list(self._open.values()):
            if order.symbol == symbol:
                if order.status is not Status.PENDING_CANCEL:
                    self._move(order, Status.PENDING_CANCEL, at)
                self._move(order, Status.CANCELED, at)

    def _find(self, order_id: str) -> Order:
        if order_id not in self._by_id:
            raise Refused(404, 40410000, f"order not found for {order_id}")
        return self._by_id[order_id]

    def _buying_power(self) -> Decimal:
        return self._book.cash - self._held_cash()

    def _held_cash(self, but: Order | None = None) -> Decimal:
        return _total(order.held for order in self._open.values() if order.side is Side.BUY and order is not but)

    def _held_shares(self, symbol: str) -> Decimal:
        return _total(order.held for order in self._open.values() if order.side is Side.SELL and order.symbol == symbol)

    def _price(self, symbol: str, holding: Holding, at: datetime) -> Decimal:
        if symbol in self._market.instruments:
            return self._market.price(symbol, at)
        return holding.price

    def _price_now(self, symbol: str, holding: Holding, at: datetime) -> Decimal | None:
        """None or 0 for what was delisted so."""
        if symbol not in self._market.instruments and symbol in self._market.delisted:
            return self._market.delisted[symbol].price
        return self._price(symbol, holding, at)

    def _market_value(self, at: datetime) -> Decimal:
        value = ZERO
        for symbol, holding in self._book.holdings.items():
            holding.price = self._price(symbol, holding, at)
            value += holding.qty * (self._price_now(symbol, holding, at) or ZERO)
        return value

    def _move(self, order: Order, status: Status, at: datetime) -> None:
        if status not in TRANSITIONS[order.status]:
            raise RuntimeError(f"order {order.id}: {order.status} -> {status} is no transition")
        order.status = status
        order.updated_at = at
        match status:
            case Status.FILLED:
                order.filled_at = at
            case Status.CANCELED:
                order.canceled_at = at
            case Status.EXPIRED:
                order.expired_at = at
            case Status.REJECTED:
                order.failed_at = at
        if order.is_final:
            del self._open[order.id]

    def _open_with_the_session(self, order: Order, at: datetime) -> None:
        order.since = self._real_seconds()
        self._route(order, at)
        if order.status is Status.NEW and order.fault in (None, "stuck_partial"):
            self._fill(order, order.parts, at)

    def _end_with_the_session(self, order: Order, at: datetime) -> None:
        if order.status is Status.PENDING_NEW:
            self._route(order, at)
        if order.status in WORKING and order.fault != "halt":
            self._fill(order, order.parts, at)
        if order.status is Status.PENDING_CANCEL and not order.cancel_sticks:
            self._move(order, Status.CANCELED, at)
        elif not order.is_final:
            self._move(order, Status.EXPIRED, at)

    def _route(self, order: Order, at: datetime) -> None:
        self._move(order, Status.REJECTED if order.fault == "reject" else Status.NEW, at)

    def _work(self, order: Order, now: datetime) -> None:
        """Do the steps whose delay has passed: routed after a quarter of it, the last part filled at its end."""
        delay = self._fill_delay_s * (SLOW_FACTOR if order.fault == "slow_fill" else 1)
        age = self._real_seconds() - order.since
        if order.status is Status.PENDING_CANCEL:
            if not order.cancel_sticks and age >= self._fill_delay_s / 2:
                self._move(order, Status.CANCELED, now)
            return
        if age >= delay / 4 and (
            order.status is Status.PENDING_NEW or (order.status is Status.ACCEPTED and order.fault == "reject")
        ):
            self._route(order, now)
        # the session is looked at again because the clock may have been set back to before its open
        while order.status in WORKING and order.opens_at <= now < order.closes_at and order.fault != "halt":
            part = order.parts_done + 1
            if part > order.parts or age < delay * (1 + part / order.parts) / 2 or not self._fill(order, part, now):
                break

    def _fill(self, order: Order, part: int, at: datetime) -> bool:
        """Fill up to the end of `part`; False if the market does not allow it (no quote, limit out of reach)."""
        if order.symbol not in self._market.instruments:
            return False
        quote = self._market.quote(order.symbol, at)
        buys = order.side is Side.BUY
        price = quote.ask if buys else quote.bid
        if price <= 0:
            return False
        if order.limit_price is not None and (price > order.limit_price if buys else price < order.limit_price):
            return False
        order.parts_done = part
        unit = unit_of(order, self._market.instruments[order.symbol])
        qty = due(order, part, price, unit)
        # a buy may use what no other order holds, a sell only the shares that it holds itself
        can = order.held
        if buys:
            budget = self._book.cash - self._held_cash(but=order)
            can = qty if cents(qty * price) <= budget else (budget / price).quantize(unit, ROUND_DOWN)
        status = Status.PARTIALLY_FILLED
        if can < qty:
            qty, status = can, Status.CANCELED
        elif part == order.parts and order.fault != "stuck_partial":
            status = Status.FILLED
        if qty > 0:
            self._book.fill(order, qty, price, at, status)
        if qty > 0 or status is not Status.PARTIALLY_FILLED:
            self._move(order, status, at)
        return True


def _total(numbers: Iterable[Decimal]) -> Decimal:
    return sum(numbers, ZERO)
