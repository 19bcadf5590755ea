"""The no-skill control: portfolios like the strategy's in all but their names, and what they say of luck."""

from functools import partial

import numpy as np
import pytest
from scipy.stats import kstest

from tokenomics_dagster.research import pools
from tokenomics_dagster.research.engine import simulate, simulate_many
from tokenomics_dagster.research.experiment import Costs, Experiment
from tokenomics_dagster.research.panel import Panel
from tokenomics_dagster.research.pools import Pool, control, draw
from tokenomics_dagster.research.runs import Decisions, Rules
from tokenomics_dagster.research.statistics import NotEnough
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.research.making import decisions_of, panel_of

RULES = Rules("next_close", "whole", 1e6, Costs(), 20.0, 100.0, 0.25)
AT = list(range(0, 240, 5))


def random_strategy(seed: int, names: int = 60, held: int = 10, stay: float = 0.8) -> Decisions:
    """Names without skill, of which some are let go at each decision for ones not held before."""
    rng = np.random.default_rng(seed)
    now = rng.choice(names, held, replace=False)
    chosen = []
    for _ in AT:
        stays = rng.random(held) < stay
        others = np.setdiff1d(np.arange(names), now)
        now = np.concatenate((now[stays], rng.choice(others, held - stays.sum(), replace=False)))
        chosen.append(now)
    return decisions_of(AT, chosen)


def panel(seed: int = 1, names: int = 60) -> Panel:
    return panel_of(np.random.default_rng(seed).normal(0.0003, 0.02, (250, names)))


EVERYBODY = Pool("everybody", "all names", np.ones((len(AT), 60), dtype=bool))


def sets(decisions: Decisions) -> list[set[int]]:
    return [set(decisions.names[a:b].tolist()) for a, b in zip(decisions.starts, decisions.starts[1:], strict=False)]


def test_a_drawn_portfolio_has_the_strategys_size_weights_and_names_held_over() -> None:
    own = random_strategy(1)
    held_over = [len(a & b) for a, b in zip(sets(own), sets(own)[1:], strict=False)]
    for one in draw(own, EVERYBODY, np.random.default_rng(2), 50):
        assert [len(names) for names in sets(one)] == [10] * len(AT)
        assert [len(a & b) for a, b in zip(sets(one), sets(one)[1:], strict=False)] == held_over
        assert one.weights is own.weights


def test_a_name_keeps_its_stand_in_and_with_it_its_weight() -> None:
    own = decisions_of([0, 5, 10], [[3, 4, 5], [5, 3, 7], [7, 8]])
    pool = Pool("everybody", "", np.ones((3, 60), dtype=bool))
    for one in draw(own, pool, np.random.default_rng(1), 20):
        assert (one.names[3], one.names[4], one.names[6]) == (one.names[2], one.names[0], one.names[5])


def test_nobody_is_drawn_from_outside_of_the_pool_and_who_leaves_it_is_replaced() -> None:
    rng = np.random.default_rng(3)
    names = rng.random((len(AT), 60)) < 0.4
    names[:, :12] = True
    own = random_strategy(4)
    for one in draw(own, Pool("some", "", names), rng, 30):
        for row, held in enumerate(sets(one)):
            assert len(held) == 10
            assert names[row, list(held)].all()


def test_all_names_of_the_pool_are_drawn_alike() -> None:
    own = decisions_of([0], [list(range(10))])
    pool = Pool("half", "", np.arange(60)[None, :] % 2 == 0)
    drawn = np.concatenate([one.names for one in draw(own, pool, np.random.default_rng(5), 3_000)])
    counts = np.bincount(drawn, minlength=60)[::2]
    assert counts.sum() == 30_000
    assert abs(counts - 1_000).max() < 4.5 * np.sqrt(1_000 * 2 / 3)  # each with a chance of 10 in 30


def test_what_was_left_comes_back_only_where_there_is_nobody_else() -> None:
    own = decisions_of([0, 5], [[0, 1], [2, 3]])
    (wide,) = draw(own, Pool("four", "", np.arange(60)[None, :] < [[4], [4]]), np.random.default_rng(1), 1)
    assert sets(wide)[0] | sets(wide)[1] == {0, 1, 2, 3}
    (narrow,) = draw(own, Pool("three", "", np.arange(60)[None, :] < [[3], [3]]), np.random.default_rng(1), 1)
    assert len(sets(narrow)[0] & sets(narrow)[1]) == 1


def test_a_refused_decision_is_refused_and_lets_nobody_go() -> None:
    own = decisions_of([0, 5, 10], [[1, 2], [], [2, 1]], refused=np.array([False, True, False]))
    for one in draw(own, Pool("everybody", "", np.ones((3, 60), dtype=bool)), np.random.default_rng(1), 5):
        assert one.refused.tolist() == [False, True, False]
        assert one.names[2:].tolist() == one.names[1::-1].tolist()


