"""From Parquet to arrays: a panel of prices, point-in-time figures; what a value's defect makes of it, and its telling.

Which rows with believable values must still not be chosen is quarantine.py's; what a quarter says is quarters.py's.

Conventions (C2 of docs/evidence.md): the return of a row is its change in percent / 100; 0 where there is no row or no
change, where the change is above 300 %, and where price, change and volume repeat the name's row of the session
before. Such a row stays tradable. Missing sessions are not repaired, renames not linked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenomics_dagster.kit.tables import Table
from tokenomics_dagster.research import quarters
from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.panel import Bools, Days, Floats, Fundamentals, Ints, Panel
from tokenomics_dagster.research.parquet import File, opened
from tokenomics_dagster.research.quarantine import Doubts, Reason, judged
from tokenomics_dagster.research.schema import Figures, Prices, Quarters

BELIEVED_CHANGE_PCT = 300.0
"""A larger change of a session is a slip: of 39 in the recorded panel the largest is 24,869,900 %."""
_EXAMPLES = 3
_GRIDS = {"last_price": np.nan, "change_pct": np.nan, "volume": np.nan, "market_cap_musd": np.nan}
_MORE_GRIDS = {"open": np.nan, "split": 1.0, "dividend": 0.0, "halted": 0.0}
_REASONS = {"last_price": Reason.PRICE, "change_pct": Reason.CHANGE, "volume": Reason.VOLUME}


def load_panel(
    path: Path, *, first: date | None = None, last: date | None = None, quarantine: bool, universe_size: int
) -> Panel:
    """The panel of a Parquet file of `Prices`, of its sessions from `first` to `last`, both inclusive.

    What must not be chosen is barred where `quarantine`, and only told where not; told of are cells among the day's
    `universe_size` largest. Raises ExperimentError, naming file and defect, where no panel can be made of the file.
    """
    file = File(path, Prices)
    cells = _cells(file, first, last)
    told = list(cells.told)
    if file.others:
        told.append(f"{path.name} has columns that are not read: {', '.join(file.others)}.")
    doubts = Doubts(cells.dates, cells.symbols, np.zeros(cells.shape, np.uint16))
    grids = {name: _grid(file, name, empty, cells, doubts) for name, empty in _GRIDS.items()}
    grids |= {
        name: _grid(file, name, empty, cells, doubts) for name, empty in _MORE_GRIDS.items() if name in file.columns
    }
    words = {name: _words(file, name, cells) for name in ("exchange", "industry") if name in file.columns}
    if "currency" in file.columns:
        _usd_only(file, cells, doubts)
    cells.settle(doubts)
    _take_out(grids, doubts)
    returns = returns_of(grids["last_price"], grids["change_pct"], grids["volume"], doubts)
    return judged(
        Panel(
            dates=cells.dates,
            symbols=cells.symbols,
            price=grids["last_price"],
            returns=returns,
            market_cap=grids["market_cap_musd"],
            volume=grids["volume"],
            open=grids.get("open"),
            split=grids.get("split"),
            dividend=grids.get("dividend"),
            halted=grids["halted"] > 0 if "halted" in grids else None,
            exchange=words.get("exchange", {}),
            industry=words.get("industry", {}),
            warnings=tuple(told),
            data_hash=file.hash(),
        ),
        doubts,
        quarantine=quarantine,
        universe_size=universe_size,
    )


@dataclass(slots=True)
class _Cells:
    """Where each row of a file goes. `of_row`: its cell in a flat (T, N) grid, -1 where it is outside the dates asked
    for. `doubled`: rows whose cell has several, with the values that were seen of each of these cells so far."""

    dates: Days
    symbols: tuple[str, ...]
    of_row: Ints
    whole: bool
    doubled: Ints
    disputed: set[int] = field(default_factory=set)
    told: list[str] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.dates), len(self.symbols)

    def compare(self, values: NDArray[Any]) -> None:
        """Of the doubled rows one column: where rows of a cell differ, nobody knows which to believe."""
        seen: dict[int, Any] = {}
        for cell, value in zip(self.of_row[self.doubled].tolist(), values.tolist(), strict=True):
            before = seen.setdefault(cell, value)
            if before != value and not (before != before and value != value):
                self.disputed.add(cell)

    def settle(self, doubts: Doubts) -> None:
        """Rows that are equal count once; a cell whose rows differ has none."""
        if len(self.doubled) == 0:
            return
        cells = np.unique(self.of_row[self.doubled])
        same = [cell for cell in cells.tolist() if cell not in self.disputed]
        if same:
            doubts.warn(f"{len(same):,} rows are there more than once, all alike, and count once", same)
        doubts.found(np.array(sorted(self.disputed), np.int64), Reason.DISPUTED)


def _cells(file: File, first: date | None, last: date | None) -> _Cells:
    days, (codes, words) = file.days("date"), file.texts("symbol")
    if (codes < 0).any() or "" in words:
        missing = (codes < 0) | np.isin(codes, [number for number, word in enumerate(words) if not word])
        day = np.datetime64(int(days[missing][0]), "D")
        raise ExperimentError(f"{file.path}: {int(missing.sum()):,} rows have no symbol, the first is of {day}")
    told = [] if (np.diff(days) >= 0).all() else ["The rows are not in the order of their dates: they were sorted."]
    begin = days.min()
    inside = _inside(file, days, first, last)
    days -= begin
    there = np.flatnonzero(np.bincount(days if inside is None else days[inside]))
    row_of_day = np.zeros(int(days.max()) + 1, np.int64)
    row_of_day[there] = np.arange(len(there))
    used = np.bincount(codes if inside is None else codes[inside], minlength=len(words)) > 0
    names = sorted(word for word, is_used in zip(words, used, strict=True) if is_used)
    column_of = {name: column for column, name in enumerate(names)}
    row_of_day *= len(names)
    of_row = row_of_day[days]
    of_row += np.array([column_of.get(word, 0) for word in words])[codes]
    if inside is not None:
        of_row[~inside] = -1
    dates = (there + begin).astype("datetime64[D]")
    return _Cells(dates, tuple(names), of_row, inside is None, _doubled(of_row), told=told)


def _inside(file: File, days: Ints, first: date | None, last: date | None) -> Bools | None:
    """The rows from `first` to `last`; None: all."""
    if first is None and last is None:
        return None
    begin, end = (np.datetime64(int(day), "D") for day in (days.min(), days.max()))
    since, until = np.datetime64(first or begin.item(), "D"), np.datetime64(last or end.item(), "D")
    inside: Bools = (days >= since.astype(int)) & (days <= until.astype(int))
    if not inside.any():
        raise ExperimentError(f"{file.path} has no session from {since} to {until}: it has those of {begin} to {end}")
    return inside


def _doubled(of_row: Ints) -> Ints:
    """The rows whose cell another row has, too; in a file that is in order a look along it is enough."""
    if (np.diff(of_row) > 0).all():
        return np.empty(0, np.int64)
    order = np.argsort(of_row, kind="stable")
    same = np.flatnonzero(np.diff(of_row[order]) == 0)
    rows = np.unique(np.concatenate((order[same], order[same + 1])))
    return rows[of_row[rows] >= 0]


def _grid(file: File, name: str, empty: float, cells: _Cells, doubts: Doubts) -> Floats:
    """(T, N) of a column; what is beyond the column's limits is told and left empty."""
    grid, at, kept = np.full(cells.shape, empty), 0, []
    flat = grid.reshape(-1)
    for values in file.numbers(name):
        rows = slice(at, at + len(values))
        at += len(values)
        kept.append(values[cells.doubled[(cells.doubled >= rows.start) & (cells.doubled < rows.stop)] - rows.start])
        of_row = cells.of_row[rows]
        if not cells.whole:
            values, of_row = values[of_row >= 0], of_row[of_row >= 0]
        bad = _beyond(values, Prices, name)
        if bad.any():
            doubts.found(of_row[bad], _REASONS.get(name, Reason.VALUE), name, values[bad])
            values, of_row = values[~bad], of_row[~bad]
        flat[of_row] = values
    if len(cells.doubled):
        cells.compare(np.concatenate(kept))
    if empty == empty:
        np.nan_to_num(grid, copy=False, nan=empty)
    return grid


