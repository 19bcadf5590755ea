"""Checks and partitions as Dagster shows them after real runs on the sandbox."""

import re
from collections.abc import Iterable
from io import StringIO
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from rich.console import Console

from tokenomics_dagster.definitions import ROOMS, defs
from tokenomics_dagster.execution.schema import Orders
from tokenomics_dagster.interfaces.cli import tables
from tokenomics_dagster.kit.alerts import Problem
from tokenomics_dagster.kit.channels import channel_of
from tokenomics_dagster.kit.partitions import symbol_partitions
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.operations import status as operations
from tokenomics_dagster.portfolio.schema import TargetWeights
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.universe.schema import Universe
from tokenomics_dagster_tests.conftest import Platform, failure_of

METRIC = "GET /api/v1/stock/metric"
FINANCIALS = dg.AssetKey("financials")
WEEK = "2026-08-24"


def partitions(platform: Platform) -> tuple[set[str], set[str]]:
    """Materialized and failed partitions of financials, as the UI shows them: a failed one counts as that only."""
    found = get_and_update_asset_status_cache_value(
        platform.instance, FINANCIALS, symbol_partitions, dynamic_partitions_loader=platform.instance
    )
    assert found is not None
    with dg.partition_loading_context(dynamic_partitions_store=platform.instance):
        failed = set(found.deserialize_failed_partition_subsets(symbol_partitions).get_partition_keys())
        made = set(found.deserialize_materialized_partition_subsets(symbol_partitions).get_partition_keys())
    return made - failed, failed


def checks(platform: Platform, assets: Iterable[str] = ()) -> dict[str, bool]:
    """Whether each check that was ever made (of these assets) passed when it was made last."""
    keys = list(defs().resolve_asset_graph().asset_check_keys)
    found = platform.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    return {
        f"{key.asset_key.to_user_string()}.{key.name}": record.status.value == "SUCCEEDED"
        for key, record in found.items()
        if not assets or key.asset_key.to_user_string() in assets
    }


def described(platform: Platform, asset: str, name: str) -> str:
    key = dg.AssetCheckKey(dg.AssetKey(asset), name)
    record = platform.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert record.event is not None
    assert record.event.dagster_event is not None
    return str(record.event.dagster_event.asset_check_evaluation_data.description)


def ask(platform: Platform, **config: Any) -> dg.ExecuteInProcessResult:
    return platform.run("fundamentals_refresh", run_config={"ops": {"financials": {"config": config}}})


def status() -> str:
    """What `tokenomics status` shows."""
    console = Console(width=500, file=StringIO(), record=True)
    for table in tables.status(operations.status()):
        console.print(table)
    return console.export_text()


def break_calls(platform: Platform, *calls: int) -> None:
    platform.sandbox.admin("DELETE", "/sandbox/calls")
    platform.sandbox.admin("PUT", "/sandbox/faults", [{"endpoint": METRIC, "calls": list(calls), "kind": "500"}])


def test_a_sound_cycle_passes_every_check_of_every_asset(platform: Platform) -> None:
    platform.configure(market_data__bars_from="2026-08-03")
    platform.run_all()
    platform.must_run("daily_bars_refresh")
    found = checks(platform)
    assert found == dict.fromkeys(found, True)
    due = House(ROOMS).max_ages(load_settings())  # all but what a person makes by hand, of experiments
    assert {"backtest", "tuning"} == {*House(ROOMS).assets} - {*due}
    assert set(found) == {
        f"{key.asset_key.to_user_string()}.{key.name}"
        for key in defs().resolve_asset_graph().asset_check_keys
        if key.asset_key.to_user_string() in due
    }
    assert "no Redis is configured" in described(platform, "published_scores", "complete")
    universe = platform.store.load_snapshot("universe", Universe)
    assert universe is not None
    assert universe["industry"].notna().all()
    assert universe["industry"].nunique() > 5


@pytest.mark.soak
def test_partition_status_is_the_truth_after_a_sweep_and_after_each_kind_of_repair(platform: Platform) -> None:
    platform.configure(finnhub__max_attempts=1, guards__max_failed_pct=20.0, fundamentals__refresh_days=0.0)
    platform.must_run("universe_refresh")
    everyone = set(platform.instance.get_dynamic_partitions("symbols"))
    break_calls(platform, 3, 9, 15, 21)
    assert not platform.run("fundamentals_refresh").success
    sweep = platform.store.latest_sweep()
    assert sweep is not None
    failed = sorted(sweep.failures)
    assert len(failed) == 4
    assert partitions(platform) == (everyone - set(failed), set(failed))

    # By symbols, one of them failing again; whatever else had failed stays failed.
    break_calls(platform, 2)
    run = ask(platform, symbols=failed[:2])
    assert not run.success
    assert "1 of 2 symbols could not be fetched" in failure_of(run)
    left = partitions(platform)[1]
    assert len(left) == 3
    assert f"failed: {', '.join(sorted(left))}" in status()
    platform.sandbox.admin("DELETE", "/sandbox/faults")

    # By a range of partitions, as a backfill of one symbol runs.
    symbol = min(left)
    tags = {"dagster/asset_partition_range_start": symbol, "dagster/asset_partition_range_end": symbol}
    platform.must_run("fundamentals_refresh", tags=tags)
    assert partitions(platform) == (everyone - left | {symbol}, left - {symbol})

    # By all that failed: exactly these are asked for.
    platform.sandbox.admin("DELETE", "/sandbox/calls")
    assert ask(platform, failed=True).success
    assert platform.calls(METRIC) == 2
    assert partitions(platform) == (everyone, set())
    again = ask(platform, failed=True)
    assert "no symbol of the last sweep is failed" in failure_of(again)
    both = ask(platform, failed=True, symbols=failed)
    assert "give one of them" in failure_of(both)

    # A symbol that was good before fails in the next sweep, in a backfill of a range, and is repaired by a sweep.
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    break_calls(platform, 5)
    assert not platform.run("fundamentals_refresh").success
    made, bad = partitions(platform)
    assert (len(bad), made | bad) == (1, everyone)
    first, second = list(platform.instance.get_dynamic_partitions("symbols"))[:2]
    break_calls(platform, 1)
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": second}
    assert not platform.run("fundamentals_refresh", tags=tags).success
    assert len(partitions(platform)[1] & {first, second}) == 1
    platform.sandbox.admin("DELETE", "/sandbox/faults")
    platform.must_run("fundamentals_refresh")
    assert partitions(platform) == (everyone, set())


