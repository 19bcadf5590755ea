"""Retention: which old runs of Dagster's instance go, with their events and logs, and which never do.

Dagster 1.13 itself lets only ticks go (dagster.yaml); runs and events grow for ever. Records of backfills stay: they
are small, and Dagster has no way to delete one. The warehouse, and the audit in it, is no part of this: nothing in it
is ever deleted. When the job runs belongs to automation.
"""

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from tokenomics_dagster.kit import alive
from tokenomics_dagster.kit.dagster_internals import backfills_under_way, is_sqlite, sql_storages, tables
from tokenomics_dagster.kit.metadata import table
from tokenomics_dagster.kit.resources import SettingsResource, WarehouseResource
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.model.progress import Pace
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource

if TYPE_CHECKING:
    from sqlalchemy import Select

    from tokenomics_dagster.kit.dagster_internals import SqlEventLogStorage, SqlRunStorage
    from tokenomics_dagster.storage.warehouse import Warehouse

log = logging.getLogger("tokenomics.retention")

PURGE = "purge"

NEWEST = "newest materialization or attempt of an asset's partition"
CHECKED = "newest evaluation of a check"
LAST = "last run of its job, schedule or sensor"
OPEN_WEEK = "a week whose plan or orders are still open"
BACKFILL = "a backfill that is under way"
YOUNGEST = "newest event of all"

_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_LOG_EVERY = 100  # runs: one takes some 20 ms
_VACUUM_TIMEOUT_S = 5.0


class RetentionError(UserError):
    """Nothing was deleted; one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What went and what stayed of the old runs, by job and by reason; sizes in bytes."""

    deleted: Counter[str]
    kept: Counter[str]
    evaluations: int
    """Of checks, outside of runs, that newer ones have superseded: these went too."""
    before: int
    after: int
    unused: int
    """Inside SQLite's files, free for new rows; not given back to the disk while other runs are at work."""


def purge(
    instance: dg.DagsterInstance,
    store: "Warehouse",
    house: House,
    *,
    now: datetime,
    older_than: timedelta,
    own_run: str | None = None,
    dry_run: bool = False,
) -> Purged:
    """Deletes finished runs that were last touched more than `older_than` ago, but for those that something needs.

    `now` is the broker's. The age of a run is measured by this machine's clock, for Dagster has dated it by that.
    Killed at any point it can be run again: a run's record goes last. Raises WarehouseBusy while another purge is
    under way, RetentionError for an unknown kind of storage.
    """
    runs, events = _storages(instance)
    with store.exclusive("purge"):
        before = stored_bytes(instance)
        cutoff = (datetime.now(UTC) - older_than).replace(tzinfo=None)
        old = _old_runs(runs, cutoff)
        # After the list: what has become new since can only make more of it deletable.
        needed = _needed(instance, house.open_partitions(store, now))
        kept = {run_id: needed[run_id] for run_id in old if run_id in needed}
        doomed = [run_id for run_id in old if run_id not in kept]
        evaluations = unused = 0
        if not dry_run:
            pace = Pace("runs deleted", len(doomed), time.monotonic())
            for count, run_id in enumerate(doomed, 1):
                _delete(instance, events, run_id)
                if count % _LOG_EVERY == 0:
                    log.info(pace.line(count, time.monotonic()))
            evaluations = _delete_superseded_evaluations(events, cutoff)
            unused = _compact(instance, own_run)
        return Purged(
            deleted=Counter(old[run_id] for run_id in doomed),
            kept=Counter(kept.values()),
            evaluations=evaluations,
            before=before,
            after=stored_bytes(instance),
            unused=unused,
        )


def stored_bytes(instance: dg.DagsterInstance) -> int:
    """What the instance takes: the files of its folder and, on PostgreSQL, its database."""
    import sqlalchemy as sa

    files = sum(path.stat().st_size for path in Path(instance.root_directory).rglob("*") if path.is_file())
    with _storages(instance)[1].index_connection() as connection:
        if connection.dialect.name != "postgresql":
            return files
        return files + int(connection.execute(sa.text("select pg_database_size(current_database())")).scalar_one())


def _storages(instance: dg.DagsterInstance) -> "tuple[SqlRunStorage, SqlEventLogStorage]":

    found = sql_storages(instance)
    if found is None:
        raise RetentionError(
            f"nothing was deleted: the instance keeps its runs in {type(instance.run_storage).__name__} and its events "
            f"in {type(instance.event_log_storage).__name__}, and only SQLite and PostgreSQL are known here"
        )
    return found


