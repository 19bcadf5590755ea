"""The cap and the choice of stocks: by hand, as properties, and against ffn.limit_weights for values and speed."""

import math
import time
from pathlib import Path

import ffn
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.portfolio.schema import TargetWeights
from tokenomics_dagster.portfolio.weights import cap_weights, chosen, target_weights
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

CONFIGURED = load_settings(Path(__file__).resolve().parents[2] / "config" / "settings.yaml").rebalancing


def rules(**changes) -> RebalancingSettings:
    return RebalancingSettings.model_validate(CONFIGURED.model_dump() | changes)


def scores(*rows: tuple) -> pd.DataFrame:
    """Rows of (symbol, score, market cap)."""
    return pd.DataFrame(rows, columns=["symbol", "score", "market_cap_musd"]).astype(
        {"symbol": "str", "score": "float64", "market_cap_musd": "float64"}
    )


RAW = st.lists(
    st.one_of(st.floats(50, 100), st.floats(0, 1e6, allow_subnormal=False), st.just(1e-300), st.just(60.0)),
    min_size=1,
    max_size=60,
).filter(any)
CAP = st.one_of(st.floats(0.001, 1), st.sampled_from([0.05, 0.1, 0.2, 0.25, 1 / 3, 0.5, 1.0]))


def test_the_example_of_the_seed():
    named = [92.5, 82.0, 74.9, 68.4, 58.7]
    others = [(7000 - sum(named)) / 95] * 95
    weights = cap_weights(np.array(named + others), 0.05)
    assert [f"{100 * weight:.2f}" for weight in weights[:5]] == ["1.32", "1.17", "1.07", "0.98", "0.84"]
    assert weights.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("raw", "cap", "expected"),
    [
        ([1, 1, 2], 1.0, [0.25, 0.25, 0.5]),
        ([7, 2, 1], 0.5, [0.5, 1 / 3, 1 / 6]),
        # after the first is cut the second is above the cap, too
        ([50, 30, 10, 10], 0.3, [0.3, 0.3, 0.2, 0.2]),
        ([100] + [50] * 20, 0.05, [0.05] + [0.95 / 20] * 20),
        ([1] * 15, 0.05, [0.05] * 15),
        ([9, 1], 0.05, [0.05, 0.05]),
        ([5], 1.0, [1.0]),
        ([5, 0, 0], 0.4, [0.4, 0.0, 0.0]),
        ([5, 4, 3, 1e-300], 1 / 3, [1 / 3, 1 / 3, 1 / 3, 0.0]),
        ([50, 50, 50, 2e-311, 0], 0.25, [0.25, 0.25, 0.25, 0.25, 0.0]),
        ([1e308, 1e308, 1e308], 0.5, [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_what_the_cap_cuts_off_goes_to_the_others_in_proportion_or_stays_cash(raw, cap, expected):
    np.testing.assert_allclose(cap_weights(raw, cap), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("raw", "cap"),
    [
        ([], 0.5),
        ([0.0, 0.0], 0.5),
        ([1.0, -1.0], 0.5),
        ([1.0, math.nan], 0.5),
        ([1.0, math.inf], 0.5),
        ([1.0], 0.0),
        ([1.0], 1.1),
        ([1.0], math.nan),
        ([[1.0]], 0.5),
    ],
)
def test_values_that_cannot_be_weights_are_refused(raw, cap):
    with pytest.raises(ValueError):
        cap_weights(raw, cap)


@given(RAW, CAP, st.randoms())
def test_no_weight_exceeds_the_cap_and_no_order_of_summing_exceeds_one(raw, cap, random):
    weights = cap_weights(raw, cap)
    assert (weights >= 0).all()
    assert (weights <= cap).all()
    assert math.fsum(weights) <= 1
    assert weights.sum() <= 1
    for _ in range(5):
        total = 0.0
        for weight in random.sample(list(weights), len(weights)):
            total += weight
        assert total <= 1
    expected = min(1.0, cap * np.count_nonzero(raw))
    assert math.fsum(weights) == pytest.approx(expected, abs=1e-12)


@given(RAW, CAP, st.randoms())
def test_the_order_of_the_names_does_not_matter_to_the_last_bit(raw, cap, random):
    order = random.sample(range(len(raw)), len(raw))
    straight = cap_weights(raw, cap)
    np.testing.assert_array_equal(cap_weights([raw[i] for i in order], cap), straight[order])


@given(RAW, CAP)
def test_a_larger_value_never_has_a_smaller_weight_and_those_below_the_cap_are_in_proportion(raw, cap):
    values = np.array(raw)
    weights = cap_weights(values, cap)
    order = np.argsort(values)
    assert (np.diff(weights[order]) >= 0).all()
    below = (weights < cap * (1 - 1e-9)) & (values > 1e-3)
    if below.any():
        ratio = weights[below] / values[below]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)


@given(RAW, CAP, st.integers(0, 59), st.floats(0, 1e3))
def test_raising_a_value_never_lowers_its_weight(raw, cap, which, step):
    which %= len(raw)
    more = list(raw)
    more[which] += step
    assert cap_weights(more, cap)[which] >= cap_weights(raw, cap)[which] - 1e-12


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=60), CAP)
def test_weights_equal_those_of_ffn_where_it_has_an_answer(raw, cap):
    values = np.array(raw)
    if 1 / cap > len(raw):
        np.testing.assert_allclose(cap_weights(values, cap), np.full(len(raw), cap), atol=1e-12)
    else:
        expected = ffn.limit_weights(pd.Series(values / values.sum()), cap)
        np.testing.assert_allclose(cap_weights(values, cap), expected, atol=1e-12)


