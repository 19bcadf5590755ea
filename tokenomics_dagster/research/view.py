"""What a strategy may see at one close: a market that ends there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import pandas as pd

from tokenomics_dagster.research.panel import Bools, Floats
from tokenomics_dagster.settings import Settings


@dataclass(frozen=True, slots=True)
class View:
    """Sessions up to and with `day`; names that had appeared by then, in the order of their symbols.

    Arrays are copies or read-only: (t, n), the last row is today's. `eligible`: (n,) today's universe: a price, a
    market cap, in the `universe_size` largest, not in quarantine. `price` as traded, `returns` as fractions; `figures`:
    the newest that were known, a frame indexed by symbol with the columns of `fundamentals.scoring.FIGURES` (empty
    where the experiment has none). `top_n` names at most are to be held; `settings` are the platform's, with the
    experiment's rules.
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
