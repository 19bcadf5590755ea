"""Orders and the report after them."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dagster as dg

from tokenomics_dagster.execution import checks
from tokenomics_dagster.kit.alerts import Notifier
from tokenomics_dagster.kit.channels import channel_of
from tokenomics_dagster.kit.checks import Finding, results, schema_finding, specs
from tokenomics_dagster.kit.failing import in_a_sentence
from tokenomics_dagster.kit.partitions import A_WEEK, partition_of
from tokenomics_dagster.kit.resources import (
    DataFrame,
    Made,
    SettingsResource,
    Stored,
    WarehouseResource,
    schema_metadata,
)
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.trading import FLOWS, Account, Holdings
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.storage.records import WarehouseError

if TYPE_CHECKING:
    from tokenomics_dagster.execution.report import Report
    from tokenomics_dagster.execution.schema import OrdersDetails, PaidIn, PortfolioReportDetails
    from tokenomics_dagster.model.plan import Plan
    from tokenomics_dagster.portfolio.schema import TargetWeightsDetails, TradePlanDetails
    from tokenomics_dagster.storage.records import LedgerOrder
    from tokenomics_dagster.storage.warehouse import Warehouse


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
@in_a_sentence
def orders(
    context: dg.AssetExecutionContext,
    config: OrdersConfig,
    trade_plan: Stored["TradePlanDetails"],
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
    settings_in_force: dg.ResourceParam[SettingsResource],
    notifier: dg.ResourceParam[Notifier],
) -> Iterator[dg.Output[Made["OrdersDetails"]] | dg.AssetCheckResult]:
    """Carries the week's trade plan out: sells, waits until each is final, buys with the cash that is there, waits.

    The table has all orders of the week. Running it again sends nothing twice. It verifies plan, account, market,
    scores and approval for itself. With `approve` in the run config a person approves a plan that waits, and it goes on
    at once.
    """
    from tokenomics_dagster.execution import shown
    from tokenomics_dagster.execution.fulfilment import left_by_planning
    from tokenomics_dagster.execution.notifying import notify_of_run
    from tokenomics_dagster.execution.rebalance import Rebalance, Unresolved
    from tokenomics_dagster.execution.schema import Orders, OrdersDetails
    from tokenomics_dagster.execution.venue import at_alpaca
    from tokenomics_dagster.execution.week import is_over
    from tokenomics_dagster.model.plan import Plan

    settings, plan = settings_in_force.read(), Plan.from_document(trade_plan.details.plan)
    why = _why(warehouse.open(), plan, settings)
    if config.approve:
        _approve(plan, config.approve, warehouse.open(), alpaca)
    try:
        outcome = Rebalance(
            plan,
            at_alpaca(alpaca),
            warehouse.open(),
            settings,
            notify_of_run(notifier, warehouse.open(), channel_of(settings), context.run.run_id),
            not_planned=left_by_planning(trade_plan, plan.equity, settings.rebalancing, settings.guards),
        ).run()
    except Unresolved:
        # No result of the week is stored for it, but its checks must show what is not known.
        yield from results(checks.ORDERS, _of_unresolved(warehouse.open(), trade_plan, plan, settings))
        raise
    # Stored are the orders of the week, whichever of its plans they are of: a run with nothing left to do must not
    # make the week look untraded. Judged are this plan's, for what an earlier one did not end was judged with it.
    week = warehouse.open().orders_of_week(plan.account, plan.week)
    frame = _orders_frame(week)
    books, done = outcome.reconciliation, outcome.fulfilment
    assert books is not None
    assert done is not None
    now = alpaca.now()
    findings = [
        schema_finding(Orders, frame),
        *checks.check_orders(_orders_frame(outcome.orders), outcome.stuck, books.discrepancies),
        checks.check_traded(done, settings.guards, is_over=is_over(plan.week, now, now)),
        _parity(warehouse.open(), trade_plan, plan),
    ]
    yield from results(checks.ORDERS, findings)
    details = OrdersDetails(
        plan_id=plan.plan_id,
        plans={row.client_order_id: row.plan_id for row in week},
        skipped=outcome.skipped,
        stuck=outcome.stuck,
        reconciliation_flaws=books.discrepancies,
        fulfilment=done.to_document(),
    )
    metadata = shown.orders(plan.plan_id, outcome, len(week), books, done, why)
    yield dg.Output(Made(frame, now, details), metadata=metadata)


@dg.asset(
    group_name="execution",
    kinds={"alpaca", "pandas"},
    pool="alpaca",
    deps=[orders],
    metadata=schema_metadata("tokenomics_dagster.execution.schema.PortfolioReport"),
    check_specs=specs("portfolio_report", checks.PORTFOLIO_REPORT, blocking=False),
)
@in_a_sentence
def portfolio_report(
    context: dg.AssetExecutionContext,
    target_weights: Stored["TargetWeightsDetails"],
    alpaca: AlpacaResource,
    warehouse: WarehouseResource,
    settings_in_force: dg.ResourceParam[SettingsResource],
) -> Iterator[dg.Output[Made["PortfolioReportDetails"]] | dg.AssetCheckResult]:
    """What the account holds after the rebalance, against its targets; only of a running week that has orders.

    By its report a week counts as rebalanced, and what is held now says nothing of a week that is over.
    """
    from tokenomics_dagster.execution import shown
    from tokenomics_dagster.execution.report import stand
    from tokenomics_dagster.execution.schema import Orders, OrdersDetails, PortfolioReport, PortfolioReportDetails
    from tokenomics_dagster.model.plan import Plan
    from tokenomics_dagster.portfolio.schema import TradePlan, TradePlanDetails

    settings, store = settings_in_force.read(), warehouse.open()
    now, week = alpaca.now(), partition_of(context, A_WEEK)
    if week != calendar.week_of(now).isoformat():
        raise dg.Failure(f"the week of {week} is not the running one: there is nothing to report", allow_retries=False)
    orders = store.load_stored("orders", Orders, OrdersDetails, partition=week)
    if orders is None:
        raise dg.Failure(f"the week of {week} has no orders yet: run the rebalance first", allow_retries=False)
    plan = store.load_stored("trade_plan", TradePlan, TradePlanDetails, partition=week)
    foreign = {} if plan is None else Plan.from_document(plan.details.plan).foreign
    account, holdings = alpaca.account(), alpaca.holdings().leaving(foreign)
    priceless = [symbol for symbol, position in holdings.ours.items() if not position.price]
    standing = stand(
        account,
        holdings,
        target_weights.frame,
        {} if plan is None else plan.details.renamed,
        target_weights.details.cash_weight,
        settings.rebalancing.cash_buffer_pct,
        set(priceless) - set(alpaca.assets()) if priceless else (),
    )
    frame = standing.frame
    since, flows = _flows(store, alpaca, account.number, now)
    details = PortfolioReportDetails(
        account=account.number,
        equity=account.equity,
        cash=account.cash,
        cash_meant=standing.cash_meant,
        foreign=[f"{what}: {why}" for what, why in standing.others],
        flows_since=since,
        flows=flows,
    )
    findings = _findings_of_report(standing, account, holdings, orders, plan, settings)
    yield from results(checks.PORTFOLIO_REPORT, [schema_finding(PortfolioReport, frame), *findings])
    before = {} if plan is None else dict(zip(plan.frame["symbol"], plan.frame["drift"], strict=True))
    yield dg.Output(
        Made(frame, now, details),
        metadata=shown.portfolio_report(week, standing, before, settings.guards.max_drift_after_pct),
    )


def _flows(store: "Warehouse", alpaca: AlpacaResource, account: str, now: datetime) -> tuple[datetime, "list[PaidIn]"]:
    """What was paid in and out since the account's last report, and since when that is: without it the returns of the
    account could be told only as long as the broker is asked, and remembers."""
    from tokenomics_dagster.execution.schema import PaidIn, PortfolioReportDetails

    reports = (one for one in store.newest_first("portfolio_report") if one.as_of < now)
    before = next((one.as_of for one in reports if one.details_as(PortfolioReportDetails).account == account), None)
    marks = [at for at, _ in store.equity_marks(account)] if before is None else []
    since = before or min(marks, default=now)
    found = alpaca.activities(after=since, types=sorted(FLOWS))
    return since, [
        PaidIn(id=one.id, at=one.at, usd=one.cash, what=str(one), by_day=one.by_day, shares=one.moves_shares)
        for one in found
    ]


def _why(store: "Warehouse", plan: "Plan", settings: Settings) -> str:
    """What there was of the week before this run. It is only shown: what cannot be read stops no order."""
    from tokenomics_dagster.execution.week import week_state

    try:
        return week_state(store, plan.week, settings.guards).reason
    except WarehouseError as error:
        return f"not known: {error}"


def _of_unresolved(
    store: "Warehouse", trade_plan: Stored["TradePlanDetails"], plan: "Plan", settings: Settings
) -> list[Finding]:
    from tokenomics_dagster.execution.schema import Orders

    week = store.orders_of_week(plan.account, plan.week)
    ours = _orders_frame([row for row in week if row.plan_id == plan.plan_id])
    return [
        schema_finding(Orders, _orders_frame(week)),
        *checks.check_orders(ours, (), ()),
        checks.check_traded(None, settings.guards, is_over=False),
        _parity(store, trade_plan, plan),
    ]


def _parity(store: "Warehouse", trade_plan: Stored["TradePlanDetails"], plan: "Plan") -> Finding:
    from tokenomics_dagster.execution.parity import parity
    from tokenomics_dagster.execution.recorded import recorded, traded

    before = traded(store, plan.week, checks.PARITY_WEEKS - 1)
    return checks.check_parity(parity(recorded(store, trade_plan)), (parity(one) for one in before))


def _findings_of_report(
    standing: "Report",
    account: Account,
    holdings: Holdings,
    orders: Stored["OrdersDetails"],
    plan: Stored["TradePlanDetails"] | None,
    settings: Settings,
) -> list[Finding]:
    from tokenomics_dagster.execution.fulfilment import Fulfilment, kept_idle

    done = orders.details.fulfilment
    # Of what an earlier plan of the week has traded the last one said whether it was near enough.
    sent = zip(orders.frame["client_order_id"], orders.frame["symbol"], strict=True)
    traded = {symbol for order_id, symbol in sent if orders.details.of_last_plan(order_id)}
    return [
        *checks.check_portfolio_report(
            standing.frame,
            account.equity,
            account.cash,
            traded,
            settings.guards,
            holdings.foreign_value + holdings.disputed_value,
        ),
        checks.check_cash(
            account.cash,
            standing.cash_meant,
            account.equity,
            settings.guards,
            {} if plan is None else kept_idle(plan, settings.rebalancing),
            Decimal(0) if done is None else Fulfilment.from_document(done).not_bought_usd,
        ),
    ]


def _approve(plan: "Plan", meant: str, store: "Warehouse", alpaca: AlpacaResource) -> None:
    """A person's consent to the plan, in the run config; refused where another one is `meant`."""
    if meant != plan.plan_id:
        raise dg.Failure(
            f"the newest plan of the week is {plan.plan_id}, not {meant}: look at that one first", allow_retries=False
        )
    store.approve(plan.plan_id, plan.plan_hash, by="the UI", at=alpaca.clock().now)


def _orders_frame(rows: "Sequence[LedgerOrder]") -> DataFrame:
    """An `Orders` frame of ledger rows."""
    import pandas as pd

    from tokenomics_dagster.execution.schema import Orders

    columns = list(Orders.to_schema().columns)
    return pd.DataFrame([[_text(getattr(row, column)) for column in columns] for row in rows], columns=columns)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
