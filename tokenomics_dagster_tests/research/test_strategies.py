"""The shipped strategies: whom they hold and with how much, and that whole arrays decide as a view does."""

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from tokenomics_dagster.fundamentals.scoring import score_arrays
from tokenomics_dagster.research.apart import answers
from tokenomics_dagster.research.deciding import decided, decisions
from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.finding import find, is_shipped
from tokenomics_dagster.research.strategies import OUT_OF_SAMPLE, SHIPPED, Momentum
from tokenomics_dagster_tests.research.small_market import SETTINGS, experiment, figures, market

UNCAPPED = {"max_position_pct": 100}


class ByView:
    """A shipped strategy that is not known to be one: each session is shown to it."""

    def __init__(self, shipped) -> None:
        self.decide = shipped.decide


def held(name: str, panel, told=None, **values) -> dict[date, Any]:
    return dict(answers(decisions(panel, told, experiment(name, **values), SETTINGS), panel))


@pytest.mark.parametrize("snapshots", [True, False])
@pytest.mark.parametrize("name", SHIPPED)
def test_the_whole_arrays_decide_exactly_as_the_views(name, snapshots):
    panel = market(90, 40, seed=3)
    told = figures(panel, snapshots=snapshots)
    short = {"momentum": {"lookback": 30, "skip": 5}, "low_volatility": {"lookback": 30}}
    asked = experiment(name, universe_size=25, top_n=8, cadence="daily", parameters=short.get(name, {}))
    fast = decisions(panel, told, asked, SETTINGS)
    slow = decided(panel, told, asked, SETTINGS, ByView(find(asked)()))
    for field in ("sessions", "starts", "names", "weights", "eligible", "refused"):
        np.testing.assert_array_equal(getattr(fast, field), getattr(slow, field), err_msg=field)
    assert len(fast.names) > 0


def test_equal_weight_holds_the_largest_of_the_universe_each_the_same():
    panel = market(10, 200, seed=1, late=0, gaps=0)
    panel = replace(panel, barred=None)
    for weights in held("equal", panel, top_n=100, rebalancing=UNCAPPED).values():
        assert len(weights) == 100
        assert np.abs(np.array(list(weights.values())) - 1 / 100).max() <= 1e-12
    largest = np.argsort(-panel.market_cap[0], kind="stable")[:100]
    first = held("equal", panel, top_n=100, rebalancing=UNCAPPED)[date(2024, 1, 2)]
    assert list(first) == [panel.symbols[at] for at in largest]


def test_cap_weight_is_cap_over_sum():
    panel = replace(market(10, 200, seed=1, late=0, gaps=0), barred=None)
    largest = np.argsort(-panel.market_cap[0], kind="stable")[:100]
    caps = panel.market_cap[0][largest]
    weights = held("cap", panel, top_n=100, rebalancing=UNCAPPED)[date(2024, 1, 2)]
    assert np.abs(np.array(list(weights.values())) - caps / caps.sum()).max() <= 1e-12


@pytest.mark.parametrize("name", SHIPPED)
def test_no_weight_exceeds_the_cap_of_the_settings(name):
    panel = market(300, 40, seed=2, late=0)
    for weights in held(name, panel, figures(panel), top_n=12, rebalancing={"max_position_pct": 4}).values():
        assert weights is None or max(weights.values()) <= 0.04
        assert weights is None or len(weights) <= 12


def test_fundamentals_are_the_live_rules_on_what_was_known():
    panel = replace(market(30, 40, seed=5), barred=None)
    told = figures(panel)
    rules = SETTINGS.rebalancing
    decided_ = held("fundamentals", panel, told, universe_size=30, top_n=10)
    for day, weights in decided_.items():
        row = int(np.flatnonzero(panel.dates == np.datetime64(day))[0])
        now = np.datetime64(day, "ns") + np.timedelta64(21, "h")
        newest = told.known_at == told.known_at[told.known_at <= now].max()
        points, _ = score_arrays(
            told.roe_ttm_pct[newest],
            told.debt_to_equity[newest],
            told.revenue_growth_yoy_pct[newest],
            told.eps_growth_yoy_pct[newest],
            told.book_value_per_share[newest],
            SETTINGS.fundamentals.score,
        )
        score = dict(zip(told.symbol[newest].tolist(), points.tolist(), strict=True))
        caps = {symbol: panel.market_cap[row, at] for at, symbol in enumerate(panel.symbols)}
        there = [s for at, s in enumerate(panel.symbols) if panel.price[row, at] > 0 and caps[s] > 0]
        universe = sorted(there, key=lambda symbol: (-caps[symbol], symbol))[:30]
        wanted = [symbol for symbol in universe if score[symbol] >= rules.min_score]
        best = sorted(wanted, key=lambda symbol: (-score[symbol], -caps[symbol], symbol))[:10]
        assert list(weights) == best
        raw = np.array([score[symbol] for symbol in best])
        # ten names at most at 5 percent each: all stand at the cap
        np.testing.assert_allclose(list(weights.values()), np.minimum(raw / raw.sum(), 0.05), atol=1e-12)


