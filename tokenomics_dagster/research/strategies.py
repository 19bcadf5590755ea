"""What a strategy is, and the ones that are shipped. A strategy sees a view that ends at its instant, and no more.

A shipped one is a rank of each name: those that rank highest are held. Who may be chosen stands in known.py, when is
decided in deciding.py, and how a strategy is found by its name in finding.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tokenomics_dagster.fundamentals.scoring import FIGURES, score_arrays
from tokenomics_dagster.portfolio.weights import cap_weights, chosen
from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.panel import Bools, Floats, Ints
from tokenomics_dagster.research.view import View
from tokenomics_dagster.settings.fundamentals import ScoreSettings
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

OUT_OF_SAMPLE = date(2025, 1, 1)
"""Of all shipped strategies: what they are may have been shaped by what was before, and by nothing after. One date for
all, set before any result was seen, so that none is given the date that suits it; the 408 sessions of the recorded
history that follow are more than the 252 under which nothing is annualised."""

_LEAST_THERE = 0.9  # of the sessions of a window: whose rows are missing is in doubt
_LEAST_MOVED = 0.5  # a stale price has no volatility; a name that is traded moves nearly daily
_LATE = 5  # sessions after the beginning of a window in which a name must have appeared


class Strategy(Protocol):
    """Anything with this one method; made anew for each run with the experiment's `parameters`."""

    def decide(self, view: View) -> Mapping[str, float]:
        """Weights by symbol, 0 to 1, together at most 1; what is missing is cash. Empty: everything is kept.

        Only names of `view.eligible` may have a weight.
        """
        ...


Ranks = Callable[[int], Floats]
"""(N,) by the row of a session: the higher, the sooner held; NaN is not."""


class Market(NamedTuple):
    """What ranks are made of: (T, N) each, and the (N,) scores of a session by its row."""

    price: Floats
    returns: Floats
    market_cap: Floats
    scores: Ranks


class Ranked(ABC):
    """A shipped strategy: the names that rank highest, none above rebalancing.max_position_pct.

    The ranks of a session are made of its row and those before: of a whole panel they are the very same, bit by bit,
    as of a view that ends there.
    """

    missing: ClassVar[str]
    """Why nobody has a rank, after "of N names that could be chosen "."""

    @abstractmethod
    def ranks(self, market: Market) -> Ranks:
        """The rank of each name (N,) at a session, by its row; NaN where it has none."""

    def points(self, figures: Mapping[str, Floats], rules: ScoreSettings) -> Floats:
        """The score of each row of figures, by the columns of `scoring.FIGURES`; NaN where there is none."""
        roe, debt, revenue, eps, book = (figures[name] for name in FIGURES)
        return score_arrays(roe, debt, revenue, eps, book, rules)[0]

    def least(self, rules: RebalancingSettings) -> float:
        """The rank under which nobody is held."""
        return -np.inf

    def proportional(self, rules: RebalancingSettings) -> bool:
        """Whether weights are proportional to the rank; else they are equal."""
        return False

    def hold(self, rank: Floats, eligible: Bools, caps: Floats, rules: RebalancingSettings) -> tuple[Ints, Floats]:
        """Names by falling rank, and their weights: both empty where nobody can be held."""
        names = chosen(np.where(eligible, rank, np.nan), caps, rules.top_n_stocks, self.least(rules))
        raw = rank[names] if self.proportional(rules) else np.ones(len(names))
        # Only min_score 0 lets a score of 0 in; proportional to it is nothing.
        names, raw = names[raw > 0], raw[raw > 0]
        return names, cap_weights(raw, rules.max_position_pct / 100) if len(names) else raw

    def decide(self, view: View) -> Mapping[str, float]:
        figures = view.figures.reindex(list(view.symbols))
        scores = self.points({name: figures[name].to_numpy() for name in FIGURES}, view.settings.fundamentals.score)
        market = Market(view.price, view.returns, view.market_cap, lambda _: scores)
        rank = self.ranks(market)(len(view.price) - 1)
        names, weights = self.hold(rank, view.eligible, view.market_cap[-1], view.settings.rebalancing)
        return {view.symbols[name]: float(weight) for name, weight in zip(names, weights, strict=True)}


