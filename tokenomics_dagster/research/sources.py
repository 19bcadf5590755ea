"""Where an experiment's panel and figures come from: files, the lake, the warehouse; and whether its days are sessions.

What each of them is made of is in inputs.py, bars.py and replay.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tokenomics_dagster.model import calendar
from tokenomics_dagster.research import replay
from tokenomics_dagster.research.bars import panel_of
from tokenomics_dagster.research.experiment import Experiment, ExperimentError
from tokenomics_dagster.research.inputs import load_fundamentals, load_panel
from tokenomics_dagster.research.panel import Fundamentals, Panel
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.storage.lake import Lake
from tokenomics_dagster.storage.warehouse import Warehouse

LAKE, WAREHOUSE = "lake", "warehouse"
_NAMED = 10


def load(experiment: Experiment, settings: Settings, store: Warehouse | None) -> tuple[Panel, Fundamentals | None]:
    """Panel and figures of an experiment, up to its last session; what is before its first one is history that a
    strategy may look back on.

    Raises ExperimentError, and LakeError and WarehouseError of what it reads.
    """
    panel = _panel(experiment, settings, store)
    panel = replace(panel, warnings=(*panel.warnings, *_days(panel)))
    named = experiment.data.fundamentals
    if named is None:
        return panel, None
    if named == WAREHOUSE:
        figures = replay.figures(_opened(store, "fundamentals: warehouse"), settings)
    else:
        figures = load_fundamentals(experiment.path(named))
    return panel, replace(figures, warnings=(*figures.warnings, *_strangers(panel, figures)))


def _panel(experiment: Experiment, settings: Settings, store: Warehouse | None) -> Panel:
    prices = experiment.data.prices
    if prices == WAREHOUSE:
        raise ExperimentError("the warehouse holds no prices: write data.prices: lake, or the path of a Parquet file")
    if prices != LAKE:
        return load_panel(
            experiment.path(prices),
            last=experiment.last,
            quarantine=experiment.quarantine,
            universe_size=experiment.universe_size,
        )
    known = _opened(store, "prices: lake")
    folder: Path = settings.environment.tokenomics_lake
    return panel_of(
        Lake(folder).bars(last=experiment.last),
        replay.shares(known),
        replay.names(known),
        quarantine=experiment.quarantine,
        universe_size=experiment.universe_size,
    )


def _opened(store: Warehouse | None, wanted: str) -> Warehouse:
    if store is None:
        raise ExperimentError(f"data.{wanted} needs the platform's warehouse, and none was given")
    return store


def _days(panel: Panel) -> list[str]:
    """What a calendar says of the panel's days: sessions that are missing, days that were none."""
    there = set(panel.dates.tolist())
    first, last = panel.dates[0].item(), panel.dates[-1].item()
    sessions = set(calendar.session_days(first, last))
    told = []
    if missing := sorted(sessions - there):
        told.append(
            f"{len(missing):,} sessions of New York are missing, and their returns with them: {_listed(missing)}."
        )
    if strange := sorted(there - sessions):
        told.append(f"{len(strange):,} days of the prices were no sessions of New York: {_listed(strange)}.")
    return told


def _strangers(panel: Panel, figures: Fundamentals) -> list[str]:
    symbols = np.unique(figures.symbol)
    strangers = np.setdiff1d(symbols, np.array(panel.symbols, np.str_)).tolist()
    if not strangers:
        return []
    return [f"{len(strangers):,} of {len(symbols):,} symbols with figures have no prices: {_listed(strangers)}."]


def _listed(items: Sequence[object]) -> str:
    more = f" and {len(items) - _NAMED:,} more" if len(items) > _NAMED else ""
    return ", ".join(str(item) for item in items[:_NAMED]) + more
