"""What others need to know of orders and report: when a week is traded, and what is told of one that is not."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from tokenomics_dagster.execution import states
from tokenomics_dagster.execution.assets import orders, portfolio_report
from tokenomics_dagster.execution.came_of_it import outcome
from tokenomics_dagster.execution.week import Week, plan_in_hand, week_state
from tokenomics_dagster.kit import alive
from tokenomics_dagster.kit.alerts import WEEK, Problem
from tokenomics_dagster.kit.partitions import rebalance_weeks
from tokenomics_dagster.kit.resources import SettingsResource, WarehouseResource
from tokenomics_dagster.kit.room import Job, Look, Metrics, Room, Samples
from tokenomics_dagster.kit.runs import busy
from tokenomics_dagster.kit.skew import CLOCK_SKEW
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.identity import period_of_plan
from tokenomics_dagster.portfolio.room import WEEKLY
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.clock import broker_account, broker_clock
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import Warehouse

CARRIES_OUT = ("orders", "portfolio_report")
"""The assets by which a plan is carried out as it is: the job would make a new one."""

_REMEDY = "read why, in the run: the schedule tries again in each session of the week and sends nothing twice"


def _traded(store: "Warehouse", now: datetime, settings: Settings) -> bool:
    return week_state(store, calendar.week_of(now), settings.guards).done


REBALANCE = Job(
    "rebalance",
    makes=("target_weights", "trade_plan", "orders", "portfolio_report"),
    description="Weekly: target weights, trade plan, orders, report.",
    remedy=_REMEDY,
    # After a rebalance that ended nothing tries again, but for what was not traded.
    remedy_of_checks="see what docs/operations.md says of {check}; the schedule tries again only a week that is not "
    "done",
    # One that was killed is started again by the schedule's next tick, by a person or, with a plan that a person has
    # approved, by `approved_plans` at its next look; each time after all guards, and never by Dagster's own retries.
    tags={"dagster/max_retries": "0"},
    trades=True,
    done=_traded,
)


def _partitions(settings: Settings) -> Mapping[str, dg.PartitionsDefinition]:
    return dict.fromkeys(("orders", "portfolio_report"), rebalance_weeks(settings.rebalancing))


def _schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Off until the user switches it on, paper or live."""
    delay = timedelta(minutes=settings.schedules.rebalance_minutes_after_open)

    @dg.schedule(
        name="rebalance",
        job_name=REBALANCE.name,
        cron_schedule=settings.schedules.rebalance,
        execution_timezone=str(calendar.NEW_YORK),
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Trades once a week, in the first session, some time after its open; what was not traded is tried "
        "again in the later ones.",
    )
    def rebalance(
        context: dg.ScheduleEvaluationContext,
        alpaca: AlpacaResource,
        warehouse: WarehouseResource,
        settings_in_force: dg.ResourceParam[SettingsResource],
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        now, store, settings = broker_clock(alpaca).now, warehouse.open(), settings_in_force.read()
        week = week_state(store, calendar.week_of(now), settings.guards)
        if why := _why_not(week, now, delay):
            yield dg.SkipReason(why)
        elif skip := busy(context.instance, REBALANCE):
            yield skip
        elif why := plan_in_hand(store, week.monday, partial(broker_account, alpaca), now, settings):
            yield dg.SkipReason(why)
        else:
            yield dg.RunRequest(partition_key=week.monday.isoformat(), tags={"tokenomics/why": week.in_short})

    return [rebalance]


def _why_not(week: Week, now: datetime, delay: timedelta) -> str | None:
    """Why the week is not traded at that instant, whatever else is under way or in hand."""
    return week.reason if week.done else due(now, delay) or _tried_today(week, now)


def _trades_nothing(store: "Warehouse", now: datetime, settings: Settings) -> str | None:
    delay = timedelta(minutes=settings.schedules.rebalance_minutes_after_open)
    return _why_not(week_state(store, calendar.week_of(now), settings.guards), now, delay)


def due(now: datetime, delay: timedelta) -> str | None:
    """None when a session is open at `now` and has been for `delay`; else the reason to wait."""
    session = calendar.session_at(now)
    if session is None:
        return f"the market is closed at {now:%Y-%m-%d %H:%M} UTC by the broker's clock"
    if now + CLOCK_SKEW < session.open + delay:
        return f"the session opened at {session.open:%H:%M} UTC, less than {delay} ago"
    return None


def _tried_today(week: Week, now: datetime) -> str | None:
    """What a session did not trade, the same session would not an instant later: a cron of each minute is no flood."""
    if not week.tried_in_session_at(now):
        return None
    later = "nothing tries again" if week.is_over(now) else "the next session tries again"
    return f"{week.reason}. It was tried in this session; {later}"


def _sensors(settings: Settings) -> list[dg.SensorDefinition]:
    @dg.sensor(
        job_name=REBALANCE.name,
        minimum_interval_seconds=min(settings.schedules.sensors_every_s, 30),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A plan that a person has approved is carried out as it is, once.",
    )
    def approved_plans(
        context: dg.SensorEvaluationContext, warehouse: WarehouseResource
    ) -> dg.RunRequest | dg.SkipReason:
        from tokenomics_dagster.execution.schema import OrdersDetails
        from tokenomics_dagster.portfolio.schema import TradePlanDetails

        store = warehouse.open()
        approval = store.approval()
        if approval is None:
            return dg.SkipReason("no plan was ever approved")
        week = period_of_plan(approval.plan_id)
        plans = store.history("trade_plan", partition=week, limit=1)
        if not plans or plans[0].details_as(TradePlanDetails).plan_hash != approval.plan_hash:
            return dg.SkipReason(f"{approval.plan_id}, approved last, has been replaced by a newer plan")
        carried_out = (one.details_as(OrdersDetails) for one in store.history("orders", partition=week))
        if any(one.plan_id == approval.plan_id for one in carried_out):
            return dg.SkipReason(f"{approval.plan_id}, approved last, has been carried out")
        return dg.RunRequest(
            run_key=_unless_killed(context.instance, f"{approval.plan_id}-{approval.at.isoformat()}"),
            partition_key=week,
            # The plan itself must not be made anew: an approval holds for its hash only.
            asset_selection=[dg.AssetKey(asset) for asset in CARRIES_OUT],
        )

    return [approved_plans]


def _unless_killed(instance: dg.DagsterInstance, key: str) -> str:
    """The key under which a plan is carried out once; another one after a run whose process was killed.

    What is carried out again sends nothing twice, and a run that refused or failed for itself would do so again.
    """
    for run in instance.get_runs(dg.RunsFilter(job_name=REBALANCE.name), limit=20):
        last = run.tags.get("dagster/run_key", "")
        if last.startswith(key):
            return f"{key}-{run.run_id}" if alive.DEAD in run.tags else last
    return key


def _ends_undone(store: "Warehouse", now: datetime, settings: Settings) -> Problem | None:
    """What the running week has not traded, once no session is left that tries again; of failed runs others tell."""
    week = week_state(store, calendar.week_of(now), settings.guards)
    if week.done or week.fulfilment is None or not week.is_over(now):
        return None
    return Problem(
        f"the week of {week.monday} ends with {week.fulfilment.untraded_pct:.0f} % of its plan not traded",
        week.fulfilment.sentence(settings.guards),
        "look at the reasons; run rebalance by hand while the market is open, or leave it to the next week, whose plan "
        "is made from what is held then",
        f"{settings.alerts.ui_url.rstrip('/')}/assets/orders?view=checks",
    )


def open_weeks(store: "Warehouse", now: datetime) -> set[str]:
    """The running week, whose plan may still be carried out, and every week with an order that is not final."""
    return {week.isoformat() for week in (calendar.week_of(now), *store.weeks_except(states.FINAL))}


def _samples(store: "Warehouse", _now: datetime, settings: Settings) -> Samples:
    from tokenomics_dagster.execution.schema import PortfolioReport, PortfolioReportDetails
    from tokenomics_dagster.portfolio.schema import TradePlanDetails

    plans = store.history("trade_plan", limit=1)
    counts = dict.fromkeys(states.TRANSITIONS, 0)
    if plans:
        week = week_state(store, date.fromisoformat(plans[0].partition), settings.guards)
        yield "tokenomics_week_success", float(week.done), ()
        if week.fulfilment is not None:
            yield "tokenomics_planned_usd", float(week.fulfilment.planned_usd), ()
            yield "tokenomics_untraded_usd", float(week.fulfilment.untraded_usd), ()
            yield "tokenomics_untraded_symbols", float(len({one.symbol for one in week.fulfilment.shortfalls})), ()
        account = plans[0].details_as(TradePlanDetails).account
        rows = store.orders_of_week(account, date.fromisoformat(plans[0].partition))
        # A word of the broker's that is new to us must not become a label.
        counts.update(Counter(row.status if row.status in states.TRANSITIONS else "other" for row in rows))
    for state, count in {"other": 0, **counts}.items():
        yield "tokenomics_orders", float(count), (state,)
    reports = store.history("portfolio_report", limit=1)
    if not reports:
        return
    details = reports[0].details_as(PortfolioReportDetails)
    yield "tokenomics_equity_usd", float(details.equity), ()
    yield "tokenomics_cash_usd", float(details.cash), ()
    if details.cash_meant is not None:
        yield "tokenomics_cash_meant_usd", float(details.cash_meant), ()
    report = store.load_snapshot("portfolio_report", PortfolioReport, partition=reports[0].partition)
    if report is not None and report["drift"].notna().any():
        yield "tokenomics_drift_ratio_max", float(report["drift"].abs().max()), ()


_METRICS: dict[str, tuple[tuple[str, ...], str]] = {
    "tokenomics_orders": (("state",), "Orders of the newest planned week, by the state that the ledger has."),
    "tokenomics_drift_ratio_max": ((), "Largest distance between weight and target in the newest report."),
    "tokenomics_equity_usd": ((), "Equity of the account at the newest report."),
    "tokenomics_cash_usd": ((), "Cash of the account at the newest report."),
    "tokenomics_cash_meant_usd": ((), "Cash that the targets meant to leave, at the newest report."),
    "tokenomics_planned_usd": ((), "What the week of the newest orders was to buy and to sell."),
    "tokenomics_untraded_usd": ((), "What of it was left out, refused, not afforded, cut or not filled."),
    "tokenomics_untraded_symbols": ((), "Names of it that were not traded, with those that the broker does not trade."),
    "tokenomics_week_success": ((), "1 when the newest planned week is done: what was meant was traded."),
}

ROOM = Room(
    "execution",
    tier="money",
    assets=[orders, portfolio_report],
    jobs=[REBALANCE],
    max_ages=lambda _: dict.fromkeys(("orders", "portfolio_report"), WEEKLY),
    partitions=_partitions,
    schedules=_schedules,
    why_not={"rebalance": _trades_nothing},
    sensors=_sensors,
    remedies={
        "orders.traded": _REMEDY,
        "orders.parity": "what was traded stays so: nothing is traded or undone for it; see the symbols and fields in "
        "the check, then whether a rule was changed since (then it is told until the week is older than a quarter) or "
        "what was stored (`tokenomics audit verify`: then halt)",
        "portfolio_report.cash": "what a rule of the plan leaves as cash stays so in each run: lower the rule, hold "
        "fewer names (rebalancing.top_n_stocks), pay more in, or let it be (guards.max_cash_off_pct); only what "
        "orders.traded tells is tried again, in the week's later sessions",
    },
    metrics=[Metrics(_METRICS, _samples)],
    # The same as the check tells, told once more because nothing tries again.
    looks=[Look(WEEK, job=REBALANCE.name, instead_of="orders.traded", find=_ends_undone)],
    open_partitions=open_weeks,
    outcome=outcome,
)
