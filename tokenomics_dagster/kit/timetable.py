"""What is due when: how long a sweep takes at least, whether it ends before the rebalance, how far ticks lie apart.

Computed from the settings and the trading calendar alone. What starts then is in the rooms.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, takewhile
from math import ceil
from typing import NamedTuple
from zoneinfo import ZoneInfo

from croniter import croniter

from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.settings import Settings

_LEAP_YEAR = datetime(2024, 1, 1), datetime(2025, 1, 1)  # noqa: DTZ001  the wall clock that crons are written in
_DAY = timedelta(days=1)
_YEAR = timedelta(days=365)
# A year of sweeps every three hours: a denser timetable looks the same after that.
_MOST_SWEEPS = 3_000


class Timed(NamedTuple):
    """A sweep from its start to the end that it cannot be earlier than; UTC."""

    start: datetime
    end: datetime


@lru_cache
def longest_gap(cron: str) -> timedelta:
    """Between the first ticks of two days that have some, over a leap year."""
    start, end = _LEAP_YEAR
    ticks = croniter(cron, start)
    last, gap = ticks.get_next(datetime), timedelta(0)
    while last < end:
        ticks.set_current(last.replace(hour=23, minute=59, second=59), force=True)
        following = ticks.get_next(datetime)
        gap, last = max(gap, following - last), following
    return gap


def calls_per_minute(settings: Settings) -> float:
    return min(settings.finnhub.calls_per_minute, 60 * settings.finnhub.max_calls_per_second)


def shortest_sweep(settings: Settings) -> timedelta:
    """What a sweep takes when every symbol needs one call and nothing else takes time; whole minutes, rounded up."""
    return timedelta(minutes=ceil(settings.universe.size / calls_per_minute(settings)))


def pace(settings: Settings) -> str:
    """The shortest sweep for a person: `26 min at 58 calls/min`."""
    return f"{shortest_sweep(settings) / timedelta(minutes=1):.0f} min at {calls_per_minute(settings):g} calls/min"


def sweeps(settings: Settings, since: datetime) -> Iterator[Timed]:
    """The sweeps from `since` on, as the schedule will start them: at a tick, once the one before is old enough."""
    earliest = since
    while True:
        start = _tick(settings.schedules.fundamentals, settings.schedules.zone, earliest)
        end = start + shortest_sweep(settings)
        yield Timed(start, end)
        earliest = end + timedelta(days=settings.fundamentals.refresh_days)


def rebalance_of(monday: datetime, settings: Settings) -> datetime | None:
    """When the week's rebalance is due: its first tick inside a session that has lasted long enough, UTC."""
    delay = timedelta(minutes=settings.schedules.rebalance_minutes_after_open)
    for days in range(5):
        session = calendar.session_on((monday + timedelta(days=days)).date())
        if session is not None:
            tick = _tick(settings.schedules.rebalance, NEW_YORK, session.open + delay)
            if tick < session.close:
                return tick
    return None


def _weeks(since: datetime) -> Iterator[datetime]:
    monday = datetime.combine(calendar.week_of(since), datetime.min.time(), NEW_YORK)
    while True:
        yield monday
        monday += timedelta(days=7)


def _tick(cron: str, zone: ZoneInfo, earliest: datetime) -> datetime:
    """The first tick at or after an instant, UTC. A time that a change of the clocks leaves out comes an hour later."""
    local = earliest.astimezone(zone).replace(tzinfo=None)
    # croniter knows no fractions of a second, and gives what comes after an instant.
    before = local.replace(microsecond=0) - timedelta(seconds=0 if local.microsecond else 1)
    tick: datetime = croniter(cron, before).get_next(datetime)
    return tick.replace(tzinfo=zone).astimezone(UTC)


def conflicts(settings: Settings, now: datetime) -> list[str]:
    """Of the year from `now` on: each rebalance that the sweep before it cannot be done for, and why."""
    longest = timedelta(days=settings.guards.max_score_age_days)
    remedy = "change schedules.fundamentals, universe.size or finnhub.calls_per_minute"
    until = now + _YEAR
    # The sweep before the first rebalance lies in the past.
    coming = takewhile(lambda sweep: sweep.start <= until, sweeps(settings, now - longest - 31 * _DAY))
    timed = list(islice(coming, _MOST_SWEEPS))
    if len(timed) == _MOST_SWEEPS:
        until = timed[-1].start
    found: list[str] = []
    for monday in _weeks(now):
        if monday > until:
            return found
        due = rebalance_of(monday, settings)
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
    due = next(due for monday in _weeks(sweep.end) if (due := rebalance_of(monday, settings)) and due >= sweep.end)
    ends, starts = (instant.astimezone(NEW_YORK) for instant in (sweep.end, due))
    return True, f"{pace(settings)}: {ends:%A %H:%M}, {starts:%A}'s rebalance at {starts:%H:%M} (New York)"


def _new_york(instant: datetime) -> str:
    return f"{instant.astimezone(NEW_YORK):%A %Y-%m-%d %H:%M}"
