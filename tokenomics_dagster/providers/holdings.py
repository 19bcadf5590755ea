"""What an account holds, row by row: what this strategy may trade, what is somebody else's, what contradicts itself.

Pure: rows of GET /v2/positions in, no I/O. One unreadable row costs at most its own name, never the others; only a row
that could be any of our names, for it has none, is an error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any

EQUITY, OPTION, CRYPTO = "us_equity", "us_option", "crypto"
# Shares that one option contract stands for, unless a corporate action has adjusted it.
SHARES_PER_CONTRACT = 100
# The OCC's 21 characters: root (a digit at its end: adjusted), expiry, call or put, strike in thousandths of a USD.
_OCC = re.compile(r"^(?P<root>[A-Z.]+)(?P<adjusted>\d?)\s*\d{6}(?P<right>[CP])(?P<strike>\d{8})$")


@dataclass(frozen=True, slots=True)
class Position:
    """Shares of a US stock, long. `price` and `market_value` are None while Alpaca knows no price, USD.

    `covering`: shares that secure short calls, which is why they are not in `qty_available`. `asset_id` stays when the
    symbol changes.
    """

    symbol: str
    qty: Decimal
    qty_available: Decimal
    price: Decimal | None
    market_value: Decimal | None
    avg_entry_price: Decimal | None
    side: str
    asset_id: str = ""
    asset_class: str = EQUITY
    covering: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Foreign:
    """A row that this strategy neither trades nor counts on. `qty` is negative for a short; `value` USD, as far as
    it is known, negative for what is owed."""

    symbol: str
    asset_class: str
    qty: Decimal | None
    value: Decimal | None
    short: bool = False

    def __str__(self) -> str:
        value = "of unknown value" if self.value is None else f"{self.value:,.2f} USD"
        qty = "?" if self.qty is None else f"{self.qty:f}"
        return f"{self.symbol} ({self.asset_class}): {qty}, {value}"

    @property
    def secures(self) -> Decimal | None:
        """USD of cash that it binds: a short put its strike, any other short what buying it back costs.

        None: short, and nobody knows how much.
        """
        if not self.short:
            return Decimal(0)
        option = parse_option(self.symbol) if self.asset_class == OPTION else None
        if option is not None and option.right == "P":
            return None if self.qty is None else option.strike * SHARES_PER_CONTRACT * -self.qty
        return None if self.value is None else abs(self.value)


@dataclass(frozen=True, slots=True)
class Option:
    """What the name of an option says: `root` is the underlying without punctuation, `strike` USD a share."""

    root: str
    right: str
    strike: Decimal


@dataclass(frozen=True, slots=True)
class Holdings:
    """`ours` and `disputed` by symbol; a symbol is never in both. `disputed`: a sentence each, why it is left alone."""

    ours: dict[str, Position] = field(default_factory=dict)
    foreign: tuple[Foreign, ...] = ()
    disputed: dict[str, str] = field(default_factory=dict)
    disputed_values: dict[str, Decimal] = field(default_factory=dict)
    """USD, what the disputed rows of a symbol are said to be worth together."""

    @property
    def disputed_value(self) -> Decimal:
        """USD, of all of them."""
        return sum(self.disputed_values.values(), Decimal(0))

    @property
    def foreign_assets(self) -> Decimal:
        """USD in what others hold in this account, long."""
        return sum((row.value for row in self.foreign if row.value is not None and row.value > 0), Decimal(0))

    @property
    def foreign_value(self) -> Decimal:
        """USD, long less short."""
        return sum((row.value for row in self.foreign if row.value is not None), Decimal(0))

    @property
    def secured(self) -> Decimal:
        """USD of cash that shorts bind; infinite while one of them has no known value."""
        return sum((Decimal("Infinity") if s is None else s for s in (r.secures for r in self.foreign)), Decimal(0))

    def investable(self, equity: Decimal) -> Decimal:
        """The part of the account's `equity` (USD) that weights are of: without what others hold in it.

        What is owed for shorts stays deducted: the proceeds lie in the cash, and are needed to buy them back.
        """
        return equity - self.foreign_assets


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


def parse_option(symbol: str) -> Option | None:
    """None for what is no name of an option."""
    found = _OCC.match(symbol)
    return None if found is None else Option(found["root"], found["right"], Decimal(found["strike"]) / 1000)


def root_of(symbol: str) -> str:
    """How the names of options write a stock: BRK.B is BRKB there."""
    return re.sub(r"[^A-Z0-9]", "", symbol)


def one_name(symbol: str, asset_class: str) -> str:
    """Crypto is BTCUSD among the positions and BTC/USD among the orders; here always as among the positions."""
    return symbol.replace("/", "") if asset_class == CRYPTO else symbol


def class_by_name(symbol: str) -> str:
    """The class of an asset of which only the name is known; a name that could be a stock's is one."""
    if "/" in symbol:
        return CRYPTO
    return OPTION if parse_option(symbol) else EQUITY if symbol else ""


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
