"""Factor returns are made of what was known, and a planted exposure is found."""

import numpy as np
import pytest

from tokenomics_dagster.research.factors import FACTORS, exposures, factor_returns
from tokenomics_dagster.research.statistics import NotEnough
from tokenomics_dagster_tests.research.making import panel_of

NAMES, COUNT = 90, 1_000


def market(seed: int = 1):
    """Names that move with the market, each as strongly and wildly as it likes, and grow or shrink."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(0.0003, 0.009, (COUNT, 1))
    wild = rng.uniform(0.005, 0.03, NAMES)
    returns = rng.uniform(0.5, 1.5, NAMES) * moves + rng.normal(0, 1, (COUNT, NAMES)) * wild
    caps = rng.uniform(100, 50_000, NAMES) * np.cumprod(1 + returns, axis=0)
    return panel_of(returns, caps)


PANEL = market()
MADE = factor_returns(PANEL, size=80)


def test_a_factor_starts_when_its_characteristic_is_known() -> None:
    first = np.isfinite(MADE).argmax(axis=0)
    ends = np.flatnonzero(np.diff(PANEL.dates.astype("datetime64[M]").astype(int)))
    year = ends[ends >= 252][0] + 1
    assert first.tolist() == [1, 1, year, year]
    assert np.isfinite(MADE[year:]).all()


def test_what_comes_later_changes_no_factor() -> None:
    """Prices, returns and caps of the last 300 sessions are others: what was before stays as it was, bit by bit."""
    returns, caps = PANEL.returns.copy(), PANEL.market_cap.copy()
    returns[700:] = np.random.default_rng(2).normal(0, 0.2, (300, NAMES)).clip(-0.9)
    caps[700:] = caps[700:, ::-1]
    other = factor_returns(panel_of(returns, caps), size=80)
    assert np.array_equal(other[:700], MADE[:700], equal_nan=True)
    assert not np.array_equal(other[700:], MADE[700:])


def test_thirds_and_weights_by_hand() -> None:
    """Of the 80 largest at the last close of October 2022 the market is by cap, size the 26 smallest less the 26
    largest."""
    month = PANEL.dates.astype("datetime64[M]")
    row = int(np.flatnonzero(month == np.datetime64("2022-10"))[-1])
    order = np.argsort(-PANEL.market_cap[row])[:80]
    for day in (row + 1, row + 15):
        assert month[day] == np.datetime64("2022-11")
        returns, caps = PANEL.returns[day], PANEL.market_cap[row]
        assert MADE[day, 0] == pytest.approx((caps[order] / caps[order].sum()) @ returns[order], rel=1e-9)
        assert MADE[day, 1] == pytest.approx(returns[order[-26:]].mean() - returns[order[:26]].mean(), rel=1e-9)
        grown = PANEL.price[row - 21, order] / PANEL.price[row - 252, order]
        by_growth = order[np.argsort(grown)]
        assert MADE[day, 2] == pytest.approx(returns[by_growth[-26:]].mean() - returns[by_growth[:26]].mean(), rel=1e-9)
        moved = PANEL.returns[row - 251 : row + 1, order].std(axis=0)
        by_moves = order[np.argsort(moved)]
        assert MADE[day, 3] == pytest.approx(returns[by_moves[:26]].mean() - returns[by_moves[-26:]].mean(), rel=1e-9)


def test_a_planted_exposure_is_found_within_two_errors_and_so_is_what_is_left() -> None:
    planted = np.array([0.8, 0.3, -0.4, 0.2])
    there = np.isfinite(MADE).all(axis=1)
    kept = MADE[there]
    misses = []
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(0.0004, 0.004, len(kept))
        made = exposures(kept @ planted + noise, kept)
        misses.append(
            [abs(one.beta - truth) > 2 * one.error for one, truth in zip(made.loadings, planted, strict=True)]
            + [not made.alpha_low <= 0.0004 * 252 <= made.alpha_high]
        )
        assert [one.factor for one in made.loadings] == list(FACTORS)
        assert all(one.low < one.beta < one.high for one in made.loadings)
    assert not any(misses[0])
    assert np.mean(misses) < 0.1  # 5 % by chance


def test_memory_in_what_is_left_widens_its_interval() -> None:
    kept = MADE[np.isfinite(MADE).all(axis=1)]
    noise = np.random.default_rng(3).normal(0, 0.004, len(kept))
    bound = noise.copy()
    for at in range(1, len(bound)):
        bound[at] += 0.5 * bound[at - 1]
    bound *= noise.std() / bound.std()
    widths = [made.alpha_high - made.alpha_low for made in (exposures(one, kept) for one in (noise, bound))]
    assert widths[1] > 1.25 * widths[0]


def test_a_short_record_has_no_exposures() -> None:
    with pytest.raises(NotEnough, match=r"need 252 sessions with all of the factors, and there are \d+;"):
        exposures(MADE[:400, 0], MADE[:400])


def test_sessions_without_a_factor_are_counted() -> None:
    made = exposures(np.nan_to_num(MADE[:, 0]) + 1e-4, MADE)
    assert made.sessions + made.left_out == COUNT
    assert made.sessions == np.isfinite(MADE).all(axis=1).sum()
    assert made.r_squared == pytest.approx(1)
    assert made.alpha == pytest.approx(252e-4)


def test_a_market_of_few_names_has_no_factors() -> None:
    assert np.isnan(factor_returns(PANEL, size=29)).all()


def test_a_name_in_quarantine_is_in_no_third() -> None:
    barred = np.zeros((COUNT, NAMES), dtype=bool)
    barred[:, 0] = True
    returns = PANEL.returns.copy()
    with_it = factor_returns(panel_of(returns, PANEL.market_cap, barred=barred), size=NAMES)
    returns[:, 0] = 0.5
    price = PANEL.price.copy()
    assert np.array_equal(
        factor_returns(panel_of(returns, PANEL.market_cap, barred=barred, price=price), size=NAMES),
        with_it,
        equal_nan=True,
    )
