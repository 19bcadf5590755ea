"""What `make bench` measures of Dagster's own store after years, which is made from one real week.

The week's runs, events, tags and evaluations of checks are those of a cycle on the sandbox, moved to the weeks before
it; the financials are rows of that week under further names too. Each month a hundredth of the names leaves for others.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import cycle, islice, product
from pathlib import Path
from string import ascii_uppercase
from typing import Any
from uuid import uuid4

import dagster as dg
import sqlalchemy as sa
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import AssetEventTagsTable
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.storage.runs.schema import SnapshotsTable

from tokenomics_dagster.kit.dagster_internals import is_sqlite, sql_storages, tables
from tokenomics_dagster.kit.partitions import SYMBOLS, rebalance_weeks, symbol_partitions
from tokenomics_dagster.model import calendar
from tokenomics_dagster.operations.common import run_job
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.bench.measurements import WEEK, BenchError
from tokenomics_dagster_tests.conftest import Platform, failure_of

MONTH = 4  # weeks from one universe to the next
_MONTHLY, _DAILY = "universe_refresh", "daily_bars_refresh"
_JOBS = (_MONTHLY, "fundamentals_refresh", "score", "rebalance", _DAILY, "purge")
_FINANCIALS = dg.AssetKey("financials")
_WEEK_LONG = timedelta(weeks=1)
_INSTANT = re.compile(r'(?<="timestamp": )\d+\.\d+(?!\d*, "timezone")')
_NUMBER = re.compile(r'(?<="storage_id": )\d+')


@dataclass(frozen=True, slots=True)
class _Run:
    """What Dagster stored of a run: its rows of each table. `numbers` are the ids that its events have among those of
    all runs, by their place in the run: on SQLite some are in the run's own file alone."""

    run_id: str
    row: dict[str, Any]
    tags: list[dict[str, Any]]
    events: list[dict[str, Any]]
    numbers: dict[int, int]
    checks: list[dict[str, Any]]
    event_tags: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Lived:
    """A week that happened: its runs by their jobs, what the score said outside of runs, and what all runs refer to."""

    runs: dict[str, _Run]
    outside: _Run
    snapshots: list[dict[str, Any]]
    empty: Path
    """A file of a run without events, as Dagster makes it."""


@dataclass(slots=True)
class Grown:
    """What the store has to hold."""

    runs: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    """Of all runs of a job."""
    followed: list[str] = field(default_factory=list)
    sweep: str = ""
    """The newest one's run."""


def live(platform: Platform) -> Lived:
    """A week of the whole platform, run as a person's command runs it: the UI lists such runs."""
    from tokenomics_dagster.definitions import build_defs

    instance, definitions = platform.instance, build_defs(load_settings())
    for job in _JOBS:
        done = run_job(definitions, instance, job, str(uuid4()), partition=WEEK if job == "rebalance" else None)
        if not done.success:
            raise BenchError(f"{job} failed: {failure_of(done)}")
    found = sql_storages(instance)
    assert found is not None
    runs, events = found
    assert is_sqlite(events)
    with runs.connect() as connection:
        rows = _rows(connection, tables().runs)
        tags = _rows(connection, tables().run_tags)
        snapshots = _rows(connection, SnapshotsTable)
    nowhere = {"run_id": tables().runless, "pipeline_name": ""}
    lived = {row["pipeline_name"]: _read(events, row, tags) for row in [*rows, nowhere]}
    empty = platform.folder / "empty.db"
    shutil.copy(events.path_for_shard(rows[0]["run_id"]), empty)
    with closing(_file(empty)) as connection:
        connection.execute(sa.delete(tables().events))
        connection.commit()
        connection.exec_driver_sql("VACUUM")
    return Lived(lived, lived.pop(""), snapshots, empty)


def _read(events: Any, row: dict[str, Any], tags: list[dict[str, Any]]) -> _Run:
    run_id = row["run_id"]
    of_run, checks = tables().events.c.run_id == run_id, tables().checks
    with events.run_connection(run_id) as connection:
        own = _rows(connection, tables().events, of_run)
    places = {event["event"]: place for place, event in enumerate(own)}
    with events.index_connection() as connection:
        shared = _rows(connection, tables().events, of_run)
        numbers = {places[event["event"]]: event["id"] for event in shared}
        return _Run(
            run_id=run_id,
            row=row,
            tags=[tag for tag in tags if tag["run_id"] == run_id],
            events=own,
            numbers=dict(sorted(numbers.items(), key=lambda one: one[1])),
            checks=_rows(connection, checks, checks.c.run_id == run_id),
            event_tags=_rows(connection, AssetEventTagsTable, AssetEventTagsTable.c.event_id.in_(numbers.values())),
        )


def _rows(connection: sa.Connection, table: sa.Table, *where: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.select(table).where(*where).order_by(table.c.id)).mappings()]


