"""What a room says of itself, for those who must know of it: they read rooms, and name no asset.

One more room is one folder and one line in definitions.py. Its `ROOM` says what is made and when, how old it may
become, what to do when it fails, what people may ask for and what is measured; automation and operations follow.
Nothing is read while a room is defined: what depends on settings is a function of them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg

from tokenomics_dagster.kit.alerts import Problem
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.storage.warehouse import Warehouse

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
    `trades` refuses while trading is halted, of which the halt tells.
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
    newest snapshot.
    """

    name: str
    asset: str
    schema: str
    shown: Sequence[str]
    order: Mapping[str, bool] = field(default_factory=dict)
    known: Callable[["Warehouse", datetime], Known | None] | None = None

    def at(self, store: "Warehouse", instant: datetime) -> Known | None:
        """The table as it was known then; None when there was none. Raises WarehouseError."""
        if self.known is not None:
            return self.known(store, instant)
        found = store.load_stored(self.asset, imported(self.schema), Details, as_of=instant)
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


def _nothing(_: Settings) -> Any:
    return ()


@dataclass(frozen=True, slots=True)
class Room:
    """`partitions`, `max_ages` and `kept` go by the names of assets, `remedies` by those of checks ("orders.traded").

    `open_partitions`: whose runs nobody may delete at that instant of the broker's clock.
    """

    name: str
    assets: Sequence[dg.AssetsDefinition]
    max_ages: Callable[[Settings], Mapping[str, AgeLimits]]
    jobs: Sequence[Job] = ()
    partitions: Callable[[Settings], Mapping[str, dg.PartitionsDefinition]] = lambda _: {}
    schedules: Callable[[Settings], Sequence[dg.ScheduleDefinition]] = _nothing
    sensors: Callable[[Settings], Sequence[dg.SensorDefinition]] = _nothing
    kept: Mapping[str, Kept] = field(default_factory=dict)
    remedies: Mapping[str, str] = field(default_factory=dict)
    kinds: Sequence[Kind] = ()
    metrics: Sequence[Metrics] = ()
    looks: Sequence[Look] = ()
    open_partitions: Callable[["Warehouse", datetime], Collection[str]] | None = None


class House:
    """The rooms, in the order of the data's way, and what follows from all of them.

    Raises ValueError where two rooms claim one name, or a room says something of an asset that none makes.
    """

    def __init__(self, rooms: Iterable[Room]) -> None:
        self.rooms = tuple(rooms)
        self.assets = _unique("asset", ((_name(asset), asset) for room in self.rooms for asset in room.assets))
        self.jobs = _unique("job", ((job.name, job) for room in self.rooms for job in room.jobs))
        self.kinds = _unique("kind", ((kind.name, kind) for room in self.rooms for kind in room.kinds))
        self.kept = {asset: kept for room in self.rooms for asset, kept in room.kept.items()}
        self.remedies = {check: text for room in self.rooms for check, text in room.remedies.items()}
        self.looks = [look for room in self.rooms for look in room.looks]
        self.metrics = [metrics for room in self.rooms for metrics in room.metrics]
        self.job_of = {asset: job.name for job in self.jobs.values() for asset in job.makes}
        _require_made({**self.job_of, **self.kept, **{kind.asset: "" for kind in self.kinds.values()}}, self.assets)

    def max_ages(self, settings: Settings) -> dict[str, AgeLimits]:
        """How old each asset may become, by its name: there is none of which nobody would hear that it is overdue."""
        limits = {asset: limit for room in self.rooms for asset, limit in room.max_ages(settings).items()}
        _require_made(limits, self.assets)
        if unlimited := self.assets.keys() - limits.keys():
            raise ValueError(f"no room says how old {', '.join(sorted(unlimited))} may become: see its max_ages")
        return limits

    def partitions(self, settings: Settings) -> dict[str, dg.PartitionsDefinition]:
        found = {asset: one for room in self.rooms for asset, one in room.partitions(settings).items()}
        _require_made(found, self.assets)
        return found

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


def imported(path: str) -> Any:
    """What `package.module.Name` names; pandas and pandera are not imported before somebody needs a table."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def _name(asset: dg.AssetsDefinition) -> str:
    return asset.key.to_user_string()


def _unique(what: str, named: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, one in named:
        if name in found:
            raise ValueError(f"two rooms have the {what} {name}: rename one")
        found[name] = one
    return found


def _require_made(named: Iterable[str], assets: Collection[str]) -> None:
    if unknown := sorted(set(named) - set(assets)):
        raise ValueError(f"no room makes {', '.join(unknown)}, of which one says something: correct its room.py")
