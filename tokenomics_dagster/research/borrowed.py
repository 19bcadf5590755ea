"""Whose market cap is its issuer's, of which another security is traded more. What is done about it stays out."""

from __future__ import annotations

import numpy as np

from tokenomics_dagster.research.panel import Bools, Floats, Ints, where

WINDOW = 63
"""Sessions, a quarter: in the recorded panel 90 % of the wrong caps last at most 31."""
_SAME_SHARES = 2e-5
"""Caps are rounded to 10,000 USD: of 500 million that is 2e-5."""
_VERY_SAME_SHARES = 1e-6
"""Two of 2,800 unrelated names come this near about once a session; they must then differ much in what is traded."""
_SIDE_TRADE = 0.01
_NOTE_SESSIONS = 21
_HARDLY_TRADED = 1e-4
"""Of the market cap, traded on a day: BPYPP 3e-5, HSBC's ADR 2e-4, most stocks 1e-2."""
_MOST_CLASSES = 10
_COLUMN_BITS = 24
_BLOCK = 128


def borrowed_caps(
    symbols: tuple[str, ...], price: Floats, volume: Floats, market_cap: Floats
) -> tuple[Ints, Ints, Ints]:
    """Rows and columns of the cells whose cap is that of an issuer with a more traded security, and its column.

    Two names of a session belong together where their implied shares (cap / price) are equal and their tickers are
    those of one company's securities; or where they are equal to the last digit and one is traded less than a hundredth
    as much (CCZ, a note of Comcast's). Traded: price x volume, the mean of the WINDOW sessions up to the cell's. Where
    even the most traded is hardly traded for its cap, the issuer itself is not there, and it is out, too. What stood so
    for _NOTE_SESSIONS beside a ticker of its kind stays out.
    """
    rows, ones, others, akin = _same_shares(symbols, price, market_cap)
    columns = np.unique(np.concatenate((ones, others)))
    traded = _mean_of_window(price[:, columns], volume[:, columns])
    first, second = (traded[rows, np.searchsorted(columns, side)] for side in (ones, others))
    # Of two that are traded alike the first symbol stands.
    less = np.where(first < second, ones, others)
    more = np.where(first < second, others, ones)
    hardly = np.minimum(first, second) < _SIDE_TRADE * np.maximum(first, second)
    kept, aside = akin | hardly, akin & hardly
    stale = _for_good(rows[aside], less[aside], more[aside], market_cap)
    alone = kept & akin & (np.maximum(first, second) < _HARDLY_TRADED * 1e6 * market_cap[rows, more])
    return _most_traded_first(
        np.concatenate((rows[kept], rows[alone], stale[0])),
        np.concatenate((less[kept], more[alone], stale[1])),
        np.concatenate((more[kept], less[alone], stale[2])),
        traded,
        columns,
    )


def _for_good(rows: Ints, less: Ints, more: Ints, market_cap: Floats) -> tuple[Ints, Ints, Ints]:
    """Cells of names that have been traded aside of their issuer for _NOTE_SESSIONS: a note stays one, though its
    issuer's share count is changed before its own (TBB and T in 2026)."""
    found: list[tuple[Ints, Ints, Ints]] = []
    for column in np.unique(less).tolist():
        at = np.flatnonzero(less == column)
        sessions = np.unique(rows[at])
        if len(sessions) < _NOTE_SESSIONS:
            continue
        since = int(sessions[_NOTE_SESSIONS - 1])
        later = since + np.flatnonzero(market_cap[since:, column] > 0)
        lender = int(more[at][rows[at] == since].min())
        found.append((later, np.full(len(later), column), np.full(len(later), lender)))
    if not found:
        return rows[:0], less[:0], more[:0]
    every = [np.concatenate(part) for part in zip(*found, strict=True)]
    return every[0], every[1], every[2]


