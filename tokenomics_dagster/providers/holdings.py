"""What an account holds, row by row: what this strategy may trade, what is somebody else's, what contradicts itself.

Pure: rows of GET /v2/positions in, no I/O. One unreadable row costs at most its own name, never the others; only a row
that could be any of our names, for it has none, is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

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


def read_holdings(rows: Iterable[Any]) -> Holdings:
    """Sorts rows of an answer. ValueError for a row that may be one of our names and does not say which."""
    ours: dict[str, Position] = {}
    foreign: list[Foreign] = []
    disputed: dict[str, str] = {}
    values: dict[str, Decimal] = {}
    bodies = list(rows)
    for body in bodies:
        if not isinstance(body, Mapping):
            raise ValueError(f"a position is {type(body).__name__}, not an object")
    times = Counter(text_in(body, "symbol") for body in bodies if _is_equity(body))
    for body in bodies:
        symbol, asset_class = text_in(body, "symbol"), text_in(body, "asset_class")
        if not _is_equity(body):
            foreign.append(_foreign(body))
            continue
        if not symbol:
            raise ValueError(f"a position in a stock has no symbol: {dict(body)!r:.200}")
        flaw, short = _flaw(body, asset_class)
        if short:
            foreign.append(_foreign(body))
        elif flaw is None and times[symbol] == 1:
            if amount_in(body, "qty"):
                ours[symbol] = _position(body)
            continue
        if times[symbol] > 1:
            flaw = f"it is in {times[symbol]} rows of the broker's positions"
        disputed.setdefault(symbol, f"left alone, {flaw}: see the broker's dashboard")
        if not short:
            values[symbol] = values.get(symbol, Decimal(0)) + (_value(body) or Decimal(0))
    covering = _covered(foreign)
    held = {symbol: _without_cover(position, covering) for symbol, position in ours.items()}
    return Holdings(held, tuple(foreign), disputed, values)


def _is_equity(body: Mapping[str, Any]) -> bool:
    """Whether it is a stock, or may be one: where the class is missing, only the name can tell."""
    return (text_in(body, "asset_class") or class_by_name(text_in(body, "symbol")) or EQUITY) == EQUITY


def _flaw(body: Mapping[str, Any], asset_class: str) -> tuple[str | None, bool]:
    """What keeps a stock's row from being traded on, and whether it is plainly a short position."""
    qty, available, side = amount_in(body, "qty"), amount_in(body, "qty_available"), text_in(body, "side")
    if not asset_class:
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


def _position(body: Mapping[str, Any]) -> Position:
    qty, available = amount_in(body, "qty"), amount_in(body, "qty_available")
    assert qty is not None
    assert available is not None
    return Position(
        symbol=text_in(body, "symbol"),
        qty=qty,
        qty_available=available,
        price=amount_in(body, "current_price"),
        market_value=amount_in(body, "market_value"),
        avg_entry_price=amount_in(body, "avg_entry_price"),
        side=text_in(body, "side"),
        asset_id=text_in(body, "asset_id"),
        asset_class=text_in(body, "asset_class"),
    )


def _foreign(body: Mapping[str, Any]) -> Foreign:
    symbol = text_in(body, "symbol")
    asset_class = text_in(body, "asset_class") or class_by_name(symbol) or "unknown"
    qty, value = amount_in(body, "qty"), _value(body)
    short = text_in(body, "side") == "short" or (qty is not None and qty < 0)
    if short:
        qty, value = (None if number is None else -abs(number) for number in (qty, value))
    return Foreign(one_name(symbol, asset_class) or "without a name", asset_class, qty, value, short)


def _value(body: Mapping[str, Any]) -> Decimal | None:
    """Market value, else the quantity at the current price, else what was paid; USD."""
    value, price, qty = (amount_in(body, name) for name in ("market_value", "current_price", "qty"))
    if value is None and price is not None and qty is not None:
        option = text_in(body, "asset_class") == OPTION or parse_option(text_in(body, "symbol")) is not None
        value = qty * price * (SHARES_PER_CONTRACT if option else 1)
    return amount_in(body, "cost_basis") if value is None else value


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


def text_in(body: Any, name: str) -> str:
    """The text of a field of an answer; "" where it says none, or is no object."""
    value = body.get(name) if isinstance(body, Mapping) else None
    return value.strip() if isinstance(value, str) else ""


def amount_in(body: Mapping[str, Any], name: str) -> Decimal | None:
    """The number of a field of an answer; None where nothing usable is said."""
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
