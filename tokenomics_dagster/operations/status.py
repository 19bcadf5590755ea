"""Whether each part works (`check`), and how things stand (`status`). Only looks: nothing is traded or stored."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.execution.fulfilment import Kind
from tokenomics_dagster.execution.guards import Refused, check_account
from tokenomics_dagster.execution.week import week_state
from tokenomics_dagster.fundamentals import timetable
from tokenomics_dagster.kit import alive
from tokenomics_dagster.kit.channels import channel_of, unknown_addresses
from tokenomics_dagster.kit.dagster_internals import BY_HAND
from tokenomics_dagster.kit.room import FailedSymbol, House, Room
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.trading import Foreign
from tokenomics_dagster.operations.common import (
    OperationRefused,
    account_named,
    dagster_instance,
    database_named,
    document_of,
    known,
    named_home,
    new_york,
    open_store,
)
from tokenomics_dagster.operations.settings_in_force import settings_in_force, settings_named
from tokenomics_dagster.portfolio.room import first_week
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.providers.finnhub.resource import FinnhubResource
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster.storage.records import Alert, Halt

if TYPE_CHECKING:
    import dagster as dg

    from tokenomics_dagster.storage.warehouse import Warehouse

_WELL_KNOWN = "AAPL"


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a part works (None: it is switched off), and what was found or what to do."""

    part: str
    works: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at: account and database, each named with where its address comes from."""

    account: str
    database: str


@dataclass(frozen=True, slots=True)
class OpenProblems:
    """The alerts that are open, the oldest first; `at` is the machine's clock, by which alerts go."""

    alerts: tuple[Alert, ...]
    at: datetime


DIED, UNSEEN = "DIED", "UNSEEN"
"""States of a run that Dagster has no word for: without a daemon nobody corrects what it recorded last."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of Dagster; `state` is Dagster's word, or DIED where that says that it runs and its process is gone, UNSEEN
    where nobody here can tell; `took_s` in seconds, None before its end; `does`: what its job does, or the assets that
    were chosen by hand."""

    job: str
    does: str
    state: str
    started_at: datetime | None
    took_s: float | None
    run_id: str