def _beyond(values: NDArray[Any], table: type[Table], name: str) -> Bools:
    """Where a column's values are not what its table allows; missing ones are allowed."""
    bad = np.zeros(len(values), bool)
    for check in table.to_schema().columns[name].checks:
        limit = check.statistics.get("min_value", check.statistics.get("max_value"))
        beyond = {
            "greater_than": np.less_equal,
            "greater_than_or_equal_to": np.less,
            "less_than": np.greater_equal,
        }[check.name]
        bad |= beyond(values, limit)
    return bad


def _words(file: File, name: str, cells: _Cells) -> dict[str, str]:
    """The newest word of each symbol."""
    codes, words = file.texts(name)
    if len(cells.doubled):
        cells.compare(codes[cells.doubled])
    rows = np.flatnonzero((codes >= 0) & (cells.of_row >= 0))
    rows = rows[np.argsort(cells.of_row[rows], kind="stable")]
    columns = cells.of_row[rows] % len(cells.symbols)
    newest = dict(zip(columns.tolist(), codes[rows].tolist(), strict=True))
    return {cells.symbols[column]: words[code] for column, code in sorted(newest.items()) if words[code]}


def _usd_only(file: File, cells: _Cells, doubts: Doubts) -> None:
    codes, words = file.texts("currency")
    foreign = [number for number, word in enumerate(words) if word != "USD"]
    bad = np.isin(codes, foreign) & (cells.of_row >= 0)
    if bad.any():
        doubts.found(cells.of_row[bad], Reason.CURRENCY, "currency", np.array(words)[codes[bad]])
    if len(cells.doubled):
        cells.compare(codes[cells.doubled])


