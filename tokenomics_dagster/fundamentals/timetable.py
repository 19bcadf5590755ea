"""Whether a sweep ends before the rebalance that needs it: what it takes at least, and when both are due.

Computed from the settings and the trading calendar alone.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice, takewhile
from math import ceil
from typing import NamedTuple

from tokenomics_dagster.kit.timetable import tick_from, tick_in_session
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.finnhub import FinnhubSettings
from tokenomics_dagster.settings.schedules import ScheduleSettings

_YEAR = timedelta(days=365)
# A year of sweeps every three hours: a denser timetable looks the same after that.
_MOST_SWEEPS = 3_000


class Timed(NamedTuple):
    """A sweep from its start to the end that it cannot be earlier than; UTC."""

    start: datetime
    end: datetime


def _calls_per_minute(settings: FinnhubSettings) -> float:
    return min(settings.calls_per_minute, 60 * settings.max_calls_per_second)


def shortest_sweep(settings: Settings) -> timedelta:
    """What a sweep takes when every symbol needs one call and nothing else takes time; whole minutes, rounded up."""
    return timedelta(minutes=ceil(settings.universe.count / _calls_per_minute(settings.finnhub)))


def pace(settings: Settings) -> str:
    """The shortest sweep for a person: `26 min at 58 calls/min`."""
    minutes = shortest_sweep(settings) / timedelta(minutes=1)
    return f"{minutes:.0f} min at {_calls_per_minute(settings.finnhub):g} calls/min"


def sweeps(settings: Settings, since: datetime) -> Iterator[Timed]:
    """The sweeps from `since` on, as the schedule will start them: at a tick, once the one before is old enough."""
    earliest = since
    while True:
        start = tick_from(settings.schedules.fundamentals, settings.schedules.zone, earliest)
        end = start + shortest_sweep(settings)
        yield Timed(start, end)
        earliest = end + timedelta(days=settings.fundamentals.refresh_days)


def _weeks(since: datetime) -> Iterator[datetime]:
    monday = datetime.combine(calendar.week_of(since), datetime.min.time(), NEW_YORK)
    while True:
        yield monday
        monday += timedelta(days=7)


def _rebalance_of(monday: datetime, settings: ScheduleSettings) -> datetime | None:
    """When the week's rebalance is due, UTC."""
    return tick_in_session(settings.rebalance, monday, timedelta(minutes=settings.rebalance_minutes_after_open))


def conflicts(settings: Settings, now: datetime) -> list[str]:
    """Of the year from `now` on: each rebalance that the sweep before it cannot be done for, and why."""
    longest = timedelta(days=settings.guards.max_score_age_days)
    remedy = "change schedules.fundamentals, universe.size or finnhub.calls_per_minute"
    until = now + _YEAR
    # The sweep before the first rebalance lies in the past.
    coming = takewhile(lambda sweep: sweep.start <= until, sweeps(settings, now - longest - timedelta(days=31)))
    timed = list(islice(coming, _MOST_SWEEPS))
    if len(timed) == _MOST_SWEEPS:
        until = timed[-1].start
    found: list[str] = []
    for monday in _weeks(now):
        if monday > until:
            return found
        due = _rebalance_of(monday, settings.schedules)
        if due is None:
            found.append(
                f"no tick of schedules.rebalance falls into a session of the week of {monday:%Y-%m-%d}, "
                "schedules.rebalance_minutes_after_open past its open: change one of them"
            )
        elif due >= now:
            ended = max((sweep.end for sweep in timed if sweep.end <= due), default=None)
            running = next((sweep for sweep in timed if sweep.start <= due < sweep.end), None)
            if running is not None:
                found.append(
                    f"the sweep of {_new_york(running.start)} cannot end before {_new_york(running.end)}, after the "
                    f"rebalance at {_new_york(due)}: {remedy}"
                )
            elif ended is None or due - ended > longest:
                found.append(
                    f"no sweep ends within the {settings.guards.max_score_age_days:g} days "
                    f"(guards.max_score_age_days) before the rebalance at {_new_york(due)}: {remedy}"
                )
    return found


def outlook(settings: Settings, now: datetime) -> tuple[bool, str]:
    """Whether every sweep of the coming year ends in time, and the next one beside its rebalance; for a person."""
    found = conflicts(settings, now)
    if found:
        more = f" And {len(found) - 1} more within a year." if len(found) > 1 else ""
        return False, f"{pace(settings)}: {found[0]}.{more}"
    sweep = next(sweeps(settings, now))
    coming = (_rebalance_of(monday, settings.schedules) for monday in _weeks(sweep.end))
    due = next(due for due in coming if due is not None and due >= sweep.end)
    ends, starts = (instant.astimezone(NEW_YORK) for instant in (sweep.end, due))
    return True, f"{pace(settings)}: {ends:%A %H:%M}, {starts:%A}'s rebalance at {starts:%H:%M} (New York)"


def _new_york(instant: datetime) -> str:
    return f"{instant.astimezone(NEW_YORK):%A %Y-%m-%d %H:%M}"