def test_momentum_holds_who_grew_most_until_a_month_ago():
    panel = replace(market(300, 20, seed=4, late=0, gaps=0), barred=None)
    found = held("12-1 momentum", panel, top_n=3)
    day = list(found)[-1]
    row = int(np.flatnonzero(panel.dates == np.datetime64(day))[0])
    growth = np.prod(1 + panel.returns[row - 251 : row - 20], axis=0)
    assert list(found[day]) == [panel.symbols[at] for at in np.argsort(-growth)[:3]]
    assert all(said is None for said in list(found.values())[:50])


def test_low_volatility_holds_who_moved_least_but_no_stale_price():
    panel = replace(market(300, 20, seed=4, late=0, gaps=0), barred=None)
    stale = panel.returns.copy()
    stale[:, 7] = 0
    panel = replace(panel, returns=stale)
    found = held("low volatility", panel, top_n=3)
    day = list(found)[-1]
    row = int(np.flatnonzero(panel.dates == np.datetime64(day))[0])
    deviation = panel.returns[row - 251 : row + 1].std(axis=0, ddof=1)
    deviation[7] = np.inf
    assert list(found[day]) == [panel.symbols[at] for at in np.argsort(deviation)[:3]]


def test_a_name_without_a_years_history_has_no_momentum():
    panel = replace(market(300, 4, seed=4, late=0, gaps=0), barred=None)
    price, returns = panel.price.copy(), panel.returns.copy()
    price[:40, 1] = np.nan  # the best by far, and too young
    returns[40:, 1] = 0.05
    returns[:40, 1] = 0
    panel = replace(panel, price=price, returns=returns)
    found = held("momentum", panel, cadence="daily", top_n=1)
    assert "S001" not in found[panel.dates[286].item()]  # 40 sessions and a year
    assert "S001" in found[panel.dates[296].item()]


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("equal", "equal_weight"),
        ("Equal Weight", "equal_weight"),
        ("equal-weight", "equal_weight"),
        ("cap", "cap_weight"),
        ("cap-weighted", "cap_weight"),
        ("12-1 momentum", "momentum"),
        ("low volatility", "low_volatility"),
        ("low-vol", "low_volatility"),
        ("fundamentals", "fundamentals"),
    ],
)
def test_a_shipped_strategy_is_found_however_it_is_spelled(spelling, name):
    made = find(experiment(spelling))()
    assert type(made) is SHIPPED[name]
    assert is_shipped(made)


def test_who_derives_from_a_shipped_strategy_is_shown_views():
    class Mine(Momentum):
        pass

    assert not is_shipped(Mine())


@pytest.mark.parametrize("parameters", [{"lookback": 0}, {"skip": 252}, {"lookback": 10, "skip": 10}])
def test_parameters_that_make_no_sense_are_named(parameters):
    with pytest.raises(ExperimentError, match=r"parameters\.(lookback|skip) = \d+ is not allowed"):
        find(experiment("momentum", parameters=parameters))


def test_fundamentals_without_figures_say_which_key_is_missing():
    with pytest.raises(ExperimentError, match=r"needs data\.fundamentals"):
        decisions(market(), None, experiment("fundamentals"), SETTINGS)


def test_one_date_is_out_of_sample_for_all_and_a_year_of_the_recorded_history_follows():
    assert date(2025, 1, 1) == OUT_OF_SAMPLE
    days = np.busday_count(OUT_OF_SAMPLE, date(2026, 8, 21))
    assert days > 252 + 30
