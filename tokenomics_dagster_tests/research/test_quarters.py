"""Fiscal quarters to figures as they were known: by hand."""

import numpy as np
import pandas as pd
import pytest

from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.inputs import load_fundamentals
from tokenomics_dagster.research.panel import Fundamentals
from tokenomics_dagster.research.schema import Quarters

ENDS = pd.to_datetime(["2022-12-31", "2023-03-31", "2023-06-30", "2023-09-30", "2023-12-31", "2024-03-31"])


def quarters(**changes) -> pd.DataFrame:
    """Six quarters of one company, each filed 40 days after its end."""
    rows = {
        "symbol": ["AAA"] * 6,
        "fiscal_period_end": ENDS,
        "filed_at": ENDS + pd.Timedelta(days=40),
        "net_income": [1e6, 2e6, 3e6, 4e6, 5e6, 6e6],
        "equity": [90e6, 92e6, 95e6, 99e6, 100e6, 120e6],
        "total_debt": [45e6, 46e6, 47e6, 49.5e6, 40e6, 90e6],
        "revenue": [10e6, 10e6, 11e6, 12e6, 12.5e6, 9e6],
        "eps_diluted": [0.1, 0.2, 0.3, 0.4, 0.5, 0.1],
        "shares_diluted": [10e6] * 6,
    }
    return pd.DataFrame(rows | changes)


def known(frame: pd.DataFrame, folder) -> Fundamentals:
    frame.to_parquet(folder / "quarters.parquet")
    return load_fundamentals(folder / "quarters.parquet")


def test_the_figures_of_the_newest_quarter_by_hand(tmp_path):
    found = known(quarters(), tmp_path)
    Quarters.validate(quarters())
    assert found.symbol.tolist() == ["AAA"] * 6
    assert not found.snapshots
    assert found.max_age_days == 180
    # The quarter to 2023-12-31: incomes 2 + 3 + 4 + 5 of 100; debt 40 of 100; against 2022-12-31 12.5 of 10, 0.5 of 0.1
    assert found.roe_ttm_pct[4] == pytest.approx(14.0)
    assert found.debt_to_equity[4] == pytest.approx(0.4)
    assert found.revenue_growth_yoy_pct[4] == pytest.approx(25.0)
    assert found.eps_growth_yoy_pct[4] == pytest.approx(400.0)
    assert found.book_value_per_share[4] == pytest.approx(10.0)
    # The quarter to 2024-03-31: 3 + 4 + 5 + 6 of 120; 9 of 10, 0.1 of 0.2
    assert found.roe_ttm_pct[5] == pytest.approx(15.0)
    assert found.debt_to_equity[5] == pytest.approx(0.75)
    assert found.revenue_growth_yoy_pct[5] == pytest.approx(-10)
    assert found.eps_growth_yoy_pct[5] == pytest.approx(-50)
    # A year must be known of growth, four quarters of ROE.
    assert np.isnan(found.revenue_growth_yoy_pct[:4]).all()
    assert np.isnan(found.roe_ttm_pct[:3]).all()
    assert found.roe_ttm_pct[3] == pytest.approx(10e6 / 99e6 * 100)


def test_a_filing_is_known_on_the_day_after_past_midnight_in_new_york(tmp_path):
    found = known(quarters(), tmp_path)
    assert str(found.known_at[4])[:16] == "2024-02-10T05:00"  # filed on 2024-02-09
    close = np.datetime64("2024-02-09T21:00")
    assert (found.known_at <= close).sum() == 4


def test_a_later_filing_of_a_quarter_replaces_it_from_the_day_after_and_never_before(tmp_path):
    corrected = quarters().iloc[[4]].assign(filed_at=pd.Timestamp("2024-03-01"), net_income=15e6, version=2)
    frame = pd.concat([corrected, quarters()])  # in any order
    found = known(frame, tmp_path)
    assert found.roe_ttm_pct[4] == pytest.approx(14.0)
    assert str(found.known_at[5])[:10] == "2024-03-02"
    assert found.roe_ttm_pct[5] == pytest.approx(24.0)
    assert found.roe_ttm_pct[6] == pytest.approx((3 + 4 + 15 + 6) / 120 * 100)


