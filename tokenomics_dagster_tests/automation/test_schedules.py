"""When jobs start by themselves, by the broker's clock, holidays and half days included."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from tokenomics_dagster.automation.schedules import build_schedules, due
from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.settings import load_settings
from tokenomics_dagster_tests.conftest import Platform


def tick(platform: Platform, now: str) -> tuple[list[str | None], str | None]:
    """The weeks for which `rebalance` starts runs when the broker's clock shows `now`, or why it starts none."""
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": now})
    made = build_defs(load_settings())
    with dg.build_schedule_context(
        instance=platform.instance, resources=made.resources, repository_def=made.get_repository_def()
    ) as context:
        data = made.resolve_schedule_def("rebalance").evaluate_tick(context)
    return [request.partition_key for request in data.run_requests or []], data.skip_message


STARTS = {
    "2026-08-24T14:00:00Z": "2026-08-24",
    "2026-08-28T19:59:00Z": "2026-08-24",  # a week that was missed until Friday
    "2026-09-08T14:00:00Z": "2026-09-07",  # Labor Day is a Monday
    "2026-03-09T14:00:00Z": "2026-03-09",  # the day after the clocks went forward
    "2026-11-02T15:00:00Z": "2026-11-02",  # and back
}
WAITS = {
    "2026-08-24T13:59:59Z": "the session opened at 13:30 UTC, less than 0:30:00 ago",
    "2026-11-02T14:59:00Z": "the session opened at 14:30 UTC, less than 0:30:00 ago",
    "2026-08-24T13:00:00Z": "the market is closed at 2026-08-24 13:00 UTC by the broker's clock",
    "2026-08-24T20:00:00Z": "the market is closed at 2026-08-24 20:00 UTC by the broker's clock",
    "2026-08-23T15:00:00Z": "the market is closed at 2026-08-23 15:00 UTC by the broker's clock",
    "2026-09-07T14:00:00Z": "the market is closed at 2026-09-07 14:00 UTC by the broker's clock",
}


def test_a_rebalance_starts_once_the_first_open_session_of_the_week_has_lasted(platform: Platform) -> None:
    assert {now: tick(platform, now) for now in STARTS} == {now: ([week], None) for now, week in STARTS.items()}


def test_no_rebalance_starts_while_the_market_is_closed_or_has_just_opened(platform: Platform) -> None:
    assert {now: tick(platform, now) for now in WAITS} == {now: ([], reason) for now, reason in WAITS.items()}


def test_a_half_day_is_a_session_until_its_early_close() -> None:
    delay = timedelta(minutes=30)
    assert due(datetime(2026, 11, 27, 15, 0, tzinfo=UTC), delay) is None
    assert due(datetime(2026, 11, 27, 17, 59, tzinfo=UTC), delay) is None
    closed = due(datetime(2026, 11, 27, 18, 0, tzinfo=UTC), delay)
    assert closed is not None
    assert closed.skip_message == "the market is closed at 2026-11-27 18:00 UTC by the broker's clock"


def test_a_week_is_rebalanced_once_and_the_next_one_again(platform: Platform) -> None:
    platform.run_all()
    assert tick(platform, "2026-08-25T14:00:00Z") == ([], "the week of 2026-08-24 has been rebalanced")
    assert tick(platform, "2026-08-31T14:00:00Z") == (["2026-08-31"], None)


def test_a_week_whose_rebalance_failed_is_tried_again_the_next_day(platform: Platform) -> None:
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    platform.sandbox.admin("PUT", "/sandbox/account", {"trading_blocked": True})
    assert not platform.run("rebalance", week="2026-08-24").success
    assert tick(platform, "2026-08-25T14:00:00Z") == (["2026-08-24"], None)


def test_the_delay_after_the_open_is_the_users(platform: Platform) -> None:
    platform.configure(schedules__rebalance_minutes_after_open=90)
    assert tick(platform, "2026-08-24T14:59:00Z")[0] == []
    assert tick(platform, "2026-08-24T15:00:00Z")[0] == ["2026-08-24"]
    schedule = next(one for one in build_schedules(load_settings()) if one.name == "rebalance")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 11 * * 1-5", "America/New_York")


def test_the_refreshes_follow_the_crons_and_the_time_zone_of_the_settings(platform: Platform) -> None:
    platform.configure(
        schedules__universe="5 4 3 * *", schedules__fundamentals="6 7 * * 5", schedules__timezone="Europe/Berlin"
    )
    schedules = {one.name: one for one in build_schedules(load_settings())}
    for name, cron, job in (
        ("universe", "5 4 3 * *", "universe_refresh"),
        ("fundamentals", "6 7 * * 5", "fundamentals_refresh"),
    ):
        assert schedules[name].cron_schedule == cron
        assert schedules[name].execution_timezone == "Europe/Berlin"
        assert schedules[name].job_name == job


def test_a_tick_while_the_broker_cannot_be_reached_fails_and_starts_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.configure(alpaca__max_attempts=1)
    monkeypatch.setenv("ALPACA_TRADING_URL", "http://127.0.0.1:1")
    with pytest.raises(dg.DagsterError) as failed:
        tick(platform, "2026-08-24T14:00:00Z")
    assert "the host cannot be reached" in str(failed.value.__cause__)
