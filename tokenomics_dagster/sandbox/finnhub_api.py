"""Finnhub's REST endpoints over a Market. Keys and rate limits stay out (server.py), and so do faults (faults.py)."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tokenomics_dagster.sandbox.clock import SandboxClock
from tokenomics_dagster.sandbox.market import Instrument, Market

PREFIX = "/api/v1"
# Served under `series`, where Finnhub gives fractions: the key there and the one in `metric`, which is in percent
SERIES_FRACTIONS = {"roeTTM": "roeTTM", "roaTTM": "roaTTM"}


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
        body = {"metric": values, "metricType": "all", "series": _series(values, market), "symbol": symbol}
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


def _series(metric: Mapping[str, Any], market: Market) -> dict[str, Any]:
    quarterly = {
        key: [{"period": market.anchor.replace(month=6, day=30).isoformat(), "v": metric[source] / 100}]
        for key, source in SERIES_FRACTIONS.items()
        if isinstance(metric.get(source), int | float)
    }
    return {"annual": {}, "quarterly": quarterly} if quarterly else {}


def _json(body: Any) -> bytes:
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()


def _ok(body: bytes) -> Response:
    return Response(body, media_type="application/json; charset=utf-8")


def _error(status: int, message: str) -> Response:
    return Response(_json({"error": message}), status, media_type="application/json; charset=utf-8")