def test_a_pool_that_is_too_small_is_refused_with_its_name_and_the_decision() -> None:
    small = Pool("names with figures", "", np.arange(60)[None, :] < np.array([[60]] * 7 + [[9]] * (len(AT) - 7)))
    with pytest.raises(NotEnough, match='"names with figures": at decision 8 of 48 it has 9 names, and 10 are held'):
        list(draw(random_strategy(1), small, np.random.default_rng(1), 2))


def test_compiled_and_plain_draw_the_same() -> None:
    own = random_strategy(6)
    rows = np.arange(len(AT))
    out, space = np.empty((5, len(own.names)), dtype=np.int64), np.empty((7, 60), dtype=np.int64)
    pools.stand_ins(own.starts, own.names, rows, EVERYBODY.names, np.random.default_rng(9), space, out)
    fast = [one.names for one in draw(own, EVERYBODY, np.random.default_rng(9), 5)]
    assert np.array_equal(out, fast)


def test_the_drawn_trade_as_much_as_the_strategy() -> None:
    market, own = panel(), random_strategy(7)
    run = simulate(market, own, RULES)
    made = control(run, own, EVERYBODY, partial(simulate_many, market, rules=RULES), seed=1, portfolios=100)
    assert made.turnover == pytest.approx(run.turnover, rel=0.03)
    assert made.low < made.median < made.high
    assert (made.pool, made.portfolios) == ("everybody", 100)


def test_a_strategy_that_knows_the_better_names_is_found_and_one_that_knows_the_worse_is_not() -> None:
    market = panel(2)
    better = np.argsort(market.price[-1] / market.price[0])
    for names, low, high in ((better[-25:], 0, 0.02), (better[:25], 0.98, 1)):
        own = random_strategy(8, names=25)
        own = decisions_of(AT, [[int(names[at]) for at in held] for held in sets(own)])
        run = simulate(market, own, RULES)
        made = control(run, own, EVERYBODY, partial(simulate_many, market, rules=RULES), seed=1, portfolios=200)
        assert low <= made.p <= high
        assert low <= made.p_sharpe <= high


def test_p_is_never_zero_and_counts_its_equals() -> None:
    market, own = panel(), random_strategy(9)
    run = simulate(market, own, RULES)
    only = Pool("its own", "", np.zeros((len(AT), 60), dtype=bool))
    for row, held in enumerate(sets(own)):
        only.names[row, list(held)] = True
    made = control(run, own, only, partial(simulate_many, market, rules=RULES), seed=1, portfolios=20)
    assert made.p == 1
    lucky = decisions_of(AT, [[int(np.argmax(market.price[-1] / market.price[0]))]] * len(AT))
    run = simulate(market, lucky, RULES)
    made = control(run, lucky, EVERYBODY, partial(simulate_many, market, rules=RULES), seed=1, portfolios=20)
    assert made.p >= 1 / 21


def test_the_pools_are_the_universe_and_in_it_those_that_the_strategy_could_have_held() -> None:
    market = panel(3)
    caps = np.tile(np.arange(60.0, 0, -1), (250, 1))
    fresh = market.price.copy()
    fresh[:200, 5] = np.nan  # a name that has appeared late has no momentum yet
    market = panel_of(market.returns, caps, price=fresh)
    experiment = Experiment.model_validate(
        {
            "data": {"prices": "none.parquet"},
            "strategy": "momentum",
            "parameters": {"lookback": 100, "skip": 5},
            "universe_size": 40,
        }
    )
    own = decisions_of([110, 220], [[1, 2], [2, 3]])
    day, could = pools.pools(market, None, own, experiment, load_settings(REPOSITORY / "config" / "settings.yaml"))
    assert (day.name, could.name) == ("universe", "eligible")
    assert day.names.sum(axis=1).tolist() == [40, 40]
    assert could.names.sum(axis=1).tolist() == [40, 39]
    assert not could.names[1, 5]
    assert not day.names[:, 41:].any()


@pytest.mark.soak
def test_p_is_uniform_for_a_strategy_without_skill() -> None:
    market = panel(4)
    run_all = partial(simulate_many, market, rules=RULES)
    found = []
    for seed in range(300):
        own = random_strategy(1_000 + seed)
        found.append(control(simulate(market, own, RULES), own, EVERYBODY, run_all, seed=seed, portfolios=99))
    for values in ([one.p for one in found], [one.p_sharpe for one in found]):
        assert kstest(values, "uniform").pvalue > 0.01
        assert np.mean(np.array(values) <= 0.05) <= 0.09
