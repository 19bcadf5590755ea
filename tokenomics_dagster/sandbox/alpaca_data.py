"""Alpaca's market data API: trades, quotes, bars, snapshots and corporate actions.

Refused, because the platform has no use for it: bars other than daily ones, feeds other than iex.
"""

import base64
import binascii
import dataclasses
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from tokenomics_dagster.sandbox.alpaca_answers import (
    Json,
    bar_json,
    exchange_of,
    instant_text,
    midnight_of,
    nanoseconds_at,
)
from tokenomics_dagster.sandbox.alpaca_requests import (
    bad_request,
    choice_of,
    count_of,
    day_of,
    listed_in_order,
    listed_of,
    parse_instant,
    utc_date,
)
from tokenomics_dagster.sandbox.broker import Broker
from tokenomics_dagster.sandbox.clock import Clock
from tokenomics_dagster.sandbox.market import Announcement, Bar, Market
from tokenomics_dagster.sandbox.orders import Refused
from tokenomics_dagster.sandbox.sessions import NEW_YORK

TAPES = {"NYSE": "A", "NASDAQ": "C", "OTC": "O"}
"""The consolidated tape by exchange; every other is B."""
MAX_ACTIONS, DEFAULT_ACTIONS = 1_000, 100
MAX_BARS, DEFAULT_BARS = 10_000, 1_000
MAX_SYMBOLS, MAX_URL = 200, 4_096
"""Batches of up to 200 symbols are known to work; longer URLs give 414."""


