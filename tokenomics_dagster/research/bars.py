"""From the lake's daily bars, and what share counts were known when, to a panel. Where both lie stays out.

Bars are as traded. A move as in a split is one where a share count that became known since says so; its factor is the
simple ratio next to that of the share counts. That is a fact of its day, looked up later; nothing is decided by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tokenomics_dagster.model.calendar import NEW_YORK
from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.inputs import returns_of
from tokenomics_dagster.research.panel import Days, Floats, Ints, Panel
from tokenomics_dagster.research.quarantine import Doubts, Reason, judged

if TYPE_CHECKING:
    import pyarrow as pa

_LIKE_A_SPLIT = 1.4
"""A smaller move, of a 5:4 split, is not told from one of the market."""
_FACTORS = np.array([1.5, 2.5, *range(2, 51), 100.0])
_FACTORS = np.concatenate((_FACTORS, 1 / _FACTORS))
_NEAR = 0.25
"""Of price and share count: the market moves on that day, too."""
_KNOWN_WITHIN = np.timedelta64(100, "D")
"""A share count that became known later tells of other things."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Share counts by the instant they were known at, in the order of both: known_at datetime64[ns] UTC, the symbol,
    million shares (NaN: nothing was known, or not in USD)."""

    known_at: NDArray[np.datetime64]
    symbol: NDArray[np.str_]
    millions: Floats


@dataclass(frozen=True, slots=True)
class Names:
    exchange: Mapping[str, str]
    industry: Mapping[str, str]


def panel_of(bars: pa.Table, shares: Shares, names: Names, *, quarantine: bool, universe_size: int) -> Panel:
    """The panel of bars (columns date, symbol, open, close, volume): market cap is close x the shares known by then.

    Raises ExperimentError where there are none.
    """
    if bars.num_rows == 0:
        raise ExperimentError("the lake has no bars of these days: materialize daily_bars first")
    dates, symbols, cells = _axes(bars)
    shape = len(dates), len(symbols)
    doubts = Doubts(dates, symbols, np.zeros(shape, np.uint16))
    grids = {}
    for name in ("open", "close", "volume"):
        grids[name] = np.full(shape, np.nan)
        grids[name].reshape(-1)[cells] = bars[name].to_numpy()
    impossible = np.flatnonzero(grids["close"].reshape(-1) <= 0)
    doubts.found(impossible, Reason.PRICE, "close", grids["close"].reshape(-1)[impossible])
    for grid in grids.values():
        grid.reshape(-1)[impossible] = np.nan
    known = _known_shares(shares, symbols, closes(dates))
    before = _last_close(grids["close"])
    split = _splits(grids["close"] / before, shares, known, doubts)
    change = (grids["close"] * split / before - 1) * 100
    return judged(
        Panel(
            dates=dates,
            symbols=symbols,
            price=grids["close"],
            returns=returns_of(grids["close"], change, grids["volume"], doubts),
            market_cap=grids["close"] * known,
            volume=grids["volume"],
            open=grids["open"],
            split=split,
            exchange={symbol: names.exchange[symbol] for symbol in symbols if symbol in names.exchange},
            industry={symbol: names.industry[symbol] for symbol in symbols if symbol in names.industry},
            warnings=("Bars of the lake tell no dividends: returns are price returns.",),
            data_hash=_hash(dates, symbols, grids, known),
        ),
        doubts,
        quarantine=quarantine,
        universe_size=universe_size,
    )


def closes(dates: Days) -> NDArray[np.datetime64]:
    """16:00 in New York of each day, datetime64[ns] UTC."""
    days: list[date] = dates.tolist()
    instants = [datetime.combine(day, time(16), NEW_YORK).astimezone(UTC).replace(tzinfo=None) for day in days]
    return np.array(instants, "datetime64[ns]")


def _axes(bars: pa.Table) -> tuple[Days, tuple[str, ...], Ints]:
    """Sessions, symbols and the cell of each row."""
    import pyarrow as pa

    dates, rows = np.unique(bars["date"].cast(pa.int32()).to_numpy(), return_inverse=True)
    coded = bars["symbol"].combine_chunks().dictionary_encode()
    words = np.array(coded.dictionary.to_pylist())
    symbols, place = np.unique(words, return_inverse=True)
    columns = place[coded.indices.to_numpy()]
    return dates.astype("datetime64[D]"), tuple(symbols.tolist()), rows * len(symbols) + columns


def _known_shares(shares: Shares, symbols: tuple[str, ...], at: NDArray[np.datetime64]) -> Floats:
    """(T, N) million shares: the newest known at each close; NaN before anything was."""
    grid = np.full((len(at), len(symbols)), np.nan)
    column_of = {symbol: column for column, symbol in enumerate(symbols)}
    since = np.searchsorted(at, shares.known_at)
    for row, symbol, millions in zip(since.tolist(), shares.symbol.tolist(), shares.millions.tolist(), strict=True):
        column = column_of.get(symbol)
        if column is not None:
            grid[row:, column] = millions
    return grid


def _last_close(close: Floats) -> Floats:
    """Of each cell the close of the row before it, however long ago; NaN of a first row."""
    last, before = np.full(close.shape[1], np.nan), np.empty_like(close)
    for row, today in enumerate(close):
        before[row] = last
        last = np.where(np.isfinite(today), today, last)
    return before


def _splits(moved: Floats, shares: Shares, known: Floats, doubts: Doubts) -> Floats:
    """(T, N) new shares for one old one; what may be a split and is not known to be one or none is in doubt."""
    split = np.ones(moved.shape)
    instants = closes(doubts.dates)
    for row, column in zip(*np.nonzero((moved > _LIKE_A_SPLIT) | (moved < 1 / _LIKE_A_SPLIT)), strict=True):
        symbol, at = doubts.symbols[column], instants[row]
        later = (shares.symbol == symbol) & (shares.known_at > at) & (shares.known_at <= at + _KNOWN_WITHIN)
        counts = shares.millions[later & np.isfinite(shares.millions)]
        if len(counts) == 0 or not known[row, column] > 0:
            doubts.codes[row:, column] |= np.uint16(Reason.SPLIT)
            continue
        factor = counts[0] / known[row, column]
        nearest = _FACTORS[np.argmin(np.abs(np.log(_FACTORS / factor)))]
        if abs(nearest / factor - 1) < _NEAR / 5 and abs(nearest * moved[row, column] - 1) < _NEAR:
            split[row, column] = nearest
    return split


def _hash(dates: Days, symbols: tuple[str, ...], grids: Mapping[str, Floats], known: Floats) -> str:
    made = hashlib.sha256("\n".join(symbols).encode())
    for grid in (dates, *grids.values(), known):
        made.update(np.ascontiguousarray(grid).view(np.uint8).data)
    return made.hexdigest()
