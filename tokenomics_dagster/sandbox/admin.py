"""The routes under /sandbox/, by which tests and people change the world while it runs. No key is needed, and no other
machine than the sandbox's own is answered.

What a change means stays with the part that it changes (market.py, clock.py, faults.py, broker.py, world.py), and what
happens to companies and accounts with actions.py.
"""

import collections
import dataclasses
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from typing import Any

import pydantic
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tokenomics_dagster.sandbox.actions import take_action
from tokenomics_dagster.sandbox.market import Instrument
from tokenomics_dagster.sandbox.orders import Restrictions
from tokenomics_dagster.sandbox.world import (
    Sandbox,
    SandboxError,
    in_calendar,
    instrument_from_json,
    instrument_to_json,
)

RESTRICTIONS = pydantic.TypeAdapter(Restrictions)


class Admin:
    """The routes under /sandbox/."""

    def __init__(self, sandbox: Sandbox, calls: collections.Counter[str], begin_anew: Callable[[], None]) -> None:
        self.sandbox = sandbox
        self.calls = calls
        self._begin_anew = begin_anew

    def routes(self) -> list[BaseRoute]:
        table: list[tuple[str, str, Callable[..., Any]]] = [
            ("GET", "/sandbox/health", self.health),
            ("GET", "/sandbox/clock", self.clock),
            ("PUT", "/sandbox/clock", self.set_clock),
            ("GET", "/sandbox/faults", self.faults),
            ("PUT", "/sandbox/faults", self.set_faults),
            ("DELETE", "/sandbox/faults", self.set_faults),
            ("PUT", "/sandbox/prices", self.set_prices),
            ("GET", "/sandbox/listings/{symbol}", self.listing),
            ("POST", "/sandbox/listings", self.put_listing),
            ("DELETE", "/sandbox/listings/{symbol}", self.remove_listing),
            ("PUT", "/sandbox/profiles/{symbol}", self.set_body),
            ("PATCH", "/sandbox/profiles/{symbol}", self.set_body),
            ("PUT", "/sandbox/metrics/{symbol}", self.set_body),
            ("PATCH", "/sandbox/metrics/{symbol}", self.set_body),
            ("POST", "/sandbox/cash", self.deposit),
            ("POST", "/sandbox/actions", self.act),
            ("PUT", "/sandbox/account", self.restrict),
            ("GET", "/sandbox/broker", self.book),
            ("PUT", "/sandbox/broker", self.set_book),
            ("GET", "/sandbox/calls", self.count),
            ("DELETE", "/sandbox/calls", self.reset_count),
            ("POST", "/sandbox/save", self.save),
            ("POST", "/sandbox/reset", self.reset),
        ]
        return [Route(path, _answering(handler), methods=[method]) for method, path, handler in table]

    def health(self, request: Request, body: Any) -> Any:
        market = self.sandbox.market
        return {
            "status": "ok",
            "source": self.sandbox.source,
            "anchor": market.anchor.isoformat(),
            "listings": len(market.instruments),
            "now": self.sandbox.clock.now().isoformat(),
        }

    def clock(self, request: Request, body: Any) -> Any:
        return {"now": self.sandbox.clock.now().isoformat()}

    def set_clock(self, request: Request, body: Any) -> Any:
        match body:
            case {"now": str(text), **rest} if not rest:
                self.sandbox.clock.set(in_calendar(_instant(text)))
            case {"now": str(text), "stands": bool() as stands, **rest} if not rest:
                self.sandbox.clock.set(in_calendar(_instant(text)), stands=stands)
            case {"advance_s": int() | float() as seconds, **rest} if not rest and not isinstance(seconds, bool):
                in_calendar(self.sandbox.clock.now() + timedelta(seconds=seconds))
                self.sandbox.clock.advance(seconds)
            case _:
                raise ValueError(
                    '{"now": "2026-08-24T14:05:00Z"}, beside it "stands": true, or {"advance_s": 60} is expected'
                )
        return self.clock(request, None)

    def faults(self, request: Request, body: Any) -> Any:
        return self.sandbox.faults.to_json()

    def set_faults(self, request: Request, body: Any) -> Any:
        self.sandbox.faults.replace(() if request.method == "DELETE" else body)
        return self.sandbox.faults.to_json()

    def set_prices(self, request: Request, body: Any) -> Any:
        prices = {self._instrument(symbol).symbol: Decimal(str(price)) for symbol, price in _object(body).items()}
        if wrong := [f"{symbol} {price}" for symbol, price in prices.items() if not price.is_finite() or price <= 0]:
            raise ValueError(f"prices above 0 USD are expected, not {', '.join(wrong)}")
        now = self.sandbox.broker.advance()
        for symbol, price in prices.items():
            self.sandbox.market.set_price(symbol, price, now)
        return {symbol: str(price) for symbol, price in prices.items()}

    def listing(self, request: Request, body: Any) -> Any:
        return instrument_to_json(self._instrument(request.path_params["symbol"]))

    def put_listing(self, request: Request, body: Any) -> Any:
        known = self.sandbox.market.instruments.get(str(_object(body).get("symbol")))
        instrument = instrument_from_json(body, known)
        self.sandbox.market.put(instrument)
        return instrument_to_json(instrument)

    def remove_listing(self, request: Request, body: Any) -> Any:
        symbol = self._instrument(request.path_params["symbol"]).symbol
        broker = self.sandbox.broker
        held = {one.symbol for one in broker.positions()} | {one.symbol for one in broker.orders() if not one.is_final}
        if symbol in held:
            raise ValueError(f"{symbol} has a position or an open order and cannot be removed; sell or cancel it first")
        self.sandbox.market.remove(symbol)
        return {"removed": symbol}

    def set_body(self, request: Request, body: Any) -> Any:
        """PUT replaces a profile's or a metric's body, PATCH merges into it."""
        instrument = self._instrument(request.path_params["symbol"])
        field = "profile" if "/profiles/" in request.url.path else "metric"
        old = getattr(instrument, field) if request.method == "PATCH" else {}
        changes: dict[str, Any] = {field: {**old, **_object(body)}}
        self.sandbox.market.put(dataclasses.replace(instrument, **changes))
        return changes[field]

    def deposit(self, request: Request, body: Any) -> Any:
        if _object(body).keys() != {"amount"}:
            raise ValueError('{"amount": "1000.00"} is expected, USD, negative to withdraw')
        self.sandbox.broker.deposit(Decimal(str(body["amount"])))
        return {"cash": str(self.sandbox.broker.account().cash)}

    def act(self, request: Request, body: Any) -> Any:
        """A corporate action, dividend, fee, interest or journal entry, as in actions.py; the action's id."""
        return take_action(body, self.sandbox.market, self.sandbox.broker)

    def restrict(self, request: Request, body: Any) -> Any:
        allowed = [field.name for field in dataclasses.fields(Restrictions)]
        if unknown := _object(body).keys() - set(allowed):
            raise ValueError(f"{', '.join(sorted(unknown))} is unknown; allowed are {', '.join(allowed)}")
        restrictions = RESTRICTIONS.validate_python(body)
        self.sandbox.broker.restrict(restrictions)
        return dataclasses.asdict(restrictions)

    def book(self, request: Request, body: Any) -> Any:
        now = self.sandbox.broker.advance()
        return {"now": now.isoformat(), "book": self.sandbox.broker.to_state()}

    def set_book(self, request: Request, body: Any) -> Any:
        """Puts broker and clock back to what GET told; listings, prices and faults stay as they are."""
        match body:
            case {"now": str(text), "book": dict(book), **rest} if not rest:
                now = in_calendar(_instant(text))
                self.sandbox.broker.load_state(book)
                self.sandbox.clock.set(now)
            case _:
                raise ValueError('what GET /sandbox/broker answers is expected: {"now": ..., "book": {...}}')
        return {"now": now.isoformat()}

    def count(self, request: Request, body: Any) -> Any:
        return dict(sorted(self.calls.items()))

    def reset_count(self, request: Request, body: Any) -> Any:
        self.calls.clear()
        return {}

    def save(self, request: Request, body: Any) -> Any:
        return {"saved": str(self.sandbox.save())}

    def reset(self, request: Request, body: Any) -> Any:
        """The world as it was started, or as it was saved last if it has a state file; counts begin anew, too."""
        self._begin_anew()
        return {}

    def _instrument(self, symbol: str) -> Instrument:
        found = self.sandbox.market.instruments.get(symbol)
        if found is None:
            raise LookupError(f"{symbol} is not listed")
        return found


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text} has no time zone; give one, e.g. 2026-08-24T14:05:00Z")
    return instant


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise ValueError(f"a JSON object is expected, not {type(body).__name__}")
    return body


def _answering(handler: Callable[[Request, Any], Any]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        if request.client is None or not ip_address(request.client.host).is_loopback:
            return JSONResponse({"error": "the administration answers the sandbox's own machine only"}, 403)
        raw = await request.body()
        try:
            body = json.loads(raw, parse_constant=_no_constant) if raw else None
            return JSONResponse(handler(request, body))
        except LookupError as error:
            return JSONResponse({"error": str(error.args[0])}, 404)
        except (ValueError, ArithmeticError, SandboxError) as error:
            return JSONResponse({"error": str(error) or repr(error)}, 400)

    return endpoint


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")
