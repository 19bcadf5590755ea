"""The lake: market data as Parquet files in one folder, read by many while one writes. What is fetched, and what is
believed of it, is the rooms'.

    daily_bars/2026/2026-08.parquet    the bars of the sessions of a month, in the order of date, symbol, known_at

A file is replaced as a whole, by a rename: a reader sees the one before or the one after, and a writer that is killed
leaves the one before. In meaning it only grows: a bar that is told otherwise later is one more row, with its own
`known_at`, and the older row stays beside it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenomics_dagster.model.errors import UserError
from tokenomics_dagster.model.extra import require
from tokenomics_dagster.storage import private

if TYPE_CHECKING:
    import pyarrow as pa

_KEY, _VALUES = ("date", "symbol"), ("open", "high", "low", "close", "volume")
_ORDER = [(name, "ascending") for name in (*_KEY, "known_at")]
_NAMED = 5  # of what is wrong


class LakeError(UserError):
    """The lake cannot be read or written; the text says which file, why and what to do."""


@dataclass(frozen=True, slots=True)
class Added:
    """What came of adding bars: how many are `new`, and those that were known otherwise, by symbol and session."""

    new: int
    corrected: tuple[tuple[str, date], ...]


@dataclass(frozen=True, slots=True)
class Known:
    """The first and the last session of a symbol, and how many there are between them, both included."""

    first: date
    last: date
    sessions: int


class Lake:
    """A folder of Parquet files. Safe for several threads and processes; on a network's folder as far as it has locks.

    Raises MissingExtra where pyarrow is not installed; all methods raise LakeError.
    """

    def __init__(self, folder: Path) -> None:
        require("pyarrow", extra="research", what="the lake of market data")
        self.folder = folder.absolute()
        self._bars = self.folder / "daily_bars"

    def writable(self) -> bool:
        """Whether bars could be added; makes the folder where there is none."""
        try:
            private.make_folder(self._bars)
        except OSError:
            return False
        return os.access(self._bars, os.W_OK | os.X_OK)

    def bars(
        self,
        first: date | None = None,
        last: date | None = None,
        *,
        symbols: Collection[str] | None = None,
        as_of: datetime | None = None,
    ) -> pa.Table:
        """One row per session and symbol, in the order of date and symbol: what is known today, or was known `as_of`.

        Columns: `date` (date32), `symbol` (string), `open`, `high`, `low`, `close` (float64, USD as traded: no split
        and no dividend is taken into account), `volume` (float64, shares), `known_at` (timestamp[us, UTC]). `first` and
        `last` are sessions, both included. A history that was fetched today is known since today: `as_of` tells what
        this platform knew, not what the market did.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        found = []
        for path in self._files(first, last):
            table = _read(path)
            wanted = [pc.field("date") >= first] if first is not None else []
            wanted += [pc.field("date") <= last] if last is not None else []
            wanted += [pc.field("symbol").isin(list(symbols))] if symbols is not None else []
            wanted += [pc.field("known_at") <= pa.scalar(as_of, pa.timestamp("us", "UTC"))] if as_of is not None else []
            for condition in wanted:
                table = table.filter(condition)
            found.append(_newest(table))
        return pa.concat_tables(found) if found else _schema().empty_table()

    def add_bars(self, bars: pa.Table | Mapping[str, Sequence[Any]]) -> Added:
        """Adds what is not known yet; a bar that is as it was known already changes nothing.

        Month by month, the oldest first: after a kill the newest session of each symbol tells where to go on. Raises
        LakeError for a value that is missing or no finite number, and for a bar of which two different states are
        known since one instant; nothing of its month is added then.
        """
        table = _typed(bars)
        new, corrected = 0, list[tuple[str, date]]()
        with self._writing():
            for path, month in _by_month(self._bars, table):
                before = _read(path) if path.exists() else _schema().empty_table()
                merged, again = _merged(before, month)
                if merged.num_rows == before.num_rows:
                    continue
                _replace(path, merged)
                corrected += zip(again["symbol"].to_pylist(), again["date"].to_pylist(), strict=True)
                new += merged.num_rows - before.num_rows - again.num_rows
        return Added(new, tuple(sorted(corrected)))

    def known(self) -> dict[str, Known]:
        """What there is of each symbol."""
        import pyarrow as pa

        found = [_read(path, _KEY) for path in self._files()]
        if not found:
            return {}
        grouped = pa.concat_tables(found).group_by("symbol")
        rows = grouped.aggregate([("date", "min"), ("date", "max"), ("date", "count_distinct")]).to_pylist()
        return {row["symbol"]: Known(row["date_min"], row["date_max"], row["date_count_distinct"]) for row in rows}

    def sessions(self) -> list[date]:
        """The sessions of which there is any bar, in their order."""
        import pyarrow.compute as pc

        return [day for path in self._files() for day in sorted(pc.unique(_read(path, ("date",))["date"]).to_pylist())]

    def _files(self, first: date | None = None, last: date | None = None) -> list[Path]:
        """The files of the months from `first` to `last`."""
        paths = sorted(self._bars.glob("[0-9][0-9][0-9][0-9]/[0-9][0-9][0-9][0-9]-[0-9][0-9].parquet"))
        since, until = first and f"{first:%Y-%m}", last and f"{last:%Y-%m}"
        return [path for path in paths if (not since or path.stem >= since) and (not until or path.stem <= until)]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time; the lock goes with its process. Whoever has it removes what killed ones left behind."""
        try:
            private.make_folder(self._bars)
            lock = private.opener(self._bars / ".lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise _unwritable(self._bars, error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self._bars.glob("*/.*.tmp"):
                left.unlink(missing_ok=True)
            yield
        except OSError as error:
            raise _unwritable(self._bars, error) from None
        finally:
            os.close(lock)


def _schema() -> pa.Schema:
    import pyarrow as pa

    keys, known_at = (("date", pa.date32()), ("symbol", pa.string())), ("known_at", pa.timestamp("us", "UTC"))
    values = [(name, pa.float64()) for name in _VALUES]
    return pa.schema([pa.field(*one, nullable=False) for one in (*keys, *values, known_at)])


def _typed(bars: pa.Table | Mapping[str, Sequence[Any]]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    schema = _schema()
    given = set(bars.column_names if isinstance(bars, pa.Table) else bars)
    if wrong := given ^ set(schema.names):
        raise LakeError(
            f"bars have the columns {', '.join(schema.names)}; missing or not known: {', '.join(sorted(wrong))}"
        )
    try:
        table = bars.select(schema.names).cast(schema) if isinstance(bars, pa.Table) else pa.table(bars, schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError) as error:
        raise LakeError(f"bars cannot be read as date, text, numbers and UTC instants: {_line(error)}") from None
    for name in schema.names:
        if table[name].null_count:
            raise LakeError(f"{table[name].null_count} of {table.num_rows} bars have no {name}: leave them out")
    for name in _VALUES:
        if not pc.all(pc.is_finite(table[name]), min_count=0).as_py():
            raise LakeError(f"the {name} of a bar is no finite number: leave it out")
    return table


def _by_month(folder: Path, table: pa.Table) -> Iterator[tuple[Path, pa.Table]]:
    import pyarrow.compute as pc

    months = pc.strftime(table["date"], format="%Y-%m")
    for month in sorted(pc.unique(months).to_pylist()):
        yield folder / month[:4] / f"{month}.parquet", table.filter(pc.equal(months, month))


def _merged(before: pa.Table, month: pa.Table) -> tuple[pa.Table, pa.Table]:
    """All states in their order, without those that are as the state before them; and those of `month` that are not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    came = [pa.array([is_new] * table.num_rows, pa.bool_()) for is_new, table in ((False, before), (True, month))]
    both = pa.concat_tables([before, month]).append_column("came", pa.chunked_array(came, pa.bool_()))
    table = both.sort_by(_ORDER).combine_chunks()  # a stable sort: what came stands behind what is as old
    again = _as_before(table, *_KEY)
    repeated = pc.and_(again, _as_before(table, *_VALUES))
    contradicting = pc.and_(again, pc.and_not(_as_before(table, "known_at"), repeated))
    if contradicted := table.filter(contradicting).slice(0, _NAMED).to_pylist():
        named = ", ".join(f"{row['symbol']} on {row['date']}" for row in contradicted)
        raise LakeError(f"two different bars are told as known since one instant: {named}; ask for them again")
    corrected = table.filter(pc.and_(pc.and_(again, table["came"]), pc.invert(repeated)))
    return table.filter(pc.invert(repeated)).drop_columns("came"), corrected


