"""What a person asks about the platform: does each part work, what ran, where do positions stand. Reads only."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.table import Table

from tokenomics_dagster import market_calendar
from tokenomics_dagster.execution.guards import Refused, check_account
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.providers.finnhub import FinnhubResource
from tokenomics_dagster.settings import Settings, SettingsError, load_settings, settings_path

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import Warehouse

Finding = tuple[str, bool | None, str]
"""A part, whether it works (None: switched off), and what was found or what to do."""

_WELL_KNOWN = "AAPL"
_WEEKLY = ("target_weights", "trade_plan", "orders", "portfolio_report")


def check_all() -> Iterator[Finding]:
    """Tries every part with a harmless call; nothing is traded or stored."""
    try:
        settings = load_settings()
    except SettingsError as error:
        yield "settings", False, str(error)
        return
    yield "settings", True, str(settings_path(settings.environment))
    for name, look in (
        ("Finnhub", _check_finnhub),
        ("Alpaca trading", _check_trading),
        ("Alpaca data", _check_data),
        ("Redis", _check_redis),
        ("database", _check_database),
    ):
        yield name, *_tried(look, settings)


def _tried(look: Callable[[Settings], tuple[bool | None, str]], settings: Settings) -> tuple[bool | None, str]:
    from tokenomics_dagster.storage.publishing import PublishError
    from tokenomics_dagster.storage.warehouse import WarehouseError

    try:
        return look(settings)
    except (ProviderError, SettingsError, Refused, PublishError, WarehouseError) as error:
        return False, str(error)


def _check_finnhub(settings: Settings) -> tuple[bool, str]:
    with FinnhubResource.from_settings(settings) as finnhub:
        profile = finnhub.profile(_WELL_KNOWN)
    host = urlsplit(settings.environment.finnhub_base_url).hostname
    known = "answers" if profile is None else f"knows {_WELL_KNOWN}"
    return True, f"{host} {known}; paced at {settings.finnhub.calls_per_minute:g} calls/min"


def _check_trading(settings: Settings) -> tuple[bool, str]:
    with AlpacaResource.from_settings(settings) as alpaca:
        account, clock = alpaca.account(), alpaca.clock()
    check_account(account, settings)
    kind = "paper" if settings.trading.paper else "LIVE"
    market = "open" if clock.is_open else f"closed until {clock.next_open:%Y-%m-%d %H:%M} UTC"
    agrees = clock.is_open == (market_calendar.session_at(clock.now) is not None)
    found = (
        f"{kind} account {account.number}, {account.equity:,.2f} USD; {clock.now:%Y-%m-%d %H:%M} UTC, market {market}"
    )
    return agrees, found if agrees else f"{found}, but the calendar says the opposite: nothing would be traded"


def _check_data(settings: Settings) -> tuple[bool, str]:
    with AlpacaResource.from_settings(settings) as alpaca:
        snapshots = alpaca.snapshots([_WELL_KNOWN])
    if _WELL_KNOWN not in snapshots:
        return True, f"feed {settings.alpaca.data_feed} answers, without {_WELL_KNOWN}"
    snapshot = snapshots[_WELL_KNOWN]
    traded = f"{snapshot.price_at:%Y-%m-%d %H:%M} UTC" if snapshot.price_at else "an unknown time"
    return True, f"feed {settings.alpaca.data_feed}: {_WELL_KNOWN} traded at {snapshot.price} USD, {traded}"


def _check_redis(settings: Settings) -> tuple[bool | None, str]:
    from tokenomics_dagster.storage.publishing import Publisher

    if settings.environment.redis is None:
        return None, "not configured (REDIS_URL or REDIS_HOST): nothing is published"
    with closing(Publisher(settings.environment.redis)) as publisher:
        publisher.ping()
    return True, "answers"


def _check_database(settings: Settings) -> tuple[bool, str]:
    with closing(_open(settings)) as store:
        store.check_writable()
    return True, "can be read and written"


def _open(settings: Settings) -> "Warehouse":
    from tokenomics_dagster.storage.warehouse import Warehouse

    return Warehouse(settings.environment.tokenomics_database_url.get_secret_value())


def status_tables() -> Iterator[Table]:
    """Tables for a terminal: runs, assets, positions against targets."""
    settings = load_settings()
    with AlpacaResource.from_settings(settings) as alpaca, closing(_open(settings)) as store:
        now = alpaca.now()
        yield _runs_table()
        yield _assets_table(store, now)
        yield _positions_table(store, alpaca)


def _runs_table(limit: int = 8) -> Table:
    import dagster as dg

    table = _table("last runs", "job", "state", "started (UTC)", "took", "run")
    home = os.environ.get("DAGSTER_HOME")
    if not home or not Path(home).is_dir():
        reason = f"DAGSTER_HOME ({home}) is no folder" if home else "DAGSTER_HOME is not set"
        table.add_row(f"{reason}: no instance to look into")
        return table
    with dg.DagsterInstance.get() as instance:
        for record in instance.get_run_records(limit=limit):
            run, start, end = record.dagster_run, record.start_time, record.end_time
            began = f"{datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M}" if start else ""
            took = f"{end - start:.0f} s" if start and end else ""
            table.add_row(run.job_name, run.status.value, began, took, run.run_id[:8])
    return table


def _assets_table(store: "Warehouse", now: datetime) -> Table:
    from tokenomics_dagster.fundamentals.schema import Financials
    from tokenomics_dagster.universe.schema import Universe

    table = _table("assets", "asset", "age", "coverage")
    universe = store.load_snapshot("universe", Universe)
    symbols = set() if universe is None else set(universe["symbol"])
    for asset in ("listings", "universe", "financials", "scores", *_WEEKLY):
        if asset == "financials":
            facts = store.latest_facts("financials", Financials)
            facts = facts[facts["symbol"].isin(symbols)]
            sweep = store.latest_sweep()
            if sweep is None or facts.empty:
                table.add_row(asset, "never", "")
                continue
            fresh = int((facts["known_at"] >= sweep.fresh_since).sum())
            failed = f", failed: {', '.join(sorted(sweep.failures)[:10])}" if sweep.failures else ""
            state = "" if sweep.finished_at else ", the last sweep has not finished"
            covered = f"{fresh} of {len(symbols)} symbols fresh{failed}{state}"
            table.add_row(asset, _age(now - facts["known_at"].min().to_pydatetime()), covered)
            continue
        newest = store.history(asset, limit=1)
        if not newest:
            table.add_row(asset, "never", "")
            continue
        week = f", week of {newest[0].partition}" if newest[0].partition else ""
        table.add_row(asset, _age(now - newest[0].as_of), f"{newest[0].row_count} rows{week}")
    return table


def _positions_table(store: "Warehouse", alpaca: AlpacaResource, limit: int = 15) -> Table:
    from tokenomics_dagster.execution.report import report
    from tokenomics_dagster.portfolio.schema import TargetWeights

    account = alpaca.account()
    title = f"account {account.number}: equity {account.equity:,.2f} USD, cash {account.cash:,.2f} USD; largest drifts"
    table = _table(title, "symbol", "value, USD", "weight", "target", "drift")
    newest = store.history("target_weights", limit=1)
    weights = store.load_snapshot("target_weights", TargetWeights, partition=newest[0].partition) if newest else None
    targets = {} if weights is None else dict(zip(weights["symbol"], weights["weight"], strict=True))
    rows = report(targets, alpaca.positions(), account.equity)
    rows = rows.reindex(rows["drift"].abs().sort_values(ascending=False).index)
    for row in rows.head(limit).to_dict("records"):
        shares = (f"{row['weight']:.2%}", f"{row['target_weight']:.2%}", f"{row['drift']:+.2%}")
        table.add_row(row["symbol"], f"{row['value']:,.2f}", *shares)
    return table


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)


def _age(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} h"
