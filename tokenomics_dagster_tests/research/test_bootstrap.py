"""Intervals by drawing a record anew: what they are made of, where they are refused, and that they cover."""

import math
import time
import warnings

import numpy as np
import pytest

from tokenomics_dagster.research.bootstrap import (
    Interval,
    block_length,
    bootstrap,
    max_drawdowns,
    sharpe_difference,
)
from tokenomics_dagster.research.statistics import NotEnough, daily_returns, drawdowns, growth, sharpe, volatility
from tokenomics_dagster_tests.research.making import sessions

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import empyrical

RETURNS = np.random.default_rng(2).normal(0.0005, 0.01, 1_000)


def remembering(rho: float, count: int, seed: int) -> np.ndarray:
    """Daily returns of which each is rho of the one before, and noise."""
    noise = np.random.default_rng(seed).normal(0, 0.01 * math.sqrt(1 - rho**2), count + 100)
    for at in range(1, len(noise)):
        noise[at] += rho * noise[at - 1]
    return noise[100:]


def test_the_estimates_are_the_figures_of_the_record() -> None:
    made = bootstrap(RETURNS, seed=1, draws=500)
    assert made.sharpe.estimate == pytest.approx(sharpe(RETURNS), rel=1e-9)
    assert made.volatility.estimate == pytest.approx(volatility(RETURNS), rel=1e-9)
    assert made.growth.estimate == pytest.approx(np.prod(1 + RETURNS) ** (252 / 1_000) - 1, rel=1e-9)
    for one in (made.sharpe, made.volatility, made.growth):
        assert one.low < one.estimate < one.high


def test_without_memory_the_interval_is_the_textbooks() -> None:
    made = bootstrap(RETURNS, seed=1)
    error = math.sqrt((1 + made.sharpe.estimate**2 / 252 / 2) / 999) * math.sqrt(252)
    assert made.sharpe.high - made.sharpe.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_the_same_seed_gives_the_same_answer_and_another_one_another() -> None:
    assert bootstrap(RETURNS, 7, draws=300) == bootstrap(RETURNS, 7, draws=300)
    assert bootstrap(RETURNS, 7, draws=300) != bootstrap(RETURNS, 8, draws=300)


def test_memory_asks_for_longer_blocks_and_wider_intervals() -> None:
    calm, bound = remembering(0.0, 2_000, 3), remembering(0.4, 2_000, 3)
    assert block_length(calm) < block_length(bound)
    widths = [made.sharpe.high - made.sharpe.low for made in (bootstrap(one, 1, draws=999) for one in (calm, bound))]
    # the variance of a mean grows by (1 + rho) / (1 - rho)
    assert widths[1] / widths[0] == pytest.approx(math.sqrt(1.4 / 0.6), rel=0.2)


def test_a_short_record_is_refused_with_what_it_would_take() -> None:
    with pytest.raises(NotEnough, match=r"20 are needed, which is \d+ daily returns"):
        bootstrap(remembering(0.9, 260, 7), seed=1)
    with pytest.raises(NotEnough, match="251 daily returns are less than a year of 252"):
        bootstrap(RETURNS[:251], seed=1)
    with pytest.raises(NotEnough, match="more than any number"):
        bootstrap(RETURNS + 20, seed=1)
    with pytest.raises(NotEnough, match="do not differ"):
        bootstrap(np.full(500, 0.001), seed=1)


def test_storms_are_kept_together_by_the_longest_blocks_that_there_may_be() -> None:
    """Calm and wild quarters in turn, without any memory of the sign: the interval of volatility is wider than where
    the same days come in any order, and worse falls are to be made ready for."""
    calm, wild = np.repeat([0.005, 0.02], 60), np.random.default_rng(11)
    stormy = np.tile(calm, 10) * wild.normal(size=1_200)
    made, mixed = bootstrap(stormy, 1, draws=999), bootstrap(wild.permutation(stormy), 1, draws=999)
    assert made.block < made.storm_block == 60
    widths = [one.volatility.high - one.volatility.low for one in (made, mixed)]
    assert widths[0] > 1.5 * widths[1]
    assert made.drawdown[0.95] > mixed.drawdown[0.95]


