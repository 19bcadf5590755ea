"""The tables of the warehouse, and how values and whole tables pass into them and back.

Tables of fixed columns are here; those of snapshots and facts have their columns from a pandera schema, and nowhere
else is there a definition. How older databases follow is in migrations.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd
import sqlalchemy as sa

from tokenomics_dagster.storage.records import DAMAGED, WarehouseError

if TYPE_CHECKING:
    import pandera.pandas as pa


class UtcDateTime(sa.TypeDecorator[datetime]):
    """Aware UTC instants with microseconds; SQLite has no time zones, so there they are stored as naive UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone; the warehouse holds UTC instants")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Money(sa.TypeDecorator[Decimal]):
    """Exact decimals, stored as text: SQLite would turn them into floats."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else format(value, "f")

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


METADATA = sa.MetaData()

SNAPSHOTS = sa.Table(
    "snapshots",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("asset", sa.Text, nullable=False),
    sa.Column("partition", sa.Text, nullable=False),  # "" for assets without partitions
    sa.Column("as_of", UtcDateTime, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("row_count", sa.Integer, nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Index("snapshots_by_asset", "asset", "partition", "as_of"),
    sa.Index("snapshots_by_age", "asset", "as_of", "id"),
)

SWEEPS = sa.Table(
    "sweeps",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("fresh_since", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("requested", sa.Integer, nullable=False),
    sa.Column("failures", sa.JSON, nullable=False),
)

ORDERS = sa.Table(
    "orders_ledger",
    METADATA,
    sa.Column("client_order_id", sa.Text, primary_key=True),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("sleeve", sa.Text, nullable=False),
    sa.Column("period", sa.Text, nullable=False),
    sa.Column("plan_id", sa.Text, nullable=False),
    sa.Column("week", sa.Date, nullable=False),
    sa.Column("symbol", sa.Text, nullable=False),
    sa.Column("side", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("qty", Money),
    sa.Column("notional", Money),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("broker_id", sa.Text),
    sa.Column("filled_qty", Money, nullable=False),
    sa.Column("filled_avg_price", Money),
    sa.Column("note", sa.Text),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Index("orders_by_week", "account", "week"),
    sa.Index("orders_by_period", "account", "sleeve", "period"),
)

FILLS = sa.Table(
    "fills",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("broker_order_id", sa.Text, nullable=False),
    sa.Column("client_order_id", sa.Text),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("symbol", sa.Text, nullable=False),
    sa.Column("side", sa.Text, nullable=False),
    sa.Column("qty", Money, nullable=False),
    sa.Column("price", Money, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index("fills_by_account", "account", "at"),
    sa.Index("fills_by_order", "account", "broker_order_id"),
)

EQUITY_MARKS = sa.Table(
    "equity_marks",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("account", sa.Text, nullable=False, index=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("equity", Money, nullable=False),
)

# What is wrong now, one row per problem; a row goes when its end was announced (alerts.py).
ALERTS = sa.Table(
    "alerts",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("link", sa.Text),
    sa.Column("first_seen_at", UtcDateTime, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("told_at", UtcDateTime),
)

# All text: what is stored is what was hashed, on every database, and can be checked even after it was damaged.
AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("week", sa.Text),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("previous_hash", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Index("audit_by_kind", "kind", "seq"),
    sa.Index("audit_by_week", "week", "seq"),
)

AUDIT_HEAD = sa.Table(
    "audit_head",
    METADATA,
    sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)

# One row for each dump of this database that was written and read back. Who makes dumps writes it, by SQL of his own
# (the chart's backup job does); the platform only reads.
BACKUPS = sa.Table(
    "backups",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("begun_at", UtcDateTime, nullable=False),  # it holds what was committed until then
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("server_version", sa.Text, nullable=False),  # older servers cannot take it
)

_SQL_TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "str": sa.Text,
    "string[python]": sa.Text,
    "string[pyarrow]": sa.Text,  # what pandas takes for texts where the extra [research] has brought pyarrow
    "float64": sa.Float,
    "int64": sa.BigInteger,
    "bool": sa.Boolean,
}


def of_schema(
    name: str, schema: type[pa.DataFrameModel], keys: Mapping[str, type[sa.types.TypeEngine[Any]]]
) -> sa.Table:
    """The table of a pandera schema, with `keys` in front."""
    fields = schema.to_schema().columns.items()
    columns = [sa.Column(key, sql_type, primary_key=True) for key, sql_type in keys.items()]
    columns += [
        sa.Column(field, _sql_type(str(c.dtype)), nullable=bool(c.nullable)) for field, c in fields if field not in keys
    ]
    return sa.Table(name, sa.MetaData(), *columns)


def _sql_type(dtype: str) -> type[sa.types.TypeEngine[Any]]:
    return UtcDateTime if dtype.startswith("datetime64") else _SQL_TYPES[dtype]


def rows_of(frame: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """Rows as plain Python values; missing values are None."""
    for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        yield {str(k): v.to_pydatetime() if isinstance(v, pd.Timestamp) else v for k, v in row.items()}


def columns_of(table: sa.Table, schema: type[pa.DataFrameModel]) -> list[sa.Column[Any]]:
    """What `frame_of` is given the rows of."""
    return [table.c[name] for name in schema.to_schema().columns]


def frame_of(rows: Sequence[sa.Row[Any]], schema: type[pa.DataFrameModel], *, part: bool = False) -> pd.DataFrame:
    """The rows as the schema has them; of a `part` of a table nothing is asked that holds of the whole of it alone.

    Raises WarehouseError where they break it.
    """
    from pandera.errors import SchemaErrors

    expected = copy(schema.to_schema())
    if part:
        expected.checks = []
    try:
        return expected.validate(pd.DataFrame(list(map(tuple, rows)), columns=list(expected.columns)), lazy=True)
    except SchemaErrors as error:
        first = error.failure_cases.iloc[0]
        raise WarehouseError(
            f"{len(error.failure_cases)} stored values break {schema.__name__}, first {first['column']} "
            f"({first['check']}): {DAMAGED}"
        ) from None
