"""Alpaca's trading and market data APIs, through the official clients, with own tolerant parsing.

Amounts are Decimal, instants aware UTC datetimes. When to trade and what an answer means for a plan is decided in
execution/; here an order is sent exactly once, and every outcome has a type.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import quote

import dagster as dg
from pydantic import Field, PrivateAttr

from tokenomics_dagster.model.calendar import NEW_YORK, Session
from tokenomics_dagster.model.trading import (
    OPTION,
    Account,
    Activity,
    Asset,
    Bar,
    Clock,
    CorporateAction,
    Fill,
    Holdings,
    Leg,
    Order,
    Position,
    Snapshot,
    class_by_name,
    one_name,
)
from tokenomics_dagster.providers.activities import read_activities, read_corporate_actions
from tokenomics_dagster.providers.errors import (
    AmbiguousOrder,
    AuthenticationError,
    OrderRejected,
    PermanentError,
    ProviderError,
    TooLate,
    TransientError,
)
from tokenomics_dagster.providers.holdings import read_holdings
from tokenomics_dagster.providers.meant import require_meant
from tokenomics_dagster.providers.pacing import Pacer
from tokenomics_dagster.providers.usage import keep_usage
from tokenomics_dagster.settings import Settings, load_environment, load_settings

if TYPE_CHECKING:
    from alpaca.data.historical import StockHistoricalDataClient
    from alpaca.trading.client import TradingClient
    from alpaca.trading.requests import GetOrdersRequest

    from tokenomics_dagster.providers.transport import PacedAdapter

log = logging.getLogger("tokenomics.providers")

PROVIDER = "Alpaca"
KEY, SECRET = "ALPACA_API_KEY", "ALPACA_SECRET_KEY"
ORDERS_PER_PAGE = 500  # Alpaca's maximum
FILLS_PER_PAGE = 100  # Alpaca's maximum
ACTIONS_PER_PAGE = 1_000  # Alpaca's maximum
BARS_PER_PAGE = 10_000  # Alpaca's maximum
RESYNC_S, MAX_UNSYNCED_S = 60.0, 3600.0
_AHEAD = timedelta(seconds=5)
_TICK = timedelta(milliseconds=1)
_NEVER = datetime.min.replace(tzinfo=UTC)
_QTY_STEP, _NOTIONAL_STEP = Decimal("1e-9"), Decimal("0.01")

_Here = tuple[float, float]


def _here() -> _Here:
    """This machine's monotonic clock, which stands still while it sleeps, and its wall clock, which may be set."""
    return time.monotonic(), time.time()


def _passed_s(since: _Here) -> float:
    """By the one of the two clocks that went on further."""
    return max(now - then for now, then in zip(_here(), since, strict=True))


