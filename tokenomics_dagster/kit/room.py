"""What a room says of itself, for those who must know of it: they read rooms, and name no asset.

One more room is one folder and one line in definitions.py. Its `ROOM` says what is made and when, how old it may
become, what to do when it fails, what people may ask for and what is measured; automation and operations follow.
Nothing is read while a room is defined: what depends on settings is a function of them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import dagster as dg

from tokenomics_dagster.kit.alerts import Problem
from tokenomics_dagster.kit.outcome import Outcome
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.storage.warehouse import Warehouse

T = TypeVar("T")

Samples = Iterator[tuple[str, float, tuple[str, ...]]]
"""Name of a metric, its value, the values of its labels."""


class AgeLimits(NamedTuple):
    """Older than `warn` somebody should look, older than `fail` the asset is stale."""

    warn: timedelta
    fail: timedelta


@dataclass(frozen=True, slots=True)
class Job:
    """Assets that are made together, in one run; `remedy` is what to do when the last one failed.

    `remedy_of_checks` is what to do about a check that failed in a run that did not fail, `{check}` being its name;
    by default the same. `reasons` are checks whose failure says why the job failed: then they are told, and it is not.
    `counts` says of a failed run whether its work counts all the same, so that nobody need hear of it. A job that
    `trades` refuses while trading is halted, of which the halt tells. One that is not `in_cycle` makes nothing that the
    week's portfolio rests on: the whole cycle at once goes without it. `done`: a first portfolio at this instant of the
    broker's clock does not need it any more.
    """

    name: str
    makes: Sequence[str]
    description: str
    remedy: str
    remedy_of_checks: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    reasons: Collection[str] = ()
    counts: Callable[["Warehouse", str, Settings], bool] | None = None
    trades: bool = False
    in_cycle: bool = True
    done: Callable[["Warehouse", datetime, Settings], bool] | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """How to find out how old an asset is, where that is not told by the snapshots that are stored of it.

    `made_at`: when it was made last, by the broker's clock. `first_made_at`: since when there is some, so that what is
    made of it could be. `coverage`: how old it is and what there is of it, for a person; None before the first time.
    `publishes`: it is not stored, but brings another asset's newest snapshot to programs outside.
    """

    made_at: Callable[["Warehouse", Settings], datetime | None] | None = None
    first_made_at: Callable[["Warehouse"], datetime | None] | None = None
    coverage: Callable[["Warehouse"], tuple[datetime, str] | None] | None = None
    publishes: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """A kind's newest table at an instant; `oldest` and `newest` are when its rows became known, UTC."""

    kind: str
    frame: "pd.DataFrame"
    oldest: datetime
    newest: datetime
    note: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A table that people ask for by the instant at which it was known.

    `schema` is the path of its pandera model; `shown` are the columns for a terminal, in the order of the rows by the
    columns of `order` (and whether ascending; as stored without). `known` reads it where it is not simply the asset's
    newest snapshot, the row of one symbol alone where one is named.
    """

    name: str
    asset: str
    schema: str
    shown: Sequence[str]
    order: Mapping[str, bool] = field(default_factory=dict)
    known: Callable[["Warehouse", datetime, str | None], Known | None] | None = None

    def at(self, store: "Warehouse", instant: datetime, symbol: str | None = None) -> Known | None:
        """The table as it was known then, or its row of one symbol; None when there was none. Raises WarehouseError."""
        if self.known is not None:
            return self.known(store, instant, symbol)
        found = store.load_stored(self.asset, imported(self.schema), Details, as_of=instant, symbol=symbol)
        if found is None:
            return None
        return Known(self.name, found.frame, found.as_of, found.as_of, f"snapshot {found.id}")


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a room tells Prometheus from the warehouse: labels and a text by the name of each metric, and their samples
    at an instant of this machine's clock. No label may name a symbol, an account or a person.
    """

    families: Mapping[str, tuple[tuple[str, ...], str]]
    samples: Callable[["Warehouse", datetime, Settings], Samples]


@dataclass(frozen=True, slots=True)
class Look:
    """A problem that only the room can see, by its key; not judged while `job` runs, or while the broker is away.

    While there is one it is told in place of the failed check `instead_of`.
    """

    key: str
    job: str
    instead_of: str
    find: Callable[["Warehouse", datetime, Settings], Problem | None]


