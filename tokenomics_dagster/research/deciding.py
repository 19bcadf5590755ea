"""When is decided, and what: from a market's history to the names and weights of each decision. Trading stays out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from numbers import Real
from typing import Any

import numpy as np

from tokenomics_dagster.fundamentals.scoring import FIGURES
from tokenomics_dagster.research.experiment import Experiment, ExperimentError
from tokenomics_dagster.research.finding import find, is_shipped, strange_code
from tokenomics_dagster.research.known import closes, latest, universe
from tokenomics_dagster.research.panel import Bools, Days, Floats, Fundamentals, Ints, Panel
from tokenomics_dagster.research.runs import Decisions
from tokenomics_dagster.research.strategies import FundamentalScores, Market, Ranked, Ranks, Strategy
from tokenomics_dagster.research.view import View, views
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster.settings.fundamentals import ScoreSettings

_SUM = 1 + 1e-6
"""What floats of 32 bits, three of 1/3 or a hundred of 1/100, may add up to."""
"""The most that weights add up to: what is above 1 by less is floats' doing."""


class DecisionError(ExperimentError):
    """What a strategy decided cannot be used; of which day, and of which kind: see lookahead.py."""

    def __init__(self, text: str, day: date, *, ineligible: bool = False) -> None:
        super().__init__(text)
        self.day, self.ineligible = day, ineligible


def decisions(panel: Panel, fundamentals: Fundamentals | None, experiment: Experiment, settings: Settings) -> Decisions:
    """What the experiment's strategy wants to be held, by the sessions of its cadence.

    A shipped strategy is computed on the whole arrays, any other sees a view of each session. Raises ExperimentError
    for a strategy that cannot be found or made, DecisionError, with day and symbol, for what it must not decide.
    """
    return decided(panel, fundamentals, experiment, settings, find(experiment)())


def decided(
    panel: Panel,
    fundamentals: Fundamentals | None,
    experiment: Experiment,
    settings: Settings,
    strategy: Strategy,
) -> Decisions:
    """As `decisions`, of a strategy that has been made."""
    sessions = sessions_of(panel.dates, experiment)
    # A strategy may be anybody's code: it has no use for keys and addresses.
    known = settings.model_copy(
        update={
            "rebalancing": experiment.rules(settings.rebalancing),
            "environment": Environment.model_construct(),
        }
    )
    if fundamentals is None and isinstance(strategy, FundamentalScores):
        raise ExperimentError("strategy = fundamentals needs data.fundamentals: a path, or warehouse")
    if is_shipped(strategy) and isinstance(strategy, Ranked):
        return _ranked(panel, fundamentals, sessions, experiment.universe_size, known, strategy)
    return _seen(panel, fundamentals, sessions, experiment, known, strategy)


def sessions_of(days: Days, experiment: Experiment) -> Ints:
    """Rows of the sessions at whose close is decided: the first of each ISO week or month, or each, from `from` (whose
    first session counts, whatever its weekday) to `to`; each put off by `start_session` sessions."""
    since = np.datetime64(experiment.first) if experiment.first else days[0]
    until = np.datetime64(experiment.last) if experiment.last else days[-1]
    rows = np.flatnonzero((days >= since) & (days <= until))
    if not rows.size:
        raise ExperimentError(
            f"no session lies between {since} and {until}: the prices up to then are of {days[0]} to {days[-1]}"
        )
    within = days[rows]
    if experiment.cadence == "weekly":
        period = (within.astype("datetime64[D]").astype(np.int64) + 3) // 7  # 1970-01-01 was a Thursday
    else:
        period = within.astype("datetime64[M]" if experiment.cadence == "monthly" else "datetime64[D]").astype(np.int64)
    first = np.flatnonzero(np.diff(period, prepend=period[0] - 1)) + experiment.start_session
    first = first[first < rows.size]
    if not first.size:
        raise ExperimentError(
            f"start_session = {experiment.start_session} puts off every decision: there are {rows.size} sessions"
        )
    return rows[first]


