"""Target weights of a rebalance week, and the trade plan that reaches them."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from tokenomics_dagster.kit.checks import judged, specs
from tokenomics_dagster.kit.failing import in_a_sentence
from tokenomics_dagster.kit.partitions import A_WEEK, partition_of
from tokenomics_dagster.kit.resources import Made, SettingsResource, Stored, WarehouseResource, schema_metadata
from tokenomics_dagster.portfolio import checks
from tokenomics_dagster.providers.alpaca.clock import AlpacaClock
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource

if TYPE_CHECKING:
    from tokenomics_dagster.portfolio.schema import TargetWeightsDetails, TradePlanDetails


@dg.asset(
    group_name="portfolio",
    kinds={"pandas"},
    deps=["scores"],
    metadata=schema_metadata("tokenomics_dagster.portfolio.schema.TargetWeights"),
    check_specs=specs("target_weights", checks.TARGET_WEIGHTS),
)
@in_a_sentence
def target_weights(
    context: dg.AssetExecutionContext,
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.Output[Made["TargetWeightsDetails"]] | dg.AssetCheckResult]:
    """What to hold in the week, from the newest scores.

    A past week is decided again as of the instant at which it was decided last, with what was known and the rules that
    held then.
    """
    from tokenomics_dagster.portfolio import shown
    from tokenomics_dagster.portfolio.decide import CannotDecide
    from tokenomics_dagster.portfolio.making import weigh

    week, settings = date.fromisoformat(partition_of(context, A_WEEK)), settings_in_force.read()
    try:
        weighed = weigh(warehouse.open(), week, alpaca.now(), settings)
    except CannotDecide as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    yield from judged(checks.TARGET_WEIGHTS, weighed.findings, otherwise="nothing is decided for the week")
    yield dg.Output(
        weighed.made,
        metadata=shown.target_weights(
            weighed.decision, weighed.made.details.cash_weight, weighed.when.rules, settings.guards
        ),
    )


@dg.asset(
    group_name="portfolio",
    kinds={"alpaca", "pandas"},
    pool="alpaca",
    metadata=schema_metadata("tokenomics_dagster.portfolio.schema.TradePlan"),
    check_specs=specs("trade_plan", checks.TRADE_PLAN),
)
@in_a_sentence
def trade_plan(
    context: dg.AssetExecutionContext,
    target_weights: Stored["TargetWeightsDetails"],
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.Output[Made["TradePlanDetails"]] | dg.AssetCheckResult]:
    """The trades that bring the account to its targets, and every name that is not traded with the reason.

    Immutable, and written before any order. Only the running week can be planned.
    """
    from tokenomics_dagster.portfolio import shown
    from tokenomics_dagster.portfolio.making import plan as planned
    from tokenomics_dagster.portfolio.planning import CannotPlan

    settings = settings_in_force.read()
    try:
        week = date.fromisoformat(partition_of(context, A_WEEK))
        found = planned(warehouse.open(), target_weights, week, alpaca, AlpacaClock(alpaca), settings)
    except CannotPlan as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    yield from judged(checks.TRADE_PLAN, found.findings, otherwise="nothing is planned")
    plan = found.plan
    warehouse.open().audit("plan", plan.to_document(), at=plan.created_at, week=plan.week)
    yield dg.Output(found.made, metadata=shown.trade_plan(found.made, plan))
