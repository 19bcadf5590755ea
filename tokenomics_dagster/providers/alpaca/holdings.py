"""What an account holds, row by row: what this strategy may trade, what is somebody else's, what contradicts itself.

Pure: rows of GET /v2/positions in, no I/O. One unreadable row costs at most its own name, never the others; only a row
that could be any of our names, for it has none, is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from typing_extensions import TypedDict

from tokenomics_dagster.model.trading import (
    EQUITY,
    OPTION,
    SHARES_PER_CONTRACT,
    Foreign,
    Holdings,
    Position,
    class_by_name,
    one_name,
    parse_option,
    root_of,
)
from tokenomics_dagster.providers.alpaca.parsing import AnyAmount
from tokenomics_dagster.providers.fields import Text, list_of


class _Row(TypedDict, total=False):
    """What cannot be read of it is not told: "" or None."""

    symbol: Text
    asset_class: Text
    asset_id: Text
    side: Text
    qty: AnyAmount
    qty_available: AnyAmount
    current_price: AnyAmount
    market_value: AnyAmount
    avg_entry_price: AnyAmount
    cost_basis: AnyAmount


def read_holdings(bodies: Iterable[Any]) -> Holdings:
    """Sorts rows of an answer. ValueError for a row that may be one of our names and does not say which."""
    ours: dict[str, Position] = {}
    foreign: list[Foreign] = []
    disputed: dict[str, str] = {}
    values: dict[str, Decimal] = {}
    bodies = list(bodies)
    for body in bodies:
        if not isinstance(body, dict):
            raise ValueError(f"a position is {type(body).__name__}, not an object")
    rows = list_of(_Row, bodies)
    times = Counter(row["symbol"] for row in rows if _is_equity(row))
    for row, body in zip(rows, bodies, strict=True):
        symbol = row["symbol"]
        if not _is_equity(row):
            foreign.append(_foreign(row))
            continue
        if not symbol:
            raise ValueError(f"a position in a stock has no symbol: {body!r:.200}")
        dispute, short = _dispute(row, body)
        if short:
            foreign.append(_foreign(row))
        elif dispute is None and times[symbol] == 1:
            if row["qty"]:
                ours[symbol] = _position(row)
            continue
        if times[symbol] > 1:
            dispute = f"it is in {times[symbol]} rows of the broker's positions"
        disputed.setdefault(symbol, f"left alone, {dispute}: see the broker's dashboard")
        if not short:
            values[symbol] = values.get(symbol, Decimal(0)) + (_value(row) or Decimal(0))
    covering = _covered(foreign)
    held = {symbol: _without_cover(position, covering) for symbol, position in ours.items()}
    return Holdings(held, tuple(foreign), disputed, values)


def _is_equity(row: _Row) -> bool:
    """Whether it is a stock, or may be one: where the class is missing, only the name can tell."""
    return (row["asset_class"] or class_by_name(row["symbol"]) or EQUITY) == EQUITY


def _dispute(row: _Row, body: Mapping[str, Any]) -> tuple[str | None, bool]:
    """What keeps a stock's row from being traded on, and whether it is plainly a short position."""
    qty, available, side = row["qty"], row["qty_available"], row["side"]
    if not row["asset_class"]:
        return "its asset_class is not told", False
    if qty is None:
        return f"its qty is {body.get('qty')!r:.40}", side == "short"
    if side not in ("long", "short"):
        return f"its side is {body.get('side')!r:.40}, with {qty:f} shares", False
    if side == "short":
        return f"somebody holds {-abs(qty):f} shares of it short, and only long positions are traded here", True
    if qty < 0:
        return f"its side is long and its qty {qty:f}", False
    if available is None:
        return f"its qty_available is {body.get('qty_available')!r:.40}", False
    if not 0 <= available <= qty:
        return f"{available:f} of its {qty:f} shares are said to be available", False
    return None, False


def _position(row: _Row) -> Position:
    assert row["qty"] is not None
    assert row["qty_available"] is not None
    return Position(
        symbol=row["symbol"],
        qty=row["qty"],
        qty_available=row["qty_available"],
        price=row["current_price"],
        market_value=row["market_value"],
        avg_entry_price=row["avg_entry_price"],
        side=row["side"],
        asset_id=row["asset_id"],
        asset_class=row["asset_class"],
        cost_basis=row["cost_basis"],
    )


def _foreign(row: _Row) -> Foreign:
    asset_class = row["asset_class"] or class_by_name(row["symbol"]) or "unknown"
    qty, value = row["qty"], _value(row)
    short = row["side"] == "short" or (qty is not None and qty < 0)
    if short:
        qty, value = (None if number is None else -abs(number) for number in (qty, value))
    return Foreign(one_name(row["symbol"], asset_class) or "without a name", asset_class, qty, value, short)


def _value(row: _Row) -> Decimal | None:
    """Market value, else the quantity at the current price, else what was paid; USD."""
    value = row["market_value"]
    if value is None and row["current_price"] is not None and row["qty"] is not None:
        option = row["asset_class"] == OPTION or parse_option(row["symbol"]) is not None
        value = row["qty"] * row["current_price"] * (SHARES_PER_CONTRACT if option else 1)
    return row["cost_basis"] if value is None else value


def _covered(foreign: Sequence[Foreign]) -> dict[str, Decimal]:
    """Shares that short calls are written on, by the root of their names."""
    shares: dict[str, Decimal] = {}
    for row in foreign:
        option = parse_option(row.symbol) if row.asset_class == OPTION else None
        if option is not None and option.right == "C" and row.qty is not None and row.qty < 0:
            shares[option.root] = shares.get(option.root, Decimal(0)) - row.qty * SHARES_PER_CONTRACT
    return shares


def _without_cover(position: Position, covering: Mapping[str, Decimal]) -> Position:
    """Selling the shares under a short call would leave it naked."""
    shares = min(covering.get(root_of(position.symbol), Decimal(0)), position.qty)
    available = min(position.qty_available, position.qty - shares)
    return replace(position, covering=shares, qty_available=available) if shares else position
