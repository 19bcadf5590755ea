"""What the platform tells Prometheus: `tokenomics metrics`. Looked up twice a minute, in the warehouse and in Dagster's
storage, and kept: a scrape is answered from what was found last, at no cost for either, and tells how old that is.

It needs the addresses of the two and nothing else: no key of Finnhub or Alpaca, no call to either. Ages are therefore
by this machine's clock. No label names a symbol, an account or a person, so their number is bounded. What is worth an
alarm is in monitoring/.

The server is also who tells of a daemon that is dead: whatever else is wrong the daemon's sensor tells, and nobody but
another process can tell of the daemon itself.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from tokenomics_dagster.automation.daemons import DaemonWatch, daemon_ages
from tokenomics_dagster.automation.retention import PURGE
from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.kit import alive
from tokenomics_dagster.kit.room import House, Room, Samples
from tokenomics_dagster.kit.runs import IN_FLIGHT
from tokenomics_dagster.operations.common import OperationRefused, dagster_instance, open_store
from tokenomics_dagster.providers.usage import kept_usage
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings

if TYPE_CHECKING:
    import dagster as dg

    from tokenomics_dagster.storage.records import Backup


LOOK_EVERY_S = 30.0
_FIRST_LOOK_S = 5.0  # for which scrapes wait, so that the first one is told something; Prometheus waits for 10
TOO_OLD_S = 300.0
_HEARTBEAT = "tokenomics_daemon_heartbeat_age_seconds"
_READABLE = ("tokenomics_up", "tokenomics_dagster_up")

_OF_THE_PLATFORM: dict[str, tuple[tuple[str, ...], str]] = {
    "tokenomics_build_info": (("version",), "Version of the platform that answers."),
    "tokenomics_up": ((), "1 when the warehouse could be read in the last look; 0 when that is too long ago, too."),
    "tokenomics_dagster_up": ((), "1 when Dagster's storage could be; 0 when that is too long ago, too."),
    "tokenomics_look_duration_seconds": ((), "What the last look took, whose findings all these are."),
    "tokenomics_look_age_seconds": ((), "Since the last look ended."),
    _HEARTBEAT: (("daemon",), "Since a daemon was heard of; infinite: never."),
    "tokenomics_guard_limit": (("guard",), "The limits of settings.guards, in the units of their names."),
    "tokenomics_asset_age_seconds": (("asset",), "Since the newest snapshot; financials: since its figures came."),
    "tokenomics_asset_max_age_seconds": (("asset",), "Age from which the asset's freshness policy fails."),
    "tokenomics_halted": ((), "1 while trading is halted."),
    "tokenomics_open_alerts": ((), "Problems that alerts tell of and that are not over."),
    "tokenomics_audit_records_total": ((), "Records of the audit; it never shrinks."),
    "tokenomics_schema_version": ((), "Of the warehouse; another than this code needs: nothing is traded."),
    "tokenomics_schema_version_expected": ((), "What this code needs."),
    "tokenomics_backup_age_seconds": ((), "Since the last backup began; infinite: never, and it should have."),
    "tokenomics_backup_max_age_seconds": ((), "TOKENOMICS_BACKUP_MAX_AGE_HOURS, where it is set."),
    "tokenomics_backup_size_bytes": ((), "Of the last backup."),
    "tokenomics_run_success": (("dagster_job",), "1 when the last finished run of the job succeeded."),
    "tokenomics_run_duration_seconds": (("dagster_job",), "Of the last finished run of the job."),
    "tokenomics_run_end_timestamp_seconds": (("dagster_job",), "When the last finished run ended, Unix time."),
    "tokenomics_run_start_failures": (("dagster_job",), "Runs of the last 24 hours that failed before they began."),
    "tokenomics_runs_in_progress": (("dagster_job",), "Runs of the job that are queued or running and not dead."),
    "tokenomics_run_api_calls": (("dagster_job", "provider"), "HTTP calls of the last finished run, retries counted."),
    "tokenomics_run_api_wait_seconds": (("dagster_job", "provider"), "For how long rate limits held its calls back."),
}  # fmt: skip


def families(house: House) -> dict[str, tuple[tuple[str, ...], str]]:
    """Labels and a text by the name of each metric: those of the platform as a whole, and what its rooms add.

    Raises ValueError where a room has a metric of the platform's.
    """
    if twice := sorted(_OF_THE_PLATFORM.keys() & house.families.keys()):
        rooms = [room.name for room in house.rooms for one in room.metrics if not one.families.keys().isdisjoint(twice)]
        raise ValueError(f"the room {', '.join(rooms)} has {', '.join(twice)}, as the platform has: rename one")
    return _OF_THE_PLATFORM | house.families


def serve_metrics(port: int, host: str) -> None:
    """Answers scrapes until the process is ended. Raises OperationRefused when it cannot listen, or SettingsError."""
    settings = load_settings()
    collector = PlatformCollector(settings)
    registry = CollectorRegistry()
    registry.register(collector)
    # As the first process of a container it would not hear SIGTERM by default.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server, _ = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise OperationRefused(
            f"cannot listen on {host}:{port}: {error.strerror}; end what uses it, or choose another --port or --host"
        ) from None
    # In a thread: a database that hangs keeps a look for ever, and must not keep from telling so.
    over = threading.Event()
    looker = threading.Thread(target=collector.look_until, args=(over,), name="look", daemon=True)
    looker.start()
    watch = DaemonWatch(settings)
    try:
        while looker.is_alive():
            time.sleep(LOOK_EVERY_S)
            watch.look(collector.daemon_ages())
    finally:
        over.set()
        server.shutdown()
        server.server_close()
    raise OperationRefused("nobody looks at the databases any more: the error stands above; report it")


def scrape_once() -> tuple[str, bool]:
    """The exposition of one look, and whether everything could be read."""
    registry = CollectorRegistry()
    collector = PlatformCollector(load_settings())
    collector.look()
    registry.register(collector)
    text = generate_latest(registry).decode()
    return text, "\ntokenomics_up 1.0\n" in text and "\ntokenomics_dagster_up 1.0\n" in text


class PlatformCollector(Collector):
    """Opens both storages for each look alone: what was away is found again by itself. Nothing before the first."""

    def __init__(self, settings: Settings, rooms: Sequence[Room] = ROOMS) -> None:
        self._settings, self._house = settings, House(rooms)
        self._jobs = sorted((*self._house.jobs, PURGE))
        self._max_ages = {asset: age.fail.total_seconds() for asset, age in self._house.max_ages(settings).items()}
        self._found: tuple[Sequence[tuple[str, float, tuple[str, ...]]], float] = ((), float("-inf"))
        self._looked = threading.Event()

    def look_until(self, over: threading.Event) -> None:
        self.look()
        while not over.wait(LOOK_EVERY_S):
            self.look()

    def look(self) -> None:
        """Finds all samples anew. While it waits for a database that is away, the last ones become older."""
        begun = time.monotonic()
        found = list(self._samples())
        ended = time.monotonic()
        self._found = [*found, ("tokenomics_look_duration_seconds", ended - begun, ())], ended
        self._looked.set()

    def daemon_ages(self) -> dict[str, float] | None:
        """Seconds since each daemon was heard of; None where the last look could not read that, or is long past."""
        samples, looked_at = self._found
        found = {(name, labels): value for name, value, labels in samples}
        if time.monotonic() - looked_at > 3 * LOOK_EVERY_S or not found.get(("tokenomics_dagster_up", ())):
            return None
        ages = {labels: value for (name, labels), value in found.items() if name == _HEARTBEAT}
        return {daemon: age for (daemon,), age in ages.items()}

    def collect(self) -> Iterable[Metric]:
        self._looked.wait(_FIRST_LOOK_S)
        made = {name: _family(name, *family) for name, family in families(self._house).items()}
        found, looked_at = self._found
        age = time.monotonic() - looked_at
        for name, value, labels in found:
            # Who has not looked for long knows nothing of now, whatever he saw then.
            told = 0.0 if name in _READABLE and age > TOO_OLD_S else value
            made[name].add_metric(list(labels), told)  # type: ignore[attr-defined]
        made["tokenomics_build_info"].add_metric([], {"version": version("tokenomics-dagster")})  # type: ignore[attr-defined]
        made["tokenomics_look_age_seconds"].add_metric([], age)  # type: ignore[attr-defined]
        return made.values()

    def _samples(self) -> Samples:
        for guard, limit in self._settings.guards.model_dump().items():
            if isinstance(limit, int | float):
                yield "tokenomics_guard_limit", float(limit), (guard,)
        for asset, seconds in self._max_ages.items():
            yield "tokenomics_asset_max_age_seconds", seconds, (asset,)
        warehouse, dagster = _READABLE
        yield from _readable(warehouse, self._from_warehouse())
        yield from _readable(dagster, self._from_dagster())

    def _from_warehouse(self) -> Samples:
        from tokenomics_dagster.storage.migrations import LATEST
        from tokenomics_dagster.storage.records import SchemaVersionError

        yield "tokenomics_schema_version_expected", float(LATEST), ()
        try:
            store = open_store(self._settings)
        except SchemaVersionError as error:
            yield "tokenomics_schema_version", float(error.found), ()
            raise
        with closing(store):
            yield "tokenomics_schema_version", float(LATEST), ()
            now = datetime.now(UTC)
            yield "tokenomics_halted", float(store.halted() is not None), ()
            yield "tokenomics_open_alerts", float(len(store.alerts())), ()
            yield "tokenomics_audit_records_total", float(store.audit_head().count), ()
            yield from self._backup(store.last_backup(), now)
            for asset in self._house.stored():
                made_at = self._house.made_at(asset, store, self._settings)
                if made_at is not None:
                    yield "tokenomics_asset_age_seconds", (now - made_at).total_seconds(), (asset,)
            for metrics in self._house.metrics:
                yield from metrics.samples(store, now, self._settings)

    def _backup(self, last: Backup | None, now: datetime) -> Samples:
        max_age_hours = self._settings.environment.tokenomics_backup_max_age_hours
        if max_age_hours is not None:
            yield "tokenomics_backup_max_age_seconds", max_age_hours * 3_600, ()
        if last is not None:
            yield "tokenomics_backup_age_seconds", (now - last.begun_at).total_seconds(), ()
            yield "tokenomics_backup_size_bytes", float(last.bytes), ()
        elif max_age_hours is not None:
            yield "tokenomics_backup_age_seconds", float("inf"), ()

    def _from_dagster(self) -> Samples:
        with dagster_instance() as instance:
            for daemon, age_s in daemon_ages(instance).items():
                yield _HEARTBEAT, age_s, (daemon,)
            yield from _start_failures(instance, self._jobs)
            dead = alive.dead(instance)
            for job in self._jobs:
                yield from _runs(instance, job, dead)


def _readable(name: str, samples: Samples) -> Samples:
    """The samples as far as they can be read, and whether all could be."""
    from pandera.errors import SchemaErrors

    from tokenomics_dagster.kit.dagster_internals import instance_errors
    from tokenomics_dagster.storage.records import WarehouseError

    try:
        yield from samples
    except (WarehouseError, OperationRefused, SchemaErrors):
        yield name, 0.0, ()
    except instance_errors():  # asked for only now: what looks at PostgreSQL is loaded by the look
        yield name, 0.0, ()
    else:
        yield name, 1.0, ()


def _start_failures(instance: dg.DagsterInstance, jobs: Collection[str]) -> Samples:
    """Not those that were canceled: whom a person called off before its turn has not failed.

    A retry that went well hides such a failure in all else, and one a night is how a cluster begins to be too small.
    """
    import dagster as dg

    since = datetime.now(UTC) - timedelta(days=1)
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    # A hundred are told as well as all: each look reads them.
    records = instance.get_run_records(failed, limit=100)
    counts = Counter(record.dagster_run.job_name for record in records if record.start_time is None)
    for job in jobs:
        yield "tokenomics_run_start_failures", float(counts[job]), (job,)


def _runs(instance: dg.DagsterInstance, job: str, dead: Collection[str]) -> Samples:
    """Their label is dagster_job: Prometheus gives `job` a meaning of its own."""
    import dagster as dg

    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    under_way = instance.get_runs(dg.RunsFilter(job_name=job, statuses=IN_FLIGHT))
    yield "tokenomics_runs_in_progress", float(sum(run.run_id not in dead for run in under_way)), (job,)
    for record in instance.get_run_records(dg.RunsFilter(job_name=job, statuses=ended), limit=1):
        yield "tokenomics_run_success", float(record.dagster_run.status == dg.DagsterRunStatus.SUCCESS), (job,)
        if record.end_time is not None:
            yield "tokenomics_run_end_timestamp_seconds", record.end_time, (job,)
            # A run that never came to start has no time of its own.
            took = record.end_time - (record.start_time or record.end_time)
            yield "tokenomics_run_duration_seconds", took, (job,)
        for provider, calls, waited_s in kept_usage(record.dagster_run.tags):
            yield "tokenomics_run_api_calls", calls, (job, provider)
            yield "tokenomics_run_api_wait_seconds", waited_s, (job, provider)


def _family(name: str, labels: tuple[str, ...], text: str) -> Metric:
    if name.endswith("_info"):
        return InfoMetricFamily(name.removesuffix("_info"), text)
    if name.endswith("_total"):
        return CounterMetricFamily(name.removesuffix("_total"), text, labels=labels)
    return GaugeMetricFamily(name, text, labels=labels)