@pytest.mark.parametrize("block", [1, 3, 7])
def test_drawdowns_are_those_of_the_paths_that_the_blocks_make(block) -> None:
    starts = np.random.default_rng(4).integers(0, 100, size=(130, math.ceil(100 / block)))
    found = max_drawdowns(np.log1p(RETURNS[:100]), starts, block)
    for row, fall in zip(starts, found, strict=True):
        order = np.concatenate([np.arange(start, start + block) % 100 for start in row])[:100]
        falls = drawdowns(1.0, np.cumprod(1 + RETURNS[order]), sessions(100))
        assert fall == pytest.approx(falls[0].depth, rel=1e-9)


def test_a_record_that_only_rises_falls_in_no_draw() -> None:
    assert max_drawdowns(np.log1p(np.full(50, 0.01)), np.zeros((3, 50), dtype=np.int64), 1).tolist() == [0, 0, 0]


def test_two_records_of_one_skill_do_not_differ_and_those_of_two_do() -> None:
    noise = np.random.default_rng(9).normal(0, 0.004, (2, 1_500))
    market = np.random.default_rng(10).normal(0.0004, 0.01, 1_500)
    alike = sharpe_difference(market + noise[0], market + noise[1], seed=1, draws=2_000)
    better = sharpe_difference(market + noise[0] + 0.0008, market + noise[1], seed=1, draws=2_000)
    assert alike.sharpe.low < 0 < alike.sharpe.high
    assert alike.p > 0.05
    assert better.sharpe.low > 0
    assert better.p < 0.01
    assert better.sharpe.estimate == pytest.approx(
        empyrical.sharpe_ratio(market + noise[0] + 0.0008) - empyrical.sharpe_ratio(market + noise[1]), rel=1e-9
    )


def test_p_and_the_interval_agree_on_zero() -> None:
    for seed in range(12):
        noise = np.random.default_rng(seed).normal(0.0003, 0.01, (2, 400))
        made = sharpe_difference(noise[0], noise[1] - 0.0008, seed=1, draws=999)
        assert (made.p < 0.05) == (not made.sharpe.low <= 0 <= made.sharpe.high)


def test_a_record_against_itself_is_refused() -> None:
    with pytest.raises(NotEnough, match="do not differ"):
        sharpe_difference(RETURNS, RETURNS, seed=1)


def covers(interval: Interval | None, truth: float) -> bool:
    return interval is not None and interval.low <= truth <= interval.high


@pytest.mark.soak
@pytest.mark.parametrize("rho", [0.0, 0.1])
def test_the_intervals_cover_what_they_say(rho) -> None:
    mean, hits = 0.0005, []
    for seed in range(1_000):
        record, other = (mean + remembering(rho, 1_000, 2 * seed + at) for at in (0, 1))
        made = bootstrap(record, seed, draws=999)
        difference = sharpe_difference(record, other, seed, draws=999)
        hits.append(
            (
                covers(made.sharpe, mean / 0.01 * math.sqrt(252)),
                covers(made.volatility, 0.01 * math.sqrt(252)),
                covers(made.growth, math.expm1(252 * (mean - 0.01**2 / 2))),
                covers(difference.sharpe, 0.0),
            )
        )
    shares = np.mean(hits, axis=0)
    assert ((shares >= 0.93) & (shares <= 0.97)).all(), shares


@pytest.mark.soak
def test_ten_thousand_draws_of_five_years_take_at_most_six_tenths_of_a_second() -> None:
    record = np.random.default_rng(1).normal(0.0004, 0.01, 1_388)
    spent = []
    for _ in range(5):
        before = time.process_time()
        bootstrap(record, seed=1, draws=10_000)
        spent.append(time.process_time() - before)
    assert min(spent) <= 0.6, spent


def test_growth_of_the_calendar_and_of_the_sessions_are_near() -> None:
    """252 sessions a year here, days there: they differ by what holidays do, and by no more."""
    equity = 100 * np.cumprod(np.append(1.0, 1 + RETURNS))
    by_days = growth(100.0, equity, sessions(1_001))
    made = bootstrap(daily_returns(equity), seed=1, draws=50).growth
    assert made.estimate == pytest.approx(by_days, rel=0.06)
