"""What others need to know of the universe: when it is made, how old it may become, which symbols are partitions."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from tokenomics_dagster.kit.dagster_internals import backfills_under_way
from tokenomics_dagster.kit.outcome import Outcome, Stage, in_lines, kind_of
from tokenomics_dagster.kit.partitions import symbol_partitions
from tokenomics_dagster.kit.resources import WarehouseResource
from tokenomics_dagster.kit.room import AgeLimits, Job, Kept, Kind, Metrics, Room, Samples
from tokenomics_dagster.kit.runs import busy, in_flight
from tokenomics_dagster.kit.skew import CLOCK_SKEW, ahead_of_clock
from tokenomics_dagster.kit.timetable import longest_gap
from tokenomics_dagster.model import calendar
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.clock import broker_clock
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.universe.assets import listings, published_universe, universe
from tokenomics_dagster.universe.partitions import partition_changes

if TYPE_CHECKING:
    from tokenomics_dagster.storage.warehouse import Warehouse

_DAY = timedelta(days=1)
_GROUPS = {"mic": "on an exchange that is not followed", "type": "of a type that is not followed"}
"""How a person is told of reasons by their first word."""


def _is_there(store: "Warehouse", _now: datetime, _settings: Settings) -> bool:
    """One that is there is not made anew: a starter one would grow for an hour."""
    return bool(store.history("universe", limit=1))


UNIVERSE_REFRESH = Job(
    "universe_refresh",
    makes=("listings", "universe", "published_universe"),
    description="Monthly: which stocks exist, which are followed.",
    remedy="run universe_refresh again once the cause is gone: it goes on where it was",
    done=_is_there,
)


def _max_ages(settings: Settings) -> Mapping[str, AgeLimits]:
    """A schedule that fires more often than monthly starts nothing more often; one that fires less often allows for
    that."""
    month = max(31 * _DAY, longest_gap(settings.schedules.universe))
    return dict.fromkeys(UNIVERSE_REFRESH.makes, AgeLimits(month + _DAY, month + 4 * _DAY))


def _schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    @dg.schedule(
        name="universe",
        job_name=UNIVERSE_REFRESH.name,
        cron_schedule=settings.schedules.universe,
        execution_timezone=settings.schedules.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="The universe, once a month of New York.",
    )
    def universe_schedule(
        context: dg.ScheduleEvaluationContext, alpaca: AlpacaResource, warehouse: WarehouseResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        why = _made_already(warehouse.open(), broker_clock(alpaca).now, settings)
        yield dg.SkipReason(why) if why else busy(context.instance, UNIVERSE_REFRESH) or dg.RunRequest()

    return [universe_schedule, *([_growth(settings)] if settings.universe.begins_small else [])]


def _growth(settings: Settings) -> dg.ScheduleDefinition:
    """A starter universe must not wait for the next month."""
    minute, hour, *_ = settings.schedules.universe.split()

    @dg.schedule(
        name="universe_growth",
        job_name=UNIVERSE_REFRESH.name,
        cron_schedule=f"{minute} {hour} * * *",
        execution_timezone=settings.schedules.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"The night after a starter universe: all {settings.universe.size:,} stocks.",
    )
    def universe_growth(
        context: dg.ScheduleEvaluationContext, warehouse: WarehouseResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        if is_starter(warehouse.open()):
            yield busy(context.instance, UNIVERSE_REFRESH) or dg.RunRequest()
        else:
            yield dg.SkipReason("there is no starter universe that is to grow")

    return universe_growth


def _made_already(store: "Warehouse", now: datetime, _: Settings) -> str | None:
    month = _month(now)
    newest = store.history("universe", limit=1)
    if newest and (ahead := ahead_of_clock({"universe": newest[0].as_of}, now)):
        return ahead
    if newest and _month(newest[0].as_of) == month:
        return f"the universe of {month} was made at {newest[0].as_of:%Y-%m-%d %H:%M} UTC"
    return None


def _month(instant: datetime) -> str:
    return f"{(instant + CLOCK_SKEW).astimezone(calendar.NEW_YORK):%Y-%m}"


def _sensors(settings: Settings) -> list[dg.SensorDefinition]:
    @dg.sensor(
        minimum_interval_seconds=settings.schedules.sensors_every_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Symbols that enter the universe become partitions of `financials`; those that left it go, with "
        "their history kept, when nothing runs.",
    )
    def symbols_follow_universe(context: dg.SensorEvaluationContext, warehouse: WarehouseResource) -> dg.SensorResult:
        from tokenomics_dagster.universe.schema import Universe

        newest = warehouse.open().load_snapshot("universe", Universe)
        if newest is None:
            return dg.SensorResult(skip_reason="there is no universe yet")
        existing = context.instance.get_dynamic_partitions("symbols")
        runs = sorted(in_flight(context.instance).values()) + backfills_under_way(context.instance)
        changes = partition_changes(newest["symbol"], existing, in_flight=bool(runs))
        requests: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = [
            *([symbol_partitions.build_add_request(changes.add)] if changes.add else []),
            *([symbol_partitions.build_delete_request(changes.retire)] if changes.retire else []),
        ]
        if requests:
            context.log.info("%d symbols added: %s", len(changes.add), ", ".join(changes.add[:20]))
            context.log.info("%d symbols retired: %s", len(changes.retire), ", ".join(changes.retire[:20]))
            return dg.SensorResult(dynamic_partitions_requests=requests)
        if changes.waiting:
            return dg.SensorResult(
                skip_reason=f"{len(changes.waiting)} symbols have left the universe and go when run {runs[0]} has ended"
            )
        return dg.SensorResult(skip_reason=f"the partitions are the {len(newest)} symbols of the universe")

    return [symbols_follow_universe]


def _samples(store: "Warehouse", _now: datetime, _settings: Settings) -> Samples:
    from tokenomics_dagster.universe.schema import Universe

    newest = store.load_snapshot("universe", Universe)
    if newest is not None:
        yield "tokenomics_universe_symbols", float(len(newest)), ()


def companies(store: "Warehouse") -> dict[str, str]:
    """The names of the companies that are followed, by symbol, "" where none is known."""
    from tokenomics_dagster.universe.schema import Universe

    newest = store.load_snapshot("universe", Universe)
    return {} if newest is None else dict(zip(newest["symbol"], newest["name"].fillna(""), strict=True))


def is_starter(store: "Warehouse") -> bool:
    """Whether the newest universe is a starter one, which the next replaces."""
    from tokenomics_dagster.universe.schema import UniverseDetails

    newest = store.history("universe", limit=1)
    return bool(newest) and newest[0].details_as(UniverseDetails).is_starter


def _outcome(store: "Warehouse", _now: datetime) -> Outcome:
    from tokenomics_dagster.universe.schema import Universe, UniverseDetails

    newest = store.load_stored("universe", Universe, UniverseDetails)
    assert newest is not None
    symbols, left_out = list(newest.frame["symbol"]), newest.details.dropped
    dropped, listed = Counter(map(kind_of, left_out.values())), len(symbols) + len(left_out)
    return Outcome(
        {"universe": symbols, "listings": listed, "dropped": dict(dropped.most_common())},
        [Stage("listings", listed, ""), Stage("universe", len(symbols), _in_groups(dropped))],
    )


def _in_groups(dropped: Counter[str]) -> str:
    """Why listings are not followed, in lines. There are some twenty exchanges and types of securities: a line for all
    of either, with the largest of them."""
    groups: dict[str, Counter[str]] = {}
    for reason, count in dropped.items():
        first, _, which = reason.partition(" ")
        groups.setdefault(_GROUPS.get(first, reason), Counter())[which] += count
    remarks = {
        group: f" ({', '.join(f'{which} {count:,}' for which, count in of.most_common(3))}, ...)"
        for group, of in groups.items()
        if len(of) > 1
    }
    return in_lines(Counter({group: of.total() for group, of in groups.items()}), remarks)


ROOM = Room(
    "universe",
    assets=[listings, universe, published_universe],
    jobs=[UNIVERSE_REFRESH],
    max_ages=_max_ages,
    schedules=_schedules,
    why_not={"universe": _made_already},
    sensors=_sensors,
    kept={"published_universe": Kept(publishes="universe")},
    kinds=[
        Kind(
            "universe",
            asset="universe",
            schema="tokenomics_dagster.universe.schema.Universe",
            shown=("rank", "symbol", "name", "exchange", "market_cap_musd", "price"),
        )
    ],
    metrics=[Metrics({"tokenomics_universe_symbols": ((), "Stocks of the newest universe.")}, _samples)],
    outcome=_outcome,
)