class AlpacaResource(dg.ConfigurableResource):
    """One brokerage account and its market data, at an even pace.

    The keys come from ALPACA_API_KEY and ALPACA_SECRET_KEY at the first call; they are no fields, as fields are shown
    in the UI. Reads are repeated for what is transient; `submit` and the cancels are one request each. Every method
    raises ProviderError; all are safe to call from several threads.
    """

    trading_url: str = Field(description="Address of the trading API, without /v2.")
    data_url: str = Field(description="Address of the market data API, without /v2.")
    paper: bool = Field(description="Whether the account is meant to be a paper account.")
    data_feed: str = Field(default="iex", description="iex, sip or delayed_sip.")
    calls_per_minute: float = Field(description="Of each of the two APIs; Alpaca allows 200.")
    timeout_s: float = Field(default=15.0, description="Seconds of silence within one answer.")
    deadline_s: float = Field(default=60.0, description="Seconds for one whole answer.")
    max_attempts: int = Field(default=5, description="Of a read, for what is transient.")
    symbols_per_call: int = Field(default=100, description="Longer URLs are refused with 414.")

    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _clock_lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _adapters: "dict[str, PacedAdapter]" = PrivateAttr(default_factory=dict)
    _trading_client: "TradingClient | None" = PrivateAttr(default=None)
    _data_client: "StockHistoricalDataClient | None" = PrivateAttr(default=None)
    _synced: tuple[datetime, _Here] | None = PrivateAttr(default=None)  # the broker's time, and ours when it came
    _asked_at: _Here | None = PrivateAttr(default=None)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        alpaca = settings.alpaca
        return cls(
            trading_url=settings.trading_url,
            data_url=settings.environment.alpaca_data_url,
            paper=settings.trading.paper,
            data_feed=alpaca.data_feed,
            calls_per_minute=alpaca.calls_per_minute,
            timeout_s=alpaca.timeout_s,
            deadline_s=alpaca.deadline_s,
            max_attempts=alpaca.max_attempts,
            symbols_per_call=alpaca.symbols_per_call,
        )

    @property
    def calls(self) -> dict[str, int]:
        """HTTP calls so far by endpoint, retries counted."""
        return {endpoint: n for adapter in list(self._adapters.values()) for endpoint, n in adapter.calls.items()}

    @property
    def waited_s(self) -> float:
        """Seconds during which calls were held back to keep the pace."""
        return sum(adapter.pacer.waited_s for adapter in list(self._adapters.values()))

    def clock(self) -> Clock:
        row = _Row("GET /v2/clock", self._trading(lambda client: client.get_clock()))
        clock = Clock(
            now=row.instant("timestamp"),
            is_open=row.flag("is_open"),
            next_open=row.instant("next_open"),
            next_close=row.instant("next_close"),
        )
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
        row = _Row("GET /v2/account", self._trading(lambda client: client.get_account()))
        return Account(
            number=row.text("account_number"),
            status=row.text("status"),
            cash=row.amount("cash"),
            equity=row.amount("equity"),
            last_equity=row.amount("last_equity"),
            currency=row.text("currency"),
            trading_blocked=row.flag("trading_blocked"),
            account_blocked=row.flag("account_blocked"),
            trade_suspended_by_user=row.flag("trade_suspended_by_user"),
        )

    def positions(self) -> dict[str, Position]:
        """The positions that this strategy may hold and trade, by symbol; `holdings` has the others, too."""
        return self.holdings().ours

    def holdings(self) -> Holdings:
        """All that the account holds: what is ours, what is foreign, what is contradictory."""
        endpoint = "GET /v2/positions"
        rows = self._trading(lambda client: client.get_all_positions())
        if not isinstance(rows, list):
            raise PermanentError(PROVIDER, endpoint, 200, f"a list was expected, not {type(rows).__name__}")
        try:
            return read_holdings(rows)
        except ValueError as error:
            raise PermanentError(PROVIDER, endpoint, 200, str(error)) from None

    def assets(self) -> dict[str, Asset]:
        """Active US equities by symbol. What is not said to be tradable or fractionable is not."""
        from alpaca.trading.enums import AssetClass, AssetStatus
        from alpaca.trading.requests import GetAssetsRequest

        wanted = GetAssetsRequest(status=AssetStatus.ACTIVE, asset_class=AssetClass.US_EQUITY)
        rows = _rows("GET /v2/assets", self._trading(lambda client: client.get_all_assets(wanted)))
        found = (
            Asset(
                symbol=row.maybe_text("symbol"),
                status=row.maybe_text("status"),
                tradable=row.get("tradable") is True,
                fractionable=row.get("fractionable") is True,
                exchange=row.maybe_text("exchange"),
                attributes=tuple(str(one) for one in row.get("attributes") or ()),
                asset_class=row.maybe_text("class"),
                id=row.maybe_text("id"),
            )
            for row in rows
        )
        return {
            asset.symbol: asset
            for asset in found
            if asset.symbol and asset.asset_class in ("us_equity", "") and asset.status in ("active", "")
        }

    def calendar(self, start: date, end: date) -> list[Session]:
        """Sessions from `start` to `end`, both included."""
        from alpaca.trading.requests import GetCalendarRequest

        wanted = GetCalendarRequest(start=start, end=end)
        rows = _rows("GET /v2/calendar", self._trading(lambda client: client.get_calendar(wanted)))
        return [Session(row.day("date"), row.new_york_time("open"), row.new_york_time("close")) for row in rows]

    def snapshots(self, symbols: Sequence[str]) -> dict[str, Snapshot]:
        """Those that Alpaca has; the others are left out, so compare with what was asked."""
        found: dict[str, Snapshot] = {}
        for batch in self._batches(symbols):
            for symbol, body in self._market_data("/stocks/snapshots", batch).items():
                if isinstance(body, Mapping):  # null has been seen for a listed symbol
                    found[symbol] = _snapshot(symbol, body)
        return found

    def daily_bars(self, symbols: Sequence[str], start: date, end: date) -> dict[str, list[Bar]]:
        """Unadjusted bars of the sessions from `start` to `end`, both included; symbols without any are left out."""
        endpoint = "GET /v2/stocks/bars"
        found: dict[str, list[Bar]] = {}
        for batch in self._batches(symbols):
            fields: dict[str, str | int] = {
                "timeframe": "1Day",
                "start": _new_york_midnight(start).isoformat(),
                "end": _new_york_midnight(end).isoformat(),
                "adjustment": "raw",
                "limit": BARS_PER_PAGE,
            }
            tokens: set[str] = set()
            while True:
                body = self._market_data("/stocks/bars", batch, **fields)
                for symbol, rows in _mapping(endpoint, body.get("bars") or {}).items():
                    found.setdefault(symbol, []).extend(map(_bar, _rows(endpoint, rows)))
                token = body.get("next_page_token")
                if not token:
                    break
                if token in tokens:
                    raise PermanentError(PROVIDER, endpoint, 200, "the same page came twice")
                tokens.add(token)
                fields["page_token"] = token
        return {symbol: bars for symbol, bars in found.items() if bars}

    def orders(
        self,
        status: Literal["open", "closed", "all"] = "all",
        after: datetime | None = None,
        until: datetime | None = None,
        symbols: Sequence[str] | None = None,
    ) -> list[Order]:
        """Orders submitted after `after` and before `until` (both exclusive), oldest first, over all pages."""
        from alpaca.common.enums import Sort
        from alpaca.trading.enums import QueryOrderStatus
        from alpaca.trading.requests import GetOrdersRequest

        endpoint = "GET /v2/orders"
        found: dict[str, Order] = {}
        while True:
            wanted = GetOrdersRequest(
                status=QueryOrderStatus(status),
                limit=ORDERS_PER_PAGE,
                after=after,
                until=until,
                direction=Sort.DESC,
                symbols=list(symbols) if symbols is not None else None,
            )
            rows = _rows(endpoint, self._trading(partial(_get_orders, wanted=wanted)))
            page = {order.id: order for order in map(_order, rows)}
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
        order = _order(_Row(endpoint, body))
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
        order_type: Literal["market", "limit"] = "market",
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
        fields = _order_fields(symbol, side, client_order_id, qty, notional, order_type, limit_price)
        try:
            with checked_at_departure(partial(self.check_in_time, not_after)):
                body = self._trading(lambda client: client.post("/orders", fields))
            order = _order(_Row(endpoint, body))
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
        rows = _rows("DELETE /v2/orders", self._trading(lambda client: client.cancel_orders()))
        return {row.text("id"): int(row.amount("status")) for row in rows}

    def fills(self, after: datetime) -> list[Fill]:
        """Fills after `after`, oldest first, over all pages."""
        endpoint = "GET /v2/account/activities/FILL"
        found: dict[str, Fill] = {}
        fields = {"after": after.astimezone(UTC).isoformat(), "direction": "asc", "page_size": FILLS_PER_PAGE}
        while True:
            rows = _rows(endpoint, self._trading(lambda client: client.get("/account/activities/FILL", fields)))
            page = {fill.id: fill for fill in map(_fill, rows)}
            if page and page.keys() <= found.keys():
                raise PermanentError(PROVIDER, endpoint, 200, "the same page came twice")
            found |= page
            if len(rows) < FILLS_PER_PAGE:
                return list(found.values())
            fields["page_token"] = rows[-1].text("id")

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
            rows = _rows(endpoint, body)
            found |= {one.id: one for one in read_activities(body)}
            if len(rows) < FILLS_PER_PAGE:
                return [one for one in found.values() if one.may_be_since(after)]
            token = rows[-1].text("id")
            if fields.get("page_token") == token:
                raise PermanentError(PROVIDER, endpoint, 200, "the same page came twice")
            fields["page_token"] = token

    def corporate_actions(self, symbols: Sequence[str], start: date, end: date) -> list[CorporateAction]:
        """Those of `symbols` that are processed from `start` to `end`, both included, as far as they are told."""
        found: dict[CorporateAction, None] = {}
        for batch in self._batches(symbols):
            fields: dict[str, str | int] = {"symbols": ",".join(batch), "limit": ACTIONS_PER_PAGE}
            fields |= {"start": start.isoformat(), "end": end.isoformat()}
            while True:
                body = self._corporate_actions(fields)
                token = body.get("next_page_token")
                found |= dict.fromkeys(read_corporate_actions(body))
                if not token:
                    break
                if token == fields.get("page_token"):
                    raise PermanentError(PROVIDER, "GET /v1/corporate-actions", 200, "the same page came twice")
                fields["page_token"] = token
        return list(found)

    def _corporate_actions(self, fields: Mapping[str, str | int]) -> Mapping[str, Any]:
        from tokenomics_dagster.providers.transport import guarded

        body = guarded(lambda: self._data_connected().get("/corporate-actions", dict(fields), api_version="v1"))
        return _mapping("GET /v1/corporate-actions", body)

    def close(self) -> None:
        """Close the connections; the counters stay."""
        with self._lock:
            clients = [client for client in (self._trading_client, self._data_client) if client is not None]
            self._trading_client = self._data_client = None
        for client in clients:
            client._session.close()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        if context.run is not None:  # a sensor must go on looking, and trades nothing
            require_meant("alpaca", self, type(self).from_settings(load_settings()))

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        self.close()
        keep_usage(context, PROVIDER, self.calls, self.waited_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _batches(self, symbols: Sequence[str]) -> Iterator[list[str]]:
        unique = list(dict.fromkeys(symbols))
        for start in range(0, len(unique), self.symbols_per_call):
            yield unique[start : start + self.symbols_per_call]

    def _trading(self, call: "Callable[[TradingClient], Any]") -> Any:
        from tokenomics_dagster.providers.transport import guarded

        return guarded(lambda: call(self._trading_connected()))

    def _market_data(self, path: str, symbols: Sequence[str], **fields: str | int) -> Mapping[str, Any]:
        """The body for `symbols`. One whose form Alpaca refuses ("invalid symbol: X-Y") must not cost the others."""
        from tokenomics_dagster.providers.transport import guarded

        while symbols:
            wanted = {"symbols": ",".join(symbols), "feed": self.data_feed, **fields}
            try:
                return _mapping(f"GET /v2{path}", guarded(partial(self._get_data, path, wanted)))
            except PermanentError as error:
                named = set(re.findall(r"[^\s,:;\"']+", error.message))
                rest = [symbol for symbol in symbols if symbol not in named]
                if error.status != 400 or "invalid symbol" not in error.message or len(rest) == len(symbols):
                    raise
                symbols = rest
        return {}

    def _get_data(self, path: str, fields: dict[str, str | int]) -> Any:
        return self._data_connected().get(path, fields)

    def _trading_connected(self) -> "TradingClient":
        from alpaca.trading.client import TradingClient

        with self._lock:
            if self._trading_client is None:
                key, secret = _keys()
                client = TradingClient(key, secret, paper=self.paper, raw_data=True, url_override=self.trading_url)
                self._make_safe(client, "trading", self.trading_url, {KEY: key, SECRET: secret})
                self._trading_client = client
            return self._trading_client

    def _data_connected(self) -> "StockHistoricalDataClient":
        from alpaca.data.historical import StockHistoricalDataClient

        with self._lock:
            if self._data_client is None:
                key, secret = _keys()
                client = StockHistoricalDataClient(key, secret, raw_data=True, url_override=self.data_url)
                self._make_safe(client, "data", self.data_url, {KEY: key, SECRET: secret})
                self._data_client = client
            return self._data_client

    def _make_safe(self, client: Any, api: str, url: str, secrets: Mapping[str, str]) -> None:
        from tokenomics_dagster.providers.transport import PacedAdapter, session

        if api not in self._adapters:
            self._adapters[api] = PacedAdapter(
                PROVIDER,
                url,
                Pacer(self.calls_per_minute),
                timeout_s=self.timeout_s,
                deadline_s=self.deadline_s,
                max_attempts=self.max_attempts,
                connections=4,
                secrets=secrets,
            )
        client._session = session(self._adapters[api], {})
        # alpaca-py repeats on 429 and 504, POST included, and has no argument against it. The adapter raises before
        # it could; this stays correct should that change.
        client._retry = 0


def _keys() -> tuple[str, str]:
    from tokenomics_dagster.providers.transport import header_value

    environment = load_environment(of=(KEY, SECRET))
    return header_value(KEY, environment.secret(KEY)), header_value(SECRET, environment.secret(SECRET))


class _Row:
    """One JSON object of an answer. Asking for a field that must be there and is not raises, with its name."""

    def __init__(self, endpoint: str, body: Any) -> None:
        if not isinstance(body, Mapping):
            raise PermanentError(PROVIDER, endpoint, 200, f"an object was expected, not {type(body).__name__}")
        self._endpoint = endpoint
        self._body = body

    def get(self, name: str) -> Any:
        return self._body.get(name)

    def text(self, name: str) -> str:
        value = self._body.get(name)
        if not isinstance(value, str) or not value:
            raise self._unusable(name, "a text")
        return value

    def maybe_text(self, name: str) -> str:
        value = self._body.get(name)
        return value if isinstance(value, str) else ""

    def flag(self, name: str) -> bool:
        value = self._body.get(name)
        if not isinstance(value, bool):
            raise self._unusable(name, "true or false")
        return value

    def amount(self, name: str) -> Decimal:
        value = self.maybe_amount(name)
        if value is None:
            raise self._unusable(name, "a number")
        return value

    def maybe_amount(self, name: str) -> Decimal | None:
        value = self._body.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self._unusable(name, "a number")
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            raise self._unusable(name, "a number") from None
        if not number.is_finite():
            raise self._unusable(name, "a finite number")
        return number

    def instant(self, name: str) -> datetime:
        value = self.maybe_instant(name)
        if value is None:
            raise self._unusable(name, "an instant")
        return value

    def maybe_instant(self, name: str) -> datetime | None:
        value = self._body.get(name)
        if value is None:
            return None
        try:
            at = datetime.fromisoformat(value)  # nanoseconds are cut to microseconds
        except (TypeError, ValueError):
            raise self._unusable(name, "an instant") from None
        if at.tzinfo is None:
            raise self._unusable(name, "an instant with its offset")
        return at.astimezone(UTC)

    def day(self, name: str) -> date:
        try:
            return date.fromisoformat(self.text(name))
        except ValueError:
            raise self._unusable(name, "a date") from None

    def new_york_time(self, name: str) -> datetime:
        """Of the field "date" at the New York time "09:30" in field `name`."""
        try:
            hour, minute = (int(part) for part in self.text(name).split(":"))
            day = self.day("date")
            return datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK).astimezone(UTC)
        except ValueError:
            raise self._unusable(name, "a time HH:MM") from None

    def _unusable(self, name: str, wanted: str) -> PermanentError:
        return PermanentError(
            PROVIDER, self._endpoint, 200, f"{name} of the answer is {self._body.get(name)!r:.80}, not {wanted}"
        )