def _same_shares(symbols: tuple[str, ...], price: Floats, market_cap: Floats) -> tuple[Ints, Ints, Ints, Bools]:
    """Pairs of names with the same implied shares in a session: rows, columns (the lower first), whether their tickers
    belong together; where they do not, the shares are equal to the last digit."""
    found: list[tuple[Ints, Ints, Ints, Bools]] = []
    known: dict[int, bool] = {}
    for start in range(0, len(price), _BLOCK):
        block = slice(start, start + _BLOCK)
        rows, ones, others = _near(price[block], market_cap[block])
        rows += start
        codes, back = np.unique(ones * len(symbols) + others, return_inverse=True)
        for code in set(codes.tolist()) - known.keys():
            known[code] = _akin(*(symbols[at] for at in divmod(code, len(symbols))))
        akin = np.array([known[code] for code in codes.tolist()], bool)[back]
        one, other = (market_cap[rows, side] / price[rows, side] for side in (ones, others))
        kept = akin | (np.abs(one / other - 1) < _VERY_SAME_SHARES)
        found.append((rows[kept], ones[kept], others[kept], akin[kept]))
    rows, ones, others, akin = (np.concatenate(column) for column in zip(*found, strict=True))
    return rows, ones, others, akin


def _near(price: Floats, market_cap: Floats) -> tuple[Ints, Ints, Ints]:
    """Rows and columns, the lower first, of pairs whose implied shares differ by _SAME_SHARES at most."""
    shares = (market_cap / price).astype(np.float32)
    shares[~(shares > 0)] = np.inf
    # The bits of floats above zero are in their order, and whole numbers are sorted four times as fast as indices.
    packed = shares.view(np.int32).astype(np.int64) << _COLUMN_BITS | np.arange(price.shape[1])
    packed.sort(axis=1)
    order = packed & ((1 << _COLUMN_BITS) - 1)
    ordered = (packed >> _COLUMN_BITS).astype(np.int32).view(np.float32)
    ordered[~np.isfinite(ordered)] = np.nan
    found = []
    for step in range(1, _MOST_CLASSES):
        row, place = where(ordered[:, step:] < ordered[:, :-step] * np.float32(1 + _SAME_SHARES))
        one, other = order[row, place], order[row, place + step]
        found.append((row, np.minimum(one, other), np.maximum(one, other)))
        if not len(row):
            break
    rows, ones, others = (np.concatenate(column) for column in zip(*found, strict=True))
    return rows, ones, others


def _mean_of_window(price: Floats, volume: Floats) -> Floats:
    """USD traded a session, the mean of the WINDOW up to each; what is not known counts as none."""
    total = np.cumsum(np.nan_to_num(price * volume), axis=0)
    of_window = total.copy()
    of_window[WINDOW:] -= total[:-WINDOW]
    return of_window / np.minimum(np.arange(1, len(total) + 1), WINDOW)[:, None]


def _most_traded_first(
    rows: Ints, columns: Ints, lenders: Ints, traded: Floats, known: Ints
) -> tuple[Ints, Ints, Ints]:
    """Each cell once, with the most traded of those for whose sake it is out."""
    of_lender = traded[rows, np.searchsorted(known, lenders)]
    cells = rows << _COLUMN_BITS | columns
    order = np.argsort(cells, kind="stable")
    starts = np.flatnonzero(np.diff(cells[order], prepend=-1))
    most = np.maximum.reduceat(of_lender[order], starts) if len(starts) else of_lender
    # The first of those that are traded as much, as they come.
    best = of_lender[order] == np.repeat(most, np.diff(starts, append=len(order)))
    firsts = np.flatnonzero(best)
    kept = order[firsts[np.diff(cells[order[firsts]], prepend=-1) != 0]]
    return rows[kept], columns[kept], lenders[kept]


def _akin(one: str, other: str) -> bool:
    """Whether two tickers look like securities of one company: GOOG and GOOGM, FOX and FOXA, BRK.A and BRK.B."""
    shorter, longer = sorted((one.partition(".")[0], other.partition(".")[0]), key=len)
    if len(shorter) == len(longer):
        return shorter[:-1] == longer[:-1]
    return longer.startswith(shorter) and len(longer) - len(shorter) <= 2
