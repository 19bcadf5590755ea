"""The whole cycle on the sandbox: what it ends with, that it can be repeated, killed and repaired."""

import json
from datetime import date, timedelta
from decimal import Decimal

import dagster as dg
import pandas as pd
import pytest

from tokenomics_dagster.execution.fulfilment import Fulfilment
from tokenomics_dagster.execution.schema import Orders, OrdersDetails, PortfolioReport
from tokenomics_dagster.fundamentals.schema import Financials, Scores, ScoresDetails
from tokenomics_dagster.kit.partitions import newest_materializations
from tokenomics_dagster.portfolio.schema import TargetWeights, TradePlan
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster.universe.schema import KnownProfiles, Universe, UniverseDetails
from tokenomics_dagster_tests.conftest import failure_of

WEEK = "2026-08-24"
METRIC = "GET /api/v1/stock/metric"
PROFILE = "GET /api/v1/stock/profile2"
FINANCIALS = dg.AssetKey("financials")


def test_the_cycle_ends_with_the_targets_held_and_the_money_adding_up(platform):
    platform.run_all()
    store = platform.store
    universe = store.load_snapshot("universe", Universe)
    scores = store.load_snapshot("scores", Scores)
    weights = store.load_snapshot("target_weights", TargetWeights, partition=WEEK)
    orders = store.load_snapshot("orders", Orders, partition=WEEK)
    report = store.load_snapshot("portfolio_report", PortfolioReport, partition=WEEK)
    assert len(universe) == 60
    assert list(scores["symbol"]) == list(universe["symbol"])
    assert len(weights) == 20
    assert set(orders["symbol"]) == set(weights["symbol"])
    assert set(orders["status"]) == {"filled"}
    for row in orders.itertuples():
        assert row.client_order_id == f"tokenomics-fundamentals-{WEEK}-{row.symbol}-{row.side}-1", (
            "sleeve, period, symbol, side, attempt"
        )
    assert report["drift"].abs().max() < 0.01
    account, positions = platform.broker().account(), platform.broker().positions()
    spent = sum(Decimal(row.filled_qty) * Decimal(row.filled_avg_price) for row in orders.itertuples())
    assert abs(Decimal(100_000) - spent - account.cash) < Decimal("0.01") * len(orders)
    assert account.equity == account.cash + sum(p.market_value for p in positions.values())
    assert account.cash >= 0


def test_a_second_rebalance_of_the_week_trades_nothing(platform):
    platform.run_all()
    sent = platform.calls("POST /v2/orders")
    platform.must_run("rebalance", week=WEEK)
    assert platform.calls("POST /v2/orders") == sent
    plan = platform.store.load_snapshot("trade_plan", TradePlan, partition=WEEK)
    assert set(plan["side"]) == {"none"}
    assert plan["reason"].notna().all()


def test_a_weeks_orders_are_those_of_all_its_plans_not_of_the_last_run(platform):
    platform.run_all()
    store = platform.store
    first = store.load_stored("orders", Orders, OrdersDetails, partition=WEEK)
    platform.must_run("rebalance", week=WEEK)
    second = store.load_stored("orders", Orders, OrdersDetails, partition=WEEK)
    assert second.details.plan_id != first.details.plan_id, "the second run makes a plan of its own, without an order"
    pd.testing.assert_frame_equal(second.frame, first.frame)
    assert not any(map(second.details.of_last_plan, second.frame["client_order_id"]))
    # A plan in the same week that does trade: one name is held no more, and cash is left for another.
    gone = first.frame["symbol"][0]
    platform.sandbox.admin("PATCH", f"/sandbox/metrics/{gone}", {"roeTTM": -50})
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-26T14:05:00Z"})
    platform.must_run("fundamentals_refresh", run_config={"ops": {"financials": {"config": {"symbols": [gone]}}}})
    platform.must_run("score")
    platform.must_run("rebalance", week=WEEK)
    third = store.load_stored("orders", Orders, OrdersDetails, partition=WEEK)
    account = platform.broker().account().number
    ledger = {row.client_order_id: row.plan_id for row in store.orders_of_week(account, date.fromisoformat(WEEK))}
    assert set(third.frame["client_order_id"]) == set(ledger) > set(first.frame["client_order_id"])
    assert third.details.plans == ledger
    assert set(ledger.values()) == {first.details.plan_id, third.details.plan_id}
    mine = third.frame[[third.details.of_last_plan(one) for one in third.frame["client_order_id"]]]
    assert ("sell", gone) in set(zip(mine["side"], mine["symbol"], strict=True))
    broker = {order.client_order_id: order for order in platform.broker().orders(status="all")}
    assert set(broker) == set(ledger)
    for row in third.frame.itertuples():
        assert Decimal(row.filled_qty) == broker[row.client_order_id].filled_qty
    # What the week meant, and that it was traded, is told of all its plans as before.
    done = Fulfilment.from_document(third.details.fulfilment)
    assert done.untraded_usd == 0
    assert done.planned_usd > Fulfilment.from_document(first.details.fulfilment).planned_usd
    assert third.details.reconciliation_flaws == []


