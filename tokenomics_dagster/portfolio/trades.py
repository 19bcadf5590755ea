"""From target weights to the trades that reach them: decided by kernel.py, in amounts that are exact. Pure.

Sending orders is the execution room's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import NamedTuple

import pandas as pd

from tokenomics_dagster.model.plan import (
    CASH_IS_SHORT,
    CENT,
    FRACTION,
    NEGLIGIBLE,
    NOT_TRADABLE,
    SHARE,
    PlannedOrder,
)
from tokenomics_dagster.portfolio import kernel
from tokenomics_dagster.portfolio.doubts import LeftAlone
from tokenomics_dagster.portfolio.quotes import NO_PRICE
from tokenomics_dagster.portfolio.schema import TargetWeights, TradePlan
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

# Exact for any quantity times any price, whatever the caller's context; never rounds in our favour.
EXACT = Context(prec=60, rounding=ROUND_DOWN)


@dataclass(slots=True)
class _Line:
    """A name on its way to becoming a row of the plan; amounts in USD."""

    symbol: str
    qty_held: Decimal
    qty_available: Decimal
    price: Decimal | None
    target_value: Decimal
    exit: bool
    tradable: bool
    fractionable: bool
    worth: Decimal
    covering: Decimal = Decimal(0)
    disputed: bool = False
    side: str = "none"
    qty: Decimal | None = None
    notional: Decimal | None = None
    reason: str | None = None
    meant: bool = True
    """Whether what is not traded of it, for the reason, was to be traded."""
    payable: Decimal | None = None
    """Of a buy: what the account's cash pays of it, if nothing but its sells and buys has a claim on that cash."""

    @property
    def current_value(self) -> Decimal:
        return self.qty_held * (self.price or 0)

    @property
    def delta(self) -> Decimal:
        return self.target_value - self.current_value

    @property
    def amount(self) -> Decimal:
        """What the trade moves at its price."""
        return self.notional if self.notional is not None else (self.qty or 0) * (self.price or Decimal(0))

    def not_planned(self, rules: RebalancingSettings) -> Decimal:
        """What was to be traded and is not, above zero to buy, below to sell; 0 where it is too little to be meant."""
        if self.reason is None or not self.meant:
            return Decimal(0)
        drift = self.target_value - (self.worth if self.disputed or self.price is None else self.current_value)
        if not self.exit and abs(drift) < rules.least_drift(self.target_value):
            return Decimal(0)
        wanted = abs(drift) if self.payable is None else self.payable
        missing = wanted - self.amount
        return missing.quantize(CENT, ROUND_HALF_EVEN).copy_sign(drift) if missing > NEGLIGIBLE * wanted else Decimal(0)


@dataclass(frozen=True, slots=True)
class Names:
    """What is known of names, by symbol.

    `positions` are (shares, shares that may be sold), `prices` USD (0 or absent: no price, for the reason in
    `unpriced`), `assets` whether it trades in fractions (absent: the broker does not trade it). Left alone are those in
    `open_orders`, for what those orders will do is not known yet, and those in `disputed`, for the reason given there:
    what is held of them is not known; what the broker says that it is `worth` (USD), then counts. `covering`: shares
    under somebody's short calls, never sold.
    """

    positions: Mapping[str, tuple[Decimal, Decimal]]
    prices: Mapping[str, Decimal]
    assets: Mapping[str, bool]
    open_orders: Collection[str] = ()
    unpriced: Mapping[str, str] = field(default_factory=dict)
    disputed: Mapping[str, LeftAlone] = field(default_factory=dict)
    covering: Mapping[str, Decimal] = field(default_factory=dict)
    worth: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Money:
    """USD. `bound` is what of the cash may be spent by others, by what binds it, Infinity where nobody can tell."""

    equity: Decimal
    cash: Decimal
    bound: Mapping[str, Decimal] = field(default_factory=dict)


