"""Whether a traded week is what the rules give again on the inputs that were kept: its scores, its targets, its plan.

Pure. Decided again is by the arrays and floats that the research room decides history by (scoring.score_arrays,
weights.chosen and cap_weights, portfolio/kernel.py): where the live plans part from them, a backtest tells of another
strategy. What the warehouse has of a week is read in recorded.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import ValidationError

from tokenomics_dagster.execution.replanned import Again, replanned
from tokenomics_dagster.fundamentals import scoring
from tokenomics_dagster.fundamentals.schema import ScoresDetails
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.portfolio.schema import TargetWeightsDetails, TradePlanDetails
from tokenomics_dagster.portfolio.weights import cap_weights, chosen
from tokenomics_dagster.settings.fundamentals import ScoreSettings
from tokenomics_dagster.settings.rebalancing import RebalancingSettings
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster.universe.renames import renamed

_SAME = 1e-9  # relative: of figures that the same arithmetic gives, in whatever order it is done
_CENT, _FRACTION = 0.011, 2e-9  # what amounts are rounded down to, USD and shares, and a little
_NOT_FETCHED = "financials have not been fetched"
_WEIGHTS = ("rank", "score", "weight")


class Difference(NamedTuple):
    """One element of a table that is not what the rules give again; as texts."""

    table: str
    symbol: str
    field: str
    recorded: str
    recomputed: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is kept of a week that was traded; `absent` says of the rest, by table, why it is not there.

    `universe` and `links`: what could be chosen from when the weights were made, and the new symbols, by old ones, of
    what had been renamed since the scores.
    """

    week: date
    plan_id: str
    plan: Made[TradePlanDetails] | None = None
    weights: Made[TargetWeightsDetails] | None = None
    scores: Made[ScoresDetails] | None = None
    universe: frozenset[str] | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parity:
    """`compared`: elements by table; `absent`: why a table was not decided again, by table."""

    week: date
    plan_id: str
    compared: Mapping[str, int]
    differences: Sequence[Difference]
    absent: Mapping[str, str]


class _Comparison:
    """Counts what is compared, and keeps what differs."""

    def __init__(self) -> None:
        self.compared: dict[str, int] = {}
        self.differences: list[Difference] = []

    def add(self, table: str, symbol: str, what: str, recorded: Any, recomputed: Any, *, within: float = 0.0) -> None:
        self.compared[table] = self.compared.get(table, 0) + 1
        if not _same(recorded, recomputed, within):
            self.differences.append(Difference(table, symbol, what, _text(recorded), _text(recomputed)))


def parity(of: Recorded) -> Parity:
    """Decides the week again, each table from the recorded one before it, by the rules that were kept with it."""
    found, absent = _Comparison(), dict(of.absent)

    def compare(table: str, compared: Callable[[], None]) -> None:
        try:
            compared()
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            absent[table] = f"the rules that it was made by are none of this version: {where}: {first['msg']}"

    plan, weights, scores, universe = of.plan, of.weights, of.scores, of.universe
    if scores is not None and scores.details.rules is None:
        absent["scores"] = "the version that stored them did not keep the rules that they were made by"
    elif scores is not None:
        compare("scores", lambda: _compare_scores(found, scores))
    if weights is not None and weights.details.rules is None:
        absent["target_weights"] = "the version that stored them did not keep the rules that they were made by"
    elif weights is not None and scores is not None and universe is not None:
        chosen_from = renamed(scores.frame, of.links)
        chosen_from = chosen_from[chosen_from["symbol"].isin(universe)]
        compare("target_weights", lambda: _compare_weights(found, weights, chosen_from))
    if plan is not None and plan.details.inputs is None:
        absent["trade_plan"] = "the version that stored it did not keep what it was decided with"
    elif plan is not None and weights is not None:
        compare("trade_plan", lambda: _compare_plan(found, plan, weights.frame))
    return Parity(of.week, of.plan_id, found.compared, found.differences, absent)


def _compare_scores(found: _Comparison, scores: Made[ScoresDetails]) -> None:
    """Score and reason of each name against the figures in its own row."""
    frame, barred = scores.frame, scores.details.barred or {}
    rules = ScoreSettings.model_validate(scores.details.rules)
    roe, debt, revenue, eps, book = (frame[figure].to_numpy() for figure in scoring.FIGURES)
    points, codes = scoring.score_arrays(roe, debt, revenue, eps, book, rules)
    unfetched = frame["known_at"].isna()
    rows = zip(frame["symbol"], frame["score"], frame["reason"], points, codes, unfetched, strict=True)
    for symbol, score, reason, again, code, unknown in rows:
        why = barred.get(symbol) or (_NOT_FETCHED if unknown else scoring.sentence(int(code)))
        found.add("scores", symbol, "score", score, None if why else float(again))
        found.add("scores", symbol, "reason", reason, why)