def _rows(endpoint: str, body: Any) -> list[_Row]:
    if not isinstance(body, list):
        raise PermanentError(PROVIDER, endpoint, 200, f"a list was expected, not {type(body).__name__}")
    return [_Row(endpoint, one) for one in body]


def _mapping(endpoint: str, body: Any) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise PermanentError(PROVIDER, endpoint, 200, f"an object was expected, not {type(body).__name__}")
    return body


def _get_orders(client: "TradingClient", wanted: "GetOrdersRequest") -> Any:
    return client.get_orders(wanted)


def _order(row: _Row) -> Order:
    symbol, legs = row.maybe_text("symbol"), tuple(_leg(leg) for leg in row.get("legs") or () if isinstance(leg, dict))
    several = row.maybe_text("order_class") == "mleg" or not symbol
    asset_class = OPTION if several else row.maybe_text("asset_class") or class_by_name(symbol)
    return Order(
        id=row.text("id"),
        client_order_id=row.maybe_text("client_order_id"),
        symbol=one_name(symbol, asset_class),
        side=row.maybe_text("side"),
        qty=row.maybe_amount("qty"),
        notional=row.maybe_amount("notional"),
        status=row.text("status"),
        filled_qty=row.maybe_amount("filled_qty") or Decimal(0),
        filled_avg_price=row.maybe_amount("filled_avg_price"),
        submitted_at=row.maybe_instant("submitted_at"),
        updated_at=row.maybe_instant("updated_at"),
        order_type=row.maybe_text("order_type") or row.maybe_text("type"),
        limit_price=row.maybe_amount("limit_price"),
        asset_class=asset_class,
        intent=row.maybe_text("position_intent"),
        legs=legs if several else (),
    )


