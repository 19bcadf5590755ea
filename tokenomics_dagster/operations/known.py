"""What was known at an instant (`known`): the tables of the rooms that people may ask for, from append-only tables."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.kit.room import House, Known
from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.operations.common import OperationRefused, age, new_york, open_records, table_of

if TYPE_CHECKING:
    import pandas as pd

HOUSE = House(ROOMS)


def instant(text: str) -> datetime:
    """An ISO 8601 instant with its zone, or a date: the end of that day in New York. ValueError for all else."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError(f"{text} has no time zone") from None
        return _utc(at)
    return _utc(datetime.combine(day, time.max, NEW_YORK))


def _utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{at} lies beyond the years 1 to 9999") from None


def known(at: datetime, kinds: Collection[str] = (), symbol: str | None = None, house: House = HOUSE) -> list[Known]:
    """What was known at `at` of the `kinds` (of all, by default), of one symbol or of all.

    Raises OperationRefused when that is nothing.
    """
    kinds = kinds or tuple(house.kinds)
    with closing(open_records()) as store:
        found = [table for kind in kinds if (table := house.kinds[kind].at(store, at)) is not None]
        address = store.address
    if not found:
        what = " or ".join(kinds)
        raise OperationRefused(f"no {what} was known at {new_york(at)} in {address}")
    if symbol is None:
        return found
    of_symbol = [replace(table, frame=table.frame[table.frame["symbol"] == symbol]) for table in found]
    if all(table.frame.empty for table in of_symbol):
        raise OperationRefused(f"nothing was known of {symbol} at {new_york(at)} in {address}")
    return of_symbol


def known_tables(at: datetime, found: Sequence[Known], limit: int = 10, house: House = HOUSE) -> Iterator[Table]:
    """How many rows there were and how old, then the first rows of each."""
    counts = table_of(f"known at {new_york(at)}", "what", "rows", "newest was", "oldest was", "")
    for one in found:
        counts.add_row(one.kind, f"{len(one.frame):,}", _ago(at, one.newest), _ago(at, one.oldest), one.note)
    yield counts
    for one in found:
        columns = list(house.kinds[one.kind].shown)
        rows = table_of(one.kind, *columns)
        for row in _ordered(one, house.kinds[one.kind].order).head(limit)[columns].itertuples(index=False):
            rows.add_row(*(_cell(value) for value in row))
        yield rows


def known_document(at: datetime, found: Sequence[Known]) -> dict[str, Any]:
    """The same for machines: all rows, instants in ISO 8601, what is missing as null."""
    import json

    return {
        "at": at.isoformat(),
        **{
            one.kind: {
                "newest": one.newest.isoformat(),
                "oldest": one.oldest.isoformat(),
                "note": one.note,
                "rows": json.loads(one.frame.to_json(orient="records", date_format="iso", double_precision=15)),
            }
            for one in found
        },
    }


def _ordered(table: Known, order: Mapping[str, bool]) -> "pd.DataFrame":
    return table.frame.sort_values(list(order), ascending=list(order.values())) if order else table.frame


def _ago(at: datetime, then: datetime) -> str:
    return f"{new_york(then)}, {age(at - then)} before"


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, datetime):
        return new_york(value)
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