def test_the_status_shows_for_how_long_a_problem_is_known(platform: Platform) -> None:
    failed = Problem("score failed", "why", "look")
    platform.notifier.alert("job:score", failed, platform.store, channel_of(load_settings()))
    assert re.search(r"score failed +\d+ seconds? +1 time +look", status())


@pytest.mark.soak
def test_a_refused_asset_keeps_the_last_one_and_its_run_tells_why(platform: Platform) -> None:
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    before = platform.store.history("universe")
    platform.configure(universe__size=30)
    run = platform.run("universe_refresh")
    assert not run.success
    assert "size: 30 stocks, 50.0 % fewer than the 60 of the last universe, guards.max_shrink_pct is 15" in failure_of(
        run
    )
    assert "nothing is stored, the last universe stays" in failure_of(run)
    assert platform.store.history("universe") == before
    found = checks(platform, {"universe"})
    assert [name for name, passed in found.items() if not passed] == ["universe.size"]
    assert len(found) == 10

    config = {"ops": {"universe": {"config": {"accept_change": True}}}}
    platform.must_run("universe_refresh", run_config=config)
    assert "accepted for this run by accept_change" in described(platform, "universe", "size")
    assert [one.payload["asset"] for one in platform.store.audit_records() if one.kind == "accept_change"] == [
        "universe"
    ]
    assert len(platform.store.history("universe")) == 2


@pytest.mark.soak
def test_scores_look_at_the_financials_anew_and_tell_what_they_found_as_their_check(platform: Platform) -> None:
    platform.must_run("universe_refresh", "fundamentals_refresh")
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-09-14T14:05:00Z"})
    assert checks(platform, {"financials"})["financials.fresh"]
    run = platform.run("score")
    assert not run.success
    assert "fresh: 0.0 % of 60 symbols have figures of the last 8 days" in failure_of(run)
    assert platform.store.history("scores") == []
    found = checks(platform, {"financials"})
    assert [name for name, passed in found.items() if not passed] == ["financials.fresh"]
    platform.must_run("fundamentals_refresh", "score")
    assert checks(platform, {"financials"})["financials.fresh"]


@pytest.mark.soak
def test_a_past_week_is_decided_again_by_the_rules_of_then_though_settings_changed(platform: Platform) -> None:
    platform.run_all()
    store = platform.store
    then = store.load_snapshot("target_weights", TargetWeights, partition=WEEK)
    assert then is not None
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    platform.configure(rebalancing__top_n_stocks=10, rebalancing__max_position_pct=20.0, rebalancing__weighting="equal")
    platform.must_run("rebalance", week=WEEK, asset_selection=[dg.AssetKey("target_weights")])
    again = store.load_snapshot("target_weights", TargetWeights, partition=WEEK)
    assert again is not None
    assert again.to_csv() == then.to_csv()
    [second, first] = store.history("target_weights", partition=WEEK)
    assert second.details["rules"] == first.details["rules"]


def test_an_order_of_which_nobody_knows_is_told_by_its_check_though_nothing_is_stored(platform: Platform) -> None:
    platform.configure(trading__lookup_grace_s=0.05, alpaca__max_attempts=1)
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    fault = [{"endpoint": "POST /v2/orders", "calls": [2, 3], "kind": "500"}]
    platform.sandbox.admin("PUT", "/sandbox/faults", fault)
    run = platform.run("rebalance", week=WEEK)
    assert not run.success
    assert "nobody knows what became of" in failure_of(run)
    found = checks(platform, {"orders"})
    assert not found["orders.known"]
    assert platform.store.load_snapshot("orders", Orders, partition=WEEK) is None


def test_what_redis_holds_is_read_back(platform: Platform, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tokenomics_dagster.storage import publishing

    monkeypatch.setenv("REDIS_URL", redis_url)
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    assert "Redis holds all 60 entries" in described(platform, "published_universe", "complete")
    assert checks(platform, {"published_scores"}) == {"published_scores.complete": True}
    # A server that evicts: what was written is gone at once.
    monkeypatch.setattr(publishing, "UNIVERSE_TTL_S", -1)
    monkeypatch.setattr(publishing, "SCORES_TTL_S", -1)
    platform.run("universe_refresh")
    platform.run("score")
    assert checks(platform, {"published_universe", "published_scores"}) == {
        "published_universe.complete": False,
        "published_scores.complete": False,
    }
