"""Alpaca's account: its clock, what it holds, its orders and what happened to it.

When to trade and what an answer means for a plan is decided in execution/; here an order is sent exactly once, and
every outcome has a type.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from pydantic import PrivateAttr

from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.model.plan import CENT, FRACTION
from tokenomics_dagster.model.trading import Account, Activity, Asset, Fill, Holdings, MarketClock, Order, Position
from tokenomics_dagster.providers.alpaca import PROVIDER, parsing
from tokenomics_dagster.providers.alpaca.activities import read_activities
from tokenomics_dagster.providers.alpaca.connection import AlpacaConnection
from tokenomics_dagster.providers.alpaca.holdings import read_holdings
from tokenomics_dagster.providers.errors import (
    AmbiguousOrder,
    AuthenticationError,
    OrderRejected,
    PermanentError,
    ProviderError,
    TooLate,
    TransientError,
)

if TYPE_CHECKING:
    from alpaca.trading.client import TradingClient
    from alpaca.trading.requests import GetOrdersRequest

log = logging.getLogger("tokenomics.providers")

ORDERS_PER_PAGE = 500  # Alpaca's maximum
FILLS_PER_PAGE = 100  # Alpaca's maximum
RESYNC_S, MAX_UNSYNCED_S = 60.0, 3600.0
_AHEAD = timedelta(seconds=5)
_TICK = timedelta(milliseconds=1)
_NEVER = datetime.min.replace(tzinfo=UTC)

_Here = tuple[float, float]


def _here() -> _Here:
    """This machine's monotonic clock, which stands still while it sleeps, and its wall clock, which may be set."""
    return time.monotonic(), time.time()


def _passed_s(since: _Here) -> float:
    """By the one of the two clocks that went on further."""
    return max(now - then for now, then in zip(_here(), since, strict=True))