def test_orders_stored_by_an_earlier_version_are_all_of_its_last_plan():
    details = OrdersDetails(plan_id="p", skipped={}, stuck=[], reconciliation_flaws=[])
    assert details.of_last_plan("any")
    assert "plans" not in details.to_document()


@pytest.mark.soak
def test_orders_materialized_again_from_the_same_plan_send_nothing_twice(platform):
    platform.run_all()
    sent = platform.calls("POST /v2/orders")
    platform.must_run("rebalance", week=WEEK, asset_selection=[dg.AssetKey("orders")])
    assert platform.calls("POST /v2/orders") == sent
    rows = platform.store.load_snapshot("orders", Orders, partition=WEEK)
    assert set(rows["status"]) == {"filled"}


@pytest.mark.soak
def test_a_past_week_is_decided_again_from_what_was_known_then_and_never_traded(platform):
    platform.run_all()
    then = platform.store.load_snapshot("target_weights", TargetWeights, partition=WEEK)
    best = then["symbol"][0]
    platform.sandbox.admin("PATCH", f"/sandbox/metrics/{best}", {"roeTTM": -50})
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    platform.must_run("fundamentals_refresh", "score")
    platform.must_run("rebalance", week="2026-08-31")
    now = platform.store.load_snapshot("target_weights", TargetWeights, partition="2026-08-31")
    assert best not in set(now["symbol"][:1])
    platform.must_run("rebalance", week=WEEK, asset_selection=[dg.AssetKey("target_weights")])
    again = platform.store.load_snapshot("target_weights", TargetWeights, partition=WEEK)
    assert again.to_json() == then.to_json()
    refused = platform.run("rebalance", week=WEEK)
    assert not refused.success
    assert "not the running week" in failure_of(refused)


@pytest.mark.soak
def test_a_past_week_is_decided_again_from_its_scores_though_others_were_stored_just_after(platform):
    platform.run_all()
    then = platform.store.load_snapshot("target_weights", TargetWeights, partition=WEEK)
    scores = platform.store.load_snapshot("scores", Scores)
    # Begun before the decision, as its instant says, and stored after it.
    late = scores.assign(score=scores["score"].where(scores["score"].isna(), 100 - scores["score"]))
    [decided], [scored] = (platform.store.history(asset) for asset in ("target_weights", "scores"))
    begun = decided.as_of - timedelta(microseconds=1)
    platform.store.save_snapshot("scores", Scores, Made(late, begun, scored.details_as(ScoresDetails)), run_id="late")
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    platform.must_run("rebalance", week=WEEK, asset_selection=[dg.AssetKey("target_weights")])
    again = platform.store.load_snapshot("target_weights", TargetWeights, partition=WEEK)
    assert len(platform.store.history("target_weights")) == 2
    assert again.to_json() == then.to_json()


