"""What was decided for a week, with what it was decided from, as the warehouse has it. Only reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from tokenomics_dagster.fundamentals.told import Scored, scored
from tokenomics_dagster.portfolio.ranking import Ranking, rank
from tokenomics_dagster.portfolio.schema import TargetWeights, TargetWeightsDetails, TradePlanDetails
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.rebalancing import RebalancingSettings
from tokenomics_dagster.universe.told import newest_universe

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from tokenomics_dagster.storage.records import Stored
    from tokenomics_dagster.storage.warehouse import Warehouse
    from tokenomics_dagster.universe.schema import UniverseDetails


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """The newest `TargetWeights` of a week, the scores and the universe that they were made from, and the rules.

    `rules_known` is false where an earlier version did not keep the rules and those of now stand in.
    """

    week: date
    as_of: datetime
    weights: pd.DataFrame
    cash_weight: float
    rules: RebalancingSettings
    rules_known: bool
    scores: Scored
    universe: Stored[UniverseDetails]

    @property
    def weight_of(self) -> dict[str, float]:
        return dict(zip(self.weights["symbol"], self.weights["weight"], strict=True))

    @property
    def ranking(self) -> Ranking:
        return rank(self.scores.frame, self.universe.frame, self.universe.details.renamed, self.rules)


def decided_weeks(store: Warehouse) -> list[date]:
    """The weeks that have targets, the last one first."""
    return sorted({date.fromisoformat(one.partition) for one in store.versions("target_weights")}, reverse=True)


def decided(store: Warehouse, week: date, settings: Settings) -> Decided | None:
    """None where the week has no targets, or what they were made from is not there. Raises WarehouseError."""
    found = store.load_stored("target_weights", TargetWeights, TargetWeightsDetails, partition=week.isoformat())
    if found is None:
        return None
    scores = scored(store, settings, found.details.scores_as_of)
    universe = newest_universe(store, found.details.universe_as_of or found.as_of)
    if scores is None or universe is None:
        return None
    kept = found.details.rules
    return Decided(
        week,
        found.as_of,
        found.frame,
        found.details.cash_weight,
        settings.rebalancing if kept is None else RebalancingSettings.model_validate(kept),
        kept is not None,
        scores,
        universe,
    )


def symbols_of_now(store: Warehouse, heard: Mapping[str, str] | None = None) -> dict[str, str]:
    """New symbols by old ones, each to its last, as the newest universe and the newest plan of any account know them:
    the plan hears of a rename with the broker, the universe up to a month later. Empty before there is either.

    `heard`: links that the broker tells now (portfolio/standing.py), which both may not know yet."""
    universe, plans = newest_universe(store), store.history("trade_plan", limit=1)
    links = dict(plans[0].details_as(TradePlanDetails).renamed) if plans else {}
    links |= {} if universe is None else universe.details.renamed
    links |= heard or {}
    return {old: _last(old, links) for old in links if _last(old, links) != old}


def _last(symbol: str, links: Mapping[str, str]) -> str:
    seen = {symbol}
    while symbol in links and links[symbol] not in seen:
        symbol = links[symbol]
        seen.add(symbol)
    return symbol
