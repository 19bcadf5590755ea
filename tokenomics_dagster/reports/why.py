"""Why a name was bought, sold, or left out, and what moved its score, in whole sentences. Pure.

What is told comes from the tables that the decision rested on; where they do not tell it, that is said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.portfolio.weights import chosen
from tokenomics_dagster.reports.figures import percent
from tokenomics_dagster.reports.values import by_symbol, number
from tokenomics_dagster.settings.fundamentals import ScoreSettings
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

if TYPE_CHECKING:
    import pandas as pd

UNTOLD = "no record says why"
PARTS = {"roe_points": "roe_pct", "debt_points": "debt_to_equity", "growth_points": "growth_pct"}
"""The points of a score's parts in a `Scores` table, and the rule of each in ScoreSettings."""
_NAMES = {"roe_points": "ROE", "debt_points": "debt/equity", "growth_points": "growth"}
_FIGURES = {
    "roe_points": (("ROE", "roe_ttm_pct", " %"),),
    "debt_points": (("debt/equity", "debt_to_equity", ""),),
    "growth_points": (("revenue growth", "revenue_growth_yoy_pct", " %"), ("EPS growth", "eps_growth_yoy_pct", " %")),
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a week was chosen from: rows of `Scores` and places by symbol, the rules of then (None: not told by earlier
    versions), and why others are not followed."""

    rows: Mapping[str, Mapping[str, Any]]
    places: Mapping[str, int]
    rules: RebalancingSettings | None
    dropped: Mapping[str, str]

    def why_not(self, symbol: str) -> str:
        """Why a name is not among the targets."""
        row = self.rows.get(symbol)
        if row is None:
            return (
                f"it is not followed: {self.dropped[symbol]}"
                if symbol in self.dropped
                else f"it has no score; {UNTOLD}"
            )
        if isinstance(row["reason"], str):
            return f"it has no score: {row['reason']}"
        if self.rules is None:
            return UNTOLD
        if row["score"] < self.rules.min_score:
            return f"its score of {row['score']:.1f} is under the least of {self.rules.min_score:g}"
        place = self.places.get(symbol)
        if place is not None and place > self.rules.top_n_stocks:
            most = self.rules.top_n_stocks
            return f"it is number {place} by its score of {row['score']:.1f}, and the best {most} are held"
        return UNTOLD

    def standing(self, symbol: str) -> str:
        """Its place and score; empty where it has none."""
        row, place = self.rows.get(symbol), self.places.get(symbol)
        if row is None or place is None:
            return ""
        return f"number {place} with {row['score']:.1f} points"


def chosen_from(scores: pd.DataFrame | None, rules: RebalancingSettings | None, dropped: Mapping[str, str]) -> Chosen:
    """`scores` is a `Scores` frame. Places are those of all that may be held: as weights.py chooses."""
    if scores is None:
        return Chosen({}, {}, rules, dropped)
    ordered = scores.sort_values("symbol", ignore_index=True)
    least = 0.0 if rules is None else rules.min_score
    order = chosen(ordered["score"], ordered["market_cap_musd"], len(ordered), least)
    places = {symbol: at for at, symbol in enumerate(ordered["symbol"].iloc[order], start=1)}
    return Chosen(by_symbol(ordered), places, rules, dropped)


def why_traded(side: str, row: Mapping[str, Any] | None, symbol: str, among: Chosen) -> str:
    """`row` is the name's of the `TradePlan` that the order belongs to; None where that is not stored any more."""
    if row is None:
        return UNTOLD
    if row["exit"]:
        return f"not meant to be held any more: {among.why_not(symbol)}"
    held, meant = row["current_weight"], row["target_weight"]
    place = among.standing(symbol)
    because = f" ({place})" if place else ""
    if side == "buy" and held == 0:
        text = f"new{f': {place}' if place else ''}; meant to be {percent(meant, 2)} of equity"
    else:
        done = "bought" if side == "buy" else "sold"
        text = f"{done} the difference: {percent(number(held), 2)} held, {percent(meant, 2)} meant{because}"
    return f"{text}; {row['reason']}" if isinstance(row["reason"], str) else text


def contributions(row: Mapping[str, Any], rules: ScoreSettings | None) -> dict[str, float] | None:
    """Points of the score by what gave them; they add up to it. None where there is no score, or no rules are told."""
    if rules is None or not math.isfinite(row["score"]):
        return None
    return {part: row[part] * getattr(rules, rule).weight / 100 for part, rule in PARTS.items()}


def cause_of(
    before: Mapping[str, Any], now: Mapping[str, Any], then: ScoreSettings | None, rules: ScoreSettings | None
) -> str:
    """The part that moved a score the most, with its figures."""
    old, new = contributions(before, then), contributions(now, rules)
    if old is None or new is None:
        return UNTOLD
    part = max(PARTS, key=lambda one: abs(new[one] - old[one]))
    figures = [
        f"{name} {_figure(before[column], unit)} to {_figure(now[column], unit)}"
        for name, column, unit in _FIGURES[part]
        if before[column] != now[column] and (math.isfinite(before[column]) or math.isfinite(now[column]))
    ]
    told = ", ".join(figures) or f"{_NAMES[part]}, by a changed rule"
    return f"{told} ({new[part] - old[part]:+.1f} points)"


def _figure(value: float, unit: str) -> str:
    return f"{value:,.2f}{unit}" if math.isfinite(value) else "missing"