def _old_runs(runs: "SqlRunStorage", before: datetime) -> dict[str, str]:
    """Job name by id of the finished runs that nothing has touched since `before` (UTC, naive), oldest first."""
    import sqlalchemy as sa

    runs_table = tables().runs
    query = sa.select(runs_table.c.run_id, runs_table.c.pipeline_name).where(
        runs_table.c.status.in_([status.value for status in _FINISHED]),
        runs_table.c.update_timestamp < before,
    )
    with runs.connect() as connection:
        return {row.run_id: row.pipeline_name for row in connection.execute(query.order_by(runs_table.c.id))}


def _needed(instance: dg.DagsterInstance, open_partitions: Collection[str]) -> dict[str, str]:
    """Why a run must stay, by its id; a handful of queries, whatever the number of partitions."""
    import sqlalchemy as sa

    checks = tables().checks
    runs, events = _storages(instance)
    needed: dict[str, str] = {}

    def keep(run_ids: Iterable[str], reason: str) -> None:
        for run_id in run_ids:
            needed.setdefault(run_id, reason)

    with events.index_connection() as connection:
        keep(connection.execute(_newest_of_partitions()).scalars(), NEWEST)
        checked = sa.select(checks.c.run_id).where(checks.c.id.in_(_newest_of_checks())).distinct()
        keep(connection.execute(checked).scalars(), CHECKED)
    with runs.connect() as connection:
        for query in _last_of_jobs():
            keep(connection.execute(query).scalars(), LAST)
    with events.index_connection() as connection:
        keep(connection.execute(_newest_event()).scalars(), YOUNGEST)
    if open_partitions:
        of_them = dg.RunsFilter(tags={"dagster/partition": sorted(open_partitions)})
        keep(instance.get_run_ids(of_them), OPEN_WEEK)
    if backfills := backfills_under_way(instance):
        keep(instance.get_run_ids(dg.RunsFilter(tags={"dagster/backfill": backfills})), BACKFILL)
    return needed