class AlpacaTrading(AlpacaConnection):
    """What the trading API does and tells; prices are in market_data.py."""

    _clock_lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _synced: tuple[datetime, _Here] | None = PrivateAttr(default=None)  # the broker's time, and ours when it came
    _asked_at: _Here | None = PrivateAttr(default=None)

    def clock(self) -> MarketClock:
        clock = parsing.clock(self._trading(lambda client: client.get_clock()))
        self._asked_at = _here()
        self._synced = clock.now, self._asked_at
        return clock

    def now(self) -> datetime:
        """The broker's time, asked for at most once a minute and advanced by this machine's clocks in between.

        For stamps: while the broker gives no answer, the last one goes on for an hour, so that its maintenance does
        not end a sweep of another provider, nor one refusal the record of an order. Decisions to trade use `clock()`.
        """
        with self._clock_lock:
            if self._synced is None or self._asked_at is None or _passed_s(self._asked_at) >= RESYNC_S:
                self._sync()
            assert self._synced is not None
            at, since = self._synced
            return at + timedelta(seconds=_passed_s(since))

    def _sync(self) -> None:
        try:
            self.clock()
        except ProviderError as error:
            if self._synced is None or _passed_s(self._synced[1]) >= MAX_UNSYNCED_S:
                raise
            log.warning("the broker's clock cannot be read, its last answer is advanced: %s", error)
            self._asked_at = _here()

    def _hear(self, stamp: datetime | None) -> None:
        """A stamp of the broker that is ahead of `now`: this machine stood still, so that the clock is asked anew."""
        if stamp is None or self._synced is None:
            return
        at, since = self._synced
        if stamp > at + timedelta(seconds=_passed_s(since)) + _AHEAD:
            self._asked_at = None

    def account(self) -> Account:
        return parsing.account(self._trading(lambda client: client.get_account()))

    def positions(self) -> dict[str, Position]:
        """The positions that this strategy may hold and trade, by symbol; `holdings` has the others, too."""
        return self.holdings().ours

    def holdings(self) -> Holdings:
        """All that the account holds: what is ours, what is foreign, what is contradictory."""
        endpoint = "GET /v2/positions"
        bodies = self._trading(lambda client: client.get_all_positions())
        if not isinstance(bodies, list):
            raise PermanentError(PROVIDER, endpoint, 200, f"a list was expected, not {type(bodies).__name__}")
        try:
            return read_holdings(bodies)
        except ValueError as error:
            raise PermanentError(PROVIDER, endpoint, 200, str(error)) from None

    def assets(self) -> dict[str, Asset]:
        """Active US equities by symbol. What is not said to be tradable or fractionable is not."""
        from alpaca.trading.enums import AssetClass, AssetStatus
        from alpaca.trading.requests import GetAssetsRequest

        wanted = GetAssetsRequest(status=AssetStatus.ACTIVE, asset_class=AssetClass.US_EQUITY)
        return parsing.assets(self._trading(lambda client: client.get_all_assets(wanted)))

    def asset(self, symbol: str) -> Asset | None:
        """That of one symbol, active or not; None if the broker has none."""
        try:
            return parsing.asset(self._trading(lambda client: client.get_asset(symbol)))
        except PermanentError as error:
            if error.status == 404:
                return None
            raise

    def orders(
        self,
        status: Literal["open", "closed", "all"] = "all",
        after: datetime | None = None,
    ) -> list[Order]:
        """Orders submitted after `after` (exclusive), oldest first, over all pages."""
        from alpaca.common.enums import Sort
        from alpaca.trading.enums import QueryOrderStatus
        from alpaca.trading.requests import GetOrdersRequest

        endpoint = "GET /v2/orders"
        found: dict[str, Order] = {}
        until: datetime | None = None
        while True:
            wanted = GetOrdersRequest(
                status=QueryOrderStatus(status),
                limit=ORDERS_PER_PAGE,
                after=after,
                until=until,
                direction=Sort.DESC,
            )
            rows = parsing.orders(endpoint, self._trading(partial(_get_orders, wanted=wanted)))
            page = {order.id: order for order in rows}
            oldest = min((order.submitted_at for order in page.values() if order.submitted_at), default=None)
            new = page.keys() - found.keys()
            found |= page
            if len(rows) < ORDERS_PER_PAGE:
                return sorted(found.values(), key=lambda order: order.submitted_at or _NEVER)
            # `until` is exclusive and our instants are cut to microseconds: one tick later asks for the last instant
            # again, so that no order that shares it is lost; those already known are recognised by id.
            if not new or oldest is None:
                raise PermanentError(
                    PROVIDER,
                    endpoint,
                    200,
                    f"more than {ORDERS_PER_PAGE} orders of the same instant ({oldest}) cannot be paged through",
                )
            until = oldest + _TICK

    def order_by_client_id(self, client_order_id: str) -> Order | None:
        """None if the broker has no order with this id; whatever else goes wrong raises."""
        endpoint = "GET /v2/orders:by_client_order_id"
        try:
            body = self._trading(lambda client: client.get_order_by_client_id(client_order_id))
        except PermanentError as error:
            if error.status == 404:
                return None
            raise
        order = parsing.order(endpoint, body)
        if order.client_order_id != client_order_id:
            said = f"{client_order_id} was asked for, the answer is about {order.client_order_id or order.id}"
            raise PermanentError(PROVIDER, endpoint, 200, said)
        return order

    def check_in_time(self, not_after: datetime | None) -> None:
        """Raises TooLate if that instant has passed by the broker's time."""
        if not_after is not None and (now := self.now()) > not_after:
            said = f"its turn came at {now:%Y-%m-%d %H:%M:%S} UTC, it might be sent until {not_after:%Y-%m-%d %H:%M:%S}"
            raise TooLate(PROVIDER, "POST /v2/orders", None, said)

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
        """One day order in exactly one request, never repeated. `qty` is rounded down to 9 decimals, `notional` to 2.

        Raises TooLate, with nothing sent, where its turn comes later than `not_after` by the broker's time.

        Raises OrderRejected (nothing was ordered), AmbiguousOrder (look it up by its id), and TransientError where it
        is certain that no order was accepted: 429, or no connection came about. AuthenticationError as everywhere.
        """
        from tokenomics_dagster.providers.transport import checked_at_departure

        endpoint = "POST /v2/orders"
        fields = _order_fields(symbol, side, client_order_id, qty, notional, limit_price)
        try:
            with checked_at_departure(partial(self.check_in_time, not_after)):
                body = self._trading(lambda client: client.post("/orders", fields))
            order = parsing.order(endpoint, body)
        except AuthenticationError:
            raise
        except TransientError as error:
            if error.status == 429 or error.unsent:
                raise
            failure: AmbiguousOrder | OrderRejected = AmbiguousOrder(PROVIDER, endpoint, error.status, error.message)
        except PermanentError as error:
            if error.status is not None and 400 <= error.status < 500:
                failure = OrderRejected(
                    PROVIDER, endpoint, error.status, error.message, code=error.code, details=error.details
                )
            else:
                failure = AmbiguousOrder(PROVIDER, endpoint, error.status, error.message)
        else:
            if order.client_order_id == client_order_id:
                self._hear(order.submitted_at)
                return order
            failure = AmbiguousOrder(PROVIDER, endpoint, 200, f"the answer is about another order, {order.id}")
        raise failure

    def cancel(self, order_id: str) -> bool:
        """Ask for a cancel; False if the order is final already. An unknown order is an error (404)."""
        try:
            # alpaca-py's cancel_order_by_id takes a UUID only; what Alpaca calls an order is its own matter.
            self._trading(lambda client: client.delete(f"/orders/{quote(order_id, safe='')}"))
        except PermanentError as error:
            if error.status == 422:
                return False
            raise
        return True

    def cancel_all(self) -> dict[str, int]:
        """Ask for a cancel of every open order: order id -> HTTP status of its cancel."""
        return parsing.canceled(self._trading(lambda client: client.cancel_orders()))

    def fills(self, after: datetime) -> list[Fill]:
        """Fills after `after`, oldest first, over all pages."""
        endpoint = "GET /v2/account/activities/FILL"
        found: dict[str, Fill] = {}
        fields = {"after": after.astimezone(UTC).isoformat(), "direction": "asc", "page_size": FILLS_PER_PAGE}
        while True:
            body = self._trading(lambda client: client.get("/account/activities/FILL", fields))
            rows = parsing.fills(endpoint, body)
            page = {fill.id: fill for fill in rows}
            if page and page.keys() <= found.keys():
                raise PermanentError(PROVIDER, endpoint, 200, "the same page came twice")
            found |= page
            if len(rows) < FILLS_PER_PAGE:
                return list(found.values())
            fields["page_token"] = rows[-1].id

    def equity_history(self, first: date, last: date) -> dict[date, Decimal]:
        """USD at the end of each day from `first` to `last` in New York, as far as the broker tells it.

        The newest may stand for the one before for some hours after 20:00 (reported of the real API); `account` tells
        equity of now and of the previous close.
        """
        endpoint = "GET /v2/account/portfolio/history"
        fields = {
            "timeframe": "1D",
            # Without both ends the answer is a month long. A bare date is midnight in UTC, the evening before.
            "start": datetime(first.year, first.month, first.day, 12, tzinfo=NEW_YORK).isoformat(),
            "end": datetime(last.year, last.month, last.day, 23, tzinfo=NEW_YORK).isoformat(),
        }
        body = self._trading(lambda client: client.get("/account/portfolio/history", fields))
        return parsing.equity_history(endpoint, body)

    def activities(self, after: datetime, types: Sequence[str] = ()) -> list[Activity]:
        """What was, or may have been, entered since `after` without an order (of these types), oldest first."""
        endpoint = "GET /v2/account/activities"
        found: dict[str, Activity] = {}
        # What is told by its day alone lies at the beginning of that.
        day = after.astimezone(NEW_YORK).replace(hour=0, minute=0, second=0, microsecond=0) - _TICK
        fields = {"after": day.astimezone(UTC).isoformat(), "direction": "asc", "page_size": FILLS_PER_PAGE}
        fields |= {"activity_types": ",".join(types)} if types else {"category": "non_trade_activity"}
        while True:
            body = self._trading(lambda client: client.get("/account/activities", fields))
            found |= {one.id: one for one in read_activities(parsing.all_fields(endpoint, body))}
            if len(body) < FILLS_PER_PAGE:
                return [one for one in found.values() if one.may_be_since(after)]
            token = parsing.id_of(endpoint, body[-1])
            if fields.get("page_token") == token:
                raise PermanentError(PROVIDER, endpoint, 200, "the same page came twice")
            fields["page_token"] = token


