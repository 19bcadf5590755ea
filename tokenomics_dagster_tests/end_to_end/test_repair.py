"""`tokenomics repair` and `tokenomics purge` as a person types them, on the sandbox and a real instance."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.test_utils import create_run_for_test

from tokenomics_dagster.interfaces.demo import dagster_home
from tokenomics_dagster.kit.partitions import symbol_partitions
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.end_to_end.conftest import Command, Outcome

METRIC = "GET /api/v1/stock/metric"
Repair = Callable[..., Outcome]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """The platform's instance is the one that the command finds by DAGSTER_HOME."""
    with dg.DagsterInstance.from_config(str(dagster_home(tmp_path))) as made:
        yield made


@pytest.fixture
def sandbox_options() -> dict[str, Any]:
    return {"listings": 150, "seed": 7}


@pytest.fixture
def tokenomics(command: Command, platform: Platform) -> Command:
    """The command, in the environment of the platform."""
    platform.configure(finnhub__max_attempts=1, universe__size=25)
    assert platform.store.audit_head().count == 0, "the database is there: the commands make none"
    return command


def out_of_order(platform: Platform, *symbols: str) -> None:
    rules = [{"endpoint": METRIC, "query": {"symbol": symbol}, "kind": "500"} for symbol in symbols]
    platform.sandbox.admin("PUT", "/sandbox/faults", rules)


def failed_partitions(platform: Platform) -> list[str]:
    key = dg.AssetKey("financials")
    cache = get_and_update_asset_status_cache_value(platform.instance, key, symbol_partitions, platform.instance)
    assert cache is not None
    return sorted(cache.deserialize_failed_partition_subsets(symbol_partitions).get_partition_keys())


def test_status_names_who_failed_and_a_repair_fetches_that_as_a_run_like_any_other(
    tokenomics: Command, platform: Platform
) -> None:
    platform.must_run("universe_refresh")
    first, second, *_ = platform.instance.get_dynamic_partitions("symbols")
    out_of_order(platform, first, second)
    assert not platform.run("fundamentals_refresh").success
    assert failed_partitions(platform) == sorted([first, second])

    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-26T14:05:00Z"})
    shown = tokenomics("status")
    assert shown.code == 0, shown
    assert "2 symbols have failed; ask again by `tokenomics repair --failed`" in shown.out
    assert re.search(rf"{re.escape(first)} +(?:48 hours|2 days) +2026-08-24 \d\d:\d\d +.*status 500", shown.out)
    assert re.search(r"financials\.fetched +ERROR +2 symbols of the last sweep are still failed", shown.out)

    asked = platform.calls(METRIC)
    out_of_order(platform, second)
    part = tokenomics("repair", "--failed")
    assert part.code == 1
    assert f"still failed: {second}\n" in part.err
    assert re.search(r"1 of 2 symbols fetched in \d+ second", part.out)
    assert f"could not be fetched: {second}" in part.out
    assert failed_partitions(platform) == [second]
    assert platform.calls(METRIC) - asked == 2

    platform.sandbox.admin("DELETE", "/sandbox/faults")
    done = tokenomics("repair", "--failed")
    assert (done.code, done.err) == (0, "")
    assert re.search(r"all were fetched: 1 symbol in \d+ second", done.out)
    assert platform.calls(METRIC) - asked == 3
    assert failed_partitions(platform) == []
    run_id = re.search(r"run ([0-9a-f-]{36}): http://127.0.0.1:3000/runs/\1", done.out)
    assert run_id
    run = platform.instance.get_run_by_id(run_id[1])
    assert run is not None
    assert (run.job_name, run.status) == ("fundamentals_refresh", dg.DagsterRunStatus.SUCCESS)

    nothing = tokenomics("repair", "--failed")
    assert (nothing.code, "nothing is to repair" in nothing.out) == (0, True), nothing
    named = tokenomics("repair", first.lower(), second)
    assert named.code == 0, named
    assert platform.calls(METRIC) - asked == 5
    everything = tokenomics("repair", "--again")
    assert everything.code == 0, everything
    assert platform.calls(METRIC) - asked == 30


def test_wrong_usage_is_told_before_anything_runs(tokenomics: Command, platform: Platform) -> None:
    platform.instance.add_dynamic_partitions("symbols", ["AAA"])
    for arguments, sentence in (
        ([], "name symbols, or give --failed or --again"),
        (["AAA", "--failed"], "name symbols, or give --failed or --again"),
        (["AAA", "NOSUCH", "../x"], "../X, NOSUCH: not followed"),
    ):
        said = tokenomics("repair", *arguments)
        assert said.code == 2
        assert sentence in " ".join(said.err.replace("│", " ").split())
    assert platform.instance.get_runs_count() == 0
    assert platform.calls(METRIC) == 0


