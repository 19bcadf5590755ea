"""What `make bench` measures of Dagster's own store after years, which is made from one real week.

The week's runs, events, tags and evaluations of checks are those of a cycle on the sandbox, moved to the weeks before
it; the financials are rows of that week under further names too. Each month a hundredth of the names leaves for others.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from threading import Event
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dagster as dg
import requests
import sqlalchemy as sa
import yaml
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.events import DagsterEvent, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.storage.runs.schema import SnapshotsTable
from dagster._core.test_utils import create_run_for_test

from tokenomics_dagster.automation.retention import purge, stored_bytes
from tokenomics_dagster.definitions import ROOMS, build_defs
from tokenomics_dagster.kit.dagster_internals import is_sqlite, sql_storages, tables
from tokenomics_dagster.kit.partitions import SYMBOLS, rebalance_weeks, symbol_partitions
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.model import calendar
from tokenomics_dagster.operations.common import run_job
from tokenomics_dagster.sandbox.server import running_sandbox
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.bench.measurements import WEEK, BenchError, Ratio, _platform, _variables
from tokenomics_dagster_tests.bench.years import MONTH, _folder, made_up
from tokenomics_dagster_tests.browser import Page, browser, chromium
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform, new_database, running_postgres

if TYPE_CHECKING:
    from tokenomics_dagster.kit.dagster_internals import SqlEventLogStorage, SqliteEventLogStorage, SqlRunStorage

PAGE_S = 5.0  # until a page shows what it is for: so long a person waits and does not ask why
PURGE_S = 60.0  # for 100,000 events: a week of the whole universe, daily runs and all, goes in a second
WAIT_S = 10.0  # of an event for a purge: Dagster gives SQLite 30
_PATIENCE_S = 120
_MONTHLY, _DAILY = "universe_refresh", "daily_bars_refresh"
_JOBS = (_MONTHLY, "fundamentals_refresh", "score", "rebalance", _DAILY, "purge")
_FINANCIALS = dg.AssetKey("financials")
_WEEK_LONG = timedelta(weeks=1)
_INSTANT = re.compile(r'(?<="timestamp": )\d+\.\d+(?!\d*, "timezone")')
_NUMBER = re.compile(r'(?<="storage_id": )\d+')


def store(quick: bool) -> Iterator[Ratio]:
    """What a purge takes after years, whom it keeps waiting, and how soon the UI shows what people look at."""
    yield from _store(20, 40, listings=300) if quick else _store(40, 300, listings=600)


def whole_store(quick: bool) -> Iterator[Ratio]:
    """The same after almost six years of the whole universe, which takes too long for each `make bench`."""
    yield from _store(20, 40, listings=300) if quick else _store(300, 1_500, listings=600)


def _store(weeks: int, symbols: int, *, listings: int) -> Iterator[Ratio]:
    with (
        running_sandbox(listings=listings) as sandbox,
        _platform(sandbox, 40) as platform,
        tempfile.TemporaryDirectory(prefix="tokenomics-bench-") as name,
        running_postgres(partial(_folder, Path(name))) as postgres,
    ):
        platform.configure(rebalancing__first_week=date.fromisoformat(WEEK) - weeks * _WEEK_LONG)
        week = live(platform)
        for kind, address in (("SQLite", ""), ("PostgreSQL", postgres)):
            if address is None:
                continue
            home = Path(name) / kind
            home.mkdir()
            document = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
            if address:
                document["storage"] = {"postgres": {"postgres_url": new_database(address, "dagster_storage")}}
            (home / "dagster.yaml").write_text(yaml.safe_dump(document))
            with _variables({**os.environ, "DAGSTER_HOME": str(home)}), dg.DagsterInstance.get() as instance:
                grown = grow(week, instance, weeks=weeks, symbols=symbols)
                yield from _measured(platform, instance, grown, f"{symbols:,} symbols x {weeks} weeks, {kind}")


def _measured(platform: Platform, instance: dg.DagsterInstance, grown: Grown, where: str) -> Iterator[Ratio]:
    """Pages, a purge, and the same pages again."""
    pages = _pages(grown)
    if chromium() is None:
        yield from _purged(platform, instance, grown, f"{where}; no page: no Chromium is on PATH")
        return
    with _webserver() as url:
        before = _shown_s(url, pages, instance)
        yield from _purged(platform, instance, grown, where)
        after = _shown_s(url, pages, instance)
    for page in pages:
        both = (("before the purge", before[page]), ("after it", after[page]))
        told = ", ".join(f"{what} {first:.2g} and {again:.2g}" for what, (first, again) in both)
        seconds = (*before[page], *after[page])
        yield Ratio(
            f"page of {page} / {PAGE_S:g} s, {where}", tuple(one / PAGE_S for one in seconds), 1.0, f"s: {told}"
        )


def _pages(grown: Grown) -> dict[str, tuple[str, str]]:
    """Where each is, and a text that it shows once what it is for is there."""
    return {
        "the lineage of all assets": ("/asset-groups", "execution"),
        "the state of the fundamentals": ("/locations/tokenomics/asset-groups/fundamentals/lineage", "% filled"),
        "a stock's financials": (f"/assets/financials?view=partitions&partition={grown.followed[3]}", "known_at"),
        "the events of financials": ("/assets/financials?view=events", grown.sweep[:8]),
        "runs": ("/runs", grown.sweep[:8]),
        "a sweep's run": (f"/runs/{grown.sweep}", "RUN_SUCCESS"),
    }


def _shown_s(
    url: str, pages: dict[str, tuple[str, str]], instance: dg.DagsterInstance
) -> dict[str, tuple[float, float]]:
    """Seconds of each page, first when Dagster has to work the state of partitions out from all events."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, browser(Path(profile)) as tab:
        _shown(tab, url, *pages["runs"])  # fetches the UI itself, which a person's browser keeps
        instance.wipe_asset_cached_status([_FINANCIALS])
        return {name: (_shown(tab, url, *page), _shown(tab, url, *page)) for name, page in pages.items()}


