"""What must not be chosen: wrong and borrowed market caps, renames; and that nothing later than a cell judges it."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.research.borrowed import WINDOW
from tokenomics_dagster.research.panel import Panel
from tokenomics_dagster.research.quarantine import Doubts, judged, wrong_caps
from tokenomics_dagster_tests.research.files import DAYS, cell, loaded, market, told


def made(price: np.ndarray, market_cap: np.ndarray, volume: np.ndarray | None = None, symbols: str = "") -> Panel:
    """A panel whose returns follow its prices; a share is traded a million times a session, unless told."""
    sessions, names = price.shape
    before = pd.DataFrame(price).ffill().shift(1).to_numpy()
    dates = np.datetime64("2020-01-01") + np.arange(sessions)
    return Panel(
        dates=dates,
        symbols=tuple(symbols.split()) or tuple(f"N{number:03}" for number in range(names)),
        price=price.copy(),
        returns=np.nan_to_num(price / before - 1),
        market_cap=market_cap.copy(),
        volume=np.full(price.shape, 1e6) if volume is None else volume.copy(),
    )


def barred(panel: Panel, size: int = 10_000) -> np.ndarray:
    doubts = Doubts(panel.dates, panel.symbols, np.zeros(panel.price.shape, np.uint16))
    found = judged(panel, doubts, quarantine=True, universe_size=size).barred
    assert found is not None
    return found


def walk(sessions: int, names: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Prices, and the caps of share counts that no two names have alike."""
    random = np.random.default_rng(seed)
    price = 50 * np.exp(np.cumsum(random.normal(0, 0.01, (sessions, names)), axis=0))
    return price, price * (100 * 1.13 ** np.arange(names))


@pytest.mark.parametrize("factor", [20.0, 75.0, 1_000.0, 1 / 20, 2.1])
def test_a_cap_that_disagrees_with_its_own_shares_is_named_and_not_chosen(tmp_path, factor):
    frame = market()
    frame.loc[cell(frame, "BBB", 3), "market_cap_musd"] *= factor
    panel = loaded(frame, tmp_path)
    assert panel.barred is not None
    assert panel.barred.sum() == 1
    assert panel.barred[3, 1]
    (one,) = panel.quarantined
    assert (one.symbol, one.first, one.last) == ("BBB", date(2024, 1, 5), date(2024, 1, 5))
    assert f"disagrees with the shares that it implied in the 63 sessions before ({factor:.3g} times" in one.reason
    assert "1 rows of 1 names (1 of them among the day's 1,500 largest) are not chosen" in told(panel)


def test_without_quarantine_nothing_is_barred_and_all_is_told(tmp_path):
    frame = market()
    frame.loc[cell(frame, "BBB", 3), "market_cap_musd"] *= 20
    panel = loaded(frame, tmp_path, quarantine=False)
    assert panel.barred is None
    assert panel.quarantined == ()
    assert "are chosen all the same, for quarantine is false: its market cap disagrees" in told(panel)


def test_a_cap_may_double_but_no_more(tmp_path):
    frame = market()
    frame.loc[cell(frame, "BBB", 3), "market_cap_musd"] *= 1.99
    assert loaded(frame, tmp_path).quarantined == ()


def test_a_split_bars_nobody_and_a_cap_that_follows_it_late_is_barred_meanwhile():
    price, cap = walk(20, 3)
    price[10:, 1] /= 4  # the cap stays: NVDA on 2024-06-10
    price[10:, 2] /= 3  # TSLA on 2022-08-25: the cap follows after three sessions
    cap[10:13, 2] /= 3
    panel = made(price, cap)
    returns = panel.returns.copy()
    returns[10, 1:] = 0.001
    found = barred(replace(panel, returns=returns))
    assert not found[:, :2].any()
    assert np.flatnonzero(found[:, 2]).tolist() == [10, 11, 12]