@dataclass(frozen=True)
class FundamentalScores(Ranked):
    """The live rules: the highest scores of at least `min_score`; among equal ones the larger market cap.

    `without_debt`, which is not the live rule: where debt/equity is missing a name is scored by ROE and growth alone,
    their weights made to 100; for records that know the debt of few (80 of the 500 largest in the SEC's quarters).
    """

    without_debt: bool = False
    missing: ClassVar[str] = "none has a score of at least rebalancing.min_score"

    def points(self, figures: Mapping[str, Floats], rules: ScoreSettings) -> Floats:
        scores = super().points(figures, rules)
        if not self.without_debt:
            return scores
        debt = figures["debt_to_equity"]
        unknown = ~np.isfinite(debt)
        # At its worst debt has no points, so that what is left are those of the other two.
        others = super().points(
            {**figures, "debt_to_equity": np.where(unknown, rules.debt_to_equity.worst, debt)}, rules
        )
        return np.where(unknown, others * 100 / (100 - rules.debt_to_equity.weight), scores)

    def ranks(self, market: Market) -> Ranks:
        return market.scores

    def least(self, rules: RebalancingSettings) -> float:
        return rules.min_score

    def proportional(self, rules: RebalancingSettings) -> bool:
        return rules.weighting == "score"


@dataclass(frozen=True)
class EqualWeight(Ranked):
    """The largest of the universe, each the same (convention C3)."""

    missing = "none has a market cap"

    def ranks(self, market: Market) -> Ranks:
        return lambda row: market.market_cap[row]


@dataclass(frozen=True)
class CapWeight(EqualWeight):
    """The largest of the universe, in proportion to their market caps (convention C3)."""

    def proportional(self, rules: RebalancingSettings) -> bool:
        return True


@dataclass(frozen=True)
class Momentum(Ranked):
    """12-1: the highest growth from `lookback` to `skip` sessions ago, equally weighted (Jegadeesh and Titman 1993; the
    last month is left out for its reversal, Jegadeesh 1990)."""

    lookback: int = 252
    skip: int = 21
    missing: ClassVar[str] = "none has rows on nine of ten sessions of the lookback"

    def __post_init__(self) -> None:
        _check(1 <= self.lookback <= 5_000, "lookback", self.lookback, "1 to 5000 sessions")
        _check(0 <= self.skip < self.lookback, "skip", self.skip, "0 sessions or more, and fewer than lookback")

    def ranks(self, market: Market) -> Ranks:
        with np.errstate(over="ignore"):
            growth = np.cumprod(1 + market.returns, axis=0)
        there = np.cumsum(~np.isnan(market.price), axis=0, dtype=np.int32)

        def at(row: int) -> Floats:
            start, end = row - self.lookback, row - self.skip
            if start < 0:
                return np.full(market.price.shape[1], np.nan)
            with np.errstate(all="ignore"):  # who lost everything has no growth
                rank = growth[end] / growth[start] - 1
            return np.where(_lasting(there, start, row) & np.isfinite(rank), rank, np.nan)

        return at


@dataclass(frozen=True)
class LowVolatility(Ranked):
    """The lowest standard deviation of daily returns over `lookback` sessions, equally weighted (Blitz and van Vliet
    2007). A price that moved on fewer than half of them is stale, and nothing is known of its volatility."""

    lookback: int = 252
    missing: ClassVar[str] = "none has rows on nine of ten sessions of the lookback, and moved on half of them"

    def __post_init__(self) -> None:
        _check(20 <= self.lookback <= 5_000, "lookback", self.lookback, "20 to 5000 sessions")

    def ranks(self, market: Market) -> Ranks:
        n = self.lookback
        total, squares = np.cumsum(market.returns, axis=0), np.cumsum(market.returns**2, axis=0)
        moved = np.cumsum(market.returns != 0, axis=0, dtype=np.int32)
        there = np.cumsum(~np.isnan(market.price), axis=0, dtype=np.int32)

        def at(row: int) -> Floats:
            start = row - n
            if start < 0:
                return np.full(market.price.shape[1], np.nan)
            variance = (squares[row] - squares[start] - (total[row] - total[start]) ** 2 / n) / (n - 1)
            lively = moved[row] - moved[start] >= _LEAST_MOVED * n
            sound = _lasting(there, start, row) & lively & (variance > 0)
            return np.where(sound, -np.sqrt(np.maximum(variance, 0)), np.nan)

        return at


def _lasting(there: NDArray[np.int32], start: int, row: int) -> Bools:
    """Who had appeared when the window began, and has rows on nine of ten of its sessions; `there` counts rows."""
    enough = there[row] - there[start] >= _LEAST_THERE * (row - start)
    return enough & (there[min(start + _LATE, row)] > 0)


def _check(fits: bool, name: str, value: float, allowed: str) -> None:
    if not fits:
        raise ExperimentError(f"parameters.{name} = {value} is not allowed: it must be {allowed}")


SHIPPED: Mapping[str, type[Ranked]] = {
    "fundamentals": FundamentalScores,
    "equal_weight": EqualWeight,
    "cap_weight": CapWeight,
    "momentum": Momentum,
    "low_volatility": LowVolatility,
}
