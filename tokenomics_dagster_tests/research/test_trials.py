"""What luck leaves of a Sharpe ratio: the known answers, and that noise is not found skilled."""

import math
from itertools import combinations

import numpy as np
import pytest

from tokenomics_dagster.research.statistics import NotEnough
from tokenomics_dagster.research.trials import (
    Moments,
    clusters,
    deflated_sharpe,
    expected_best,
    minimum_track_record,
    moments,
    overfitting,
    probabilistic_sharpe,
)


def noise(seed: int, count: int = 500, trials: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (count, trials))


def test_the_known_answer_of_the_deflated_sharpe_ratio() -> None:
    """Bailey and Lopez de Prado 2014: 2.5 a year of 250 sessions, five years, 100 trials whose variance is 1/2."""
    best = expected_best(0.5 / 250, 100)
    assert best == pytest.approx(0.113172, abs=5e-7)
    of = Moments(n=1_250, sharpe=2.5 / math.sqrt(250), skew=-3, kurtosis=10)
    assert probabilistic_sharpe(of, best) == pytest.approx(0.900397, abs=5e-7)


def test_the_known_answer_of_the_minimum_track_record() -> None:
    of = Moments(n=500, sharpe=2 / math.sqrt(252))
    assert minimum_track_record(of, 1 / math.sqrt(252)) == pytest.approx(2.731, abs=5e-4)
    assert minimum_track_record(of, of.sharpe) is None


def test_the_minimum_track_record_is_the_length_at_which_the_probability_is_reached() -> None:
    years = minimum_track_record(Moments(500, 0.08, -0.6, 7.0), 0.02, 0.9)
    assert years is not None
    assert probabilistic_sharpe(Moments(round(years * 252), 0.08, -0.6, 7.0), 0.02) == pytest.approx(0.9, abs=1e-3)


def test_moments_are_unbiased_and_the_kurtosis_of_the_normal_is_three() -> None:
    of = moments(noise(1, 100_000, 1)[:, 0])
    assert of.n == 100_000
    assert of.kurtosis == pytest.approx(3, abs=0.1)
    assert moments(np.array([0.01, 0.0, 0.0, 0.0, 0.0])).skew == pytest.approx(math.sqrt(5))
    with pytest.raises(NotEnough, match="need 4 daily returns"):
        moments(np.array([0.1, 0.2]))
    with pytest.raises(NotEnough, match="do not differ"):
        moments(np.full(300, 0.01))


def test_the_best_of_one_is_expected_to_show_nothing() -> None:
    assert expected_best(0.5, 1) == 0
    assert expected_best(1.0, 2) == pytest.approx(0.5642, abs=0.05)  # exact for two normals: 1 / sqrt(pi)
    best = np.random.default_rng(1).normal(size=(20_000, 100)).max(axis=1).mean()
    assert expected_best(1.0, 100) == pytest.approx(best, rel=0.02)


def test_one_idea_tried_a_hundred_times_is_one_trial() -> None:
    ideas = noise(3, 800, 5)
    tried = np.repeat(ideas, 20, axis=1) + np.random.default_rng(4).normal(0, 0.002, (800, 100))
    of = clusters(tried)
    assert of.max() + 1 == 5
    assert all(len(set(of[at : at + 20])) == 1 for at in range(0, 100, 20))
    assert deflated_sharpe(tried).independent == 5
    assert deflated_sharpe(tried).trials == 100


def test_ideas_without_anything_in_common_all_count() -> None:
    assert clusters(noise(5)).max() + 1 == 200


def test_copies_of_one_idea_do_not_hide_how_far_ideas_differ() -> None:
    ideas = noise(6, 800, 4)
    copied = np.column_stack((ideas, *[ideas[:, 0] + 1e-5 * noise(7, 800, 1)[:, 0] for _ in range(60)]))
    assert deflated_sharpe(copied).expected_best == pytest.approx(deflated_sharpe(ideas).expected_best, rel=0.01)


def test_trials_whose_returns_are_unknown_count_as_independent_ones() -> None:
    tried = noise(9, 800, 6)
    known, more = deflated_sharpe(tried, 0), deflated_sharpe(tried, 0, unknown=10)
    assert (more.trials, more.independent, more.unknown) == (16, known.independent + 10, 10)
    assert more.expected_best == pytest.approx(known.expected_best * expected_best(1, 16) / expected_best(1, 6))
    assert more.probability < known.probability


def test_one_independent_trial_does_not_tell_how_far_unknown_ones_differ() -> None:
    with pytest.raises(NotEnough, match="of 3 more trials the returns are unknown"):
        deflated_sharpe(noise(8, 500, 1) + 0.001, 0, unknown=3)


def test_a_single_trial_is_not_deflated() -> None:
    only = noise(8, 500, 1) + 0.001
    made = deflated_sharpe(only)
    assert (made.independent, made.expected_best) == (1, 0)
    assert made.probability == probabilistic_sharpe(moments(only[:, 0]))


def test_a_skilled_trial_among_noise_is_found() -> None:
    tried = noise(9, 1_000, 100)
    tried[:, 17] += 0.0025
    assert deflated_sharpe(tried).probability > 0.99
    assert deflated_sharpe(tried, chosen=18).probability < 0.95
    assert overfitting(tried).probability < 0.01


def test_overfitting_is_what_every_split_in_halves_says() -> None:
    """Against loops over the six splits of four parts."""
    tried = noise(10, 42, 7)
    parts = np.split(tried, [10, 21, 32])  # 10.5, 21 and 31.5, rounded to even
    losing = []
    for inside in combinations(range(4), 2):
        seen = np.concatenate([parts[at] for at in inside])
        unseen = np.concatenate([parts[at] for at in range(4) if at not in inside])
        best = np.argmax(seen.mean(axis=0) / seen.std(axis=0, ddof=1))
        ratios = unseen.mean(axis=0) / unseen.std(axis=0, ddof=1)
        losing.append((ratios <= ratios[best]).sum() / 8 <= 0.5)
    made = overfitting(tried, parts=4)
    assert (made.splits, made.trials, made.probability) == (6, 7, np.mean(losing))


@pytest.mark.parametrize(
    ("tried", "told"),
    [
        (np.ones((500, 1)), "needs 2 trials, and there is 1"),
        (noise(1, 159, 5), "needs 160 daily returns, 10 in each of 16 parts, and the trials have 159"),
        (np.column_stack((noise(1, 200, 2), np.zeros(200))), "1 of 3 trials have the same return each day"),
    ],
)
def test_overfitting_is_refused_with_what_it_takes(tried, told) -> None:
    with pytest.raises(NotEnough, match=told):
        overfitting(tried)


def test_trials_of_noise_overfit_as_a_coin_falls() -> None:
    assert np.mean([overfitting(noise(seed, 320, 100)).probability for seed in range(6)]) == pytest.approx(0.5, abs=0.2)


@pytest.mark.soak
def test_the_best_of_two_hundred_without_skill_is_seldom_believed() -> None:
    found = np.mean([deflated_sharpe(noise(seed)).probability > 0.95 for seed in range(500)])
    assert found <= 0.05, found


@pytest.mark.soak
def test_the_probability_of_overfitting_of_noise_is_about_a_half() -> None:
    mean = np.mean([overfitting(noise(seed, 1_000, 200)).probability for seed in range(60)])
    assert 0.45 <= mean <= 0.55, mean
