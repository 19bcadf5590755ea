"""The same experiment with one setting changed at a time, and how wide its results then lie. Running them stays out.

What comes of it is a band: the highest of many is luck, and nothing here picks one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenomics_dagster.research.experiment import Experiment
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

CAPITALS = (1e4, 1e5, 1e6, 1e7, 1e8, 1e9)
IMPACT = 1.0
"""Y of the impact where an experiment has none: a trade of a whole day's volume moves the price by a day's volatility.
Without impact every capital would do alike, and say nothing of capacity."""
_CADENCES = ("daily", "weekly", "monthly")
_STARTS = {"daily": (), "weekly": (1, 2, 3, 4), "monthly": (5, 10, 15)}


@dataclass(frozen=True, slots=True)
class Band:
    """Of one figure over `count` variants: lowest, median, highest, and `missing` in how many it is undefined.
    `sentence` says so in words."""

    low: float | None
    median: float | None
    high: float | None
    count: int
    missing: int
    sentence: str


def variants(experiment: Experiment, settings: RebalancingSettings) -> list[tuple[str, Experiment]]:
    """(label, experiment) of each setting changed alone: cap, top_n, threshold, min_score where there are scores,
    cadence, start session, costs twice. The experiment itself is not among them, and what changes nothing (half of a
    threshold of 0, twice no costs) neither: it would narrow the band."""
    rules = experiment.rules(settings)
    made = [(f"{key} = {value:g}", _with(experiment, key, value)) for key, value in _numbers(experiment, settings)] + [
        *((f"cadence = {one}", _with(experiment, "cadence", one)) for one in _CADENCES if one != experiment.cadence),
        *(
            (f"start_session = {late}", _with(experiment, "start_session", late))
            for late in _STARTS[experiment.cadence]
            if late != experiment.start_session
        ),
        ("costs x 2", _with(experiment, "costs", _twice(experiment))),
    ]
    same: dict[str, Any] = {"rebalancing": {}, "top_n": None}
    base = experiment.model_copy(update=same)
    return [(label, one) for label, one in made if one.rules(settings) != rules or one.model_copy(update=same) != base]


def capacity(experiment: Experiment) -> list[tuple[str, Experiment]]:
    """(label, experiment) by the capital at the start, from 10,000 USD to 1 bn, with impact: where the experiment has
    none the label says which was put in."""
    costs, put_in = experiment.costs, ""
    if not costs.impact:
        costs, put_in = costs.model_copy(update={"impact": IMPACT}), f", impact Y = {IMPACT:g} put in"
    return [
        (f"{usd:,.0f} USD{put_in}", experiment.model_copy(update={"capital": usd, "costs": costs})) for usd in CAPITALS
    ]


def band(results: Mapping[str, float | None], figure: str, text: Callable[[float], str]) -> Band:
    """The band of a figure by the variants' labels; None is undefined, and counted. `text` writes its values."""
    known = [value for value in results.values() if value is not None and np.isfinite(value)]
    missing = len(results) - len(known)
    unknown = f"; in {missing} it is undefined" if missing else ""
    if not known:
        return Band(None, None, None, len(results), missing, f"{figure} is undefined in all {len(results)} variants")
    low, median, high = np.quantile(known, (0, 0.5, 1)).tolist()
    return Band(
        low,
        median,
        high,
        len(results),
        missing,
        f"{figure} is {text(low)} to {text(high)}, median {text(median)}, over {len(results)} variants of one setting "
        f"each{unknown}: a band of noise, and its highest end is nothing to pick",
    )


def _numbers(experiment: Experiment, settings: RebalancingSettings) -> Iterator[tuple[str, float]]:
    rules = experiment.rules(settings)
    cap, top, threshold = rules.max_position_pct, rules.top_n_stocks, rules.rebalance_threshold_pct
    yield "max_position_pct", cap / 2
    yield "max_position_pct", min(2 * cap, 100.0)
    yield "top_n", max(top // 2, 1)
    yield "top_n", min(2 * top, experiment.universe_size)
    yield "rebalance_threshold_pct", threshold / 2
    yield "rebalance_threshold_pct", min(2 * threshold, 100.0)
    if experiment.strategy == "fundamentals":
        yield "min_score", max(rules.min_score - 10, 0.0)
        yield "min_score", min(rules.min_score + 10, 100.0)


def _with(experiment: Experiment, key: str, value: Any) -> Experiment:
    if key in RebalancingSettings.model_fields:
        key, value = "rebalancing", dict(experiment.rebalancing) | {key: value}
    return experiment.model_copy(update={key: value})


def _twice(experiment: Experiment) -> Any:
    costs = experiment.costs
    twice = {key: 2 * getattr(costs, key) for key in ("half_spread_bps", "fee_usd", "impact")}
    return costs.model_copy(update=twice)
