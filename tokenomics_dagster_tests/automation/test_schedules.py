"""When jobs start by themselves, by the broker's clock, holidays and half days included."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import dagster as dg
import pandas as pd
import pytest
from croniter import croniter

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.execution.room import due
from tokenomics_dagster.execution.schema import PortfolioReport
from tokenomics_dagster.kit.dagster_internals import BY_HAND
from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.model.plan import Plan, PlannedOrder
from tokenomics_dagster.portfolio.schema import TradePlan, TradePlanDetails
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster_tests.automation.conftest import run_of, save_figures, save_sweep, save_universe
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """The instance that ticks look into for runs under way: a schedule's context opens it anew, so it has a folder."""
    folder = str(tmp_path_factory.mktemp("instance"))
    with dg.DagsterInstance.local_temp(folder, overrides={"telemetry": {"enabled": False}}) as instance:
        yield instance


Tick = Callable[..., tuple[list[str | None], str | None]]


@pytest.fixture
def tick(platform: Platform, on_disk: dg.DagsterInstance) -> Tick:
    """The partitions for which a schedule starts runs at `now` by the broker's clock, or why it starts none."""

    def ticked(now: str, schedule: str = "rebalance") -> tuple[list[str | None], str | None]:
        platform.sandbox.admin("PUT", "/sandbox/clock", {"now": now, "stands": True})
        made = build_defs(load_settings())
        with dg.build_schedule_context(
            instance=on_disk, resources=made.resources, repository_def=made.get_repository_def()
        ) as context:
            data = made.resolve_schedule_def(schedule).evaluate_tick(context)
        return [request.partition_key for request in data.run_requests or []], data.skip_message

    return ticked


STARTS = {
    "2026-08-24T14:00:00Z": "2026-08-24",
    "2026-08-28T19:59:00Z": "2026-08-24",  # a week that was missed until Friday
    "2026-09-08T14:00:00Z": "2026-09-07",  # Labor Day is a Monday
    "2026-03-09T14:00:00Z": "2026-03-09",  # the day after the clocks went forward
    "2026-11-02T15:00:00Z": "2026-11-02",  # and back
}
WAITS = {
    "2026-08-24T13:58:59Z": "the session opened at 13:30 UTC, less than 0:30:00 ago",
    "2026-11-02T14:58:59Z": "the session opened at 14:30 UTC, less than 0:30:00 ago",
    "2026-08-24T13:00:00Z": "the market is closed at 2026-08-24 13:00 UTC by the broker's clock",
    "2026-08-24T20:00:00Z": "the market is closed at 2026-08-24 20:00 UTC by the broker's clock",
    "2026-08-23T15:00:00Z": "the market is closed at 2026-08-23 15:00 UTC by the broker's clock",
    "2026-09-07T14:00:00Z": "the market is closed at 2026-09-07 14:00 UTC by the broker's clock",
}


def test_a_rebalance_starts_once_the_first_open_session_of_the_week_has_lasted(platform: Platform, tick: Tick) -> None:
    assert {now: tick(now) for now in STARTS} == {now: ([week], None) for now, week in STARTS.items()}


def test_no_rebalance_starts_while_the_market_is_closed_or_has_just_opened(platform: Platform, tick: Tick) -> None:
    assert {now: tick(now) for now in WAITS} == {now: ([], reason) for now, reason in WAITS.items()}


def test_a_half_day_is_a_session_until_its_early_close() -> None:
    delay = timedelta(minutes=30)
    assert due(datetime(2026, 11, 27, 15, 0, tzinfo=UTC), delay) is None
    assert due(datetime(2026, 11, 27, 17, 59, tzinfo=UTC), delay) is None
    closed = due(datetime(2026, 11, 27, 18, 0, tzinfo=UTC), delay)
    assert closed == "the market is closed at 2026-11-27 18:00 UTC by the broker's clock"


def test_a_week_is_rebalanced_once_and_the_next_one_again(platform: Platform, tick: Tick) -> None:
    report = pd.DataFrame(columns=list(PortfolioReport.to_schema().columns))
    made = Made(report, datetime(2026, 8, 24, 14, 6, tzinfo=UTC), Details())
    platform.store.save_snapshot("portfolio_report", PortfolioReport, made, run_id="run", partition="2026-08-24")
    assert tick("2026-08-25T14:00:00Z") == ([], "the week of 2026-08-24 has been rebalanced")
    assert tick("2026-08-31T14:00:00Z") == (["2026-08-31"], None)