def best_of(runs: int, function) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize(("names", "cap"), [(100, 0.0118), (100, 0.05), (1500, 0.0008), (1500, 0.05)])
def test_weights_are_ten_times_faster_than_ffn(names, cap):
    raw = np.random.default_rng(1).uniform(50, 100, names)
    series = pd.Series(raw / raw.sum())
    np.testing.assert_allclose(cap_weights(raw, cap), ffn.limit_weights(series, cap), atol=1e-12)
    ours = best_of(50, lambda: cap_weights(raw, cap))
    theirs = best_of(10, lambda: ffn.limit_weights(series, cap))
    assert theirs / ours > 10, f"ffn {1e6 * theirs:.0f} us, ours {1e6 * ours:.0f} us"


def test_the_best_are_held_and_ties_go_by_market_cap_then_symbol():
    table = scores(
        ("F", 70, 5), ("A", 80, 1), ("B", 70, 9), ("C", 49.99, 99), ("D", 70, None), ("E", None, 99), ("G", 70, 5)
    )
    held = target_weights(table, rules(top_n_stocks=4, max_position_pct=100))
    TargetWeights.validate(held)
    assert list(held["symbol"]) == ["A", "B", "F", "G"]
    assert list(held["rank"]) == [1, 2, 3, 4]
    np.testing.assert_allclose(held["weight"], np.array([80, 70, 70, 70]) / 290, atol=1e-12)


def test_a_score_of_exactly_the_minimum_is_held():
    assert list(target_weights(scores(("A", 50.0, 1), ("B", 49.999999, 1)), rules())["symbol"]) == ["A"]


def test_equal_weights_ignore_the_score():
    table = scores(("A", 90, 1), ("B", 60, 1), ("C", 0, 1))
    held = target_weights(table, rules(weighting="equal", min_score=0, max_position_pct=100))
    np.testing.assert_allclose(held["weight"], 1 / 3, atol=1e-12)


def test_a_score_of_zero_has_no_weight():
    held = target_weights(scores(("A", 90, 1), ("B", 0, 1)), rules(min_score=0, max_position_pct=100))
    assert list(held["symbol"]) == ["A"]


def test_few_names_leave_cash_instead_of_breaking_the_cap():
    held = target_weights(scores(*((f"S{n:02}", 60 + n, 1) for n in range(15))), rules(max_position_pct=5.0))
    assert set(held["weight"]) == {0.05}
    assert 1 - held["weight"].sum() == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("table", "figures"),
    [
        (scores(("A", 49, 1), ("B", None, 1)), "min_score is 50, and of 2 stocks the best of 1 scores is 49.00"),
        (scores(("A", None, 1)), "min_score is 50, and of 1 stocks none has a score"),
        (scores(), "of 0 stocks none has a score"),
    ],
)
def test_nobody_to_hold_is_an_error_with_its_figures_not_an_empty_target(table, figures):
    with pytest.raises(ValueError, match=figures):
        target_weights(table, rules())


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.floats(0, 100)), st.integers(1, 3)), min_size=1, max_size=40),
    st.randoms(),
    st.integers(1, 30),
    st.sampled_from(["score", "equal"]),
    st.sampled_from([1.0, 5.0, 33.3, 100.0]),
)
def test_targets_hold_the_rules_for_any_scores_in_any_order(rows, random, top_n, weighting, cap_pct):
    table = scores(*((f"S{number:02}", *row) for number, row in enumerate(rows)), ("BEST", 100.0, 1))
    rule = rules(top_n_stocks=top_n, weighting=weighting, max_position_pct=cap_pct)
    held = target_weights(table, rule)
    shuffled = table.sample(frac=1, random_state=random.randint(0, 9999))
    pd.testing.assert_frame_equal(target_weights(shuffled, rule), held)
    assert len(held) == min(top_n, int((table["score"] >= 50).sum()))
    assert held["weight"].max() <= cap_pct / 100
    assert math.fsum(held["weight"]) <= 1
    assert 1 - held["weight"].sum() >= 0
    left_out = table[~table["symbol"].isin(held["symbol"])]
    assert not (left_out["score"] > held["score"].min()).any() or len(held) < top_n
    assert held["weight"].is_monotonic_decreasing


POINTS = st.lists(
    st.tuples(st.sampled_from([math.nan, 0.0, 49.9, 50.0, 60.0, 70.0, 100.0]), st.sampled_from([math.nan, 1.0, 2.0])),
    max_size=60,
)


@given(POINTS, st.integers(0, 70), st.sampled_from([0.0, 50.0, 100.0]))
def test_chosen_are_the_first_of_all_that_are_sorted_by_score_then_cap_then_symbol(rows, top_n, least):
    points = np.array([score for score, _ in rows])
    caps = np.array([cap for _, cap in rows])
    able = [i for i in range(len(rows)) if points[i] >= least]
    able.sort(key=lambda i: (-points[i], math.isnan(caps[i]), -caps[i], i))
    assert list(chosen(points, caps, top_n, least)) == able[:top_n]


def test_scores_and_caps_of_different_names_are_refused():
    with pytest.raises(ValueError, match="one each is needed"):
        chosen([60.0, 70.0], [1.0], 1, 50.0)


def test_the_best_of_many_are_chosen_without_sorting_them_all():
    random = np.random.default_rng(1)
    points, caps = random.uniform(0, 100, 20_000), random.lognormal(size=20_000)

    def sorted_all():
        able = np.flatnonzero(points >= 50)
        return able[np.lexsort((-caps[able], -points[able]))[:100]]

    np.testing.assert_array_equal(chosen(points, caps, 100, 50.0), sorted_all())
    ours, theirs = best_of(20, lambda: chosen(points, caps, 100, 50.0)), best_of(5, sorted_all)
    assert theirs / ours > 5, f"all sorted {1e6 * theirs:.0f} us, partitioned {1e6 * ours:.0f} us"
