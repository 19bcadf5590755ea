"""What a backtest is made of and what comes of it, as arrays: decisions in, a run out. Only types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tokenomics_dagster.research.panel import Days, Floats, Ints

if TYPE_CHECKING:
    from tokenomics_dagster.research.experiment import Cadence, Costs, Fill, Shares


@dataclass(frozen=True, slots=True)
class Decisions:
    """What is to be held, decided at D closes.

    `sessions`: (D,) rows of the panel, increasing. Of decision i the names (columns of the panel, in the strategy's
    order) and weights (0 to 1, together at most 1) are those from `starts[i]` to `starts[i + 1]`. `eligible`: (D,) how
    many names could have been chosen; `refused`: (D,) bool, where nothing could be decided and everything is kept (a
    decision without names that is not refused is to hold cash alone). `warnings`: whole sentences.
    """

    sessions: Ints
    starts: Ints
    names: Ints
    weights: Floats
    eligible: Ints
    refused: NDArray[np.bool_]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """How decisions become trades. Percent and USD as in the settings."""

    fill: Fill
    shares: Shares
    capital: float
    costs: Costs
    threshold_pct: float
    min_trade_usd: float
    cash_buffer_pct: float
    haircut_pct: float = 0.0
    interest_pct: float = 0.0
    cadence: Cadence = "weekly"


@dataclass(frozen=True, slots=True)
class Fills:
    """One row per trade, in the order made. `shares` above zero for a buy, in shares of that day (after splits);
    `price` what one was worth, USD; `cost` USD paid beside: spread, fee, impact."""

    sessions: Ints
    names: Ints
    shares: Floats
    price: Floats
    cost: Floats


@dataclass(frozen=True, slots=True)
class Run:
    """A simulated account. (T,) by session of `dates`: `equity` and `cash` USD after its trades, `held` names,
    `traded` USD bought and sold, `costs` USD. `profit`: (N,) USD by column of the panel, costs taken off, so that their
    sum plus `interest` is the last equity less the capital. `final_shares`: (N,). `decided`: rows of `dates`.
    """

    dates: Days
    equity: Floats
    cash: Floats
    held: Ints
    traded: Floats
    costs: Floats
    profit: Floats
    interest: float
    final_shares: Floats
    decided: Ints
    fills: Fills
    capital: float
    warnings: tuple[str, ...] = ()

    @property
    def returns(self) -> Floats:
        """(T,) of each session, the first against the capital."""
        before = np.concatenate(([self.capital], self.equity[:-1]))
        return self.equity / before - 1

    @property
    def first_held(self) -> int | None:
        """Row of `dates` after which something was held for the first time; None: never."""
        there = self.held > 0
        return int(np.argmax(there)) if there.any() else None

    @property
    def turnover(self) -> float:
        """Two-sided: USD bought and sold over the mean equity, a year of 252 sessions."""
        return float(self.traded.sum() / self.equity.mean() * 252 / len(self.equity))
