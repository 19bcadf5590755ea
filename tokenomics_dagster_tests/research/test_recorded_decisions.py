"""Decisions on the recorded history against the conventions C1, C3 and C7, computed with pandas row by row."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from tokenomics_dagster.fundamentals.scoring import FIGURES, score_arrays
from tokenomics_dagster.research.apart import answers
from tokenomics_dagster.research.deciding import decisions
from tokenomics_dagster.research.panel import Fundamentals, Panel
from tokenomics_dagster_tests.conftest import SHARED
from tokenomics_dagster_tests.research.small_market import SETTINGS, experiment

HISTORY = SHARED / "data/history-2021-2026"
pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not HISTORY.is_dir(), reason=f"the recorded history is not at {HISTORY}"),
]


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return pd.read_parquet(HISTORY / "prices_daily.parquet").astype({"market_cap_musd": "float64"})


@pytest.fixture(scope="module")
def panel(rows) -> Panel:
    def grid(column: str) -> np.ndarray:
        return rows.pivot(index="date", columns="symbol", values=column).to_numpy(dtype=np.float64)

    symbols = tuple(sorted(rows["symbol"].unique()))
    days = np.sort(rows["date"].unique()).astype("datetime64[D]")
    returns = np.nan_to_num(grid("change_pct") / 100)
    return Panel(days, symbols, grid("last_price"), returns, grid("market_cap_musd"), grid("volume"))


@pytest.fixture(scope="module")
def told() -> Fundamentals:
    frame = pd.read_parquet(HISTORY / "fundamentals_weekly.parquet").sort_values(["known_at", "symbol"])
    known = frame["known_at"].dt.tz_localize(None).to_numpy().astype("datetime64[ns]")
    frame["book_value_per_share"] = np.nan
    roe, debt, revenue, eps, book = (frame[name].to_numpy() for name in FIGURES)
    return Fundamentals(known, frame["symbol"].to_numpy().astype(np.str_), roe, debt, revenue, eps, book)


def universe(rows: pd.DataFrame, day: date) -> pd.DataFrame:
    today = rows[(rows["date"] == pd.Timestamp(day)) & (rows["last_price"] > 0) & (rows["market_cap_musd"] > 0)]
    return today.sort_values(["market_cap_musd", "symbol"], ascending=[False, True]).head(1500)


@pytest.mark.parametrize("name", ["equal", "cap"])
def test_the_targets_are_those_of_the_oracle_runs(rows, panel, name):
    asked = experiment(name, top_n=100, rebalancing={"max_position_pct": 100})
    found = answers(decisions(panel, None, asked, SETTINGS), panel)
    assert len(found) == 291
    assert next(iter(found)) == date(2021, 1, 29)
    for day, weights in list(found.items())[::10]:
        assert weights is not None
        largest = universe(rows, day).head(100)
        assert list(weights) == largest["symbol"].to_list()
        caps = largest["market_cap_musd"].to_numpy()
        wanted = caps / caps.sum() if name == "cap" else np.full(100, 1 / 100)
        assert np.abs(np.array(list(weights.values())) - wanted).max() <= 1e-12


def test_fundamentals_decide_in_fourteen_weeks_as_the_live_rules_do(rows, panel, told):
    made = decisions(panel, told, experiment("fundamentals", top_n=100), SETTINGS)
    found = {day: weights for day, weights in answers(made, panel).items() if weights is not None}
    assert (len(found), min(found), max(found)) == (14, date(2026, 5, 18), date(2026, 8, 17))
    assert made.warnings == ("277 of 291 decisions were refused: none has a score of at least rebalancing.min_score",)
    known_at = pd.Series(told.known_at)
    for day, weights in found.items():
        now = pd.Timestamp(day, tz="America/New_York").replace(hour=16).tz_convert("UTC").tz_localize(None)
        rows_ = np.flatnonzero(known_at == known_at[known_at <= now].max())
        roe, debt, revenue, eps, book = (getattr(told, name)[rows_] for name in FIGURES)
        points, _ = score_arrays(roe, debt, revenue, eps, book, SETTINGS.fundamentals.score)
        scores = pd.Series(points, index=told.symbol[rows_]).dropna()
        today = universe(rows, day).set_index("symbol")
        assert 772 <= today.index.isin(told.symbol[rows_]).sum() <= 785  # as the facts count who has figures
        best = today.join(scores.rename("score"), how="inner").query("score >= 50").reset_index()
        best = best.sort_values(["score", "market_cap_musd", "symbol"], ascending=[False, False, True]).head(100)
        assert list(weights) == best["symbol"].to_list()
        np.testing.assert_allclose(list(weights.values()), best["score"] / best["score"].sum(), atol=1e-12)
