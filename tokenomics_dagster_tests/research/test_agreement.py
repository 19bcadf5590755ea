"""A return that is not the one between its two closes is told: one, those of a session, those of a whole file."""

import numpy as np
import pandas as pd
import pytest

from tokenomics_dagster_tests.research.files import DAYS, cell, loaded, market, told

NAMES = tuple(f"N{number:02d}" for number in range(24))


@pytest.fixture
def prices() -> pd.DataFrame:
    return market(NAMES, 20)


def test_a_market_whose_changes_are_those_of_its_closes_is_told_nothing_of(prices, tmp_path):
    assert told(loaded(prices, tmp_path)) == ""


@pytest.mark.parametrize("change", [20.0, -20.0, 60.0])
def test_one_changed_return_is_named(prices, tmp_path, change):
    prices.loc[cell(prices, "N07", 12), "change_pct"] = change
    assert "1 changes of 1 names lead to a price that differs from their close by more than 5%" in told(
        loaded(prices, tmp_path)
    )
    assert f"N07 on {DAYS[12]}" in told(loaded(prices, tmp_path))


def test_a_missing_change_of_a_price_that_moved_is_named(prices, tmp_path):
    """It counts as 0, by C2: a column without any would be a market that stands still."""
    at = cell(prices, "N07", 12)
    prices.loc[at:, ["last_price", "market_cap_musd"]] *= np.where(prices.loc[at:, ["symbol"]] == "N07", 1.2, 1.0)
    prices.loc[at, "change_pct"] = None
    assert f"N07 on {DAYS[12]}" in told(loaded(prices, tmp_path))


@pytest.mark.parametrize("wrong", ["fractions", "signs", "the next day's", "none at all"])
def test_changes_of_a_whole_file_that_are_no_percent_of_the_closes_are_told_by_session(prices, tmp_path, wrong):
    change = prices["change_pct"]
    prices["change_pct"] = {
        "fractions": change / 100,
        "signs": -change,
        "the next day's": prices.groupby("symbol")["change_pct"].shift(-1),
        "none at all": change * np.nan,
    }[wrong]
    sentences = told(loaded(prices, tmp_path))
    assert "In 19 sessions the changes of 25% of the names or more do not lead from the close before" in sentences
    assert "lead to a price that differs" not in sentences


def test_a_session_that_is_missing_is_told_by_the_changes_after_it(prices, tmp_path):
    sentences = told(loaded(prices[prices["date"] != DAYS[9]], tmp_path))
    assert "In 1 sessions the changes of 25% of the names or more do not lead from the close before to the close (" in (
        sentences
    )
    assert f"e.g. {DAYS[10]}." in sentences


def test_a_split_that_the_share_count_tells_is_none_of_them(prices, tmp_path):
    later = (prices["symbol"] == "N07") & (prices["date"] >= DAYS[12])
    prices.loc[later, "last_price"] /= 10
    assert told(loaded(prices, tmp_path)) == ""


@pytest.mark.parametrize("factor", [2.0, 0.5, 10.0])
@pytest.mark.parametrize("sessions", [1, 3])
@pytest.mark.parametrize("changes", ["of the closes", "as if nothing was"])
def test_a_price_that_goes_away_without_its_cap_and_comes_back_is_told_when_it_is_back(
    prices, tmp_path, factor, sessions, changes
):
    away = (prices["symbol"] == "N07") & prices["date"].isin(DAYS[12 : 12 + sessions])
    prices.loc[away, "last_price"] *= factor
    if changes == "of the closes":
        for session, times in ((12, factor), (12 + sessions, 1 / factor)):
            at = cell(prices, "N07", session)
            prices.loc[at, "change_pct"] = 100 * ((1 + prices.loc[at, "change_pct"] / 100) * times - 1)
    panel = loaded(prices, tmp_path)
    assert "1 times a price went away without its market cap and was back within 5 sessions" in told(panel)
    assert f"e.g. N07 on {DAYS[12 + sessions]}." in told(panel)
    known = loaded(prices[prices["date"] < DAYS[12 + sessions]], tmp_path)
    assert "went away" not in told(known)
    assert known.barred is not None
    assert panel.barred is not None
    assert np.array_equal(panel.barred[: 12 + sessions], known.barred)


@pytest.mark.parametrize("later", ["stays", "comes back with its cap", "comes back late"])
def test_a_price_that_moves_for_good_or_with_its_cap_did_not_come_back(prices, tmp_path, later):
    of_name = prices["symbol"] == "N07"
    if later == "comes back with its cap":
        day = of_name & (prices["date"] == DAYS[12])
        prices.loc[day, ["last_price", "market_cap_musd"]] *= 2
        prices.loc[day, "change_pct"] += 100
        prices.loc[cell(prices, "N07", 13), "change_pct"] -= 50
    else:
        end = DAYS[18] if later == "comes back late" else DAYS[19]
        prices.loc[of_name & (prices["date"] >= DAYS[12]) & (prices["date"] <= end), "last_price"] /= 2
    assert "went away" not in told(loaded(prices, tmp_path))


def test_a_split_that_the_file_tells_is_none_of_them_whatever_the_share_count(prices, tmp_path):
    later = (prices["symbol"] == "N07") & (prices["date"] >= DAYS[12])
    prices.loc[later, "last_price"] /= 10
    prices["split"] = np.where((prices["symbol"] == "N07") & (prices["date"] == DAYS[12]), 10.0, 1.0)
    prices["market_cap_musd"] = np.nan
    assert told(loaded(prices, tmp_path)) == ""