@dataclass
class _Book:
    """Decisions as they come."""

    sessions: Ints
    names: list[Ints] = field(default_factory=list)
    weights: list[Floats] = field(default_factory=list)
    eligible: list[int] = field(default_factory=list)
    refused: list[bool] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)

    def add(self, names: Ints, weights: Floats, eligible: int, why_not: str | None = None) -> None:
        self.names.append(names)
        self.weights.append(weights)
        self.eligible.append(eligible)
        self.refused.append(why_not is not None)
        if why_not is not None:
            self.reasons[why_not] += 1

    def closed(self) -> Decisions:
        n = len(self.sessions)
        return Decisions(
            sessions=self.sessions,
            starts=np.concatenate(([0], np.cumsum([len(names) for names in self.names]))).astype(np.int64),
            names=np.concatenate(self.names).astype(np.int64),
            weights=np.concatenate(self.weights),
            eligible=np.array(self.eligible, dtype=np.int64),
            refused=np.array(self.refused),
            warnings=(
                *(f"{count} of {n} decisions were refused: {why}" for why, count in self.reasons.most_common()),
                *self.said,
            ),
        )


_NOBODY: tuple[Ints, Floats] = np.array([], dtype=np.int64), np.array([])


def _ranked(
    panel: Panel, fundamentals: Fundamentals | None, sessions: Ints, size: int, settings: Settings, strategy: Ranked
) -> Decisions:
    scores = scores_of(panel, fundamentals, sessions, settings.fundamentals.score, strategy)
    ranks = strategy.ranks(Market(panel.price, panel.returns, panel.market_cap, scores))
    book = _Book(sessions)
    for row in sessions:
        eligible = universe(panel, row, size)
        names, weights = strategy.hold(ranks(row), eligible, panel.market_cap[row], settings.rebalancing)
        why_not = None if len(names) else strategy.missing if eligible.any() else "no name could be chosen"
        book.add(names, weights, int(eligible.sum()), why_not)
    return book.closed()


def scores_of(
    panel: Panel, fundamentals: Fundamentals | None, sessions: Ints, rules: ScoreSettings, strategy: Ranked
) -> Ranks:
    """The (N,) scores that the strategy gives, NaN where there is none, as they were known at each of these sessions;
    to be asked for in their order. Each row of figures is scored once, however long it counts."""
    if fundamentals is None:
        none = np.full(len(panel.symbols), np.nan)
        return lambda _: none
    points = strategy.points({name: getattr(fundamentals, name) for name in FIGURES}, rules)
    points = np.append(points, np.nan)  # row -1
    known = zip(sessions, latest(fundamentals, panel.symbols, closes(panel.dates[sessions])), strict=True)

    def at(row: int) -> Floats:
        for session, (rows, _) in known:
            if session == row:
                return points[rows]
        raise ValueError(f"row {row} is none of the sessions, or was asked for before a later one")

    return at


def _seen(
    panel: Panel,
    fundamentals: Fundamentals | None,
    sessions: Ints,
    experiment: Experiment,
    settings: Settings,
    strategy: Strategy,
) -> Decisions:
    column = {symbol: at for at, symbol in enumerate(panel.symbols)}
    limits = _Limits(settings.rebalancing.top_n_stocks, settings.rebalancing.max_position_pct / 100)
    book = _Book(sessions)
    for view in views(panel, fundamentals, sessions, experiment.universe_size, settings):
        day, eligible, symbols = view.day, view.eligible.copy(), tuple(view.symbols)
        today = view.price[-1].copy(), view.market_cap[-1].copy()  # the strategy may write over its own
        weights = _weights(_answer(strategy, view, experiment.strategy), day, experiment.strategy)
        _must_be_eligible(weights, day, dict(zip(symbols, range(len(symbols)), strict=True)), eligible, today)
        limits.see(day, weights)
        if weights is None:
            why = "the strategy said nothing" if eligible.any() else "no name could be chosen"
            book.add(*_NOBODY, int(eligible.sum()), why)
            continue
        held = {symbol: weight for symbol, weight in weights.items() if weight > 0}
        names = np.array([column[symbol] for symbol in held], dtype=np.int64)
        book.add(names, np.array(list(held.values()), dtype=np.float64), int(eligible.sum()))
    book.said.extend(limits.sentences())
    return book.closed()


