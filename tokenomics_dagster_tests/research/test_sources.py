"""Where panel and figures come from: files, the lake, the warehouse; and what a calendar says of the days."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tokenomics_dagster.fundamentals.schema import Financials
from tokenomics_dagster.research import replay
from tokenomics_dagster.research.bars import Names, Shares, panel_of
from tokenomics_dagster.research.experiment import Experiment, ExperimentError
from tokenomics_dagster.research.sources import load
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.lake import Lake
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster.universe.schema import KnownProfiles
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.research.files import DAYS, market, told, write


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TOKENOMICS_LAKE", str(tmp_path / "lake"))
    return load_settings(REPOSITORY / "config" / "settings.yaml")


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    made = Warehouse(f"sqlite:///{tmp_path}/warehouse.db")
    yield made
    made.close()


def experiment(folder: Path, data: Any, **keys: Any) -> Experiment:
    return Experiment.model_validate({"data": data, "strategy": "equal_weight", "folder": folder} | keys)


def test_a_file_is_found_from_the_experiments_folder_and_read_to_its_last_session(tmp_path, settings):
    write(market(sessions=10), tmp_path)
    told_to = {"from": DAYS[3].item(), "to": DAYS[6].item()}
    panel, figures = load(experiment(tmp_path, {"prices": "prices.parquet"}, **told_to), settings, None)
    assert figures is None
    # What lies before `from` is history that a strategy looks back on.
    assert panel.dates.tolist() == DAYS[:7].tolist()
    assert panel.warnings == ()


def test_missing_sessions_and_days_that_are_none_are_named(tmp_path, settings):
    frame = market(sessions=9)
    frame = frame[frame["date"] != DAYS[4]]
    saturday = frame[frame["date"] == DAYS[3]].assign(date=pd.Timestamp("2024-01-06"), volume=5)
    write(pd.concat([frame, saturday]).sort_values(["date", "symbol"]), tmp_path)
    panel, _ = load(experiment(tmp_path, {"prices": "prices.parquet"}), settings, None)
    assert "1 sessions of New York are missing, and their returns with them: 2024-01-08." in panel.warnings
    assert "1 days of the prices were no sessions of New York: 2024-01-06." in panel.warnings


def test_symbols_with_figures_and_without_prices_are_told(tmp_path, settings):
    write(market(), tmp_path)
    known_at = pd.to_datetime(["2024-01-01T06:00Z"] * 2)
    frame = pd.DataFrame({"known_at": known_at, "symbol": ["AAA", "ZZZ"]})
    frame[["roe_ttm_pct", "debt_to_equity", "revenue_growth_yoy_pct", "eps_growth_yoy_pct"]] = 1.0
    frame.to_parquet(tmp_path / "figures.parquet")
    data = {"prices": "prices.parquet", "fundamentals": "figures.parquet"}
    _, figures = load(experiment(tmp_path, data), settings, None)
    assert figures is not None
    assert figures.warnings == ("1 of 2 symbols with figures have no prices: ZZZ.",)


def test_without_a_warehouse_its_data_are_refused(tmp_path, settings):
    write(market(), tmp_path)
    with pytest.raises(ExperimentError, match=r"data.prices: lake needs the platform's warehouse"):
        load(experiment(tmp_path, "lake"), settings, None)
    with pytest.raises(ExperimentError, match=r"data.fundamentals: warehouse needs the platform's warehouse"):
        load(experiment(tmp_path, {"prices": "prices.parquet", "fundamentals": "warehouse"}), settings, None)
    with pytest.raises(ExperimentError, match="the warehouse holds no prices"):
        load(experiment(tmp_path, {"prices": "warehouse"}), settings, None)


def fact(symbol: str, at: datetime, roe: float, period: str | None) -> dict[str, Any]:
    columns = [name for name in Financials.to_schema().columns if name not in ("symbol", "known_at")]
    return dict.fromkeys(columns) | {
        "symbol": symbol, "known_at": at, "roe_ttm_pct": roe, "debt_to_equity": 0.5, "reported_period": period
    }  # fmt: skip


def test_figures_are_replayed_as_they_were_received(warehouse, settings):
    first, second = datetime(2026, 3, 7, 12, tzinfo=UTC), datetime(2026, 3, 14, 12, tzinfo=UTC)
    for row in (
        fact("BBB", first, 10.0, None),
        fact("AAA", second, 11.0, "2025-12-31"),
        fact("AAA", first, 12.0, "2025-12-31"),
    ):
        warehouse.append_fact("financials", Financials, row)
    found = replay.figures(warehouse, settings)
    upto = found.known_at <= np.datetime64("2026-03-20")
    assert found.symbol[upto].tolist() == ["AAA", "BBB", "AAA"]
    assert found.roe_ttm_pct[upto].tolist() == [
        12.0,
        10.0,
        11.0,
    ]
    assert found.known_at[0] == np.datetime64("2026-03-07T12:00")
    assert np.isnan(found.eps_growth_yoy_pct).all()
    assert not found.snapshots
    assert found.max_age_days == settings.guards.max_score_age_days


def test_figures_of_a_period_that_is_too_old_or_to_come_end_as_they_do_live(warehouse, settings):
    at = datetime(2026, 3, 7, 12, tzinfo=UTC)
    days = settings.fundamentals.max_report_age_days
    ends = date(2026, 3, 31)
    period = ends - timedelta(days=int(days))
    for symbol, told_period in (("AAA", period), ("OLD", period - timedelta(days=40)), ("NEW", date(2026, 6, 30))):
        warehouse.append_fact("financials", Financials, fact(symbol, at, 10.0, told_period.isoformat()))
    # An answer without a period is of the one before.
    warehouse.append_fact("financials", Financials, fact("AAA", at + timedelta(days=7), 11.0, None))
    found = replay.figures(warehouse, settings)
    rows = list(
        zip(
            found.symbol.tolist(),
            found.known_at.astype("datetime64[D]").tolist(),
            found.roe_ttm_pct.tolist(),
            strict=True,
        )
    )
    assert rows[0] == ("AAA", date(2026, 3, 7), 10.0)
    assert rows[3] == ("AAA", date(2026, 3, 14), 11.0)
    assert [row[:2] for row in rows[1:3]] == [("NEW", date(2026, 3, 7)), ("OLD", date(2026, 3, 7))]
    assert np.isnan([rows[1][2], rows[2][2]]).all()
    # The day after the last on which the live score takes it: the row is empty.
    assert rows[4][:2] == ("AAA", ends + timedelta(days=1))
    assert np.isnan(rows[4][2])
    assert len(rows) == 5


def test_a_warehouse_without_figures_or_share_counts_is_refused(warehouse, settings):
    with pytest.raises(ExperimentError, match=r"no figures were ever received .* materialize financials first"):
        replay.figures(warehouse, settings)
    with pytest.raises(ExperimentError, match="no share counts were ever received"):
        replay.shares(warehouse)


def profile(symbol: str, at: datetime, millions: float, currency: str = "USD") -> dict[str, Any]:
    columns = [name for name in KnownProfiles.to_schema().columns if name not in ("symbol", "known_at")]
    return dict.fromkeys(columns) | {
        "symbol": symbol, "known_at": at, "shares_outstanding_m": millions, "currency": currency
    }  # fmt: skip


def bars(closes: dict[str, list[float]]) -> dict[str, list[Any]]:
    """Bars of the lake from the first of DAYS on; NaN: no bar."""
    known_at = datetime(2024, 7, 1, tzinfo=UTC)
    rows = [
        (DAYS[session].item(), symbol, close - 0.5, close + 1, close - 1, close, 1e6 + session, known_at)
        for symbol, of_symbol in closes.items()
        for session, close in enumerate(of_symbol)
        if close == close
    ]
    names = ("date", "symbol", "open", "high", "low", "close", "volume", "known_at")
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def test_the_lake_gives_prices_and_the_warehouse_the_shares_known_by_then(tmp_path, warehouse, settings):
    lake = Lake(tmp_path / "lake")
    lake.add_bars(bars({"AAA": [50.0, 51.0, 52.0, 50.0], "EUR": [20.0, 20.0, 21.0, 21.0], "NON": [9.0] * 4}))
    # AAA is known before the first session, and again an hour after the close of the third (21:00 UTC).
    for row in (
        profile("AAA", datetime(2024, 1, 1, tzinfo=UTC), 100.0),
        profile("AAA", datetime(2024, 1, 4, 22, tzinfo=UTC), 110.0),
        profile("EUR", datetime(2024, 1, 1, tzinfo=UTC), 30.0, "EUR"),
    ):
        warehouse.append_fact("profiles", KnownProfiles, row)
    warehouse.append_fact("financials", Financials, fact("AAA", datetime(2024, 1, 2, tzinfo=UTC), 10.0, None))
    panel, figures = load(experiment(tmp_path, "lake"), settings, warehouse)
    assert panel.symbols == ("AAA", "EUR", "NON")
    assert panel.dates.tolist() == DAYS[:4].tolist()
    assert panel.market_cap[:, 0].tolist() == [5_000.0, 5_100.0, 5_200.0, 5_500.0]
    assert np.isnan(panel.market_cap[:, 1:]).all()
    assert panel.open is not None
    assert panel.open[1, 0] == 50.5
    assert panel.returns[:, 0] == pytest.approx([0, 0.02, 52 / 51 - 1, 50 / 52 - 1])
    assert figures is not None
    assert figures.symbol.tolist() == ["AAA"]
    assert len(panel.data_hash) == 64
    until, _ = load(experiment(tmp_path, {"prices": "lake"}, to=DAYS[1].item()), settings, warehouse)
    assert until.dates.tolist() == DAYS[:2].tolist()


def test_an_empty_lake_is_refused(tmp_path, warehouse, settings):
    warehouse.append_fact("profiles", KnownProfiles, profile("AAA", datetime(2024, 1, 1, tzinfo=UTC), 100.0))
    with pytest.raises(ExperimentError, match="the lake has no bars of these days: materialize daily_bars first"):
        load(experiment(tmp_path, "lake"), settings, warehouse)


def split_of(tmp_path: Path, closes: list[float], *counts: tuple[str, float]):
    """The panel of one name with bars, and share counts (million) known at 12:00 UTC of days."""
    lake = Lake(tmp_path / "lake")
    quiet = {"BBB": [30.0] * len(closes), "CCC": [40.0] * len(closes)}
    lake.add_bars(bars({"AAA": closes} | quiet))
    known = Shares(
        np.array([f"{day}T12:00" for day, _ in counts], "datetime64[ns]"),
        np.array(["AAA"] * len(counts)),
        np.array([count for _, count in counts]),
    )
    return panel_of(lake.bars(), known, Names({}, {}), quarantine=True, universe_size=10)


def test_a_split_is_one_where_a_share_count_known_since_says_so(tmp_path):
    panel = split_of(tmp_path, [100.0, 101.0, 25.5, 26.0], ("2023-12-01", 100.0), ("2024-01-20", 399.0))
    assert panel.split is not None
    assert panel.split[:, 0].tolist() == [1, 1, 4, 1]
    assert panel.returns[2, 0] == pytest.approx(4 * 25.5 / 101 - 1)


def test_a_fall_of_which_the_share_count_knows_nothing_is_a_fall(tmp_path):
    panel = split_of(tmp_path, [100.0, 101.0, 25.5, 26.0], ("2023-12-01", 100.0), ("2024-01-20", 101.0))
    assert panel.split is not None
    assert (panel.split == 1).all()
    assert panel.returns[2, 0] == pytest.approx(25.5 / 101 - 1)
    assert panel.barred is not None
    assert not panel.barred[:, 0].any()


def test_a_move_as_in_a_split_that_nothing_explains_yet_is_in_doubt(tmp_path):
    panel = split_of(tmp_path, [100.0, 101.0, 25.5, 26.0], ("2023-12-01", 100.0))
    assert panel.returns[2, 0] == pytest.approx(25.5 / 101 - 1)
    assert panel.barred is not None
    assert panel.barred[:, 0].tolist() == [False, False, True, True]
    assert "no share count known since says whether it was one; e.g. AAA on 2024-01-04" in told(panel)


def test_a_name_without_bars_for_some_days_returns_from_its_last_close(tmp_path):
    panel = split_of(tmp_path, [100.0, float("nan"), 102.0], ("2023-12-01", 100.0))
    assert panel.returns[:, 0] == pytest.approx([0, 0, 0.02])
    assert not panel.tradable[1, 0]
