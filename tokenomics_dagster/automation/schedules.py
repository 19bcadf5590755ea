"""When jobs start by themselves. What day it is comes from the broker's clock; a tick that starts nothing says why."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import dagster as dg

from tokenomics_dagster import market_calendar
from tokenomics_dagster.automation import jobs
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.storage.resources import WarehouseResource

_NEW_YORK_OPEN_MINUTE = 9 * 60 + 30


def build_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Universe and fundamentals run by themselves; `rebalance` is off until the user switches it on, paper or live."""
    return [
        dg.ScheduleDefinition(
            name="universe",
            job=jobs.universe_refresh,
            cron_schedule=settings.schedules.universe,
            execution_timezone=settings.schedules.timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
        ),
        dg.ScheduleDefinition(
            name="fundamentals",
            job=jobs.fundamentals_refresh,
            cron_schedule=settings.schedules.fundamentals,
            execution_timezone=settings.schedules.timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
        ),
        _rebalance_schedule(settings),
    ]


def _rebalance_schedule(settings: Settings) -> dg.ScheduleDefinition:
    delay = settings.schedules.rebalance_minutes_after_open
    hour, minute = divmod(_NEW_YORK_OPEN_MINUTE + delay, 60)

    @dg.schedule(
        name="rebalance",
        job=jobs.rebalance,
        cron_schedule=f"{minute} {hour} * * 1-5",
        execution_timezone=str(market_calendar.NEW_YORK),
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Each weekday after the open; trades once a week, in the first session without a completed one.",
    )
    def rebalance(alpaca: AlpacaResource, warehouse: WarehouseResource) -> Iterator[dg.RunRequest | dg.SkipReason]:
        now = alpaca.clock().now
        week = market_calendar.week_of(now).isoformat()
        # A report ends a rebalance that went through.
        if warehouse.open().history("portfolio_report", partition=week, limit=1):
            yield dg.SkipReason(f"the week of {week} has been rebalanced")
        else:
            yield due(now, timedelta(minutes=delay)) or dg.RunRequest(partition_key=week)

    return rebalance


def due(now: datetime, delay: timedelta) -> dg.SkipReason | None:
    """None when a session is open at `now` and has been for `delay`; else the reason to wait."""
    session = market_calendar.session_at(now)
    if session is None:
        return dg.SkipReason(f"the market is closed at {now:%Y-%m-%d %H:%M} UTC by the broker's clock")
    if now < session.open + delay:
        return dg.SkipReason(f"the session opened at {session.open:%H:%M} UTC, less than {delay} ago")
    return None