class Trades(NamedTuple):
    """`frame` is a `TradePlan`, `not_planned` by symbol the USD that are meant and left out, below zero to sell."""

    frame: pd.DataFrame
    not_planned: Mapping[str, Decimal]


def plan_trades(targets: pd.DataFrame, names: Names, money: Money, rules: RebalancingSettings) -> Trades:
    """One row per name that is held or wanted, whatever the order of the inputs, and what is not planned.

    Not meant is a drift or a trade too small (rebalancing.*), what whole shares cannot reach, what the account's cash
    does not pay for, and what `names.disputed` says so of.

    `targets` is a `TargetWeights` frame. The value wanted is weight x (equity less the cash buffer). Skipped is a drift
    under rebalance_threshold_pct of the target and a trade under min_trade_usd; neither holds for exits, which sell all
    shares available. Sells go by shares, buys by USD where the asset trades in fractions, else by whole shares; all are
    rounded down. Sells come first, exits before the others; then buys, the one that lacks most of its target first
    (then the larger, then by symbol). Buys together cost at most cash plus expected proceeds less the buffer and what
    is bound: what is too much is cut or skipped at the end of the line.

    ValueError for no targets ("sell everything" is never meant), a short position, a price below zero, equity that is
    not above zero, and amounts that are not finite.
    """
    if targets.empty:
        raise ValueError("there are no target weights: nothing is planned, for that would sell everything")
    targets = TargetWeights.validate(targets)
    _require_sane(names, money)
    equity = money.equity
    with localcontext(EXACT):
        buffer = equity * Decimal(str(rules.cash_buffer_pct)) / 100
        # str: 0.06 means 600 of 10,000, not the 599.99 of its nearest float
        weights = {s: Decimal(str(w)) for s, w in zip(targets["symbol"], targets["weight"], strict=True)}
        held = {symbol for symbol, (qty, _) in names.positions.items() if qty > 0}
        together = sorted(held | weights.keys() | names.disputed.keys())
        lines = [_line(symbol, weights.get(symbol), equity - buffer, names, rules) for symbol in together]
        sells = [line for line in lines if line.side == "sell"]
        sells.sort(key=lambda line: (not line.exit, -line.amount, line.symbol))
        buys = [line for line in lines if line.side == "buy"]
        buys.sort(key=lambda line: (-line.delta / line.target_value, -line.delta, line.symbol))
        whole = money.cash + sum((line.amount.quantize(CENT) for line in sells), Decimal(0)) - buffer
        left = whole - sum(money.bound.values(), Decimal(0))
        for line in buys:
            _afford(line, max(left, Decimal(0)), max(whole, Decimal(0)), money.bound, rules)
            left, whole = left - line.amount, whole - (line.payable or Decimal(0))
        order = [*sells, *(line for line in buys if line.side == "buy")]
        order += [line for line in lines if line.side == "none"]
        rows = [_row(number, line, equity) for number, line in enumerate(order, start=1)]
        missing = {line.symbol: usd for line in order if (usd := line.not_planned(rules))}
    return Trades(TradePlan.validate(pd.DataFrame(rows)), missing)


def planned_orders(plan: pd.DataFrame) -> tuple[PlannedOrder, ...]:
    """The orders of a `TradePlan` frame, in the order of sending."""
    traded = plan[plan["side"] != "none"].sort_values("sequence")
    return tuple(
        PlannedOrder(
            row["symbol"],
            row["side"],
            _decimal(row["qty"]),
            _decimal(row["notional"]),
            Decimal(row["price"]),
            bool(row["exit"]),
        )
        for row in traded.to_dict("records")
    )


