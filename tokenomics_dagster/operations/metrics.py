"""What the platform tells Prometheus: `tokenomics metrics`. Read at each scrape, from warehouse and Dagster's storage.

It needs the addresses of the two and nothing else: no key of Finnhub or Alpaca, no call to either. Ages are therefore
by this machine's clock. No label names a symbol, an account or a person, so their number is bounded. What is worth an
alarm is in monitoring/.
"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from tokenomics_dagster.execution.states import TRANSITIONS
from tokenomics_dagster.operations.common import OperationRefused, dagster_instance, open_store
from tokenomics_dagster.providers.usage import PREFIX
from tokenomics_dagster.settings import GuardSettings, Settings, load_settings

if TYPE_CHECKING:
    import dagster as dg

    from tokenomics_dagster.storage.warehouse import Warehouse

Samples = Iterator[tuple[str, float, tuple[str, ...]]]
"""Name of a metric, its value, the values of its labels."""

METRICS: dict[str, tuple[tuple[str, ...], str]] = {
    "tokenomics_build_info": (("version",), "Version of the platform that answers."),
    "tokenomics_up": ((), "1 when the warehouse could be read in this scrape."),
    "tokenomics_dagster_up": ((), "1 when Dagster's storage could be read in this scrape."),
    "tokenomics_scrape_duration_seconds": ((), "What this scrape took."),
    "tokenomics_guard_limit": (("guard",), "The limits of settings.guards, in the units of their names."),
    "tokenomics_asset_age_seconds": (("asset",), "Since the newest snapshot; financials: since its figures came."),
    "tokenomics_asset_max_age_seconds": (("asset",), "Age from which the asset's freshness policy fails."),
    "tokenomics_universe_symbols": ((), "Stocks of the newest universe."),
    "tokenomics_financials_fetched_ratio": ((), "Share of the universe fetched by the last sweep or a repair since."),
    "tokenomics_financials_fresh_ratio": ((), "Share of the universe with financials of guards.max_score_age_days."),
    "tokenomics_scored_ratio": ((), "Share of the newest score snapshot that has a score."),
    "tokenomics_failed_symbols": ((), "Symbols that the last sweep could not fetch, and no repair has since."),
    "tokenomics_sweep_unfinished": ((), "1 while a sweep runs, or when the last one was killed."),
    "tokenomics_orders": (("state",), "Orders of the newest planned week, by the state that the ledger has."),
    "tokenomics_drift_ratio_max": ((), "Largest distance between weight and target in the newest report."),
    "tokenomics_equity_usd": ((), "Equity of the account at the newest report."),
    "tokenomics_cash_usd": ((), "Cash of the account at the newest report."),
    "tokenomics_cash_meant_usd": ((), "Cash that the targets meant to leave, at the newest report."),
    "tokenomics_planned_usd": ((), "What the week of the newest orders was to buy and to sell."),
    "tokenomics_untraded_usd": ((), "What of it was left out, refused, not afforded, cut or not filled."),
    "tokenomics_untraded_symbols": ((), "Names of it that were not traded, with those that the broker does not trade."),
    "tokenomics_week_success": ((), "1 when the newest planned week is done: what was meant was traded."),
    "tokenomics_halted": ((), "1 while trading is halted."),
    "tokenomics_open_alerts": ((), "Problems that alerts tell of and that are not over."),
    "tokenomics_audit_records_total": ((), "Records of the audit; it never shrinks."),
    "tokenomics_run_success": (("dagster_job",), "1 when the last finished run of the job succeeded."),
    "tokenomics_run_duration_seconds": (("dagster_job",), "Of the last finished run of the job."),
    "tokenomics_run_end_timestamp_seconds": (("dagster_job",), "When the last finished run ended, Unix time."),
    "tokenomics_runs_in_progress": (("dagster_job",), "Runs of the job that are queued or running."),
    "tokenomics_run_api_calls": (("dagster_job", "provider"), "HTTP calls of the last finished run, retries counted."),
    "tokenomics_run_api_wait_seconds": (("dagster_job", "provider"), "For how long rate limits held its calls back."),
}  # fmt: skip

_SNAPSHOTS = (
    "listings", "universe", "scores", "target_weights", "trade_plan", "orders", "portfolio_report",
)  # fmt: skip
_PROVIDERS = ("finnhub", "alpaca")


def serve_metrics(port: int, host: str) -> None:
    """Answers scrapes until the process is ended. Raises OperationRefused when it cannot listen, or SettingsError."""
    registry = _registry()
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise OperationRefused(
            f"cannot listen on {host}:{port}: {error.strerror}; end what uses it, or choose another --port or --host"
        ) from None
    # As the first process of a container it would not hear SIGTERM by default.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        thread.join()
    finally:
        server.shutdown()
        server.server_close()


def scrape_once() -> tuple[str, bool]:
    """The exposition of one scrape, and whether everything could be read."""
    registry = _registry()
    text = generate_latest(registry).decode()
    return text, "\ntokenomics_up 1.0\n" in text and "\ntokenomics_dagster_up 1.0\n" in text


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(PlatformCollector(load_settings()))
    return registry


class PlatformCollector(Collector):
    """Looks anew at each scrape, and opens both storages for it alone: what was away is found again by itself."""

    def __init__(self, settings: Settings) -> None:
        from tokenomics_dagster.automation.timetable import age_limits
        from tokenomics_dagster.definitions import defs

        self._settings = settings
        self._jobs = sorted(job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__"))
        self._max_ages = {asset: limit.fail.total_seconds() for asset, limit in age_limits(settings).items()}

    def collect(self) -> Iterable[Metric]:
        begun = time.monotonic()
        families = {name: _family(name) for name in METRICS}
        for name, value, labels in self._samples():
            families[name].add_metric(list(labels), value)  # type: ignore[attr-defined]
        families["tokenomics_build_info"].add_metric([], {"version": version("tokenomics-dagster")})  # type: ignore[attr-defined]
        families["tokenomics_scrape_duration_seconds"].add_metric([], time.monotonic() - begun)  # type: ignore[attr-defined]
        return families.values()

    def _samples(self) -> Samples:
        for guard, limit in self._settings.guards.model_dump().items():
            if isinstance(limit, int | float):
                yield "tokenomics_guard_limit", float(limit), (guard,)
        for asset, seconds in self._max_ages.items():
            yield "tokenomics_asset_max_age_seconds", seconds, (asset,)
        yield from _readable("tokenomics_up", self._from_warehouse())
        yield from _readable("tokenomics_dagster_up", self._from_dagster())

    def _from_warehouse(self) -> Samples:
        with closing(open_store(self._settings)) as store:
            now = datetime.now(UTC)
            yield "tokenomics_halted", float(store.halted() is not None), ()
            yield "tokenomics_open_alerts", float(len(store.alerts())), ()
            yield "tokenomics_audit_records_total", float(store.audit_head().count), ()
            yield from _ages(store, now, self._settings)
            yield from self._coverage(store, now)
            yield from _portfolio(store, self._settings.guards)

    def _coverage(self, store: Warehouse, now: datetime) -> Samples:
        from tokenomics_dagster.fundamentals.schema import Financials, Scores
        from tokenomics_dagster.universe.schema import Universe

        universe = store.load_snapshot("universe", Universe)
        if universe is None:
            return
        symbols = universe["symbol"]
        yield "tokenomics_universe_symbols", float(len(symbols)), ()
        scores = store.load_snapshot("scores", Scores)
        if scores is not None:
            yield "tokenomics_scored_ratio", float(scores["score"].notna().mean()), ()
        sweep = store.latest_sweep()
        if sweep is None:
            return
        followed = set(symbols)
        facts = store.latest_facts("financials", Financials)
        known_at = facts[facts["symbol"].isin(followed)].set_index("symbol")["known_at"]
        fetched = set(known_at.index[known_at >= sweep.fresh_since])
        fresh = int((known_at >= now - timedelta(days=self._settings.guards.max_score_age_days)).sum())
        yield "tokenomics_sweep_unfinished", float(sweep.finished_at is None), ()
        yield "tokenomics_financials_fetched_ratio", len(fetched) / max(len(symbols), 1), ()
        yield "tokenomics_financials_fresh_ratio", fresh / max(len(symbols), 1), ()
        yield "tokenomics_failed_symbols", float(len((set(sweep.failures) & followed) - fetched)), ()

    def _from_dagster(self) -> Samples:
        with dagster_instance() as instance:
            for job in self._jobs:
                yield from _runs(instance, job)


def _readable(name: str, samples: Samples) -> Samples:
    """The samples as far as they can be read, and whether all could be."""
    from dagster import DagsterError
    from pandera.errors import SchemaErrors
    from sqlalchemy.exc import SQLAlchemyError

    from tokenomics_dagster.storage.records import WarehouseError

    try:
        yield from samples
    except (WarehouseError, OperationRefused, SQLAlchemyError, DagsterError, SchemaErrors, OSError):
        yield name, 0.0, ()
    else:
        yield name, 1.0, ()


def _ages(store: Warehouse, now: datetime, settings: Settings) -> Samples:
    from tokenomics_dagster.automation.sweeps import figures_since

    newest = {asset: found[0].as_of for asset in _SNAPSHOTS if (found := store.history(asset, limit=1))}
    since = figures_since(store, settings)
    if since is not None:
        newest["financials"] = since
    for asset, as_of in newest.items():
        yield "tokenomics_asset_age_seconds", (now - as_of).total_seconds(), (asset,)


def _portfolio(store: Warehouse, guards: GuardSettings) -> Samples:
    from tokenomics_dagster.execution.schema import PortfolioReport
    from tokenomics_dagster.execution.week import week_state

    plans = store.history("trade_plan", limit=1)
    states = dict.fromkeys(TRANSITIONS, 0)
    if plans:
        week = week_state(store, date.fromisoformat(plans[0].partition), guards)
        yield "tokenomics_week_success", float(week.done), ()
        if week.fulfilment is not None:
            yield "tokenomics_planned_usd", float(week.fulfilment.planned_usd), ()
            yield "tokenomics_untraded_usd", float(week.fulfilment.untraded_usd), ()
            yield "tokenomics_untraded_symbols", float(len({one.symbol for one in week.fulfilment.shortfalls})), ()
        account = plans[0].details["plan"]["account"]
        rows = store.orders_of_week(account, date.fromisoformat(plans[0].partition))
        # A word of the broker's that is new to us must not become a label.
        counted = Counter(row.status if row.status in TRANSITIONS else "other" for row in rows)
        states.update(counted)
    for state, count in {"other": 0, **states}.items():
        yield "tokenomics_orders", float(count), (state,)
    reports = store.history("portfolio_report", limit=1)
    if not reports:
        return
    yield "tokenomics_equity_usd", float(reports[0].details["equity"]), ()
    yield "tokenomics_cash_usd", float(reports[0].details["cash"]), ()
    if "cash_meant" in reports[0].details:  # not in those of earlier versions
        yield "tokenomics_cash_meant_usd", float(reports[0].details["cash_meant"]), ()
    report = store.load_snapshot("portfolio_report", PortfolioReport, partition=reports[0].partition)
    if report is not None and report["drift"].notna().any():
        yield "tokenomics_drift_ratio_max", float(report["drift"].abs().max()), ()


def _runs(instance: dg.DagsterInstance, job: str) -> Samples:
    """Their label is dagster_job: Prometheus gives `job` a meaning of its own."""
    import dagster as dg

    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    busy = [status for status in dg.DagsterRunStatus if status not in ended]
    yield (
        "tokenomics_runs_in_progress",
        float(instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=busy))),
        (job,),
    )
    for record in instance.get_run_records(dg.RunsFilter(job_name=job, statuses=ended), limit=1):
        yield "tokenomics_run_success", float(record.dagster_run.status == dg.DagsterRunStatus.SUCCESS), (job,)
        if record.end_time is not None:
            yield "tokenomics_run_end_timestamp_seconds", record.end_time, (job,)
            # A run that never came to start has no time of its own.
            took = record.end_time - (record.start_time or record.end_time)
            yield "tokenomics_run_duration_seconds", took, (job,)
        tags = record.dagster_run.tags
        for provider in _PROVIDERS:
            calls, waited_s = (tags.get(f"{PREFIX}/{provider}_{what}") for what in ("calls", "waited_s"))
            if calls is not None and waited_s is not None:
                yield "tokenomics_run_api_calls", float(calls), (job, provider)
                yield "tokenomics_run_api_wait_seconds", float(waited_s), (job, provider)


def _family(name: str) -> Metric:
    labels, text = METRICS[name]
    if name.endswith("_info"):
        return InfoMetricFamily(name.removesuffix("_info"), text)
    if name.endswith("_total"):
        return CounterMetricFamily(name.removesuffix("_total"), text, labels=labels)
    return GaugeMetricFamily(name, text, labels=labels)
