"""What was known at an instant (`known`): universe, financials, scores and target weights, from append-only tables."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.operations.common import OperationRefused, age, new_york, open_records, table_of

if TYPE_CHECKING:
    import pandas as pd

    from tokenomics_dagster.storage.records import Snapshot
    from tokenomics_dagster.storage.warehouse import Warehouse

KINDS = ("universe", "financials", "scores", "weights")
_SHOWN = {
    "universe": ["rank", "symbol", "name", "exchange", "market_cap_musd", "price"],
    "financials": ["symbol", "known_at", "roe_ttm_pct", "debt_to_equity", "revenue_growth_yoy_pct", "reported_period"],
    "scores": ["symbol", "score", "roe_points", "debt_points", "growth_points", "reason"],
    "weights": ["rank", "symbol", "weight", "score", "market_cap_musd"],
}


@dataclass(frozen=True, slots=True)
class Known:
    """One kind's newest table at an instant; `oldest` and `newest` are when its rows became known, UTC."""

    kind: str
    frame: "pd.DataFrame"
    oldest: datetime
    newest: datetime
    note: str


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


def known(at: datetime, kinds: Sequence[str] = KINDS, symbol: str | None = None) -> list[Known]:
    """What was known at `at`, of one symbol or of all; raises OperationRefused when that is nothing."""
    with closing(open_records()) as store:
        found = [table for kind in kinds if (table := _known(store, kind, at)) is not None]
        address = store.address
    if not found:
        what = " or ".join(kinds)
        raise OperationRefused(f"no {what} was known at {new_york(at)} in {address}")
    if symbol is None:
        return found
    of_symbol = [_only(table, symbol) for table in found]
    if all(table.frame.empty for table in of_symbol):
        raise OperationRefused(f"nothing was known of {symbol} at {new_york(at)} in {address}")
    return of_symbol


def known_tables(at: datetime, found: Sequence[Known], limit: int = 10) -> Iterator[Table]:
    """How many rows there were and how old, then the first rows of each."""
    counts = table_of(f"known at {new_york(at)}", "what", "rows", "newest was", "oldest was", "")
    for one in found:
        counts.add_row(one.kind, f"{len(one.frame):,}", _ago(at, one.newest), _ago(at, one.oldest), one.note)
    yield counts
    for one in found:
        columns = _SHOWN[one.kind]
        rows = table_of(one.kind, *columns)
        for row in _ordered(one).head(limit)[columns].itertuples(index=False):
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


def _known(store: "Warehouse", kind: str, at: datetime) -> Known | None:
    from tokenomics_dagster.fundamentals.schema import Financials, Scores
    from tokenomics_dagster.portfolio.schema import TargetWeights
    from tokenomics_dagster.universe.schema import Universe

    if kind == "financials":
        facts = store.latest_facts("financials", Financials, as_of=at)
        if facts.empty:
            return None
        times = facts["known_at"]
        return Known(kind, facts, times.min().to_pydatetime(), times.max().to_pydatetime(), "newest of each symbol")
    if kind == "weights":
        decided = _last_decision(store, at)
        if decided is None:
            return None
        frame = store.load_snapshot("target_weights", TargetWeights, partition=decided.partition, as_of=at)
        note = f"week of {decided.partition}"
    else:
        schema = Universe if kind == "universe" else Scores
        frame = store.load_snapshot(kind, schema, as_of=at)
        note = f"snapshot {frame.attrs['snapshot_id']}" if frame is not None else ""
    if frame is None:
        return None
    return Known(kind, frame, frame.attrs["as_of"], frame.attrs["as_of"], note)


def _last_decision(store: "Warehouse", at: datetime) -> "Snapshot | None":
    """The newest weights that had been stored by then.

    A past week can be decided later, and its weights bear the instant of then: what was stored after something that is
    younger than `at` was not known at it.
    """
    weights, scores = store.history("target_weights"), store.history("scores")
    later = min((one.id for one in (*weights, *scores) if one.as_of > at), default=None)
    return next((one for one in weights if one.as_of <= at and (later is None or one.id < later)), None)


def _only(table: Known, symbol: str) -> Known:
    return Known(table.kind, table.frame[table.frame["symbol"] == symbol], table.oldest, table.newest, table.note)


def _ordered(table: Known) -> "pd.DataFrame":
    if table.kind == "scores":
        return table.frame.sort_values(["score", "symbol"], ascending=[False, True])
    return table.frame.sort_values("market_cap_musd", ascending=False) if table.kind == "financials" else table.frame


def _ago(at: datetime, then: datetime) -> str:
    return f"{new_york(then)}, {age(at - then)} before"


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, datetime):
        return new_york(value)
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
