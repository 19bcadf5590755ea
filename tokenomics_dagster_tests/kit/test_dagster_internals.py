"""Names that Dagster does not promise to keep are used in one place, and are those of the version that is pinned."""

import ast
import importlib
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME
from dagster._core.storage.event_log import SqliteEventLogStorage

from tokenomics_dagster.kit import dagster_internals
from tokenomics_dagster_tests.conftest import REPOSITORY

INTERNALS = REPOSITORY / "tokenomics_dagster/kit/dagster_internals.py"


def private_names(path: Path) -> list[tuple[str, str]]:
    """Module and name of each import of what Dagster does not publish."""
    return [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("dagster._", "dagster_shared"))
        for alias in node.names
        if node.module
    ]


def test_only_one_module_knows_what_dagster_does_not_publish() -> None:
    package = REPOSITORY / "tokenomics_dagster"
    found = {path for path in package.rglob("*.py") if private_names(path)}
    assert found == {INTERNALS}


def test_the_version_is_pinned_whose_names_these_are() -> None:
    dependencies = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"dagster=={version('dagster')}" in dependencies


@pytest.mark.parametrize(("module", "name"), private_names(INTERNALS))
def test_every_private_name_is_there(module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name)


def test_runs_by_hand_have_the_name_that_dagster_gives_them() -> None:
    assert dagster_internals.BY_HAND == IMPLICIT_ASSET_JOB_NAME


def test_a_run_in_this_process_belongs_to_the_code_location_and_has_its_partition(instance: dg.DagsterInstance) -> None:
    """By the tag of the repository the page of a job finds its runs, by their origin the timelines do."""
    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())["load_from"][0]["python_module"]
    days = dg.StaticPartitionsDefinition(["a", "b"])

    @dg.asset(partitions_def=days)
    def one(context: dg.AssetExecutionContext) -> str:
        return context.partition_key

    jobs = [dg.define_asset_job("daily", tags={"of": "job"})]
    job = dg.Definitions([one], jobs=jobs, executor=dg.in_process_executor).resolve_job_def("daily")
    run_id = str(uuid4())
    done = dagster_internals.execute_here(job, instance, run_id, partition="b", config={}, tags={"by": "hand"})
    assert done.success
    assert [event.partition for event in done.all_events if event.is_step_materialization] == ["b"]
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert {key: run.tags[key] for key in ("of", "by", "dagster/partition")} == {
        "of": "job", "by": "hand", "dagster/partition": "b"
    }  # fmt: skip
    origin = run.remote_job_origin
    assert origin is not None
    assert (origin.location_name, origin.job_name) == (workspace["location_name"], "daily")
    label = origin.repository_origin.get_label()
    assert instance.get_runs_count(dg.RunsFilter(tags={".dagster/repository": label})) == 1
    with pytest.raises(dg.DagsterUnknownPartitionError):
        dagster_internals.execute_here(job, instance, str(uuid4()), partition="c", config={}, tags={})


def test_the_storage_of_an_instance_is_sql_and_has_the_columns_that_retention_asks_for(
    instance: dg.DagsterInstance,
) -> None:
    assert dagster_internals.sql_storages(instance) is not None
    tables = dagster_internals.tables()
    assert {"run_id", "pipeline_name", "status", "update_timestamp"} <= set(tables.runs.c.keys())
    assert {"run_id", "key", "value"} <= set(tables.run_tags.c.keys())
    assert {"run_id", "asset_key", "partition", "dagster_event_type", "timestamp"} <= set(tables.events.c.keys())
    assert {"run_id", "check_name", "evaluation_event_storage_id"} <= set(tables.checks.c.keys())
    assert "event_id" in tables.event_tags.c
    assert {"partitions_def_name", "partition"} <= set(tables.partitions.c.keys())


def test_while_a_run_holds_them_open_no_event_closes_the_files_of_events_for_good(
    stored_instance: dg.DagsterInstance,
) -> None:
    """SQLite removes the journal of a file with its last user, and waits twice for the disk before."""
    run_id = str(uuid4())
    files = stored_instance.event_log_storage
    if not isinstance(files, SqliteEventLogStorage):
        with dagster_internals.held_open(stored_instance, run_id):
            return
    journals = [Path(f"{files.path_for_shard(shard)}-wal") for shard in ("index", run_id)]

    def journals_after_an_event() -> list[bool]:
        stored_instance.report_runless_asset_event(dg.AssetMaterialization("a"))
        stored_instance.report_engine_event("an event", run_id=run_id, job_name="j")
        return [journal.exists() for journal in journals]

    assert journals_after_an_event() == [False, False]
    with dagster_internals.held_open(stored_instance, run_id):
        assert journals_after_an_event() == [True, True]
    assert [journal.exists() for journal in journals] == [False, False]
    with dagster_internals.held_open(stored_instance, "a run of which nothing is stored"):
        pass
    assert not Path(files.path_for_shard("a run of which nothing is stored")).exists()


def test_through_files_that_are_held_open_all_is_read_and_written_as_through_others(
    stored_instance: dg.DagsterInstance,
) -> None:
    """By runs that overlap, and after a write that failed."""
    storages, runs = dagster_internals.sql_storages(stored_instance), [str(uuid4()) for _ in range(3)]
    assert storages is not None
    storage = storages[1]

    def told(run_id: str, message: str) -> list[str]:
        stored_instance.report_engine_event(message, run_id=run_id, job_name="j")
        return [str(entry.user_message or entry.message) for entry in stored_instance.all_logs(run_id)]

    def made() -> int:
        stored_instance.report_runless_asset_event(dg.AssetMaterialization("a"))
        return len(stored_instance.fetch_materializations(dg.AssetKey("a"), limit=100).records)

    for run_id in runs[:2]:
        told(run_id, "before")
    with ExitStack() as first, dagster_internals.held_open(stored_instance, runs[1]):
        first.enter_context(dagster_internals.held_open(stored_instance, runs[0]))
        assert made() == 1
        with suppress(ZeroDivisionError), storage.index_transaction() as connection:
            connection.execute(sa.text("DELETE FROM event_logs"))
            raise ZeroDivisionError
        assert made() == 2
        assert [told(run_id, "during")[-1] for run_id in runs] == ["during"] * 3
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(told, runs[1], "by a thread").result() == ["before", "during", "by a thread"]
        first.close()
        assert [len(told(run_id, "one has ended")) for run_id in runs] == [3, 4, 2]
    assert [len(told(run_id, "after")) for run_id in runs] == [4, 5, 3]
    assert made() == 3
    assert "_connect" not in vars(storage)
