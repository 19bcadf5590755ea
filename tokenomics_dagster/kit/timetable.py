"""Crons against the trading calendar: how far their ticks lie apart, and which falls where. What starts then, and what
it takes, is the rooms' to say. Pure.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from croniter import croniter

from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.calendar import NEW_YORK

_LEAP_YEAR = datetime(2024, 1, 1), datetime(2025, 1, 1)  # noqa: DTZ001  the wall clock that crons are written in


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


def tick_from(cron: str, zone: ZoneInfo, earliest: datetime) -> datetime:
    """The first tick at or after an instant, UTC. A time that a change of the clocks leaves out comes an hour later."""
    local = earliest.astimezone(zone).replace(tzinfo=None)
    # croniter knows no fractions of a second, and gives what comes after an instant.
    before = local.replace(microsecond=0) - timedelta(seconds=0 if local.microsecond else 1)
    tick: datetime = croniter(cron, before).get_next(datetime)
    return tick.replace(tzinfo=zone).astimezone(UTC)


def tick_in_session(cron: str, monday: datetime, delay: timedelta) -> datetime | None:
    """The week's first tick inside a session that has lasted for `delay`, UTC; None where there is none.

    The cron is one of New York's time; of `monday` the date counts.
    """
    for days in range(5):
        session = calendar.session_on((monday + timedelta(days=days)).date())
        if session is not None:
            tick = tick_from(cron, NEW_YORK, session.open + delay)
            if tick < session.close:
                return tick
    return None
