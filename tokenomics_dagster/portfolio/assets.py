"""Target weights of a rebalance week, and the trade plan that reaches them."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import dagster as dg

from tokenomics_dagster.kit.checks import judged, schema_finding, specs
from tokenomics_dagster.kit.metadata import image, table
from tokenomics_dagster.kit.resources import DataFrame, SettingsResource, WarehouseResource, schema_metadata
from tokenomics_dagster.model import calendar
from tokenomics_dagster.portfolio import checks
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.settings import RebalancingSettings


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
) -> Iterator[dg.Output[DataFrame] | dg.AssetCheckResult]:
    """What to hold in the week, from the newest scores.

    A past week is decided again as of the instant at which it was decided last, with what was known and the rules that
    held then.
    """
    from tokenomics_dagster.fundamentals.schema import Scores
    from tokenomics_dagster.kit import plots
    from tokenomics_dagster.portfolio import weights
    from tokenomics_dagster.portfolio.schema import TargetWeights
    from tokenomics_dagster.providers.renames import renamed
    from tokenomics_dagster.universe.schema import Universe

    settings = settings_in_force.read()
    store = warehouse.open()
    week = date.fromisoformat(context.partition_key)
    decided_at, rules = alpaca.now(), settings.rebalancing
    scores_known_at = universe_known_at = decided_at
    if week > calendar.week_of(decided_at):
        raise dg.Failure(f"the week of {week} has not begun by the broker's clock", allow_retries=False)
    if week < calendar.week_of(decided_at):
        before = store.history("target_weights", partition=context.partition_key)
        opened = calendar.first_session_of_week(week).open
        delay = timedelta(minutes=settings.schedules.rebalance_minutes_after_open)
        scores_known_at = universe_known_at = decided_at = before[0].as_of if before else opened + delay
        if before:
            # They bear an instant before they were stored: some may have been stored just after the decision.
            scores_known_at = datetime.fromisoformat(before[0].details["scores_as_of"])
            universe_known_at = datetime.fromisoformat(before[0].details["universe_as_of"])
        if before and "rules" in before[0].details:
            rules = RebalancingSettings.model_validate(before[0].details["rules"])
    scores = store.load_snapshot("scores", Scores, as_of=scores_known_at)
    if scores is None:
        raise dg.Failure(f"there were no scores at {decided_at:%Y-%m-%d %H:%M} UTC: run score", allow_retries=False)
    universe = store.load_snapshot("universe", Universe, as_of=universe_known_at)
    if universe is None:
        raise dg.Failure(f"there was no universe at {decided_at:%Y-%m-%d %H:%M} UTC: run universe_refresh")
    scores_as_of, universe_as_of = scores.attrs["as_of"], universe.attrs["as_of"]
    scores = renamed(scores, universe.attrs.get("renamed", {}))
    # A name may have left since it was scored, its market cap found to be wrong.
    left = scores.loc[~scores["symbol"].isin(universe["symbol"]), "symbol"]
    scores = scores[~scores["symbol"].isin(left)]
    frame = weights.target_weights(scores, rules)
    industries = dict(zip(universe["symbol"], universe["industry"].fillna(""), strict=True))
    findings = [
        schema_finding(TargetWeights, frame),
        *checks.check_target_weights(
            frame,
            industries,
            scores_as_of,
            scores.set_index("symbol")["known_at"][frame["symbol"]],
            decided_at,
            rules,
            settings.guards,
        ),
    ]
    yield from judged(checks.TARGET_WEIGHTS, findings, otherwise="nothing is decided for the week")
    cash_weight = 1.0 - float(frame["weight"].sum())
    frame.attrs = {
        "as_of": decided_at,
        "scores_as_of": scores_as_of.isoformat(),
        "universe_as_of": universe_as_of.isoformat(),
        "cash_weight": cash_weight,
        "rules": rules.model_dump(mode="json"),
    }
    largest = frame.nlargest(10, "weight")[["symbol", "score", "weight"]].itertuples(index=False)
    unscored, eligible = int(scores["score"].isna().sum()), int((scores["score"] >= rules.min_score).sum())
    not_chosen = (
        ("left the universe", len(left)),
        ("no score", unscored),
        (f"score under {rules.min_score:g}", len(scores) - unscored - eligible),
        (f"below the {rules.top_n_stocks} best", eligible - len(frame)),
    )
    industry = frame["symbol"].map(industries).fillna("").replace("", "unknown")
    yield dg.Output(
        frame,
        metadata={
            "names": len(frame),
            "cash_weight": cash_weight,
            "largest_weight": float(frame["weight"].max()),
            "largest": table(largest, "symbol", "score", "weight"),
            "not_chosen": table(not_chosen, "reason", "names"),
            "weight_bars": image(
                "target weights",
                plots.weight_bars,
                dict(zip(frame["symbol"], frame["weight"], strict=True)),
                rules.max_position_pct / 100,
            ),
            "industry_shares": image(
                "industries",
                plots.industry_shares,
                {str(name): float(share) for name, share in frame["weight"].groupby(industry).sum().items()},
                settings.guards.max_industry_pct / 100,
            ),
            "cap_and_score": image(
                "market cap and score",
                plots.cap_and_score,
                scores["symbol"],
                scores["market_cap_musd"],
                scores["score"],
                frame["symbol"],
            ),
        },
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
    target_weights: DataFrame,
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.Output[DataFrame] | dg.AssetCheckResult]:
    """The trades that bring the account to its targets, and every name that is not traded with the reason.

    Immutable, and written before any order. Only the running week can be planned.
    """
    from tokenomics_dagster.portfolio.planning import CannotPlan, make_plan
    from tokenomics_dagster.portfolio.schema import TradePlan

    settings = settings_in_force.read()
    try:
        week, store = date.fromisoformat(context.partition_key), warehouse.open()
        newest = store.history("trade_plan", limit=1)
        last = store.load_snapshot("trade_plan", TradePlan, partition=newest[0].partition) if newest else None
        frame, plan = make_plan(target_weights, week, alpaca, settings, last)
    except CannotPlan as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    findings = [schema_finding(TradePlan, frame), *checks.check_trade_plan(frame, plan, settings.guards)]
    yield from judged(checks.TRADE_PLAN, findings, otherwise="nothing is planned")
    warehouse.open().audit("plan", plan.to_document(), at=plan.created_at, week=plan.week)
    sides = Counter(frame["side"])
    skipped = frame[frame["reason"].notna()]
    yield dg.Output(
        frame,
        metadata={
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
            "not_planned": table(frame.attrs["not_planned"].items(), "symbol", "meant and left out, USD"),
            "foreign": table(((row,) for row in frame.attrs["foreign"]), "held, not traded by this strategy"),
            "bound_cash": table(frame.attrs["bound_cash"].items(), "by", "USD"),
        },
    )
