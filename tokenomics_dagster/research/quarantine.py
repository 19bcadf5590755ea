"""Which cells of a panel cannot be believed, and why: nothing after a cell's session is looked at to judge it.

Pure arrays. What is barred may be held and is not chosen; what a file's values must be is schema.py's, reading them is
inputs.py's. The rules are those of the live universe (universe/selection.py), as far as a panel can tell:
- a market cap must agree with shares x price: against the median of the implied shares of the WINDOW sessions before,
  both counted in the shares of one day through the returns, so that a split moves neither;
- of names with the same implied shares, an issuer's classes, bonds and preferred shares, only the most traded stands;
- a name that takes the place of one that went away is a rename that the data does not link: it waits until it has a
  history of its own, as does one that comes back after WINDOW sessions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from tokenomics_dagster.research.agreement import SESSION_SHARE, TOLERANCE, WENT_AND_CAME, disagreements
from tokenomics_dagster.research.borrowed import WINDOW, borrowed_caps
from tokenomics_dagster.research.panel import Bools, Days, Floats, Ints, Panel, Quarantined, where
from tokenomics_dagster.research.schema import TICKER

CAP_FACTOR = 2.0
EVERY_NAME = "*"
"""The symbol of a quarantine that holds for a whole session."""
_REPEATED_SHARE = 0.25
"""Of the names that moved: 42 % repeat on 2026-02-04, on no other recorded session more than 0.3 %."""
_SPARSE_SHARE = 0.5
_EXAMPLES = 3
_RENAME_SESSIONS = 3
_RENAME_SHARES, _RENAME_PRICE = 0.01, 0.25
_BLOCK = 128
_NEARLY = np.float32(CAP_FACTOR * (1 - 1e-6))


class Reason(IntFlag):
    """Why a cell must not be chosen; several may hold."""

    PRICE = 1
    CHANGE = 2
    VOLUME = 4
    VALUE = 8
    DISPUTED = 16
    CURRENCY = 32
    TICKER = 64
    CAP = 128
    BORROWED = 256
    RENAMED = 512
    BACK = 1024
    SPLIT = 2048


_NO_ROW = Reason.PRICE | Reason.DISPUTED | Reason.CURRENCY
"""Rows that are not used: how large the name was, nobody knows."""

SENTENCES: Mapping[Reason, str] = {
    Reason.PRICE: "its price is zero, negative or infinite: the row is not used",
    Reason.CHANGE: "its change is impossible: its return counts as 0",
    Reason.VOLUME: "its volume is negative or infinite, and counts as not known",
    Reason.VALUE: "a value is impossible, and counts as not known",
    Reason.DISPUTED: "several rows of the session differ: none of them is used",
    Reason.CURRENCY: "its currency is not USD: the row is not used",
    Reason.TICKER: "its symbol is no ticker",
    Reason.CAP: f"its market cap disagrees with the shares that it implied in the {WINDOW} sessions before",
    Reason.BORROWED: "its market cap is its issuer's, of which another security is traded more",
    Reason.RENAMED: "it takes the place of a name that went away, a rename that is not linked",
    Reason.BACK: f"it comes back after {WINDOW} sessions or more, and may be another company",
    Reason.SPLIT: "its price moved as in a split, and no share count known since says whether it was one",
}


@dataclass(slots=True)
class Doubts:
    """What was found of the cells of a (T, N) grid: `codes` are `Reason`s; `sessions` are wholly in doubt, and why.

    `details` of single cells by reason; `factors` and `lenders` of the cells with a wrong or borrowed cap.
    """

    dates: Days
    symbols: tuple[str, ...]
    codes: NDArray[np.uint16]
    sessions: dict[int, str] = field(default_factory=dict)
    details: dict[Reason, dict[int, str]] = field(default_factory=dict)
    factors: tuple[Ints, Floats] = field(default_factory=lambda: (np.empty(0, np.int64), np.empty(0)))
    lenders: tuple[Ints, Ints] = field(default_factory=lambda: (np.empty(0, np.int64), np.empty(0, np.int64)))
    told: list[str] = field(default_factory=list)

    def found(self, cells: Ints, reason: Reason, column: str = "", values: NDArray[np.generic] | None = None) -> None:
        """Marks cells of the flat grid, with what they hold in the file."""
        self.codes.reshape(-1)[cells] |= np.uint16(reason)
        if values is not None:
            of_reason = self.details.setdefault(reason, {})
            for cell, value in zip(cells[:_EXAMPLES].tolist(), values[:_EXAMPLES].tolist(), strict=True):
                of_reason[cell] = f"{column} {value:,.6g}" if isinstance(value, float) else f"{column} {value}"

    def repeated(self, repeats: Bools, moved: Bools) -> None:
        """Rows that repeat the session before; a session of which many do is none."""
        count = int(repeats.sum())
        if not count:
            return
        self.warn(
            f"{count:,} rows repeat the name's row of the session before, their return counts as 0",
            np.flatnonzero(repeats),
        )
        share = repeats.sum(axis=1) / np.maximum(moved.sum(axis=1), 1)
        for row in np.flatnonzero(share >= _REPEATED_SHARE).tolist():
            self.sessions[row] = f"{share[row]:.0%} of the names that moved repeat their row of the session before"

    def cells_of(self, *reasons: Reason) -> Ints:
        wanted = np.uint16(sum(reasons))
        return np.flatnonzero(self.codes.reshape(-1) & wanted)

    def warn(self, what: str, cells: Sequence[int] | Ints) -> None:
        """Told with examples of the cells of the flat grid."""
        self.told.append(f"{what}: e.g. {', '.join(self.named(int(cell)) for cell in cells[:_EXAMPLES])}.")

    def detail(self, cell: int, reason: Reason) -> str:
        if reason is Reason.CAP:
            return f"{self.factors[1][np.searchsorted(self.factors[0], cell)]:.3g} times as many"
        if reason is Reason.BORROWED:
            return self.symbols[int(self.lenders[1][np.searchsorted(self.lenders[0], cell)])]
        return self.details.get(reason, {}).get(cell, "")

    def named(self, cell: int) -> str:
        row, column = divmod(cell, len(self.symbols))
        return f"{self.symbols[column]} on {self.dates[row]}"


def judged(panel: Panel, doubts: Doubts, *, quarantine: bool, universe_size: int) -> Panel:
    """The panel with what must not be chosen: barred and listed where `quarantine`, in any case told.

    Listed are names among the day's `universe_size` largest, and whose row is not used: of the others the warnings tell
    the number.
    """
    _judge(panel, doubts)
    bars = doubts.codes != 0
    large = _largest(panel, universe_size)
    told = [*panel.warnings, *doubts.told, *_summary(doubts, large, universe_size, barred=quarantine)]
    entries: tuple[Quarantined, ...] = ()
    if quarantine:
        for row in doubts.sessions:
            bars[row] = True
        entries = tuple(_listed(doubts, large))
    found = replace(panel, barred=bars if quarantine else None, quarantined=entries, warnings=tuple(told))
    for name in ("dates", "price", "returns", "market_cap", "volume", "open", "split", "dividend", "halted", "barred"):
        if (grid := getattr(found, name)) is not None:
            grid.flags.writeable = False
    return found


def _gaps(there: Bools, doubts: Doubts) -> None:
    """Rows that a name lacks between others of its own: it cannot be traded there, and no return is made up."""
    first, last = there.argmax(axis=0), len(there) - there[::-1].argmax(axis=0)
    missing = np.where(there.any(axis=0), last - first - there.sum(axis=0), 0)
    columns = np.flatnonzero(missing)
    if len(columns):
        rows, places = where(~there[:, columns])
        within = (rows > first[columns][places]) & (rows < last[columns][places])
        cells = rows[within] * there.shape[1] + columns[places[within]]
        doubts.warn(f"{len(cells):,} rows of {len(columns):,} names are missing between others of theirs", cells)


def _judge(panel: Panel, doubts: Doubts) -> None:
    strange = [column for column, symbol in enumerate(panel.symbols) if not re.match(TICKER, symbol)]
    there = panel.price > 0
    for column in strange:
        doubts.codes[there[:, column], column] |= np.uint16(Reason.TICKER)
    _gaps(there, doubts)
    _disagreements(panel, doubts)
    _sparse(there, doubts)
    rows, columns, factors = wrong_caps(panel.price, panel.returns, panel.market_cap)
    cells = rows * len(panel.symbols) + columns
    doubts.found(cells, Reason.CAP)
    doubts.factors = (cells, factors)
    rows, columns, lenders = borrowed_caps(panel.symbols, panel.price, panel.volume, panel.market_cap)
    cells = rows * len(panel.symbols) + columns
    doubts.found(cells, Reason.BORROWED)
    doubts.lenders = (cells, lenders)
    for column, row, old in renames(panel.price, panel.market_cap):
        _wait(doubts, row, column, Reason.RENAMED, f"{panel.symbols[old]} went away, its shares are the same")
    for column, row, away in returning(there):
        _wait(doubts, row, column, Reason.BACK, f"{away} sessions away")


def _wait(doubts: Doubts, row: int, column: int, reason: Reason, detail: str) -> None:
    doubts.codes[row : row + WINDOW, column] |= np.uint16(reason)
    doubts.details.setdefault(reason, {})[row * len(doubts.symbols) + column] = detail


def _disagreements(panel: Panel, doubts: Doubts) -> None:
    """Returns that are not those of the closes: told, for which of the two is right, nobody knows."""
    cells, sessions, back = disagreements(panel)
    cells.reshape(-1)[doubts.cells_of(Reason.CHANGE)] = False  # told already
    if len(sessions):
        days = ", ".join(f"{panel.dates[row]}" for row in sessions[: 2 * _EXAMPLES])
        doubts.told.append(
            f"In {len(sessions):,} sessions the changes of {SESSION_SHARE:.0%} of the names or more do not lead from "
            f"the close before to the close (is a session before them missing, or the change no percent?): e.g. {days}."
        )
    if cells.any():
        doubts.warn(
            f"{int(cells.sum()):,} changes of {int(cells.any(axis=0).sum()):,} names lead to a price that differs from "
            f"their close by more than {TOLERANCE:.0%}, and no share count tells of a split; they count as they are",
            np.flatnonzero(cells),
        )
    if len(back):
        doubts.warn(f"{len(back):,} {WENT_AND_CAME}", back)


def _sparse(there: Bools, doubts: Doubts) -> None:
    """Sessions with far fewer names than those before: whoever sells what has no row would sell nearly all."""
    count = there.sum(axis=1)
    padded = np.concatenate((np.full(WINDOW, np.nan), count[:-1]))
    usual = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[1:], axis=1)
    for row in (np.flatnonzero(count[1:] < _SPARSE_SHARE * usual) + 1).tolist():
        doubts.sessions.setdefault(row, f"{count[row]:,} names have a row, {usual[row - 1]:,.0f} had one before")


def wrong_caps(price: Floats, returns: Floats, market_cap: Floats) -> tuple[Ints, Ints, Floats]:
    """Rows, columns and factors of the caps that imply more than CAP_FACTOR times the shares of before, or fewer.

    Shares of a cell: cap / (the product of 1 + return so far), which is cap / price in the shares of the first session.
    Against the median of what is known of the WINDOW sessions before; with none, nothing can be said.
    """
    rows, columns, factors = [], [], []
    for start in range(0, price.shape[1], _BLOCK):
        block = slice(start, start + _BLOCK)
        # A name's sessions beside each other: its windows are read in one go.
        shares = np.ascontiguousarray(market_cap[:, block].T)
        shares /= np.cumprod(1 + returns[:, block].T, axis=1)
        shares[~((price[:, block].T > 0) & (shares > 0) & np.isfinite(shares))] = np.nan
        # A median lies between the extremes: most cells need none. Rounded to some 1e-7, of which _NEARLY leaves ten.
        with np.errstate(over="ignore"):
            rounded = shares.astype(np.float32)
        least, most = _before(rounded, np.fmin), _before(rounded, np.fmax)
        column, row = where((rounded > _NEARLY * least) | (rounded * _NEARLY < most))
        factor = shares[column, row] / _medians(shares, column, row)
        wrong = (factor > CAP_FACTOR) | (factor < 1 / CAP_FACTOR)
        rows.append(row[wrong])
        columns.append(column[wrong] + start)
        factors.append(factor[wrong])
    every_row, every_column, every_factor = np.concatenate(rows), np.concatenate(columns), np.concatenate(factors)
    order = np.lexsort((every_column, every_row))
    return every_row[order], every_column[order], every_factor[order]


def _before(values: NDArray[np.float32], extreme: np.ufunc) -> NDArray[np.float32]:
    """(n, T) the extreme of the WINDOW values before each, NaN where there is none: of 1, 2, 4, .. put together."""
    found = np.full_like(values, np.nan)
    found[:, 1:] = values[:, :-1]
    width = 1
    while width < WINDOW:
        step = min(width, WINDOW - width)
        if step < values.shape[1]:
            found[:, step:] = extreme(found[:, step:], found[:, :-step])
        width += step
    return found


def _medians(values: Floats, names: Ints, places: Ints) -> Floats:
    """Of the known ones of (n, T) values in the WINDOW before each of the places of the names."""
    padded = np.concatenate((np.full((len(values), WINDOW), np.nan), values), axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[names, places]
    windows.sort(axis=1)
    known = np.isfinite(windows).sum(axis=1)
    at = np.arange(len(names))
    median: Floats = (windows[at, np.maximum(known - 1, 0) // 2] + windows[at, known // 2]) / 2
    return median


def renames(price: Floats, market_cap: Floats) -> Iterator[tuple[int, int, int]]:
    """Column and first row of each name that takes the place of another, and that one's column.

    It appears at most _RENAME_SESSIONS after the other's last row so far, with the same implied shares and near its
    price: FB and META, ANTM and ELV, SNE and SONY. Whether the other comes back is not known then.
    """
    there = price > 0
    appeared = there.argmax(axis=0)
    went = there[:-1] & ~there[1:]
    for column in np.flatnonzero(there.any(axis=0) & (appeared > 0)).tolist():
        row = int(appeared[column])
        best = (np.inf, -1)
        for last in range(max(0, row - _RENAME_SESSIONS), row):
            for old in np.flatnonzero(went[last] & ~there[last + 1 : row + 1].any(axis=0)).tolist():
                before, now = market_cap[last, old], market_cap[row, column]
                if not (before > 0 and now > 0):
                    continue
                moved = price[row, column] / price[last, old]
                by_shares = abs(now / before / moved - 1)
                if by_shares < _RENAME_SHARES and abs(moved - 1) < _RENAME_PRICE:
                    best = min(best, (by_shares + abs(moved - 1), old))
        if best[1] >= 0:
            yield column, row, best[1]


def returning(there: Bools) -> Iterator[tuple[int, int, int]]:
    """Column, row and sessions away of each name that comes back after WINDOW sessions or more."""
    names = there.T
    went, last = where(names[:, :-1] & ~names[:, 1:])
    came, row = where(~names[:, :-1] & names[:, 1:])
    # Both are in the order of names and sessions: what a name comes back from lies just before.
    before = np.searchsorted(went * len(there) + last, came * len(there) + row) - 1
    for column, at, pair in zip(came.tolist(), row.tolist(), before.tolist(), strict=True):
        if pair >= 0 and went[pair] == column and (away := at - int(last[pair])) >= WINDOW:
            yield column, at + 1, away


def _largest(panel: Panel, size: int) -> Bools:
    """Who is among the day's largest by the caps of the data, wrong ones included."""
    caps = panel.market_cap.astype(np.float32)
    caps[~(panel.tradable & (caps > 0))] = 0
    if size >= caps.shape[1]:
        return caps > 0
    least = np.array([np.partition(row, -size)[-size] for row in caps])
    return (caps >= least[:, None]) & (caps > 0)


