"""What the warehouse has of plans that were carried out and of what they were made from, for parity.py to judge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from tokenomics_dagster.execution.parity import Recorded
from tokenomics_dagster.execution.schema import OrdersDetails
from tokenomics_dagster.fundamentals.schema import Scores, ScoresDetails
from tokenomics_dagster.model.plan import UNREADABLE, Plan
from tokenomics_dagster.portfolio.schema import TargetWeights, TargetWeightsDetails, TradePlan, TradePlanDetails
from tokenomics_dagster.storage.records import WarehouseError
from tokenomics_dagster.universe.schema import Universe, UniverseDetails

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import Made
    from tokenomics_dagster.storage.warehouse import Warehouse

_GONE = "it is not in the warehouse any more"


def traded(store: Warehouse, before: date, weeks: int) -> Iterator[Recorded]:
    """The last plan that was carried out in each of the `weeks` last ones traded before a Monday, newest first."""
    seen = set[str]()
    for snapshot in store.newest_first("orders"):
        if snapshot.partition in seen or snapshot.partition >= before.isoformat():
            continue
        if len(seen) == weeks:
            return
        seen.add(snapshot.partition)
        week = date.fromisoformat(snapshot.partition)
        try:
            yield _of_plan(store, week, snapshot.details_as(OrdersDetails).plan_id)
        except WarehouseError as error:
            yield Recorded(week, "", absent={"orders": str(error)})


def _of_plan(store: Warehouse, week: date, plan_id: str) -> Recorded:
    for snapshot in store.history("trade_plan", partition=week.isoformat()):
        try:
            found = Plan.from_document(snapshot.details_as(TradePlanDetails).plan).plan_id == plan_id
        except UNREADABLE:
            continue
        if found:
            plan = store.load_stored(
                "trade_plan", TradePlan, TradePlanDetails, partition=snapshot.partition, as_of=snapshot.as_of
            )
            if plan is not None and plan.id == snapshot.id:
                return recorded(store, plan)
    return Recorded(week, plan_id, absent={"trade_plan": _GONE})


def recorded(store: Warehouse, made: Made[TradePlanDetails]) -> Recorded:
    """What the plan was made from, as far as it is there."""
    plan = Plan.from_document(made.details.plan)
    of = Recorded(plan.week, plan.plan_id, plan=made)
    inputs, table = made.details.inputs, "target_weights"
    try:
        at = made.as_of if inputs is None else inputs.target_weights_as_of
        weights = store.load_stored(table, TargetWeights, TargetWeightsDetails, partition=plan.period, as_of=at)
        if weights is None or (inputs is not None and weights.as_of != at):
            return replace(of, absent={table: _GONE})
        of, table = replace(of, weights=weights), "scores"
        at = weights.details.scores_as_of
        scores = store.load_stored(table, Scores, ScoresDetails, as_of=at)
        if scores is None or scores.as_of != at:
            return replace(of, absent={table: _GONE})
        of, table = replace(of, scores=scores), "universe"
        at = weights.details.universe_as_of or weights.as_of
        universe = store.load_stored(table, Universe, UniverseDetails, as_of=at)
        if universe is None:
            return replace(of, absent={table: _GONE})
        return replace(of, universe=frozenset(universe.frame["symbol"]), links=universe.details.renamed)
    except WarehouseError as error:
        return replace(of, absent={table: str(error)})
