"""What a request to Alpaca's APIs asks for: an order, numbers, choices and instants, or the refusal of what is wrong.

Refused, because the platform has no use for it: everything but simple day orders at the market or at a limit.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from tokenomics_dagster.sandbox.alpaca_answers import midnight_of
from tokenomics_dagster.sandbox.orders import OrderRequest, OrderType, Refused, Side, plain

LARGEST_NUMBER = Decimal(10) ** 9
"""Of shares and of USD in a request: 28 digits of Decimal then hold every product exactly."""
INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d))?")
UNSUPPORTED_FIELDS = ("stop_price", "trail_price", "trail_percent", "take_profit", "stop_loss", "legs")


def order_of(body: bytes, symbol_of: Callable[[str], str]) -> OrderRequest:
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
    side = Side(choice_of(fields.get("side", "missing"), "side", "buy", "sell"))
    kind = fields.get("type")
    if kind not in ("market", "limit"):
        raise Refused(422, 40010001, f"type {kind!r} is not supported by this sandbox; market and limit are")
    qty, notional = number_of(fields, "qty", 9), number_of(fields, "notional", 2)
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
    price = number_of(fields, "limit_price", 9)
    if price is None:
        raise Refused(422, 40010001, "limit orders require a limit price")
    if _places(price) > (2 if price >= 1 else 4):
        raise Refused(
            422,
            42210000,
            f"invalid limit_price {plain(price)}. sub-penny increment does not fulfill minimum pricing criteria",
        )
    return price


def number_of(fields: Mapping[str, Any], name: str, places: int) -> Decimal | None:
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


def bad_request(message: str) -> Refused:
    return Refused(400, 400, message)


def choice_of(value: str | None, name: str, *allowed: str, refuse: Callable[[str], Refused] = _refuse_parameter) -> str:
    """The value if it is allowed; the first of the allowed if there is none."""
    if not value:
        return allowed[0]
    if value not in allowed:
        raise refuse(f"invalid {name}: {value}; allowed are {', '.join(filter(None, allowed))}")
    return value


def count_of(
    value: str | None, name: str, default: int, largest: int, refuse: Callable[[str], Refused] = _refuse_parameter
) -> int:
    if not value:
        return default
    if not value.isdecimal() or not 1 <= int(value) <= largest:
        raise refuse(f"invalid {name}: {value}; allowed is 1 to {largest}")
    return int(value)


def listed_of(value: str | None) -> set[str]:
    return set(listed_in_order(value))


def listed_in_order(value: str | None) -> dict[str, None]:
    return dict.fromkeys(filter(None, (value or "").split(",")))


def parse_instant(text: str, name: str, refuse: Callable[[str], Refused] = _refuse_parameter) -> int:
    """Nanoseconds since 1970 of an RFC 3339 instant, or of a date: midnight in New York."""
    match = INSTANT.fullmatch(text)
    try:
        if match is None or not "1970" <= text[:4] <= "2100":
            raise ValueError(text)
        day, clock_time, fraction, offset = match.groups()
        if clock_time is None:
            return nanoseconds_of_day(date.fromisoformat(day))
        at = datetime.fromisoformat(f"{day}T{clock_time}{offset}")
    except ValueError as error:
        raise refuse(f"invalid {name}: {text}; RFC 3339 with an offset, or YYYY-MM-DD") from error
    return int(at.timestamp()) * 10**9 + int((fraction or "0").ljust(9, "0"))


def day_of(text: str, name: str) -> date:
    """The date of YYYY-MM-DD or of an RFC 3339 instant."""
    parse_instant(text, name)
    return date.fromisoformat(text[:10])


def nanoseconds_of_day(day: date, days_later: int = 0) -> int:
    return int(midnight_of(day + timedelta(days=days_later)).timestamp()) * 10**9


def utc_date(nanoseconds: int, days_later: int) -> date:
    at = datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    return at.date() + timedelta(days=days_later)