def _take_out(grids: dict[str, Floats], doubts: Doubts) -> None:
    """A row whose price, currency or very existence cannot be believed is no row, a market cap of 0 is not known."""
    grids["market_cap_musd"][grids["market_cap_musd"] == 0] = np.nan
    cells = doubts.cells_of(Reason.PRICE, Reason.CURRENCY, Reason.DISPUTED)
    for name, grid in grids.items():
        grid.reshape(-1)[cells] = (_GRIDS | _MORE_GRIDS)[name]


def returns_of(price: Floats, change: Floats, volume: Floats, doubts: Doubts) -> Floats:
    """(T, N) fractions of the changes in percent, in their place: C2, and what was not believed told to `doubts`."""
    repeats = np.zeros(price.shape, bool)
    repeats[1:] = (price[1:] == price[:-1]) & (change[1:] == change[:-1]) & (change[1:] != 0)
    repeats[1:] &= volume[1:] == volume[:-1]
    doubts.repeated(repeats, (change != 0) & np.isfinite(change))
    beyond = np.flatnonzero(change.reshape(-1) > BELIEVED_CHANGE_PCT)
    if len(beyond):
        doubts.found(beyond, Reason.CHANGE, "change_pct", change.reshape(-1)[beyond])
    change[repeats] = 0.0
    change.reshape(-1)[beyond] = 0.0
    np.nan_to_num(change, copy=False, nan=0.0)
    change /= 100
    return change


