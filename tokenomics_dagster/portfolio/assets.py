"""Target weights of a rebalance week, and the trade plan that reaches them."""

from collections import Counter
from datetime import date, timedelta

import dagster as dg

from tokenomics_dagster import market_calendar
from tokenomics_dagster.metadata import table
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.settings import load_settings
from tokenomics_dagster.storage.resources import DataFrame, WarehouseResource, schema_metadata

# Keys are Mondays in New York. end_offset=1: the running week is traded, not the one before.
rebalance_weeks = dg.WeeklyPartitionsDefinition(
    start_date=load_settings().rebalancing.first_week.isoformat(),
    timezone=str(market_calendar.NEW_YORK),
    day_offset=1,
    end_offset=1,
)


@dg.asset(
    group_name="portfolio",
    kinds={"pandas"},
    partitions_def=rebalance_weeks,
    deps=["scores"],
    metadata=schema_metadata("tokenomics_dagster.portfolio.schema.TargetWeights"),
)
def target_weights(
    context: dg.AssetExecutionContext, alpaca: AlpacaResource, warehouse: WarehouseResource
) -> DataFrame:
    """What to hold in the week, from the newest scores.

    A past week is decided again as of the instant at which it was decided first, with what was known then.
    """
    from tokenomics_dagster.fundamentals.schema import Scores
    from tokenomics_dagster.portfolio import weights

    settings = load_settings()
    store = warehouse.open()
    week = date.fromisoformat(context.partition_key)
    decided_at = alpaca.now()
    if week > market_calendar.week_of(decided_at):
        raise dg.Failure(f"the week of {week} has not begun by the broker's clock", allow_retries=False)
    if week < market_calendar.week_of(decided_at):
        before = store.history("target_weights", partition=context.partition_key)
        opened = market_calendar.first_session_of_week(week).open
        delay = timedelta(minutes=settings.schedules.rebalance_minutes_after_open)
        decided_at = before[-1].as_of if before else opened + delay
    scores = store.load_snapshot("scores", Scores, as_of=decided_at)
    if scores is None:
        raise dg.Failure(f"there were no scores at {decided_at:%Y-%m-%d %H:%M} UTC: run score", allow_retries=False)
    age = decided_at - scores.attrs["as_of"]
    if age > timedelta(days=settings.guards.max_score_age_days):
        raise dg.Failure(
            f"the scores are {age / timedelta(days=1):.1f} days old, guards.max_score_age_days is "
            f"{settings.guards.max_score_age_days:g}: run fundamentals_refresh and score",
            allow_retries=False,
        )
    frame = weights.target_weights(scores, settings.rebalancing)
    cash_weight = 1.0 - float(frame["weight"].sum())
    frame.attrs = {
        "as_of": decided_at,
        "scores_as_of": scores.attrs["as_of"].isoformat(),
        "cash_weight": cash_weight,
    }
    largest = frame.nlargest(10, "weight")[["symbol", "score", "weight"]].itertuples(index=False)
    context.add_output_metadata(
        {
            "names": len(frame),
            "cash_weight": cash_weight,
            "largest_weight": float(frame["weight"].max()),
            "largest": table(largest, "symbol", "score", "weight"),
        }
    )
    return frame


@dg.asset(
    group_name="portfolio",
    kinds={"alpaca", "pandas"},
    pool="alpaca",
    partitions_def=rebalance_weeks,
    metadata=schema_metadata("tokenomics_dagster.portfolio.schema.TradePlan"),
)
def trade_plan(
    context: dg.AssetExecutionContext, target_weights: DataFrame, alpaca: AlpacaResource, warehouse: WarehouseResource
) -> DataFrame:
    """The trades that bring the account to its targets, and every name that is not traded with the reason.

    Immutable, and written before any order. Only the running week can be planned.
    """
    from tokenomics_dagster.portfolio.planning import CannotPlan, make_plan

    try:
        frame, plan = make_plan(target_weights, date.fromisoformat(context.partition_key), alpaca, load_settings())
    except CannotPlan as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    warehouse.open().audit("plan", plan.to_document(), at=plan.created_at, week=plan.week)
    sides = Counter(frame["side"])
    skipped = frame[frame["reason"].notna()]
    context.add_output_metadata(
        {
            "plan_id": plan.plan_id,
            "equity_usd": float(plan.equity),
            "turnover": float(plan.turnover),
            "exits": plan.exits,
            "sells": sides["sell"],
            "buys": sides["buy"],
            "not_traded": sides["none"],
            "orders": table(
                ((o.symbol, o.side, o.qty or "", o.notional or "", o.price) for o in plan.orders),
                "symbol",
                "side",
                "shares",
                "USD",
                "price",
            ),
            "skipped": table(skipped[["symbol", "reason"]].itertuples(index=False), "symbol", "reason", limit=50),
        }
    )
    return frame
