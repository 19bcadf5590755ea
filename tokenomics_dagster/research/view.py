"""What a strategy may see at one close: a market that ends there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd

from tokenomics_dagster.fundamentals.scoring import FIGURES
from tokenomics_dagster.research.known import close_of, closes, latest, universe
from tokenomics_dagster.research.panel import Bools, Floats, Fundamentals, Ints, Panel
from tokenomics_dagster.settings import Settings


@dataclass(frozen=True, slots=True)
class View:
    """Sessions up to and with `day`; names that had appeared by then, in the order of their symbols.

    Arrays are copies: (t, n), the last row is today's. `eligible`: (n,) today's universe: a price, a market cap, in the
    `universe_size` largest, not in quarantine; no other name may be chosen. `price` as traded, `returns` as fractions;
    `figures`: the newest that were known, a frame indexed by symbol with the columns of `fundamentals.scoring.FIGURES`,
    rows only of names that have some (none at all where the experiment has no figures). `top_n` names at most are to be
    held; `settings` are the platform's, with the experiment's rules and without secrets.
    """

    day: date
    now: datetime
    symbols: Sequence[str]
    price: Floats
    returns: Floats
    market_cap: Floats
    volume: Floats
    eligible: Bools
    figures: pd.DataFrame
    settings: Settings
    top_n: int


def views(
    panel: Panel, fundamentals: Fundamentals | None, sessions: Ints, size: int, settings: Settings
) -> Iterator[View]:
    """The view of each of these rows of the panel, in their order.

    Copies, for by a slice's `base` later rows could be reached: 0.03 s for 1,389 sessions of 2,842 names.
    """
    first = first_rows(panel)
    days = panel.dates[sessions].astype("datetime64[D]").tolist()
    figures = (
        (None for _ in sessions)
        if fundamentals is None
        else (rows for rows, _ in latest(fundamentals, panel.symbols, closes(panel.dates[sessions])))
    )
    for row, day, rows in zip(sessions, days, figures, strict=True):
        columns = np.flatnonzero(first <= row)
        symbols = tuple(panel.symbols[column] for column in columns)

        def seen(grid: Floats, row: int = row, columns: Ints = columns) -> Floats:
            return np.take(grid[: row + 1], columns, axis=1)

        yield View(
            day=day,
            now=close_of(day).astimezone(UTC),
            symbols=symbols,
            price=seen(panel.price),
            returns=seen(panel.returns),
            market_cap=seen(panel.market_cap),
            volume=seen(panel.volume),
            eligible=universe(panel, row, size)[columns],
            figures=_frame(fundamentals, symbols, None if rows is None else rows[columns]),
            settings=settings,
            top_n=settings.rebalancing.top_n_stocks,
        )


def first_rows(panel: Panel) -> Ints:
    """(N,) the row of the session in which each name first appeared; the number of sessions where it never did."""
    there = ~np.isnan(panel.price)
    return np.where(there.any(axis=0), there.argmax(axis=0), len(panel.dates))


def _frame(fundamentals: Fundamentals | None, symbols: tuple[str, ...], rows: Ints | None) -> pd.DataFrame:
    if fundamentals is None or rows is None:
        return pd.DataFrame({name: np.array([]) for name in FIGURES}, index=pd.Index([], dtype="str", name="symbol"))
    there = np.flatnonzero(rows >= 0)
    index = pd.Index([symbols[at] for at in there], dtype="str", name="symbol")
    return pd.DataFrame({name: getattr(fundamentals, name)[rows[there]] for name in FIGURES}, index=index)