class FailedSymbol(NamedTuple):
    """A symbol that could not be fetched; for how long, `since` in UTC, to the minute."""

    symbol: str
    days: float
    since: str
    error: str


@dataclass(frozen=True, slots=True)
class Repair:
    """How symbols are asked for again, of an asset with a partition for each: in a run of the asset's job.

    `symbols`: all that there should be; where that is none, `without` says why. `failed`: those that the last run could
    not fetch and nobody has since, whoever has failed for longest first. `made_at`: when the newest of each came, UTC.
    `config`: the asset's in that run, for these symbols or, of None, for all anew.
    """

    asset: str
    symbols: Callable[["Warehouse"], Sequence[str]]
    without: str
    failed: Callable[["Warehouse", datetime, Settings], Sequence[FailedSymbol]]
    made_at: Callable[["Warehouse"], Mapping[str, datetime]]
    config: Callable[[Sequence[str] | None], Mapping[str, Any]]


WhyNot = Callable[["Warehouse", datetime, Settings], str | None]
"""Why a schedule's tick at an instant of the broker's clock starts nothing, as far as what is stored tells it; None
where it starts its job, unless that is under way."""


def _nothing(_: Settings) -> Any:
    return ()


@dataclass(frozen=True, slots=True)
class Room:
    """`partitions`, `max_ages` and `kept` go by the names of assets, `remedies` by those of checks ("orders.traded").
    An age of None: it is made when a person asks for it, and never overdue. `why_not` goes by the names of schedules.

    `tier`: data that is asked for and judged, or money that is moved. `open_partitions`: whose runs nobody may delete
    at that instant of the broker's clock. `outcome`: what came of the room once every job of the cycle has run, by the
    broker's clock at their start.
    """

    name: str
    assets: Sequence[dg.AssetsDefinition]
    max_ages: Callable[[Settings], Mapping[str, AgeLimits | None]]
    tier: Literal["data", "money"] = "data"
    jobs: Sequence[Job] = ()
    partitions: Callable[[Settings], Mapping[str, dg.PartitionsDefinition]] = lambda _: {}
    schedules: Callable[[Settings], Sequence[dg.ScheduleDefinition]] = _nothing
    sensors: Callable[[Settings], Sequence[dg.SensorDefinition]] = _nothing
    why_not: Mapping[str, WhyNot] = field(default_factory=dict)
    kept: Mapping[str, Kept] = field(default_factory=dict)
    remedies: Mapping[str, str] = field(default_factory=dict)
    kinds: Sequence[Kind] = ()
    metrics: Sequence[Metrics] = ()
    looks: Sequence[Look] = ()
    open_partitions: Callable[["Warehouse", datetime], Collection[str]] | None = None
    repair: Repair | None = None
    outcome: Callable[["Warehouse", datetime], Outcome] | None = None


