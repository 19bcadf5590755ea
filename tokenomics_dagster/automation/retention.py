"""Retention: which old runs of Dagster's instance go, with their events and logs, and which never do.

Dagster 1.13 itself lets only ticks go (dagster.yaml); runs and events grow for ever. Records of backfills stay: they
are small, and Dagster has no way to delete one. The warehouse, and the audit in it, is no part of this: nothing in it
is ever deleted. When the job runs belongs to automation.
"""

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
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
    from sqlalchemy import ColumnElement, Select

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
_TOGETHER = 20  # runs: each transaction waits for the disk, and SQLite lets nobody else write in one
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
    Killed at any point it can be run again: the records of runs go last. Raises WarehouseBusy while another purge is
    under way, RetentionError for an unknown kind of storage.
    """
    runs, events = _storages(instance)
    with store.exclusive("purge"):
        before = stored_bytes(instance)
        cutoff = (datetime.now(UTC) - older_than).replace(tzinfo=None)
        old = _old_runs(runs, cutoff)
        # After the list: what has become new since can only make more of it deletable.
        needed = _needed(instance, house, house.open_partitions(store, now))
        kept = {run_id: needed[run_id] for run_id in old if run_id in needed}
        doomed = [run_id for run_id in old if run_id not in kept]
        evaluations = unused = 0
        if not dry_run:
            _free_slots(events, doomed)
            pace = Pace("runs deleted", len(doomed), time.monotonic())
            for count in range(0, len(doomed), _TOGETHER):
                together = doomed[count : count + _TOGETHER]
                _delete(instance, runs, events, together)
                log.info(pace.line(count + len(together), time.monotonic()))
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


def _needed(instance: dg.DagsterInstance, house: House, open_partitions: Collection[str]) -> dict[str, str]:
    """Why a run must stay, by its id; a handful of queries, whatever the number of partitions."""
    import sqlalchemy as sa

    checks = tables().checks
    runs, events = _storages(instance)
    needed: dict[str, str] = {}

    def keep(run_ids: Iterable[str], reason: str) -> None:
        for run_id in run_ids:
            needed.setdefault(run_id, reason)

    with events.index_connection() as connection:
        keep(connection.execute(_newest_of_partitions(house)).scalars(), NEWEST)
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


def _newest_of_partitions(house: House) -> "Select[Any]":
    """Runs of the newest materialization of each partition of each asset, and of a newer attempt without one.

    The UI shows such a partition as failed, and forgets it with the run. Without partitions the key is NULL, which
    groups like a value. Of partitions that there are no more it shows nothing: each month some name leaves, and for
    its sake a whole sweep would stay.
    """
    import sqlalchemy as sa

    events = tables().events

    def newest(event_type: dg.DagsterEventType) -> sa.ColumnElement[int]:
        return sa.func.max(sa.case((events.c.dagster_event_type == event_type.value, events.c.id)))

    kinds = (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    latest = (
        sa.select(newest(kinds[0]).label("made"), newest(kinds[1]).label("planned"))
        .where(events.c.asset_key.is_not(None), events.c.dagster_event_type.in_([kind.value for kind in kinds]))
        .where(*(sa.not_(gone) for gone in _gone(house)))
        .group_by(events.c.asset_key, events.c.partition)
        .cte("latest")
    )
    unmade = sa.or_(latest.c.made.is_(None), latest.c.planned > latest.c.made)
    ids = sa.union(sa.select(latest.c.made), sa.select(latest.c.planned).where(unmade))
    return sa.select(events.c.run_id).where(events.c.id.in_(ids)).distinct()


def _gone(house: House) -> "Iterator[ColumnElement[bool]]":
    """Of the events of each asset whose partitions come and go: that theirs has gone. Where there is none at all, none
    has: that is no list that was read."""
    import sqlalchemy as sa

    events, keys = tables().events, tables().partitions
    for asset in house.assets.values():
        if isinstance(asset.partitions_def, dg.DynamicPartitionsDefinition):
            there = sa.select(keys.c.partition).where(keys.c.partitions_def_name == asset.partitions_def.name)
            of_asset = events.c.asset_key == asset.key.to_string()
            # A run for all at once plans no partition: NULL is none that could have gone.
            named = events.c.partition.is_not(None)
            yield sa.and_(of_asset, named, events.c.partition.not_in(there), there.exists())


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


def _free_slots(events: "SqlEventLogStorage", run_ids: Collection[str]) -> None:
    """Of pools: hardly any run that has ended holds one still, and asking for each takes longer than deleting it."""
    pools = events.get_concurrency_infos(sorted(events.get_concurrency_keys())).values()
    claimed = {slot.run_id for pool in pools for slot in pool.claimed_slots}
    waiting = {step.run_id for pool in pools for step in pool.pending_steps}
    for run_id in (claimed | waiting) & set(run_ids):
        events.free_concurrency_slots_for_run(run_id)


def _delete(
    instance: dg.DagsterInstance, runs: "SqlRunStorage", events: "SqlEventLogStorage", run_ids: Sequence[str]
) -> None:
    """Logs, events, checks, at last the runs themselves: as long as one is there, the next purge finds what was left.

    Dagster has calls for one run alone: on SQLite they waited for the disk four times, a tenth of a second in all, and
    for each looked through all evaluations of checks.
    """
    import sqlalchemy as sa

    stored, checks, event_tags = tables().events, tables().checks, tables().event_tags
    for run_id in run_ids:
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    with events.index_connection() as connection:
        # By their ids, which the indexes have; the tags first, for PostgreSQL's connection commits each statement.
        of_runs = sa.select(stored.c.id).where(stored.c.run_id.in_(run_ids))
        connection.execute(sa.delete(event_tags).where(event_tags.c.event_id.in_(of_runs)))
        connection.execute(sa.delete(stored).where(stored.c.run_id.in_(run_ids)))
        evaluated = sa.select(checks.c.id).where(checks.c.run_id.in_(run_ids))
        connection.execute(sa.delete(checks).where(checks.c.id.in_(evaluated)))
    if is_sqlite(events):
        # Each run has a file of its own, which Dagster's delete_events empties and lets lie.
        for shard in map(events.path_for_shard, run_ids):
            for path in (shard, f"{shard}-wal", f"{shard}-shm"):
                Path(path).unlink(missing_ok=True)
    with runs.connect() as connection:
        for table in (tables().run_tags, tables().runs):
            connection.execute(sa.delete(table).where(table.c.run_id.in_(run_ids)))


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
