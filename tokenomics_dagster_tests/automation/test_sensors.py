"""What starts because something else has ended."""

from datetime import timedelta

import dagster as dg

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.settings import load_settings
from tokenomics_dagster_tests.conftest import Platform


def tick(platform: Platform) -> tuple[list[str | None], str | None]:
    """The run keys that `scores_when_complete` asks for, or why it asks for none."""
    made = build_defs(load_settings())
    with dg.build_sensor_context(
        instance=platform.instance, resources=made.resources, repository_def=made.get_repository_def()
    ) as context:
        data = made.resolve_sensor_def("scores_when_complete").evaluate_tick(context)
    assert {request.job_name for request in data.run_requests or []} <= {None, "score"}
    return [request.run_key for request in data.run_requests or []], data.skip_message


def test_nothing_is_scored_before_the_first_sweep(platform: Platform) -> None:
    assert tick(platform) == ([], "financials were never swept")


def test_a_sweep_that_has_not_finished_is_not_scored(platform: Platform) -> None:
    now = platform.broker().now()
    platform.store.start_sweep(started_at=now, fresh_since=now, run_id="killed", requested=60)
    assert tick(platform) == ([], f"the sweep that began {now:%Y-%m-%d %H:%M} UTC has not finished")


def test_each_finished_sweep_is_scored_once(platform: Platform) -> None:
    platform.must_run("universe_refresh", "fundamentals_refresh")
    first = tick(platform)
    assert len(first[0]) == 1
    assert tick(platform) == first, "the same key: Dagster starts no second run for it"
    platform.must_run("score")
    keys, reason = tick(platform)
    assert (keys, reason and reason.partition(" ended ")[0]) == ([], "the sweep that")
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": "2026-08-31T14:05:00Z"})
    platform.must_run("fundamentals_refresh")
    second = tick(platform)
    assert len(second[0]) == 1
    assert second != first


def test_scores_from_before_a_sweep_do_not_count_for_it(platform: Platform) -> None:
    platform.run_all()
    store, now = platform.store, platform.broker().now()
    sweep = store.start_sweep(started_at=now, fresh_since=now, run_id="later", requested=60)
    store.finish_sweep(sweep, finished_at=now + timedelta(minutes=5), failures={})
    assert tick(platform) == ([f"sweep-{sweep}"], None)


def test_a_repair_of_some_symbols_is_no_sweep(platform: Platform) -> None:
    platform.run_all()
    symbols = platform.instance.get_dynamic_partitions("symbols")[:2]
    platform.must_run("fundamentals_refresh", run_config={"ops": {"financials": {"config": {"symbols": symbols}}}})
    assert tick(platform)[0] == []