@pytest.mark.soak
def test_scores_made_anew_of_figures_that_have_grown_old_are_not_traded_on(platform):
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-22T06:00:00Z"})
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-26T15:00:00Z"})
    platform.must_run("fundamentals_refresh", "score")
    assert platform.calls(METRIC) == 60, "all were fresh"
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    run = platform.run("rebalance", week="2026-08-31")
    assert not run.success
    assert "scores_fresh: the scores are 5.0 days old and 0.0 % of their figures young enough" in failure_of(run)
    assert platform.broker().orders(status="all") == []


@pytest.mark.soak
def test_a_week_without_orders_or_one_that_is_over_is_not_reported(platform):
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    report = [dg.AssetKey("portfolio_report")]
    platform.must_run("rebalance", week=WEEK, asset_selection=[dg.AssetKey("target_weights")])
    run = platform.run("rebalance", week=WEEK, asset_selection=report)
    assert "the week of 2026-08-24 has no orders yet: run the rebalance first" in failure_of(run)
    platform.must_run("rebalance", week=WEEK)
    platform.must_run("rebalance", week=WEEK, asset_selection=report)
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    run = platform.run("rebalance", week=WEEK, asset_selection=report)
    assert "the week of 2026-08-24 is not the running one" in failure_of(run)
    assert len(platform.store.history("portfolio_report", partition=WEEK)) == 2


@pytest.mark.soak
def test_a_week_without_monday_session_is_planned_on_tuesday(platform):
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-09-08T14:05:00Z"})
    platform.run_all("2026-09-07")
    assert len(platform.broker().positions()) == 20


def test_nothing_is_sent_while_the_market_is_closed(platform):
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-24T20:00:01Z"})
    run = platform.run("rebalance", week=WEEK)
    assert not run.success
    assert "the market is closed" in failure_of(run)
    assert platform.calls("POST /v2/orders") == 0


@pytest.mark.soak
def test_a_name_that_left_the_targets_is_sold_whole_before_anything_is_bought(platform):
    platform.run_all()
    held = platform.broker().positions()
    gone = min(held)
    platform.sandbox.admin("PATCH", f"/sandbox/metrics/{gone}", {"roeTTM": -90, "revenueGrowthTTMYoy": -90})
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    platform.must_run("fundamentals_refresh", "score")
    platform.must_run("rebalance", week="2026-08-31")
    orders = [
        o for o in platform.broker().orders() if o.client_order_id.startswith("tokenomics-fundamentals-2026-08-31")
    ]
    sells = [o for o in orders if o.side == "sell"]
    buys = [o for o in orders if o.side == "buy"]
    assert {o.symbol for o in sells} >= {gone}
    assert next(o for o in sells if o.symbol == gone).qty == held[gone].qty
    assert gone not in platform.broker().positions()
    assert buys
    assert max(o.submitted_at for o in sells) < min(o.submitted_at for o in buys)


@pytest.mark.soak
def test_the_sweep_logs_each_symbol_with_its_metrics_as_a_materialized_partition(platform):
    platform.must_run("universe_refresh")
    platform.must_run("fundamentals_refresh")
    universe = platform.store.load_snapshot("universe", Universe)
    symbols = set(universe["symbol"])
    assert set(platform.instance.get_dynamic_partitions("symbols")) == symbols
    assert platform.instance.get_materialized_partitions(FINANCIALS) == symbols
    scored = platform.store.latest_facts("financials", Financials).dropna(subset=["roe_ttm_pct"]).iloc[0]
    event = platform.instance.get_latest_data_version_record(FINANCIALS, partition_key=scored["symbol"])
    # Shown to four digits; the warehouse has them all.
    assert event.asset_materialization.metadata["roe_ttm_pct"].value == pytest.approx(scored["roe_ttm_pct"], rel=1e-3)


def test_figures_that_a_killed_run_has_stored_and_not_logged_are_logged_by_the_next(platform):
    platform.must_run("universe_refresh", "fundamentals_refresh")
    known = platform.store.latest_facts("financials", Financials)
    for row in known.head(3).to_dict("records"):
        platform.store.append_fact(
            "financials", Financials, {**row, "known_at": row["known_at"] + timedelta(seconds=1), "roe_ttm_pct": 7.0}
        )
    platform.sandbox.admin("PUT", "/sandbox/clock", {"advance_s": 600})
    platform.must_run("fundamentals_refresh")
    assert platform.calls(METRIC) == 60
    facts = platform.store.latest_facts("financials", Financials).set_index("symbol")
    logged = newest_materializations(platform.instance, FINANCIALS, set(facts.index))
    assert {symbol: made.metadata["known_at"].value for symbol, made in logged.items()} == {
        symbol: at.isoformat() for symbol, at in facts["known_at"].items()
    }


