"""Target weights of a rebalance week, and the trade plan that reaches them."""

from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal

import dagster as dg

from tokenomics_dagster import market_calendar
from tokenomics_dagster.metadata import table
from tokenomics_dagster.providers.alpaca import AlpacaResource, Snapshot
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
def trade_plan(context: dg.AssetExecutionContext, target_weights: DataFrame, alpaca: AlpacaResource) -> DataFrame:
    """The trades that bring the account to its targets, and every name that is not traded with the reason.

    Immutable, and written before any order. Only the running week can be planned.
    """
    from tokenomics_dagster.canonical import digest
    from tokenomics_dagster.portfolio.plan import STRATEGY, Plan
    from tokenomics_dagster.portfolio.trades import plan_trades, planned_orders

    settings = load_settings()
    now = alpaca.clock().now
    week = date.fromisoformat(context.partition_key)
    if week != market_calendar.week_of(now):
        raise dg.Failure(
            f"{week} is not the running week ({market_calendar.week_of(now)} by the broker's clock): a past week is "
            "never planned or traded",
            allow_retries=False,
        )
    account = alpaca.account()
    held = alpaca.positions()
    open_orders = alpaca.orders(status="open")
    cancelled = settings.trading.foreign_orders == "cancel"
    # Where foreign orders will be cancelled before anything is sent, neither they nor what they hold count.
    positions = {symbol: (p.qty, p.qty if cancelled else p.qty_available) for symbol, p in held.items()}
    busy = {o.symbol for o in open_orders if not cancelled or o.client_order_id.startswith(f"{STRATEGY}-")}
    symbols = sorted({*target_weights["symbol"], *positions})
    fractionable = {a.symbol: a.fractionable for a in alpaca.assets().values() if a.tradable}
    market = alpaca.snapshots(symbols)
    max_age = timedelta(seconds=settings.guards.max_quote_age_s)
    prices = {symbol: price for symbol, s in market.items() if (price := recent_price(s, now, max_age)) is not None}
    unpriced = [symbol for symbol in symbols if symbol not in prices]
    if 100 * len(unpriced) > settings.guards.max_unpriced_pct * len(symbols):
        raise dg.Failure(
            f"{len(unpriced)} of {len(symbols)} names have no price younger than {max_age.total_seconds():g} s, "
            f"guards.max_unpriced_pct is {settings.guards.max_unpriced_pct:g}: nothing is planned; is the market open? "
            f"e.g. {', '.join(unpriced[:10])}",
            allow_retries=False,
        )
    frame = plan_trades(
        target_weights,
        positions,
        prices,
        {symbol: fractionable[symbol] for symbol in symbols if symbol in fractionable},
        account.equity,
        min(account.cash, account.buying_power),
        settings.rebalancing,
        open_orders=busy,
    )
    plan = Plan(
        week=week,
        created_at=now,
        account=account.number,
        equity=account.equity,
        cash=account.cash,
        scores_as_of=datetime.fromisoformat(target_weights.attrs["scores_as_of"]),
        positions={symbol: p.qty for symbol, p in held.items()},
        inputs_hash=digest(
            {
                "targets": target_weights[["symbol", "weight"]].to_numpy().tolist(),
                "positions": positions,
                "prices": prices,
                "rules": settings.rebalancing.model_dump(mode="json"),
            }
        ),
        orders=planned_orders(frame),
    ).sealed()
    frame.attrs = {"as_of": now, "plan": plan.to_document()}
    sides = Counter(frame["side"])
    skipped = frame[frame["reason"].notna()]
    context.add_output_metadata(
        {
            "plan_id": plan.plan_id,
            "equity_usd": float(account.equity),
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


def recent_price(snapshot: Snapshot, now: datetime, max_age: timedelta) -> Decimal | None:
    """The last trade, else the middle of the quote, in USD, if not older than `max_age`; None if neither is."""
    if snapshot.price is not None and snapshot.price_at is not None and now - snapshot.price_at <= max_age:
        return snapshot.price
    if snapshot.quote_at is None or now - snapshot.quote_at > max_age:
        return None
    return None if snapshot.bid is None or snapshot.ask is None else (snapshot.bid + snapshot.ask) / 2
