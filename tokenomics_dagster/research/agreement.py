"""Whether a panel's returns are those between its own prices. What is done about a cell that is in doubt stays out."""

from __future__ import annotations

import numpy as np

from tokenomics_dagster.research.panel import Bools, Ints, Panel

TOLERANCE = 0.05
"""Of a price: wider than nearly all dividends, by which a change may be adjusted; 0.014 % of the recorded cells are
beyond."""
_SESSION_TOLERANCE = 0.005
SESSION_SHARE, _SESSION_NAMES = 0.25, 5
"""Of the names of a session: 0.04 % on the median recorded one, 50 to 70 % where the session before it is missing."""
_BLOCK = 128


def disagreements(panel: Panel) -> tuple[Bools, Ints]:
    """(T, N) the cells whose return leads from the close before to another close than theirs, and the rows of sessions
    in which so many do that the session is in doubt, not its names; their cells are not among those of the first.

    A split that the panel does not tell is known by the share count, market cap / price, that grows as the price falls.
    """
    cells, sessions = np.zeros(panel.price.shape, np.bool_), []
    for start in range(1, len(panel.dates), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(panel.dates)))
        before = slice(rows.start - 1, rows.stop - 1)
        price = panel.price[rows] if panel.split is None else panel.price[rows] * panel.split[rows]
        factor = price / (panel.price[before] * (1 + panel.returns[rows]))
        if panel.split is None:
            shares = panel.market_cap[rows] / panel.price[rows] * (panel.price[before] / panel.market_cap[before])
            factor[(np.abs(factor - 1) > TOLERANCE) & (np.abs(factor * shares - 1) < TOLERANCE)] = 1.0
        off = np.abs(factor - 1)
        some = (off > _SESSION_TOLERANCE).sum(axis=1)
        many = (some >= SESSION_SHARE * np.isfinite(off).sum(axis=1)) & (some >= _SESSION_NAMES)
        sessions.append(np.flatnonzero(many) + start)
        cells[rows] = (off > TOLERANCE) & ~many[:, None]
    return cells, np.concatenate(sessions) if sessions else np.empty(0, np.int64)