def _line(symbol: str, weight: Decimal | None, invested: Decimal, names: Names, rules: RebalancingSettings) -> _Line:
    """What is to be traded of a name but for the cash, with its weight of what is to be `invested`, USD; one without
    a weight is sold."""
    qty, available = names.positions.get(symbol, (Decimal(0), Decimal(0)))
    line = _Line(
        symbol=symbol,
        qty_held=qty,
        qty_available=available,
        price=names.prices.get(symbol) or None,
        target_value=(Decimal(0) if weight is None else weight) * invested,
        exit=weight is None,
        tradable=symbol in names.assets,
        fractionable=names.assets.get(symbol, False),
        worth=names.worth.get(symbol, Decimal(0)),
        covering=names.covering.get(symbol, Decimal(0)),
    )
    if symbol in names.disputed:
        line.reason, line.meant, line.disputed = names.disputed[symbol].reason, names.disputed[symbol].meant, True
    elif symbol in names.open_orders:
        line.reason = "an order is open for it"
    else:
        _size(line, rules, names.unpriced.get(symbol, NO_PRICE))
    return line


def _require_sane(names: Names, money: Money) -> None:
    equity, cash = money.equity, money.cash
    if not (equity.is_finite() and equity > 0 and cash.is_finite()):
        raise ValueError(f"equity must be above zero and cash finite, not {equity} and {cash} USD: check the account")
    for symbol, price in names.prices.items():
        if not (price.is_finite() and price >= 0):
            raise ValueError(f"the price of {symbol} is {price}: nothing is planned with such prices")
    for symbol, (qty, available) in names.positions.items():
        if qty.is_finite() and qty < 0:
            raise ValueError(f"{symbol} is held short ({qty} shares): close it by hand, this platform is long only")
        if not (qty.is_finite() and available.is_finite() and 0 <= available <= qty):
            raise ValueError(
                f"{symbol}: {available} of {qty} shares available makes no sense: read the positions again"
            )


def _size(line: _Line, rules: RebalancingSettings, unpriced: str) -> None:
    """Sets side and amount, or the reason why nothing is traded (`unpriced`: why it has no price); cash comes later."""
    if not line.tradable:
        line.reason = NOT_TRADABLE  # which is why it may have no price
        return
    if line.price is None:
        line.reason = unpriced
        return
    threshold, minimum = Decimal(str(rules.rebalance_threshold_pct)) / 100, Decimal(str(rules.min_trade_usd))
    code, shares = kernel.decide(
        0.0 if line.exit else float(line.target_value),
        float(line.price),
        float(line.qty_held),
        float(line.qty_available),
        line.fractionable,
        float(threshold),
        float(minimum),
    )
    if line.exit:
        _sell_all(line, code)
    elif code == kernel.DRIFT:
        drift = abs(line.delta) / line.target_value
        line.reason = f"drift of {drift:.2%} of the target is under the threshold of {threshold:.2%}"
    elif code == kernel.MINIMUM:
        line.reason = f"trade of {abs(line.delta):.2f} USD is under the minimum of {_text(minimum)} USD"
    else:
        _trade(line, line.price, code, shares, minimum)


def _trade(line: _Line, price: Decimal, code: int, decided: float, minimum: Decimal) -> None:
    """Sets the exact amount of what was decided of a name that is to be held, in `decided` shares."""
    # What the kernel takes for the minimum is the minimum: a cent below it the broker may refuse.
    size = max(abs(line.delta), minimum)
    if line.fractionable:
        qty = (size / price).quantize(FRACTION)
    else:
        qty = Decimal(kernel.whole(abs(decided) if code == kernel.TRADE else float(size / price)))
    if code == kernel.UNDER_A_SHARE:
        line.meant = False
        line.reason = f"not fractionable, and {size:.2f} USD are less than one share at {_text(price)} USD"
    elif code == kernel.SMALL_SHARES:
        line.meant = False
        line.reason = f"whole shares for {qty * price:.2f} USD are under the minimum of {_text(minimum)} USD"
    elif line.delta < 0:
        _sell(line, qty, code)
    elif line.fractionable:
        line.side, line.notional = "buy", size.quantize(CENT)
    else:
        line.side, line.qty = "buy", qty


