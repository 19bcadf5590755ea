"""Orders and the report after them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dagster as dg

from tokenomics_dagster.execution import checks
from tokenomics_dagster.kit.checks import results, schema_finding, specs
from tokenomics_dagster.kit.metadata import image, table
from tokenomics_dagster.kit.resources import DataFrame, SettingsResource, WarehouseResource, schema_metadata
from tokenomics_dagster.model import calendar
from tokenomics_dagster.providers.alpaca import AlpacaResource

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import LedgerOrder


class OrdersConfig(dg.Config):
    """Leave empty, unless a plan waits for approval: then its id approves it."""

    approve: str = ""


@dg.asset(
    group_name="execution",
    kinds={"alpaca"},
    pool="alpaca",
    metadata=schema_metadata("tokenomics_dagster.execution.schema.Orders"),
    # What was sent, was sent: it is stored whatever the checks say.
    check_specs=specs("orders", checks.ORDERS, blocking=False),
)
def orders(
    context: dg.AssetExecutionContext,
    config: OrdersConfig,
    trade_plan: DataFrame,
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.Output[DataFrame] | dg.AssetCheckResult]:
    """Carries the week's trade plan out: sells, waits until each is final, buys with the cash that is there, waits.

    Running it again sends nothing twice. It verifies plan, account, market, scores and approval for itself. With
    `approve` in the run config a person approves a plan that waits, and it goes on at once.
    """
    from tokenomics_dagster.execution.fulfilment import left_by_planning
    from tokenomics_dagster.execution.rebalance import Rebalance, Unresolved
    from tokenomics_dagster.execution.schema import Orders
    from tokenomics_dagster.execution.week import is_over
    from tokenomics_dagster.model.plan import Plan

    settings = settings_in_force.read()
    plan = Plan.from_document(trade_plan.attrs["plan"])
    if config.approve:
        if config.approve != plan.plan_id:
            raise dg.Failure(
                f"the newest plan of the week is {plan.plan_id}, not {config.approve}: look at that one first",
                allow_retries=False,
            )
        warehouse.open().approve(plan.plan_id, plan.plan_hash, by="the UI", at=alpaca.clock().now)
    try:
        outcome = Rebalance(
            plan,
            alpaca,
            warehouse.open(),
            settings,
            run_id=context.run.run_id,
            not_planned=left_by_planning(trade_plan, plan.equity, settings.rebalancing, settings.guards),
        ).run()
    except Unresolved:
        # No result of the week is stored for it, but its checks must show what is not known.
        week = warehouse.open().orders_of_week(plan.account, plan.week)
        frame = _orders_frame([row for row in week if row.plan_id == plan.plan_id])
        unclear = [*checks.check_orders(frame, (), ()), checks.check_traded(None, settings.guards, is_over=False)]
        yield from results(checks.ORDERS, [schema_finding(Orders, frame), *unclear])
        raise
    frame = _orders_frame(outcome.orders)
    books, done = outcome.reconciliation, outcome.fulfilment
    assert books is not None
    assert done is not None
    now = alpaca.now()
    findings = [
        schema_finding(Orders, frame),
        *checks.check_orders(frame, outcome.stuck, books.flaws),
        checks.check_traded(done, settings.guards, is_over=is_over(plan.week, now, now)),
    ]
    yield from results(checks.ORDERS, findings)
    frame.attrs = {
        "as_of": now,
        "plan_id": plan.plan_id,
        "skipped": outcome.skipped,
        "stuck": outcome.stuck,
        "reconciliation_flaws": books.flaws,
        "fulfilment": done.to_document(),
    }
    states = Counter(row.status for row in outcome.orders)
    yield dg.Output(
        frame,
        metadata={
            "plan_id": plan.plan_id,
            "sent": len(frame),
            "fills": books.fills,
            "planned_usd": float(done.planned_usd),
            "traded_usd": float(done.traded_usd),
            "untraded_usd": float(done.untraded_usd),
            "untraded_pct": float(done.untraded_pct),
            "not_traded": table(
                ((one.symbol, one.side, one.usd, one.kind, one.reason) for one in done.shortfalls),
                "symbol",
                "side",
                "USD",
                "reason",
                "why",
            ),
            "resized": table(outcome.resized.items(), "symbol", "by the prices of now"),
            "states": table(states.most_common(), "status", "orders"),
            "skipped": table(outcome.skipped.items(), "symbol", "reason"),
            "stuck": table(((what,) for what in outcome.stuck), "order"),
            "cash": table([(books.cash_expected, books.cash_found)], "expected, USD", "found, USD"),
            "books": table(((flaw,) for flaw in books.flaws), "what does not agree"),
        },
    )


@dg.asset(
    group_name="execution",
    kinds={"alpaca", "pandas"},
    pool="alpaca",
    deps=[orders],
    metadata=schema_metadata("tokenomics_dagster.execution.schema.PortfolioReport"),
    check_specs=specs("portfolio_report", checks.PORTFOLIO_REPORT, blocking=False),
)
def portfolio_report(
    context: dg.AssetExecutionContext,
    target_weights: DataFrame,
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.Output[DataFrame] | dg.AssetCheckResult]:
    """What the account holds after the rebalance, against its targets; only of a running week that has orders.

    By its report a week counts as rebalanced, and what is held now says nothing of a week that is over.
    """
    from tokenomics_dagster.execution.fulfilment import Fulfilment, kept_idle
    from tokenomics_dagster.execution.report import report
    from tokenomics_dagster.execution.schema import Orders, PortfolioReport
    from tokenomics_dagster.kit import plots
    from tokenomics_dagster.portfolio.schema import TradePlan
    from tokenomics_dagster.providers.renames import renamed

    now, week = alpaca.now(), context.partition_key
    if week != calendar.week_of(now).isoformat():
        raise dg.Failure(f"the week of {week} is not the running one: there is nothing to report", allow_retries=False)
    orders = warehouse.open().load_snapshot("orders", Orders, partition=week)
    if orders is None:
        raise dg.Failure(f"the week of {week} has no orders yet: run the rebalance first", allow_retries=False)
    settings = settings_in_force.read()
    guards = settings.guards
    account = alpaca.account()
    cash_weight = target_weights.attrs["cash_weight"]
    holdings = alpaca.holdings()
    equity = holdings.investable(account.equity)
    meant = checks.cash_meant(equity, cash_weight, settings.rebalancing.cash_buffer_pct)
    if holdings.secured.is_finite():
        meant += holdings.secured
    plan = warehouse.open().load_snapshot("trade_plan", TradePlan, partition=week)
    done = orders.attrs.get("fulfilment")  # not in those of earlier versions
    links = {} if plan is None else plan.attrs.get("renamed", {})
    wanted = renamed(target_weights, {old: new for old, new in links.items() if old not in holdings.ours})
    targets = dict(zip(wanted["symbol"], wanted["weight"], strict=True))
    priceless = [symbol for symbol, position in holdings.ours.items() if not position.price]
    unlisted = set(priceless) - set(alpaca.assets()) if priceless else set()
    frame = report(targets, holdings.ours, equity, unlisted, holdings.disputed)
    others = [(str(row), "not traded by this strategy") for row in holdings.foreign]
    others += [(symbol, why) for symbol, why in holdings.disputed.items()]
    frame.attrs = {
        "as_of": now,
        "account": account.number,
        "equity": str(account.equity),
        "cash": str(account.cash),
        "cash_meant": str(meant),
        "foreign": [f"{what}: {why}" for what, why in others],
    }
    findings = [
        schema_finding(PortfolioReport, frame),
        *checks.check_portfolio_report(
            frame,
            account.equity,
            account.cash,
            set(orders["symbol"]),
            guards,
            holdings.foreign_value + holdings.disputed_value,
        ),
        checks.check_cash(
            account.cash,
            meant,
            account.equity,
            guards,
            {} if plan is None else kept_idle(plan, settings.rebalancing),
            Decimal(0) if done is None else Fulfilment.from_document(done).not_bought_usd,
        ),
    ]
    yield from results(checks.PORTFOLIO_REPORT, findings)
    before = {} if plan is None else dict(zip(plan["symbol"], plan["drift"], strict=True))
    largest = frame.reindex(frame["drift"].abs().sort_values(ascending=False).index).head(10)
    yield dg.Output(
        frame,
        metadata={
            "equity_usd": float(account.equity),
            "cash_usd": float(account.cash),
            "cash_meant_usd": float(meant),
            "held": int((frame["qty"] > 0).sum()),
            "foreign": table(others, "held", "why it is left alone"),
            "largest_drift": float(frame["drift"].abs().max()) if len(frame) else 0.0,
            "drift": table(
                largest[["symbol", "weight", "target_weight", "drift"]].itertuples(index=False),
                "symbol",
                "weight",
                "target",
                "drift",
            ),
            "drift_before_and_after": image(
                "drift before and after",
                plots.drift_before_and_after,
                before,
                dict(zip(frame["symbol"], frame["drift"], strict=True)),
                guards.max_drift_after_pct / 100,
            ),
        },
    )


def _orders_frame(rows: "Sequence[LedgerOrder]") -> DataFrame:
    """An `Orders` frame of ledger rows."""
    import pandas as pd

    from tokenomics_dagster.execution.schema import Orders

    columns = list(Orders.to_schema().columns)
    return pd.DataFrame([[_text(getattr(row, column)) for column in columns] for row in rows], columns=columns)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
