"""Whether a panel's returns are those between its own prices. What is done about a cell that is in doubt stays out."""

from __future__ import annotations

import numpy as np

from tokenomics_dagster.research.panel import Bools, Floats, Ints, Panel, where

TOLERANCE = 0.05
"""Of a price: wider than nearly all dividends, by which a change may be adjusted; 0.014 % of the recorded cells are
beyond."""
_SESSION_TOLERANCE = 0.005
SESSION_SHARE, _SESSION_NAMES = 0.25, 5
"""Of the names of a session: 0.04 % on the median recorded one, 50 to 70 % where the session before it is missing."""
FAR = 0.5
"""Of a price: a market cap that stays where it was while the price moves by more has the price against it."""
_BACK_SESSIONS = 5
WENT_AND_CAME = (
    f"times a price went away without its market cap and was back within {_BACK_SESSIONS} sessions, as after no split: "
    "those between are likely wrong, and count as they are (correct them, or leave them out)"
)
_BLOCK = 128


def disagreements(panel: Panel) -> tuple[Bools, Ints, Ints]:
    """(T, N) the cells whose return leads from the close before to another close than theirs; the rows of sessions in
    which so many do that the session is in doubt, not its names (their cells are not among those of the first); and the
    flat cells at which a price is back that went away without its market cap, as `_there_and_back` tells.

    A split that the panel does not tell is known by the share count, market cap / price, that grows as the price falls.
    """
    cells, sessions, jumps = np.zeros(panel.price.shape, np.bool_), [], []
    for start in range(1, len(panel.dates), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(panel.dates)))
        before = slice(rows.start - 1, rows.stop - 1)
        price = panel.price[rows] if panel.split is None else panel.price[rows] * panel.split[rows]
        off = np.abs(price / (panel.price[before] * (1 + panel.returns[rows])) - 1)
        far = (panel.returns[rows] > FAR) | (panel.returns[rows] < 1 / (1 + FAR) - 1)
        row, column = where(far | (off > TOLERANCE))
        caps = panel.market_cap[rows][row, column] / panel.market_cap[before][row, column]
        apart = off[row, column]
        split = (apart > TOLERANCE) & (np.abs(caps / (1 + panel.returns[rows][row, column]) - 1) < TOLERANCE)
        if panel.split is None:
            off[row[split], column[split]] = 0.0
        jumped = split | ((apart <= TOLERANCE) & (np.abs(caps - 1) < TOLERANCE))
        shares = caps * panel.price[before][row, column] / price[row, column]
        jumps.append((row[jumped] + start, column[jumped], shares[jumped]))
        some = (off > _SESSION_TOLERANCE).sum(axis=1)
        many = (some >= SESSION_SHARE * np.isfinite(off).sum(axis=1)) & (some >= _SESSION_NAMES)
        sessions.append(np.flatnonzero(many) + start)
        cells[rows] = (off > TOLERANCE) & ~many[:, None]
    rows_in_doubt = np.concatenate(sessions) if sessions else np.empty(0, np.int64)
    return cells, rows_in_doubt, _there_and_back(jumps, len(panel.symbols))


def _there_and_back(jumps: list[tuple[Ints, Ints, Floats]], width: int) -> Ints:
    """Flat cells, of `jumps` of the implied shares (rows, columns, factors), by which a name's shares are back within
    _BACK_SESSIONS where they were before the jump before: a split does not come back. Known at the second only."""
    if not jumps:
        return np.empty(0, np.int64)
    row, column, factor = (np.concatenate(part) for part in zip(*jumps, strict=True))
    order = np.lexsort((row, column))
    row, column, factor = row[order], column[order], factor[order]
    back = (np.diff(column) == 0) & (np.diff(row) <= _BACK_SESSIONS)
    back &= np.abs(factor[1:] * factor[:-1] - 1) < 2 * TOLERANCE
    cells: Ints = np.sort(row[1:][back] * width + column[1:][back])
    return cells
