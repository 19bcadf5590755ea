"""The recorded history by the conventions C1 to C7, against a plain loop that is no part of the platform."""

from pathlib import Path

import numpy as np
import pytest

from tokenomics_dagster.research.deciding import decisions
from tokenomics_dagster.research.engine import simulate
from tokenomics_dagster.research.experiment import Experiment
from tokenomics_dagster.research.inputs import load_fundamentals, load_panel
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster_tests.bench import oracle
from tokenomics_dagster_tests.conftest import SHARED
from tokenomics_dagster_tests.research.markets import FULL, PLAIN

PRICES = SHARED / oracle.HISTORY / "prices_daily.parquet"
FIGURES = SHARED / oracle.HISTORY / "fundamentals_weekly.parquet"
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not PRICES.exists(), reason="the recorded history is not on this machine"),
]


@pytest.fixture(scope="module")
def recorded() -> oracle.Grids:
    return oracle.recorded(SHARED)


@pytest.mark.parametrize("strategy", ["equal_weight", "cap_weight", "fundamentals"])
def test_the_platform_s_way_from_the_file_to_equity_is_the_plain_loop_s(
    recorded: oracle.Grids, strategy: str, tmp_path: Path
) -> None:
    """Its own reader, its own choice and its own engine: equal to 1e-6 of equity on every session."""
    panel = load_panel(PRICES, quarantine=False, universe_size=1500)
    data = {"prices": str(PRICES), "fundamentals": str(FIGURES)}
    uncapped = {} if strategy == "fundamentals" else {"max_position_pct": 100.0}
    experiment = Experiment.model_validate(
        {"strategy": strategy, "data": data, "top_n": 100, "quarantine": False, "rebalancing": uncapped}
    )
    settings = Settings(environment=Environment.model_construct())
    figures = load_fundamentals(FIGURES) if strategy == "fundamentals" else None
    chosen = decisions(panel, figures, experiment, settings)
    if strategy == "fundamentals":
        targets = oracle.by_fundamentals(recorded, SHARED)
        assert len(targets) == 14
    else:
        targets = oracle.by_size(recorded, equal=strategy == "equal_weight")
        assert len(targets) == 291
    plain = oracle.plain(recorded.returns, targets)
    np.testing.assert_allclose(simulate(panel, chosen, PLAIN).equity, plain, rtol=1e-6)
    full, _ = oracle.full(oracle.anchored(recorded.price, recorded.returns), targets)
    np.testing.assert_allclose(simulate(panel, chosen, FULL).equity, full, rtol=1e-6)