def test_what_the_newest_quarter_lacks_is_taken_from_the_one_before_and_from_none_older(tmp_path):
    frame = quarters(equity=[90e6, 92e6, 95e6, 99e6, 100e6, np.nan], revenue=[10e6, 10e6, 11e6, 12e6, np.nan, np.nan])
    found = known(frame, tmp_path)
    assert found.roe_ttm_pct[5] == pytest.approx(14.0)
    assert found.debt_to_equity[5] == pytest.approx(0.4)
    assert found.eps_growth_yoy_pct[5] == pytest.approx(-50)
    assert np.isnan(found.revenue_growth_yoy_pct[5])


def test_a_gap_between_quarters_gives_no_year(tmp_path):
    found = known(quarters().drop([2, 3]), tmp_path)  # 2023-03-31, then 2023-12-31
    assert np.isnan(found.roe_ttm_pct).all()
    assert found.revenue_growth_yoy_pct[2] == pytest.approx(25.0)


def test_eps_across_a_split_say_nothing_of_growth(tmp_path):
    found = known(quarters(shares_diluted=[10e6, 10e6, 10e6, 40e6, 40e6, 40e6]), tmp_path)
    assert np.isnan(found.eps_growth_yoy_pct[4:]).all()
    assert found.revenue_growth_yoy_pct[4] == pytest.approx(25.0)


def test_growth_from_nothing_or_a_loss_is_none(tmp_path):
    found = known(quarters(eps_diluted=[-0.1, 0.0, 0.3, 0.4, 0.5, 0.1]), tmp_path)
    assert np.isnan(found.eps_growth_yoy_pct[4:]).all()


def test_negative_equity_has_no_roe_and_shows_in_debt_and_book_value(tmp_path):
    found = known(quarters(equity=[90e6, 92e6, 95e6, 99e6, 100e6, -20e6]), tmp_path)
    assert found.debt_to_equity[5] == pytest.approx(-4.5)
    assert found.book_value_per_share[5] == pytest.approx(-2.0)
    assert found.roe_ttm_pct[4] == pytest.approx(14.0)


def test_missing_debt_stays_missing(tmp_path):
    assert np.isnan(known(quarters(total_debt=[np.nan] * 6), tmp_path).debt_to_equity).all()


def test_amounts_in_another_currency_and_impossible_ones_are_named_and_not_used(tmp_path):
    frame = quarters(total_debt=[45e6, 46e6, 47e6, 49.5e6, -1.0, 90e6]).assign(currency=["USD"] * 5 + ["EUR"])
    found = known(frame, tmp_path)
    assert found.warnings == (
        "1 values of total_debt are impossible and not used: e.g. AAA on 2024-02-09.",
        "1 quarters are not in USD and not used: e.g. AAA on 2024-05-10.",
    )
    assert found.debt_to_equity[4] == pytest.approx(0.5)  # that of the quarter before


def test_figures_as_known_today_are_told(tmp_path):
    found = known(quarters().assign(vintage=["as_filed"] * 3 + ["latest"] * 3), tmp_path)
    assert "50% of the quarters hold figures as known today" in found.warnings[0]


def test_two_companies_do_not_mix(tmp_path):
    both = pd.concat([quarters(), quarters(symbol=["BBB"] * 6, net_income=[8e6] * 6)])
    found = known(both, tmp_path)
    assert found.roe_ttm_pct[found.symbol == "BBB"][4] == pytest.approx(32.0)
    assert found.roe_ttm_pct[found.symbol == "AAA"][4] == pytest.approx(14.0)


def test_a_quarter_without_a_date_of_filing_is_refused(tmp_path):
    with pytest.raises(ExperimentError, match="1 rows have no filed_at"):
        known(quarters(filed_at=[pd.NaT, *(ENDS[1:] + pd.Timedelta(days=40))]), tmp_path)
