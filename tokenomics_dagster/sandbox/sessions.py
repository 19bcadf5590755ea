"""Trading sessions of the New York Stock Exchange: holidays, half days, DST. Prices and orders stay out."""

import bisect
import dataclasses
import functools
import warnings
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import exchange_calendars
from pandas.errors import Pandas4Warning

NEW_YORK = ZoneInfo("America/New_York")
# exchange_calendars ends one year after the real today by default; the sandbox's clock may stand anywhere
CALENDAR_START, CALENDAR_END = "2016-01-01", "2036-12-31"


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """One regular session: its date in New York, its open and close in UTC."""

    date: date
    open: datetime
    close: datetime


class Sessions:
    """The sessions of XNYS from 2016 to 2036. An instant outside of them raises ValueError."""

    def __init__(self) -> None:
        self._all = _schedule()
        self._dates = [one.date for one in self._all]
        self._opens = [one.open for one in self._all]
        self._closes = [one.close for one in self._all]

    def is_open(self, at: datetime) -> bool:
        """Whether regular trading goes on: the open belongs to it, the close does not."""
        return self.current_or_next(at).open <= at

    def next_open(self, at: datetime) -> datetime:
        """The first open after `at`."""
        return self._at(bisect.bisect_right(self._opens, at), at).open

    def next_close(self, at: datetime) -> datetime:
        """The first close after `at`."""
        return self.current_or_next(at).close

    def current_or_next(self, at: datetime) -> Session:
        """The session that is open at `at`, or else the next one: the session that a day order sent now works in."""
        return self._at(bisect.bisect_right(self._closes, at), at)

    def last_closed(self, at: datetime) -> Session:
        """The last session that had closed by `at`."""
        return self._at(bisect.bisect_right(self._closes, at) - 1, at)

    def last_opened(self, at: datetime) -> Session:
        """The last session that had opened by `at`, whether it has closed or not."""
        return self._at(bisect.bisect_right(self._opens, at) - 1, at)

    def previous_day(self, at: datetime) -> Session:
        """The last session of a New York date before that of `at`: on the evening of a session, the one before."""
        return self._at(bisect.bisect_left(self._dates, at.astimezone(NEW_YORK).date()) - 1, at)

    def closed_between(self, after: datetime, until: datetime) -> list[Session]:
        """Sessions with `after` < close <= `until`."""
        return self._all[bisect.bisect_right(self._closes, after) : bisect.bisect_right(self._closes, until)]

    def sessions(self, start: date, end: date) -> list[Session]:
        """Sessions from `start` to `end`, both included; what lies outside 2016 to 2036 is cut off."""
        return self._all[bisect.bisect_left(self._dates, start) : bisect.bisect_right(self._dates, end)]

    def settlement(self, session: date) -> date:
        """Settlement date of a trade of that date: the next session (T+1 since 2024-05-28)."""
        index = bisect.bisect_right(self._dates, session)
        return self._dates[min(index, len(self._dates) - 1)]

    def _at(self, index: int, at: datetime) -> Session:
        if not 0 <= index < len(self._all):
            raise ValueError(f"{at.isoformat()} lies outside the calendar, {CALENDAR_START} to {CALENDAR_END}")
        return self._all[index]


@functools.cache
def _schedule() -> list[Session]:
    with warnings.catch_warnings():
        # exchange_calendars 4.13 reads Series.values of aware instants, which pandas 3.1 announces to change in 4
        warnings.simplefilter("ignore", Pandas4Warning)
        schedule = exchange_calendars.get_calendar("XNYS", start=CALENDAR_START, end=CALENDAR_END).schedule
        return [
            Session(stamp.date(), opened.to_pydatetime().astimezone(UTC), closed.to_pydatetime().astimezone(UTC))
            for stamp, opened, closed in zip(schedule.index, schedule["open"], schedule["close"], strict=True)
        ]
