"""Sessions of the New York exchanges: holidays, half days, both DST changes."""

from datetime import UTC, date, datetime

import pytest

from tokenomics_dagster.model import calendar


@pytest.mark.parametrize(
    ("monday", "first", "opens"),
    [
        (date(2026, 8, 24), date(2026, 8, 24), datetime(2026, 8, 24, 13, 30, tzinfo=UTC)),
        (date(2026, 9, 7), date(2026, 9, 8), datetime(2026, 9, 8, 13, 30, tzinfo=UTC)),  # Labor Day
        (date(2026, 3, 2), date(2026, 3, 2), datetime(2026, 3, 2, 14, 30, tzinfo=UTC)),  # before DST
        (date(2026, 3, 9), date(2026, 3, 9), datetime(2026, 3, 9, 13, 30, tzinfo=UTC)),  # after DST
        (date(2026, 11, 2), date(2026, 11, 2), datetime(2026, 11, 2, 14, 30, tzinfo=UTC)),  # DST is over
    ],
)
def test_a_week_starts_at_the_open_of_its_first_session(monday, first, opens):
    session = calendar.first_session_of_week(monday)
    assert (session.day, session.open) == (first, opens)


def test_a_half_day_closes_at_one():
    session = calendar.session_on(date(2026, 11, 27))
    assert session is not None
    assert session.close == datetime(2026, 11, 27, 18, 0, tzinfo=UTC)
    assert calendar.session_at(datetime(2026, 11, 27, 17, 59, tzinfo=UTC)) == session
    assert calendar.session_at(datetime(2026, 11, 27, 18, 0, tzinfo=UTC)) is None


def test_weekends_and_holidays_have_no_session():
    assert calendar.session_on(date(2026, 8, 22)) is None
    assert calendar.session_on(date(2026, 12, 25)) is None


def test_the_week_of_an_instant_is_that_of_new_york():
    # Monday 02:00 UTC is still Sunday in New York.
    assert calendar.week_of(datetime(2026, 8, 24, 2, tzinfo=UTC)) == date(2026, 8, 17)
    assert calendar.week_of(datetime(2026, 8, 24, 5, tzinfo=UTC)) == date(2026, 8, 24)


def test_a_week_is_named_by_its_monday():
    with pytest.raises(ValueError, match="Tuesday"):
        calendar.first_session_of_week(date(2026, 8, 25))
