"""Bodies of Alpaca's answers, read into the types of model/trading.py. Pure: no I/O.

Tolerant: unknown fields pass, and so do unknown words for a status or a class. What must be there and cannot be read is
an error that names field and value. Fields stand in the order in which they are read: the first that is wrong is named.
What an account holds is sorted in holdings.py, what happened to it in activities.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import dropwhile
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, PlainValidator, Strict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import TypedDict

from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.model.plan import CENT
from tokenomics_dagster.model.trading import (
    EQUITY,
    OPTION,
    Account,
    Asset,
    Bar,
    Fill,
    Leg,
    MarketClock,
    Order,
    Snapshot,
    class_by_name,
    one_name,
)
from tokenomics_dagster.providers.alpaca import PROVIDER
from tokenomics_dagster.providers.errors import PermanentError
from tokenomics_dagster.providers.fields import NullIfMissing, OrElse, list_of, one_of

T = TypeVar("T")

# What was wanted, by pydantic's kind of error. Its own words are not used: they repeat the whole input.
_SHAPES = {"list_type": "a list", "dict_type": "an object"}
_WANTED = {
    "bool_type": "true or false",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "finite_number": "a finite number",
}


def row(kind: type[T], endpoint: str, body: Any) -> T:
    """The body as that kind of row. Raises PermanentError for the first field that cannot be read."""
    return _read(endpoint, lambda: one_of(kind, body))


def rows(kind: type[T], endpoint: str, body: Any) -> list[T]:
    """The body as a list of that kind of row, one of which that cannot be read is an error of all."""
    return _read(endpoint, lambda: list_of(kind, body))


def fields(endpoint: str, body: Any) -> dict[str, Any]:
    """The body, if it is an object."""
    if not isinstance(body, dict):
        raise PermanentError(PROVIDER, endpoint, 200, f"an object was expected, not {type(body).__name__}")
    return body


def all_fields(endpoint: str, body: Any) -> list[dict[str, Any]]:
    """The body, if it is a list of objects."""
    if not isinstance(body, list):
        raise PermanentError(PROVIDER, endpoint, 200, f"a list was expected, not {type(body).__name__}")
    return [fields(endpoint, one) for one in body]


def id_of(endpoint: str, body: Any) -> str:
    """Of whatever has one: what a page ends with is where the next begins."""
    return row(_Identified, endpoint, body)["id"]


def next_page(endpoint: str, body: Any, before: set[str]) -> str | None:
    """The token of the page after this one, if there is one, which joins those of `before`. Pages that go round in a
    circle are an error."""
    token = row(_Page, endpoint, body)["next_page_token"]
    if token in before:
        raise PermanentError(PROVIDER, endpoint, 200, "the same page came twice")
    if token is not None:
        before.add(token)
    return token


def _read(endpoint: str, reading: Callable[[], T]) -> T:
    try:
        return reading()
    except ValidationError as error:
        wrong = _wrong(error.errors(include_url=False)[0])
    raise PermanentError(PROVIDER, endpoint, 200, wrong)  # outside: the context would hold the whole answer


def _wrong(error: ErrorDetails) -> str:
    kind, value = error["type"], error["input"]
    if kind in _SHAPES:
        return f"{_SHAPES[kind]} was expected, not {type(value).__name__}"
    return f"{error['loc'][-1]} of the answer is {value!r:.80}, not {_WANTED.get(kind, error['msg'])}"


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise PydanticCustomError("unusable", "a text")
    return value


def _text_if_any(value: Any) -> str | None:
    return _text(value) if value else None


def _instant(value: Any) -> datetime:
    try:
        at = datetime.fromisoformat(value)  # nanoseconds are cut to microseconds
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise PydanticCustomError("unusable", "an instant") from None
    raise PydanticCustomError("unusable", "an instant with its offset")


def _instant_if_any(value: Any) -> datetime | None:
    return None if value is None else _instant(value)


def _no_blank(value: Any) -> Any:
    return None if value == "" else value


def _object_or_none(value: Any) -> Any:
    return value or {}


def _objects_among(value: Any) -> list[Any]:
    try:
        return [one for one in value or () if isinstance(one, dict)]
    except TypeError:
        raise PydanticCustomError("unusable", "a list") from None


def _texts(value: Any) -> tuple[str, ...]:
    try:
        return tuple(str(one) for one in value or ())
    except TypeError:
        return ()


Text = Annotated[str, PlainValidator(_text), NullIfMissing()]
AnyText = Annotated[str, Strict(), OrElse("")]
Flag = Annotated[bool, Strict(), NullIfMissing()]
Amount = Annotated[Decimal, NullIfMissing()]
AnyAmount = Annotated[Decimal | None, OrElse(None)]
AmountIfAny = Annotated[Decimal | None, BeforeValidator(_no_blank), NullIfMissing()]
Instant = Annotated[datetime, PlainValidator(_instant), NullIfMissing()]
InstantIfAny = Annotated[datetime | None, PlainValidator(_instant_if_any), NullIfMissing()]


class _Clock(TypedDict, total=False):
    timestamp: Instant
    is_open: Flag
    next_open: Instant
    next_close: Instant


class _Account(TypedDict, total=False):
    account_number: Text
    status: Text
    cash: Amount
    equity: Amount
    last_equity: Amount
    currency: Text
    trading_blocked: Flag
    account_blocked: Flag
    trade_suspended_by_user: Flag


class _Asset(TypedDict, total=False):
    symbol: AnyText
    status: AnyText
    tradable: Annotated[bool, Strict(), OrElse(False)]
    fractionable: Annotated[bool, Strict(), OrElse(False)]
    exchange: AnyText
    attributes: Annotated[tuple[str, ...], PlainValidator(_texts), OrElse(())]
    asset_class: Annotated[AnyText, Field(validation_alias="class")]
    id: AnyText


class _Leg(TypedDict, total=False):
    symbol: AnyText
    side: AnyText
    position_intent: AnyText
    ratio_qty: AmountIfAny


class _Order(TypedDict, total=False):
    symbol: AnyText
    legs: Annotated[list[_Leg], BeforeValidator(_objects_among), NullIfMissing()]
    order_class: AnyText
    asset_class: AnyText
    id: Text
    client_order_id: AnyText
    side: AnyText
    qty: AmountIfAny
    notional: AmountIfAny
    status: Text
    filled_qty: AmountIfAny
    filled_avg_price: AmountIfAny
    submitted_at: InstantIfAny
    updated_at: InstantIfAny
    order_type: AnyText
    type: AnyText
    limit_price: AmountIfAny
    position_intent: AnyText
    asset_id: AnyText


class _Canceled(TypedDict, total=False):
    id: Text
    status: Amount


class _Fill(TypedDict, total=False):
    id: Text
    order_id: Text
    symbol: Text
    side: Text
    qty: Amount
    price: Amount
    transaction_time: Instant


class _Identified(TypedDict, total=False):
    id: Text


class _Page(TypedDict, total=False):
    next_page_token: Annotated[str | None, PlainValidator(_text_if_any), NullIfMissing()]


class _Trade(TypedDict, total=False):
    p: AmountIfAny
    t: InstantIfAny


class _Quote(TypedDict, total=False):
    bp: AmountIfAny
    ap: AmountIfAny
    t: InstantIfAny


class _DayOfTrade(TypedDict, total=False):
    c: AmountIfAny
    v: AmountIfAny


class _Snapshot(TypedDict, total=False):
    trade: Annotated[_Trade, BeforeValidator(_object_or_none), NullIfMissing(), Field(validation_alias="latestTrade")]
    quote: Annotated[_Quote, BeforeValidator(_object_or_none), NullIfMissing(), Field(validation_alias="latestQuote")]
    today: Annotated[_DayOfTrade, BeforeValidator(_object_or_none), NullIfMissing(), Field(validation_alias="dailyBar")]
    before: Annotated[
        _DayOfTrade, BeforeValidator(_object_or_none), NullIfMissing(), Field(validation_alias="prevDailyBar")
    ]


class _Bar(TypedDict, total=False):
    t: Instant
    o: Amount
    h: Amount
    l: Amount  # noqa: E741  Alpaca's name
    c: Amount
    v: Amount


class _History(TypedDict, total=False):
    timestamp: Annotated[list[int], NullIfMissing()]
    equity: Annotated[list[AnyAmount], NullIfMissing()]


def clock(body: Any) -> MarketClock:
    found = row(_Clock, "GET /v2/clock", body)
    return MarketClock(found["timestamp"], found["is_open"], found["next_open"], found["next_close"])


def account(body: Any) -> Account:
    found = row(_Account, "GET /v2/account", body)
    return Account(
        number=found["account_number"],
        status=found["status"],
        cash=found["cash"],
        equity=found["equity"],
        last_equity=found["last_equity"],
        currency=found["currency"],
        trading_blocked=found["trading_blocked"],
        account_blocked=found["account_blocked"],
        trade_suspended_by_user=found["trade_suspended_by_user"],
    )


def assets(body: Any) -> dict[str, Asset]:
    """Active US equities by symbol. What is not said to be tradable or fractionable is not."""
    return {
        found["symbol"]: Asset(**found)
        for found in rows(_Asset, "GET /v2/assets", body)
        if found["symbol"] and found["asset_class"] in (EQUITY, "") and found["status"] in ("active", "")
    }


def asset(body: Any) -> Asset:
    """What is not said to be tradable or fractionable is not."""
    return Asset(**row(_Asset, "GET /v2/assets/{symbol}", body))


def orders(endpoint: str, body: Any) -> list[Order]:
    return [_order(found) for found in rows(_Order, endpoint, body)]


def order(endpoint: str, body: Any) -> Order:
    return _order(row(_Order, endpoint, body))


def _order(found: _Order) -> Order:
    several = found["order_class"] == "mleg" or not found["symbol"]
    asset_class = OPTION if several else found["asset_class"] or class_by_name(found["symbol"])
    legs = (
        Leg(leg["symbol"], leg["side"], leg["position_intent"], leg["ratio_qty"] or Decimal(1)) for leg in found["legs"]
    )
    return Order(
        id=found["id"],
        client_order_id=found["client_order_id"],
        symbol=one_name(found["symbol"], asset_class),
        side=found["side"],
        qty=found["qty"],
        notional=found["notional"],
        status=found["status"],
        filled_qty=found["filled_qty"] or Decimal(0),
        filled_avg_price=found["filled_avg_price"],
        submitted_at=found["submitted_at"],
        updated_at=found["updated_at"],
        order_type=found["order_type"] or found["type"],
        limit_price=found["limit_price"],
        asset_class=asset_class,
        intent=found["position_intent"],
        legs=tuple(legs) if several else (),
        asset_id=found["asset_id"],
    )


def canceled(body: Any) -> dict[str, int]:
    """Order id -> HTTP status of its cancel."""
    return {found["id"]: int(found["status"]) for found in rows(_Canceled, "DELETE /v2/orders", body)}


def fills(endpoint: str, body: Any) -> list[Fill]:
    return [
        Fill(
            id=found["id"],
            order_id=found["order_id"],
            symbol=one_name(found["symbol"], class_by_name(found["symbol"])),
            side=found["side"],
            qty=found["qty"],
            price=found["price"],
            at=found["transaction_time"],
        )
        for found in rows(_Fill, endpoint, body)
    ]


def snapshots(body: Mapping[str, Any]) -> dict[str, Snapshot]:
    """Those that are objects: null has been seen for a listed symbol."""
    found = {}
    for symbol, one in body.items():
        if isinstance(one, dict):
            market = row(_Snapshot, "GET /v2/stocks/snapshots", one)
            found[symbol] = Snapshot(
                symbol=symbol,
                price=market["trade"]["p"] or None,
                price_at=market["trade"]["t"],
                bid=market["quote"]["bp"] or None,
                ask=market["quote"]["ap"] or None,
                quote_at=market["quote"]["t"],
                close=market["today"]["c"] or None,
                volume=market["today"]["v"],
                previous_close=market["before"]["c"] or None,
                previous_volume=market["before"]["v"],
            )
    return found


def bars(endpoint: str, body: Any) -> list[Bar]:
    return [
        Bar(found["t"].astimezone(NEW_YORK).date(), found["o"], found["h"], found["l"], found["c"], found["v"])
        for found in rows(_Bar, endpoint, body)
    ]


def equity_history(endpoint: str, body: Any) -> dict[date, Decimal]:
    """Equity at the end of each day in New York, to the cent, as far as it is told. The days before the account had
    any are told as 0 and left out.

    The stamps of days are 20:00 in New York, midnight in UTC while there is summer time; in older answers 9:30.
    """
    found = row(_History, endpoint, body)
    stamps, equities = found["timestamp"], found["equity"]
    if len(stamps) != len(equities):
        said = f"equity of the answer has {len(equities)} values for {len(stamps)} instants"
        raise PermanentError(PROVIDER, endpoint, 200, said)
    days = (datetime.fromtimestamp(stamp, NEW_YORK).date() for stamp in stamps)
    told = ((day, equity) for day, equity in zip(days, equities, strict=True) if equity is not None)
    return {day: equity.quantize(CENT) for day, equity in dropwhile(lambda one: not one[1], told)}
