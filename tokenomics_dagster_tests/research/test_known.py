"""What was known at a close: the day's universe and the newest figures."""

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.research.known import closes, largest, latest, universe
from tokenomics_dagster.research.panel import Fundamentals, Panel
from tokenomics_dagster_tests.research.small_market import figures, instants, market


def one_day(caps: list[float], price: list[float] | None = None, **grids: list[bool]) -> Panel:
    n = len(caps)
    row = np.array([caps], dtype=np.float64)
    prices = np.array([price if price is not None else [10.0] * n])
    symbols = tuple("ABCDEFGHIJ"[:n])
    days = np.array(["2024-01-02"], dtype="datetime64[D]")
    extra: dict[str, Any] = {name: np.array([values]) for name, values in grids.items()}
    return Panel(days, symbols, prices, np.zeros((1, n)), row, np.ones((1, n)), **extra)


def chosen(panel: Panel, size: int) -> str:
    return "".join(symbol for symbol, there in zip(panel.symbols, universe(panel, 0, size), strict=True) if there)


def test_the_universe_is_the_largest_of_the_day_with_ties_by_symbol():
    assert chosen(one_day([5, 9, 7, 7, 7, 1]), 3) == "BCD"
    assert chosen(one_day([5, 9, 7, 7, 7, 1]), 4) == "BCDE"
    assert chosen(one_day([5, 9, 7]), 5) == "ABC"


def test_who_has_no_price_no_market_cap_or_no_trading_is_not_in_the_universe_and_takes_nobodys_place():
    panel = one_day([9, np.nan, 0, -3, 8, 7, np.inf], [0, 10, 10, 10, np.nan, 10, 10])
    assert chosen(panel, 2) == "F"
    halted = one_day([9, 8, 7, 6], halted=[True, False, False, False])
    assert chosen(halted, 2) == "BC"


def test_a_cap_in_quarantine_takes_nobodys_place():
    assert chosen(one_day([9_000_000, 8, 7, 6], barred=[True, False, False, False]), 2) == "BC"


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 35), st.data())
def test_the_largest_are_those_of_a_stable_sort(caps, size, data):
    values = np.array(caps, dtype=np.float64)
    there = np.array(data.draw(st.lists(st.booleans(), min_size=len(caps), max_size=len(caps))))
    columns = [at for at in np.argsort(-values, kind="stable") if there[at]][:size]
    np.testing.assert_array_equal(np.flatnonzero(largest(values, there, size)), sorted(columns))


@pytest.mark.parametrize(("day", "utc"), [("2026-01-12", "21:00"), ("2026-07-06", "20:00")])
def test_a_day_is_decided_at_sixteen_hours_new_york_winter_and_summer(day, utc):
    assert closes(np.array([day], dtype="datetime64[D]"))[0] == np.datetime64(f"{day}T{utc}", "ns")


def rows(known_at: np.ndarray, symbols: str, *, snapshots: bool, max_age_days: float = 400) -> Fundamentals:
    n = np.zeros(len(symbols))
    return Fundamentals(
        known_at, np.array(list(symbols)), n, n, n, n, n, snapshots=snapshots, max_age_days=max_age_days
    )


def found(fundamentals: Fundamentals, symbols: str, *at: str) -> list[list[int]]:
    return [row.tolist() for row, _ in latest(fundamentals, list(symbols), instants(*at))]


def test_of_snapshots_only_the_newest_that_was_known_counts_and_what_it_leaves_out_is_missing():
    known = instants(*["2026-05-16T06:00+00:00"] * 3, *["2026-05-23T06:00+00:00"] * 2)
    told = rows(known, "ACZAB", snapshots=True)
    times = "2026-05-16T05:59:59+00:00", "2026-05-16T06:00:00+00:00", "2026-05-23T05:59+00:00", "2026-05-25T20:00+00:00"
    assert found(told, "ABC", *times) == [[-1, -1, -1], [0, -1, 1], [0, -1, 1], [3, 4, -1]]


def test_of_filings_the_last_of_each_name_counts_until_it_is_too_old():
    known = instants("2026-01-01T06:00+00:00", "2026-02-01T06:00+00:00", "2026-03-01T06:00+00:00")
    told = rows(known, "ABA", snapshots=False, max_age_days=40)
    times = "2025-12-31T00:00+00:00", "2026-02-01T06:00+00:00", "2026-03-10T00:00+00:00", "2026-04-20T00:00+00:00"
    assert found(told, "AB", *times) == [[-1, -1], [0, 1], [2, 1], [-1, -1]]


def test_a_snapshot_that_is_too_old_does_not_count():
    told = rows(instants("2026-01-01T06:00+00:00"), "A", snapshots=True, max_age_days=40)
    assert found(told, "A", "2026-02-10T06:00+00:00", "2026-02-10T06:00:01+00:00") == [[0], [-1]]


@pytest.mark.parametrize("snapshots", [True, False])
def test_the_newest_rows_are_those_that_one_would_look_up(snapshots):
    panel = market()
    told = figures(panel, snapshots=snapshots)
    at = closes(panel.dates[::3])
    for instant, (got, known) in zip(at, latest(told, panel.symbols, at), strict=True):
        before = [row for row in range(len(told.symbol)) if told.known_at[row] <= instant]
        assert known == len(before)
        if snapshots:
            before = [row for row in before if told.known_at[row] == told.known_at[before[-1]]]
        last = {str(told.symbol[row]): row for row in before}
        assert got.tolist() == [last.get(symbol, -1) for symbol in panel.symbols]


def test_a_day_has_the_universe_of_its_own_row():
    panel = market()
    later = replace(panel, market_cap=np.where(np.arange(60)[:, None] > 20, 1.0, panel.market_cap))
    np.testing.assert_array_equal(universe(panel, 20, 10), universe(later, 20, 10))
    assert panel.dates[20].astype("datetime64[D]").item() == date(2024, 1, 30)
