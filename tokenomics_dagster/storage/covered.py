"""The tables that orders rest on, covered by the audit: the hash of each stored one is a record of its own.

A hash is taken of what a database gives back, not of how it stores it: it is the same on SQLite and on PostgreSQL.
Which columns it covers stands in its record, so that a column that is added later disturbs no hash of before.

What was stored before there were hashes is covered with the first table that is stored after, as it is then. Databases
that took their first hash before that was so hold some of which nothing can be said: only those that are older than all
that is covered, so that no order rests on them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from tokenomics_dagster.model.calendar import week_of
from tokenomics_dagster.model.canonical import canonical_json
from tokenomics_dagster.storage.audit import SNAPSHOT, AuditDiscrepancy
from tokenomics_dagster.storage.tables import AUDIT, SNAPSHOTS

COVERED = frozenset({"scores", "target_weights", "trade_plan"})
_KEYS = ("snapshot_id", "position")
_FIELDS = ("id", "asset", "partition", "as_of", "run_id", "row_count")
_ROWS = 1_000  # held in memory at once


def record_of(snapshot: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dict[str, Any]:
    """The payload that covers a snapshot (a row of `snapshots`, with its id) and its rows, in their order."""
    return {
        "asset": snapshot["asset"],
        "id": snapshot["id"],
        "rows": snapshot["row_count"],
        "columns": list(columns),
        "sha256": _hash(
            [_value(snapshot[field]) for field in _FIELDS],
            json.dumps(snapshot["details"]),
            columns,
            ([_value(row[column]) for column in columns] for row in rows),
        ),
    }


def of_before(connection: sa.Connection) -> list[tuple[dict[str, Any], date]]:
    """What covers each table that was stored before there were hashes, with its week; none once there is a hash."""
    if connection.scalar(sa.select(AUDIT.c.seq).where(AUDIT.c.kind == SNAPSHOT).limit(1)) is not None:
        return []
    found = {row["id"]: row for row in _stored(connection) if _has_week(row)}
    columns = {
        asset: [name for column in sa.inspect(connection).get_columns(asset) if (name := column["name"]) not in _KEYS]
        for asset in {row["asset"] for row in found.values()}
        if sa.inspect(connection).has_table(asset)
    }
    wanted = {
        number: (0, {"asset": asset, "id": number, "rows": row["row_count"], "columns": columns[asset]})
        for number, row in found.items()
        if (asset := row["asset"]) in columns
    }
    return [
        ({**wanted[number][1], "sha256": sha256}, week_covered(found[number]))
        for number, sha256 in sorted(_hashes(connection, found, wanted))
    ]


def week_covered(snapshot: Mapping[str, Any]) -> date:
    """The rebalance week that a snapshot belongs to: its partition's, else that of the instant it describes."""
    try:
        return date.fromisoformat(snapshot["partition"])
    except ValueError:
        return week_of(snapshot["as_of"])


def first_discrepancy(connection: sa.Connection) -> AuditDiscrepancy | None:
    """The first record whose snapshot is no longer what it was, else a snapshot that a record should tell of."""
    recorded: dict[int, tuple[int, dict[str, Any]]] = {}
    for seq, payload in _recorded(connection):
        number = payload["id"]
        if number in recorded:  # SQLite gives the number of a row that was deleted, if it was the last, to the next one
            earlier, before = recorded[number]
            what = f"the {before['asset']} of snapshot {number}, which was deleted: record {seq} tells of another one"
            return AuditDiscrepancy(earlier, f"tells of {what}")
        recorded[number] = (seq, payload)
    found = {row["id"]: row for row in _stored(connection)}
    hashes = dict(_hashes(connection, found, recorded))
    for number, (seq, payload) in recorded.items():
        what = f"the {payload['asset']} of snapshot {number}"
        if number not in found:
            return AuditDiscrepancy(seq, f"tells of {what}, which snapshots has no more: its row was deleted")
        if hashes.get(number) != payload["sha256"]:
            return AuditDiscrepancy(seq, f"tells of {what}, whose rows or details were changed since")
    first = next((found[number] for number in recorded), None)
    for number, row in found.items():
        if number not in recorded and not (first is None or _is_of_before(row, first)):
            return AuditDiscrepancy(None, f"snapshot {number} of {row['asset']} is stored, but no record tells of it")
    return None


def _is_of_before(row: Mapping[str, Any], first: Mapping[str, Any]) -> bool:
    """Whether the snapshot is older than the first one that is covered in all that makes one the newest of its kind."""
    older = _has_week(row) and row["id"] < first["id"] and row["as_of"] <= first["as_of"]
    return older and week_covered(row) <= week_covered(first)