def test_who_names_symbols_needs_nothing_of_what_tells_who_failed(tokenomics: Command, platform: Platform) -> None:
    platform.must_run("universe_refresh")
    with platform.store._engine.begin() as connection:
        damaged = "update snapshots set details = 'x' where asset = 'universe'"
        assert connection.execute(sa.text(damaged)).rowcount == 1
    assert tokenomics("repair", "--failed").code == 1
    said = tokenomics("repair", "NOSUCH")
    assert said.code == 2
    assert "NOSUCH: not followed" in " ".join(said.err.replace("│", " ").split())


def test_a_repair_needs_the_instance_of_the_ui(tokenomics: Command, platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, content in {
        "cut": "concurrency: {pools: {",
        "wrong": "storage: sesame",
        "text": "sesame",
        "void": "",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "dagster.yaml").write_text(content)
    for home, sentence in (
        *((str(tmp_path / name), "cannot be read") for name in ("cut", "wrong", "text", "void")),
        ("", "DAGSTER_HOME is not set"),
        (str(tmp_path / "nowhere"), "is no folder"),
        (str(tmp_path / "empty"), "holds no dagster.yaml"),
    ):
        assert sentence in tokenomics("repair", "--failed", DAGSTER_HOME=home).refused()
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_repair_does_not_wait_unseen_behind_a_run_that_asks_finnhub(tokenomics: Command, platform: Platform) -> None:
    instance = platform.instance
    instance.add_dynamic_partitions("symbols", ["AAA"])
    sweep = create_run_for_test(
        instance, job_name="fundamentals_refresh", run_id=str(uuid4()), status=dg.DagsterRunStatus.STARTED
    )
    slots = instance.event_log_storage
    slots.initialize_concurrency_limit_to_default("finnhub")
    assert slots.claim_concurrency_slot("finnhub", sweep.run_id, "financials").is_claimed
    refused = tokenomics("repair", "AAA").refused()
    assert f"run {sweep.run_id} of fundamentals_refresh (STARTED) uses Finnhub now" in refused
    assert instance.get_runs_count() == 1

    instance.report_run_failed(sweep)
    assert slots.get_concurrency_info("finnhub").claimed_slots
    tokenomics("repair", "AAA")
    assert instance.get_runs_count() == 2
    assert slots.get_concurrency_info("finnhub").claimed_slots == []


def test_a_repair_ends_a_killed_run_and_takes_its_slot(tokenomics: Command, platform: Platform) -> None:
    instance = platform.instance
    instance.add_dynamic_partitions("symbols", ["AAA"])
    sweep = create_run_for_test(
        instance, job_name="fundamentals_refresh", run_id=str(uuid4()), status=dg.DagsterRunStatus.STARTED
    )
    slots = instance.event_log_storage
    slots.initialize_concurrency_limit_to_default("finnhub")
    assert slots.claim_concurrency_slot("finnhub", sweep.run_id, "financials").is_claimed
    left = Path(instance.storage_directory()) / "alive" / sweep.run_id
    left.parent.mkdir(parents=True)
    left.write_text("pid 7 on here")
    said = tokenomics("repair", "AAA")
    assert f"run {sweep.run_id} of fundamentals_refresh is dead: its process (pid 7 on here) is gone" in said.out
    assert instance.get_runs_count() == 2, "the repair has run"
    assert slots.get_concurrency_info("finnhub").claimed_slots == []
    assert list(left.parent.iterdir()) == []


def test_a_purge_says_what_it_would_delete_then_what_it_has(tokenomics: Command, platform: Platform) -> None:
    assert tokenomics("purge", "--older-than", "0.5").code == 2
    for _ in range(2):
        run = create_run_for_test(platform.instance, job_name="score", run_id=str(uuid4()))
        platform.instance.report_run_failed(run)
    dated_back(platform.instance)
    dry = tokenomics("purge", "--dry-run")
    assert re.search(r"these runs would be deleted: 1 *\n.*\nscore +1 *\n", dry.out), dry
    assert "nothing was deleted" in dry.out
    assert platform.instance.get_runs_count() == 2
    kept = tokenomics("purge", "--older-than", "100")
    assert "runs deleted: 0" in kept.out
    done = tokenomics("purge")
    assert (done.code, done.err) == (0, "")
    assert "runs deleted: 1" in done.out
    assert re.search(r"last run of its job, schedule or sensor +1 *\n", done.out)
    assert re.search(r"size before: [\d.]+ MB, after: [\d.]+ MB", done.out)
    assert platform.instance.get_runs_count() == 1


def dated_back(instance: dg.DagsterInstance) -> None:
    """All runs were touched 95 days ago."""
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.execute(sa.text("update runs set update_timestamp = datetime('now', '-95 days')"))


def test_without_the_broker_nothing_is_purged(tokenomics: Command, platform: Platform) -> None:
    platform.configure(alpaca__max_attempts=1)
    said = tokenomics("purge", ALPACA_TRADING_URL="http://127.0.0.1:1")
    assert "the host cannot be reached" in said.refused(after_dagsters_own=True)