def _answer(strategy: Strategy, view: View, name: str) -> Any:
    day = view.day
    with strange_code(lambda why: DecisionError(f"{day}: the strategy {name} failed: {why}", day)):
        return strategy.decide(view)


def _weights(said: Any, day: date, name: str) -> dict[str, float] | None:
    """As numbers; None where nothing was said. Raises DecisionError for what is no weight."""
    if not isinstance(said, Mapping):
        kind = type(said).__name__
        raise DecisionError(
            f"{day}: the strategy {name} must answer with a mapping of symbols to weights, not {kind}: a Series has "
            "to_dict(), and {} means that everything is kept",
            day,
        )
    for symbol, weight in said.items():
        if not isinstance(symbol, str):
            raise DecisionError(f"{day}: the strategy {name} named {symbol!r}: a symbol is a string", day)
        if isinstance(weight, bool | np.bool_) or not isinstance(weight, Real) or not 0 <= float(weight) <= _SUM:
            raise DecisionError(
                f"{day}: the strategy {name} gave {symbol} the weight {weight!r}: a weight is a number from 0 to 1", day
            )
    weights = {str(symbol): float(weight) for symbol, weight in said.items()}
    total = sum(weights.values())
    if total > _SUM:
        largest = max(weights, key=weights.__getitem__)
        raise DecisionError(
            f"{day}: the weights of the strategy {name} add up to {total:.6f}, and 1 is all there is; the largest is "
            f"{largest} with {weights[largest]:.6f}",
            day,
        )
    # What is above 1 by floats' doing: the engine has no cash for it.
    return {symbol: weight / max(total, 1.0) for symbol, weight in weights.items()} if weights else None


def _must_be_eligible(
    weights: Mapping[str, float] | None,
    day: date,
    places: Mapping[str, int],
    eligible: Bools,
    today: tuple[Floats, Floats],
) -> None:
    """Raises DecisionError for the first name that could not be chosen, with the reason. `places`: of the symbols in
    `eligible` and in today's prices and market caps."""
    price, caps = today
    for symbol, weight in (weights or {}).items():
        if weight == 0 or (symbol in places and eligible[places[symbol]]):
            continue
        if symbol not in places:
            why = "no name of that symbol had appeared by then"
        elif not price[places[symbol]] > 0:
            why = "it has no price that day"
        elif not caps[places[symbol]] > 0:
            why = "its market cap is not known that day"
        else:
            rank = int((caps[price > 0] > caps[places[symbol]]).sum()) + 1
            size = int(eligible.sum())
            why = (
                f"it is number {rank:,} by market cap and {size:,} could be chosen: beyond them are names that are in "
                "the prices because they were large at another time"
                if rank > size
                else "it is in quarantine, or its trading is halted"
            )
        raise DecisionError(
            f"{day}: {symbol} cannot be chosen: {why}. Choose among view.eligible", day, ineligible=True
        )


@dataclass
class _Limits:
    """How far a strategy of one's own goes beyond what the settings say; it is told, not changed."""

    top_n: int
    most: float
    beyond: dict[str, tuple[int, date, float]] = field(default_factory=dict)
    """How often, since when, and the largest."""

    def see(self, day: date, weights: Mapping[str, float] | None) -> None:
        held = [weight for weight in (weights or {}).values() if weight > 0]
        if len(held) > self.top_n:
            self._count("names", day, len(held))
        if held and max(held) > self.most * _SUM:
            self._count("weight", day, max(held))

    def _count(self, what: str, day: date, size: float) -> None:
        count, since, largest = self.beyond.get(what, (0, day, 0.0))
        self.beyond[what] = count + 1, since, max(largest, size)

    def sentences(self) -> Iterator[str]:
        if "names" in self.beyond:
            count, since, largest = self.beyond["names"]
            yield (
                f"the strategy held more than rebalancing.top_n_stocks = {self.top_n} names at {count} decisions, "
                f"first on {since}, at most {largest:.0f}"
            )
        if "weight" in self.beyond:
            count, since, largest = self.beyond["weight"]
            yield (
                f"the strategy gave a name more than rebalancing.max_position_pct = {100 * self.most:g} at {count} "
                f"decisions, first on {since}, at most {100 * largest:.1f} percent"
            )
