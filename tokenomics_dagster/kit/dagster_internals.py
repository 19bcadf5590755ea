"""The one place that touches what Dagster does not promise to keep: names of exactly the version that is pinned.

Each stands for something that Dagster has no public way to do. What is imported inside functions would cost every
process that loads the definitions.
"""

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from tokenomics_dagster.kit.interrupts import for_parent_alone

if TYPE_CHECKING:
    from dagster._core.definitions.assets.graph.asset_graph import AssetGraph as AssetGraph
    from dagster._core.events.log import EventLogEntry
    from dagster._core.execution.context.system import PlanOrchestrationContext as PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan as ExecutionPlan
    from dagster._core.execution.retries import RetryMode as RetryMode
    from dagster._core.execution.step_dependency_config import StepDependencyConfig as StepDependencyConfig
    from dagster._core.storage.asset_check_execution_record import (
        AssetCheckExecutionRecord as AssetCheckExecutionRecord,
    )
    from dagster._core.storage.event_log import SqlEventLogStorage as SqlEventLogStorage
    from dagster._core.storage.event_log import SqliteEventLogStorage as SqliteEventLogStorage
    from dagster._core.storage.runs import SqlRunStorage as SqlRunStorage
    from sqlalchemy import Connection, Engine, Table

__all__ = [
    "BY_HAND",
    "Tables",
    "UnresolvedAssetJobDefinition",
    "backfills_under_way",
    "database_unusable",
    "drivers_word",
    "execute_here",
    "has_process_at_its_server",
    "held_open",
    "instance_errors",
    "is_sqlite",
    "log_together",
    "mark_failed",
    "sql_storages",
    "switched",
    "tables",
    "tickers_alive",
]


BY_HAND = "__ASSET_JOB"
"""What Dagster calls the job of assets that a person has chosen in the UI."""


LOCATION = "tokenomics"
"""The code location, as workspace.yaml and pyproject.toml name it."""


class Tables(NamedTuple):
    """Dagster's own: runs and their tags in the storage of runs; events and their tags, evaluations of checks and the
    keys of partitions that come and go in that of events.

    What belongs to no run stands under the run id `runless`.
    """

    runs: "Table"
    run_tags: "Table"
    events: "Table"
    event_tags: "Table"
    checks: "Table"
    partitions: "Table"
    runless: str


def tables() -> Tables:
    from dagster._core.instance.utils import RUNLESS_RUN_ID
    from dagster._core.storage.event_log.schema import (
        AssetCheckExecutionsTable,
        AssetEventTagsTable,
        DynamicPartitionsTable,
        SqlEventLogStorageTable,
    )
    from dagster._core.storage.runs.schema import RunsTable, RunTagsTable

    return Tables(
        runs=RunsTable,
        run_tags=RunTagsTable,
        events=SqlEventLogStorageTable,
        event_tags=AssetEventTagsTable,
        checks=AssetCheckExecutionsTable,
        partitions=DynamicPartitionsTable,
        runless=RUNLESS_RUN_ID,
    )


def sql_storages(instance: dg.DagsterInstance) -> "tuple[SqlRunStorage, SqlEventLogStorage] | None":
    """Where the instance keeps its runs and events; None where that is no SQL database."""
    from dagster._core.storage.event_log import SqlEventLogStorage
    from dagster._core.storage.runs import SqlRunStorage

    runs, events = instance.run_storage, instance.event_log_storage
    if isinstance(runs, SqlRunStorage) and isinstance(events, SqlEventLogStorage):
        return runs, events
    return None


def is_sqlite(events: "SqlEventLogStorage") -> "TypeGuard[SqliteEventLogStorage]":
    """Whether each run's events have a file of their own, named by `events.path_for_shard(run_id)`."""
    from dagster._core.storage.event_log import SqliteEventLogStorage

    return isinstance(events, SqliteEventLogStorage)


def instance_errors() -> tuple[type[Exception], ...]:
    """What a look at an instance raises where its database, or its folder, cannot be used."""
    from sqlalchemy.exc import SQLAlchemyError

    return OSError, dg.DagsterError, SQLAlchemyError, *_no_connection()


def database_unusable() -> tuple[type[Exception], ...]:
    """Those of these that are about the database itself: it is away, full or locked."""
    from sqlalchemy.exc import OperationalError

    return OperationalError, *_no_connection()


def drivers_word(error: BaseException) -> str:
    """What the database's driver said, on one line, where the error has it; else what the error says."""
    cause = error.__cause__ if isinstance(error, _no_connection()) else error
    return " ".join(str(getattr(cause, "orig", None) or cause or error).split())