@pytest.mark.soak
def test_a_week_whose_rebalance_failed_is_tried_again_the_next_day(platform: Platform, tick: Tick) -> None:
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    platform.sandbox.admin("PUT", "/sandbox/account", {"trading_blocked": True})
    assert not platform.run("rebalance", week="2026-08-24").success
    assert tick("2026-08-25T14:00:00Z") == (["2026-08-24"], None)


def test_no_tick_replaces_a_plan_that_a_person_may_approve_or_has_approved(platform: Platform, tick: Tick) -> None:
    platform.configure(trading__approval="manual")
    with AlpacaResource.from_settings(load_settings()) as broker:
        account = broker.account().number
    usd, scored_at = Decimal(100_000), AT - timedelta(days=2)
    plan = Plan(date(2026, 8, 24), AT, account, usd, usd, scored_at, {}, "inputs", ()).sealed()
    frame = pd.DataFrame(columns=list(TradePlan.to_schema().columns))
    made = Made(frame, AT, TradePlanDetails(plan=plan.to_document()))
    platform.store.save_snapshot("trade_plan", TradePlan, made, run_id="run", partition="2026-08-24")
    waits = f"plan {plan.plan_id} waits for a person, because trading.approval is manual: look at it and say "
    for later in ("2026-08-24T14:07:00Z", "2026-08-24T19:58:00Z"):
        started, why = tick(later)
        assert started == []
        assert str(why).startswith(f"{waits}`tokenomics approve {plan.plan_id}`")
    assert tick("2026-08-25T14:00:00Z")[0] == ["2026-08-24"], "its prices are of another day"
    platform.store.approve(plan.plan_id, plan.plan_hash, by="ann", at=datetime(2026, 8, 24, 14, 10, tzinfo=UTC))
    approved = f"plan {plan.plan_id} was approved at 14:10 UTC: the sensor approved_plans carries it out"
    assert tick("2026-08-24T14:12:00Z") == ([], approved)
    assert tick("2026-08-24T14:41:00Z")[0] == ["2026-08-24"], "the approval is older than guards.max_plan_age_min"


def test_a_plan_that_nobody_may_approve_holds_up_no_other(platform: Platform, tick: Tick) -> None:
    platform.configure(trading__approval="manual")
    with AlpacaResource.from_settings(load_settings()) as broker:
        account = broker.account().number
    usd, scored_at = Decimal(100_000), AT - timedelta(days=2)
    sell = PlannedOrder("AAA", "sell", Decimal(1), None, Decimal(10), exit=True)
    plan = Plan(
        date(2026, 8, 24), AT, account, usd, usd, scored_at, {"AAA": Decimal(1)}, "inputs", (sell,), taken=("AAA",)
    ).sealed()
    frame = pd.DataFrame(columns=list(TradePlan.to_schema().columns))
    made = Made(frame, AT, TradePlanDetails(plan=plan.to_document()))
    platform.store.save_snapshot("trade_plan", TradePlan, made, run_id="run", partition="2026-08-24")
    assert tick("2026-08-24T14:07:00Z")[0] == ["2026-08-24"], "it sells what is to be left alone"
    platform.configure(trading__approval="manual", trading__foreign_positions="sell")
    assert tick("2026-08-24T14:07:00Z")[0] == []


def test_the_delay_after_the_open_is_the_users(platform: Platform, tick: Tick) -> None:
    platform.configure(schedules__rebalance_minutes_after_open=90)
    assert tick("2026-08-24T14:58:00Z")[0] == []
    assert tick("2026-08-24T15:00:00Z")[0] == ["2026-08-24"]


def test_the_schedules_follow_the_crons_of_the_settings_and_the_refreshes_their_time_zone(
    platform: Platform, tick: Tick
) -> None:
    platform.configure(
        schedules__universe="5 4 3 * *",
        schedules__fundamentals="6 7 * * 5",
        schedules__rebalance="7 11 * * 2",
        schedules__timezone="Europe/Berlin",
    )
    schedules = {one.name: one for one in build_defs(load_settings()).get_repository_def().schedule_defs}
    for name, cron, zone, job in (
        ("universe", "5 4 3 * *", "Europe/Berlin", "universe_refresh"),
        ("fundamentals", "6 7 * * 5", "Europe/Berlin", "fundamentals_refresh"),
        ("rebalance", "7 11 * * 2", "America/New_York", "rebalance"),
    ):
        assert schedules[name].cron_schedule == cron
        assert schedules[name].execution_timezone == zone
        assert schedules[name].job_name == job


