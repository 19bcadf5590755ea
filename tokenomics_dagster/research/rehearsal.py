"""Evidence for a market that has no history, as the demo's: one is drawn for the names that it has, and says so.

The universe's prices of today are the last session; a year of sessions before them is drawn, a market's return and each
name's own, without regard to its figures. So there is no skill to be found, and what finds some is wrong. The drawn
files and the experiment stay in the folder: `tokenomics backtest` gives the same anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from tokenomics_dagster.fundamentals.schema import Financials
from tokenomics_dagster.fundamentals.scoring import FIGURES
from tokenomics_dagster.model import calendar
from tokenomics_dagster.reports.figures import chance, signed
from tokenomics_dagster.research import varied
from tokenomics_dagster.research.backtest import SEED, study
from tokenomics_dagster.research.beside import FIGURES as WITH_FIGURES
from tokenomics_dagster.research.experiment import ExperimentError, read_experiment
from tokenomics_dagster.research.panel import Floats
from tokenomics_dagster.research.result import Refused, Result
from tokenomics_dagster.research.sources import load
from tokenomics_dagster.research.study import begun
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.storage import private
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster.universe.schema import Universe, UniverseDetails

if TYPE_CHECKING:
    import pandas as pd

NAME = "evidence"
SESSIONS = 253
"""Closes: 252 returns, of which a year's figures may be told."""
PORTFOLIOS = 200
_MARKET, _OWN, _DRIFT = 0.009, (0.010, 0.028), 0.0003
"""Standard deviations of daily returns, the market's and, from one to the other, each name's own; the market's mean."""


def rehearse(store: Warehouse, settings: Settings, folder: Path, say: Callable[[str], None]) -> Result:
    """Draws the history into `folder` and runs the live strategy on it. ExperimentError where there is no universe."""
    experiment = read_experiment(_drawn(store, folder))
    panel, fundamentals = load(experiment, settings, None)
    result = study(panel, fundamentals, experiment, settings, portfolios=0)
    of = begun(panel, fundamentals, experiment, settings)
    drawn = varied.controls(of, result.run, of.decide(), SEED, say, PORTFOLIOS)
    said = f"The prices before {panel.dates[-1]} were drawn at random: nothing here says anything of a real market."
    return replace(result, controls=drawn, doubts=(said, *result.doubts))


def in_one_line(result: Result) -> str:
    """What came of it, and what that shows."""
    beside = next(one for one in result.beside if one.name == WITH_FIGURES)
    told = [one for one in result.controls if not isinstance(one, Refused)]
    luck = f"; of {told[-1].portfolios} random portfolios {chance(told[-1].p)} do as well" if told else ""
    return (
        f"evidence: on {result.metrics['sessions']} drawn sessions (this market has no history) the strategy made "
        f"{signed(result.metrics['total_return'])}, all names with figures {signed(beside.metrics['total_return'])}"
        f"{luck}: drawn prices hold no skill to find"
    )


def _drawn(store: Warehouse, folder: Path) -> Path:
    """The experiment's file beside its prices and figures."""
    stored = store.load_stored("universe", Universe, UniverseDetails)
    if stored is None:
        raise ExperimentError(f"there is no universe in {store.address} yet: materialize universe first")
    names = stored.frame.sort_values("symbol", ignore_index=True)
    facts = store.latest_facts("financials", Financials)
    last = stored.as_of.astimezone(calendar.NEW_YORK).date()
    days = calendar.session_days(last - timedelta(days=int(SESSIONS * 1.6)), last)[-SESSIONS:]
    private.make_folder(folder)
    _write_prices(folder / f"{NAME}_prices.parquet", names, days)
    _write_figures(folder / f"{NAME}_figures.parquet", facts, days[0])
    path = folder / f"{NAME}.yaml"
    document = {
        "data": {"prices": f"{NAME}_prices.parquet", "fundamentals": f"{NAME}_figures.parquet"},
        "strategy": "fundamentals",
        "universe_size": len(names),
        "cadence": "weekly",
        "fill": "next_close",
        "quarantine": False,
        "capital": 100_000,
        "shares": "fractional",
    }
    private.write_text(path, f"# Drawn by the demo: see {NAME}.html\n{yaml.safe_dump(document, sort_keys=False)}")
    return path


def paths(prices: Floats, seed: int) -> Floats:
    """(SESSIONS, N) daily returns, the first row 0, of names whose last prices are known, (N,)."""
    rng = np.random.default_rng(seed)
    market = rng.normal(_DRIFT, _MARKET, (SESSIONS, 1))
    own = rng.standard_normal((SESSIONS, len(prices))) * rng.uniform(*_OWN, len(prices))
    returns = np.clip(market + own, -0.5, 1.0)
    returns[0] = 0.0
    return returns


def _write_prices(path: Path, names: pd.DataFrame, days: tuple[date, ...]) -> None:
    last = names["price"].to_numpy(dtype=np.float64)
    returns = paths(last, SEED)
    level = np.cumprod(1 + returns, axis=0)
    price = last * level / level[-1]
    shares = names["market_cap_musd"].to_numpy(dtype=np.float64) / last
    traded = names["traded_value_musd"].fillna(0.0).to_numpy(dtype=np.float64)
    count = len(names)
    _write(
        path,
        {
            "date": np.repeat(np.array(days, dtype="datetime64[D]"), count),
            "symbol": np.tile(names["symbol"].to_numpy(dtype=object), len(days)),
            "last_price": price.ravel(),
            "change_pct": 100 * returns.ravel(),
            "volume": (1e6 * traded / price).ravel(),
            "market_cap_musd": (shares * price).ravel(),
            "exchange": np.tile(names["exchange"].to_numpy(dtype=object), len(days)),
            "industry": np.tile(names["industry"].fillna("").to_numpy(dtype=object), len(days)),
        },
    )


def _write_figures(path: Path, facts: pd.DataFrame, first: date) -> None:
    """Those of today, from the day before the first session on: prices that were drawn cannot have known them."""
    known = np.datetime64(first - timedelta(days=1)).astype("datetime64[us]")
    columns: dict[str, Any] = {
        "known_at": np.full(len(facts), known),
        "symbol": facts["symbol"].to_numpy(dtype=object),
    }
    _write(path, columns | {name: facts[name].to_numpy(dtype=np.float64) for name in FIGURES})


def _write(path: Path, columns: dict[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: pa.array(values) for name, values in columns.items()}
    if "known_at" in arrays:
        arrays["known_at"] = arrays["known_at"].cast(pa.timestamp("us", tz="UTC"))
    private.make_file(path)
    pq.write_table(pa.table(arrays), path)
