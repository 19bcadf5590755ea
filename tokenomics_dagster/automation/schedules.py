"""When jobs start by themselves. What day it is comes from the broker's clock; a tick that starts nothing says why.

A tick starts nothing that was done, and nothing while a run of the same job is under way: a cron of each minute does no
harm, and what was killed half way is started again by the next tick.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from tokenomics_dagster.automation import jobs, timetable
from tokenomics_dagster.automation.clock import CLOCK_SKEW, behind, broker_account, broker_clock
from tokenomics_dagster.automation.retention import purge_job
from tokenomics_dagster.automation.sweeps import Coverage, coverage
from tokenomics_dagster.execution.week import Week, plan_in_hand, week_state
from tokenomics_dagster.kit.resources import WarehouseResource
from tokenomics_dagster.model import calendar
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.settings import Settings, load_settings

if TYPE_CHECKING:
    from tokenomics_dagster.storage.records import Sweep
    from tokenomics_dagster.storage.warehouse import Warehouse


_LONGEST_TAG = 500  # characters; the whole is in the check orders.traded


def build_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Universe and fundamentals run by themselves; `rebalance` is off until the user switches it on, paper or live."""
    return [_universe(settings), _fundamentals(settings), _rebalance(settings), _purge(settings)]


def _universe(settings: Settings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="universe",
        job=jobs.universe_refresh,
        cron_schedule=settings.schedules.universe,
        execution_timezone=settings.schedules.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="The universe, once a month of New York.",
    )
    def universe(
        context: dg.ScheduleEvaluationContext, alpaca: AlpacaResource, warehouse: WarehouseResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        now = broker_clock(alpaca).now
        month = _month(now)
        newest = warehouse.open().history("universe", limit=1)
        if newest and (ahead := behind({"universe": newest[0].as_of}, now)):
            yield dg.SkipReason(ahead)
        elif newest and _month(newest[0].as_of) == month:
            yield dg.SkipReason(f"the universe of {month} was made at {newest[0].as_of:%Y-%m-%d %H:%M} UTC")
        else:
            yield _busy(context, "universe_refresh") or dg.RunRequest()

    return universe


def _month(instant: datetime) -> str:
    return f"{(instant + CLOCK_SKEW).astimezone(calendar.NEW_YORK):%Y-%m}"


def _fundamentals(settings: Settings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="fundamentals",
        job=jobs.fundamentals_refresh,
        cron_schedule=settings.schedules.fundamentals,
        execution_timezone=settings.schedules.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"A sweep of {settings.universe.size:,} symbols takes at least {timetable.pace(settings)}; "
        "`tokenomics check` says whether that ends before the rebalance.",
    )
    def fundamentals(
        context: dg.ScheduleEvaluationContext, alpaca: AlpacaResource, warehouse: WarehouseResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        now, store = broker_clock(alpaca).now, warehouse.open()
        settings = load_settings()
        in_time, outlook = timetable.outlook(settings, now)
        if not in_time:
            context.log.warning(outlook)
        sweep = store.latest_sweep()
        if not store.history("universe", limit=1):
            yield dg.SkipReason("there is no universe yet: universe_refresh comes first")
        elif sweep is not None and (ahead := behind({"a sweep": sweep.started_at}, now)):
            yield dg.SkipReason(ahead)
        elif sweep is not None and (young := _young(store, sweep, now, settings)).enough:
            yield dg.SkipReason(
                f"there is next to nothing to ask for: {young.what}, fundamentals.refresh_days is "
                f"{settings.fundamentals.refresh_days:g}"
            )
        else:
            yield _busy(context, "fundamentals_refresh") or dg.RunRequest()

    return fundamentals


def _young(store: "Warehouse", sweep: "Sweep", now: datetime, settings: Settings) -> Coverage:
    """What is there of the universe that is too young to be asked for; a sweep that asked for little made little young.

    Figures age one by one, as they came: without the length of a sweep the first to do so would start one for a few.
    """
    since = now - timedelta(days=settings.fundamentals.refresh_days) - timetable.shortest_sweep(settings)
    return coverage(store, replace(sweep, fresh_since=max(since, sweep.fresh_since)), settings)


def _rebalance(settings: Settings) -> dg.ScheduleDefinition:
    delay = timedelta(minutes=settings.schedules.rebalance_minutes_after_open)

    @dg.schedule(
        name="rebalance",
        job=jobs.rebalance,
        cron_schedule=settings.schedules.rebalance,
        execution_timezone=str(calendar.NEW_YORK),
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Trades once a week, in the first session, some time after its open; what was not traded is tried "
        "again in the later ones.",
    )
    def rebalance(
        context: dg.ScheduleEvaluationContext, alpaca: AlpacaResource, warehouse: WarehouseResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        now, store, settings = broker_clock(alpaca).now, warehouse.open(), load_settings()
        week = week_state(store, calendar.week_of(now), settings.guards)
        if week.done:
            yield dg.SkipReason(week.why)
        elif skip := due(now, delay) or _tried_today(week, now) or _busy(context, "rebalance"):
            yield skip
        elif why := plan_in_hand(store, week.monday, partial(broker_account, alpaca), now, settings):
            yield dg.SkipReason(why)
        else:
            yield _again(week)

    return rebalance


def _tried_today(week: Week, now: datetime) -> dg.SkipReason | None:
    """What a session did not trade, the same session would not an instant later: a cron of each minute is no flood."""
    if not week.tried_in_session_at(now):
        return None
    later = "nothing tries again" if week.is_over(now) else "the next session tries again"
    return dg.SkipReason(f"{week.why}. It was tried in this session; {later}")


def _again(week: Week) -> dg.RunRequest:
    return dg.RunRequest(partition_key=week.monday.isoformat(), tags={"tokenomics/why": week.why[:_LONGEST_TAG]})


def _purge(settings: Settings) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name="purge",
        job=purge_job,
        cron_schedule=settings.schedules.purge,
        execution_timezone=settings.schedules.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Runs older than {settings.retention.runs_days:g} days that nothing needs go, with their events.",
    )


def due(now: datetime, delay: timedelta) -> dg.SkipReason | None:
    """None when a session is open at `now` and has been for `delay`; else the reason to wait."""
    session = calendar.session_at(now)
    if session is None:
        return dg.SkipReason(f"the market is closed at {now:%Y-%m-%d %H:%M} UTC by the broker's clock")
    if now + CLOCK_SKEW < session.open + delay:
        return dg.SkipReason(f"the session opened at {session.open:%H:%M} UTC, less than {delay} ago")
    return None


def _busy(context: dg.ScheduleEvaluationContext, job: str) -> dg.SkipReason | None:
    run = jobs.in_flight(context.instance).get(job)
    return None if run is None else dg.SkipReason(f"run {run} of {job} is queued or running: it ends first")
