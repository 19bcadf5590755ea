"""Alpaca's trading and market data APIs as routes.

What is asked for stands in alpaca_requests.py, what is answered in alpaca_trading.py and alpaca_data.py, the form of it
in alpaca_answers.py. Authentication, rate limits and faults stay out (server.py).
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tokenomics_dagster.sandbox.alpaca_answers import refusal_json
from tokenomics_dagster.sandbox.alpaca_data import Data
from tokenomics_dagster.sandbox.alpaca_trading import Trading
from tokenomics_dagster.sandbox.broker import Broker
from tokenomics_dagster.sandbox.clock import Clock
from tokenomics_dagster.sandbox.market import Market
from tokenomics_dagster.sandbox.orders import Refused


def routes(broker: Broker, market: Market, clock: Clock) -> list[BaseRoute]:
    """All of /v2 and the corporate actions of /v1, with a last route that answers 404 as the real API does."""
    trading, data = Trading(broker, market), Data(broker, market, clock)
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
        return JSONResponse(refusal_json(refused), refused.status)

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
