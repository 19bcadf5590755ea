"""A made market and its figures, for tests of what is decided; nothing of it is random beyond its seed."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from tokenomics_dagster.research.experiment import Experiment
from tokenomics_dagster.research.panel import Fundamentals, Panel
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment

SETTINGS = Settings(environment=Environment.model_construct())


def experiment(strategy: str = "equal_weight", **values: Any) -> Experiment:
    return Experiment.model_validate({"data": {"prices": "prices.parquet"}, "strategy": strategy} | values)


def market(sessions: int = 60, names: int = 30, seed: int = 0, *, late: float = 0.3, gaps: float = 0.02) -> Panel:
    """Weekdays from 2024-01-02 on. Some names begin late, some end early, some rows and caps are missing, and market
    caps are rounded, so that some are equal."""
    random = np.random.default_rng(seed)
    shape = sessions, names
    days = np.busday_offset(np.datetime64("2024-01-02", "D"), np.arange(sessions))
    returns = random.normal(0.0005, 0.02, shape)
    price = random.uniform(5, 200, names) * np.cumprod(1 + returns, axis=0)
    cap = np.round(price * random.lognormal(3, 1, names), -2) + 100
    first = np.where(random.random(names) < late, random.integers(0, sessions, names), 0)
    last = np.where(random.random(names) < late / 2, random.integers(sessions // 2, sessions, names), sessions)
    row = np.arange(sessions)[:, None]
    gone = (row < first) | (row > last) | (random.random(shape) < gaps)
    cap = np.where(random.random(shape) < gaps, np.nan, cap)
    return Panel(
        dates=days,
        symbols=tuple(f"S{number:03d}" for number in range(names)),
        price=np.where(gone, np.nan, price),
        returns=np.where(gone, 0.0, returns),
        market_cap=np.where(gone, np.nan, cap),
        volume=np.where(gone, np.nan, 1e6),
        barred=random.random(shape) < 0.03,
    )


def figures(panel: Panel, seed: int = 0, *, snapshots: bool = True, every: int = 5) -> Fundamentals:
    """A snapshot at noon UTC of each `every`th session; or as many filings as that, of one name each."""
    random = np.random.default_rng(seed)
    days: np.ndarray = panel.dates[::every].astype("datetime64[ns]") + np.timedelta64(12, "h")
    symbols = np.array([*panel.symbols, "STRANGER"])
    if snapshots:
        known_at, symbol = np.repeat(days, len(symbols)), np.tile(symbols, len(days))
    else:
        known_at = np.sort(random.choice(days, 4 * len(symbols)))
        symbol = random.choice(symbols, 4 * len(symbols))
        order = np.lexsort((symbol, known_at))
        known_at, symbol = known_at[order], symbol[order]
    n = len(symbol)
    return Fundamentals(
        known_at=known_at,
        symbol=symbol,
        roe_ttm_pct=random.normal(15, 15, n),
        debt_to_equity=np.where(random.random(n) < 0.1, np.nan, random.uniform(-0.1, 2, n)),
        revenue_growth_yoy_pct=random.normal(10, 20, n),
        eps_growth_yoy_pct=np.where(random.random(n) < 0.2, np.nan, random.normal(10, 20, n)),
        book_value_per_share=np.full(n, np.nan),
        snapshots=snapshots,
    )


def instants(*texts: str) -> np.ndarray:
    """datetime64[ns] of instants as text with their offset."""
    parsed = (datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None) for text in texts)
    return np.array(list(parsed), dtype="datetime64[ns]")