def load_fundamentals(path: Path) -> Fundamentals:
    """The figures of a Parquet file of `Figures` (whole snapshots) or of `Quarters` (single filings).

    Raises ExperimentError where no figures can be made of it: a defect of its structure, several rows of a symbol at an
    instant that differ.
    """
    if "fiscal_period_end" in opened(path).schema_arrow.names:
        return _of_quarters(File(path, Quarters))
    file = File(path, Figures)
    known_at, symbols = file.instants("known_at"), _symbols(file)
    told: list[str] = []
    names = [name for name in Figures.to_schema().columns if name not in ("known_at", "symbol")]
    figures = {name: _figure(file, Figures, name, symbols, known_at, told) for name in names}
    order, doubled = _once(known_at, symbols)
    if len(doubled):
        differ = [
            row
            for row in doubled
            if any(_differ(values[order[row]], values[order[row + 1]]) for values in figures.values())
        ]
        if differ:
            row = order[differ[0]]
            raise ExperimentError(
                f"{path} has several rows that differ for {len(differ):,} symbols and instants, the first is "
                f"{symbols[row]} at {known_at[row]}: keep the right one of each"
            )
        told.append(f"{len(doubled):,} rows of figures are there more than once, all alike, and count once.")
        order = np.delete(order, doubled + 1)
    return Fundamentals(
        known_at=known_at[order],
        symbol=symbols[order],
        roe_ttm_pct=figures["roe_ttm_pct"][order],
        debt_to_equity=figures["debt_to_equity"][order],
        revenue_growth_yoy_pct=figures["revenue_growth_yoy_pct"][order],
        eps_growth_yoy_pct=figures["eps_growth_yoy_pct"][order],
        book_value_per_share=figures["book_value_per_share"][order],
        data_hash=file.hash(),
        warnings=tuple(told),
    )


def _of_quarters(file: File) -> Fundamentals:
    told: list[str] = []
    symbols, filed = _symbols(file), file.days("filed_at")
    at = filed.astype("datetime64[D]")
    names = ("net_income", "equity", "total_debt", "revenue", "eps_diluted", "shares_diluted")
    values = {name: _figure(file, Quarters, name, symbols, at, told) for name in names}
    if "currency" in file.columns:
        codes, words = file.texts("currency")
        foreign = np.isin(codes, [number for number, word in enumerate(words) if word != "USD"])
        if foreign.any():
            told.append(
                f"{int(foreign.sum()):,} quarters are not in USD and not used{_examples(symbols, at, foreign)}."
            )
            values = {name: np.where(foreign, np.nan, column) for name, column in values.items()}
    if "vintage" in file.columns:
        codes, words = file.texts("vintage")
        known_today = np.isin(codes, [number for number, word in enumerate(words) if "latest" in word])
        if known_today.any():
            told.append(
                f"{known_today.mean():.0%} of the quarters hold figures as known today, set to a past date: "
                "restatements are seen ahead of their time there."
            )
    return quarters.figures(
        symbols, file.days("fiscal_period_end"), filed, values, data_hash=file.hash(), warnings=tuple(told)
    )


def _symbols(file: File) -> NDArray[np.str_]:
    codes, words = file.texts("symbol")
    if (codes < 0).any() or "" in words:
        raise ExperimentError(f"{file.path}: {int((codes < 0).sum()):,} rows have no symbol: correct the file")
    return np.array(words)[codes]


def _figure(
    file: File, table: type[Table], name: str, symbols: NDArray[np.str_], at: NDArray[np.datetime64], told: list[str]
) -> Floats:
    """A column of figures as float64; what is beyond its limits is missing, and told."""
    if name not in file.columns:
        return np.full(file.rows, np.nan)
    values = np.concatenate([np.asarray(piece, np.float64) for piece in file.numbers(name)])
    bad = _beyond(values, table, name)
    if bad.any():
        told.append(f"{int(bad.sum()):,} values of {name} are impossible and not used{_examples(symbols, at, bad)}.")
    return np.where(bad, np.nan, values)


def _examples(symbols: NDArray[np.str_], at: NDArray[np.datetime64], rows: Bools) -> str:
    some = np.flatnonzero(rows)[:_EXAMPLES]
    return ": e.g. " + ", ".join(f"{symbols[row]} on {at[row].astype('datetime64[D]')}" for row in some)


def _once(known_at: NDArray[np.datetime64], symbols: NDArray[np.str_]) -> tuple[Ints, Ints]:
    """The order by both, and the places in it that the next one repeats."""
    order = np.lexsort((symbols, known_at))
    same = (np.diff(known_at[order]) == np.timedelta64(0)) & (symbols[order][1:] == symbols[order][:-1])
    return order, np.flatnonzero(same)


def _differ(one: float, other: float) -> bool:
    return one != other and not (one != one and other != other)
