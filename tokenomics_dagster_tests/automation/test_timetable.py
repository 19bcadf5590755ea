"""How old an asset may become, how long a sweep takes, and whether each ends before the rebalance that needs it."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenomics_dagster.definitions import ROOMS, defs
from tokenomics_dagster.fundamentals.timetable import conflicts, outlook, shortest_sweep, sweeps
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster_tests.conftest import REPOSITORY

NOW = datetime(2026, 8, 21, 15, tzinfo=UTC)  # a Friday
DAY = timedelta(days=1)


def with_settings(**changed: object) -> Settings:
    overrides = {key.replace("__", "."): value for key, value in changed.items()}
    return load_settings(REPOSITORY / "config/settings.yaml", overrides)


def test_every_asset_has_a_freshness_policy_that_warns_before_it_fails_and_is_the_one_of_the_map() -> None:
    specs = {spec.key.to_user_string(): spec for spec in defs().resolve_all_asset_specs()}
    ages = House(ROOMS).max_ages(load_settings())
    by_hand = {"backtest": None, "tuning": None}
    assert {name: spec.freshness_policy for name, spec in specs.items()} == by_hand | {
        name: dg.FreshnessPolicy.time_window(fail_window=limits.fail, warn_window=limits.warn)
        for name, limits in ages.items()
    }
    for limits in ages.values():
        assert timedelta(0) < limits.warn < limits.fail


def test_the_limits_fit_the_schedules_and_the_age_from_which_orders_refuse_the_scores() -> None:
    limits = House(ROOMS).max_ages(with_settings())
    assert limits["universe"] == limits["listings"] == limits["published_universe"] == (32 * DAY, 35 * DAY)
    assert limits["financials"] == limits["scores"] == limits["published_scores"] == (7.5 * DAY, 8 * DAY)
    for asset in House(ROOMS).jobs["rebalance"].makes:
        assert limits[asset].warn > 8 * DAY, "a Monday's, and then that of the Tuesday after a holiday"
        assert limits[asset].fail < 14 * DAY
    assert House(ROOMS).max_ages(with_settings(guards__max_score_age_days=3.0))["scores"].fail == 3 * DAY
    assert House(ROOMS).max_ages(with_settings(guards__max_score_age_days=0.001))["scores"].fail == DAY / 24


@pytest.mark.parametrize(
    ("cron", "longest_days"),
    [("0 2 * * 6", 7), ("* * * * *", 7), ("0 2 1,15 * *", 17), ("30 2 1 */2 *", 62), ("0 0 29 2 *", 1461)],
)
def test_a_schedule_that_fires_less_often_makes_its_assets_stale_later(cron: str, longest_days: int) -> None:
    limits = House(ROOMS).max_ages(with_settings(schedules__fundamentals=cron))["financials"]
    assert limits == ((longest_days + 0.5) * DAY, (longest_days + 1) * DAY)


def test_a_cron_that_no_day_answers_is_refused_with_its_key() -> None:
    with pytest.raises(
        SettingsError, match=r"schedules\.fundamentals = '0 0 30 2 \*' .* names a day that no month has"
    ):
        with_settings(schedules__fundamentals="0 0 30 2 *")


@pytest.mark.parametrize(
    ("size", "per_minute", "per_second", "minutes"),
    [(1500, 58.0, 30.0, 26), (1500, 300.0, 30.0, 5), (10_000, 1e6, 30.0, 6), (58, 58.0, 30.0, 1), (59, 58.0, 30.0, 2)],
)
def test_a_sweep_takes_at_least_its_calls_at_the_slower_of_both_rates(
    size: int, per_minute: float, per_second: float, minutes: int
) -> None:
    made = with_settings(
        universe__size=size, finnhub__calls_per_minute=per_minute, finnhub__max_calls_per_second=per_second
    )
    assert shortest_sweep(made) == timedelta(minutes=minutes)


def test_what_is_shown_names_the_pace_the_end_and_the_rebalance() -> None:
    assert outlook(with_settings(), NOW) == (
        True,
        "26 min at 58 calls/min: Saturday 02:26, Monday's rebalance at 10:00 (New York)",
    )


def test_the_floor_is_shown_with_the_schedule() -> None:
    description = defs().resolve_schedule_def("fundamentals").description
    assert description is not None
    assert "1,500 symbols takes at least 26 min at 58 calls/min" in description


def test_over_a_year_each_sweep_of_the_shipped_settings_ends_before_its_rebalance() -> None:
    assert conflicts(with_settings(), NOW) == []


def test_a_holiday_moves_the_rebalance_to_the_next_session() -> None:
    # Labor Day is Monday the 7th: the sweep of that day's evening still ends before Tuesday 10:00.
    monday_evening = with_settings(schedules__fundamentals="0 18 * * 1")
    found = conflicts(monday_evening, datetime(2026, 9, 5, tzinfo=UTC))
    assert not [one for one in found if "2026-09-0" in one]
    tuesday = with_settings(schedules__fundamentals="45 9 * * 2")
    assert [one for one in conflicts(tuesday, datetime(2026, 9, 5, tzinfo=UTC)) if "Tuesday 2026-09-08 10:00" in one]


def test_a_sweep_that_cannot_end_in_time_is_told_with_both_times_and_what_to_change() -> None:
    fine, text = outlook(with_settings(schedules__fundamentals="45 9 * * 1"), NOW)
    assert not fine
    assert text.startswith(
        "26 min at 58 calls/min: the sweep of Monday 2026-08-24 09:45 cannot end before Monday 2026-08-24 10:11, after "
        "the rebalance at Monday 2026-08-24 10:00: change schedules.fundamentals, universe.size or "
        "finnhub.calls_per_minute."
    )
    assert "more within a year" in text


def test_scores_too_old_for_the_orders_are_told() -> None:
    found = conflicts(with_settings(schedules__fundamentals="0 2 1 * *"), NOW)
    assert "no sweep ends within the 8 days (guards.max_score_age_days) before the rebalance" in found[0]
    assert len(found) > 30


def test_a_rebalance_that_never_meets_a_session_is_told() -> None:
    found = conflicts(with_settings(schedules__rebalance="0 3 * * *"), NOW)
    assert "no tick of schedules.rebalance falls into a session of the week of 2026-08-24" in found[1]


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Asia/Tokyo", "Australia/Sydney", "UTC"])
def test_the_time_zone_of_the_schedule_decides_when_a_sweep_ends_in_new_york(zone: str) -> None:
    made = with_settings(schedules__timezone=zone, schedules__fundamentals="0 15 * * 1", universe__size=58)
    in_time = not conflicts(made, NOW)
    # 15:00 on Monday is 09:00 in New York for Berlin (10:00 in the weeks between both changes of the clocks).
    assert in_time == (zone in ("Asia/Tokyo", "Australia/Sydney", "America/New_York"))
    first = next(sweeps(made, NOW)).start
    assert (first.astimezone(made.schedules.zone).hour, first.astimezone(made.schedules.zone).weekday()) == (15, 0)


def test_a_sweep_at_an_hour_that_the_clocks_leave_out_still_comes_that_day() -> None:
    made = with_settings(schedules__fundamentals="30 2 * * 0")
    starts = [sweep.start.astimezone(NEW_YORK) for sweep, _ in zip(sweeps(made, NOW), range(60), strict=False)]
    assert {start.weekday() for start in starts} == {6}
    assert {(start.date() - before.date()).days for before, start in pairwise(starts)} == {7}
    assert {start.hour for start in starts} == {2, 3}, "02:30 does not exist on the Sunday in March"


@given(st.sampled_from(["* * * * *", "0 * * * *", "0 2 * * 6", "15 4 * * 1,4"]), st.floats(0, 6), st.integers(1, 3000))
@settings(max_examples=12)
def test_no_sweep_starts_before_the_one_before_is_old_enough(cron: str, refresh_days: float, size: int) -> None:
    made = with_settings(schedules__fundamentals=cron, fundamentals__refresh_days=refresh_days, universe__size=size)
    found = [sweep for sweep, _ in zip(sweeps(made, NOW), range(5), strict=False)]
    for before, sweep in pairwise(found):
        assert sweep.start - before.end >= timedelta(days=refresh_days)
        assert sweep.end - sweep.start == shortest_sweep(made)
