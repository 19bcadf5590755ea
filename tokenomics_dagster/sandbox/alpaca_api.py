"""Alpaca's trading and market data APIs as routes: parsing of requests, and answers in the real API's form.

What an order does to the account stays out (broker.py), as do authentication, rate limits and faults (server.py).
Refused, because the platform has no use for it: everything but simple day orders at the market or at a limit, PATCH of
an order, bars other than daily ones, feeds other than iex.
"""

import base64
import binascii
import functools
import inspect
import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tokenomics_dagster.sandbox.bookings import Entry
from tokenomics_dagster.sandbox.broker import (
    Activity,
    Broker,
    CashFlow,
    Clock,
    Fill,
    Order,
    OrderRequest,
    OrderType,
    Position,
    Refused,
    Side,
    is_partnership,
    plain,
)
from tokenomics_dagster.sandbox.market import Announcement, Bar, Instrument, Market
from tokenomics_dagster.sandbox.sessions import NEW_YORK

Json = dict[str, Any]

EXCHANGES = {
    "XNYS": "NYSE",
    "XNAS": "NASDAQ",
    "XNGS": "NASDAQ",
    "XNMS": "NASDAQ",
    "XNCM": "NASDAQ",
    "XASE": "AMEX",
    "ARCX": "ARCA",
    "BATS": "BATS",
}
"""Alpaca's names by MIC; every other is OTC."""
TAPES = {"NYSE": "A", "NASDAQ": "C", "OTC": "O"}
"""The consolidated tape by exchange; every other is B."""
IPO_SYMBOL = "IPO082601"
MAX_ORDERS, DEFAULT_ORDERS = 500, 50
MAX_PAGE_OF_ACTIVITIES = 100
MAX_ACTIONS, DEFAULT_ACTIONS = 1_000, 100
MAX_BARS, DEFAULT_BARS = 10_000, 1_000
MAX_SYMBOLS, MAX_URL = 200, 4_096
"""Batches of up to 200 symbols are known to work; longer URLs give 414."""
LARGEST_NUMBER = Decimal(10) ** 9
"""Of shares and of USD in a request: 28 digits of Decimal then hold every product exactly."""
INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d))?")
UNSUPPORTED_FIELDS = ("stop_price", "trail_price", "trail_percent", "take_profit", "stop_loss", "legs")


def routes(broker: Broker, market: Market, clock: Clock) -> list[BaseRoute]:
    """All of /v2 and the corporate actions of /v1, with a last route that answers 404 as the real API does."""
    trading, data = _Trading(broker, market), _Data(broker, market, clock)
    table: list[tuple[str, str, Callable[[Request], Any]]] = [
        ("GET", "/v2/account", trading.account),
        ("GET", "/v2/account/activities", trading.activities),
        ("GET", "/v2/account/activities/{activity_type}", trading.activities),
        ("GET", "/v2/account/portfolio/history", trading.portfolio_history),
        ("GET", "/v2/assets", trading.assets),
        ("GET", "/v2/assets/{symbol_or_asset_id}", trading.asset),
        ("GET", "/v2/calendar", trading.calendar),
        ("GET", "/v2/clock", trading.clock),
        ("GET", "/v2/positions", trading.positions),
        ("DELETE", "/v2/positions", trading.close_all_positions),
        ("GET", "/v2/positions/{symbol_or_asset_id}", trading.position),
        ("DELETE", "/v2/positions/{symbol_or_asset_id}", trading.close_position),
        ("GET", "/v2/orders:by_client_order_id", trading.order_by_client_id),
        ("GET", "/v2/orders", trading.orders),
        ("POST", "/v2/orders", trading.submit),
        ("DELETE", "/v2/orders", trading.cancel_all),
        ("GET", "/v2/orders/{order_id}", trading.order),
        ("DELETE", "/v2/orders/{order_id}", trading.cancel),
        ("PATCH", "/v2/orders/{order_id}", trading.replace),
        ("GET", "/v2/stocks/trades/latest", data.latest_trades),
        ("GET", "/v2/stocks/quotes/latest", data.latest_quotes),
        ("GET", "/v2/stocks/bars/latest", data.latest_bars),
        ("GET", "/v2/stocks/snapshots", data.snapshots),
        ("GET", "/v2/stocks/bars", data.bars),
        ("GET", "/v1/corporate-actions", data.corporate_actions),
    ]
    known: list[BaseRoute] = [Route(path, _answering(handler), methods=[method]) for method, path, handler in table]
    every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [*known, Route("/v2/{path:path}", _answering(_no_such_endpoint), methods=every)]