class House:
    """The rooms, in the order of the data's way, and what follows from all of them.

    Raises ValueError, naming the rooms, where two of them claim one name, say the same of an asset or a check, or where
    one says something of an asset, a check or a job that there is not.
    """

    def __init__(self, rooms: Iterable[Room]) -> None:
        self.rooms = tuple(rooms)
        _unique("name", ((room.name, room, room) for room in self.rooms))
        self.assets = _unique("asset", self._said(lambda room: [(_name(asset), asset) for asset in room.assets]))
        self.room_of = {_name(asset): room for room in self.rooms for asset in room.assets}
        self.jobs = _unique("job", self._said(lambda room: [(job.name, job) for job in room.jobs]))
        self.kinds = _unique("kind", self._said(lambda room: [(kind.name, kind) for kind in room.kinds]))
        looks = _unique("look", self._said(lambda room: [(look.key, look) for look in room.looks]))
        self.looks = list(looks.values())
        self.kept = _unique("kept of", self._said(lambda room: room.kept.items()))
        self.why_not = _unique("why_not of", self._said(lambda room: room.why_not.items()))
        self.remedies = _unique("remedy of", self._said(lambda room: room.remedies.items()))
        self.job_of = _unique(
            "job that makes", self._said(lambda room: [(asset, job.name) for job in room.jobs for asset in job.makes])
        )
        self.metrics = [metrics for room in self.rooms for metrics in room.metrics]
        self.families = _unique(
            "metric", self._said(lambda room: [one for metrics in room.metrics for one in metrics.families.items()])
        )
        checks = {check_name(key) for asset in self.assets.values() for key in asset.check_keys}
        for room in self.rooms:
            published = [kept.publishes for kept in room.kept.values() if kept.publishes]
            made = [asset for job in room.jobs for asset in job.makes]
            _require("asset", [*made, *room.kept, *published, *(kind.asset for kind in room.kinds)], self.assets, room)
            reasons = [check for job in room.jobs for check in job.reasons]
            _require("check", [*room.remedies, *reasons, *(look.instead_of for look in room.looks)], checks, room)
            _require("job", [look.job for look in room.looks], self.jobs, room)

    def max_ages(self, settings: Settings) -> dict[str, AgeLimits]:
        """How old each asset may become, by its name, but for what a person alone makes: there is no other of which
        nobody would hear that it is overdue."""
        limits = self._of_assets("max_ages of", lambda room: room.max_ages(settings))
        if unlimited := self.assets.keys() - limits.keys():
            raise ValueError(f"no room says how old {', '.join(sorted(unlimited))} may become: see its max_ages")
        return {asset: limit for asset, limit in limits.items() if limit is not None}

    def partitions(self, settings: Settings) -> dict[str, dg.PartitionsDefinition]:
        return self._of_assets("partitions of", lambda room: room.partitions(settings))

    def _of_assets(self, what: str, of: Callable[[Room], Mapping[str, T]]) -> dict[str, T]:
        """What the rooms say of assets."""
        said = [(room, of(room)) for room in self.rooms]
        for room, named in said:
            _require("asset", named, self.assets, room)
        return _unique(what, ((name, room, one) for room, named in said for name, one in named.items()))

    def _said(self, of: Callable[[Room], Iterable[tuple[str, T]]]) -> Iterator[tuple[str, Room, T]]:
        return ((name, room, one) for room in self.rooms for name, one in of(room))

    def stored(self) -> list[str]:
        """The assets that the warehouse keeps, in the order of the data's way."""
        return [asset for asset in self.assets if not self.kept.get(asset, Kept()).publishes]

    def made_at(self, asset: str, store: "Warehouse", settings: Settings) -> datetime | None:
        """When a stored asset was last made, by the broker's clock; None before the first time."""
        kept = self.kept.get(asset, Kept())
        if kept.made_at is not None:
            return kept.made_at(store, settings)
        newest = store.history(asset, limit=1)
        return newest[0].as_of if newest else None

    def open_partitions(self, store: "Warehouse", now: datetime) -> set[str]:
        found = (room.open_partitions for room in self.rooms if room.open_partitions is not None)
        return {key for open_partitions in found for key in open_partitions(store, now)}


def check_name(key: dg.AssetCheckKey) -> str:
    """By which rooms and people name a check: "orders.traded"."""
    return f"{key.asset_key.to_user_string()}.{key.name}"


def imported(path: str) -> Any:
    """What `package.module.Name` names; pandas and pandera are not imported before somebody needs a table."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def _name(asset: dg.AssetsDefinition) -> str:
    return asset.key.to_user_string()


def _unique(what: str, said: Iterable[tuple[str, Room, T]]) -> dict[str, T]:
    """By their names what the rooms have. Raises ValueError where there are two of a name."""
    found: dict[str, tuple[Room, T]] = {}
    for name, room, one in said:
        if name in found:
            whose = f"the rooms {found[name][0].name} and {room.name} both have"
            if found[name][0] is room:
                whose = f"the room {room.name} has twice"
            raise ValueError(f"{whose} the {what} {name}: rename one, or take it out")
        found[name] = room, one
    return {name: one for name, (_, one) in found.items()}


def _require(what: str, named: Iterable[str], there: Collection[str], room: Room) -> None:
    if unknown := sorted(set(named) - set(there)):
        raise ValueError(
            f"the room {room.name} says something of the {what} {', '.join(unknown)}, and no room has that: correct "
            "its room.py"
        )