def _no_connection() -> tuple[type[Exception], ...]:
    """What dagster-postgres raises in place of a driver's error when it has tried to connect five times; it is of no
    kind of Dagster's own."""
    loaded = sys.modules.get("dagster_postgres.utils")
    return () if loaded is None else (loaded.DagsterPostgresException,)


def log_together(context: dg.AssetExecutionContext, made: Sequence[dg.AssetMaterialization]) -> None:
    """`context.log_event` of each materialization of the running asset, stored in one transaction.

    One by one they cost 5 ms each on SQLite, most of it for opening two files and for waiting until the disk has them.
    Dagster has a call that stores many, which only its PostgreSQL storage does at once; and by itself it sends none so.
    """
    from dagster._core.events import DagsterEvent, DagsterEventType, StepMaterializationData
    from dagster._core.events.log import EventLogEntry

    if not made:
        return
    step, instance = context.get_step_execution_context(), context.instance
    events = [
        DagsterEvent(
            event_type_value=DagsterEventType.ASSET_MATERIALIZATION.value,
            job_name=step.job_name,
            step_handle=step.step.handle,
            node_handle=step.step.node_handle,
            step_kind_value=step.step.kind.value,
            logging_tags=step.event_tags,
            event_specific_data=StepMaterializationData(one),
            message=one.description or f"Materialized value {one.label}.",
            pid=os.getpid(),
        )
        for one in made
    ]
    entries = [
        EventLogEntry(
            error_info=None,
            level=logging.DEBUG,
            user_message=event.message or "",
            run_id=context.run.run_id,
            timestamp=time.time(),
            step_key=event.step_key,
            job_name=event.job_name,
            dagster_event=event,
        )
        for event in events
    ]
    storage = instance.event_log_storage
    if len(entries) > 1 and is_sqlite(storage):
        _store_in_one(storage, entries)
    else:
        storage.store_event_batch(entries)
    context.op_execution_context._events.extend(events)


def _store_in_one(storage: "SqliteEventLogStorage", entries: "Sequence[EventLogEntry]") -> None:
    """As SqliteEventLogStorage.store_event of each: into the run's file, then into the one of all runs. As in the
    PostgreSQL storage's batch, of the asset's own row only the last one's version is written."""
    insert, rows = tables().events.insert(), [storage._event_to_row(entry) for entry in entries]
    with storage.run_connection(entries[0].run_id) as of_run:
        of_run.execute(insert, rows)
    with storage.index_transaction() as of_all:
        numbered = insert.returning(tables().events.c.id, sort_by_parameter_order=True)
        ids = list(of_all.execute(numbered, rows).scalars())
        storage._store_asset_event_tags(of_all, entries, ids)
        storage._store_asset_event(of_all, entries[-1], ids[-1])


