"""A market as it was up to a session, with what came later taken away or changed, or under other names.

Nothing that was known at that session's close is changed: what is decided up to it must stay the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenomics_dagster.fundamentals.scoring import FIGURES
from tokenomics_dagster.research.known import closes
from tokenomics_dagster.research.panel import Floats, Fundamentals, Ints, Panel
from tokenomics_dagster.research.view import first_rows

GRIDS = ("price", "returns", "market_cap", "volume", "open", "split", "dividend", "halted", "barred")
"""Of a panel: what has a row for each session."""
ROWS = ("known_at", "symbol", *FIGURES)
"""Of fundamentals: what has an entry for each row."""

Both = tuple[Panel, Fundamentals | None]


def truncated(panel: Panel, fundamentals: Fundamentals | None, row: int) -> Both:
    """What there was at the close of that row: no later session, no name that appears later, no later figure. Copies,
    from which no way leads back."""
    columns = np.flatnonzero(first_rows(panel) <= row)
    changed: dict[str, Any] = {
        name: np.ascontiguousarray(grid[: row + 1, columns])
        for name in GRIDS
        if (grid := getattr(panel, name)) is not None
    }
    symbols = tuple(panel.symbols[column] for column in columns)
    left = replace(panel, dates=panel.dates[: row + 1].copy(), symbols=symbols, quarantined=(), warnings=(), **changed)
    if fundamentals is None:
        return left, None
    known = _known(panel, fundamentals, row)
    return left, replace(fundamentals, **{name: getattr(fundamentals, name)[:known].copy() for name in ROWS})


def absurd(panel: Panel, fundamentals: Fundamentals | None, row: int, seed: int) -> Both:
    """Later rows and figures are of another world: prices and market caps from a ten-thousandth to ten thousand times
    a dollar, returns as large, a third of the rows missing."""
    random = np.random.default_rng(seed)
    later = panel.price[row + 1 :].shape

    def sizes() -> Floats:
        return np.where(random.random(later) < 1 / 3, np.nan, 10 ** random.uniform(-4, 4, later))

    drawn: dict[str, Callable[[], NDArray[Any]]] = {
        "price": sizes,
        "returns": lambda: np.nan_to_num(sizes()) - 0.9,
        "market_cap": lambda: sizes() * 1e3,
        "volume": lambda: sizes() * 1e6,
        "open": sizes,
        "split": sizes,
        "dividend": sizes,
        "halted": lambda: random.random(later) < 1 / 3,
        "barred": lambda: random.random(later) < 1 / 3,
    }
    changed: dict[str, Any] = {
        name: np.concatenate((grid[: row + 1], drawn[name]()))
        for name in GRIDS
        if (grid := getattr(panel, name)) is not None
    }
    other = replace(panel, quarantined=(), warnings=(), **changed)
    if fundamentals is None:
        return other, None
    known = _known(panel, fundamentals, row)
    figures: dict[str, Any] = {}
    for name in FIGURES:
        figure = getattr(fundamentals, name)
        figures[name] = np.concatenate((figure[:known], random.normal(0, 1e3, len(figure) - known)))
    return other, replace(fundamentals, **figures)


def shuffled(
    panel: Panel, fundamentals: Fundamentals | None, row: int, seed: int
) -> tuple[Panel, Fundamentals | None, dict[str, str]]:
    """What there was at the close of that row with each name's history under another name, and so in another column;
    and the true name by the other.

    Names of equal market cap that day keep their order among each other: ties by symbol fall as they did.
    """
    left, figures = truncated(panel, fundamentals, row)
    n = len(left.symbols)
    place = np.random.default_rng(seed).permutation(n)  # the new column of each
    caps = left.market_cap[-1]
    order = np.argsort(caps, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(caps[order]) != 0) + 1):
        place[np.sort(group)] = np.sort(place[group])
    column = np.argsort(place)  # the old one of each
    changed: dict[str, Any] = {
        name: np.ascontiguousarray(grid[:, column]) for name in GRIDS if (grid := getattr(left, name)) is not None
    }
    other = dict(zip(left.symbols, (left.symbols[at] for at in place), strict=True))
    true = {new: old for old, new in other.items()}
    moved = replace(
        left,
        exchange={other.get(symbol, symbol): said for symbol, said in left.exchange.items()},
        industry={other.get(symbol, symbol): said for symbol, said in left.industry.items()},
        **changed,
    )
    return moved, None if figures is None else _renamed(figures, other), true


def _renamed(figures: Fundamentals, other: dict[str, str]) -> Fundamentals:
    symbols, which = np.unique(figures.symbol, return_inverse=True)
    renamed: NDArray[np.str_] = np.array([other.get(str(symbol), str(symbol)) for symbol in symbols], dtype=np.str_)
    symbol = renamed[which] if len(symbols) else figures.symbol
    order: Ints = np.lexsort((symbol, figures.known_at))
    rows: dict[str, Any] = {name: getattr(figures, name)[order] for name in ROWS if name != "symbol"}
    return replace(figures, symbol=symbol[order], **rows)


def _known(panel: Panel, fundamentals: Fundamentals, row: int) -> int:
    return int(np.searchsorted(fundamentals.known_at, closes(panel.dates[row : row + 1])[0], side="right"))