def _shown(tab: Page, url: str, at: str, text: str) -> float:
    begun = perf_counter()
    tab.open(url + at, width=1440)
    while not tab.evaluate(f"document.body.innerText.includes({json.dumps(text)})"):
        if perf_counter() - begun > _PATIENCE_S:
            raise BenchError(f"{at} does not show {text!r} within {_PATIENCE_S} s")
        sleep(0.02)
    return perf_counter() - begun


@contextmanager
def _webserver() -> Iterator[str]:
    """Dagster's UI on the instance of DAGSTER_HOME, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("dagster-webserver")
    command = [str(program), "-w", f"{REPOSITORY}/workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            begun = perf_counter()
            while True:
                with suppress(requests.ConnectionError):
                    if requests.get(f"http://127.0.0.1:{port}/server_info", timeout=5).ok:
                        break
                if process.poll() is not None or perf_counter() - begun > _PATIENCE_S:
                    log.seek(0)
                    raise BenchError(f"dagster-webserver does not answer: {log.read().decode()}")
                sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(_PATIENCE_S)


def _purged(platform: Platform, instance: dg.DagsterInstance, grown: Grown, where: str) -> Iterator[Ratio]:
    """A purge, while another process logs materializations."""
    settings = load_settings()
    before, space = _stored_events(instance), _space(instance)
    with ThreadPoolExecutor(1) as pool:
        ready, ended = Event(), Event()
        writing = pool.submit(_write_on, instance, ready, ended)
        ready.wait(_PATIENCE_S)
        begun = perf_counter()
        try:
            done = purge(
                instance,
                platform.store,
                House(ROOMS),
                now=datetime.combine(date.fromisoformat(WEEK) + timedelta(days=2), time(15), UTC),
                older_than=timedelta(days=settings.retention.runs_days),
            )
        finally:
            ended.set()
        seconds = perf_counter() - begun
        waits = writing.result()
    gone = sum(count * grown.events[job] // grown.runs[job] for job, count in done.deleted.items())
    if not gone or len(grown.followed) != len(made_partitions(instance, _FINANCIALS, symbol_partitions)):
        raise BenchError(f"a purge of {where} deleted nothing, or what the UI shows")
    told = (
        f"{seconds:.1f} s for {gone:,} events; rows {before:,} -> {_stored_events(instance):,}, "
        f"runs {grown.runs.total():,} -> {instance.get_runs_count():,}, {space} -> {_space(instance)}"
    )
    yield Ratio(f"purge of 100,000 events / {PURGE_S:g} s, {where}", (seconds / gone * 1e5 / PURGE_S,), 1.0, told)
    told = f"s, of {len(waits)} materializations; median {median(waits):.2g}, longest {max(waits):.2g}"
    yield Ratio(f"longest wait for a purge / {WAIT_S:g} s, {where}", (max(waits) / WAIT_S,), 1.0, told)


def _write_on(instance: dg.DagsterInstance, ready: Event, ended: Event) -> list[float]:
    """Seconds of each materialization that another process could log meanwhile; of a run that has ended, for SQLite's
    files are compacted while none is at work."""
    waits = []
    with dg.DagsterInstance.from_config(instance.root_directory) as own:
        run = create_run_for_test(own, job_name=_MONTHLY, status=dg.DagsterRunStatus.SUCCESS)
        data = StepMaterializationData(dg.AssetMaterialization("listings"))  # no page that is looked at shows it
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION.value
        ready.set()
        while not ended.wait(0.05):
            begun = perf_counter()
            own.report_dagster_event(DagsterEvent(kind, run.job_name, event_specific_data=data), run_id=run.run_id)
            waits.append(perf_counter() - begun)
    return waits


def _stored_events(instance: dg.DagsterInstance) -> int:
    """On SQLite of assets, checks and the states of runs alone: all others are in the files of their runs."""
    with _storages(instance)[1].index_connection() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(tables().events)).scalar_one())


def _space(instance: dg.DagsterInstance) -> str:
    events = _storages(instance)[1]
    if is_sqlite(events):
        return f"{stored_bytes(instance) / 1e6:,.0f} MB"
    with events.index_connection() as connection:
        size = connection.execute(sa.select(sa.func.pg_total_relation_size("event_logs"))).scalar_one()
    return f"{int(size) / 1e6:,.0f} MB of events"


def _storages(instance: dg.DagsterInstance) -> tuple[SqlRunStorage, SqlEventLogStorage]:
    found = sql_storages(instance)
    assert found is not None
    return found


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
    instance, definitions = platform.instance, build_defs(load_settings())
    for job in _JOBS:
        done = run_job(definitions, instance, job, str(uuid4()), partition=WEEK if job == "rebalance" else None)
        if not done.success:
            raise BenchError(f"{job} failed on the sandbox")
    return lived(instance, platform.folder)


def lived(instance: dg.DagsterInstance, folder: Path) -> Lived:
    """The runs of a store on SQLite, one of each job, as a week that happened; with a file in the folder."""
    runs, events = _storages(instance)
    assert is_sqlite(events)
    with runs.connect() as connection:
        rows = _rows(connection, tables().runs)
        tags = _rows(connection, tables().run_tags)
        snapshots = _rows(connection, SnapshotsTable)
    nowhere = {"run_id": tables().runless, "pipeline_name": ""}
    read = {row["pipeline_name"]: _read(events, row, tags) for row in [*rows, nowhere]}
    empty = folder / "empty.db"
    shutil.copy(events.path_for_shard(rows[0]["run_id"]), empty)
    with closing(_file(empty)) as connection:
        connection.execute(sa.delete(tables().events))
        connection.commit()
        connection.exec_driver_sql("VACUUM")
    return Lived(read, read.pop(""), snapshots, empty)


def _read(events: SqliteEventLogStorage, row: dict[str, Any], tags: list[dict[str, Any]]) -> _Run:
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
            event_tags=_rows(connection, tables().event_tags, tables().event_tags.c.event_id.in_(numbers.values())),
        )


def _rows(connection: sa.Connection, table: sa.Table, *where: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.select(table).where(*where).order_by(table.c.id)).mappings()]


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)


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

    def __init__(self, instance: dg.DagsterInstance, week: Lived, stack: ExitStack) -> None:
        self.instance, self.week = instance, week
        self.runs, self.events = _storages(instance)
        if is_sqlite(self.events):
            self._all = stack.enter_context(closing(_file(Path(self.events.path_for_shard("index")))))
        else:
            self._all = stack.enter_context(self.events.index_connection())
        self._next = 1
        self._run_rows: list[dict[str, Any]] = []
        self._tags: list[dict[str, Any]] = []

    def write(self, run: _Run, to: date, back: timedelta, followed: Sequence[str]) -> tuple[str, int]:
        """A run of that week, for the names that were followed then; returns its id and how many events it has."""
        move = _Move(run, to, back)
        events, numbers = _events(run, move, followed)
        places = list(range(len(events)))
        if is_sqlite(self.events):
            self._write_file(Path(self.events.path_for_shard(move.run_id)), events)
            places = list(numbers)  # the others are in the run's own file alone
        here = {place: self._next + count for count, place in enumerate(places)}
        self._next += len(here)
        new = {was: here[place] for place, was in numbers.items() if was is not None}
        rows = [_renumbered(events[place], new) | {"id": number} for place, number in here.items()]
        checks = [_renumbered(move.row(row), new) for row in run.checks]
        tags = [move.row(row) | {"event_id": new[row["event_id"]]} for row in run.event_tags]
        for table, these in ((tables().events, rows), (tables().checks, checks), (tables().event_tags, tags)):
            _insert(self._all, table, these)
        self._all.commit()
        if run.run_id:
            self._run_rows.append(move.row(run.row))
            self._tags += [move.row(tag) for tag in run.tags]
        return move.run_id, len(events)

    def _write_file(self, path: Path, events: list[dict[str, Any]]) -> None:
        if not path.exists():
            shutil.copy(self.week.empty, path)
        with closing(_file(path)) as connection:
            _insert(connection, tables().events, events)
            connection.commit()

    def finish(self, followed: Sequence[str]) -> None:
        """The runs, and what the newest week has left of each asset."""
        with self.runs.connect() as connection:
            _insert(connection, SnapshotsTable, [_unnumbered(row) for row in self.week.snapshots])
            _insert(connection, tables().runs, self._run_rows)
            _insert(connection, tables().run_tags, self._tags)
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
    changed: dict[str, Any] = {
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


def grow(week: Lived, instance: dg.DagsterInstance, *, weeks: int = 300, symbols: int = 1_500) -> Grown:
    """Fills the empty store of `instance` with that many weeks up to the one that happened, each with that many names;
    what it holds then is seen through Dagster's own eyes, and BenchError raised where that is something else."""
    grown = Grown()
    with ExitStack() as stack:
        _fill(_Target(instance, week, stack), grown, weeks, symbols)
    _look(instance, grown, weeks)
    return grown


def _fill(target: _Target, grown: Grown, weeks: int, symbols: int) -> None:
    names = made_up()
    grown.followed = list(islice(names, symbols))
    for ago in reversed(range(weeks)):
        to, back = date.fromisoformat(WEEK) - ago * _WEEK_LONG, ago * _WEEK_LONG
        begins_month = (weeks - 1 - ago) % MONTH == 0
        if begins_month and ago < weeks - 1:
            leaving = max(1, symbols // 100)
            grown.followed = [*grown.followed[leaving:], *islice(names, leaving)]
        for job, run in target.week.runs.items():
            if job == _MONTHLY and not begins_month:
                continue
            for day in reversed(range(5 if job == _DAILY else 1)):
                run_id, count = target.write(run, to, back + timedelta(days=day), grown.followed)
                grown.runs[job] += 1
                grown.events[job] += count
            if job == "fundamentals_refresh":
                grown.sweep = run_id
            if job == "score":
                target.write(target.week.outside, to, back, ())
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