class Data:
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
                "dailyBar": bar_json(self._market.daily_bar(symbol, today.date, now)),
                "prevDailyBar": bar_json(self._market.daily_bar(symbol, before.date)),
            }

        return _or_414(symbols, lambda known: {symbol: snapshot(symbol) for symbol in known})

    def bars(self, request: Request) -> Response:
        query, now, symbols = request.query_params, self._clock.now(), self._asked(request)
        if query.get("timeframe") not in ("1Day", "1D"):
            raise bad_request(f"invalid timeframe: {query.get('timeframe', '')}; this sandbox has 1Day only")
        limit = count_of(query.get("limit"), "limit", DEFAULT_BARS, MAX_BARS, bad_request)
        today = now.astimezone(NEW_YORK).date()
        midnight = int(datetime(today.year, today.month, today.day, tzinfo=NEW_YORK).timestamp()) * 10**9
        start = parse_instant(query["start"], "start", bad_request) if query.get("start") else midnight
        end = parse_instant(query["end"], "end", bad_request) if query.get("end") else nanoseconds_at(now)
        if end < start:
            raise bad_request("end should not be before start")
        # a bar's time is midnight in New York; a session has one once it has opened
        dates = [
            one.date
            for one in self._calendar.sessions(utc_date(start, -1), utc_date(end, 1))
            if start <= nanoseconds_at(midnight_of(one.date)) <= end and one.open <= now
        ]
        wanted = choice_of(
            query.get("adjustment"), "adjustment", "raw", "split", "dividend", "spin-off", "all", refuse=bad_request
        )
        adjust = wanted in ("split", "all")  # no dividend or spin-off moves a price here
        descending = choice_of(query.get("sort"), "sort", "asc", "desc", refuse=bad_request) == "desc"
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
                bar = self._market.daily_bar(symbol, day, now)
                found.setdefault(symbol, []).append(bar_json(self._adjusted(symbol, bar) if adjust else bar))
            more = len(slots) > limit
            return {"bars": found, "next_page_token": _page_token(*slots[limit - 1]) if more else None}

        return _or_414(symbols, page)

    def _adjusted(self, symbol: str, bar: Bar) -> Bar:
        """At the prices of now: by every split of the symbol since that was announced."""
        ratio, today = Decimal(1), self._clock.now().astimezone(NEW_YORK).date()
        splits = (one.body for one in self._market.announcements if one.kind in ("forward_splits", "reverse_splits"))
        for body in splits:
            if body["symbol"] == symbol and bar.session < date.fromisoformat(body["ex_date"]) <= today:
                ratio *= Decimal(str(body["old_rate"])) / Decimal(str(body["new_rate"]))
        prices = {name: getattr(bar, name) * ratio for name in ("open", "high", "low", "close", "vwap")}
        return dataclasses.replace(bar, **prices, volume=round(bar.volume / ratio))

    def corporate_actions(self, request: Request) -> Response:
        query, today = request.query_params, self._clock.now().astimezone(NEW_YORK).date()
        start, end = (day_of(query[name], name) if query.get(name) else today for name in ("start", "end"))
        symbols, types, ids = (listed_of(query.get(name)) for name in ("symbols", "types", "ids"))
        limit = count_of(query.get("limit"), "limit", DEFAULT_ACTIONS, MAX_ACTIONS, bad_request)
        found = [
            one
            for one in self._market.announcements
            if (one.body["id"] in ids if ids else start <= one.process_date <= end)
            and (not symbols or symbols & _symbols_of(one))
            and (not types or one.kind.removesuffix("s") in types)
        ]
        found.sort(key=lambda one: (one.process_date, one.body["id"]))
        if choice_of(query.get("sort"), "sort", "asc", "desc", refuse=bad_request) == "desc":
            found.reverse()
        if query.get("page_token"):
            after = next((n for n, one in enumerate(found, 1) if one.body["id"] == query["page_token"]), None)
            if after is None:
                raise bad_request(f"invalid page_token: {query['page_token']}")
            found = found[after:]
        page: dict[str, list[Json]] = {}
        for one in found[:limit]:
            page.setdefault(one.kind, []).append(one.body)
        token = found[limit - 1].body["id"] if len(found) > limit else None
        return JSONResponse({"corporate_actions": page, "next_page_token": token})

    def _asked(self, request: Request) -> list[str] | None:
        """The known symbols that are asked for; None if it is too much for one URL."""
        query = request.query_params
        symbols = list(listed_in_order(",".join(query.getlist("symbols"))))
        if len(symbols) > MAX_SYMBOLS or len(str(request.url)) > MAX_URL:
            return None
        if not symbols:
            raise bad_request("symbols is required")
        feed = choice_of(
            query.get("feed"), "feed", "iex", "sip", "delayed_sip", "otc", "boats", "overnight", refuse=bad_request
        )
        if feed != "iex":
            raise Refused(403, 403, f"subscription does not permit querying recent {feed.upper()} data")
        if query.get("currency", "USD") != "USD":
            raise bad_request(f"invalid currency: {query['currency']}; this sandbox has USD only")
        return [symbol for symbol in symbols if symbol in self._market.instruments]

    def _tape(self, symbol: str) -> str:
        return TAPES.get(exchange_of(self._market.instruments[symbol]), "B")

    def _trade(self, symbol: str, now: datetime) -> Json:
        at = self._market.quote(symbol, now).time
        price = float(self._market.price(symbol, now))
        return {
            "t": instant_text(at),
            "x": "V",
            "p": price,
            "s": 100,
            "c": ["@"],
            "i": nanoseconds_at(at) // 1000,
            "z": self._tape(symbol),
        }

    def _quote(self, symbol: str, now: datetime) -> Json:
        quote = self._market.quote(symbol, now)
        return {
            "t": instant_text(quote.time),
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


def _symbols_of(announcement: Announcement) -> set[str]:
    return {value for key, value in announcement.body.items() if key.endswith("symbol")}


def _page_token(symbol: str, day: date) -> str:
    return base64.b64encode(f"{symbol}|D|{day.isoformat()}".encode()).decode()


def _read_page_token(token: str) -> tuple[str, date]:
    try:
        symbol, _, day = base64.b64decode(token, validate=True).decode().split("|")
        return symbol, date.fromisoformat(day)
    except (binascii.Error, ValueError) as error:
        raise bad_request(f"invalid page_token: {token}") from error