@dataclass(frozen=True, slots=True)
class LastRuns:
    """The newest first, at an instant by this machine's clock, by which Dagster dates them."""

    runs: tuple[Run, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class NoInstance:
    """Why the instance of Dagster cannot be looked at, one sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class FailingCheck:
    """A check whose newest evaluation failed; `severity` as Dagster names it."""

    asset: str
    name: str
    severity: str
    description: str


@dataclass(frozen=True, slots=True)
class FailingChecks:
    """By asset and name."""

    checks: tuple[FailingCheck, ...]


@dataclass(frozen=True, slots=True)
class UndoneWeek:
    """A week whose plan was not traded well enough; `untraded_pct` of what was planned in USD, `is_over`: nothing tries
    again. `by_kind`: USD and number of names not traded.
    """

    monday: date
    untraded_pct: Decimal
    is_over: bool
    by_kind: Mapping[Kind, tuple[Decimal, int]]


@dataclass(frozen=True, slots=True)
class StoredAsset:
    """When an asset was made, UTC (None: never), and what there is of it."""

    name: str
    made_at: datetime | None
    coverage: str


@dataclass(frozen=True, slots=True)
class Assets:
    """All that are stored, in the order of the rooms, at an instant by the broker's clock."""

    assets: tuple[StoredAsset, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class FailedSymbols:
    """What the last sweep could not fetch and nobody has since, whoever has failed for longest first."""

    symbols: tuple[FailedSymbol, ...]


@dataclass(frozen=True, slots=True)
class PositionDrift:
    """`value` in USD, weights and drift (target less weight) as fractions of equity; None: it has none."""

    symbol: str
    value: float | None
    weight: float | None
    target_weight: float
    drift: float | None


@dataclass(frozen=True, slots=True)
class Positions:
    """What an account holds against its newest targets, the largest drift first; `equity` and `cash` in USD.

    `disputed`: why a symbol is left alone, is missing though the books have it, or has figures in doubt, a sentence
    each.
    """

    account: str
    equity: Decimal
    cash: Decimal
    drifts: tuple[PositionDrift, ...]
    foreign: tuple[Foreign, ...]
    disputed: Mapping[str, str]


Part = (
    Subject
    | Halt
    | OpenProblems
    | LastRuns
    | NoInstance
    | FailingChecks
    | UndoneWeek
    | Assets
    | FailedSymbols
    | Positions
)


def check_all() -> Iterator[Finding]:
    """Tries every part with a harmless call; nothing is traded or stored."""
    try:
        settings, found = load_settings(), settings_in_force()
    except SettingsError as error:
        yield Finding("settings", False, str(error))
        return
    yield Finding("settings", True, settings_named(found))
    for name, look in (
        ("Finnhub", _check_finnhub),
        ("Alpaca trading", _check_trading),
        ("Alpaca data", _check_data),
        ("Redis", _check_redis),
        ("database", _check_database),
        ("alerts", _check_alerts),
        ("schedules", _check_schedules),
        ("Dagster", _check_dagster),
    ):
        yield Finding(name, *_tried(look, settings))


def _tried(look: Callable[[Settings], tuple[bool | None, str]], settings: Settings) -> tuple[bool | None, str]:
    from tokenomics_dagster.storage.publishing import PublishError
    from tokenomics_dagster.storage.records import WarehouseError

    try:
        return look(settings)
    except (ProviderError, SettingsError, Refused, PublishError, WarehouseError, OperationRefused) as error:
        return False, str(error)


def _check_alerts(settings: Settings) -> tuple[bool | None, str]:
    """Whether there are addresses that can be used; nothing is sent."""
    channel = channel_of(settings)
    unknown = [str(place) for place in unknown_addresses(channel)]
    if unknown:
        return False, (
            f"apprise can use no address as number {' and '.join(unknown)} of ALERT_URLS is written: see at "
            "https://appriseit.com/services what its service wants"
        )
    switch = "a dead-man's switch is set" if settings.environment.healthcheck_url else "no dead-man's switch is set"
    places = ["ALERT_WEBHOOK_URL"] if channel.webhook is not None else []
    places += [f"{len(channel.addresses)} of ALERT_URLS"] if channel.addresses else []
    if not places:
        return None, f"no address is set: problems and summaries are told in the log alone; {switch}"
    return True, f"told at {' and '.join(places)} (not called now); {switch}"


def _check_schedules(settings: Settings) -> tuple[bool, str]:
    # Dagster's daemon starts schedules by the machine's clock.
    return timetable.outlook(settings, datetime.now(UTC))


def _check_dagster(_: Settings) -> tuple[bool | None, str]:
    home = named_home()
    if not home:
        return None, "DAGSTER_HOME is not set here: the instance of the UI and the daemon was not looked at"
    with dagster_instance() as instance:
        # A dagster.yaml that was cut off or emptied is one without these.
        dead = _dead(instance)
        limited = instance.get_concurrency_config().pool_config.default_pool_limit == 1
        if not (limited and instance.run_monitoring_enabled):
            return False, (
                f"the dagster.yaml of {home} has no `concurrency: pools: default_limit: 1` or no `run_monitoring: "
                "enabled: true`: two runs could ask one API at once; copy the project's over it"
            )
    return True, f"{home}, its runs wait for each other at each API{dead}"


def _dead(instance: "dg.DagsterInstance") -> str:
    found = [run for one in alive.dead(instance) if (run := instance.get_run_by_id(one)) and not run.is_finished]
    if not found:
        return ""
    named = ", ".join(f"{run.run_id[:8]} of {run.job_name}" for run in found)
    return (
        f"; recorded as running, but their processes are gone: {named}; the daemon's sensor dead_runs ends them, "
        "and so does the next run that begins"
    )


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
    market = "open" if clock.is_open else f"closed until {new_york(clock.next_open)}"
    agrees = clock.is_open == (calendar.session_at(clock.now) is not None)
    found = f"{account_named(account.number, settings)}, {account.equity:,.2f} USD; "
    found += f"{new_york(clock.now)}, market {market}"
    return agrees, found if agrees else f"{found}, but the calendar says the opposite: nothing would be traded"


def _check_data(settings: Settings) -> tuple[bool, str]:
    with AlpacaResource.from_settings(settings) as alpaca:
        snapshots = alpaca.snapshots([_WELL_KNOWN])
    if _WELL_KNOWN not in snapshots:
        return True, f"feed {settings.alpaca.data_feed} answers, without {_WELL_KNOWN}"
    snapshot = snapshots[_WELL_KNOWN]
    traded = new_york(snapshot.price_at) if snapshot.price_at else "an unknown time"
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
        begun = settings.rebalancing.first_week
        if (first := first_week(store, begun)) < begun:
            return False, (
                f"{database_named(store)} has decisions from the week of {first} on, and the UI shows none before "
                f"{begun}: set rebalancing.first_week to {first}, and restart the code server"
            )
        return True, f"{database_named(store)} can be read and written"


def status(rooms: Sequence[Room] = ROOMS) -> Iterator[Part]:
    """How things stand, part by part, each as soon as it is known."""
    settings, house = load_settings(), House(rooms)
    with AlpacaResource.from_settings(settings) as alpaca, closing(open_store(settings)) as store:
        now = alpaca.now()
        yield Subject(account_named(alpaca.account().number, settings), database_named(store))
        halt = store.halted()
        if halt is not None:
            yield halt
        alerts = tuple(sorted(store.alerts().values(), key=lambda alert: alert.first_seen_at))
        if alerts:
            yield OpenProblems(alerts, datetime.now(UTC))
        try:
            with dagster_instance() as instance:
                yield _last_runs(instance, house)
                yield from _failing_checks(instance, house)
        except OperationRefused as error:
            yield NoInstance(str(error))
        yield from undone_week(store, now, settings)
        yield Assets(tuple(_stored(store, asset, house) for asset in house.stored()), now)
        for room in rooms:
            if room.repair is not None and (failed := tuple(room.repair.failed(store, now, settings))):
                yield FailedSymbols(failed)
        yield positions(store, alpaca, settings)


def status_document(parts: Iterable[Part]) -> dict[str, Any]:
    """For machines: each part by its name (`last_runs`), those without anything to tell missing."""
    return {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(part).__name__).lower(): document_of(part) for part in parts}


def undone_week(store: "Warehouse", now: datetime, settings: Settings) -> Iterator[UndoneWeek]:
    """What of the running week's plan was not traded, if the week is not done by it."""
    week = week_state(store, calendar.week_of(now), settings.guards)
    if not week.done and week.fulfilment is not None:
        yield UndoneWeek(week.monday, week.fulfilment.untraded_pct, week.is_over(now), week.fulfilment.by_kind)


def _last_runs(instance: "dg.DagsterInstance", house: House, limit: int = 8) -> LastRuns:
    runs, jobs = [], house.jobs
    dead, unseen = alive.dead(instance), alive.unseen(instance)
    for record in instance.get_run_records(limit=limit):
        run, start, end = record.dagster_run, record.start_time, record.end_time
        began = datetime.fromtimestamp(start, UTC) if start else None
        took = end - start if start and end else None
        if run.job_name in jobs:
            job, does = run.job_name, _in_short(jobs[run.job_name].description)
        else:
            chosen = ", ".join(sorted(key.to_user_string() for key in run.asset_selection or ()))
            job, does = "by hand" if run.job_name == BY_HAND else run.job_name, chosen
        state = run.status.value
        if not run.is_finished:
            state = DIED if run.run_id in dead else UNSEEN if run.run_id in unseen else state
        runs.append(Run(job, does, state, began, took, run.run_id))
    return LastRuns(tuple(runs), datetime.now(UTC))


def _in_short(description: str) -> str:
    """The first sentence, without how often: that is the schedule's."""
    sentence = description.partition(". ")[0].rstrip(".")
    return sentence.partition(": ")[2] or sentence


def _failing_checks(instance: "dg.DagsterInstance", house: House) -> Iterator[FailingChecks]:
    """The checks whose newest evaluation failed, if there are any."""
    failing = []
    keys = sorted(key for asset in house.assets.values() for key in asset.check_keys)
    newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    for key in keys:
        record = newest.get(key)
        event = record.event.dagster_event if record is not None and record.event is not None else None
        if event is None or event.event_type_value != "ASSET_CHECK_EVALUATION":
            continue
        found = event.asset_check_evaluation_data
        if not found.passed:
            asset = key.asset_key.to_user_string()
            failing.append(FailingCheck(asset, key.name, found.severity.value, found.description or ""))
    if failing:
        yield FailingChecks(tuple(failing))


def _stored(store: "Warehouse", asset: str, house: House) -> StoredAsset:
    kept = house.kept.get(asset)
    if kept is not None and kept.coverage is not None:
        found = kept.coverage(store)
        return StoredAsset(asset, None, "") if found is None else StoredAsset(asset, *found)
    newest = store.history(asset, limit=1)
    if not newest:
        return StoredAsset(asset, None, "")
    week = f", week of {newest[0].partition}" if newest[0].partition else ""
    return StoredAsset(asset, newest[0].as_of, f"{newest[0].row_count:,} rows{week}")


def positions(store: "Warehouse", alpaca: AlpacaResource, settings: Settings) -> Positions:
    from tokenomics_dagster.execution.report import report
    from tokenomics_dagster.operations.at_broker import seen_at

    account = alpaca.account()
    seen = seen_at(store, alpaca, account.number, settings, alpaca.clock().now)
    holdings, apart = seen.holdings, {**seen.holdings.disputed, **seen.gone}
    rows = report(seen.targets, holdings.ours, holdings.investable(account), (), holdings.disputed)
    rows = rows.reindex(rows["drift"].abs().sort_values(ascending=False).index)
    rows = rows[~rows["symbol"].isin(list(apart))]
    drifts = tuple(
        PositionDrift(
            row["symbol"], known(row["value"]), known(row["weight"]), row["target_weight"], known(row["drift"])
        )
        for row in rows.to_dict("records")
    )
    return Positions(account.number, account.equity, account.cash, drifts, holdings.foreign, {**apart, **seen.doubts})
