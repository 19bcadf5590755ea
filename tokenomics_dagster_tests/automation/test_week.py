"""When a week counts as rebalanced, and what schedule, sensor, status and metrics say while it does not."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import dagster as dg
import pandas as pd
import pytest
from rich.console import Console

from tokenomics_dagster.automation import problems
from tokenomics_dagster.definitions import ROOMS, build_defs
from tokenomics_dagster.execution.fulfilment import Fulfilment, Shortfall
from tokenomics_dagster.execution.schema import Orders, OrdersDetails, PortfolioReport
from tokenomics_dagster.execution.week import week_state
from tokenomics_dagster.interfaces.cli import tables
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.operations.status import undone_week
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster_tests.conftest import Platform

MONDAY = date(2026, 8, 24)
WEEK = MONDAY.isoformat()
TRIED = datetime(2026, 8, 24, 14, 6, tzinfo=UTC)


def missing(usd: str, planned: str = "50000") -> Fulfilment:
    half = Decimal(usd) / 2
    short = (
        Shortfall("AAA", "buy", half, "not afforded", "not enough cash: 0.00 USD left, 8,000.00 USD planned"),
        Shortfall("BBB", "buy", half, "refused", "insufficient buying power"),
    )
    return Fulfilment(Decimal(100_000), Decimal(planned), 20, short)


def rebalanced(platform: Platform, done: Fulfilment | None, at: datetime = TRIED) -> None:
    """What a run of the rebalance leaves in the warehouse; None: one of an earlier version."""
    orders = pd.DataFrame(columns=list(Orders.to_schema().columns))
    platform.store.save_snapshot("orders", Orders, Made(orders, at, told(done)), run_id="run", partition=WEEK)
    report = Made(pd.DataFrame(columns=list(PortfolioReport.to_schema().columns)), at, Details())
    platform.store.save_snapshot("portfolio_report", PortfolioReport, report, run_id="run", partition=WEEK)


def told(done: Fulfilment | None) -> OrdersDetails:
    """What belongs to the orders; None: to those of an earlier version."""
    fulfilment = {} if done is None else {"fulfilment": done.to_document()}
    return OrdersDetails(plan_id="p", skipped={}, stuck=[], reconciliation_flaws=[], **fulfilment)


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    folder = str(tmp_path_factory.mktemp("instance"))
    with dg.DagsterInstance.local_temp(folder, overrides={"telemetry": {"enabled": False}}) as instance:
        yield instance


def tick(platform: Platform, instance: dg.DagsterInstance, now: str) -> tuple[list[dg.RunRequest], str]:
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": now})
    made = build_defs(load_settings())
    with dg.build_schedule_context(
        instance=instance, resources=made.resources, repository_def=made.get_repository_def()
    ) as context:
        data = made.resolve_schedule_def("rebalance").evaluate_tick(context)
    return list(data.run_requests or []), data.skip_message or ""


def test_a_week_that_was_not_traded_is_tried_again_in_its_later_sessions_and_says_why(
    platform: Platform, on_disk: dg.DagsterInstance
) -> None:
    rebalanced(platform, missing("30000"))
    started, said = tick(platform, on_disk, "2026-08-24T14:07:00Z")
    assert started == []
    assert said.startswith("the week of 2026-08-24 is not done: 30,000.00 of 50,000.00 USD in 2 of 20 names were not")
    assert said.endswith("It was tried in this session; the next session tries again")
    ([run], _) = tick(platform, on_disk, "2026-08-25T14:05:00Z")
    assert run.partition_key == WEEK
    # One line of the UI; the whole is in what the orders show.
    assert run.tags["tokenomics/why"] == "60.0 % not traded so far"
    # What was then traded is what counts: the newest orders.
    rebalanced(platform, missing("4000"), datetime(2026, 8, 25, 14, 6, tzinfo=UTC))
    assert tick(platform, on_disk, "2026-08-26T14:05:00Z") == ([], "the week of 2026-08-24 has been rebalanced")


def test_a_week_without_anything_to_trade_or_of_an_earlier_version_is_done_by_its_report(platform: Platform) -> None:
    guards = load_settings().guards
    assert not week_state(platform.store, MONDAY, guards).done
    rebalanced(platform, None)
    assert week_state(platform.store, MONDAY, guards).done
    rebalanced(platform, Fulfilment(Decimal(100_000), Decimal(0), 0, ()))
    assert week_state(platform.store, MONDAY, guards).done
    rebalanced(platform, missing("400", planned="400"))
    assert week_state(platform.store, MONDAY, guards).done, "less than guards.ignored_untraded_pct of equity"


def test_a_limit_that_a_person_raises_ends_the_week(platform: Platform) -> None:
    rebalanced(platform, missing("30000"))
    platform.configure(guards__max_untraded_pct=60.0)
    assert week_state(platform.store, MONDAY, load_settings().guards).done


def test_orders_whose_report_was_lost_are_tried_again_in_the_same_session(
    platform: Platform, on_disk: dg.DagsterInstance
) -> None:
    orders = pd.DataFrame(columns=list(Orders.to_schema().columns))
    made = Made(orders, TRIED, told(missing("0")))
    platform.store.save_snapshot("orders", Orders, made, run_id="run", partition=WEEK)
    ([run], _) = tick(platform, on_disk, "2026-08-24T14:07:00Z")
    assert run.partition_key == WEEK


@pytest.mark.parametrize(
    ("tried", "now", "told"),
    [
        (TRIED, "2026-08-24T15:00:00+00:00", False),
        (TRIED, "2026-08-28T15:00:00+00:00", False),  # Friday: its session may still try
        (TRIED, "2026-08-28T20:01:00+00:00", True),
        (TRIED, "2026-08-30T12:00:00+00:00", True),
        (TRIED, "2026-08-31T12:00:00+00:00", False),  # another week
        (datetime(2026, 8, 28, 14, 6, tzinfo=UTC), "2026-08-28T14:10:00+00:00", True),
    ],
)
def test_a_person_is_told_once_more_when_nothing_tries_again(
    platform: Platform, tried: datetime, now: str, told: bool
) -> None:
    rebalanced(platform, missing("30000"), tried)
    platform.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(asset_key=dg.AssetKey("orders"), check_name="traded", passed=False, metadata={})
    )
    made = build_defs(load_settings())
    found = problems.find(
        platform.instance,
        made.resolve_asset_graph(),
        House(ROOMS),
        platform.store,
        datetime.fromisoformat(now),
        load_settings(),
    )
    assert ("week" in found.problems) == told
    if told:
        assert found.problems["week"].title == "the week of 2026-08-24 ends with 60 % of its plan not traded"
        assert "refused: 15,000.00 USD in 1 (buy BBB" in found.problems["week"].detail
    # One cause is one problem, and the check is not over by it.
    assert ("check:orders:traded" in found.problems) == (not told)
    assert not (told and found.over("check:orders:traded"))


def test_status_shows_what_of_the_week_is_missing_by_reason(platform: Platform) -> None:
    rebalanced(platform, missing("30000"))
    [found] = undone_week(platform.store, TRIED, load_settings())
    console = Console(width=200)
    with console.capture() as shown:
        console.print(tables.undone_week(found))
    text = " ".join(shown.get().split())
    assert "the week of 2026-08-24 is not done: 60.0 % was not traded; a later session tries again" in text
    assert "15,000.00" in text
    rebalanced(platform, missing("1000"))
    assert list(undone_week(platform.store, TRIED, load_settings())) == []


def test_the_sessions_of_a_week_leave_holidays_out() -> None:
    days = [session.day for session in calendar.sessions_of_week(date(2026, 9, 7))]
    assert days == [date(2026, 9, day) for day in (8, 9, 10, 11)]
