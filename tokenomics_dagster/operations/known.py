"""What was known at an instant (`known`): the tables of the rooms that people may ask for, from append-only tables."""

from collections.abc import Collection, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.kit.room import House, Known
from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.operations.common import OperationRefused, new_york, open_records

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
        found = [table for kind in kinds if (table := house.kinds[kind].at(store, at, symbol)) is not None]
        if found and (symbol is None or any(not table.frame.empty for table in found)):
            return found
        what, address = " or ".join(kinds), store.address
        if symbol is None or all(house.kinds[kind].at(store, at) is None for kind in kinds):
            raise OperationRefused(f"no {what} was known at {new_york(at)} in {address}")
        raise OperationRefused(f"nothing was known of {symbol} at {new_york(at)} in {address}")


def as_shown(table: Known, house: House = HOUSE) -> "pd.DataFrame":
    """The columns that a person is shown of it, its rows in the order that its kind has for a person."""
    kind = house.kinds[table.kind]
    frame = table.frame
    if kind.order:
        frame = frame.sort_values(list(kind.order), ascending=list(kind.order.values()))
    return frame[list(kind.shown)]


def known_document(at: datetime, found: Sequence[Known]) -> dict[str, Any]:
    """For machines: all rows, instants in ISO 8601, what is missing as null."""
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
