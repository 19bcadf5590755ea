"""An experiment with a search, on a made market in a Parquet file, as a user would write it."""

from pathlib import Path

import numpy as np
import pandas as pd

from tokenomics_dagster_tests.research.files import write
from tokenomics_dagster_tests.research.small_market import market

EXPERIMENT = """\
data: {prices: prices.parquet}
strategy: low_volatility
top_n: 10
cadence: weekly
fill: next_close
from: 2025-01-13
search:
  rebalancing.rebalance_threshold_pct: [5, 10, 40]
  walk_forward: {folds: 2}
"""


def written(folder: Path, text: str = EXPERIMENT, sessions: int = 900) -> Path:
    """The experiment's file `tunable.yaml` in the folder, its prices beside it."""
    panel = market(sessions, 12, late=0.0, gaps=0.0)
    days, names = np.meshgrid(panel.dates, np.array(panel.symbols), indexing="ij")
    frame = pd.DataFrame(
        {
            "date": days.ravel(),
            "symbol": names.ravel(),
            "last_price": panel.price.ravel(),
            "change_pct": 100 * panel.returns.ravel(),
            "volume": panel.volume.ravel() + np.arange(days.size),
            "market_cap_musd": np.broadcast_to(panel.price[:, :] * np.arange(100, 112), panel.price.shape).ravel(),
        }
    )
    write(frame, folder)
    file = folder / "tunable.yaml"
    file.write_text(text)
    return file