def _answering(handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
    def refusal(refused: Refused) -> JSONResponse:
        if refused.code == refused.status:  # the data API's errors have no code of their own
            return JSONResponse({"message": refused.message}, refused.status)
        return JSONResponse(_refusal_json(refused), refused.status)

    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def answer(request: Request) -> Response:
            try:
                response: Response = await handler(request)
            except Refused as refused:
                return refusal(refused)
            return response

        return answer

    @functools.wraps(handler)
    def answer_in_thread(request: Request) -> Response:
        try:
            response: Response = handler(request)
        except Refused as refused:
            return refusal(refused)
        return response

    return answer_in_thread


async def _no_such_endpoint(request: Request) -> Response:
    raise Refused(404, 40410000, f"endpoint not found: {request.method} {request.url.path}")


class _Trading:
    def __init__(self, broker: Broker, market: Market) -> None:
        self._broker = broker
        self._market = market
        self._listed: Mapping[str, Instrument] = {}
        self._assets: dict[str, Json] = {}
        self._symbols_by_asset_id: dict[str, str] = {}

    async def account(self, request: Request) -> Response:
        account = self._broker.account()
        cash, buying_power = plain(account.cash), plain(account.buying_power)
        value, equity = plain(account.long_market_value), plain(account.equity)
        return JSONResponse(
            {
                "id": _id("account", account.number),
                "account_number": account.number,
                "status": account.restrictions.status,
                "crypto_status": "INACTIVE",
                "currency": "USD",
                "cash": cash,
                # multiplier 1 means buying power = cash in the specification; what open buys hold is taken off
                "buying_power": buying_power,
                "regt_buying_power": buying_power,
                "non_marginable_buying_power": buying_power,
                "options_buying_power": "0",
                "options_approved_level": 0,
                "options_trading_level": 0,
                "multiplier": "1",
                "equity": equity,
                "portfolio_value": equity,
                "last_equity": plain(account.last_equity),
                "long_market_value": value,
                "position_market_value": value,
                "short_market_value": "0",
                "initial_margin": value,
                "maintenance_margin": value,
                "last_maintenance_margin": "0",
                "sma": "0",
                "accrued_fees": "0",
                "pending_reg_taf_fees": "0",
                "intraday_adjustments": "0",
                "balance_asof": account.balance_asof.isoformat(),
                "created_at": _instant(account.created_at),
                "shorting_enabled": False,
                "transfers_blocked": False,
                "trading_blocked": account.restrictions.trading_blocked,
                "account_blocked": account.restrictions.account_blocked,
                "trade_suspended_by_user": account.restrictions.trade_suspended_by_user,
            }
        )

    async def activities(self, request: Request) -> Response:
        query = request.query_params
        wanted = _listed(request.path_params.get("activity_type") or query.get("activity_types"))
        category = _choice(query.get("category"), "category", "", "trade_activity", "non_trade_activity")
        found = [
            one
            for one in self._broker.activities()
            if (not wanted or wanted & _activity_types(one))
            and (not category or isinstance(one, Fill) == (category == "trade_activity"))
        ]
        if "date" in query:
            day = _day(query["date"], "date")
            start, end = _nanoseconds_of_day(day), _nanoseconds_of_day(day, 1)
            found = [one for one in found if start <= _nanoseconds(one.at) < end]
        if "after" in query:
            after = _parse_instant(query["after"], "after")
            found = [one for one in found if _nanoseconds(one.at) > after]
        if "until" in query:
            until = _parse_instant(query["until"], "until")
            found = [one for one in found if _nanoseconds(one.at) < until]
        if _choice(query.get("direction"), "direction", "desc", "asc") == "desc":
            found.reverse()
        if "page_token" in query:
            ids = [one.id for one in found]
            if query["page_token"] not in ids:
                raise Refused(
                    422, 40010001, f"page_token {query['page_token']} is not the id of an activity found here"
                )
            found = found[ids.index(query["page_token"]) + 1 :]
        size = _count(query.get("page_size"), "page_size", MAX_PAGE_OF_ACTIVITIES, MAX_PAGE_OF_ACTIVITIES)
        return JSONResponse([_activity_json(one) for one in found[:size]])

    async def portfolio_history(self, request: Request) -> Response:
        query = request.query_params
        period = re.fullmatch(r"([1-9]\d{0,3})([DWMA])", query.get("period", "1M"))
        if period is None or query.get("timeframe", "1D") != "1D":
            raise Refused(422, 40010001, "this sandbox has period nD, nW, nM or nA with timeframe 1D only")
        days = int(period[1]) * {"D": 1, "W": 7, "M": 31, "A": 366}[period[2]]
        account, closes = self._broker.account(), self._broker.equity_at_closes()
        now = self._broker.advance()
        since = now.astimezone(NEW_YORK).date() - timedelta(days=days)
        sessions = [one for one in self._broker.calendar.sessions(since, now.date()) if one.date in closes]
        points = [(int(one.close.timestamp()), closes[one.date]) for one in sessions if one.close <= now]
        points.append((int(now.timestamp()), account.equity))
        base = points[0][1]
        return JSONResponse(
            {
                "timestamp": [at for at, _ in points],
                "equity": [float(equity) for _, equity in points],
                "profit_loss": [float(equity - base) for _, equity in points],
                "profit_loss_pct": [float((equity - base) / base) if base else None for _, equity in points],
                "base_value": float(base),
                "timeframe": "1D",
            }
        )

    async def assets(self, request: Request) -> Response:
        query = request.query_params
        found: Iterable[Json] = self._all_assets().values()
        for key, parameter in (("status", "status"), ("class", "asset_class"), ("exchange", "exchange")):
            if wanted := query.get(parameter):
                found = [asset for asset in found if asset[key] == wanted]
        if attributes := _listed(query.get("attributes")):
            found = [asset for asset in found if attributes & set(asset["attributes"])]
        return JSONResponse(list(found))

    async def asset(self, request: Request) -> Response:
        asked = request.path_params["symbol_or_asset_id"]
        asset = self._all_assets().get(self._symbol(asked))
        if asset is None:
            raise Refused(404, 40410000, f"asset not found for {asked}")
        return JSONResponse(asset)

    async def calendar(self, request: Request) -> Response:
        query, calendar = request.query_params, self._broker.calendar
        start = _day(query["start"], "start") if query.get("start") else date.min
        end = _day(query["end"], "end") if query.get("end") else date.max
        return JSONResponse(
            [
                {
                    "date": one.date.isoformat(),
                    "open": f"{one.open.astimezone(NEW_YORK):%H:%M}",
                    "close": f"{one.close.astimezone(NEW_YORK):%H:%M}",
                    "session_open": "0400",
                    "session_close": "2000",
                    "settlement_date": calendar.settlement(one.date).isoformat(),
                }
                for one in calendar.sessions(start, end)
            ]
        )

    async def clock(self, request: Request) -> Response:
        now, calendar = self._broker.advance(), self._broker.calendar
        return JSONResponse(
            {
                "timestamp": f"{now.astimezone(NEW_YORK):%Y-%m-%dT%H:%M:%S}.{_fraction(now)}{_offset(now)}",
                "is_open": calendar.is_open(now),
                "next_open": calendar.next_open(now).astimezone(NEW_YORK).isoformat(),
                "next_close": calendar.next_close(now).astimezone(NEW_YORK).isoformat(),
            }
        )

    async def positions(self, request: Request) -> Response:
        return JSONResponse([self._position_json(position) for position in self._broker.positions()])

    async def position(self, request: Request) -> Response:
        symbol = self._symbol(request.path_params["symbol_or_asset_id"])
        return JSONResponse(self._position_json(self._broker.position(symbol)))

    async def close_position(self, request: Request) -> Response:
        query = request.query_params
        if "qty" in query and "percentage" in query:
            raise Refused(422, 42210000, "only one of qty or percentage is accepted")
        percentage = _number(query, "percentage", 9)
        if percentage is not None and percentage > 100:
            raise Refused(422, 42210000, "percentage must be between 0 and 100")
        symbol = self._symbol(request.path_params["symbol_or_asset_id"])
        return JSONResponse(_order_json(self._broker.close_position(symbol, _number(query, "qty", 9), percentage)))

    async def close_all_positions(self, request: Request) -> Response:
        cancel = request.query_params.get("cancel_orders", "false").lower() == "true"
        return JSONResponse(
            [
                {"symbol": symbol, "status": answer.status, "body": _refusal_json(answer)}
                if isinstance(answer, Refused)
                else {"symbol": symbol, "status": 200, "body": _order_json(answer)}
                for symbol, answer in self._broker.close_all_positions(cancel_orders=cancel)
            ],
            207,
        )

    async def orders(self, request: Request) -> Response:
        query = request.query_params
        status = _choice(query.get("status"), "status", "open", "closed", "all")
        side = _choice(query.get("side"), "side", "", "buy", "sell")
        symbols = _listed(query.get("symbols"))
        after = _parse_instant(query["after"], "after") if query.get("after") else None
        until = _parse_instant(query["until"], "until") if query.get("until") else None

        def wanted(order: Order) -> bool:
            at = _nanoseconds(order.submitted_at)
            return (
                (status == "all" or order.is_final == (status == "closed"))
                and side in ("", order.side)
                and (not symbols or order.symbol in symbols)
                and (after is None or at > after)
                and (until is None or at < until)
            )

        found = self._broker.orders(wanted)
        found.sort(key=lambda order: order.submitted_at)
        if _choice(query.get("direction"), "direction", "desc", "asc") == "desc":
            found.reverse()
        limit = _count(query.get("limit"), "limit", DEFAULT_ORDERS, MAX_ORDERS)
        return JSONResponse([_order_json(order) for order in found[:limit]])

    async def submit(self, request: Request) -> Response:
        order_request = _order_request(await request.body(), self._symbol)
        return JSONResponse(_order_json(self._broker.submit(order_request)))

    async def order(self, request: Request) -> Response:
        return JSONResponse(_order_json(self._broker.order(request.path_params["order_id"])))

    async def order_by_client_id(self, request: Request) -> Response:
        client_order_id = request.query_params.get("client_order_id")
        if not client_order_id:
            raise Refused(422, 40010001, "client_order_id is required")
        return JSONResponse(_order_json(self._broker.order_by_client_id(client_order_id)))

    async def cancel(self, request: Request) -> Response:
        self._broker.cancel(request.path_params["order_id"])
        return Response(status_code=204)

    async def cancel_all(self, request: Request) -> Response:
        return JSONResponse([{"id": order.id, "status": 200} for order in self._broker.cancel_all()], 207)

    async def replace(self, request: Request) -> Response:
        order = self._broker.order(request.path_params["order_id"])
        raise Refused(422, 42210000, f"order {order.id} cannot be replaced in this sandbox: cancel it and send another")

    def _all_assets(self) -> dict[str, Json]:
        listed = self._market.instruments
        if listed is not self._listed:  # the market replaces its dict when a listing comes or goes
            assets = {symbol: _asset_json(one.instrument, "inactive") for symbol, one in self._market.delisted.items()}
            assets |= {symbol: _asset_json(instrument) for symbol, instrument in listed.items()}
            # alpaca-py's enum does not know this class and its get_all_assets() raises for the whole list
            assets[IPO_SYMBOL] = _ipo_json()
            self._symbols_by_asset_id = {asset["id"]: symbol for symbol, asset in assets.items()}
            self._assets, self._listed = assets, listed
        return self._assets

    def _symbol(self, symbol_or_asset_id: str) -> str:
        self._all_assets()
        return self._symbols_by_asset_id.get(symbol_or_asset_id.lower(), symbol_or_asset_id)

    def _position_json(self, position: Position) -> Json:
        price, cost, day_cost = position.price or Decimal(0), position.cost, position.day_cost
        value = position.qty * price
        assets = self._all_assets()
        # a position that has not been moved yet is still that of the stock that was renamed
        asset = assets.get(position.symbol) or assets.get(self._market.renamed.get(position.symbol, ""))
        return {
            "asset_id": asset["id"] if asset else _id("asset", position.symbol),
            "symbol": position.symbol,
            "exchange": asset["exchange"] if asset else "",
            "asset_class": "us_equity",
            "asset_marginable": True,
            "qty": plain(position.qty),
            "qty_available": plain(position.qty_available),
            "side": "long",
            "avg_entry_price": _ratio(cost, position.qty),
            "cost_basis": plain(cost),
            "market_value": None if position.price is None else plain(value),
            "current_price": None if position.price is None else plain(price),
            "lastday_price": plain(position.lastday_price),
            "change_today": _ratio(price - position.lastday_price, position.lastday_price),
            "unrealized_pl": plain(value - cost),
            "unrealized_plpc": _ratio(value - cost, cost),
            "unrealized_intraday_pl": _ratio(value - day_cost, Decimal(1)),
            "unrealized_intraday_plpc": _ratio(value - day_cost, day_cost),
        }


class _Data:
    """Handlers are plain functions, run in threads: a page of 10,000 bars must not hold up an order."""

    def __init__(self, broker: Broker, market: Market, clock: Clock) -> None:
        self._calendar = broker.calendar
        self._market = market
        self._clock = clock

    def latest_trades(self, request: Request) -> Response:
        now, symbols = self._clock.now(), self._asked(request)
        return _or_414(symbols, lambda known: {"trades": {symbol: self._trade(symbol, now) for symbol in known}})

    def latest_quotes(self, request: Request) -> Response:
        now, symbols = self._clock.now(), self._asked(request)
        return _or_414(symbols, lambda known: {"quotes": {symbol: self._quote(symbol, now) for symbol in known}})

    def latest_bars(self, request: Request) -> Response:
        now, symbols = self._clock.now(), self._asked(request)
        return _or_414(symbols, lambda known: {"bars": {symbol: self._minute_bar(symbol, now) for symbol in known}})

    def snapshots(self, request: Request) -> Response:
        now, symbols = self._clock.now(), self._asked(request)
        today = self._calendar.last_opened(now)
        before = self._calendar.last_closed(today.open)

        def snapshot(symbol: str) -> Json:
            return {
                "latestTrade": self._trade(symbol, now),
                "latestQuote": self._quote(symbol, now),
                "minuteBar": self._minute_bar(symbol, now),
                "dailyBar": _bar_json(self._market.daily_bar(symbol, today.date, now)),
                "prevDailyBar": _bar_json(self._market.daily_bar(symbol, before.date)),
            }

        return _or_414(symbols, lambda known: {symbol: snapshot(symbol) for symbol in known})

    def bars(self, request: Request) -> Response:
        query, now, symbols = request.query_params, self._clock.now(), self._asked(request)
        if query.get("timeframe") not in ("1Day", "1D"):
            raise _bad_request(f"invalid timeframe: {query.get('timeframe', '')}; this sandbox has 1Day only")
        limit = _count(query.get("limit"), "limit", DEFAULT_BARS, MAX_BARS, _bad_request)
        today = now.astimezone(NEW_YORK).date()
        midnight = int(datetime(today.year, today.month, today.day, tzinfo=NEW_YORK).timestamp()) * 10**9
        start = _parse_instant(query["start"], "start", _bad_request) if query.get("start") else midnight
        end = _parse_instant(query["end"], "end", _bad_request) if query.get("end") else _nanoseconds(now)
        if end < start:
            raise _bad_request("end should not be before start")
        # a bar's time is midnight in New York; a session has one once it has opened
        dates = [
            one.date
            for one in self._calendar.sessions(_utc_date(start, -1), _utc_date(end, 1))
            if start <= _nanoseconds(_midnight(one.date)) <= end and one.open <= now
        ]
        descending = _choice(query.get("sort"), "sort", "asc", "desc", refuse=_bad_request) == "desc"
        if descending:
            dates.reverse()
        last = _read_page_token(query["page_token"]) if query.get("page_token") else None

        def page(known: list[str]) -> Json:
            slots = [
                (symbol, day)
                for symbol in sorted(known)
                for day in dates
                if last is None
                or symbol > last[0]
                or (symbol == last[0] and (day < last[1] if descending else day > last[1]))
            ]
            found: dict[str, list[Json]] = {}
            for symbol, day in slots[:limit]:
                found.setdefault(symbol, []).append(_bar_json(self._market.daily_bar(symbol, day, now)))
            more = len(slots) > limit
            return {"bars": found, "next_page_token": _page_token(*slots[limit - 1]) if more else None}

        return _or_414(symbols, page)

    def corporate_actions(self, request: Request) -> Response:
        query, today = request.query_params, self._clock.now().astimezone(NEW_YORK).date()
        start, end = (_day(query[name], name) if query.get(name) else today for name in ("start", "end"))
        symbols, types, ids = (_listed(query.get(name)) for name in ("symbols", "types", "ids"))
        limit = _count(query.get("limit"), "limit", DEFAULT_ACTIONS, MAX_ACTIONS, _bad_request)
        found = [
            one
            for one in self._market.announcements
            if (one.body["id"] in ids if ids else start <= one.process_date <= end)
            and (not symbols or symbols & _symbols_of(one))
            and (not types or one.kind.removesuffix("s") in types)
        ]
        found.sort(key=lambda one: (one.process_date, one.body["id"]))
        if _choice(query.get("sort"), "sort", "asc", "desc", refuse=_bad_request) == "desc":
            found.reverse()
        if query.get("page_token"):
            after = next((n for n, one in enumerate(found, 1) if one.body["id"] == query["page_token"]), None)
            if after is None:
                raise _bad_request(f"invalid page_token: {query['page_token']}")
            found = found[after:]
        page: dict[str, list[Json]] = {}
        for one in found[:limit]:
            page.setdefault(one.kind, []).append(one.body)
        token = found[limit - 1].body["id"] if len(found) > limit else None
        return JSONResponse({"corporate_actions": page, "next_page_token": token})

    def _asked(self, request: Request) -> list[str] | None:
        """The known symbols that are asked for; None if it is too much for one URL."""
        query = request.query_params
        symbols = list(_listed_in_order(",".join(query.getlist("symbols"))))
        if len(symbols) > MAX_SYMBOLS or len(str(request.url)) > MAX_URL:
            return None
        if not symbols:
            raise _bad_request("symbols is required")
        feed = _choice(
            query.get("feed"), "feed", "iex", "sip", "delayed_sip", "otc", "boats", "overnight", refuse=_bad_request
        )
        if feed != "iex":
            raise Refused(403, 403, f"subscription does not permit querying recent {feed.upper()} data")
        if query.get("currency", "USD") != "USD":
            raise _bad_request(f"invalid currency: {query['currency']}; this sandbox has USD only")
        return [symbol for symbol in symbols if symbol in self._market.instruments]

    def _tape(self, symbol: str) -> str:
        return TAPES.get(_exchange(self._market.instruments[symbol]), "B")

    def _trade(self, symbol: str, now: datetime) -> Json:
        at = self._market.quote(symbol, now).time
        price = float(self._market.price(symbol, now))
        return {
            "t": _instant(at),
            "x": "V",
            "p": price,
            "s": 100,
            "c": ["@"],
            "i": _nanoseconds(at) // 1000,
            "z": self._tape(symbol),
        }

    def _quote(self, symbol: str, now: datetime) -> Json:
        quote = self._market.quote(symbol, now)
        return {
            "t": _instant(quote.time),
            "ax": "V",
            "ap": float(quote.ask),
            "as": quote.ask_size,
            "bx": "V",
            "bp": float(quote.bid),
            "bs": quote.bid_size,
            "c": ["R"],
            "z": self._tape(symbol),
        }

    def _minute_bar(self, symbol: str, now: datetime) -> Json:
        session = self._calendar.last_opened(now)
        last = min(now, session.close - timedelta(microseconds=1))
        minute = last.replace(second=0, microsecond=0)
        first, price = self._market.price(symbol, minute), self._market.price(symbol, last)
        volume = self._market.instruments[symbol].volume // 390  # the minutes of a full session
        return {
            "t": f"{minute.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "o": float(first),
            "h": float(max(first, price)),
            "l": float(min(first, price)),
            "c": float(price),
            "v": volume,
            "n": -(-volume // 100),
            "vw": float((first + price) / 2),
        }


def _or_414(symbols: list[str] | None, body: Callable[[list[str]], Json]) -> Response:
    """What a gateway in front of the API answers to an over-long URL: HTML, which is no JSON to a client."""
    if symbols is None:
        return HTMLResponse("<html><head><title>414 Request-URI Too Large</title></head></html>", 414)
    return JSONResponse(body(symbols))


def _order_request(body: bytes, symbol_of: Callable[[str], str]) -> OrderRequest:
    try:
        fields = json.loads(body, parse_float=Decimal)
    except ValueError as error:
        raise Refused(400, 40010000, "request body format is invalid") from error
    if not isinstance(fields, dict):
        raise Refused(400, 40010000, "request body format is invalid")
    fields = {name: value for name, value in fields.items() if value is not None}
    symbol = fields.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        raise Refused(422, 40010001, "symbol is required")
    side = Side(_choice(fields.get("side", "missing"), "side", "buy", "sell"))
    kind = fields.get("type")
    if kind not in ("market", "limit"):
        raise Refused(422, 40010001, f"type {kind!r} is not supported by this sandbox; market and limit are")
    qty, notional = _number(fields, "qty", 9), _number(fields, "notional", 2)
    if (qty is None) == (notional is None):
        raise Refused(422, 40010001, "exactly one of qty or notional is required")
    _refuse_unsupported(fields, fractional=qty is None or qty != qty.to_integral_value())
    intent = "buy_to_open" if side is Side.BUY else "sell_to_close"
    if fields.get("position_intent", intent) != intent:
        raise Refused(
            422, 42210000, f"position intent mismatch, inferred: {intent}, specified: {fields['position_intent']}"
        )
    client_order_id = fields.get("client_order_id")
    if client_order_id is not None and not isinstance(client_order_id, str):
        raise Refused(422, 40010001, "client_order_id must be a string")
    if client_order_id and len(client_order_id) > 128:
        raise Refused(422, 40010001, "client_order_id must be no more than 128 characters")
    return OrderRequest(
        symbol=symbol_of(symbol),
        side=side,
        type=OrderType(kind),
        qty=qty,
        notional=notional,
        limit_price=_limit_price(fields, kind, notional),
        client_order_id=client_order_id,
    )


def _refuse_unsupported(fields: Mapping[str, Any], *, fractional: bool) -> None:
    """Everything but simple day orders."""
    if fields.get("time_in_force") != "day":
        if fractional:
            raise Refused(422, 42210000, "fractional orders must be DAY orders")
        raise Refused(422, 42210000, f"time_in_force {fields.get('time_in_force')!r} is not supported here; day is")
    if fields.get("order_class", "") not in ("", "simple"):
        if fractional:
            raise Refused(422, 42210000, "fractional orders must be simple orders")
        raise Refused(422, 42210000, f"order_class {fields['order_class']!r} is not supported here; simple is")
    if fields.get("extended_hours", False) is not False:
        raise Refused(422, 42210000, "extended_hours is not supported by this sandbox")
    for name in UNSUPPORTED_FIELDS:
        if name in fields:
            raise Refused(422, 42210000, f"{name} is not supported by this sandbox")


def _limit_price(fields: Mapping[str, Any], kind: str, notional: Decimal | None) -> Decimal | None:
    if kind == "market":
        if "limit_price" in fields:
            raise Refused(422, 40010001, "market orders require no limit price")
        return None
    if notional is not None:
        raise Refused(422, 42210000, "notional is accepted for market orders only")
    price = _number(fields, "limit_price", 9)
    if price is None:
        raise Refused(422, 40010001, "limit orders require a limit price")
    if _places(price) > (2 if price >= 1 else 4):
        raise Refused(
            422,
            42210000,
            f"invalid limit_price {plain(price)}. sub-penny increment does not fulfill minimum pricing criteria",
        )
    return price


def _number(fields: Mapping[str, Any], name: str, places: int) -> Decimal | None:
    """A positive number of a request, or None if there is none; text, integer or Decimal."""
    value = fields.get(name)
    if value is None:
        return None
    try:
        # a bool is an int to Python, and must not become a quantity of 1
        number = Decimal(value) if isinstance(value, str | int | Decimal) and not isinstance(value, bool) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite():
        raise Refused(422, 40010001, f"{name} must be a number")
    if number <= 0:
        raise Refused(422, 42210000, f"{name} must be > 0")
    if number > LARGEST_NUMBER:
        raise Refused(422, 42210000, f"{name} must be <= {LARGEST_NUMBER}")
    if _places(number) > places:
        what = "notional value" if name == "notional" else name
        raise Refused(422, 42210000, f"{what} must be limited to {places} decimal places")
    return number


def _places(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def _refuse_parameter(message: str) -> Refused:
    return Refused(422, 40010001, message)


def _bad_request(message: str) -> Refused:
    return Refused(400, 400, message)


def _choice(value: str | None, name: str, *allowed: str, refuse: Callable[[str], Refused] = _refuse_parameter) -> str:
    """The value if it is allowed; the first of the allowed if there is none."""
    if not value:
        return allowed[0]
    if value not in allowed:
        raise refuse(f"invalid {name}: {value}; allowed are {', '.join(filter(None, allowed))}")
    return value


def _count(
    value: str | None, name: str, default: int, largest: int, refuse: Callable[[str], Refused] = _refuse_parameter
) -> int:
    if not value:
        return default
    if not value.isdecimal() or not 1 <= int(value) <= largest:
        raise refuse(f"invalid {name}: {value}; allowed is 1 to {largest}")
    return int(value)


def _listed(value: str | None) -> set[str]:
    return set(_listed_in_order(value))


def _listed_in_order(value: str | None) -> dict[str, None]:
    return dict.fromkeys(filter(None, (value or "").split(",")))


def _parse_instant(text: str, name: str, refuse: Callable[[str], Refused] = _refuse_parameter) -> int:
    """Nanoseconds since 1970 of an RFC 3339 instant, or of a date: midnight in New York."""
    match = INSTANT.fullmatch(text)
    try:
        if match is None or not "1970" <= text[:4] <= "2100":
            raise ValueError(text)
        day, clock_time, fraction, offset = match.groups()
        if clock_time is None:
            return _nanoseconds_of_day(date.fromisoformat(day))
        at = datetime.fromisoformat(f"{day}T{clock_time}{offset}")
    except ValueError as error:
        raise refuse(f"invalid {name}: {text}; RFC 3339 with an offset, or YYYY-MM-DD") from error
    return int(at.timestamp()) * 10**9 + int((fraction or "0").ljust(9, "0"))


def _day(text: str, name: str) -> date:
    """The date of YYYY-MM-DD or of an RFC 3339 instant."""
    _parse_instant(text, name)
    return date.fromisoformat(text[:10])


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC)


def _nanoseconds_of_day(day: date, days_later: int = 0) -> int:
    return int(_midnight(day + timedelta(days=days_later)).timestamp()) * 10**9


def _utc_date(nanoseconds: int, days_later: int) -> date:
    at = datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    return at.date() + timedelta(days=days_later)


def _fraction(at: datetime) -> str:
    """Nine digits, as the real API has: a client that cuts off the last three sends an `after` too early by them.

    Python knows microseconds only, so the last three are made from those.
    """
    return f"{at.microsecond:06d}{at.microsecond * 7 % 1000:03d}"


def _nanoseconds(at: datetime) -> int:
    return int(at.replace(microsecond=0).timestamp()) * 10**9 + int(_fraction(at))


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{_fraction(at)}Z"


def _offset(at: datetime) -> str:
    return at.astimezone(NEW_YORK).isoformat()[-6:]


def _page_token(symbol: str, day: date) -> str:
    return base64.b64encode(f"{symbol}|D|{day.isoformat()}".encode()).decode()


def _read_page_token(token: str) -> tuple[str, date]:
    try:
        symbol, _, day = base64.b64decode(token, validate=True).decode().split("|")
        return symbol, date.fromisoformat(day)
    except (binascii.Error, ValueError) as error:
        raise _bad_request(f"invalid page_token: {token}") from error


def _id(kind: str, name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind}:{name}"))


def _ratio(part: Decimal, whole: Decimal) -> str:
    return plain((part / whole).quantize(Decimal("1e-9"))) if whole else "0"


def _exchange(instrument: Instrument) -> str:
    return EXCHANGES.get(instrument.mic, "OTC")


def _asset_json(instrument: Instrument, status: str = "active") -> Json:
    attributes = ["ptp_no_exception"] if is_partnership(instrument) else []
    if instrument.fractionable:
        attributes.append("fractional_eh_enabled")
    return {
        "id": _id("asset", instrument.asset_id or instrument.symbol),
        "class": "us_equity",
        "exchange": _exchange(instrument),
        "symbol": instrument.symbol,
        "name": instrument.description or instrument.symbol,
        "status": status,
        "tradable": instrument.tradable and status == "active",
        "marginable": instrument.tradable and status == "active",
        "maintenance_margin_requirement": 30,
        "margin_requirement_long": "30",
        "margin_requirement_short": "30",
        "shortable": False,
        "easy_to_borrow": False,
        "borrow_status": "hard_to_borrow",
        "fractionable": instrument.fractionable,
        "attributes": attributes,
    }


def _ipo_json() -> Json:
    return {
        "id": _id("asset", IPO_SYMBOL),
        "class": "ipo",
        "exchange": "NASDAQ",
        "symbol": IPO_SYMBOL,
        "name": "Sandbox Newcomer Inc. Common Stock (IPO)",
        "status": "active",
        "tradable": True,
        "marginable": False,
        "maintenance_margin_requirement": 100,
        "margin_requirement_long": "100",
        "margin_requirement_short": "100",
        "shortable": False,
        "easy_to_borrow": False,
        "fractionable": False,
        "attributes": ["ipo"],
    }


def _order_json(order: Order) -> Json:
    def maybe(at: datetime | None) -> str | None:
        return None if at is None else _instant(at)

    def number(value: Decimal | None) -> str | None:
        return None if value is None else plain(value)

    return {
        "id": order.id,
        "client_order_id": order.client_order_id,
        "created_at": _instant(order.submitted_at),
        "updated_at": _instant(order.updated_at),
        "submitted_at": _instant(order.submitted_at),
        "filled_at": maybe(order.filled_at),
        "expired_at": maybe(order.expired_at),
        "expires_at": _instant(order.closes_at),
        "canceled_at": maybe(order.canceled_at),
        "failed_at": maybe(order.failed_at),
        "replaced_at": None,
        "replaced_by": None,
        "replaces": None,
        "asset_id": _id("asset", order.symbol),
        "symbol": order.symbol,
        "asset_class": "us_equity",
        "notional": number(order.notional),
        "qty": number(order.qty),
        "filled_qty": plain(order.filled_qty),
        "filled_avg_price": _ratio(order.filled_value, order.filled_qty) if order.filled_qty else None,
        "order_class": "",
        "order_type": order.type.value,
        "type": order.type.value,
        "side": order.side.value,
        "position_intent": "buy_to_open" if order.side is Side.BUY else "sell_to_close",
        "time_in_force": "day",
        "limit_price": number(order.limit_price),
        "stop_price": None,
        "status": order.status.value,
        "extended_hours": False,
        "legs": None,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
    }


def _activity_type(activity: Activity) -> str:
    if isinstance(activity, CashFlow):
        return "CSD" if activity.amount > 0 else "CSW"
    return activity.type if isinstance(activity, Entry) else "FILL"


def _activity_types(activity: Activity) -> set[str]:
    """What it may be asked for as: its own type, and the group that Alpaca has it in."""
    own = _activity_type(activity)
    return {own, "TRANS"} if isinstance(activity, CashFlow) else {own} if own in ("FILL", "DIV") else {own, "MISC"}


def _symbols_of(announcement: Announcement) -> set[str]:
    return {value for key, value in announcement.body.items() if key.endswith("symbol")}


def _entry_json(entry: Entry) -> Json:
    body = {
        "id": entry.id,
        "activity_type": entry.type,
        "activity_sub_type": entry.subtype,
        "date": f"{entry.at.astimezone(NEW_YORK):%Y-%m-%d}",
        "created_at": _instant(entry.at),
        "net_amount": plain(entry.amount),
        "currency": "USD",
        "symbol": entry.symbol,
        "cusip": entry.cusip,
        "group_id": entry.group,
        "qty": plain(entry.shares if entry.qty is None else entry.qty) if entry.shares or entry.qty else "",
        "per_share_amount": "" if entry.per_share is None else plain(entry.per_share),
        "status": "executed",
    }
    return {key: value for key, value in body.items() if value != ""}


def _activity_json(activity: Activity) -> Json:
    if isinstance(activity, Entry):
        return _entry_json(activity)
    if isinstance(activity, CashFlow):
        return {
            "id": activity.id,
            "activity_type": _activity_type(activity),
            "date": f"{activity.at.astimezone(NEW_YORK):%Y-%m-%d}",
            "created_at": _instant(activity.at),
            "net_amount": plain(activity.amount),
            "currency": "USD",
            "status": "executed",
        }
    return {
        "id": activity.id,
        "activity_type": _activity_type(activity),
        "transaction_time": _instant(activity.at),
        "type": "fill" if activity.leaves_qty == 0 else "partial_fill",
        "price": plain(activity.price),
        "qty": plain(activity.qty),
        "side": activity.side.value,
        "symbol": activity.symbol,
        "leaves_qty": plain(activity.leaves_qty),
        "order_id": activity.order_id,
        "cum_qty": plain(activity.cum_qty),
        "order_status": activity.order_status.value,
    }


def _bar_json(bar: Bar) -> Json:
    return {
        "t": f"{_midnight(bar.session):%Y-%m-%dT%H:%M:%SZ}",
        "o": float(bar.open),
        "h": float(bar.high),
        "l": float(bar.low),
        "c": float(bar.close),
        "v": bar.volume,
        "n": bar.trade_count,
        "vw": float(bar.vwap),
    }


def _refusal_json(refused: Refused) -> Json:
    return {"code": refused.code, "message": refused.message, **refused.details}
