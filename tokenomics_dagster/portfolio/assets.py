"""Target weights of a rebalance week, and the trade plan that reaches them."""

from collections.abc import Iterator
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from tokenomics_dagster.kit.checks import judged, schema_finding, specs
from tokenomics_dagster.kit.partitions import A_WEEK, partition_of
from tokenomics_dagster.kit.resources import Made, SettingsResource, Stored, WarehouseResource, schema_metadata
from tokenomics_dagster.model.details import Details
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
    from tokenomics_dagster.fundamentals.schema import Scores
    from tokenomics_dagster.portfolio import shown
    from tokenomics_dagster.portfolio.decide import CannotDecide, as_of, decide
    from tokenomics_dagster.portfolio.schema import TargetWeights, TargetWeightsDetails
    from tokenomics_dagster.universe.schema import Universe, UniverseDetails

    week = partition_of(context, A_WEEK)
    settings, store = settings_in_force.read(), warehouse.open()
    before = next(iter(store.history("target_weights", partition=week, limit=1)), None)
    try:
        when = as_of(date.fromisoformat(week), alpaca.now(), before, settings)
    except CannotDecide as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    instant = f"{when.decided_at:%Y-%m-%d %H:%M} UTC"
    scores = store.load_stored("scores", Scores, Details, as_of=when.scores_known_at)
    if scores is None:
        raise dg.Failure(f"there were no scores at {instant}: run score", allow_retries=False)
    universe = store.load_stored("universe", Universe, UniverseDetails, as_of=when.universe_known_at)
    if universe is None:
        raise dg.Failure(f"there was no universe at {instant}: run universe_refresh", allow_retries=False)
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
    yield from judged(checks.TARGET_WEIGHTS, findings, otherwise="nothing is decided for the week")
    cash_weight = 1.0 - float(frame["weight"].sum())
    details = TargetWeightsDetails(
        scores_as_of=scores.as_of,
        universe_as_of=universe.as_of,
        cash_weight=cash_weight,
        rules=when.rules.model_dump(mode="json"),
    )
    yield dg.Output(
        Made(frame, when.decided_at, details),
        metadata=shown.target_weights(decision, cash_weight, when.rules, settings.guards),
    )


@dg.asset(
    group_name="portfolio",
    kinds={"alpaca", "pandas"},
    pool="alpaca",
    metadata=schema_metadata("tokenomics_dagster.portfolio.schema.TradePlan"),
    check_specs=specs("trade_plan", checks.TRADE_PLAN),
)
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
    from tokenomics_dagster.portfolio.past import past_of
    from tokenomics_dagster.portfolio.planning import CannotPlan, make_plan
    from tokenomics_dagster.portfolio.schema import TradePlan

    settings = settings_in_force.read()
    try:
        week, store = date.fromisoformat(partition_of(context, A_WEEK)), warehouse.open()
        past = partial(past_of, store)
        made, plan = make_plan(target_weights, week, alpaca, AlpacaClock(alpaca), settings, past)
    except CannotPlan as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    findings = [schema_finding(TradePlan, made.frame), *checks.check_trade_plan(made.frame, plan, settings.guards)]
    yield from judged(checks.TRADE_PLAN, findings, otherwise="nothing is planned")
    warehouse.open().audit("plan", plan.to_document(), at=plan.created_at, week=plan.week)
    yield dg.Output(made, metadata=shown.trade_plan(made, plan))
