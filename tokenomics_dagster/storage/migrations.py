"""The versions of the warehouse's schema, and the steps from each to the next.

A step changes the tables that are there; what is missing is made as the code wants it now, by `create_missing` or when
it is first used. When and under which lock this is done, and who may, is database.py's. A step is never edited once
it was released: databases that have taken it exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from tokenomics_dagster.model.errors import UserError

if TYPE_CHECKING:
    from alembic.operations import Operations


class SchemaError(UserError):
    """The database is none that this code has made; the text says why and what to do."""


class Step(NamedTuple):
    """What a person is told of it, and what it does to the tables that it finds."""

    what: str
    apply: Callable[[Operations, frozenset[str]], None]


def _industry(op: Operations, tables: frozenset[str]) -> None:
    for table in ("profiles", "universe"):
        if table in tables:
            op.add_column(table, sa.Column("industry", sa.Text))


def _reported_period(op: Operations, tables: frozenset[str]) -> None:
    for table in ("financials", "scores"):
        if table in tables:
            op.add_column(table, sa.Column("reported_period", sa.Text))


def _sleeve_and_period(op: Operations, tables: frozenset[str]) -> None:
    """All orders so far were of one strategy, whose periods are weeks."""
    if _OURS not in tables:
        return
    op.add_column(_OURS, sa.Column("sleeve", sa.Text, nullable=False, server_default="fundamentals"))
    op.add_column(_OURS, sa.Column("period", sa.Text, nullable=False, server_default=""))
    orders = sa.table(_OURS, sa.column("week", sa.Date), sa.column("period", sa.Text))
    # As the code writes a date, not as each database casts it.
    for week in op.get_bind().execute(sa.select(orders.c.week).distinct()).scalars().all():
        op.execute(orders.update().where(orders.c.week == week).values(period=week.isoformat()))
    # Only the rows of before need defaults: a new one that lacks its sleeve is refused, as by a new database.
    with op.batch_alter_table(_OURS) as orders_ledger:
        orders_ledger.alter_column("sleeve", server_default=None)
        orders_ledger.alter_column("period", server_default=None)
    op.create_index("orders_by_period", _OURS, ["account", "sleeve", "period"])


def _indexes(op: Operations, tables: frozenset[str]) -> None:
    if _ALSO_DAGSTERS in tables:
        op.create_index("snapshots_by_age", _ALSO_DAGSTERS, ["asset", "as_of", "id"])
    if "fills" in tables:
        op.create_index("fills_by_order", "fills", ["account", "broker_order_id"])


# From version 1, which databases had before versions were recorded, to 2, and so on.
STEPS = (
    Step("industry of each stock, problems that were alerted", _industry),
    Step("the period that each stock's figures are of", _reported_period),
    Step("the sleeve and the period of each order", _sleeve_and_period),
    Step(
        "indexes by which the newest table and an order's fills are found after years, the backups that were made",
        _indexes,
    ),
)
LATEST = 1 + len(STEPS)

metadata = sa.MetaData()
_version = sa.Table(
    "schema_version",
    metadata,
    sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, nullable=False),
)
_OURS = "orders_ledger"
_ALSO_DAGSTERS = "snapshots"  # Dagster's own storage has a table of this name


def version_of(connection: sa.Connection) -> int | None:
    """The version of the database's schema; None while it is empty. Raises SchemaError when it cannot be told."""
    # One query: between two, another process may have made them all.
    tables = frozenset(sa.inspect(connection).get_table_names())
    if _version.name in tables:
        version = connection.scalar(sa.select(_version.c.version))
        if version is None:
            raise SchemaError(f"its table {_version.name} is empty: it was changed by hand; restore a backup")
        return int(version)
    if _OURS in tables:
        return 1
    if _ALSO_DAGSTERS in tables:
        raise SchemaError(
            "it holds another program's tables, Dagster's perhaps: give the warehouse a database of its own; one "
            "server can hold both"
        )
    return None


def upgrade(connection: sa.Connection, create_missing: Callable[[sa.Connection], None]) -> list[str]:
    """Brings the database to LATEST within the connection's transaction; returns what the steps did.

    Only one process at a time may be here, and the database must not be newer than LATEST.
    """
    found = version_of(connection)
    if found == LATEST:
        return []
    steps = STEPS[found - 1 :] if found else ()
    if steps:
        from alembic.operations import Operations
        from alembic.runtime.migration import MigrationContext

        op = Operations(MigrationContext.configure(connection))
        tables = frozenset(sa.inspect(connection).get_table_names())
        for step in steps:
            step.apply(op, tables)
    create_missing(connection)
    metadata.create_all(connection)
    connection.execute(sa.delete(_version))
    connection.execute(sa.insert(_version).values(id=1, version=LATEST))
    return [step.what for step in steps]