@pytest.mark.soak
def test_fresh_symbols_are_not_asked_for_again_and_named_ones_are(platform):
    platform.must_run("universe_refresh", "fundamentals_refresh")
    assert platform.calls(METRIC) == 60
    platform.must_run("fundamentals_refresh")
    assert platform.calls(METRIC) == 60
    symbols = sorted(platform.instance.get_dynamic_partitions("symbols"))[:3]
    config = {"ops": {"financials": {"config": {"symbols": symbols}}}}
    platform.must_run("fundamentals_refresh", run_config=config)
    assert platform.calls(METRIC) == 63
    tags = {"dagster/asset_partition_range_start": symbols[0], "dagster/asset_partition_range_end": symbols[0]}
    platform.must_run("fundamentals_refresh", tags=tags)
    assert platform.calls(METRIC) == 64


@pytest.mark.soak
def test_figures_that_were_wrong_are_all_asked_for_again_and_count_no_more(platform):
    platform.configure(finnhub__max_attempts=1)
    platform.must_run("universe_refresh", "fundamentals_refresh")
    again = {"ops": {"financials": {"config": {"again": True}}}}
    # Killed after the first figures; what goes on where it was does not take the others for fresh.
    platform.sandbox.admin("DELETE", "/sandbox/calls")
    platform.sandbox.admin(
        "PUT", "/sandbox/faults", [{"endpoint": METRIC, "calls": list(range(21, 100)), "kind": "500"}]
    )
    assert not platform.run("fundamentals_refresh", run_config=again).success
    platform.sandbox.admin("DELETE", "/sandbox/faults")
    refused = platform.run("score")
    assert "the last sweep of financials has not finished" in failure_of(refused)
    asked = platform.calls(METRIC)
    platform.must_run("fundamentals_refresh")
    assert platform.calls(METRIC) - asked == 40
    platform.must_run("fundamentals_refresh", run_config=again)
    assert platform.calls(METRIC) - asked == 100
    both = {"ops": {"financials": {"config": {"again": True, "failed": True}}}}
    assert "give one of them" in failure_of(platform.run("fundamentals_refresh", run_config=both))


def test_an_empty_range_of_partitions_fails_instead_of_doing_nothing(platform):
    platform.must_run("universe_refresh")
    platform.instance.add_dynamic_partitions("symbols", ["AAAA-LATER"])
    first = platform.instance.get_dynamic_partitions("symbols")[0]
    run = platform.run(
        "fundamentals_refresh",
        tags={"dagster/asset_partition_range_start": "AAAA-LATER", "dagster/asset_partition_range_end": first},
    )
    assert not run.success
    assert "holds no symbol" in failure_of(run)


def test_few_failures_are_tolerated_named_and_repaired_by_run_config(platform):
    platform.configure(guards__max_failed_pct=5.0, finnhub__max_attempts=1)
    platform.must_run("universe_refresh")
    fault = [{"endpoint": METRIC, "calls": [7, 20], "kind": "500"}]
    platform.sandbox.admin("PUT", "/sandbox/faults", fault)
    run = platform.run("fundamentals_refresh")
    assert not run.success
    assert "the sweep counts (guards.max_failed_pct is 5) and scores may be made" in failure_of(run)
    failed = platform.store.latest_sweep().failures
    assert len(failed) == 2
    platform.must_run("score")
    symbols = set(platform.instance.get_dynamic_partitions("symbols"))
    assert platform.instance.get_materialized_partitions(FINANCIALS) == symbols - set(failed)
    platform.sandbox.admin("DELETE", "/sandbox/faults")
    config = {"ops": {"financials": {"config": {"symbols": sorted(failed)}}}}
    platform.must_run("fundamentals_refresh", run_config=config)
    assert platform.instance.get_materialized_partitions(FINANCIALS) == symbols


