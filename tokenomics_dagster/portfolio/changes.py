"""What has changed between two decisions: who came, who went and why, which scores and weights moved. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.fundamentals.explained import UNITS, cause
from tokenomics_dagster.portfolio.ranking import NotChosen, Ranking
from tokenomics_dagster.universe.renames import renamed

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.portfolio.weeks import Decided

_Row = Mapping[Any, Any]
_Links = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CameIn:
    """A target that was none before, and why it was none then; `why_not` None: that is not known any more."""

    symbol: str
    name: str | None
    weight: float
    score: float
    score_before: float | None
    why_not: NotChosen | None


@dataclass(frozen=True, slots=True)
class WentOut:
    """A target that is none any more, and why."""

    symbol: str
    name: str | None
    weight_before: float
    score_before: float
    score: float | None
    why: NotChosen | None


@dataclass(frozen=True, slots=True)
class FigureMove:
    """A figure as it was scored with before and after; None: not told. `points` of score by it alone."""

    figure: str
    before: float | None
    after: float | None
    points: float


@dataclass(frozen=True, slots=True)
class ScoreMove:
    """`figures` are those that changed, the one that moved the score most first; with `rules` (other settings) and
    `together` (what none does alone) their points add up to after less before."""

    symbol: str
    name: str | None
    before: float
    after: float
    figures: tuple[FigureMove, ...]
    rules: float
    together: float


@dataclass(frozen=True, slots=True)
class WeightMove:
    """Shares of the equity, of a target of both weeks."""

    symbol: str
    name: str | None
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Changes:
    """Between two weeks, by the symbols of the later one; `renamed` are new symbols by those of the earlier one.

    Score moves are of all that have a score in both, the largest first; weights of targets of both. `turnover`: half of
    all that weights moved by, cash included. `rules`: settings of the decisions that differ, before and after.
    """

    before: date
    after: date
    same_scores: bool
    renamed: Mapping[str, str]
    came_in: tuple[CameIn, ...]
    went_out: tuple[WentOut, ...]
    scores: tuple[ScoreMove, ...]
    weights: tuple[WeightMove, ...]
    cash_before: float
    cash_after: float
    turnover: float
    rules: Mapping[str, tuple[Any, Any]]


def changes(before: Decided, after: Decided, links: Mapping[str, str]) -> Changes:
    """`links`: new symbols by old ones, of all that was renamed until now."""
    old, new = _by_symbol(before.weights, links), _by_symbol(after.weights, links)
    scores_before, scores_after = _by_symbol(before.scores.frame, links), _by_symbol(after.scores.frame, links)
    names = _names(before, links) | _names(after, links)
    moved = [
        move
        for symbol in scores_before.keys() & scores_after.keys()
        if (move := _score_move(symbol, names, before, after, scores_before[symbol], scores_after[symbol])) is not None
    ]
    weights = {s: (old[s]["weight"] if s in old else 0.0, new[s]["weight"] if s in new else 0.0) for s in {*old, *new}}
    kept = [WeightMove(s, names.get(s), *weights[s]) for s in old.keys() & new.keys() if weights[s][0] != weights[s][1]]
    total = sum(abs(last - first) for first, last in weights.values()) + abs(after.cash_weight - before.cash_weight)
    rules = before.rules.model_dump(mode="json"), after.rules.model_dump(mode="json")
    return Changes(
        before.week,
        after.week,
        before.scores.as_of == after.scores.as_of,
        {one: links[one] for one in before.weight_of if one in links},
        _came_in(before, [new[s] for s in new if s not in old], scores_before, names, links),
        _went_out(after, [old[s] for s in old if s not in new], scores_after, names, links),
        tuple(sorted(moved, key=lambda one: (-abs(one.after - one.before), one.symbol))),
        tuple(sorted(kept, key=lambda one: (-abs(one.after - one.before), one.symbol))),
        before.cash_weight,
        after.cash_weight,
        total / 2,
        {key: (rules[0][key], rules[1][key]) for key in rules[0] if rules[0][key] != rules[1].get(key)},
    )


def _came_in(
    before: Decided, rows: Sequence[_Row], scores: Mapping[str, _Row], names: Mapping[str, str], links: _Links
) -> tuple[CameIn, ...]:
    ranking, found = before.ranking, []
    for row in rows:
        symbol = row["symbol"]
        earlier = _known(scores.get(symbol, {}).get("score"))
        why = _why_not(before, ranking, symbol, links)
        found.append(CameIn(symbol, names.get(symbol), row["weight"], row["score"], earlier, why))
    return tuple(sorted(found, key=lambda one: (-one.weight, one.symbol)))


def _went_out(
    after: Decided, rows: Sequence[_Row], scores: Mapping[str, _Row], names: Mapping[str, str], links: _Links
) -> tuple[WentOut, ...]:
    ranking, found = after.ranking, []
    for row in rows:
        symbol = row["symbol"]
        later = _known(scores.get(symbol, {}).get("score"))
        why = _why_not(after, ranking, symbol, links)
        found.append(WentOut(symbol, names.get(symbol), row["weight"], row["score"], later, why))
    return tuple(sorted(found, key=lambda one: (-one.weight_before, one.symbol)))


def _score_move(
    symbol: str,
    names: Mapping[str, str],
    before: Decided,
    after: Decided,
    was: _Row,
    now: _Row,
) -> ScoreMove | None:
    first, last = _known(was["score"]), _known(now["score"])
    if first is None or last is None or first == last:
        return None
    old, new = ({name: _known(row[name]) for name in UNITS} for row in (was, now))
    found = cause(old, new, before.scores.rules, after.scores.rules)
    if found is None:  # its figures gave no score, and a row says otherwise: it was changed by hand
        return None
    moves = [FigureMove(name, old[name], new[name], points) for name, points in found.points.items()]
    moves.sort(key=lambda one: -abs(one.points))
    return ScoreMove(symbol, names.get(symbol), first, last, tuple(moves), found.rules, found.together)


def _why_not(week: Decided, ranking: Ranking, symbol: str, links: _Links) -> NotChosen | None:
    """By the symbol that it had in that week."""
    dropped = week.universe.details.dropped
    known = {*ranking.frame["symbol"], *dropped}
    called = [symbol, *(old for old, new in links.items() if new == symbol)]
    return ranking.why_not(next((one for one in called if one in known), symbol), dropped)


def _by_symbol(frame: pd.DataFrame, links: _Links) -> dict[str, _Row]:
    """Its rows, by the symbols of now."""
    return {row["symbol"]: row for row in renamed(frame, links).to_dict("records")}


def _names(week: Decided, links: Mapping[str, str]) -> dict[str, str]:
    frame = week.universe.frame
    known = zip(frame["symbol"], frame["name"], strict=True)
    return {links.get(symbol, symbol): name for symbol, name in known if isinstance(name, str)}


def _known(value: Any) -> float | None:
    return None if value is None or value != value else float(value)
