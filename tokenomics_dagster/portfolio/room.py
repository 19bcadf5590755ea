"""What others need to know of target weights and trade plan; the job that makes them is the execution's."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from tokenomics_dagster.kit.outcome import Outcome, Stage
from tokenomics_dagster.kit.partitions import rebalance_weeks
from tokenomics_dagster.kit.room import AgeLimits, Kind, Known, Room
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.portfolio.assets import target_weights, trade_plan
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.portfolio.schema import TradePlanDetails
    from tokenomics_dagster.storage.records import Stored, Version
    from tokenomics_dagster.storage.warehouse import Warehouse

PLAN = "trade_plan"
# A rebalance of a Monday is followed by one of a Tuesday where that Monday is a holiday: eight days.
WEEKLY = AgeLimits(timedelta(days=8.5), timedelta(days=9))


def _partitions(settings: Settings) -> Mapping[str, dg.PartitionsDefinition]:
    return dict.fromkeys(("target_weights", "trade_plan"), rebalance_weeks(settings.rebalancing))


def first_week(store: "Warehouse", running: date) -> date:
    """The first week with a decision, else the running one, by its Monday: with it the partitions begin, so that none
    is missing that there could not be, and none vanishes that is recorded."""
    decided = (date.fromisoformat(one.partition) for one in store.versions("target_weights"))
    return min([running, *decided])


def newest_plan(store: "Warehouse", period: str) -> "Stored[TradePlanDetails] | None":
    """The plan that a period has now; None before its first. Raises WarehouseError where it is not what was stored."""
    from tokenomics_dagster.portfolio.schema import TradePlan, TradePlanDetails

    return store.load_stored(PLAN, TradePlan, TradePlanDetails, partition=period)


def newest_targets(store: "Warehouse") -> dict[str, float]:
    """What was decided last: the share of the portfolio by symbol, 0 to 1; empty before the first time."""
    from tokenomics_dagster.portfolio.schema import TargetWeights

    decided = store.history("target_weights", limit=1)
    weights = store.load_snapshot("target_weights", TargetWeights, partition=decided[0].partition) if decided else None
    return {} if weights is None else dict(zip(weights["symbol"], weights["weight"], strict=True))


def _outcome(store: "Warehouse", now: datetime) -> Outcome:
    from tokenomics_dagster.portfolio.schema import TargetWeights, TargetWeightsDetails

    week = calendar.week_of(now).isoformat()
    decided = store.load_stored("target_weights", TargetWeights, TargetWeightsDetails, partition=week)
    assert decided is not None
    weights, cash = decided.frame, decided.details.cash_weight
    return Outcome(
        {"target_weights": dict(zip(weights["symbol"], weights["weight"], strict=True)), "cash_weight": cash},
        [Stage("held", len(weights), f"cash {cash:.2%}")],
    )


def _weights_at(store: "Warehouse", instant: datetime, symbol: str | None) -> Known | None:
    from tokenomics_dagster.portfolio.schema import TargetWeights

    decided = _last_decision(store, instant)
    if decided is None:
        return None
    found = store.load_stored(
        "target_weights", TargetWeights, Details, partition=decided.partition, as_of=instant, symbol=symbol
    )
    if found is None:
        return None
    return Known("weights", found.frame, found.as_of, found.as_of, f"week of {decided.partition}")


def _last_decision(store: "Warehouse", at: datetime) -> "Version | None":
    """The newest weights that had been stored by then.

    A past week can be decided later, and its weights bear the instant of then: what was stored after something that is
    younger than `at` was not known at it.
    """
    weights, scores = store.versions("target_weights"), store.versions("scores")
    later = min((one.id for one in (*weights, *scores) if one.as_of > at), default=None)
    return next((one for one in weights if one.as_of <= at and (later is None or one.id < later)), None)


ROOM = Room(
    "portfolio",
    tier="money",
    assets=[target_weights, trade_plan],
    max_ages=lambda _: dict.fromkeys(("target_weights", "trade_plan"), WEEKLY),
    partitions=_partitions,
    kinds=[
        Kind(
            "weights",
            asset="target_weights",
            schema="tokenomics_dagster.portfolio.schema.TargetWeights",
            shown=("rank", "symbol", "weight", "score", "market_cap_musd"),
            known=_weights_at,
        )
    ],
    outcome=_outcome,
)
