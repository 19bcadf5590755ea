"""What starts because something else has ended or gone wrong, and how the partitions follow the universe."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, StepFailureData
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.execution.plan.objects import UserFailureData
from dagster._utils.error import SerializableErrorInfo
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.kit import alive
from tokenomics_dagster.kit.dagster_internals import BY_HAND
from tokenomics_dagster.kit.runs import refused
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.records import WarehouseError
from tokenomics_dagster.universe.partitions import partition_changes
from tokenomics_dagster_tests.automation.conftest import run_of, save_figures, save_sweep, save_universe
from tokenomics_dagster_tests.conftest import Platform

AT = datetime(2026, 8, 24, 14, tzinfo=UTC)
HOUR = timedelta(hours=1)
SYMBOLS = [f"S{number:03}" for number in range(100)]


def tick(platform: Platform, sensor: str = "scores_when_complete") -> tuple[list[str | None], str | None]:
    """The run keys that the sensor asks for, or why it asks for none; what it asks for partitions is carried out."""
    made = build_defs(load_settings())
    with dg.build_sensor_context(
        instance=platform.instance, resources=made.resources, repository_def=made.get_repository_def()
    ) as context:
        data = made.resolve_sensor_def(sensor).evaluate_tick(context)
    for request in data.dynamic_partitions_requests or []:
        if isinstance(request, dg.AddDynamicPartitionsRequest):
            platform.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        else:
            for key in request.partition_keys:
                platform.instance.delete_dynamic_partition(request.partitions_def_name, key)
    assert {request.job_name for request in data.run_requests or []} <= {None, "score"}
    return [request.run_key for request in data.run_requests or []], data.skip_message


def test_the_sensors_look_as_often_as_the_settings_say(platform: Platform) -> None:
    platform.configure(schedules__sensors_every_s=7)
    assert {sensor.minimum_interval_seconds for sensor in build_defs(load_settings()).sensors or ()} == {7}


def test_nothing_is_scored_before_the_first_sweep(platform: Platform) -> None:
    assert tick(platform) == ([], "financials were never swept")


def test_a_sweep_that_has_not_finished_is_not_scored(platform: Platform) -> None:
    save_sweep(platform.store, AT, finished=False)
    assert tick(platform) == ([], "the sweep that began 2026-08-24 14:00 UTC has not finished")


def test_a_sweep_with_too_few_symbols_waits_and_says_why_and_a_repair_that_reaches_enough_starts_it(
    platform: Platform,
) -> None:
    store = platform.store
    save_universe(store, SYMBOLS, AT)
    sweep = save_sweep(store, AT, failed=SYMBOLS[:10])
    save_figures(store, SYMBOLS[10:], AT + HOUR)
    keys, reason = tick(platform)
    assert keys == []
    assert reason is not None
    assert reason.startswith("10 symbols of the last sweep are still failed (10.0 %, guards.max_failed_pct is 2): S000")
    save_figures(store, SYMBOLS[:8], AT + 2 * HOUR)
    assert tick(platform)[0] == [f"sweep-{sweep}-{(AT + 2 * HOUR).isoformat()}"]


def test_a_refused_score_is_tried_again_after_a_repair_and_not_before(platform: Platform) -> None:
    store = platform.store
    save_universe(store, SYMBOLS, AT)
    sweep = save_sweep(store, AT)
    save_figures(store, SYMBOLS, AT)
    first = tick(platform)
    assert first == ([f"sweep-{sweep}-{AT.isoformat()}"], None)
    assert tick(platform) == first, "the same key: Dagster starts no second run for it"
    save_figures(store, SYMBOLS[:1], AT + HOUR)
    assert tick(platform)[0] == [f"sweep-{sweep}-{(AT + HOUR).isoformat()}"]


def ended(platform: Platform, key: str | None, error: str, **tags: str) -> str:
    """A run of `score` that was started with this key and failed; its id."""
    run = run_of("score", "FAILURE").with_tags({"dagster/run_key": str(key), **tags})
    platform.instance.add_run(run)
    refusal = UserFailureData(label="intentional-failure", description=error) if error == "refused" else None
    platform.instance.report_dagster_event(
        DagsterEvent(
            event_type_value=dg.DagsterEventType.STEP_FAILURE.value,
            job_name="score",
            step_key="scores",
            event_specific_data=StepFailureData(
                error=SerializableErrorInfo(error, [], "TransientError"), user_failure_data=refusal
            ),
        ),
        run.run_id,
    )
    return run.run_id


def swept(platform: Platform) -> str:
    """The key of the first score after a sweep that fetched everything."""
    save_universe(platform.store, SYMBOLS, AT)
    sweep = save_sweep(platform.store, AT)
    save_figures(platform.store, SYMBOLS, AT)
    return f"sweep-{sweep}-{AT.isoformat()}"


def test_a_score_that_a_fault_broke_is_tried_three_times_and_again_after_a_repair(platform: Platform) -> None:
    key = swept(platform)
    keys, reason = tick(platform)
    assert keys == [key]
    for _ in range(2):
        last = ended(platform, keys[0], "the broker's clock answered 500")
        keys, reason = tick(platform)
        assert keys == [f"{key}-{last}"], "a key that Dagster has not seen"
    last = ended(platform, keys[0], "the broker's clock answered 500")
    keys, reason = tick(platform)
    assert keys == []
    assert reason is not None
    assert reason.startswith(f"run {last} of score, number 3 with these figures, has ended (FAILURE)")
    save_figures(platform.store, SYMBOLS[:1], AT + HOUR)
    assert tick(platform)[0] == [key.replace(AT.isoformat(), (AT + HOUR).isoformat())]


def test_a_score_that_was_refused_or_that_dagster_starts_again_is_not_tried_beside(platform: Platform) -> None:
    key = swept(platform)
    crashed = ended(platform, key, "lost", **{"dagster/will_retry": "true"})
    assert tick(platform) == ([], f"Dagster starts run {crashed} of score again")
    ended(platform, key, "refused")
    keys, reason = tick(platform)
    assert (keys, reason is not None and "number 2 with these figures" in reason) == ([], True)


def test_no_try_of_a_score_is_spent_while_the_broker_cannot_be_asked(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = swept(platform)
    with monkeypatch.context() as away:
        away.setenv("ALPACA_TRADING_URL", "http://127.0.0.1:1")
        keys, reason = tick(platform)
        assert keys == []
        assert reason is not None
        assert reason.startswith("a score needs the broker's clock: ")
    assert tick(platform)[0] == [key]


def test_a_score_that_its_check_refused_counts_as_refused_and_one_without_a_broker_does_not(
    platform: Platform,
) -> None:
    swept(platform)
    platform.configure(alpaca__max_attempts=1)
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": AT.isoformat()})
    fault = {"kind": "500", "endpoint": "GET /v2/clock"}
    platform.sandbox.admin("PUT", "/sandbox/faults", [fault])
    broken = platform.run("score")
    platform.sandbox.admin("DELETE", "/sandbox/faults")
    platform.configure(guards__min_scored_pct=100.0, guards__max_same_value_pct=0.1)
    turned_down = platform.run("score")
    assert not broken.success
    assert not turned_down.success
    assert [refused(platform.instance, run.dagster_run) for run in (broken, turned_down)] == [False, True]


@pytest.mark.parametrize("job", ["fundamentals_refresh", "score"])
def test_while_a_repair_or_a_score_is_under_way_nothing_is_scored(platform: Platform, job: str) -> None:
    save_universe(platform.store, SYMBOLS, AT)
    save_sweep(platform.store, AT)
    save_figures(platform.store, SYMBOLS, AT)
    run = run_of(job)
    platform.instance.add_run(run)
    assert tick(platform) == ([], f"run {run.run_id} of {job} is queued or running: it ends first")


def test_each_finished_sweep_is_scored_once_and_a_repair_after_it_is_no_sweep(platform: Platform) -> None:
    platform.must_run("universe_refresh", "fundamentals_refresh")
    first = tick(platform)
    assert len(first[0]) == 1
    platform.must_run("score")
    keys, reason = tick(platform)
    assert (keys, reason and reason.partition(" ended ")[0]) == ([], "the sweep that")
    symbols = platform.instance.get_dynamic_partitions("symbols")[:2]
    platform.must_run("fundamentals_refresh", run_config={"ops": {"financials": {"config": {"symbols": symbols}}}})
    assert tick(platform)[0] == []
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    platform.must_run("fundamentals_refresh")
    second = tick(platform)
    assert len(second[0]) == 1
    assert second != first


@given(st.sets(st.text(min_size=1)), st.sets(st.text(min_size=1)), st.booleans())
def test_partitions_become_the_universe_and_are_retired_only_when_nothing_runs(
    universe: set[str], existing: set[str], in_flight: bool
) -> None:
    add, retire, waiting = partition_changes(universe, existing, in_flight=in_flight)
    assert add == sorted(universe - existing)
    if not universe:
        assert (retire, waiting) == ([], []), "a reading that failed retires nothing"
    elif in_flight:
        assert (retire, waiting) == ([], sorted(existing - universe))
    else:
        assert (retire, waiting) == (sorted(existing - universe), [])
        assert (existing | set(add)) - set(retire) == universe


def test_symbols_enter_sorted_and_leave_with_their_history_kept(platform: Platform) -> None:
    instance = platform.instance
    assert tick(platform, "symbols_follow_universe") == ([], "there is no universe yet")
    instance.add_dynamic_partitions("symbols", ["OLD", "S001"])
    instance.report_runless_asset_event(dg.AssetMaterialization("financials", partition="OLD"))
    save_universe(platform.store, ["S003", "S001", "S002"], AT)
    tick(platform, "symbols_follow_universe")
    assert instance.get_dynamic_partitions("symbols") == ["S001", "S002", "S003"]
    assert "OLD" in instance.get_materialized_partitions(dg.AssetKey("financials"))
    assert tick(platform, "symbols_follow_universe") == ([], "the partitions are the 3 symbols of the universe")


@pytest.mark.parametrize("under_way", ["run", "backfill"])
def test_no_symbol_leaves_while_something_runs(platform: Platform, under_way: str) -> None:
    instance = platform.instance
    instance.add_dynamic_partitions("symbols", ["OLD"])
    save_universe(platform.store, ["NEW"], AT)
    name = "b4ckf1ll"
    if under_way == "run":
        run = run_of(BY_HAND, "QUEUED", "financials")
        name = run.run_id
        instance.add_run(run)
    else:
        instance.add_backfill(
            PartitionBackfill(
                backfill_id=name,
                status=BulkActionStatus.REQUESTED,
                from_failure=False,
                tags={},
                backfill_timestamp=AT.timestamp(),
            )
        )
    tick(platform, "symbols_follow_universe")
    assert instance.get_dynamic_partitions("symbols") == ["OLD", "NEW"], "new ones enter all the same"
    waits = f"1 symbols have left the universe and go when run {name} has ended"
    assert tick(platform, "symbols_follow_universe") == ([], waits)


def test_no_symbol_leaves_because_the_universe_cannot_be_read(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.instance.add_dynamic_partitions("symbols", ["OLD"])
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", "postgresql+psycopg2://nobody@127.0.0.1:1/none")
    with pytest.raises(WarehouseError):
        tick(platform, "symbols_follow_universe")
    assert platform.instance.get_dynamic_partitions("symbols") == ["OLD"]


def test_an_approved_plan_is_carried_out_once_and_again_only_after_a_run_that_was_killed(platform: Platform) -> None:
    platform.configure(trading__approval="manual")
    platform.must_run("universe_refresh", "fundamentals_refresh", "score")
    assert not platform.run("rebalance", week="2026-08-24").success
    (planned,) = platform.store.history("trade_plan", limit=1)
    plan = Plan.from_document(planned.details["plan"])
    platform.store.approve(plan.plan_id, plan.plan_hash, by="test", at=planned.as_of + timedelta(minutes=1))
    keys = tick(platform, "approved_plans")[0]
    (first,) = keys
    for tags, asked_anew in (({}, False), ({alive.DEAD: "true"}, True), ({}, False)):
        run = run_of("rebalance", "FAILURE").with_tags({"dagster/run_key": str(keys[0]), **tags})
        platform.instance.add_run(run)
        # Dagster starts one run for one key.
        before, keys = keys, tick(platform, "approved_plans")[0]
        assert keys == ([f"{first}-{run.run_id}"] if asked_anew else before)
