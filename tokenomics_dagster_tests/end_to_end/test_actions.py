"""What companies do between the weeks, with real jobs: a rename through a whole month, a late split, a delisting."""

from datetime import date
from decimal import Decimal

import pytest

from tokenomics_dagster.execution.schema import PortfolioReport
from tokenomics_dagster.execution.week import week_state
from tokenomics_dagster.fundamentals.schema import Financials, Scores
from tokenomics_dagster.portfolio.schema import TradePlan
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.universe.schema import Universe, UniverseDetails
from tokenomics_dagster_tests.automation.test_sensors import tick

pytestmark = pytest.mark.soak  # 10 s and more each; execution/test_actions.py tries the plans alone

FIRST = "2026-08-10"
DAY = 86_400


def at(platform, instant: str):
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": f"{instant}Z"})


def act(platform, kind, symbol, **fields):
    platform.sandbox.admin("POST", "/sandbox/actions", {"kind": kind, "symbol": symbol, **fields})


def week_of(platform, week, day=None):
    """A week with its sweep, in its first session, or that of `day`; the plan by symbol."""
    at(platform, f"{day or week}T14:05:00")
    run = platform.run("fundamentals_refresh")
    failed = [] if run.success else platform.store.latest_sweep().failures
    assert not failed, failed
    platform.must_run("score")
    return rebalance(platform, week)


def rebalance(platform, week: str):
    platform.must_run("rebalance", week=week)
    plan = platform.store.load_snapshot("trade_plan", TradePlan, partition=week)
    return plan.set_index("symbol")


def first_week(platform):
    """The best name and its shares after it."""
    at(platform, f"{FIRST}T14:05:00")
    platform.run_all(FIRST)
    positions = platform.broker().positions()
    symbol = max(positions, key=lambda one: positions[one].market_value)
    return symbol, positions[symbol].qty


def score_of(platform, symbol: str):
    return float(platform.store.load_snapshot("scores", Scores).set_index("symbol")["score"][symbol])


def must_be_done(platform, week: str):
    state = week_state(platform.store, date.fromisoformat(week), load_settings().guards)
    assert state.done, state.reason


@pytest.mark.parametrize("announced", [True, False])
def test_a_stock_renamed_between_two_universes_is_held_scored_and_followed_under_its_new_symbol(platform, announced):
    old, held = first_week(platform)
    new, before = "RENAMED", score_of(platform, old)

    def must_go_on(plan, week, followed: str):
        positions = platform.broker().positions()
        assert old not in positions
        assert abs(positions[new].qty / held - 1) < Decimal("0.25"), "neither sold nor bought twice"
        assert old not in plan.index
        assert plan["target_weight"][new] > 0
        assert abs(score_of(platform, followed) - before) < 5
        report = platform.store.load_snapshot("portfolio_report", PortfolioReport, partition=week).set_index("symbol")
        assert old not in report.index
        assert report["target_weight"][new] > 0
        must_be_done(platform, week)

    at(platform, "2026-08-12T12:00:00")
    act(platform, "rename", old, new_symbol=new, announced=announced)
    for week in ("2026-08-17", "2026-08-24"):
        must_go_on(week_of(platform, week), week, old)
    at(platform, "2026-09-01T12:00:00")
    platform.must_run("universe_refresh")
    universe = platform.store.load_snapshot("universe", Universe)
    assert platform.store.history("universe", limit=1)[0].details_as(UniverseDetails).renamed == {old: new}
    assert old not in set(universe["symbol"])
    tick(platform, "symbols_follow_universe")
    assert {old, new} & set(platform.instance.get_dynamic_partitions("symbols")) == {new}
    # Scored before Finnhub is asked for the new symbol: the figures and their age are those of the old one.
    platform.must_run("score")
    facts = platform.store.latest_facts("financials", Financials).set_index("symbol")
    assert facts.loc[new].to_dict() == facts.loc[old].to_dict()
    must_go_on(week_of(platform, "2026-08-31", "2026-09-01"), "2026-08-31", new)
    must_go_on(week_of(platform, "2026-09-07", "2026-09-08"), "2026-09-07", new)
    orders = platform.sandbox.admin("GET", "/sandbox/broker")["book"]["orders"]
    traded = sum(Decimal(one["filled_qty"]) for one in orders if one["symbol"] in {old, new})
    assert traded < held * Decimal("1.5")


def test_a_split_that_the_broker_books_on_the_second_day_is_traded_on_neither_and_then_as_before(platform):
    symbol, held = first_week(platform)
    week = "2026-08-17"
    at(platform, f"{week}T12:00:00")
    act(platform, "split", symbol, new_rate=2, old_rate=1, book_after_s=1.5 * DAY)
    plans = [week_of(platform, week)]
    for day in ("18", "19"):
        at(platform, f"2026-08-{day}T14:05:00")
        plans.append(rebalance(platform, week))
    assert [plan["side"][symbol] for plan in plans[:2]] == ["none", "none"]
    assert "is announced" in plans[1]["reason"][symbol]
    assert "left alone" not in str(plans[2]["reason"][symbol])
    assert abs(platform.broker().positions()[symbol].qty / held - 2) < Decimal("0.5")
    must_be_done(platform, week)


def test_a_stock_that_is_delisted_and_has_no_price_stops_no_week_and_no_report(platform):
    symbol, held = first_week(platform)
    at(platform, "2026-08-12T12:00:00")
    act(platform, "delisting", symbol, price=None)
    for week in ("2026-08-17", "2026-08-24"):
        at(platform, f"{week}T14:05:00")
        platform.run("fundamentals_refresh")
        platform.must_run("score")
        plan = rebalance(platform, week)
        assert "have no market any more and count as 0 USD" in plan["reason"][symbol]
        report = platform.store.load_snapshot("portfolio_report", PortfolioReport, partition=week).set_index("symbol")
        assert report["value"][symbol] == 0
        assert report["qty"][symbol] == float(held)
        must_be_done(platform, week)
