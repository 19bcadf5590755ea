"""Where a score stands among the others, and how far from the cut. Pure; who is chosen is decided by weights.py."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from tokenomics_dagster.portfolio.decide import choosable
from tokenomics_dagster.portfolio.weights import chosen
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

Out = Literal["not in the universe", "no score", "score too low", "rank too low", "weight of nothing"]


@dataclass(frozen=True, slots=True)
class Place:
    """`rank` among `of` scores, 1 is the highest; `held` of them are chosen, `top_n` at most.

    `cut`: what the score of one that is out must reach, or what that of one that is in must not fall under; `distance`
    from it, points, below zero for one that is out. At the cut itself the larger market cap comes first.
    """

    score: float
    rank: int
    of: int
    held: int
    chosen: bool
    top_n: int
    min_score: float
    cut: float
    distance: float


@dataclass(frozen=True, slots=True)
class NotChosen:
    """Why a symbol is not chosen, one sentence."""

    kind: Out
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """All that a decision could choose from: a `Scores` frame under the symbols of then, the scored ones in `order`."""

    frame: pd.DataFrame
    order: tuple[str, ...]
    chosen: frozenset[str]
    scores: Mapping[str, float]
    rules: RebalancingSettings
    left: frozenset[str]

    @property
    def entry(self) -> float:
        """What the score of one that is out must reach."""
        full = len(self.chosen) == self.rules.top_n_stocks
        return max(self.rules.min_score, self.scores[self.order[len(self.chosen) - 1]] if full else 0.0)

    def place(self, symbol: str) -> Place | None:
        """None where it has no score or cannot be chosen."""
        if symbol not in self.scores:
            return None
        held, rules, inside = len(self.chosen), self.rules, symbol in self.chosen
        cut = self.entry
        if inside:
            # The first one out takes the place of one whose score falls under its own.
            first_out = self.scores[self.order[held]] if held == rules.top_n_stocks and held < len(self.order) else 0.0
            cut = max(rules.min_score, first_out)
        score = self.scores[symbol]
        rank = self.order.index(symbol) + 1
        return Place(score, rank, len(self.order), held, inside, rules.top_n_stocks, rules.min_score, cut, score - cut)

    def why_not(self, symbol: str, dropped: Mapping[str, str]) -> NotChosen | None:
        """Why it is not chosen; None where it is. `dropped`: the universe's reasons by symbol."""
        if symbol in self.chosen:
            return None
        place = self.place(symbol)
        if place is not None:
            return _too_low(place)
        rows = self.frame[self.frame["symbol"] == symbol]
        if not rows.empty:
            return NotChosen("no score", str(rows.iloc[0]["reason"]))
        if symbol in self.left:
            return NotChosen("not in the universe", dropped.get(symbol, "it has left the universe since it was scored"))
        return NotChosen("not in the universe", dropped.get(symbol, "it was not in the universe that was scored"))


def rank(scores: pd.DataFrame, universe: pd.DataFrame, links: Mapping[str, str], rules: RebalancingSettings) -> Ranking:
    """The ranking that `decide` weights, of the same arguments."""
    frame, left = choosable(scores, universe, links)
    ordered = frame.sort_values("symbol", ignore_index=True)
    points, caps = ordered["score"], ordered["market_cap_musd"]
    symbols = ordered["symbol"].to_numpy()
    everyone = chosen(points, caps, len(ordered), -np.inf)
    known = dict(zip(symbols[everyone], points.to_numpy()[everyone].tolist(), strict=True))
    selected: Collection[str] = symbols[chosen(points, caps, rules.top_n_stocks, rules.min_score)]
    # A weight in proportion to 0 is none.
    held = {one for one in selected if known[one] > 0 or rules.weighting == "equal"}
    return Ranking(frame, tuple(symbols[everyone]), frozenset(held), known, rules, frozenset(left))


def _too_low(place: Place) -> NotChosen:
    if place.score < place.min_score:
        return NotChosen(
            "score too low", f"its score is {place.score:.2f}, rebalancing.min_score is {place.min_score:g}"
        )
    if place.rank > place.top_n:
        return NotChosen(
            "rank too low",
            f"it is number {place.rank} of {place.of} scores, rebalancing.top_n_stocks is {place.top_n}: the last one "
            f"in has {place.cut:.2f} points, it has {place.score:.2f}",
        )
    return NotChosen("weight of nothing", "its score is 0, and weights are in proportion to scores")