def _as_before(table: pa.Table, *columns: str) -> pa.Array:
    """Of each row whether it has the same values as the one before it; the first has none before it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    first = pa.array([False] * min(1, table.num_rows), pa.bool_())
    same = pa.array([True] * max(table.num_rows - 1, 0), pa.bool_())
    for name in columns:
        same = pc.and_(same, pc.equal(table[name].slice(1), table[name].slice(0, len(same))).combine_chunks())
    return pa.concat_arrays([first, same])


def _newest(table: pa.Table) -> pa.Table:
    """Of each session and symbol the state that is known last."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not table.num_rows:
        return table
    again = _as_before(table.combine_chunks(), *_KEY)
    return table.filter(pc.invert(pa.concat_arrays([again.slice(1), pa.array([False])])))


def _read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """By one handle: a file that is replaced meanwhile is still read to its end."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = _schema().names if columns is None else list(columns)
    try:
        with path.open("rb") as file, pq.ParquetFile(file) as parquet:
            found = parquet.read(columns=wanted)
            return found.select(wanted).cast(pa.schema([_schema().field(name) for name in wanted]))
    except (OSError, pa.ArrowException, KeyError) as error:
        raise LakeError(
            f"{path} cannot be read ({_line(error)}): restore it, or remove it and ask for its month again (run config "
            "ops.daily_bars.config.since of daily_bars_refresh)"
        ) from None


def _replace(path: Path, table: pa.Table) -> None:
    """Writes beside the file, and takes its place once all is on the disk."""
    import pyarrow.parquet as pq

    private.make_folder(path.parent)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(beside, "wb", opener=private.opener) as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself must outlive a loss of power
    finally:
        os.close(folder)


def _unwritable(path: Path, error: OSError) -> LakeError:
    return LakeError(
        f"the lake cannot be written at {error.filename or path} ({error.strerror or error}): make room or let it be "
        "written, or name another folder in TOKENOMICS_LAKE"
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