def _leg(body: Mapping[str, Any]) -> Leg:
    row = _Row("GET /v2/orders", body)
    return Leg(
        row.maybe_text("symbol"),
        row.maybe_text("side"),
        row.maybe_text("position_intent"),
        row.maybe_amount("ratio_qty") or Decimal(1),
    )


def _fill(row: _Row) -> Fill:
    return Fill(
        id=row.text("id"),
        order_id=row.text("order_id"),
        symbol=one_name(row.text("symbol"), class_by_name(row.text("symbol"))),
        side=row.text("side"),
        qty=row.amount("qty"),
        price=row.amount("price"),
        at=row.instant("transaction_time"),
    )


def _snapshot(symbol: str, body: Mapping[str, Any]) -> Snapshot:
    def part(name: str) -> _Row:
        return _Row("GET /v2/stocks/snapshots", body.get(name) or {})

    trade, quote, today, before = part("latestTrade"), part("latestQuote"), part("dailyBar"), part("prevDailyBar")
    return Snapshot(
        symbol=symbol,
        price=trade.maybe_amount("p") or None,
        price_at=trade.maybe_instant("t"),
        bid=quote.maybe_amount("bp") or None,
        ask=quote.maybe_amount("ap") or None,
        quote_at=quote.maybe_instant("t"),
        close=today.maybe_amount("c") or None,
        volume=today.maybe_amount("v"),
        previous_close=before.maybe_amount("c") or None,
        previous_volume=before.maybe_amount("v"),
    )


