"""A score taken apart: its parts with their inputs, what each figure moves, and which figure a change came from.

Pure. Every number is asked of scoring.py by exchanging figures: there is no second formula here. Reading stored tables
is told.py's, who is chosen by the score the portfolio's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tokenomics_dagster.fundamentals import scoring
from tokenomics_dagster.settings.fundamentals import LinearScore, ScoreSettings

Figures = Mapping[str, float | None]
"""By the names of scoring.FIGURES; None and NaN are missing."""

ROE, DEBT, REVENUE, EPS, BOOK = scoring.FIGURES
STEPS = {ROE: 1.0, DEBT: -0.1, REVENUE: 1.0, EPS: 1.0}
"""One unit for the better of what has points: a percentage point, a tenth of the ratio."""
UNITS = {
    ROE: "percent",
    DEBT: "ratio",
    REVENUE: "percent",
    EPS: "percent",
    BOOK: "USD per share",
}
# What a sum of shares may err by: five terms of up to 100 points.
_ROUNDING = 1e-9
_DOUBLINGS, _HALVINGS = 24, 80


@dataclass(frozen=True, slots=True)
class Part:
    """One of the three parts: linear from `worst` (0 points) to `best` (100), clipped, then weighted.

    `figure` is what is put into the line (of growth the mean of those there are), `points` 0 to 100, `adds` what of the
    score it is: points x weight_pct / 100. None: without the figure there are none.
    """

    name: str
    inputs: Mapping[str, float | None]
    figure: float | None
    worst: float
    best: float
    weight_pct: float
    points: float | None
    adds: float | None


@dataclass(frozen=True, slots=True)
class Lever:
    """What one figure can do alone, all others as they are.

    `per_unit`: points of score by one unit (`unit`) for the better; None where there is no score. `needed`: the value
    from which on the score is on the other side of what was asked for; None where no value of it is enough.
    """

    figure: str
    value: float | None
    unit: str
    per_unit: float | None
    needed: float | None


@dataclass(frozen=True, slots=True)
class Cause:
    """What moved a score: `points` by each figure that has changed, exchanged alone; `rules` by other settings;
    `together` is what none of them does alone. They add up to the move."""

    points: Mapping[str, float]
    rules: float
    together: float

    @property
    def largest(self) -> str | None:
        """The figure that moved it most; None where none did."""
        moved = {name: abs(points) for name, points in self.points.items() if abs(points) > _ROUNDING}
        return max(moved, key=lambda name: moved[name]) if moved else None


def score_of(figures: Figures, rules: ScoreSettings) -> float | None:
    """Points, 0 to 100; None where there is no score."""
    roe, debt, revenue, eps, book = (np.array([_number(figures, name)]) for name in scoring.FIGURES)
    scores, codes = scoring.score_arrays(roe, debt, revenue, eps, book, rules)
    return float(scores[0]) if codes[0] == 0 else None


def parts(figures: Figures, rules: ScoreSettings) -> tuple[Part, ...]:
    """The parts in the order of the rules, also where there is no score for want of another one."""
    roe, debt, revenue, eps = (np.array([_finite(figures, name)]) for name in (ROE, DEBT, REVENUE, EPS))
    points = scoring.part_points(roe, debt, revenue, eps, rules)
    growth = float(scoring.mean_growth(revenue, eps)[0])
    return (
        _part("ROE", {ROE: roe[0]}, float(roe[0]), rules.roe_pct, points["roe"][0]),
        _part("debt/equity", {DEBT: debt[0]}, float(debt[0]), rules.debt_to_equity, points["debt"][0]),
        _part("growth", {REVENUE: revenue[0], EPS: eps[0]}, growth, rules.growth_pct, points["growth"][0]),
    )


def levers(figures: Figures, rules: ScoreSettings, wanted: float | None) -> tuple[Lever, ...]:
    """What each figure moves, and from which value on it brings the score to `wanted` (or below it, where it is there
    now). Book value is no lever: it gives no points, but must not be negative."""
    return tuple(
        Lever(
            name,
            _or_none(_finite(figures, name)),
            "0.1 less" if step < 0 else "1 percentage point more",
            _per_unit(figures, name, step, rules),
            None if wanted is None else figure_for(figures, name, wanted, rules),
        )
        for name, step in STEPS.items()
    )


def figure_for(figures: Figures, name: str, wanted: float, rules: ScoreSettings) -> float | None:
    """The value of this figure from which on the score is at least `wanted`, or under it where it is not now; None
    where it cannot do that alone. Of one that is missing: the value that it would need to have, the worst where any is
    enough. Found by halving: the score rises or falls with each figure all along."""
    start = _finite(figures, name)
    rule = {ROE: rules.roe_pct, DEBT: rules.debt_to_equity}.get(name, rules.growth_pct)
    missing = math.isnan(start)
    start = rule.worst if missing else start
    now = score_of({**figures, name: start}, rules)
    if now is None:
        return None
    if missing and now >= wanted:
        return start
    rising = now < wanted
    # The better is up for all but debt/equity.
    upwards = rising == (STEPS[name] > 0)

    def reached(value: float) -> bool:
        score = score_of({**figures, name: value}, rules)
        return score is not None and (score >= wanted) == rising

    near, far, span = start, start, abs(rule.best - rule.worst)
    for _ in range(_DOUBLINGS):
        far = start + span if upwards else start - span
        far = max(far, 0.0) if name == DEBT else far  # below zero is negative equity
        if reached(far):
            break
        span *= 2
    else:
        return None
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        near, far = (near, middle) if reached(middle) else (middle, far)
    return far


def cause(before: Figures, after: Figures, rules_before: ScoreSettings, rules_after: ScoreSettings) -> Cause | None:
    """Where the move from one score to the other came from; None where one of them is none.

    Each figure is exchanged alone, under the new rules: the points are what the score would have moved by it.
    """
    first, last = score_of(before, rules_before), score_of(after, rules_after)
    start = score_of(before, rules_after)
    if first is None or last is None or start is None:
        return None
    moved = {}
    for name in scoring.FIGURES:
        old, new = _finite(before, name), _finite(after, name)
        if old != new and not (math.isnan(old) and math.isnan(new)):
            alone = score_of({**before, name: after.get(name)}, rules_after)
            # Without it there is no score: then it does nothing alone, and its share is told with the others'.
            moved[name] = 0.0 if alone is None else alone - start
    rest = (last - start) - sum(moved.values())
    return Cause(moved, start - first, rest if abs(rest) > _ROUNDING else 0.0)


def _per_unit(figures: Figures, name: str, step: float, rules: ScoreSettings) -> float | None:
    value, now = _finite(figures, name), score_of(figures, rules)
    if now is None or math.isnan(value):
        return None
    better = score_of({**figures, name: max(value + step, 0.0) if name == DEBT else value + step}, rules)
    return None if better is None else better - now


def _part(name: str, inputs: Mapping[str, float], figure: float, rule: LinearScore, points: float) -> Part:
    known = _or_none(float(points))
    return Part(
        name,
        {one: _or_none(float(value)) for one, value in inputs.items()},
        _or_none(figure),
        rule.worst,
        rule.best,
        rule.weight,
        known,
        None if known is None else known * rule.weight / 100,
    )


def _number(figures: Figures, name: str) -> float:
    value = figures.get(name)
    return math.nan if value is None else float(value)


def _finite(figures: Figures, name: str) -> float:
    value = _number(figures, name)
    return value if math.isfinite(value) else math.nan


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
