"""Whether each part works (`check`), and how things stand (`status`). Only looks: nothing is traded or stored."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.table import Table

from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.execution.guards import Refused, check_account
from tokenomics_dagster.execution.week import week_state
from tokenomics_dagster.kit import timetable
from tokenomics_dagster.kit.room import House, Room
from tokenomics_dagster.model import calendar
from tokenomics_dagster.operations.common import (
    OperationRefused,
    account_named,
    age,
    dagster_instance,
    database_named,
    named_home,
    new_york,
    open_store,
    table_of,
)
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.providers.finnhub import FinnhubResource
from tokenomics_dagster.settings import Settings, SettingsError, load_settings, settings_path, source_of

if TYPE_CHECKING:
    import dagster as dg

    from tokenomics_dagster.storage.warehouse import Warehouse

Finding = tuple[str, bool | None, str]
"""A part, whether it works (None: switched off), and what was found or what to do."""

_SWEEPS = 60  # a year of weeks: who has failed for longer has failed for long enough
_WELL_KNOWN = "AAPL"


def check_all() -> Iterator[Finding]:
    """Tries every part with a harmless call; nothing is traded or stored."""
    try:
        settings = load_settings()
    except SettingsError as error:
        yield "settings", False, str(error)
        return
    source = source_of("TOKENOMICS_SETTINGS")
    yield "settings", True, f"{settings_path(settings.environment)} (TOKENOMICS_SETTINGS is from {source})"
    for name, look in (
        ("Finnhub", _check_finnhub),
        ("Alpaca trading", _check_trading),
        ("Alpaca data", _check_data),
        ("Redis", _check_redis),
        ("database", _check_database),
        ("schedules", _check_schedules),
        ("Dagster", _check_dagster),
    ):
        yield name, *_tried(look, settings)


def _tried(look: Callable[[Settings], tuple[bool | None, str]], settings: Settings) -> tuple[bool | None, str]:
    from tokenomics_dagster.storage.publishing import PublishError
    from tokenomics_dagster.storage.records import WarehouseError

    try:
        return look(settings)
    except (ProviderError, SettingsError, Refused, PublishError, WarehouseError, OperationRefused) as error:
        return False, str(error)


def _check_schedules(settings: Settings) -> tuple[bool, str]:
    # Dagster's daemon starts schedules by the machine's clock.
    return timetable.outlook(settings, datetime.now(UTC))


def _check_dagster(_: Settings) -> tuple[bool | None, str]:
    home = named_home()
    if not home:
        return None, "DAGSTER_HOME is not set here: the instance of the UI and the daemon was not looked at"
    with dagster_instance() as instance:
        # A dagster.yaml that was cut off or emptied is one without these.
        limited = instance.get_concurrency_config().pool_config.default_pool_limit == 1
        if not (limited and instance.run_monitoring_enabled):
            return False, (
                f"the dagster.yaml of {home} has no `concurrency: pools: default_limit: 1` or no `run_monitoring: "
                "enabled: true`: two runs could ask one API at once; copy the project's over it"
            )
    return True, f"{home}, its runs wait for each other at each API"


def _check_finnhub(settings: Settings) -> tuple[bool, str]:
    with FinnhubResource.from_settings(settings) as finnhub:
        profile = finnhub.profile(_WELL_KNOWN)
    host = urlsplit(settings.environment.finnhub_base_url).hostname
    known = "answers" if profile is None else f"knows {_WELL_KNOWN}"
    return True, f"{host} {known}; paced at {settings.finnhub.calls_per_minute:g} calls/min"


def _check_trading(settings: Settings) -> tuple[bool, str]:
    with AlpacaResource.from_settings(settings) as alpaca:
        account, clock = alpaca.account(), alpaca.clock()
        # Without one of these answers no rebalance can begin.
        alpaca.holdings(), alpaca.orders(status="open"), alpaca.activities(clock.now)
    check_account(account, settings)
    market = "open" if clock.is_open else f"closed until {clock.next_open:%Y-%m-%d %H:%M} UTC"
    agrees = clock.is_open == (calendar.session_at(clock.now) is not None)
    found = f"{account_named(account.number, settings)}, {account.equity:,.2f} USD; "
    found += f"{clock.now:%Y-%m-%d %H:%M} UTC, market {market}"
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
    with closing(open_store(settings)) as store:
        store.check_writable()
        return True, f"{database_named(store)} can be read and written"


def status_tables(rooms: Sequence[Room] = ROOMS) -> Iterator[Table]:
    """Tables for a terminal: runs, assets, positions against targets."""
    settings, house = load_settings(), House(rooms)
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        now = alpaca.now()
        yield _where(store, alpaca, settings)
        halt = store.halted()
        if halt is not None:
            table = table_of("trading is halted", "since", "by", "why")
            table.add_row(new_york(halt.at), halt.by, halt.reason)
            yield table
        yield from _alerts(store)
        try:
            with dagster_instance() as instance:
                yield _runs_table(instance)
                yield from _failing_checks(instance, house)
        except OperationRefused as error:
            table = table_of("last runs")
            table.add_row(str(error))
            yield table
        yield from _undone_week(store, now, settings)
        yield _assets_table(store, now, house)
        yield from _failed_symbols(store, now, settings)
        yield _positions_table(store, alpaca)


def _where(store: "Warehouse", alpaca: AlpacaResource, settings: Settings) -> Table:
    table = table_of("looked at", "", "")
    table.show_header = False
    table.add_row("account", account_named(alpaca.account().number, settings))
    table.add_row("database", database_named(store))
    return table


def _alerts(store: "Warehouse") -> Iterator[Table]:
    now = datetime.now(UTC)  # alerts go by the machine's clock
    alerts = sorted(store.alerts().values(), key=lambda alert: alert.first_seen_at)
    if alerts:
        table = table_of("open problems", "what", "for", "seen", "what to do")
        for alert in alerts:
            table.add_row(alert.title, age(now - alert.first_seen_at), f"{alert.count:,} times", alert.action)
        yield table


def _undone_week(store: "Warehouse", now: datetime, settings: Settings) -> Iterator[Table]:
    """What of the running week's plan was not traded, if the week is not done by it."""
    week = week_state(store, calendar.week_of(now), settings.guards)
    if week.done or week.fulfilment is None:
        return
    again = "nothing tries again" if week.is_over(now) else "a later session tries again"
    title = f"the week of {week.monday} is not done: {week.fulfilment.untraded_pct:.1f} % was not traded; {again}"
    table = table_of(title, "reason", "USD", "names")
    for kind, (usd, names) in week.fulfilment.by_kind.items():
        table.add_row(kind, f"{usd:,.2f}", f"{names:,}")
    yield table