def test_a_tick_while_the_broker_cannot_be_reached_fails_and_starts_nothing(
    platform: Platform, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.configure(alpaca__max_attempts=1)
    monkeypatch.setenv("ALPACA_TRADING_URL", "http://127.0.0.1:1")
    with pytest.raises(dg.DagsterError) as failed:
        tick("2026-08-24T14:00:00Z")
    assert "the host cannot be reached" in str(failed.value.__cause__)


NOW = "2026-08-24T14:05:00Z"
AT = datetime.fromisoformat(NOW)
SYMBOLS = [f"S{number:02}" for number in range(60)]


def test_the_universe_is_made_once_a_month_of_new_york(platform: Platform, tick: Tick) -> None:
    assert tick(NOW, "universe") == ([None], None)
    save_universe(platform.store, SYMBOLS, datetime(2026, 8, 1, 5, 2, tzinfo=UTC))
    made = "the universe of 2026-08 was made at 2026-08-01 05:02 UTC"
    assert tick(NOW, "universe") == ([], made)
    assert tick("2026-09-01T03:58:00Z", "universe") == ([], made)  # 23:58 in New York
    assert tick("2026-09-01T04:00:00Z", "universe") == ([None], None)


def test_a_broker_s_clock_that_is_seconds_behind_costs_no_month(platform: Platform, tick: Tick) -> None:
    save_universe(platform.store, SYMBOLS, datetime(2026, 8, 1, 5, 2, tzinfo=UTC))
    assert tick("2026-09-01T03:59:58Z", "universe")[0] == [None]
    save_universe(platform.store, SYMBOLS, datetime(2026, 9, 1, 3, 59, 59, tzinfo=UTC))
    assert tick("2026-09-01T04:01:00Z", "universe")[0] == []


def test_there_is_no_sweep_before_the_first_universe(platform: Platform, tick: Tick) -> None:
    assert tick(NOW, "fundamentals") == ([], "there is no universe yet: universe_refresh comes first")


def test_a_sweep_that_would_ask_for_nothing_is_not_started(platform: Platform, tick: Tick) -> None:
    save_universe(platform.store, SYMBOLS, AT)
    assert tick(NOW, "fundamentals")[0] == [None]
    save_sweep(platform.store, AT - timedelta(days=4, hours=23))
    save_figures(platform.store, SYMBOLS, AT - timedelta(days=4, hours=23))
    young = "there is next to nothing to ask for: 60 of 60 symbols have fresh financials (100.0 %, "
    reason = f"{young}guards.min_fetched_pct is 95), fundamentals.refresh_days is 5"
    assert tick(NOW, "fundamentals") == ([], reason)
    # Five days and the minute that a sweep takes: else the first figures to age would start one for a few.
    assert tick("2026-08-24T15:05:30Z", "fundamentals") == ([], reason)
    assert tick("2026-08-24T15:07:00Z", "fundamentals")[0] == [None]


@pytest.mark.parametrize(("old", "starts"), [(60, True), (4, True), (3, False)])
def test_a_sweep_that_asked_for_nothing_makes_no_figure_younger(
    platform: Platform, tick: Tick, old: int, starts: bool
) -> None:
    store, yesterday = platform.store, AT - timedelta(days=1)
    save_universe(store, SYMBOLS, AT)
    save_figures(store, SYMBOLS[:old], AT - timedelta(days=5, hours=12))
    save_figures(store, SYMBOLS[old:], AT - timedelta(days=2))
    fresh_since = yesterday - timedelta(days=5)
    sweep = store.start_sweep(started_at=yesterday, fresh_since=fresh_since, run_id="midweek", requested=60)
    store.finish_sweep(sweep, finished_at=yesterday, failures={})
    assert bool(tick(NOW, "fundamentals")[0]) == starts


def test_a_sweep_after_one_that_asked_for_all_anew_goes_on_where_that_was(platform: Platform, tick: Tick) -> None:
    store, again = platform.store, AT - timedelta(hours=2)
    save_universe(store, SYMBOLS, AT)
    save_figures(store, SYMBOLS, AT - timedelta(days=1))
    save_sweep(store, again)
    assert tick(NOW, "fundamentals")[0] == [None], "young figures that were found wrong do not count"
    save_figures(store, SYMBOLS, AT - timedelta(hours=1))
    assert tick(NOW, "fundamentals")[0] == []


@pytest.mark.parametrize("schedule", ["universe", "fundamentals"])
def test_a_broker_s_clock_that_went_back_starts_nothing_and_the_reason_says_so(
    platform: Platform, tick: Tick, schedule: str
) -> None:
    later = AT + timedelta(days=10)
    save_universe(platform.store, SYMBOLS, later if schedule == "universe" else AT)
    save_figures(platform.store, SYMBOLS, later)
    save_sweep(platform.store, later)
    what = "universe" if schedule == "universe" else "a sweep"
    ahead = f"the broker's clock says 2026-08-24 14:05 UTC, but there is already {what} at 2026-09-03 14:05 UTC"
    assert tick(NOW, schedule) == ([], ahead)


def test_the_shipped_crons_try_a_lost_universe_and_a_lost_sweep_again_before_the_rebalance() -> None:
    crons = load_settings(REPOSITORY / "config/settings.yaml").schedules
    day = timedelta(days=1)
    lost = datetime(2026, 8, 1, 1, tzinfo=NEW_YORK)
    tries = croniter(crons.universe, lost)
    assert [tries.get_next(datetime) - lost for _ in range(7)] == [*(n * day for n in range(1, 7)), 31 * day]
    lost = datetime(2026, 8, 22, 2, tzinfo=NEW_YORK)
    tries = croniter(crons.fundamentals, lost)
    again = [tries.get_next(datetime) for _ in range(3)]
    assert [f"{one:%a %H:%M}" for one in again] == ["Sat 08:00", "Sun 02:00", "Sun 08:00"]
    assert again[-1] < datetime(2026, 8, 24, 10, tzinfo=NEW_YORK)


def test_a_sweep_that_was_killed_or_failed_too_often_is_started_again_by_the_next_tick(
    platform: Platform, tick: Tick
) -> None:
    store, yesterday = platform.store, AT - timedelta(days=1)
    save_universe(store, SYMBOLS, AT)
    save_sweep(store, yesterday, finished=False)
    save_figures(store, SYMBOLS[:40], yesterday)
    assert tick(NOW, "fundamentals")[0] == [None]
    save_sweep(store, yesterday + timedelta(hours=1), failed=SYMBOLS)
    assert tick(NOW, "fundamentals")[0] == [None]
    save_figures(store, SYMBOLS, yesterday + timedelta(hours=2))  # a repair
    assert tick(NOW, "fundamentals")[0] == []


def test_a_tick_warns_of_a_sweep_that_cannot_end_before_its_rebalance(
    platform: Platform, tick: Tick, capfd: pytest.CaptureFixture[str]
) -> None:
    platform.configure(schedules__fundamentals="45 9 * * 1", universe__size=1500, finnhub__calls_per_minute=58.0)
    assert tick(NOW, "fundamentals")[0] == []
    assert (
        "cannot end before Monday 2026-08-31 10:11, after the rebalance at Monday 2026-08-31 10:00"
        in capfd.readouterr().err
    )


@pytest.mark.parametrize(
    ("schedule", "job", "status"),
    [
        ("universe", "universe_refresh", "QUEUED"),
        ("fundamentals", "fundamentals_refresh", "STARTED"),
        ("rebalance", "rebalance", "STARTING"),
        ("rebalance", "rebalance", "CANCELING"),
    ],
)
def test_no_schedule_starts_a_run_beside_one_of_its_job(
    platform: Platform, tick: Tick, on_disk: dg.DagsterInstance, schedule: str, job: str, status: str
) -> None:
    save_universe(platform.store, SYMBOLS, AT - timedelta(days=40))
    run = run_of(job, status)
    on_disk.add_run(run)
    assert tick(NOW, schedule) == ([], f"run {run.run_id} of {job} is queued or running: it ends first")
    on_disk.delete_run(run.run_id)
    assert len(tick(NOW, schedule)[0]) == 1


def test_assets_that_a_person_materializes_count_as_a_run_of_their_job(
    platform: Platform, tick: Tick, on_disk: dg.DagsterInstance
) -> None:
    run = run_of(BY_HAND, "STARTED", "orders", "portfolio_report")
    on_disk.add_run(run)
    assert tick(NOW) == ([], f"run {run.run_id} of rebalance is queued or running: it ends first")
    assert tick(NOW, "universe")[0] == [None]
    on_disk.delete_run(run.run_id)