def test_many_failures_fail_the_sweep_keep_what_came_and_bar_the_scores(platform):
    platform.configure(finnhub__max_attempts=1)
    platform.must_run("universe_refresh")
    platform.sandbox.admin("PUT", "/sandbox/faults", [{"endpoint": METRIC, "calls": [3, 9, 15, 21], "kind": "500"}])
    run = platform.run("fundamentals_refresh")
    assert not run.success
    assert "4 of 60 symbols could not be fetched" in failure_of(run)
    assert len(platform.instance.get_materialized_partitions(FINANCIALS)) == 56
    score = platform.run("score")
    assert not score.success
    assert "still failed" in failure_of(score)
    platform.sandbox.admin("DELETE", "/sandbox/faults")
    platform.must_run("fundamentals_refresh")
    assert platform.calls(METRIC) == 64
    platform.must_run("score")


def test_scores_wait_for_a_finished_sweep(platform):
    platform.must_run("universe_refresh")
    assert "never swept" in failure_of(platform.run("score"))
    store = platform.store
    now = platform.broker().now()
    store.start_sweep(started_at=now, fresh_since=now, run_id="killed", requested=60)
    assert "has not finished" in failure_of(platform.run("score"))


@pytest.mark.soak
def test_metrics_that_are_missing_everywhere_leave_the_last_scores(platform):
    platform.run_all()
    before = platform.store.history("scores")
    for symbol in platform.instance.get_dynamic_partitions("symbols"):
        platform.sandbox.admin("PUT", f"/sandbox/metrics/{symbol}", {})
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    # Figures that were there and are all gone are a failure of their symbol.
    assert "60 of 60 symbols could not be fetched" in failure_of(platform.run("fundamentals_refresh"))
    run = platform.run("score")
    assert not run.success
    assert "fetched: 60 symbols of the last sweep are still failed" in failure_of(run)
    assert "no scores are made, the last scores stay" in failure_of(run)
    assert platform.store.history("scores") == before


@pytest.mark.soak
def test_the_second_month_asks_only_for_names_whose_market_cap_could_matter(platform):
    platform.must_run("universe_refresh")
    first = platform.calls(PROFILE)
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-09-21T14:05:00Z"})
    platform.must_run("universe_refresh")
    second = platform.calls(PROFILE) - first
    assert 60 <= second < first
    universes = [
        platform.store.load_snapshot("universe", Universe, as_of=s.as_of) for s in platform.store.history("universe")
    ]
    assert list(universes[0]["symbol"]) == list(universes[1]["symbol"])


def test_a_universe_refresh_that_failed_goes_on_where_it_was(platform):
    platform.configure(finnhub__max_attempts=1, finnhub__max_in_flight=1)
    fault = [{"endpoint": PROFILE, "calls": list(range(101, 1000)), "kind": "500"}]
    platform.sandbox.admin("PUT", "/sandbox/faults", fault)
    run = platform.run("universe_refresh")
    assert not run.success
    platform.sandbox.admin("DELETE", "/sandbox/faults")
    failed = platform.calls(PROFILE)
    platform.must_run("universe_refresh")
    everyone = len(platform.store.latest_facts("profiles", KnownProfiles))
    assert platform.calls(PROFILE) - failed == everyone - 100


@pytest.mark.soak
def test_a_stock_that_fails_in_one_sweep_is_scored_by_its_last_figures_and_not_sold(platform):
    platform.configure(finnhub__max_attempts=1)
    platform.run_all()
    held = platform.store.load_snapshot("target_weights", TargetWeights, partition=WEEK)["symbol"][0]
    fault = {"endpoint": METRIC, "query": {"symbol": held}, "kind": "500"}
    platform.sandbox.admin("PUT", "/sandbox/faults", [fault])
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    assert not platform.run("fundamentals_refresh").success
    scored = platform.run("score")
    assert scored.success, failure_of(scored)
    (made, *_) = [event.materialization for event in scored.get_asset_materialization_events()]
    assert f"| {held} | 2026-08-2" in made.metadata["by_older_figures"].value
    platform.must_run("rebalance", week="2026-08-31")
    assert held in platform.broker().positions()
    # Another week of it, and the figures are too old to hold a stock by.
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-09-08T14:05:00Z"})
    assert not platform.run("fundamentals_refresh").success
    platform.must_run("score")
    scores = platform.store.load_snapshot("scores", Scores).set_index("symbol")
    assert scores.loc[held, "reason"] == "financials have not been fetched"