def _sell_all(line: _Line, code: int) -> None:
    """All that the broker sells: nine decimals, and whole shares of what no longer trades in fractions."""
    wanted = line.qty_held.quantize(FRACTION if line.fractionable else SHARE)
    if wanted:
        _sell(line, wanted, code)
    rest = line.qty_held - wanted
    if rest and line.reason is None:
        line.meant = False
        line.reason = f"{_text(rest)} shares stay: " + (
            "dust, the broker trades nine decimals"
            if line.fractionable
            else "a fraction of what trades in whole shares only; the broker's dashboard may close the position"
        )


def _sell(line: _Line, wanted: Decimal, code: int) -> None:
    """Sells what was decided, and never more than is free to the last decimal: the kernel allows itself 1e-9."""
    available = line.qty_available.quantize(FRACTION if line.fractionable else SHARE)
    qty = min(wanted, available) if code in (kernel.TRADE, kernel.CUT) else Decimal(0)
    if qty:
        line.side, line.qty = "sell", qty
    if qty == wanted:
        return
    held = f"open orders hold {_text(line.qty_held - line.qty_available)} of {_text(line.qty_held)} shares"
    if line.covering:
        held = f"short calls need {_text(line.covering)} of {_text(line.qty_held)} shares, {_text(available)} are free"
    line.reason = f"cut from {_text(wanted)} shares: {held}" if qty else held


def _afford(
    line: _Line, left: Decimal, whole: Decimal, bound: Mapping[str, Decimal], rules: RebalancingSettings
) -> None:
    """Cuts a buy to the cash that is left, or skips it where that is under min_trade_usd.

    `whole`: what would be left, if nothing of the cash were `bound`.
    """
    wanted, paid = line.amount, _paid(line, left, rules)
    line.payable = _paid(line, whole, rules)
    if paid == wanted:
        return
    because = f"; it is kept for {', '.join(list(bound)[:5])}" if paid < line.payable else ""
    if not paid:
        line.side, line.qty, line.notional = "none", None, None
        line.reason = f"{CASH_IS_SHORT}: {left:.2f} USD are left for a buy of {wanted:.2f} USD{because}"
        return
    if line.notional is not None:
        line.notional = paid
    elif line.price is not None:
        line.qty = (paid / line.price).quantize(SHARE)
    line.reason = f"cut from {wanted:.2f} USD: {CASH_IS_SHORT}{because}"


def _paid(line: _Line, cash: Decimal, rules: RebalancingSettings) -> Decimal:
    """What `cash` (USD) pays of a buy, 0 where that is under min_trade_usd: as kernel.affordable decides, and exact, so
    that nothing is spent that is not there, nor left that pays one share more."""
    if line.amount <= cash:
        return line.amount
    step = CENT if line.notional is not None else line.price or Decimal(1)
    paid = (cash / step).quantize(SHARE) * step
    return paid if paid >= Decimal(str(rules.min_trade_usd)) else Decimal(0)


def _row(sequence: int, line: _Line, equity: Decimal) -> dict[str, object]:
    unknown = line.disputed or (line.price is None and line.qty_held > 0)
    return {
        "symbol": line.symbol,
        "sequence": sequence,
        "side": line.side,
        "qty": None if line.qty is None else _text(line.qty),
        "notional": None if line.notional is None else f"{line.notional:f}",
        "price": None if line.price is None else f"{line.price:f}",
        "current_value": None if unknown else float(line.current_value),
        "target_value": float(line.target_value),
        "current_weight": None if unknown else float(line.current_value / equity),
        "target_weight": float(line.target_value / equity),
        "drift": None if unknown else float(line.delta / equity),
        "exit": line.exit,
        "reason": line.reason,
    }


def _text(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _decimal(text: object) -> Decimal | None:
    return Decimal(text) if isinstance(text, str) else None
