"""Parquet files of prices as tests write them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tokenomics_dagster.research.inputs import load_panel
from tokenomics_dagster.research.panel import Panel

DAYS = np.arange("2024-01-02", "2024-07-01", dtype="datetime64[D]")
DAYS = DAYS[np.is_busday(DAYS)]


def market(symbols: tuple[str, ...] = ("AAA", "BBB", "CCC"), sessions: int = 5) -> pd.DataFrame:
    """A quiet market, one row per session and name: prices move by up to 2 %, 100 million shares each."""
    rows = []
    for number, symbol in enumerate(symbols):
        price = 50.0 + 10 * number
        for place, day in enumerate(DAYS[:sessions]):
            change = round(float(np.sin(3 * place + number)) * 2, 3) if place else 0.0
            price *= 1 + change / 100
            volume = 1_000_000 + 1_000 * place + number
            rows.append((day, symbol, price, change, volume, price * (100 + 7 * number)))
    return pd.DataFrame(
        rows, columns=["date", "symbol", "last_price", "change_pct", "volume", "market_cap_musd"]
    ).sort_values(["date", "symbol"], ignore_index=True)


def cell(frame: pd.DataFrame, symbol: str, session: int) -> Any:
    """The row of a symbol's n-th session."""
    return frame.index[(frame["symbol"] == symbol) & (frame["date"] == DAYS[session])][0]


def write(frame: pd.DataFrame, folder: Path, *, float32: bool = False) -> Path:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if float32:
        fields = [pa.field(f.name, pa.float32() if pa.types.is_floating(f.type) else f.type) for f in table.schema]
        table = table.cast(pa.schema(fields))
    path = folder / "prices.parquet"
    pq.write_table(table, path, row_group_size=7)  # several pieces, as large files have them
    return path


def loaded(frame: pd.DataFrame, folder: Path, **options: Any) -> Panel:
    return load_panel(write(frame, folder), **({"quarantine": True, "universe_size": 1_500} | options))


def told(panel: Panel) -> str:
    return "\n".join(panel.warnings)