def _summary(doubts: Doubts, large: Bools, universe_size: int, *, barred: bool) -> Iterator[str]:
    outcome = "not chosen" if barred else "chosen all the same, for quarantine is false"
    every = doubts.cells_of(*SENTENCES)
    codes = doubts.codes.reshape(-1)[every]
    for reason, sentence in SENTENCES.items():
        cells = every[(codes & np.uint16(reason)) != 0]
        if not len(cells):
            continue
        counted = large.reshape(-1)[cells]
        names = len(np.unique(cells % len(doubts.symbols)))
        some = cells[counted] if counted.any() else cells
        among = f" ({int(counted.sum()):,} of them among the day's {universe_size:,} largest)"
        if reason & _NO_ROW:
            among = ""
        yield (
            f"{len(cells):,} rows of {names:,} names{among} are {outcome}: {sentence}; e.g. "
            f"{'; '.join(_told(doubts, int(cell), reason) for cell in some[:_EXAMPLES])}."
        )
    for row, why in sorted(doubts.sessions.items()):
        yield f"The session of {doubts.dates[row]} cannot be believed: {why}; its names are {outcome}."


def _told(doubts: Doubts, cell: int, reason: Reason) -> str:
    detail = doubts.detail(cell, reason)
    return doubts.named(cell) + (f" ({detail})" if detail else "")


