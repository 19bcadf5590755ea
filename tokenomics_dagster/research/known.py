"""What was known at a close: which names could be chosen, and the newest figures of each. Choosing stays out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time

import numpy as np
from numpy.typing import NDArray

from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.research.panel import Bools, Days, Floats, Fundamentals, Ints, Panel

CLOSE = time(16)
"""New York: what came later is not known at the session's decision. On half days, too (convention C7)."""


def close_of(day: date) -> datetime:
    """The instant at which that day's decision is made; aware, New York."""
    return datetime.combine(day, CLOSE, NEW_YORK)


def closes(days: Days) -> NDArray[np.datetime64]:
    """(D,) datetime64[ns] UTC of `close_of` each day."""
    instants = [int(close_of(day).timestamp()) for day in days.astype("datetime64[D]").tolist()]
    return np.array(instants, dtype="datetime64[s]").astype("datetime64[ns]")


def priced(panel: Panel, row: int) -> Bools:
    """(N,) where a name can be traded at that close and has a market cap: convention C3."""
    there = (panel.price[row] > 0) & (panel.market_cap[row] > 0) & np.isfinite(panel.market_cap[row])
    return there if panel.halted is None else there & ~panel.halted[row]


def universe(panel: Panel, row: int, size: int) -> Bools:
    """(N,) the names that could be chosen at that close: the `size` largest by market cap of those that can be traded
    and are not in quarantine, ties by symbol. A cap in quarantine takes nobody's place."""
    there = priced(panel, row)
    if panel.barred is not None:
        there &= ~panel.barred[row]
    return largest(panel.market_cap[row], there, size)


def largest(caps: Floats, there: Bools, size: int) -> Bools:
    """(N,) the `size` largest of `there`; among equal caps those that come first."""
    columns = np.flatnonzero(there)
    if columns.size <= size:
        return there
    of = caps[columns]
    least = np.partition(of, columns.size - size)[columns.size - size]
    above, equal = of > least, np.flatnonzero(of == least)
    above[equal[: size - int(above.sum())]] = True
    chosen = np.zeros_like(there)
    chosen[columns[above]] = True
    return chosen


def latest(
    fundamentals: Fundamentals, symbols: Sequence[str], instants: NDArray[np.datetime64]
) -> Iterator[tuple[Ints, int]]:
    """For each instant, increasing: (N,) the row of `fundamentals` that counts for each symbol, -1 where there is none;
    and how many rows were known.

    Of complete snapshots only the newest counts, of single filings the last of each symbol, and neither when it is
    older than `max_age_days`. `symbols` increase.
    """
    known = np.searchsorted(fundamentals.known_at, instants, side="right")
    oldest = instants - np.timedelta64(int(fundamentals.max_age_days * 86_400), "s")
    find = _Columns(symbols)
    if fundamentals.snapshots:
        yield from _newest(fundamentals, find, known, oldest)
        return
    column = find(fundamentals.symbol)
    last, done = np.full(len(symbols), -1), 0
    for end, since in zip(known, oldest, strict=True):
        rows = np.arange(done, end)[column[done:end] >= 0]
        last[column[rows]] = rows  # of a repeated column the last assignment holds
        done = end
        old = (last >= 0) & (fundamentals.known_at[last] < since)
        yield np.where(old, -1, last), int(end)


def _newest(
    fundamentals: Fundamentals, find: _Columns, known: Ints, oldest: NDArray[np.datetime64]
) -> Iterator[tuple[Ints, int]]:
    for end, since in zip(known, oldest, strict=True):
        rows = np.full(len(find.symbols), -1)
        if end and fundamentals.known_at[end - 1] >= since:
            start = int(np.searchsorted(fundamentals.known_at, fundamentals.known_at[end - 1]))
            column = find(fundamentals.symbol[start:end])
            rows[column[column >= 0]] = np.arange(start, end)[column >= 0]
        yield rows, int(end)


class _Columns:
    """Columns by symbol, -1 for a stranger. One snapshot lists what the one before did: 1,500 symbols are compared in
    a hundredth of the time in which they are found."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbols = np.asarray(symbols, dtype=np.str_)
        self._of: NDArray[np.str_] = np.array([], dtype=np.str_)
        self._are: Ints = np.array([], dtype=np.int64)

    def __call__(self, wanted: NDArray[np.str_]) -> Ints:
        if not np.array_equal(self._of, wanted):
            at = np.minimum(np.searchsorted(self.symbols, wanted), max(len(self.symbols) - 1, 0))
            self._of, self._are = wanted, np.where(self.symbols[at] == wanted, at, -1)
        return self._are
