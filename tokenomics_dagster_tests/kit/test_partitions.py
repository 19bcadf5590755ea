"""A run for no partition of an asset that has some is refused in one sentence that says how to name one; and what is
logged of many partitions together is what would be logged of each."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from tokenomics_dagster.kit.partitions import A_WEEK, logging_together, newest_materializations, partition_of
from tokenomics_dagster_tests.conftest import failure_of
from tokenomics_dagster_tests.production.conftest import wait_until

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
SYMBOLS = [f"S{number:03}" for number in range(23)]
Log = Callable[[dg.AssetExecutionContext], None]


def test_a_missing_partition_is_one_sentence(instance: dg.DagsterInstance) -> None:
    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["2026-08-24"]))
    def plan(context: dg.AssetExecutionContext) -> str:
        return partition_of(context, A_WEEK)

    job = dg.Definitions([plan], jobs=[dg.define_asset_job("weekly")]).resolve_job_def("weekly")
    run = job.execute_in_process(instance=instance, raise_on_error=False, run_config=QUIET)
    assert failure_of(run).splitlines()[0] == (
        "plan is made for one partition at a time, and the run names none: choose one in the UI, or on the command "
        "line by --partition, such as --partition 2026-08-24 (its Monday)"
    )
    named = job.execute_in_process(instance=instance, partition_key="2026-08-24", run_config=QUIET)
    assert named.output_for_node("plan") == "2026-08-24"


def one_by_one(context: dg.AssetExecutionContext) -> None:
    for made in materializations(context):
        context.log_event(made)


def together(context: dg.AssetExecutionContext) -> None:
    with logging_together(context) as log:
        for made in materializations(context):
            log(made)


def materializations(context: dg.AssetExecutionContext) -> list[dg.AssetMaterialization]:
    return [
        dg.AssetMaterialization(
            context.asset_key, partition=symbol, metadata={"roe": len(symbol)}, tags={DATA_VERSION_TAG: symbol}
        )
        for symbol in SYMBOLS
    ]


def logged(instance: dg.DagsterInstance, log: Log, *, fails: bool = False) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("symbols", SYMBOLS)

    @dg.asset(partitions_def=dg.DynamicPartitionsDefinition(name="symbols"), output_required=False)
    def figures(context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult]:
        log(context)
        yield from ()

    job = dg.Definitions([figures], jobs=[dg.define_asset_job("refresh")]).resolve_job_def("refresh")
    return job.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=not fails)


def stored(instance: dg.DagsterInstance, run_id: str) -> list[Any]:
    """What of a run's materializations can be asked for again, but what names this run and this moment."""
    key, storage = dg.AssetKey("figures"), instance.event_log_storage
    of_all = instance.fetch_materializations(key, limit=100, ascending=True).records
    newest = next(iter(storage.get_asset_records([key]))).asset_entry
    last = newest.last_materialization_record
    assert last is not None
    assert (newest.last_run_id, last.storage_id) == (run_id, of_all[-1].storage_id)
    texts = [
        dg.serialize_value(entry)
        for entry in [
            *(record.event_log_entry for record in of_all),
            *instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION),
            last.event_log_entry,
        ]
    ]
    documents = [{**json.loads(text), "timestamp": 0} for text in texts]
    versions = [storage.get_event_tags_for_asset(key, filter_event_id=record.storage_id) for record in of_all]
    return [json.loads(json.dumps(documents).replace(run_id, "RUN")), versions]


def test_together_is_logged_what_would_be_one_by_one(stored_instance: dg.DagsterInstance) -> None:
    alone = logged(stored_instance, one_by_one)
    told = stored(stored_instance, alone.run_id)
    stored_instance.wipe_assets([dg.AssetKey("figures")])
    many = logged(stored_instance, together)
    assert stored(stored_instance, many.run_id) == told
    assert len(told[0]) == 2 * len(SYMBOLS) + 1
    assert told[1] == [[{DATA_VERSION_TAG: symbol}] for symbol in SYMBOLS]
    assert stored_instance.get_materialized_partitions(dg.AssetKey("figures")) == set(SYMBOLS)
    assert [event.partition for event in many.get_asset_materialization_events()] == SYMBOLS


def test_what_came_before_a_failure_is_logged(stored_instance: dg.DagsterInstance) -> None:
    def log(context: dg.AssetExecutionContext) -> None:
        with logging_together(context) as note:
            for made in materializations(context)[:3]:
                note(made)
            raise dg.Failure("the fourth", allow_retries=False)

    run = logged(stored_instance, log, fails=True)
    assert not run.success
    assert stored_instance.get_materialized_partitions(dg.AssetKey("figures")) == set(SYMBOLS[:3])


def test_nobody_waits_longer_than_a_second_for_others(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 calls a minute bring one symbol a second. Here a second is ten minutes, which no machine is late by."""
    now, there = [0.0], []
    monkeypatch.setattr("tokenomics_dagster.storage.together.time.monotonic", lambda: now[0])
    monkeypatch.setattr("tokenomics_dagster.kit.partitions._LOG_EVERY_S", 600.0)

    def log(context: dg.AssetExecutionContext) -> None:
        with logging_together(context) as note:
            for made in materializations(context)[:6]:
                note(made)
                there.append(len(instance.get_materialized_partitions(context.asset_key)))
                now[0] += 360

    logged(instance, log)
    assert there == [1, 1, 3, 3, 5, 5]
    assert len(instance.get_materialized_partitions(dg.AssetKey("figures"))) == 6


def test_who_waits_for_others_that_do_not_come_is_logged_all_the_same(instance: dg.DagsterInstance) -> None:
    """A provider may answer nothing for minutes: too many calls, or it is away."""

    def log(context: dg.AssetExecutionContext) -> None:
        with logging_together(context) as note:
            for made in materializations(context)[:6]:
                note(made)
            wait_until(lambda: len(instance.get_materialized_partitions(context.asset_key)) == 6, "all are logged")

    assert logged(instance, log).success


def test_the_newest_materialization_of_each_partition_is_found_in_however_many_pages(
    stored_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenomics_dagster.kit.partitions._PAGE", 2)
    figures = dg.AssetKey("figures")
    for number, symbol in enumerate("ABCABDDDD"):
        stored_instance.report_runless_asset_event(
            dg.AssetMaterialization(figures, partition=symbol, metadata={"number": number})
        )
    found = newest_materializations(stored_instance, figures, ["A", "B", "C", "Z"])
    assert {symbol: made.metadata["number"].value for symbol, made in found.items()} == {"A": 3, "B": 4, "C": 2}