@pytest.mark.soak
def test_a_stock_whose_profile_cannot_be_fetched_is_judged_by_its_last_one_and_not_sold(platform):
    platform.configure(finnhub__max_attempts=1, universe__profile_max_age_days=0.0, guards__max_failed_pct=5.0)
    rules = [{"endpoint": PROFILE, "query": {"symbol": "MBG"}, "kind": "500"}]
    platform.sandbox.admin("PUT", "/sandbox/faults", rules)
    platform.must_run("universe_refresh")
    before = platform.store.load_snapshot("universe", Universe)
    largest = before["symbol"][0]
    platform.sandbox.admin("PUT", "/sandbox/faults", [*rules, {**rules[0], "query": {"symbol": largest}}])
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-09-21T14:05:00Z"})
    run = platform.run("universe_refresh")
    assert run.success, failure_of(run)
    after = platform.store.load_snapshot("universe", Universe)
    assert list(after["symbol"]) == list(before["symbol"])
    dropped = platform.store.history("universe", limit=1)[0].details_as(UniverseDetails).dropped
    assert dropped["MBG"].startswith("profile not fetched"), "and never was: nothing is known of it"
    (made,) = [
        event.materialization for event in run.get_asset_materialization_events() if event.step_key == "universe"
    ]
    assert f"| {largest} | Finnhub GET /stock/profile2: status 500" in made.metadata["judged_by_last_profile"].value


@pytest.mark.soak
def test_a_stock_that_has_left_the_universe_since_it_was_scored_is_not_held(platform):
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    scores = platform.store.load_snapshot("scores", Scores)
    best = scores.loc[scores["score"].idxmax(), "symbol"]
    universe = platform.store.load_snapshot("universe", Universe)
    later = universe[universe["symbol"] != best].assign(rank=range(1, len(universe)))
    details = UniverseDetails(dropped={best: "quarantined"}, candidates=len(universe), asked=0)
    platform.store.save_snapshot("universe", Universe, Made(later, platform.broker().now(), details), run_id="later")
    platform.must_run("rebalance", week=WEEK, asset_selection=[dg.AssetKey("target_weights")])
    assert best not in set(platform.store.load_snapshot("target_weights", TargetWeights, partition=WEEK)["symbol"])


@pytest.mark.soak
def test_published_keys_hold_the_universe_and_the_scores(platform, redis_url, monkeypatch):
    import redis

    monkeypatch.setenv("REDIS_URL", redis_url)
    platform.run_all()
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        universe = platform.store.load_snapshot("universe", Universe)
        assert json.loads(client.get("fundamentals:universe"))["symbols"] == list(universe["symbol"])
        scores = platform.store.load_snapshot("scores", Scores).dropna(subset=["score"])
        published = dict(client.zrange("fundamentals:scores", 0, -1, withscores=True))
        assert published == pytest.approx(dict(zip(scores["symbol"], scores["score"], strict=True)))


@pytest.mark.soak
@pytest.mark.parametrize("day", ["2026-03-09", "2026-11-02"])
def test_weeks_after_a_dst_change_trade_at_the_right_hour(platform, day):
    opened = {"2026-03-09": "13:30", "2026-11-02": "14:30"}[day]
    hour = int(opened[:2])
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": f"{day}T{hour - 1}:59:00Z"})
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    assert "is the market open?" in failure_of(platform.run("rebalance", week=day))
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": f"{day}T{hour}:31:00Z"})
    platform.must_run("rebalance", week=day)
    assert date.fromisoformat(day).weekday() == 0