def _get_orders(client: TradingClient, wanted: GetOrdersRequest) -> Any:
    return client.get_orders(wanted)


def _order_fields(
    symbol: str,
    side: str,
    client_order_id: str,
    qty: Decimal | None,
    notional: Decimal | None,
    limit_price: Decimal | None,
) -> dict[str, str]:
    """The body of an order. Texts, not floats: alpaca-py's OrderRequest would send 0.1 + 0.2 with 17 digits."""
    if side not in ("buy", "sell"):
        raise ValueError(f"{symbol}: {side} is no order that this platform sends")
    if not 1 <= len(client_order_id) <= 128:
        raise ValueError(f"{symbol}: a client order id has 1 to 128 characters, not {len(client_order_id)}")
    if (qty is None) == (notional is None):
        raise ValueError(f"{symbol}: give either qty or notional")
    fields = {
        "symbol": symbol,
        "side": side,
        "type": "market" if limit_price is None else "limit",
        "time_in_force": "day",
        "client_order_id": client_order_id,
    }
    if qty is not None:
        fields["qty"] = _plain(symbol, "qty", qty, FRACTION)
    if notional is not None:
        fields["notional"] = _plain(symbol, "notional", notional, CENT)
    if limit_price is not None:
        fields["limit_price"] = _plain(symbol, "limit_price", limit_price, None)
    return fields


def _plain(symbol: str, name: str, amount: Decimal, step: Decimal | None) -> str:
    if amount.is_finite() and step is not None:
        amount = amount.quantize(step, ROUND_DOWN)
    if not amount.is_finite() or amount <= 0:
        raise OrderRejected(
            PROVIDER, "POST /v2/orders", None, f"{symbol}: {name} must be greater than 0 after rounding, not {amount}"
        )
    return f"{amount.normalize():f}"