def test_a_new_level_is_believed_once_it_is_the_median_of_the_window():
    price, cap = walk(2 * WINDOW, 1)
    cap[WINDOW:] *= 5
    assert np.flatnonzero(barred(made(price, cap))[:, 0]).tolist() == list(range(WINDOW, WINDOW + WINDOW // 2 + 1))


@given(st.integers(0, 2**32 - 1))
def test_wrong_caps_are_those_of_a_plain_rolling_median(seed):
    random = np.random.default_rng(seed)
    price, cap = walk(100, 5, seed)
    cap *= random.choice([1.0, 1.0, 1.0, 0.3, 2.5, np.nan], cap.shape)
    price[random.random(price.shape) < 0.1] = np.nan
    panel = made(price, cap)
    rows, columns, factors = wrong_caps(panel.price, panel.returns, panel.market_cap)
    shares = pd.DataFrame(cap / np.cumprod(1 + panel.returns, axis=0)).where(price > 0)
    expected = (shares / shares.shift(1).rolling(WINDOW, min_periods=1).median()).to_numpy()
    wrong = (expected > 2) | (expected < 0.5)
    assert np.array_equal(np.flatnonzero(wrong), rows * 5 + columns)
    assert np.allclose(expected[rows, columns], factors)


def borrowers(symbols: str, prices: list[float], volumes: list[int], shares: list[float]) -> list[str]:
    """Who is barred on the last of three sessions."""
    price = np.tile(prices, (3, 1))
    panel = made(price, price * shares, np.tile(volumes, (3, 1)), symbols)
    return [symbol for symbol, out in zip(panel.symbols, barred(panel)[-1], strict=True) if out]


def test_of_an_issuers_securities_only_the_most_traded_stands():
    """The recorded 2026-08-21: shares, notes and a class of Alphabet's with one share count."""
    symbols, volumes = "GOOG GOOGL GOOGM GOOGN", [15_336_092, 20_803_595, 319_890, 204_877]
    assert borrowers(symbols, [341.75, 344.82, 48.99, 48.7], volumes, [12_230.0] * 4) == ["GOOG", "GOOGM", "GOOGN"]


def test_a_note_without_its_issuers_ticker_is_known_by_its_shares_and_how_little_is_traded():
    symbols, prices = "CCZ CMCSA", [66.45, 26.85]
    assert borrowers(symbols, prices, [3, 20_307_962], [3_548.63664] * 2) == ["CCZ"]
    assert borrowers(symbols, prices, [3, 20_307_962], [3_548.63664, 3_548.7]) == []  # near, but not equal
    assert borrowers(symbols, prices, [10_000_000, 20_307_962], [3_548.63664] * 2) == []  # two companies by chance


def test_of_preferred_shares_whose_issuer_is_not_there_none_stands():
    symbols, prices = "BPYPM BPYPN BPYPP ZZZ", [16.5, 14.0, 16.43, 50.0]
    shares = [1_238.7273, 1_238.7278, 1_238.7272, 77.0]
    assert borrowers(symbols, prices, [17_062, 9_638, 39_725, 1_000_000], shares) == ["BPYPM", "BPYPN", "BPYPP"]


def test_a_note_stays_one_when_its_issuers_share_count_is_changed_before_its_own():
    price, cap = walk(60, 6)
    cap[:, 1] = cap[:, 0] / price[:, 0] * price[:, 1]
    cap[:5, 1] *= 0.9  # not yet: that it is one is found later
    cap[40:, 0] *= 0.97
    volume = np.tile([1e6, 1e3, 1e6, 1e6, 1e6, 1e6], (60, 1))
    assert np.flatnonzero(barred(made(price, cap, volume, "T TBB UU VV WW XX"))[:, 1]).tolist() == list(range(5, 60))
    volume[:, 1] = 1e5  # a class: it may part from the other
    found = barred(made(price, cap, volume, "T TBB UU VV WW XX"))
    assert np.flatnonzero(found[:, 1]).tolist() == list(range(5, 40))


def test_the_quarantine_of_a_note_names_the_security_that_stands(tmp_path):
    frame = market(("GOOGL", "GOOGM"))
    other = frame["symbol"] == "GOOGM"
    frame.loc[other, "market_cap_musd"] = frame.loc[other, "last_price"] * 100
    frame.loc[other, "volume"] //= 100
    (one,) = loaded(frame, tmp_path).quarantined
    assert one.symbol == "GOOGM"
    assert one.reason.endswith("another security is traded more (GOOGL)")
    assert (one.first, one.last) == (date(2024, 1, 2), date(2024, 1, 8))


def renaming(old: str, new: str, at: int, sessions: int = 100) -> pd.DataFrame:
    frame = market((old, "OTHER", "THIRD"), sessions)
    return frame.assign(
        symbol=frame["symbol"].where((frame["symbol"] != old) | (frame["date"] < DAYS[at]), new)
    ).sort_values(["date", "symbol"], ignore_index=True)


def test_a_rename_that_is_not_linked_waits_for_a_history_of_its_own(tmp_path):
    panel = loaded(renaming("FB", "META", 10), tmp_path)
    column = panel.symbols.index("META")
    assert panel.barred is not None
    assert np.flatnonzero(panel.barred.any(axis=0)).tolist() == [column]
    assert np.flatnonzero(panel.barred[:, column]).tolist() == list(range(10, 10 + WINDOW))
    (one,) = panel.quarantined
    assert (one.symbol, one.first) == ("META", DAYS[10].item())
    assert one.reason.endswith("a rename that is not linked (FB went away, its shares are the same)")


def test_no_rename_is_what_appears_beside_a_name_that_stays_or_with_other_shares(tmp_path):
    frame = renaming("FB", "META", 10)
    beside = frame[frame["symbol"] == "META"].assign(symbol="FB")
    stays = pd.concat([frame, beside.assign(market_cap_musd=beside["last_price"] * 133)])
    assert loaded(stays.sort_values(["date", "symbol"]), tmp_path).quarantined == ()
    frame.loc[frame["symbol"] == "META", "market_cap_musd"] *= 1.05
    assert loaded(frame, tmp_path).quarantined == ()


def test_a_name_that_comes_back_after_a_quarter_waits_and_after_less_does_not():
    price, cap = walk(3 * WINDOW, 6)
    price[10 : 10 + WINDOW, 0] = np.nan
    price[10 : 10 + WINDOW - 1, 1] = np.nan
    found = barred(made(price, cap))
    assert np.flatnonzero(found[:, 0]).tolist() == list(range(10 + WINDOW, 10 + 2 * WINDOW))
    assert not found[:, 1:].any()


def test_nothing_is_chosen_in_a_session_with_half_the_names_missing():
    price, cap = walk(30, 10)
    price[20, :6] = np.nan
    found = barred(made(price, cap))
    assert found[20].all()
    assert not np.delete(found, 20, axis=0).any()


def test_listed_are_the_days_largest_and_told_are_all():
    price, cap = walk(30, 10)
    cap[20, [0, 9]] *= 3
    panel = made(price, cap)
    found = judged(
        panel, Doubts(panel.dates, panel.symbols, np.zeros(price.shape, np.uint16)), quarantine=True, universe_size=1
    )
    assert [one.symbol for one in found.quarantined] == ["N009"]
    assert found.barred is not None
    assert found.barred.sum() == 2
    assert "2 rows of 2 names (1 of them among the day's 1 largest)" in told(found)


@given(st.integers(0, 2**32 - 1), st.integers(2, 139))
def test_nothing_after_a_session_bars_what_is_in_it(seed, until):
    """A market with all defects at once, whole and cut off."""
    random = np.random.default_rng(seed)
    price, cap = walk(140, 12, seed)
    symbols = "AAA AAAP AAB BB BBX CC CCZ DD EE FF GG HH"
    cap[:, 1] = price[:, 1] * 100
    cap[:, 4] = cap[:, 3] / price[:, 3] * price[:, 4]
    cap *= random.choice([1.0, 1.0, 1.0, 1.0, 3.0, np.nan], cap.shape)
    price[random.random(price.shape) < 0.02] = np.nan
    price[30:100, 7] = np.nan
    start = int(random.integers(20, 120))
    price[:start, 9], price[start:, 8] = np.nan, np.nan
    price[start:, 9], cap[:, 9] = 50.0, 50.0 * 100
    price[start - 1, 8], cap[start - 1, 8] = 50.5, 50.5 * 100
    price[int(random.integers(1, 140)), :7] = np.nan
    volume = random.lognormal(12, 3, price.shape)
    whole = made(price, cap, volume, symbols)
    cut = made(price[:until], cap[:until], volume[:until], symbols)
    assert np.array_equal(barred(whole)[:until], barred(cut))
