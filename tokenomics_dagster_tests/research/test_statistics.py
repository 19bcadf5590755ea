"""Figures of a record: by hand, and against empyrical where it is right."""

import json
import math
import warnings
from datetime import date

import numpy as np
import pytest

from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.runs import Fills
from tokenomics_dagster.research.statistics import (
    TERMS,
    Metrics,
    NotEnough,
    daily_returns,
    drawdowns,
    measure,
    sharpe,
    worst_days,
)
from tokenomics_dagster_tests.research.making import run_of, sessions

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import empyrical

NOISE = np.random.default_rng(5).normal(0.0005, 0.012, 600)
LEVELS = 100 * np.cumprod(np.append(1.0, 1 + NOISE))
OTHER = 70 * np.cumprod(np.append(1.0, 1 + 0.6 * NOISE + np.random.default_rng(6).normal(0, 0.008, 600)))
WHERE_EMPYRICAL_IS_WRONG = {
    "sharpe_ratio": "constant returns: inf, or 1e16 where they differ in the last bit",
    "sortino_ratio": "no return under the target: inf, not undefined",
    "annual_return": "a year is 252 returns, whatever the calendar says; and a week is annualised",
    "calmar_ratio": "made of that annual return",
    "max_drawdown": "of nothing but 1 return it says NaN, and never when it was",
}


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("volatility", lambda r, o: empyrical.annual_volatility(r)),
        ("sharpe", lambda r, o: empyrical.sharpe_ratio(r)),
        ("sortino", lambda r, o: empyrical.sortino_ratio(r)),
        ("max_drawdown", lambda r, o: -empyrical.max_drawdown(r)),
        ("total_return", lambda r, o: empyrical.cum_returns_final(r)),
        ("beta", empyrical.beta),
        ("information_ratio", lambda r, o: empyrical.excess_sharpe(r, o) * math.sqrt(252)),
        ("tracking_error", lambda r, o: empyrical.annual_volatility(r - o)),
    ],
)
def test_a_figure_is_empyricals_where_that_is_right(name, theirs) -> None:
    made = dict(measure(run_of(LEVELS), OTHER))
    assert made[name] == pytest.approx(theirs(daily_returns(LEVELS), daily_returns(OTHER)), rel=1e-12)


def test_returns_that_do_not_differ_have_no_sharpe_ratio_though_empyrical_gives_one() -> None:
    constant = np.full(300, 0.0003)
    assert sharpe(constant) is None
    assert sharpe(np.zeros(300)) is None
    assert (
        sharpe(daily_returns(np.asarray(100 * 1.0003 ** np.arange(300), dtype=np.float64))) is None
    )  # they differ in the last bit
    assert not abs(empyrical.sharpe_ratio(constant)) < 1e9
    made = measure(run_of(100 * 1.0003 ** np.arange(300)))
    assert (made["sharpe"], made["sortino"], made["calmar"]) == (None, None, None)
    assert made["undefined"]["sharpe"] == "the daily returns do not differ from each other"
    assert empyrical.sortino_ratio(constant) == math.inf
    assert set(WHERE_EMPYRICAL_IS_WRONG) <= set(dir(empyrical))


def test_growth_is_by_the_calendar() -> None:
    made = measure(run_of(LEVELS))
    days = (sessions(601)[-1] - sessions(601)[0]) / np.timedelta64(1, "D")
    assert made["cagr"] == pytest.approx((LEVELS[-1] / 100) ** (365.25 / days) - 1, rel=1e-12)
    assert made["cagr"] is not None
    assert made["calmar"] == pytest.approx(made["cagr"] / made["max_drawdown"], rel=1e-12)


def test_nothing_is_a_rate_of_a_year_under_a_year() -> None:
    short = measure(run_of(LEVELS[:252]), OTHER[:252])
    rates = {"cagr", "volatility", "sharpe", "sortino", "calmar", "tracking_error", "information_ratio"}
    assert {name for name, value in short.items() if value is None} == rates
    assert short["undefined"] == dict.fromkeys(rates, "251 daily returns are less than a year of 252")
    assert None not in measure(run_of(LEVELS[:253]), OTHER[:253]).values()


def test_each_figure_is_explained_and_each_missing_one_has_its_reason() -> None:
    assert set(TERMS) | {"undefined"} == set(Metrics.__annotations__)
    for equity in (LEVELS, LEVELS[:2], np.full(400, 100.0), np.full(2, 100.0)):
        for benchmark in (None, OTHER[: len(equity)], np.full(len(equity), 7.0)):
            made = measure(run_of(equity), benchmark)
            assert {name for name, value in made.items() if value is None} == set(made["undefined"])
            assert "NaN" not in json.dumps(made)
            assert "Infinity" not in json.dumps(made)


def test_a_return_of_zero_is_not_won() -> None:
    assert measure(run_of([100, 101, 101, 100, 102]))["hit_rate"] == 0.5
    fills = Fills(np.array([0, 0, 0]), np.array([0, 1, 2]), np.ones(3), np.ones(3), np.zeros(3))
    assert measure(run_of([100, 103], profit=np.array([3.0, 0.0, 0.0, 9.0]), fills=fills))["names_won"] == 1 / 3


def test_exposure_is_what_is_not_cash() -> None:
    assert measure(run_of([100, 200], cash=np.array([100.0, 50.0])))["exposure"] == pytest.approx((0 + 0.75) / 2)


def test_drawdowns_have_their_dates_and_the_capital_is_the_first_height() -> None:
    # 4 Jan 2021 is a Monday. Under the capital at once, back on Wednesday; a second fall that is never made good.
    days = sessions(8)
    found = drawdowns(100.0, np.array([95.0, 90.0, 100.0, 120.0, 120.0, 60.0, 90.0, 119.0]), days)
    deepest, first = found
    assert (deepest.depth, deepest.peak, deepest.trough) == (0.5, date(2021, 1, 8), date(2021, 1, 11))
    assert (deepest.recovered, deepest.sessions) == (None, 3)
    assert first.depth == pytest.approx(0.1)
    assert first.peak == date(2021, 1, 4)
    assert (first.trough, first.recovered, first.sessions) == (date(2021, 1, 5), date(2021, 1, 6), 2)
    assert drawdowns(100.0, np.array([100.0, 101.0]), sessions(2)) == []


def test_what_the_first_session_cost_is_in_the_drawdown_and_the_total() -> None:
    made = measure(run_of([99.0, 99.5, 101.0], capital=100.0))
    assert made["max_drawdown"] == pytest.approx(0.01)
    assert made["total_return"] == pytest.approx(0.01)


def test_worst_days_come_with_their_dates() -> None:
    returns = daily_returns(np.array([100.0, 90.0, 99.0, 49.5, 50.0]))
    found = worst_days(returns, sessions(5), 2)
    assert [day for day, _ in found] == [date(2021, 1, 7), date(2021, 1, 5)]
    assert [value for _, value in found] == pytest.approx([-0.5, -0.1])


@pytest.mark.parametrize("bad", [0.0, -5.0, np.nan, np.inf])
def test_equity_that_has_no_returns_is_refused_with_its_session(bad) -> None:
    with pytest.raises(ExperimentError, match="equity of session 1 is"):
        daily_returns(np.array([100.0, bad, 100.0]))


def test_one_session_is_no_record() -> None:
    with pytest.raises(NotEnough, match="a return needs two sessions, and the record has 1"):
        measure(run_of([100.0]))