@contextmanager
def held_open(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Keeps what SQLite has of the run's events, and of all runs', open until the block ends; elsewhere does nothing.

    Dagster opens a file for each event, reads and writes it with statements that are compiled anew, and closes it. Who
    closes one as its last user copies the journal into it, waits for the disk twice and removes the journal. All this
    is two thirds of what an event costs, 6.4 ms in place of 2.1, three quarters of that in CPU.
    """
    storages = sql_storages(instance)
    with ExitStack() as held:
        if storages is not None and is_sqlite(events := storages[1]):
            from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
            from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
            from sqlalchemy import create_engine, text

            opened: dict[str, Engine] = {}
            for shard in (INDEX_SHARD_NAME, run_id):
                if Path(events.path_for_shard(shard)).exists():
                    engine = create_engine(
                        events.conn_string_for_shard(shard),
                        pool_size=1,
                        connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
                    )
                    held.callback(engine.dispose)
                    with engine.connect() as connection:  # goes back to the pool, and stays open there
                        connection.execute(text("SELECT count(*) FROM sqlite_master"))  # it is opened when it is read
                    opened[shard] = engine
            anew = events._connect

            @contextmanager
            def connect(shard: str) -> "Iterator[Connection]":
                if shard in opened:
                    with events._db_lock, opened[shard].begin() as connection:
                        yield connection
                else:
                    with anew(shard) as connection:
                        yield connection

            vars(events)["_connect"] = connect
            held.callback(vars(events).pop, "_connect", None)
        yield


def mark_failed(context: dg.AssetExecutionContext, partitions: Iterable[str]) -> None:
    """Makes exactly these partitions of the running asset failed in the UI.

    For Dagster a partition has failed when a run that failed had planned it and did not materialize it; a run that
    names no partitions plans none, and there is no public way to plan one.
    """
    from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent

    for partition in partitions:
        planned = AssetMaterializationPlannedData(context.asset_key, partition=partition)
        event = DagsterEvent.build_asset_materialization_planned_event(
            context.job_name, context.op_execution_context.op.name, planned
        )
        context.instance.report_dagster_event(event, context.run.run_id)


def execute_here(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    run_id: str,
    *,
    partition: str | None,
    config: Mapping[str, Any],
    tags: Mapping[str, str],
) -> dg.JobExecutionResult:
    """A run in this process as the code location would start it: by the job's own executor, and listed by the UI with
    its job and in the timelines.

    Of what is public, `execute_in_process` puts another executor in and gives its runs no origin, by which the UI lists
    them; `execute_job` loads the definitions anew, by the settings of then. Failures come back in the result.
    """
    from dagster._core.definitions.job_base import InMemoryJob
    from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
    from dagster._core.execution.api import execute_run
    from dagster._core.execution.execute_in_process import merge_run_tags
    from dagster._core.remote_origin import (
        ManagedGrpcPythonEnvCodeLocationOrigin,
        RemoteJobOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    here = LoadableTargetOrigin(module_name="tokenomics_dagster.definitions")
    repository = RemoteRepositoryOrigin(
        ManagedGrpcPythonEnvCodeLocationOrigin(here, LOCATION), SINGLETON_REPOSITORY_NAME
    )
    run = instance.create_run_for_job(
        job_def=job,
        run_id=run_id,
        run_config=config,
        tags=merge_run_tags(job, partition, tags, [], instance, config),
        remote_job_origin=RemoteJobOrigin(repository, job.name),
    )
    with _helpers_deaf(instance):
        return execute_run(InMemoryJob(job), run, instance)


@contextmanager
def _helpers_deaf(instance: dg.DagsterInstance) -> Iterator[None]:
    """For each step Dagster starts two processes that copy its output, one of which writes a trace at Ctrl-C. It ends
    both with the step."""
    manager = instance.compute_log_manager
    capture = manager.capture_logs

    @contextmanager
    def deaf(log_key: Sequence[str]) -> Iterator[Any]:
        with ExitStack() as stack:
            with for_parent_alone():
                context = stack.enter_context(capture(log_key))
            yield context

    manager.capture_logs = deaf  # type: ignore[method-assign]
    try:
        yield
    finally:
        del manager.capture_logs


def backfills_under_way(instance: dg.DagsterInstance) -> list[str]:
    """The ids of the backfills that have not ended: between two of its runs none may be queued.

    Without the filter, which is not public, every backfill that there ever was would be read.
    """
    from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionsFilter, BulkActionStatus

    unfinished = [status for status in BulkActionStatus if status not in BULK_ACTION_TERMINAL_STATUSES]
    return [one.backfill_id for one in instance.get_backfills(filters=BulkActionsFilter(statuses=unfinished))]


def has_process_at_its_server(run: dg.DagsterRun) -> bool:
    """Whether the code server that was told to start the run has a process of it."""
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient
    from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
    from dagster_shared.seven import json

    address = run.tags.get(".dagster/grpc_info")
    if address is None:
        return False
    server = json.loads(address)
    client = DagsterGrpcClient(
        host=server.get("host"),
        port=server.get("port"),
        socket=server.get("socket"),
        use_ssl=bool(server.get("use_ssl", False)),
    )
    try:
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=5)
    except DagsterUserCodeUnreachableError:
        return False
    return dg.deserialize_value(answer, CanCancelExecutionResult).can_cancel


def switched(instance: dg.DagsterInstance) -> dict[str, set[bool]]:
    """Which schedules and sensors somebody has switched, by name: on (True), off (False), or both where two code
    locations have one of that name. The others are as their code declares."""
    from dagster._core.scheduler.instigation import InstigatorStatus

    if instance.schedule_storage is None:  # one in memory keeps none
        return {}
    words = {InstigatorStatus.RUNNING: True, InstigatorStatus.STOPPED: False}
    found: dict[str, set[bool]] = {}
    for state in instance.all_instigator_state():
        if state.status in words:
            found.setdefault(state.instigator_name, set()).add(words[state.status])
    return found


def tickers_alive(instance: dg.DagsterInstance) -> bool:
    """Whether a daemon that starts schedules and sensors has been heard of lately: without one nothing ticks."""
    statuses = instance.get_daemon_statuses(["SCHEDULER", "SENSOR"])
    return all(one.healthy is True for one in statuses.values())
