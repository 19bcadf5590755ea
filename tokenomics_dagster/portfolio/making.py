"""Target weights and trade plan made from what the warehouse has, and what the checks find: the one way for the
assets, which store them, and for whoever only wants to see what they would be.

How is decided stands in decide.py and planning.py; nothing is stored here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING

from tokenomics_dagster.kit.checks import Finding, schema_finding
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.portfolio import checks
from tokenomics_dagster.portfolio.decide import AsOf, CannotDecide, Decision, as_of, decide
from tokenomics_dagster.portfolio.past import past_of
from tokenomics_dagster.portfolio.planning import make_plan
from tokenomics_dagster.portfolio.schema import TargetWeights, TargetWeightsDetails, TradePlan, TradePlanDetails
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.storage.records import Made

if TYPE_CHECKING:
    from tokenomics_dagster.model.plan import Plan
    from tokenomics_dagster.model.trading import Brokerage, Clock
    from tokenomics_dagster.storage.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Weighed:
    """Target weights, what they were decided with, and what the checks say of them."""

    made: Made[TargetWeightsDetails]
    decision: Decision
    when: AsOf
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class Planned:
    """The table of a trade plan, the sealed plan of its orders, and what the checks say of them."""

    made: Made[TradePlanDetails]
    plan: Plan
    findings: list[Finding]


def weigh(store: Warehouse, week: date, now: datetime, settings: Settings) -> Weighed:
    """What to hold in a week, from the newest scores; a past one is decided again as of the instant of its last
    decision. Raises CannotDecide, and WarehouseError where something is not what was stored."""
    from tokenomics_dagster.fundamentals.schema import Scores
    from tokenomics_dagster.universe.schema import Universe, UniverseDetails

    before = next(iter(store.history("target_weights", partition=week.isoformat(), limit=1)), None)
    when = as_of(week, now, before, settings)
    instant = f"{when.decided_at:%Y-%m-%d %H:%M} UTC"
    scores = store.load_stored("scores", Scores, Details, as_of=when.scores_known_at)
    if scores is None:
        raise CannotDecide(f"there were no scores at {instant}: run score")
    universe = store.load_stored("universe", Universe, UniverseDetails, as_of=when.universe_known_at)
    if universe is None:
        raise CannotDecide(f"there was no universe at {instant}: run universe_refresh")
    decision = decide(scores.frame, universe.frame, universe.details.renamed, when.rules)
    frame = decision.weights
    findings = [
        schema_finding(TargetWeights, frame),
        *checks.check_target_weights(
            frame,
            decision.industries,
            scores.as_of,
            decision.scores.set_index("symbol")["known_at"][frame["symbol"]],
            when.decided_at,
            when.rules,
            settings.guards,
        ),
    ]
    details = TargetWeightsDetails(
        scores_as_of=scores.as_of,
        universe_as_of=universe.as_of,
        cash_weight=1.0 - float(frame["weight"].sum()),
        rules=when.rules.model_dump(mode="json"),
    )
    return Weighed(Made(frame, when.decided_at, details), decision, when, findings)


def plan(
    store: Warehouse,
    weights: Made[TargetWeightsDetails],
    week: date,
    broker: Brokerage,
    clock: Clock,
    settings: Settings,
) -> Planned:
    """The trades that reach the weights in the running week. Raises CannotPlan, ProviderError, WarehouseError."""
    made, sealed = make_plan(weights, week, broker, clock, settings, partial(past_of, store))
    findings = [schema_finding(TradePlan, made.frame), *checks.check_trade_plan(made.frame, sealed, settings.guards)]
    return Planned(made, sealed, findings)
