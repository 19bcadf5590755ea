"""When each schedule ticks next, and which tick starts something, as things stand. Only looks; who asks, and what it
means to a person, stays out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from tokenomics_dagster.kit.room import House
from tokenomics_dagster.kit.timetable import tick_from
from tokenomics_dagster.model import calendar

_TICKS = 40  # of a schedule that are looked at for the first one that starts something


@dataclass(frozen=True, slots=True)
class Scheduled:
    """`on`: None where two code locations differ. `tick`: the next, UTC; `why_not`: why it starts nothing, as things
    stand, None where it starts its job or where only the tick itself can tell. `acts`: the first tick that starts the
    job, None where none of the next forty does; `does`: what that is."""

    name: str
    on: bool | None
    job: str
    tick: datetime
    why_not: str | None
    acts: datetime | None
    does: str


def is_on(name: str, switched: Mapping[str, set[bool]], default: Any) -> bool | None:
    """As somebody has switched it, else as its code declares; None where two code locations differ."""
    said = switched.get(name) or {default.value == "RUNNING"}
    return next(iter(said)) if len(said) == 1 else None


def scheduled(
    schedule: Any,
    switched: Mapping[str, set[bool]],
    now: datetime,
    why_not: Callable[[str, datetime], str | None],
    house: House,
) -> Scheduled:
    """A schedule of Dagster's; `why_not` says of a name and an instant what the rooms say."""
    zone = ZoneInfo(schedule.execution_timezone or "UTC")
    ticks = list(islice(_ticks(str(schedule.cron_schedule), zone, now), _TICKS))
    reason = why_not(schedule.name, ticks[0])
    acts = next((tick for tick in ticks if why_not(schedule.name, tick) is None), None)
    job = house.jobs.get(schedule.job_name)
    does = (job.description if job is not None else schedule.description or "").strip()
    if job is not None and job.trades and acts is not None:
        does = f"trades the week of {calendar.week_of(acts)}. {does}"
    return Scheduled(
        name=schedule.name,
        on=is_on(schedule.name, switched, schedule.default_status),
        job=schedule.job_name,
        tick=ticks[0],
        why_not=reason,
        acts=acts,
        does=does,
    )


def _ticks(cron: str, zone: ZoneInfo, now: datetime) -> Iterator[datetime]:
    tick = now
    while True:
        tick = tick_from(cron, zone, tick + timedelta(seconds=1))
        yield tick
