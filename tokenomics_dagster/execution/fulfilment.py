"""What of a week was traded, and what was not, in USD and names, by reason and by size. Pure.

Planned is what the newest plan's orders move at their prices, what planning had to leave out although it was meant (no
price, a doubt, somebody's open order, cash that it may take), and what orders of the week's earlier plans have traded:
how often a week was interrupted or run again changes nothing of what it meant. Not traded is what of that was left out
by a guard, refused, not afforded, cut, not filled, or is not final. A drift or a trade too small to be meant
(rebalancing.*), what whole shares cannot reach, what a moved price has made needless, and what an order costs more or
less than at its price, are no part of either. What the broker does not trade is told, and is no part of either while it
is little: no later session would trade it. Much of it at once may be a wrong list of assets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, get_args

from tokenomics_dagster.execution.funding import NOT_ENOUGH_CASH
from tokenomics_dagster.execution.states import ABANDONED, FINAL, REFUSED
from tokenomics_dagster.model.plan import CASH_IS_SHORT, CENT, NEGLIGIBLE, NOT_TRADABLE, PlannedOrder
from tokenomics_dagster.model.trading import booked
from tokenomics_dagster.settings.guards import GuardSettings
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.portfolio.schema import TradePlanDetails
    from tokenomics_dagster.storage.records import FillRow, LedgerOrder, Made

Kind = Literal["not planned", "not tradable", "left out", "not afforded", "cut", "refused", "not filled", "not final"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What of one trade was not done, USD, and why. `counts`: whether the week is tried again for it."""

    symbol: str
    side: str
    usd: Decimal
    kind: Kind
    reason: str
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Fulfilment:
    """Amounts in USD. `names` is their number as planned, `shortfalls` the largest first; those that do not count are
    no part of the sums.
    """

    equity: Decimal
    planned_usd: Decimal
    names: int
    shortfalls: tuple[Shortfall, ...]

    @property
    def untraded_usd(self) -> Decimal:
        return _usd(one for one in self.shortfalls if one.counts)

    @property
    def not_bought_usd(self) -> Decimal:
        return _usd(one for one in self.shortfalls if one.side == "buy")

    @property
    def traded_usd(self) -> Decimal:
        return self.planned_usd - self.untraded_usd

    @property
    def untraded_pct(self) -> Decimal:
        """Of what was planned; 0 when nothing was."""
        return 100 * self.untraded_usd / self.planned_usd if self.planned_usd else Decimal(0)

    @property
    def by_kind(self) -> dict[Kind, tuple[Decimal, int]]:
        """USD and names not traded, the largest sum first; last what does not count."""
        found = {
            kind: (_usd(ofkind), len(ofkind))
            for kind in KINDS
            if (ofkind := [one for one in self.shortfalls if one.kind == kind])
        }
        uncounted = {one.kind for one in self.shortfalls if not one.counts}
        return dict(sorted(found.items(), key=lambda item: (item[0] in uncounted, -item[1][0])))

    def is_enough(self, guards: GuardSettings) -> bool:
        """Whether so little is missing that the week is done."""
        ignored = self.equity * Decimal(str(guards.ignored_untraded_pct)) / 100
        return self.untraded_pct <= Decimal(str(guards.max_untraded_pct)) or self.untraded_usd <= ignored

    def sentence(self, guards: GuardSettings) -> str:
        """The sum with its limit, then the reasons by size, each with its largest names."""
        short = len({one.symbol for one in self.shortfalls if one.counts})
        total = (
            f"{self.untraded_usd:,.2f} of {self.planned_usd:,.2f} USD in {short} of {self.names} names "
            f"were not traded ({self.untraded_pct:.1f} %, guards.max_untraded_pct is {guards.max_untraded_pct:g})"
        )
        parts = []
        for kind, (usd, names) in self.by_kind.items():
            largest = [one for one in self.shortfalls if one.kind == kind][:3]
            some = "; ".join(f"{one.side} {one.symbol} {one.usd:,.2f}: {one.reason}" for one in largest)
            remark = "" if largest[0].counts else ", so little that it is told and not counted"
            parts.append(f"{kind}{remark}: {usd:,.2f} USD in {names} ({some})")
        return ". ".join([total, *parts])

    def to_document(self) -> dict[str, Any]:
        """JSON-able form; `from_document` is its inverse."""
        return {
            "equity": str(self.equity),
            "planned_usd": str(self.planned_usd),
            "untraded_usd": str(self.untraded_usd),
            "names": self.names,
            "shortfalls": [{**asdict(one), "usd": str(one.usd)} for one in self.shortfalls],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Fulfilment:
        return cls(
            equity=Decimal(document["equity"]),
            planned_usd=Decimal(document["planned_usd"]),
            names=document["names"],
            shortfalls=tuple(Shortfall(**{**one, "usd": Decimal(one["usd"])}) for one in document["shortfalls"]),
        )


def fulfilment(
    equity: Decimal,
    orders: Sequence[PlannedOrder],
    rows: Iterable[LedgerOrder],
    skipped: Mapping[str, str],
    cuts: Mapping[str, str],
    not_planned: Sequence[Shortfall] = (),
    earlier: Iterable[LedgerOrder] = (),
) -> Fulfilment:
    """Compares the orders that were meant with the ledger's `rows` of the plan, when all is sent and waited for.

    `skipped` and `cuts` are the reasons by symbol; `not_planned` is what `left_by_planning` finds; `earlier` are the
    rows of the week's other plans.
    """
    by_order = {(row.symbol, row.side): row for row in rows}
    found = [_shortfall(order, by_order.get((order.symbol, order.side)), skipped, cuts) for order in orders]
    shortfalls = [*not_planned, *(one for one in found if one is not None)]
    left_out = [one for one in not_planned if one.counts]
    traded = [row for row in earlier if row.filled_qty]
    planned = sum((one.value for one in orders), _usd(left_out)) + sum(map(_filled_usd, traded), Decimal(0))
    names = {one.symbol for one in orders} | {one.symbol for one in left_out} | {row.symbol for row in traded}
    shortfalls.sort(key=lambda one: (-one.usd, one.symbol))
    return Fulfilment(equity, planned, len(names), tuple(shortfalls))


def _shortfall(
    order: PlannedOrder, row: LedgerOrder | None, skipped: Mapping[str, str], cuts: Mapping[str, str]
) -> Shortfall | None:
    reason = skipped.get(order.symbol, "it was not sent")
    if row is None or (row.status not in FINAL and not row.broker_id):
        kind: Kind = "not afforded" if reason.startswith(NOT_ENOUGH_CASH) else "left out"
        return Shortfall(order.symbol, order.side, order.value, kind, reason)
    if row.status in (REFUSED, ABANDONED):
        return Shortfall(order.symbol, order.side, order.value, "refused", row.note or reason)
    traded = _filled_usd(row) if order.qty is None else order.value * row.filled_qty / order.qty
    missing = order.value - traded
    if missing <= NEGLIGIBLE * order.value:
        return None
    if row.status not in FINAL:
        return Shortfall(order.symbol, order.side, missing, "not final", f"the order is still {row.status}")
    if row.status == "filled":
        return Shortfall(order.symbol, order.side, missing, "cut", cuts.get(order.symbol) or _sent_for_less(row))
    ended = f"the order ended {row.status} with {row.filled_qty.normalize():f} shares filled"
    return Shortfall(order.symbol, order.side, missing, "not filled", ended)


def _sent_for_less(row: LedgerOrder) -> str:
    if row.qty is not None and row.filled_qty < row.qty:
        return f"the broker calls it filled with {row.filled_qty.normalize():f} of {row.qty.normalize():f} shares"
    if row.notional is not None and _filled_usd(row) < row.notional * (1 - NEGLIGIBLE):
        return f"the broker calls it filled for {_filled_usd(row):,.2f} of {row.notional:,.2f} USD"
    return "it was sent for less than was planned"


def _filled_usd(row: LedgerOrder) -> Decimal:
    return row.filled_qty * (row.filled_avg_price or Decimal(0))


def _usd(shortfalls: Iterable[Shortfall]) -> Decimal:
    return sum((one.usd for one in shortfalls), Decimal(0))


def left_by_planning(
    plan: Made[TradePlanDetails], equity: Decimal, rules: RebalancingSettings, guards: GuardSettings
) -> list[Shortfall]:
    """What a `TradePlan` does not trade although it is meant; `equity` in USD.

    What the broker does not trade counts only where it is many of the plan's names (guards.min_flawed_names and
    max_bad_quotes_pct, as for bad quotes), or more of the equity than guards.max_untraded_pct.
    """
    reasons = dict(zip(plan.frame["symbol"], plan.frame["reason"], strict=True))
    found: list[Shortfall] = []
    for symbol, usd in _not_planned(plan, rules).items():
        side = "buy" if usd > 0 else "sell"
        kind: Kind = "not tradable" if reasons[symbol] == NOT_TRADABLE else "not planned"
        found.append(Shortfall(symbol, side, abs(usd), kind, reasons[symbol]))
    names = list(reasons.values()).count(NOT_TRADABLE)
    many = guards.too_many_flawed(names, len(reasons))
    usd = _usd(one for one in found if one.kind == "not tradable")
    if many or 100 * usd > Decimal(str(guards.max_untraded_pct)) * equity:
        return found
    return [replace(one, counts=one.kind != "not tradable") for one in found]


def kept_idle(plan: Made[TradePlanDetails], rules: RebalancingSettings) -> dict[str, tuple[Decimal, int]]:
    """What a `TradePlan` wants, does not buy and does not mean to, by the rule: USD and names, the largest first.

    It is cash that stays, in each run, until prices or the rule change. What cash does not pay for is no part of it.
    """
    missed, frame = _not_planned(plan, rules).keys(), plan.frame
    found: dict[str, list[Decimal]] = {}
    for row in frame[frame["current_value"].notna() & ~frame["symbol"].isin(missed)].to_dict("records"):
        target = Decimal(str(row["target_value"]))
        lacking = target - Decimal(str(row["current_value"]))
        bought = Decimal(row["qty"]) * Decimal(row["price"]) if isinstance(row["qty"], str) else Decimal(0)
        if lacking < CENT or isinstance(row["notional"], str) or CASH_IS_SHORT in str(row["reason"]):
            continue
        if lacking >= rules.least_drift(target):
            rule = "not to be had in whole shares, and they do not trade in fractions"
        elif lacking < Decimal(str(rules.min_trade_usd)):
            rule = f"trades under rebalancing.min_trade_usd = {rules.min_trade_usd:g} USD"
        else:
            rule = f"drifts under rebalancing.rebalance_threshold_pct = {rules.rebalance_threshold_pct:g} %"
        found.setdefault(rule, []).append(lacking - bought)
    sums = {rule: (sum(lacking, Decimal(0)), len(lacking)) for rule, lacking in found.items()}
    return dict(sorted(sums.items(), key=lambda item: -item[1][0]))


def _not_planned(plan: Made[TradePlanDetails], rules: RebalancingSettings) -> Mapping[str, Decimal]:
    """USD by symbol, above zero to buy, below to sell."""
    not_planned = plan.details.not_planned
    return _not_planned_earlier(plan.frame, rules) if not_planned is None else not_planned


def _not_planned_earlier(plan: pd.DataFrame, rules: RebalancingSettings) -> dict[str, Decimal]:
    """Of a plan that was made before plans told it: all that it leaves alone, so that the week is planned anew."""
    found = {}
    for row in plan[plan["side"] == "none"].to_dict("records"):
        target = Decimal(str(row["target_value"]))
        drift = target - (Decimal(0) if math.isnan(row["current_value"]) else Decimal(str(row["current_value"])))
        if abs(drift) >= (Decimal(0) if row["exit"] else rules.least_drift(target)) and drift:
            found[str(row["symbol"])] = round(drift, 2)
    return found


def by_order(fills: Iterable[FillRow]) -> dict[str, list[FillRow]]:
    """By the broker's id of their order."""
    found: dict[str, list[FillRow]] = {}
    for fill in fills:
        found.setdefault(fill.broker_order_id, []).append(fill)
    return found


def moved(row: LedgerOrder, fills: Sequence[FillRow]) -> Decimal:
    """USD that an order moved: its fills as the broker booked them; where not all are known, its shares at their mean
    price."""
    if fills and sum((fill.qty for fill in fills), Decimal(0)) == row.filled_qty:
        return sum((booked(fill.qty, fill.price) for fill in fills), Decimal(0))
    return booked(row.filled_qty, row.filled_avg_price or Decimal(0))