def _bar(row: _Row) -> Bar:
    return Bar(
        session=row.instant("t").astimezone(NEW_YORK).date(),
        open=row.amount("o"),
        high=row.amount("h"),
        low=row.amount("l"),
        close=row.amount("c"),
        volume=row.amount("v"),
    )


def _new_york_midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC)


def _order_fields(
    symbol: str,
    side: str,
    client_order_id: str,
    qty: Decimal | None,
    notional: Decimal | None,
    order_type: str,
    limit_price: Decimal | None,
) -> dict[str, str]:
    """The body of an order. Texts, not floats: alpaca-py's OrderRequest would send 0.1 + 0.2 with 17 digits."""
    if side not in ("buy", "sell") or order_type not in ("market", "limit"):
        raise ValueError(f"{symbol}: {order_type} {side} is no order that this platform sends")
    if not 1 <= len(client_order_id) <= 128:
        raise ValueError(f"{symbol}: a client order id has 1 to 128 characters, not {len(client_order_id)}")
    if (qty is None) == (notional is None):
        raise ValueError(f"{symbol}: give either qty or notional")
    if (limit_price is None) == (order_type == "limit"):
        raise ValueError(f"{symbol}: a limit order needs a limit_price, a market order has none")
    fields = {
        "symbol": symbol,
        "side": side,
        "type": order_type,
        "time_in_force": "day",
        "client_order_id": client_order_id,
    }
    if qty is not None:
        fields["qty"] = _plain(symbol, "qty", qty, _QTY_STEP)
    if notional is not None:
        fields["notional"] = _plain(symbol, "notional", notional, _NOTIONAL_STEP)
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