def _listed(doubts: Doubts, large: Bools) -> Iterator[Quarantined]:
    """By symbol the spans of sessions over which the same reasons hold, with the detail of the first."""
    for row, why in sorted(doubts.sessions.items()):
        yield Quarantined(EVERY_NAME, _day(doubts, row), _day(doubts, row), why)
    width = len(doubts.symbols)
    for column in np.flatnonzero((doubts.codes != 0).any(axis=0)).tolist():
        codes = doubts.codes[:, column]
        starts = np.flatnonzero(np.diff(codes, prepend=np.uint16(0)) != 0)
        ends = np.append(starts[1:], len(codes))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            code = int(codes[start])
            if code == 0 or not (code & _NO_ROW or large[start:end, column].any()):
                continue
            reasons = [reason for reason in SENTENCES if code & reason.value]
            told = [_with_detail(doubts, start * width + column, reason) for reason in reasons]
            yield Quarantined(doubts.symbols[column], _day(doubts, start), _day(doubts, end - 1), "; ".join(told))


def _with_detail(doubts: Doubts, cell: int, reason: Reason) -> str:
    detail = doubts.detail(cell, reason)
    return SENTENCES[reason] + (f" ({detail})" if detail else "")


def _day(doubts: Doubts, row: int) -> date:
    day: date = doubts.dates[row].item()
    return day