def _runs_table(instance: "dg.DagsterInstance", limit: int = 8) -> Table:
    table = table_of("last runs", "job", "state", "started (UTC)", "took", "run")
    for record in instance.get_run_records(limit=limit):
        run, start, end = record.dagster_run, record.start_time, record.end_time
        began = f"{datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M}" if start else ""
        took = f"{end - start:.0f} s" if start and end else ""
        table.add_row(run.job_name, run.status.value, began, took, run.run_id[:8])
    return table


def _failing_checks(instance: "dg.DagsterInstance", house: House) -> Iterator[Table]:
    """The checks whose newest evaluation failed."""
    table = table_of("failing checks", "check", "", "what was found")
    keys = sorted(key for asset in house.assets.values() for key in asset.check_keys)
    newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    for key in keys:
        record = newest.get(key)
        event = record.event.dagster_event if record is not None and record.event is not None else None
        if event is None or event.event_type_value != "ASSET_CHECK_EVALUATION":
            continue
        found = event.asset_check_evaluation_data
        if not found.passed:
            name = f"{key.asset_key.to_user_string()}.{key.name}"
            table.add_row(name, found.severity.value, " ".join((found.description or "").split()))
    if table.row_count:
        yield table


def _assets_table(store: "Warehouse", now: datetime, house: House) -> Table:
    table = table_of("assets", "asset", "age", "coverage")
    for asset in house.stored():
        described = _described(store, asset, house)
        if described is None:
            table.add_row(asset, "never", "")
        else:
            made_at, coverage = described
            table.add_row(asset, age(now - made_at), coverage)
    return table


