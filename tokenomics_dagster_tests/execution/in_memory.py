"""A broker in memory: the sandbox's engine behind the protocols of model/trading.py, without HTTP and on any clock."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from tokenomics_dagster.execution.venue import Venue
from tokenomics_dagster.model import trading
from tokenomics_dagster.model.trading import Clock, MarketClock
from tokenomics_dagster.providers.errors import OrderRejected, TooLate
from tokenomics_dagster.sandbox import broker as engine
from tokenomics_dagster.sandbox import orders
from tokenomics_dagster.sandbox.bookings import Entry
from tokenomics_dagster.sandbox.faults import Faults
from tokenomics_dagster.sandbox.market import Instrument, Market
from tokenomics_dagster.sandbox.sessions import Sessions
from tokenomics_dagster.settings import Settings


class InMemoryBroker:
    """`fill_delay_s` passes on `clock`, as everything does here; `faults` are rules of the sandbox for orders."""

    def __init__(
        self, market: Market, clock: Clock, fill_delay_s: float, faults: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self._market = market
        self._clock = clock
        self._sessions = Sessions()
        self._engine = engine.Broker(
            market, clock, self._sessions, Faults(list(faults)), fill_delay_s=fill_delay_s, real_seconds=clock.monotonic
        )

    def venue(self, differing: Callable[[Settings], str | None] = lambda settings: None) -> Venue:
        return Venue(self, self, self._clock, differing)

    def clock(self) -> MarketClock:
        now, sessions = self._engine.advance(), self._sessions
        return MarketClock(now, sessions.is_open(now), sessions.next_open(now), sessions.next_close(now))

    def account(self) -> trading.Account:
        found = self._engine.account()
        limits = found.restrictions
        return trading.Account(
            number=found.number,
            status=limits.status,
            cash=found.cash,
            equity=found.equity,
            last_equity=found.last_equity,
            currency="USD",
            trading_blocked=limits.trading_blocked,
            account_blocked=limits.account_blocked,
            trade_suspended_by_user=limits.trade_suspended_by_user,
        )

    def positions(self) -> Mapping[str, trading.Position]:
        return self.holdings().ours

    def holdings(self) -> trading.Holdings:
        return trading.Holdings(
            {
                one.symbol: trading.Position(
                    symbol=one.symbol,
                    qty=one.qty,
                    qty_available=one.qty_available,
                    price=one.price,
                    market_value=None if one.price is None else one.qty * one.price,
                    avg_entry_price=one.cost / one.qty,
                    side="long",
                    asset_id=one.symbol,
                )
                for one in self._engine.positions()
            }
        )

    def assets(self) -> Mapping[str, trading.Asset]:
        return {symbol: _asset(one) for symbol, one in self._market.instruments.items()}

    def orders(
        self, status: Literal["open", "closed", "all"] = "all", after: datetime | None = None
    ) -> Sequence[trading.Order]:
        found = self._engine.orders(lambda one: status == "all" or one.is_final == (status == "closed"))
        return [_order(one) for one in found if after is None or one.submitted_at > after]

    def order_by_client_id(self, client_order_id: str) -> trading.Order | None:
        return next((one for one in self.orders() if one.client_order_id == client_order_id), None)

    def check_in_time(self, not_after: datetime | None) -> None:
        if not_after is not None and self._clock.now() > not_after:
            raise TooLate("in memory", "submit", None, f"its turn came at {self._clock.now()}, not by {not_after}")

    def submit(
        self,
        symbol: str,
        side: Literal["buy", "sell"],
        client_order_id: str,
        qty: Decimal | None = None,
        notional: Decimal | None = None,
        limit_price: Decimal | None = None,
        not_after: datetime | None = None,
    ) -> trading.Order:
        self.check_in_time(not_after)
        kind = orders.OrderType.MARKET if limit_price is None else orders.OrderType.LIMIT
        request = orders.OrderRequest(symbol, orders.Side(side), kind, qty, notional, limit_price, client_order_id)
        try:
            return _order(self._engine.submit(request))
        except orders.Refused as refused:
            raise OrderRejected("in memory", "submit", refused.status, refused.message, code=refused.code) from None

    def cancel(self, order_id: str) -> bool:
        try:
            self._engine.cancel(order_id)
        except orders.Refused:
            return False
        return True

    def fills(self, after: datetime) -> Sequence[trading.Fill]:
        return [
            trading.Fill(one.id, one.order_id, one.symbol, one.side.value, one.qty, one.price, one.at)
            for one in self._engine.activities()
            if isinstance(one, orders.Fill) and one.at > after
        ]

    def activities(self, after: datetime, types: Sequence[str] = ()) -> Sequence[trading.Activity]:
        entered = [_activity(one) for one in self._engine.activities() if not isinstance(one, orders.Fill)]
        return [one for one in entered if one.may_be_since(after) and (not types or one.type in types)]

    def snapshots(self, symbols: Sequence[str]) -> Mapping[str, trading.Snapshot]:
        now = self._clock.now()
        return {symbol: self._snapshot(symbol, now) for symbol in symbols if symbol in self._market.instruments}

    def corporate_actions(self, symbols: Sequence[str], start: date, end: date) -> Sequence[trading.CorporateAction]:
        return []  # this market announces none

    def _snapshot(self, symbol: str, now: datetime) -> trading.Snapshot:
        today = self._sessions.last_opened(now)
        quote, bar = self._market.quote(symbol, now), self._market.daily_bar(symbol, today.date, now)
        before = self._market.daily_bar(symbol, self._sessions.last_closed(today.open).date)
        return trading.Snapshot(
            symbol=symbol,
            price=self._market.price(symbol, now),
            price_at=quote.time,
            bid=quote.bid,
            ask=quote.ask,
            quote_at=quote.time,
            close=bar.close,
            volume=Decimal(bar.volume),
            previous_close=before.close,
            previous_volume=Decimal(before.volume),
        )


def _asset(one: Instrument) -> trading.Asset:
    return trading.Asset(
        one.symbol, "active", one.tradable, one.fractionable, "NYSE", (), trading.EQUITY, id=one.symbol
    )


def _order(one: orders.Order) -> trading.Order:
    return trading.Order(
        id=one.id,
        client_order_id=one.client_order_id,
        symbol=one.symbol,
        side=one.side.value,
        qty=one.qty,
        notional=one.notional,
        status=one.status.value,
        filled_qty=one.filled_qty,
        filled_avg_price=one.filled_value / one.filled_qty if one.filled_qty else None,
        submitted_at=one.submitted_at,
        updated_at=one.updated_at,
        order_type=one.type.value,
        limit_price=one.limit_price,
    )


def _activity(one: orders.CashFlow | Entry) -> trading.Activity:
    if isinstance(one, Entry):
        return trading.Activity(one.id, one.type, one.subtype, one.symbol, one.amount, one.shares, one.at)
    return trading.Activity(one.id, "CSD" if one.amount > 0 else "CSW", "", "", one.amount, None, one.at)
