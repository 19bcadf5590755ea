"""What the warehouse gives back, row by row, and how it refuses. Pure, so that rules may know a ledger's row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple

from pydantic import ValidationError

from tokenomics_dagster.model.details import D, D_co
from tokenomics_dagster.model.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


DAMAGED = "they were damaged or changed by hand; restore a backup, or make the table anew"
"""How a sentence ends that says which stored values break their model."""


class WarehouseError(UserError):
    """The database cannot be read or written; the text says which, why and what to do, without its password."""


class SchemaVersionError(WarehouseError):
    """The database has the schema of another version of the code: `found`."""

    def __init__(self, message: str, found: int) -> None:
        super().__init__(message)
        self.found = found


class WarehouseBusy(WarehouseError):
    """Another process holds what only one may hold at a time."""


class Version(NamedTuple):
    """Which snapshot, without what belongs to it: a universe's details are 0.3 MB."""

    id: int
    asset: str
    partition: str
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """That a table was stored, and what was kept beside it; `partition` is "" for assets without partitions."""

    id: int
    asset: str
    partition: str
    as_of: datetime
    run_id: str
    row_count: int
    details: dict[str, Any]

    def details_as(self, model: type[D]) -> D:
        """What was kept beside the table, as its model reads it. Raises WarehouseError."""
        try:
            return model.model_validate(self.details)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise WarehouseError(
                f"the details of snapshot {self.id} of {self.asset} break {model.__name__}, first {where} "
                f"({first['msg']}): {DAMAGED}"
            ) from None


@dataclass(frozen=True, slots=True, eq=False)
class Made(Generic[D_co]):
    """A table with what belongs to it beside its rows, and the instant that both describe: what an asset returns."""

    frame: pd.DataFrame
    as_of: datetime
    details: D_co

    def __class_getitem__(cls, _details: Any) -> Any:
        """The class itself: Dagster reads annotations, and definitions must not import every model of details."""
        return cls


@dataclass(frozen=True, slots=True, eq=False)
class Stored(Made[D_co]):
    """One that was stored, as the warehouse gives it back: what an asset is given."""

    id: int
    run_id: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """One pass over the financials of the whole universe; finished_at is None while it runs or after it was killed."""

    id: int
    started_at: datetime
    fresh_since: datetime
    finished_at: datetime | None
    run_id: str
    requested: int
    failures: dict[str, str]


@dataclass(frozen=True, slots=True)
class LedgerOrder:
    """An order as we know it: written before its call and after each change. Amounts in USD and shares."""

    client_order_id: str
    account: str
    sleeve: str
    period: str
    plan_id: str
    week: date
    symbol: str
    side: Literal["buy", "sell"]
    attempt: int
    qty: Decimal | None
    notional: Decimal | None
    status: str
    broker_id: str | None
    filled_qty: Decimal
    filled_avg_price: Decimal | None
    note: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class FillRow:
    """An execution as the broker's account activities report it; `id` is the activity's. USD and shares."""

    id: str
    broker_order_id: str
    client_order_id: str | None
    account: str
    symbol: str
    side: str
    qty: Decimal
    price: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Halt:
    """Why nothing is traded, who decided it (a user's name, or the rule's), and when."""

    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's consent to the plan with exactly this hash."""

    plan_id: str
    plan_hash: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Adoption:
    """That a person let a sleeve have what the account holds of a symbol; `qty` are the shares of then, `asset_id` is
    the broker's id of the stock, which stays when the symbol changes; "" where it was not known."""

    account: str
    sleeve: str
    symbol: str
    asset_id: str
    qty: Decimal
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Owned:
    """What in an account is the strategies': the symbols that a sleeve has ever bought, under their names of then, each
    with the last time that one sent a buy that filled, and the newest adoption of each symbol."""

    bought: Mapping[str, datetime] = field(default_factory=dict)
    adopted: Mapping[str, Adoption] = field(default_factory=dict)

    @property
    def symbols(self) -> frozenset[str]:
        return frozenset({*self.bought, *self.adopted})


@dataclass(frozen=True, slots=True)
class Alert:
    """A problem that was seen `count` times, last at `seen_at`; told_at is None until somebody was told of it."""

    key: str
    title: str
    detail: str
    action: str
    link: str | None
    first_seen_at: datetime
    seen_at: datetime
    count: int
    told_at: datetime | None


@dataclass(frozen=True, slots=True)
class Backup:
    """A dump that was written and read back: it holds what was committed until `begun_at`."""

    begun_at: datetime
    bytes: int
    server_version: str


def fields_of(row: LedgerOrder | FillRow | Adoption | Alert) -> dict[str, Any]:
    """The row by its columns."""
    return {field: getattr(row, field) for field in row.__dataclass_fields__}
