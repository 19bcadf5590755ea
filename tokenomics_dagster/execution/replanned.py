"""A trade plan decided again in floats, by portfolio/kernel.py alone, with what was kept of its inputs. Pure.

Nothing of trades.py, which made the plan, is used here: what is compared must not be the same code twice. Comparing is
parity.py's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tokenomics_dagster.model.plan import CASH_IS_SHORT, Plan
from tokenomics_dagster.portfolio import kernel
from tokenomics_dagster.portfolio.schema import PlanInputs
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

_CENTS, _FRACTIONS = 100, 1e9  # what amounts are rounded down to: a cent, and the nine decimals of a share
_REASONS: Mapping[int, tuple[str, ...]] = {
    kernel.TRADE: (),
    kernel.CUT: ("cut from ",),
    kernel.NOT_FREE: ("open orders hold ", "short calls need "),
    kernel.DRIFT: ("drift of ",),
    kernel.MINIMUM: ("trade of ",),
    kernel.UNDER_A_SHARE: ("not fractionable",),
    kernel.SMALL_SHARES: ("whole shares for ",),
}


@dataclass(slots=True)
class Again:
    """A name as it is decided again; USD and shares, `shares` above zero to buy, between `least` and `most` where cash
    cuts it: what is rounded to cents on the way may pay a share more or less.

    `reasons`: how the reason must begin, one of them; none: there is no reason; None: it is not the kernel's to give.
    """

    symbol: str
    exit: bool
    fractional: bool
    price: float | None
    target_value: float
    current_value: float | None
    shares: float = 0.0
    least: float = 0.0
    most: float = 0.0
    reasons: tuple[str, ...] | None = None

    @property
    def amount(self) -> float:
        """What the trade moves, USD, above zero, as it is rounded down."""
        usd = abs(self.shares) * (self.price or 0.0)
        return _down(usd, _CENTS) if self.fractional and self.shares > 0 else usd

    @property
    def drift(self) -> float:
        return self.target_value - (self.current_value or 0.0)

    @property
    def place(self) -> tuple[int, float, float, str]:
        """What a plan is sorted by. Rounded: what is equal in decimals must not be told apart by the last bit."""
        if self.shares < 0:
            return (0 if self.exit else 1, 0.0, -round(self.amount, 6), self.symbol)
        if self.shares > 0:
            return (2, -round(self.drift / self.target_value, 12), -round(self.drift, 6), self.symbol)
        return (3, 0.0, 0.0, self.symbol)


def replanned(
    plan: Plan, inputs: PlanInputs, weights: Mapping[str, float], prices: Mapping[str, float | None], bound: float
) -> list[Again]:
    """All names that are held, wanted or in `prices` and left alone, in the order of the plan.

    `weights` under the symbols of the plan; `prices` by symbol, USD, None where a name has none; `bound` USD of the
    plan's cash that others may spend, infinite where nobody can tell.
    """
    rules = RebalancingSettings.model_validate(inputs.rules)
    equity = float(plan.equity)
    buffer = equity * rules.cash_buffer_pct / 100
    held = {symbol: float(qty) for symbol, qty in plan.positions.items() if qty > 0}
    names = sorted(held.keys() | weights.keys() | (prices.keys() & {*inputs.left_alone}))
    lines = [
        _decided(symbol, weights.get(symbol), equity - buffer, held.get(symbol, 0.0), prices.get(symbol), inputs, rules)
        for symbol in names
    ]
    lines.sort(key=lambda line: line.place)
    cash = float(plan.cash) - buffer - bound
    cash += sum(_down(line.amount, _CENTS) for line in lines if line.shares < 0)
    _pay([line for line in lines if line.shares > 0], cash, rules.min_trade_usd, len(lines) / _CENTS)
    return sorted(lines, key=lambda line: line.place)


def _decided(
    symbol: str,
    weight: float | None,
    invested: float,
    held: float,
    price: float | None,
    inputs: PlanInputs,
    rules: RebalancingSettings,
) -> Again:
    line = Again(
        symbol,
        exit=weight is None,
        fractional=symbol not in inputs.whole,
        price=price,
        target_value=(weight or 0.0) * invested,
        current_value=None if price is None and held else held * (price or 0.0),
    )
    if price is None or symbol in inputs.left_alone:
        return line
    code, shares = kernel.decide(
        line.target_value,
        price,
        held,
        float(inputs.free.get(symbol, held)),
        line.fractional,
        rules.rebalance_threshold_pct / 100,
        rules.min_trade_usd,
    )
    if line.fractional and shares < 0:
        shares = -_down(-shares, _FRACTIONS)
        if code == kernel.CUT and not shares:  # less is free than the least fraction that is traded
            code = kernel.NOT_FREE
    line.shares = line.least = line.most = shares
    # What is left of an exit, dust or a fraction of what trades in whole shares, has its own reason.
    line.reasons = None if line.exit and code in (kernel.TRADE, kernel.NOTHING) else _REASONS[code]
    return line


def _pay(buys: list[Again], cash: float, minimum: float, off: float) -> None:
    """Cuts the buys, in their order, to what `cash` pays; `off`: by how much that may be another one for rounding."""
    for line in buys:
        assert line.price is not None
        wanted = line.shares

        def paid(usd: float, line: Again = line, wanted: float = wanted) -> float:
            assert line.price is not None
            return kernel.affordable(wanted, line.price, line.price, max(usd, 0.0), line.fractional, minimum)

        line.shares, line.least, line.most = paid(cash), paid(cash - off), paid(cash + off)
        if line.shares < wanted:
            line.reasons = ("cut from ",) if line.shares else (CASH_IS_SHORT,)
        cash -= line.amount


def _down(number: float, parts: float) -> float:
    """Rounded down to that many parts of one; what lacks a thousandth of a part has it: floats hold no decimals."""
    return math.floor(number * parts + 1e-3) / parts