def _described(store: "Warehouse", asset: str, house: House) -> tuple[datetime, str] | None:
    """When the asset was made, UTC, and what there is of it."""
    kept = house.kept.get(asset)
    if kept is not None and kept.coverage is not None:
        return kept.coverage(store)
    newest = store.history(asset, limit=1)
    if not newest:
        return None
    week = f", week of {newest[0].partition}" if newest[0].partition else ""
    return newest[0].as_of, f"{newest[0].row_count} rows{week}"


def _failed_symbols(store: "Warehouse", now: datetime, settings: Settings, limit: int = 20) -> Iterator[Table]:
    """Symbols that the last sweep failed and no repair has fetched since; for how long is told by the sweeps before."""
    from tokenomics_dagster.fundamentals.checks import check_financials
    from tokenomics_dagster.fundamentals.schema import Financials
    from tokenomics_dagster.universe.schema import Universe

    universe, sweeps = store.load_snapshot("universe", Universe), store.sweeps(limit=_SWEEPS)
    if universe is None or not sweeps:
        return
    facts = store.latest_facts("financials", Financials)
    findings = check_financials(facts, list(universe["symbol"]), sweeps, now, settings)
    failed = next(one for one in findings if one.name == "failing").tables["failed"].rows
    if failed:
        title = f"{len(failed):,} symbols have failed; ask again by `tokenomics repair --failed`"
        table = table_of(title, "symbol", "for", "since (UTC)", "last error")
        for symbol, days, since, error in failed[:limit]:
            table.add_row(symbol, f"{days:.1f} days", since, " ".join(error.split()))
        if len(failed) > limit:
            table.add_row(f"and {len(failed) - limit:,} more")
        yield table


def _positions_table(store: "Warehouse", alpaca: AlpacaResource, limit: int = 15) -> Table:
    from tokenomics_dagster.execution.report import report
    from tokenomics_dagster.portfolio.schema import TargetWeights

    account = alpaca.account()
    title = f"account {account.number}: equity {account.equity:,.2f} USD, cash {account.cash:,.2f} USD; largest drifts"
    table = table_of(title, "symbol", "value, USD", "weight", "target", "drift")
    newest = store.history("target_weights", limit=1)
    weights = store.load_snapshot("target_weights", TargetWeights, partition=newest[0].partition) if newest else None
    targets = {} if weights is None else dict(zip(weights["symbol"], weights["weight"], strict=True))
    holdings = alpaca.holdings()
    rows = report(targets, holdings.ours, holdings.investable(account.equity), (), holdings.disputed)
    rows = rows.reindex(rows["drift"].abs().sort_values(ascending=False).index)
    rows = rows[~rows["symbol"].isin(list(holdings.disputed))]
    for row in rows.head(limit).to_dict("records"):
        # What has no market may have no price, and without equity nothing is a share of it.
        value, weight, drift = (
            "" if math.isnan(row[column]) else f"{row[column]:{form}}"
            for column, form in (("value", ",.2f"), ("weight", ".2%"), ("drift", "+.2%"))
        )
        table.add_row(row["symbol"], value, weight, f"{row['target_weight']:.2%}", drift)
    for foreign in holdings.foreign:
        value = "unknown" if foreign.value is None else f"{foreign.value:,.2f}"
        table.add_row(foreign.symbol, value, f"not traded here: {foreign.asset_class}")
    for symbol, why in holdings.disputed.items():
        table.add_row(symbol, "", why)
    return table
