"""When the New York exchanges trade: sessions, opens, closes, the first session of a week.

Wraps exchange_calendars (XNYS), which knows holidays, half days and both DST changes. All instants are UTC-aware.
What time it *is* comes from the broker.
"""

import warnings
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

NEW_YORK = ZoneInfo("America/New_York")


@dataclass(frozen=True, slots=True)
class Session:
    day: date
    open: datetime
    close: datetime

    def contains(self, instant: datetime) -> bool:
        return self.open <= instant < self.close


@lru_cache(maxsize=4)
def _calendar(year: int) -> "ExchangeCalendar":
    # Two years around the asked one: building the whole history takes 0.6 s, three years 0.1 s.
    return _calendar_of(date(year - 1, 1, 1), date(year + 1, 12, 31))


def _calendar_of(first: date, last: date) -> "ExchangeCalendar":
    import exchange_calendars  # 0.3 s to import: not while definitions load
    from pandas.errors import Pandas4Warning

    with warnings.catch_warnings():
        # exchange_calendars 4.13 reads Series.values of instants, which pandas 3.1 deprecates
        warnings.simplefilter("ignore", Pandas4Warning)
        return exchange_calendars.get_calendar("XNYS", start=first.isoformat(), end=last.isoformat())


def _session(calendar: "ExchangeCalendar", day: date) -> Session:
    opened, closed = calendar.session_open_close(day.isoformat())
    return Session(day, opened.to_pydatetime(), closed.to_pydatetime())


@lru_cache(maxsize=4096)  # exchange_calendars takes 0.2 ms for a day, and five years of values ask for each often
def session_on(day: date) -> Session | None:
    """The session of that day in New York, None on weekends and holidays."""
    calendar = _calendar(day.year)
    return _session(calendar, day) if calendar.is_session(day.isoformat()) else None


@lru_cache(maxsize=4)
def session_days(first: date, last: date) -> tuple[date, ...]:
    """The days of the sessions from `first` to `last`, both included: 0.2 s for six years, whose hours take 1.4 s."""
    if first > last:
        return ()
    week = timedelta(days=7)  # what lies before a calendar's first session or behind its last one is an error to it
    days = _calendar_of(first - week, last + week).sessions_in_range(first.isoformat(), last.isoformat())
    return tuple(day.date() for day in days)


def session_at(instant: datetime) -> Session | None:
    """The session that is open at `instant`, None while the exchanges are closed."""
    session = session_on(instant.astimezone(NEW_YORK).date())
    return session if session is not None and session.contains(instant) else None


def week_of(instant: datetime) -> date:
    """Monday of the New York week that `instant` lies in: the key of the weekly partitions."""
    day = instant.astimezone(NEW_YORK).date()
    return day - timedelta(days=day.weekday())


def first_session_of_week(monday: date) -> Session:
    """The first session on or after that Monday; a rebalance week starts at its open."""
    if monday.weekday() != 0:
        raise ValueError(f"{monday} is a {monday:%A}; a rebalance week is named by its Monday")
    return sessions_of_week(monday)[0]


def sessions_of_week(monday: date) -> list[Session]:
    """The sessions of the week of that Monday, at least one: no week of the calendar is without."""
    days = (monday + timedelta(days=offset) for offset in range(5))
    sessions = [session for day in days if (session := session_on(day)) is not None]
    if not sessions:
        raise ValueError(f"the week of {monday} has no session")
    return sessions


def previous_close(instant: datetime) -> datetime:
    """The close of the last session before the New York day of `instant`."""
    day = instant.astimezone(NEW_YORK).date()
    sessions = (session_on(day - timedelta(days=back)) for back in range(1, 15))
    return next(session for session in sessions if session is not None).close