def _file(path: Path) -> sa.Connection:
    """A database of SQLite that need not survive a loss of power."""
    connection = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool).connect()
    connection.exec_driver_sql("PRAGMA synchronous=OFF")
    connection.commit()
    return connection


class _Move:
    """From the week that happened to one before it: what names the one, or an instant of it, names the other."""

    def __init__(self, run: _Run, to: date, back: timedelta) -> None:
        week = date.fromisoformat(WEEK)
        self.back = back
        self.run_id = run.run_id and str(uuid4())
        self._words = [(WEEK, to.isoformat())]
        if run.run_id:
            self._words.append((run.run_id, self.run_id))
        for weeks in (0, 1):  # of a partition its beginning and its end
            was, is_now = (_midnight(monday + weeks * _WEEK_LONG) for monday in (week, to))
            self._words.append((f'{was}, "timezone"', f'{is_now}, "timezone"'))

    def text(self, text: str) -> str:
        for was, is_now in self._words:
            text = text.replace(was, is_now)
        return _INSTANT.sub(lambda found: repr(float(found[0]) - self.back.total_seconds()), text)

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        moved = {name: self._value(value) for name, value in row.items() if name != "id"}
        return moved | {
            name: moved[name] - self.back.total_seconds() for name in ("start_time", "end_time") if name in row
        }

    def _value(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return value - self.back
        return self.text(value) if isinstance(value, str) else value


def _midnight(day: date) -> float:
    return datetime.combine(day, time(), calendar.NEW_YORK).timestamp()


class _Target:
    """The store that grows, by one connection that stays open; it numbers its events as Dagster would."""

    def __init__(self, instance: dg.DagsterInstance, lived: Lived, stack: ExitStack) -> None:
        found = sql_storages(instance)
        assert found is not None
        self.instance, self.lived = instance, lived
        self.runs, self.events = found
        if is_sqlite(self.events):
            self._all = stack.enter_context(closing(_file(Path(self.events.path_for_shard("index")))))
        else:
            self._all = stack.enter_context(self.events.index_connection())
        self._next = 1
        self._run_rows: list[dict[str, Any]] = []
        self._tags: list[dict[str, Any]] = []

    def write(self, run: _Run, to: date, back: timedelta, followed: Sequence[str]) -> str:
        """A run of that week, for the names that were followed then; returns its id."""
        move = _Move(run, to, back)
        events, numbers = _events(run, move, followed)
        places = range(len(events))
        if is_sqlite(self.events):
            self._write_file(Path(self.events.path_for_shard(move.run_id)), events)
            places = list(numbers)  # the others are in the run's own file alone
        here = {place: self._next + count for count, place in enumerate(places)}
        self._next += len(here)
        new = {was: here[place] for place, was in numbers.items() if was is not None}
        rows = [_renumbered(events[place], new) | {"id": number} for place, number in here.items()]
        checks = [_renumbered(move.row(row), new) for row in run.checks]
        tags = [move.row(row) | {"event_id": new[row["event_id"]]} for row in run.event_tags]
        for table, these in ((tables().events, rows), (tables().checks, checks), (AssetEventTagsTable, tags)):
            if these:
                self._all.execute(sa.insert(table), these)
        self._all.commit()
        if run.run_id:
            self._run_rows.append(move.row(run.row))
            self._tags += [move.row(tag) for tag in run.tags]
        return move.run_id

    def _write_file(self, path: Path, events: list[dict[str, Any]]) -> None:
        if not path.exists():
            shutil.copy(self.lived.empty, path)
        with closing(_file(path)) as connection:
            connection.execute(sa.insert(tables().events), events)
            connection.commit()

    def finish(self, followed: Sequence[str]) -> None:
        """The runs, and what the newest week has left of each asset."""
        with self.runs.connect() as connection:
            connection.execute(sa.insert(SnapshotsTable), [_unnumbered(row) for row in self.lived.snapshots])
            connection.execute(sa.insert(tables().runs), self._run_rows)
            connection.execute(sa.insert(tables().run_tags), self._tags)
        self.instance.add_dynamic_partitions(SYMBOLS, followed)
        if not is_sqlite(self.events):
            number = sa.func.pg_get_serial_sequence("event_logs", "id")
            self._all.execute(sa.select(sa.func.setval(number, self._next)))
        self._all.exec_driver_sql("ANALYZE")
        self._all.commit()
        events = tables().events
        for kind in (dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, dg.DagsterEventType.ASSET_MATERIALIZATION):
            of_kind = sa.select(sa.func.max(events.c.id)).where(events.c.dagster_event_type == kind.value)
            newest = events.c.id.in_(of_kind.group_by(events.c.asset_key))
            for row in _rows(self._all, events, newest):
                self.events.store_asset_event(dg.deserialize_value(row["event"], EventLogEntry), row["id"])
            self._all.commit()


def _events(run: _Run, move: _Move, followed: Sequence[str]) -> tuple[list[dict[str, Any]], dict[int, int | None]]:
    """The events of a run, and the numbers that those of all runs had, by their places; a sweep's for each name."""
    moved: list[dict[str, Any]] = []
    numbers: dict[int, int | None] = {}
    asked = [row for row in run.events if row["partition"] not in (None, WEEK)]
    for place, row in enumerate(run.events):
        number = run.numbers.get(place)
        if row not in asked:
            if number is not None:
                numbers[len(moved)] = number
            moved.append(move.row(row))
        elif row is asked[-1]:  # all at once, where the last one was
            for name, one in zip(followed, cycle(asked)):
                text = one["event"].replace(f'"partition": "{one["partition"]}"', f'"partition": "{name}"')
                numbers[len(moved)] = None
                moved.append(move.row(one | {"event": text, "partition": name}))
            numbers[len(moved) - 1] = number
    return moved, numbers


def _renumbered(row: dict[str, Any], new: dict[int, int]) -> dict[str, Any]:
    """A row whose references to events are those of here."""
    changed = {
        name: new[row[name]]
        for name in ("evaluation_event_storage_id", "materialization_event_storage_id")
        if row.get(name) is not None
    }
    for name in ("event", "evaluation_event"):
        if '"storage_id": ' in (text := row.get(name) or ""):
            changed[name] = _NUMBER.sub(lambda found: str(new[int(found[0])]), text)
    return row | changed


def _unnumbered(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "id"}


def grow(lived: Lived, instance: dg.DagsterInstance, *, weeks: int = 300, symbols: int = 1_500) -> Grown:
    """Fills the empty store of `instance` with that many weeks up to the one that happened, each with that many names;
    what it holds then is seen through Dagster's own eyes, and BenchError raised where that is something else."""
    grown = Grown()
    with ExitStack() as stack:
        _fill(_Target(instance, lived, stack), grown, weeks, symbols)
    _look(instance, grown, weeks)
    return grown


def _fill(target: _Target, grown: Grown, weeks: int, symbols: int) -> None:
    names = ("".join(letters) for letters in product(*[ascii_uppercase] * 4))
    grown.followed = list(islice(names, symbols))
    for ago in reversed(range(weeks)):
        to, back = date.fromisoformat(WEEK) - ago * _WEEK_LONG, ago * _WEEK_LONG
        begins_month = (weeks - 1 - ago) % MONTH == 0
        if begins_month and ago < weeks - 1:
            leaving = max(1, symbols // 100)
            grown.followed = [*grown.followed[leaving:], *islice(names, leaving)]
        for job, run in target.lived.runs.items():
            if job == _MONTHLY and not begins_month:
                continue
            for day in reversed(range(5 if job == _DAILY else 1)):
                run_id = target.write(run, to, back + timedelta(days=day), grown.followed)
                grown.runs[job] += 1
            if job == "fundamentals_refresh":
                grown.sweep = run_id
            if job == "score":
                target.write(target.lived.outside, to, back, ())
    target.finish(grown.followed)


def _look(instance: dg.DagsterInstance, grown: Grown, weeks: int) -> None:
    """By Dagster's own questions: how many runs there are, what the newest sweep made, and what each partition is."""
    made = instance.get_records_for_run(grown.sweep, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    newest = instance.get_latest_materialization_events([_FINANCIALS])[_FINANCIALS]
    expected = {
        "runs": dict(grown.runs),
        "the newest sweep": sorted(grown.followed),
        "whose is the newest": grown.sweep,
        "partitions of financials": sorted(grown.followed),
        "partitions of orders": [f"{date.fromisoformat(WEEK) - ago * _WEEK_LONG}" for ago in reversed(range(weeks))],
    }
    found = {
        "runs": {job: instance.get_runs_count(dg.RunsFilter(job_name=job)) for job in grown.runs},
        "the newest sweep": sorted(str(one.partition_key) for one in made),
        "whose is the newest": newest and newest.run_id,
        "partitions of financials": made_partitions(instance, _FINANCIALS, symbol_partitions),
        "partitions of orders": made_partitions(
            instance, dg.AssetKey("orders"), rebalance_weeks(load_settings().rebalancing)
        ),
    }
    if differing := [name for name, value in expected.items() if found[name] != value]:
        raise BenchError(f"the store that was made holds something else than it should: {', '.join(differing)}")


def made_partitions(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: dg.PartitionsDefinition[str]
) -> list[str]:
    """Those that the UI shows as materialized, worked out anew."""
    instance.wipe_asset_cached_status([asset])
    cache = get_and_update_asset_status_cache_value(instance, asset, partitions)
    if cache is None:
        return []
    with partition_loading_context(None, instance):
        return sorted(cache.deserialize_materialized_partition_subsets(partitions).get_partition_keys())
