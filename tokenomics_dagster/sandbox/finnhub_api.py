"""Finnhub's REST endpoints over a Market. Keys and rate limits stay out (server.py), and so do faults (faults.py)."""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tokenomics_dagster.sandbox.clock import SandboxClock
from tokenomics_dagster.sandbox.market import Instrument, Market

PREFIX = "/api/v1"
# Served under `series`: the key there, the one in `metric`, and the divisor, for Finnhub gives fractions there where
# `metric` is in percent
QUARTERLY = (
    ("roeTTM", "roeTTM", 100),
    ("roaTTM", "roaTTM", 100),
    ("totalDebtToEquity", "totalDebt/totalEquityQuarterly", 1),
)
ANNUAL = (("roe", "roeRfy", 100), ("totalDebtToEquity", "totalDebt/totalEquityAnnual", 1))
# Days after its end at which a period is there: as a 10-Q and a 10-K are due
QUARTER_ENDS = ((3, 31), (6, 30), (9, 30), (12, 31))
QUARTER_DUE, YEAR_DUE = timedelta(days=45), timedelta(days=75)


def routes(market: Market, clock: SandboxClock) -> list[BaseRoute]:
    """/stock/symbol, /stock/profile2 and /stock/metric; market caps move with the price of now (shares x price).

    An unknown symbol gets `{}` and an empty `metric` with status 200, as from Finnhub.
    """
    last_listing: tuple[Any, ...] = ()

    async def stock_symbol(request: Request) -> Response:
        nonlocal last_listing
        exchange = request.query_params.get("exchange")
        if not exchange:
            return _error(400, "exchange is required")
        if exchange != "US":
            return _error(403, "You don't have access to this resource.")
        wanted = tuple(request.query_params.get(name) for name in ("mic", "securityType", "currency"))
        instruments = market.instruments
        # 8,000 rows cost more than all other answers together; a change of the listings always makes a new dict
        if not last_listing or last_listing[0] is not instruments or last_listing[1] != wanted:
            body = _json([_listing(one) for one in instruments.values() if _fits(one, *wanted)])
            last_listing = (instruments, wanted, body)
        return _ok(last_listing[2])

    async def profile(request: Request) -> Response:
        symbol = request.query_params.get("symbol")
        if not symbol:
            return _error(400, "symbol is required; this sandbox does not search by isin or cusip")
        instrument = market.instruments.get(symbol)
        return _ok(_json({} if instrument is None else _at_price(instrument.profile, instrument, market, clock)))

    async def metric(request: Request) -> Response:
        symbol = request.query_params.get("symbol")
        if not symbol or request.query_params.get("metric") != "all":
            return _error(400, "symbol and metric=all are required")
        instrument = market.instruments.get(symbol)
        values = {} if instrument is None else _at_price(instrument.metric, instrument, market, clock)
        body = {"metric": values, "metricType": "all", "series": _series(values, clock.now().date()), "symbol": symbol}
        return _ok(_json(body))

    return [
        Route(f"{PREFIX}/stock/symbol", stock_symbol),
        Route(f"{PREFIX}/stock/profile2", profile),
        Route(f"{PREFIX}/stock/metric", metric),
    ]


def _listing(one: Instrument) -> dict[str, str]:
    return {
        "currency": one.currency,
        "description": one.description,
        "displaySymbol": one.symbol,
        "figi": one.figi,
        "isin": one.isin,
        "mic": one.mic,
        "shareClassFIGI": one.share_class_figi,
        "symbol": one.symbol,
        "symbol2": "",
        "type": one.type,
    }


def _fits(one: Instrument, mic: str | None, kind: str | None, currency: str | None) -> bool:
    return mic in (None, "", one.mic) and kind in (None, "", one.type) and currency in (None, "", one.currency)


def _at_price(
    body: Mapping[str, Any], instrument: Instrument, market: Market, clock: SandboxClock
) -> Mapping[str, Any]:
    cap, price = body.get("marketCapitalization"), market.price(instrument.symbol, clock.now())
    price *= instrument.split_factor
    # an unmoved cap is served as the identical float, which a factor of 1 would not promise
    if price == instrument.price or not isinstance(cap, int | float):
        return body
    return {**body, "marketCapitalization": cap * float(price / instrument.price)}


def _series(metric: Mapping[str, Any], today: date) -> dict[str, Any]:
    quarter, year = reported(today)
    spans = {"annual": (ANNUAL, year), "quarterly": (QUARTERLY, quarter)}
    series = {
        span: {
            key: [{"period": period.isoformat(), "v": metric[source] / divisor}]
            for key, source, divisor in keys
            if isinstance(metric.get(source), int | float)
        }
        for span, (keys, period) in spans.items()
    }
    return series if any(series.values()) else {}


def reported(today: date) -> tuple[date, date]:
    """The ends of the newest quarter and of the newest year that a company reports by then, of calendar years."""
    quarters = [date(year, month, day) for year in (today.year - 1, today.year) for month, day in QUARTER_ENDS]
    return max(end for end in quarters if end + QUARTER_DUE <= today), max(
        end for year in (today.year - 2, today.year - 1) if (end := date(year, 12, 31)) + YEAR_DUE <= today
    )


def _json(body: Any) -> bytes:
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()


def _ok(body: bytes) -> Response:
    return Response(body, media_type="application/json; charset=utf-8")


def _error(status: int, message: str) -> Response:
    return Response(_json({"error": message}), status, media_type="application/json; charset=utf-8")