def _compare_weights(found: _Comparison, weights: Made[TargetWeightsDetails], scores: pd.DataFrame) -> None:
    """Rank, score and weight of each name that is or would be held."""
    rules = RebalancingSettings.model_validate(weights.details.rules)
    scores = scores.sort_values("symbol", ignore_index=True)
    held = chosen(scores["score"], scores["market_cap_musd"], rules.top_n_stocks, rules.min_score)
    points = scores["score"].to_numpy()[held]
    if rules.weighting == "score":
        held, points = held[points > 0], points[points > 0]
    raw = points if rules.weighting == "score" else np.ones(len(held))
    shares = cap_weights(raw, rules.max_position_pct / 100) if len(held) else raw
    names = scores["symbol"].to_numpy()[held]
    again = dict(zip(names, zip(range(1, len(held) + 1), points, shares, strict=True), strict=True))
    recorded = {row[0]: row[1:] for row in weights.frame[["symbol", *_WEIGHTS]].itertuples(index=False, name=None)}
    for symbol in sorted(recorded.keys() | again.keys()):
        nothing = (None,) * len(_WEIGHTS)
        for what, was, now in zip(_WEIGHTS, recorded.get(symbol, nothing), again.get(symbol, nothing), strict=True):
            found.add("target_weights", symbol, what, was, now)


def _compare_plan(found: _Comparison, plan: Made[TradePlanDetails], weights: pd.DataFrame) -> None:
    """Place, values, side, amount and reason of each name."""
    assert plan.details.inputs is not None
    targets = renamed(weights, plan.details.renamed)
    recorded: dict[str, Mapping[Any, Any]] = {str(row["symbol"]): row for row in plan.frame.to_dict("records")}
    of_plan = Plan.from_document(plan.details.plan)
    lines = replanned(
        of_plan,
        plan.details.inputs,
        dict(zip(targets["symbol"], targets["weight"], strict=True)),
        {symbol: _decimal(row["price"]) for symbol, row in recorded.items()},
        sum(plan.details.bound_cash.values(), Decimal(0)),
    )
    for place, line in enumerate(lines, start=1):
        row = recorded.pop(line.symbol, None)
        if row is None:
            found.add("trade_plan", line.symbol, "row", None, "there")
        else:
            _compare_row(found, place, line, row, of_plan.equity)
    for symbol in recorded:
        found.add("trade_plan", symbol, "row", "there", None)


def _compare_row(found: _Comparison, place: int, line: Again, row: Mapping[Any, Any], equity: Decimal) -> None:
    qty, notional, price = (_decimal(row[column]) for column in ("qty", "notional", "price"))
    traded = float(notional / price if notional is not None and price else qty or 0)
    traded = -traded if row["side"] == "sell" else traded
    rounding = 0.0
    if line.fractional and line.price:
        rounding = _CENT / float(line.price) if line.shares > 0 else _FRACTION
    # Where cash cuts, a cent of rounding on the way may pay for a share more or less: both are right.
    again = min(max(traded, line.least), line.most)
    again = again if line.least < line.most and abs(traded - again) <= rounding else line.shares
    found.add("trade_plan", line.symbol, "sequence", row["sequence"], place)
    found.add("trade_plan", line.symbol, "exit", bool(row["exit"]), line.exit)
    found.add("trade_plan", line.symbol, "target_value", row["target_value"], float(line.target))
    found.add("trade_plan", line.symbol, "side", row["side"], "sell" if again < 0 else "buy" if again else "none")
    found.add("trade_plan", line.symbol, "shares", traded, again, within=rounding)
    if qty is not None and notional is not None:
        found.add("trade_plan", line.symbol, "qty", qty, None)  # an order is of shares or of USD
    found.add("trade_plan", line.symbol, "target_weight", row["target_weight"], float(line.target / equity))
    if row["current_value"] == row["current_value"]:
        drift = float((line.target - line.current) / equity)
        found.add("trade_plan", line.symbol, "current_value", row["current_value"], float(line.current))
        found.add("trade_plan", line.symbol, "current_weight", row["current_weight"], float(line.current / equity))
        found.add("trade_plan", line.symbol, "drift", row["drift"], drift, within=_SAME)
    if line.reasons is not None and again == line.shares:
        reason = row["reason"] if isinstance(row["reason"], str) else None
        fits = reason is not None and reason.startswith(line.reasons) if line.reasons else reason is None
        expected = " or ".join(f"{one}.." for one in line.reasons) or None
        found.add("trade_plan", line.symbol, "reason", reason, reason if fits else expected)


def _same(recorded: Any, recomputed: Any, within: float) -> bool:
    was, now = (None if one is None or one != one else one for one in (recorded, recomputed))
    if was is None or now is None or isinstance(was, str) or isinstance(now, str):
        return bool(was == now)
    return math.isclose(was, now, rel_tol=_SAME, abs_tol=within)


def _decimal(text: Any) -> Decimal | None:
    return Decimal(text) if isinstance(text, str) else None


def _text(value: Any) -> str:
    return "none" if value is None or value != value else f"{value:.12g}" if isinstance(value, float) else str(value)
