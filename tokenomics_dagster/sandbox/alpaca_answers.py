"""The bodies of Alpaca's APIs in the real one's form: assets, orders, activities, bars, refusals, instants."""

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tokenomics_dagster.sandbox.acceptance import is_partnership
from tokenomics_dagster.sandbox.bookings import Entry
from tokenomics_dagster.sandbox.market import Bar, Instrument
from tokenomics_dagster.sandbox.orders import Activity, CashFlow, Order, Refused, Side, plain
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
IPO_SYMBOL = "IPO082601"


def id_of(kind: str, name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind}:{name}"))


def ratio_text(part: Decimal, whole: Decimal) -> str:
    return plain((part / whole).quantize(Decimal("1e-9"))) if whole else "0"


def exchange_of(instrument: Instrument) -> str:
    return EXCHANGES.get(instrument.mic, "OTC")


def asset_json(instrument: Instrument, status: str = "active") -> Json:
    attributes = ["ptp_no_exception"] if is_partnership(instrument) else []
    if instrument.fractionable:
        attributes.append("fractional_eh_enabled")
    return {
        "id": id_of("asset", instrument.asset_id or instrument.symbol),
        "class": "us_equity",
        "exchange": exchange_of(instrument),
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


def ipo_json() -> Json:
    return {
        "id": id_of("asset", IPO_SYMBOL),
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


def order_json(order: Order) -> Json:
    def maybe(at: datetime | None) -> str | None:
        return None if at is None else instant_text(at)

    def number(value: Decimal | None) -> str | None:
        return None if value is None else plain(value)

    return {
        "id": order.id,
        "client_order_id": order.client_order_id,
        "created_at": instant_text(order.submitted_at),
        "updated_at": instant_text(order.updated_at),
        "submitted_at": instant_text(order.submitted_at),
        "filled_at": maybe(order.filled_at),
        "expired_at": maybe(order.expired_at),
        "expires_at": instant_text(order.closes_at),
        "canceled_at": maybe(order.canceled_at),
        "failed_at": maybe(order.failed_at),
        "replaced_at": None,
        "replaced_by": None,
        "replaces": None,
        "asset_id": id_of("asset", order.asset_id or order.symbol),
        "symbol": order.symbol,
        "asset_class": "us_equity",
        "notional": number(order.notional),
        "qty": number(order.qty),
        "filled_qty": plain(order.filled_qty),
        "filled_avg_price": ratio_text(order.filled_value, order.filled_qty) if order.filled_qty else None,
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


def activity_types(activity: Activity) -> set[str]:
    """What it may be asked for as: its own type, and the group that Alpaca has it in."""
    own = _activity_type(activity)
    return {own, "TRANS"} if isinstance(activity, CashFlow) else {own} if own in ("FILL", "DIV") else {own, "MISC"}


def _entry_json(entry: Entry) -> Json:
    body = {
        "id": entry.id,
        "activity_type": entry.type,
        "activity_sub_type": entry.subtype,
        "date": f"{entry.at.astimezone(NEW_YORK):%Y-%m-%d}",
        "created_at": instant_text(entry.at),
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


def activity_json(activity: Activity) -> Json:
    if isinstance(activity, Entry):
        return _entry_json(activity)
    if isinstance(activity, CashFlow):
        return {
            "id": activity.id,
            "activity_type": _activity_type(activity),
            "date": f"{activity.at.astimezone(NEW_YORK):%Y-%m-%d}",
            "created_at": instant_text(activity.at),
            "net_amount": plain(activity.amount),
            "currency": "USD",
            "status": "executed",
        }
    return {
        "id": activity.id,
        "activity_type": _activity_type(activity),
        "transaction_time": instant_text(activity.at),
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


def bar_json(bar: Bar) -> Json:
    return {
        "t": f"{midnight_of(bar.session):%Y-%m-%dT%H:%M:%SZ}",
        "o": float(bar.open),
        "h": float(bar.high),
        "l": float(bar.low),
        "c": float(bar.close),
        "v": bar.volume,
        "n": bar.trade_count,
        "vw": float(bar.vwap),
    }


def refusal_json(refused: Refused) -> Json:
    return {"code": refused.code, "message": refused.message, **refused.details}


def midnight_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC)


def fraction_of(at: datetime) -> str:
    """Nine digits, as the real API has: a client that cuts off the last three sends an `after` too early by them.

    Python knows microseconds only, so the last three are made from those.
    """
    return f"{at.microsecond:06d}{at.microsecond * 7 % 1000:03d}"


def nanoseconds_at(at: datetime) -> int:
    return int(at.replace(microsecond=0).timestamp()) * 10**9 + int(fraction_of(at))


def instant_text(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{fraction_of(at)}Z"


def offset_text(at: datetime) -> str:
    return at.astimezone(NEW_YORK).isoformat()[-6:]
