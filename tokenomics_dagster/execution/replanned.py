"""A trade plan decided again by portfolio/kernel.py alone, with what was kept of its inputs. Pure.

Nothing of trades.py, which made the plan, is used here: what is compared must not be the same code twice. What is
decided, and how much, are the kernel's floats; in exact decimals is what it is given and what its trades are sorted by,
for a bit more or less may stand on the other side of what it tolerates. Comparing is parity.py's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal, localcontext

from tokenomics_dagster.model.plan import CASH_IS_SHORT, FRACTION, SHARE, Plan
from tokenomics_dagster.portfolio import kernel
from tokenomics_dagster.portfolio.schema import PlanInputs
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

_EXACT = Context(prec=60, rounding=ROUND_DOWN)
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
    """A name as it is decided again: USD, and `shares` above zero to buy, which may be between `least` and `most` where
    cash cuts them: what is rounded to cents on the way may pay a share more or less.

    `reasons`: how the reason must begin, one of them; none: there is no reason; None: it is not the kernel's to give.
    """

    symbol: str
    exit: bool
    fractional: bool
    price: Decimal | None
    target: Decimal
    current: Decimal
    shares: float = 0.0
    least: float = 0.0
    most: float = 0.0
    reasons: tuple[str, ...] | None = None

    @property
    def place(self) -> tuple[int, Decimal, Decimal, str]:
        """What a plan is sorted by."""
        none = Decimal(0)
        if self.shares < 0:
            return (0 if self.exit else 1, none, -self.amount, self.symbol)
        if self.shares > 0:
            lacking = self.target - self.current
            return (2, -lacking / self.target, -lacking, self.symbol)
        return (3, none, none, self.symbol)

    @property
    def amount(self) -> Decimal:
        """What the trade moves, USD: shares have nine decimals, and a buy of a fraction is of cents."""
        shares, price = Decimal(str(abs(self.shares))), self.price or Decimal(0)
        if self.fractional and self.shares > 0:
            return _cents(shares * price)
        return shares * price


def replanned(
    plan: Plan, inputs: PlanInputs, weights: Mapping[str, float], prices: Mapping[str, Decimal | None], bound: Decimal
) -> list[Again]:
    """All names that are held, wanted or in `prices` and left alone, in the order of the plan.

    `weights` under the symbols of the plan; `prices` by symbol, USD, None where a name has none; `bound` USD of the
    plan's cash that others may spend, infinite where nobody can tell.
    """
    rules = RebalancingSettings.model_validate(inputs.rules)
    held = {symbol: qty for symbol, qty in plan.positions.items() if qty > 0}
    names = sorted(held.keys() | weights.keys() | (prices.keys() & {*inputs.left_alone}))
    with localcontext(_EXACT):
        buffer = plan.equity * Decimal(str(rules.cash_buffer_pct)) / 100
        lines = []
        for symbol in names:
            qty, price, weight = held.get(symbol, Decimal(0)), prices.get(symbol), weights.get(symbol)
            line = Again(
                symbol,
                exit=weight is None,
                fractional=symbol not in inputs.whole,
                price=price,
                target=Decimal(str(weight or 0.0)) * (plan.equity - buffer),
                current=qty * (price or 0),
            )
            if price is not None and symbol not in inputs.left_alone:
                _decide(line, price, qty, inputs.free.get(symbol, qty), rules)
            lines.append(line)
        lines.sort(key=lambda line: line.place)
        cash = plan.cash - buffer - bound + sum((_cents(line.amount) for line in lines if line.shares < 0), Decimal(0))
        _pay([line for line in lines if line.shares > 0], cash, rules.min_trade_usd, Decimal(len(lines)) / 100)
        return sorted(lines, key=lambda line: line.place)


def _decide(line: Again, price: Decimal, held: Decimal, free: Decimal, rules: RebalancingSettings) -> None:
    threshold = Decimal(str(rules.rebalance_threshold_pct)) / 100
    code, shares = kernel.decide(
        float(line.target),
        float(price),
        float(held),
        float(free),
        line.fractional,
        float(threshold),
        rules.min_trade_usd,
    )
    if shares < 0:
        # What the kernel tolerates is not there to sell.
        step = FRACTION if line.fractional else SHARE
        wanted = min(_nine_decimals(-shares), float(held.quantize(step)))
        sold = min(wanted, float(free.quantize(step)))
        if code == kernel.CUT or sold < wanted:
            code = kernel.CUT if sold else kernel.NOT_FREE
        shares = -sold
    line.shares = line.least = line.most = shares
    # What is left of an exit, dust or a fraction of what trades in whole shares, has its own reason.
    line.reasons = None if line.exit and code != kernel.CUT else _REASONS[code]


def _pay(buys: list[Again], cash: Decimal, minimum: float, off: Decimal) -> None:
    """Cuts the buys, in their order, to what `cash` pays; `off`: by how much that may be another one for rounding."""
    for line in buys:
        wanted, price = line.shares, float(line.price or 0)
        line.shares, line.least, line.most = (
            kernel.affordable(wanted, price, price, max(float(usd), 0.0), line.fractional, minimum)
            for usd in (cash, cash - off, cash + off)
        )
        if line.shares < wanted:
            line.reasons = ("cut from ",) if line.shares else (CASH_IS_SHORT,)
        cash -= line.amount


def _cents(usd: Decimal) -> Decimal:
    """Rounded down; what lacks a thousandth of a cent has it: floats hold no decimals."""
    return (usd + Decimal("0.00001")).quantize(Decimal("0.01"))


def _nine_decimals(shares: float) -> float:
    return math.floor(shares * 1e9 + 1e-3) / 1e9
