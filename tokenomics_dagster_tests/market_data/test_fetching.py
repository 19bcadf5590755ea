"""Whose bars are asked for, since when, and which of them are believed."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from tokenomics_dagster.market_data.fetching import (
    BARS_AT_ONCE,
    GONE_AFTER,
    SAVED_AT_ONCE,
    Batch,
    batches,
    followed,
    judged,
    last_settled,
    worth_saving,
)
from tokenomics_dagster.model.calendar import session_days, session_on
from tokenomics_dagster.model.trading import Bar
from tokenomics_dagster.storage.lake import Known

FRIDAY = date(2026, 8, 21)
SESSIONS = session_days(date(2026, 6, 1), FRIDAY)
GOOD = Bar(FRIDAY, Decimal(10), Decimal(12), Decimal(9), Decimal(11), Decimal(1000))


def known(last: date, first: date = SESSIONS[0]) -> Known:
    return Known(first, last, 1)


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2026-08-21T20:19:59Z", date(2026, 8, 20)),  # 19 minutes after the close
        ("2026-08-21T20:20:00Z", FRIDAY),
        ("2026-08-24T13:30:00Z", FRIDAY),
        ("2026-11-27T18:20:00Z", date(2026, 11, 27)),  # a half day, 20 minutes after 13:00
        ("2026-12-25T23:00:00Z", date(2026, 12, 24)),
    ],
)
def test_a_session_is_asked_for_once_it_has_settled(now: str, last: date) -> None:
    assert last_settled(datetime.fromisoformat(now)) == last


def test_who_left_the_universe_is_followed_until_no_bar_has_come_for_a_month() -> None:
    there = {"LEFT": known(FRIDAY), "GONE": known(FRIDAY - GONE_AFTER - timedelta(days=1))}
    assert followed(["B", "A"], ["HELD"], there, FRIDAY) == ["A", "B", "HELD", "LEFT"]


def test_who_is_known_is_asked_for_from_five_sessions_before_and_who_is_not_from_the_first() -> None:
    found = batches(["NEW", "OLD"], {"OLD": known(FRIDAY)}, SESSIONS, at_once=100)
    assert found == [Batch(("OLD",), date(2026, 8, 17)), Batch(("NEW",), SESSIONS[0])]


def test_who_lacks_sessions_is_asked_for_from_before_them() -> None:
    [batch] = batches(["A"], {"A": known(date(2026, 8, 14))}, SESSIONS, at_once=100)
    assert batch.first == date(2026, 8, 10)


def test_a_bar_of_the_first_sessions_is_none_before_the_first() -> None:
    [batch] = batches(["A"], {"A": known(SESSIONS[1])}, SESSIONS, at_once=100)
    assert batch.first == SESSIONS[0]


def test_with_since_all_are_asked_for_from_there_on() -> None:
    found = batches(["NEW", "OLD"], {"OLD": known(FRIDAY)}, SESSIONS, since=date(2026, 7, 4), at_once=100)
    assert found == [Batch(("NEW", "OLD"), date(2026, 7, 4))]


def test_no_batch_is_larger_than_a_call_or_than_what_is_read_at_once() -> None:
    names = [f"S{number}" for number in range(250)]
    found = batches(names, {}, SESSIONS, at_once=100)
    assert [len(batch.symbols) for batch in found] == [100, 100, 50]
    assert [symbol for batch in found for symbol in batch.symbols] == names
    years = session_days(date(2021, 1, 4), FRIDAY)
    assert max(len(batch.symbols) for batch in batches(names, {}, years, at_once=100)) == BARS_AT_ONCE // len(years)


def test_each_batch_of_the_last_sessions_is_saved_and_long_histories_are_gathered() -> None:
    assert worth_saving(1, date(2026, 6, 1), FRIDAY)
    assert not worth_saving(SAVED_AT_ONCE - 1, date(2021, 1, 4), FRIDAY)
    assert worth_saving(SAVED_AT_ONCE, date(2021, 1, 4), FRIDAY)


@pytest.mark.parametrize(
    ("bar", "reason"),
    [
        (GOOD, None),
        (replace(GOOD, volume=Decimal(0)), None),
        (replace(GOOD, open=Decimal(0), low=Decimal(0)), "open of 0 USD"),
        (replace(GOOD, close=Decimal(-1)), "close of -1 USD"),
        (replace(GOOD, high=Decimal("10.99")), "close of 11 USD is not between low 9 and high 10.99"),
        (replace(GOOD, low=Decimal("10.01")), "open of 10 USD is not between low 10.01 and high 12"),
        (replace(GOOD, volume=Decimal(-1)), "volume of -1 shares"),
        (replace(GOOD, session=date(2026, 8, 22)), "of no session that was asked for"),
    ],
)
def test_a_bar_that_contradicts_itself_is_not_believed(bar: Bar, reason: str | None) -> None:
    assert list(judged({"A": [bar]}, SESSIONS)) == [("A", bar, reason)]


def test_a_session_that_is_told_twice_is_believed_the_first_time() -> None:
    other = replace(GOOD, close=Decimal("10.5"))
    assert [reason for *_, reason in judged({"A": [GOOD, GOOD, other]}, SESSIONS)] == [
        None,
        None,
        "a second, different bar of its session",
    ]


def test_the_days_of_sessions_are_those_of_the_calendar() -> None:
    days = list(session_days(date(2026, 7, 1), date(2026, 7, 6)))
    assert days == [date(2026, 7, 1), date(2026, 7, 2), date(2026, 7, 6)]  # the 4th is a Saturday
    assert session_days(date(2026, 7, 5), date(2026, 7, 4)) == session_days(FRIDAY, date(2025, 1, 1)) == ()
    assert session_days(FRIDAY, FRIDAY) == (FRIDAY,)
    opened = session_on(FRIDAY)
    assert opened is not None
    assert opened.open == datetime(2026, 8, 21, 13, 30, tzinfo=UTC)