def _newest_of_partitions() -> "Select[Any]":
    """Runs of the newest materialization of each partition of each asset, and of a newer attempt without one.

    The UI shows such a partition as failed, and forgets it with the run. Without partitions the key is NULL, which
    groups like a value.
    """
    import sqlalchemy as sa

    events = tables().events

    def newest(event_type: dg.DagsterEventType) -> sa.ColumnElement[int]:
        return sa.func.max(sa.case((events.c.dagster_event_type == event_type.value, events.c.id)))

    kinds = (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    latest = (
        sa.select(newest(kinds[0]).label("made"), newest(kinds[1]).label("planned"))
        .where(events.c.asset_key.is_not(None), events.c.dagster_event_type.in_([kind.value for kind in kinds]))
        .group_by(events.c.asset_key, events.c.partition)
        .cte("latest")
    )
    unmade = sa.or_(latest.c.made.is_(None), latest.c.planned > latest.c.made)
    ids = sa.union(sa.select(latest.c.made), sa.select(latest.c.planned).where(unmade))
    return sa.select(events.c.run_id).where(events.c.id.in_(ids)).distinct()


def _newest_event() -> "Select[Any]":
    """SQLite would give its number to the next event, and whoever has read up to that number would not see that."""
    import sqlalchemy as sa

    events = tables().events
    return sa.select(events.c.run_id).order_by(events.c.id.desc()).limit(1)


def _newest_of_checks() -> "Select[Any]":
    """Ids of the newest evaluation of each check, in the table of evaluations."""
    import sqlalchemy as sa

    checks = tables().checks
    return sa.select(sa.func.max(checks.c.id)).group_by(checks.c.asset_key, checks.c.check_name, checks.c.partition)


def _last_of_jobs() -> "Iterator[Select[Any]]":
    """The last run of each job, and of each schedule and sensor: by its key a sensor knows what it has started."""
    import sqlalchemy as sa

    runs, tags = tables().runs, tables().run_tags
    last = sa.func.max(runs.c.id)
    yield sa.select(runs.c.run_id).where(runs.c.id.in_(sa.select(last).group_by(runs.c.pipeline_name)))
    by_tag = (
        sa.select(last)
        .join(tags, tags.c.run_id == runs.c.run_id)
        .where(tags.c.key.in_(["dagster/schedule_name", "dagster/sensor_name"]))
        .group_by(tags.c.key, tags.c.value)
    )
    yield sa.select(runs.c.run_id).where(runs.c.id.in_(by_tag))


def _delete(instance: dg.DagsterInstance, events: "SqlEventLogStorage", run_id: str) -> None:
    """Logs, events, checks, at last the run itself: as long as it is there, the next purge finds what was left."""
    import sqlalchemy as sa

    checks = tables().checks
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    with events.index_connection() as connection:
        events.delete_events_for_run(connection, run_id)
        connection.execute(sa.delete(checks).where(checks.c.run_id == run_id))
    events.free_concurrency_slots_for_run(run_id)
    if is_sqlite(events):
        # Each run has a file of its own. Dagster's delete_events empties it, a tenth of a second long, and lets it lie.
        shard = events.path_for_shard(run_id)
        for path in (shard, f"{shard}-wal", f"{shard}-shm"):
            Path(path).unlink(missing_ok=True)
    instance.run_storage.delete_run(run_id)


def _delete_superseded_evaluations(events: "SqlEventLogStorage", before: datetime) -> int:
    """Old evaluations of checks that were told outside of runs, but for the newest of each check.

    Making scores judges the financials anew: some ten such evaluations a week.
    """
    import sqlalchemy as sa

    stored, checks, runless = tables().events, tables().checks, tables().runless
    reported = sa.and_(
        stored.c.run_id == runless,
        stored.c.dagster_event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION.value,
        stored.c.timestamp < before,
    )
    number = checks.c.evaluation_event_storage_id  # missing while a run has only planned it
    newest = sa.select(number).where(checks.c.id.in_(_newest_of_checks()), number.is_not(None))
    last_event = sa.select(sa.func.max(stored.c.id)).scalar_subquery()
    with events.index_connection() as connection:
        connection.execute(sa.delete(stored).where(reported, stored.c.id.not_in(newest), stored.c.id < last_event))
        gone = connection.execute(
            sa.delete(checks).where(
                checks.c.run_id == runless,
                checks.c.evaluation_event_timestamp < before,
                checks.c.id.not_in(_newest_of_checks()),
            )
        ).rowcount
    if is_sqlite(events) and Path(events.path_for_shard(runless)).exists():
        with events.run_connection(runless) as connection:
            connection.execute(sa.delete(stored).where(reported))
    return int(gone)


def _compact(instance: dg.DagsterInstance, own_run: str | None) -> int:
    """Gives what is unused in SQLite's files back, unless other runs are at work; returns the bytes that stay."""
    unfinished = [status for status in dg.DagsterRunStatus if status not in _FINISHED]
    busy = set(instance.get_run_ids(dg.RunsFilter(statuses=unfinished))) - {own_run}
    runs, events = _storages(instance)
    unused = 0
    for connect in (runs.connect, events.index_connection):
        with connect() as connection:
            if connection.dialect.name != "sqlite":
                return 0  # PostgreSQL's autovacuum does it
            files = {row.name: row.file for row in connection.exec_driver_sql("PRAGMA database_list")}
        if not files["main"]:
            continue
        with closing(sqlite3.connect(files["main"], timeout=_VACUUM_TIMEOUT_S, isolation_level=None)) as database:
            if not busy:
                try:
                    database.execute("VACUUM")
                    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                except sqlite3.OperationalError as error:
                    log.info("%s was not compacted, the next purge tries again: %s", files["main"], error)
            (pages,) = database.execute("PRAGMA freelist_count").fetchone()
            (size,) = database.execute("PRAGMA page_size").fetchone()
            unused += pages * size
    return unused


def purge_job(house: House) -> dg.JobDefinition:
    @dg.op(
        out=dg.Out(dg.Nothing), description="Deletes finished runs older than retention.runs_days that nothing needs."
    )
    def purge_old_runs(
        context: dg.OpExecutionContext,
        alpaca: AlpacaResource,
        warehouse: WarehouseResource,
        settings_in_force: dg.ResourceParam[SettingsResource],
    ) -> None:
        done = purge(
            context.instance,
            warehouse.open(),
            house,
            now=alpaca.now(),
            older_than=timedelta(days=settings_in_force.read().retention.runs_days),
            own_run=context.run_id,
        )
        context.add_output_metadata(
            {
                "deleted": table(done.deleted.most_common(), "job", "runs"),
                "kept": table(done.kept.most_common(), "reason", "runs"),
                "bytes_before": done.before,
                "bytes_after": done.after,
                "bytes_unused": done.unused,
            }
        )

    @dg.job(
        name=PURGE,
        executor_def=alive.in_process,
        description="Weekly: old runs and their events go; what a partition's state, a check or an open order needs "
        "stays.",
    )
    def purge_job() -> None:
        purge_old_runs()

    return purge_job
