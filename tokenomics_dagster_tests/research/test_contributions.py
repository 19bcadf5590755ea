"""Parts of a profit add up to it: names and industries to the cent, years by multiplication, regimes day by day."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.research.contributions import (
    INTEREST,
    UNKNOWN,
    by_industry,
    by_name,
    by_regime,
    by_year,
    regimes,
)
from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.statistics import daily_returns
from tokenomics_dagster_tests.research.making import run_of

NAMES = [f"N{at:03d}" for at in range(40)]
WALK = np.asarray(100 * np.cumprod(1 + np.random.default_rng(8).normal(0.0004, 0.01, 900)), dtype=np.float64)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(-1e4, 1e4))
def test_the_cents_of_names_and_industries_add_up_to_the_profit(profit, interest) -> None:
    total = sum(profit) + interest
    run = run_of([1e8, 1e8 + total], capital=1e8, profit=np.array(profit), interest=interest)
    parts = by_name(run, NAMES)
    cents = sum(round(part.usd * 100) for part in parts)
    assert cents == round((run.equity[-1] - run.capital) * 100)
    exact = dict(zip(NAMES, profit, strict=False)) | {INTEREST: interest}
    assert all(abs(part.usd - exact[part.of]) < 0.0101 for part in parts)
    industries = by_industry(parts, {name: f"I{at % 3}" for at, name in enumerate(NAMES[:30])})
    assert sum(round(part.usd * 100) for part in industries) == cents
    assert {part.of for part in industries} <= {"I0", "I1", "I2", UNKNOWN, INTEREST}


def test_three_thirds_of_a_cent_are_one_cent() -> None:
    run = run_of([100.0, 100.01], profit=np.full(3, 0.01 / 3))
    assert sorted(part.usd for part in by_name(run, NAMES)) == [0.0, 0.0, 0.01]


def test_a_run_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"the names made 5\.00 USD together, and equity grew by 9\.00 USD"):
        by_name(run_of([100.0, 109.0], profit=np.array([5.0])), NAMES)


def test_years_multiply_to_the_total_return() -> None:
    run = run_of(WALK, capital=97.0)
    rows = by_year(run, WALK)
    assert [row.year for row in rows] == [2021, 2022, 2023, 2024]
    assert sum(row.sessions for row in rows) == 900
    assert np.prod([1 + row.total_return for row in rows]) == pytest.approx(WALK[-1] / 97, rel=1e-12)
    assert np.prod([1 + (row.benchmark or 0.0) for row in rows]) == pytest.approx(WALK[-1] / WALK[0], rel=1e-12)


def test_the_state_of_the_market_is_made_of_earlier_sessions_alone() -> None:
    before = [states[:700].tolist() for states in regimes(WALK)]
    changed = WALK.copy()
    changed[699:] *= np.linspace(5, 0.1, 201)  # the close of a session tells of the next one
    assert [states[:700].tolist() for states in regimes(changed)] == before
    assert [states[700:].tolist() for states in regimes(changed)] != [states[700:].tolist() for states in regimes(WALK)]


def test_the_trend_is_the_close_before_against_the_mean_of_two_hundred() -> None:
    trend, storm = regimes(WALK)
    for t in (200, 333, 899):
        assert trend[t] == ("rising" if WALK[t - 1] > WALK[t - 200 : t].mean() else "falling")
    assert set(trend[:200]) == {UNKNOWN}
    assert set(storm[:316]) == {UNKNOWN}
    assert set(storm[316:]) == {"calm", "middle", "stormy"}


def test_a_market_that_becomes_wild_is_stormy() -> None:
    wild = np.random.default_rng(1).normal(0, np.where(np.arange(900) < 600, 0.005, 0.03))
    _, storm = regimes(np.asarray(100 * np.cumprod(1 + wild), dtype=np.float64))
    assert set(storm[660:700]) == {"stormy"}


def test_regimes_of_one_kind_hold_each_return_once() -> None:
    run = run_of(WALK[400:], capital=WALK[400])
    rows = by_regime(run, WALK)
    trend = [row for row in rows if row.regime in ("rising", "falling")]
    storm = [row for row in rows if row.regime in ("calm", "middle", "stormy")]
    for kind in (trend, storm):
        assert sum(row.sessions for row in kind) == len(daily_returns(run.equity))
        assert np.prod([1 + row.total_return for row in kind]) == pytest.approx(WALK[-1] / WALK[400], rel=1e-9)
        assert all(row.market == pytest.approx(row.total_return) for row in kind)
