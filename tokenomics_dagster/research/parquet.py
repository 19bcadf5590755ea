"""A Parquet file as columns of numpy, held against its table in schema.py; what the columns mean stays out.

A column that is missing or of another kind is refused here; values are judged by who reads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenomics_dagster.kit.tables import Table
from tokenomics_dagster.model.extra import require
from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.panel import Bools

if TYPE_CHECKING:
    import pyarrow as pa

_DAY_MS = 86_400_000
_FIRST, _LAST = np.datetime64("1900-01-01"), np.datetime64("2200-01-01")
"""Days outside are slips: a calendar could not tell their sessions."""


class File:
    """The Parquet file at `path`, whose columns are those of `table`.

    Raises ExperimentError where it cannot be read, is empty, lacks a column or has one of another kind.
    """

    def __init__(self, path: Path, table: type[Table]) -> None:
        self.path = path
        self._state = _state(path)
        texts = [name for name, kind in _kinds(table).items() if kind == "text"]
        self._file = opened(path, [name for name in texts if name in opened(path).schema_arrow.names])
        self.rows: int = self._file.metadata.num_rows
        self._groups: int = self._file.metadata.num_row_groups
        self._schema = self._file.schema_arrow
        if self.rows == 0:
            raise ExperimentError(f"{path} has no rows: write the columns of {table.__name__} into it")
        if len(self._schema.names) != len(set(self._schema.names)):
            twice = sorted({name for name in self._schema.names if self._schema.names.count(name) > 1})
            raise ExperimentError(f"{path} has more than one column of the name {_listed(twice)}: keep the right one")
        self.columns = self._checked(table)
        self.others = sorted(set(self._schema.names) - set(self.columns))

    def _checked(self, table: type[Table]) -> tuple[str, ...]:
        there = set(self._schema.names)
        needed = {name: column.required for name, column in table.to_schema().columns.items()}
        missing = [name for name, required in needed.items() if required and name not in there]
        if missing:
            raise ExperimentError(
                f"{self.path} lacks {_listed(missing)}; it has {_listed(sorted(there))}: see {table.__name__} in "
                "docs/evidence.md"
            )
        wrong = [
            f"{name} is {self._schema.field(name).type}, not {wanted}"
            for name, wanted in _kinds(table).items()
            if name in there and not _fits(self._schema.field(name).type, wanted)
        ]
        if wrong:
            raise ExperimentError(f"{self.path} has columns of other kinds: {'; '.join(wrong)}")
        return tuple(name for name in needed if name in there)

    def _chunks(self, name: str) -> Iterator[pa.Array]:
        import pyarrow as pa

        for group in range(self._groups):
            try:
                column = self._file.read_row_group(group, columns=[name]).column(0)
            except (OSError, pa.ArrowException) as error:
                raise _unreadable(self.path, error) from None
            yield from column.chunks

    def numbers(self, name: str) -> Iterator[NDArray[Any]]:
        """The column in pieces, in the order of the rows; a missing number is NaN, a missing truth none."""
        import pyarrow as pa

        for chunk in self._chunks(name):
            if pa.types.is_decimal(chunk.type):
                chunk = chunk.cast(pa.float64())
            elif pa.types.is_boolean(chunk.type):
                chunk = chunk.fill_null(False)
            yield chunk.to_numpy(zero_copy_only=False)

    def days(self, name: str) -> NDArray[np.int64]:
        """(rows,) days since 1970. Raises ExperimentError for missing days, hours within a day and absurd years."""
        import pyarrow as pa

        found, at = np.empty(self.rows, np.int64), 0
        for chunk in self._chunks(name):
            if chunk.null_count:
                first = at + int(np.flatnonzero(chunk.is_null().to_numpy(zero_copy_only=False))[0])
                missing = self._missing(name)
                raise ExperimentError(f"{self.path}: {missing:,} rows have no {name}, the first is row {first + 1:,}")
            if pa.types.is_date32(chunk.type):
                days = chunk.cast(pa.int32()).to_numpy()
            else:
                stamps = chunk.cast(pa.timestamp("ms"), safe=False)
                self._refuse(_finer(chunk, stamps), at, f"has a {name} with an hour")
                milliseconds = stamps.cast(pa.int64()).to_numpy()
                days = milliseconds // _DAY_MS
                self._refuse(days * _DAY_MS != milliseconds, at, f"has a {name} with an hour")
            absurd = (days < _FIRST.astype(int)) | (days >= _LAST.astype(int))
            self._refuse(absurd, at, f"has a {name} that is not between {_FIRST} and {_LAST}")
            found[at : at + len(days)] = days
            at += len(days)
        return found

    def instants(self, name: str) -> NDArray[np.datetime64]:
        """(rows,) datetime64[ns], UTC. Raises ExperimentError for missing ones."""
        import pyarrow as pa

        found, at = np.empty(self.rows, "datetime64[ns]"), 0
        for chunk in self._chunks(name):
            self._refuse(chunk.is_null().to_numpy(zero_copy_only=False), at, f"has no {name}")
            found[at : at + len(chunk)] = chunk.cast(pa.timestamp("ns")).to_numpy(zero_copy_only=False)
            at += len(chunk)
        return found

    def texts(self, name: str) -> tuple[NDArray[np.int32], list[str]]:
        """(rows,) numbers of the words, -1 where one is missing, and the words."""
        import pyarrow as pa

        numbers: dict[str, int] = {}
        found, at = np.full(self.rows, -1, np.int32), 0
        for chunk in self._chunks(name):
            coded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
            words = [word if isinstance(word, str) else "" for word in coded.dictionary.to_pylist()]
            known = np.array([numbers.setdefault(word, len(numbers)) for word in words] + [-1], np.int32)
            codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            found[at : at + len(codes)] = known[codes]
            at += len(codes)
        return found, list(numbers)

    def hash(self) -> str:
        """SHA-256 of the file, asked for when all of it is read. Raises ExperimentError where it was replaced or
        written to since it was opened: results would stand under the hash of other data."""
        try:
            with self.path.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise ExperimentError(f"{self.path} cannot be read any more: {error.strerror}") from None
        if _state(self.path) != self._state:
            raise ExperimentError(f"{self.path} changed while it was read: run it again when nobody writes it")
        return found

    def _missing(self, name: str) -> int:
        return sum(chunk.null_count for chunk in self._chunks(name))

    def _refuse(self, bad: Bools, offset: int, what: str) -> None:
        if bad.any():
            row = offset + int(bad.argmax()) + 1
            raise ExperimentError(f"{self.path}: row {row:,} {what} (counted from 1): correct the file")


def opened(path: Path, texts: list[str] | None = None) -> Any:
    """The pyarrow.parquet.ParquetFile; `texts` are read as numbers of words. Raises ExperimentError."""
    require("pyarrow", extra="research", what="reading Parquet files")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, read_dictionary=texts)
    except FileNotFoundError:
        raise ExperimentError(f"there is no file {path}: paths are read from the experiment's folder") from None
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def _state(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from the one that takes its place; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _finer(stamps: pa.Array, milliseconds: pa.Array) -> Bools:
    """Where a stamp says more than its milliseconds do."""
    if stamps.type == milliseconds.type or not str(stamps.type).startswith(("timestamp[us", "timestamp[ns")):
        return np.zeros(len(stamps), np.bool_)
    unit = 1_000 if stamps.type.unit == "us" else 1_000_000
    return np.asarray(stamps.to_numpy(zero_copy_only=False).astype(np.int64) % unit != 0)


def _unreadable(path: Path, error: Exception) -> ExperimentError:
    return ExperimentError(f"{path} cannot be read as a Parquet file: {' '.join(str(error).split())}")


def _kinds(table: type[Table]) -> dict[str, str]:
    """What a column of the table is in a file."""
    kinds = {
        "datetime64[ns]": "day",
        "datetime64[us, UTC]": "instant",
        "float64": "number",
        "bool": "truth",
        "boolean": "truth",
    }
    return {name: kinds.get(str(column.dtype), "text") for name, column in table.to_schema().columns.items()}


def _fits(arrow: pa.DataType, wanted: str) -> bool:
    from pyarrow import types

    if wanted == "day":
        return bool(types.is_date(arrow) or (types.is_timestamp(arrow) and arrow.tz is None))
    if wanted == "instant":
        return bool(types.is_timestamp(arrow) and arrow.tz is not None)
    if wanted == "truth":
        return bool(types.is_boolean(arrow))
    if wanted == "number":
        return bool(types.is_floating(arrow) or types.is_integer(arrow) or types.is_decimal(arrow))
    held = arrow.value_type if types.is_dictionary(arrow) else arrow
    return bool(types.is_string(held) or types.is_large_string(held))


def _listed(names: list[str]) -> str:
    return ", ".join(names) if names else "no columns"