def _has_week(row: Mapping[str, Any]) -> bool:
    """Unless it was damaged."""
    return isinstance(row["as_of"], datetime) and isinstance(row["partition"], str)


def uncovered(connection: sa.Connection) -> int:
    """How many of these tables no hash covers, for they were stored before: nothing can be said of them."""
    stored = sa.select(sa.func.count()).select_from(SNAPSHOTS).where(SNAPSHOTS.c.asset.in_(sorted(COVERED)))
    recorded = sa.select(sa.func.count()).select_from(AUDIT).where(AUDIT.c.kind == SNAPSHOT)
    return int(connection.scalar(stored) or 0) - int(connection.scalar(recorded) or 0)


def _recorded(connection: sa.Connection) -> Iterator[tuple[int, dict[str, Any]]]:
    query = sa.select(AUDIT.c.seq, AUDIT.c.payload).where(AUDIT.c.kind == SNAPSHOT).order_by(AUDIT.c.seq)
    for seq, payload in connection.execute(query):
        yield seq, json.loads(payload)


def _stored(connection: sa.Connection) -> Iterator[dict[str, Any]]:
    columns = [_untyped(SNAPSHOTS.c[field]) for field in _FIELDS]
    query = sa.select(*columns, sa.cast(SNAPSHOTS.c.details, sa.Text).label("details"))
    query = query.where(SNAPSHOTS.c.asset.in_(sorted(COVERED))).order_by(SNAPSHOTS.c.id)
    for row in connection.execute(query).mappings():
        yield {**row, "as_of": _instant(row["as_of"])}


def _hashes(
    connection: sa.Connection,
    stored: Mapping[int, Mapping[str, Any]],
    recorded: Mapping[int, tuple[int, dict[str, Any]]],
) -> Iterator[tuple[int, str]]:
    """The hash of each snapshot that is both stored and told of, by its id."""
    for asset in sorted(COVERED):
        numbers = [n for n, (_, payload) in recorded.items() if payload["asset"] == asset and n in stored]
        if not numbers or not sa.inspect(connection).has_table(asset):
            continue
        table = sa.Table(asset, sa.MetaData(), autoload_with=connection)
        names = list(table.c.keys())
        readers = [_reader(column.type) for column in table.c]
        query = sa.select(*(_untyped(column) for column in table.c)).order_by(table.c.snapshot_id, table.c.position)
        query = query.where(table.c.snapshot_id.between(min(numbers), max(numbers)))
        empty = set(numbers)
        with connection.execute(query.execution_options(yield_per=_ROWS)) as found:
            for number, group in groupby(found, key=itemgetter(names.index("snapshot_id"))):
                if number not in empty:
                    continue
                empty.discard(number)
                columns = recorded[number][1]["columns"]
                if not set(columns) <= set(names):
                    continue
                places = [names.index(column) for column in columns]
                picked = ([_value(readers[at](row[at])) for at in places] for row in group)
                yield number, _of_stored(stored[number], columns, picked)
        for number in empty:
            yield number, _of_stored(stored[number], recorded[number][1]["columns"], ())


def _of_stored(snapshot: Mapping[str, Any], columns: Sequence[str], rows: Iterable[list[Any]]) -> str:
    return _hash([_value(snapshot[field]) for field in _FIELDS], str(snapshot["details"]), columns, rows)


def _hash(fields: list[Any], details: str, columns: Sequence[str], rows: Iterable[list[Any]]) -> str:
    try:
        parsed = json.loads(details, parse_constant=str)  # SQLite keeps NaN, which is no JSON
    except ValueError:
        parsed = details
    digest = hashlib.sha256(canonical_json([fields, parsed, list(columns)]).encode())
    for row in rows:
        digest.update(canonical_json(row).encode())
    return digest.hexdigest()


def _untyped(column: sa.Column[Any]) -> sa.Label[Any]:
    """As the driver gives it: a damaged value must make another hash, not an error."""
    return sa.type_coerce(column, sa.types.NullType()).label(column.name)


def _reader(kind: sa.types.TypeEngine[Any]) -> Callable[[Any], Any]:
    if isinstance(kind, sa.DateTime):
        return _instant
    return _truth if isinstance(kind, sa.Boolean) else _same


def _instant(value: Any) -> Any:
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return value
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _truth(value: Any) -> Any:
    return bool(value) if value in (0, 1) else value


def _same(value: Any) -> Any:
    return value


def _value(value: Any) -> Any:
    """The same text before and after storing: SQLite keeps no -0.0, and no zone."""
    if isinstance(value, float):
        return repr(value + 0.0)
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
