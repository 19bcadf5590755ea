"""What is said of a tuning, on records of known truth: skill is told from luck."""

from pathlib import Path

import numpy as np
import pytest

from tokenomics_dagster.research.trials import Deflated, Overfitting
from tokenomics_dagster.research.verdict import Verdict, judge
from tokenomics_dagster_tests.research.planted import WIDE, Planted, tuned


def verdict(market: Planted, folder: Path, **search) -> Verdict:
    return judge(tuned(market, folder, **search), seed=1)


def test_a_planted_effect_is_found_and_said_to_help(tmp_path: Path):
    found = verdict(Planted(effects={7: 8.0}), tmp_path)
    assert found.helped
    assert found.sentences[0].startswith("Tuning helped: a Sharpe ratio of ")
    assert any("the whole record chooses parameters.x = 7." in sentence for sentence in found.sentences)
    assert isinstance(found.overfitting, Overfitting)
    assert found.overfitting.probability < 0.05
    assert isinstance(found.deflated, Deflated)
    assert found.deflated.probability > 0.99


def test_noise_does_not_help_and_that_is_said(tmp_path: Path):
    said = [verdict(Planted(seed=seed), tmp_path / str(seed)) for seed in range(6)]
    assert all(one.sentences[0].startswith("Tuning did not help") for one in said if not one.helped)
    assert sum(one.helped for one in said) <= 1  # 1 of 40 by its own measure
    assert all("settings as they are" in one.sentences[-2] for one in said if not one.helped)
    likely = [one.overfitting.probability for one in said if isinstance(one.overfitting, Overfitting)]
    assert len(likely) == 6
    assert np.mean(likely) == pytest.approx(0.5, abs=0.15)
    luck = [one.deflated.probability for one in said if isinstance(one.deflated, Deflated)]
    assert sum(value > 0.95 for value in luck) <= 1


@pytest.mark.soak
def test_of_200_noise_settings_the_probability_of_overfitting_is_about_one_half(tmp_path: Path):
    likely = [
        verdict(Planted(seed=seed), tmp_path / str(seed), trials=200, **{"parameters.x": list(range(200))}).overfitting
        for seed in range(20)
    ]
    assert np.mean([one.probability for one in likely if isinstance(one, Overfitting)]) == pytest.approx(0.5, abs=0.07)


def test_where_no_fold_finds_better_settings_nothing_is_claimed(tmp_path: Path):
    found = verdict(Planted(effects={0: 9.0}), tmp_path)
    assert not found.helped
    assert "The two cannot be told apart: no fold chose other settings than those there are." in found.sentences[0]
    assert found.tuned == found.untuned
    assert "The whole record chooses the settings as they are." in found.sentences


def test_what_loses_to_buying_and_holding_is_said_to(tmp_path: Path):
    market = Planted(effects=dict.fromkeys(range(1_001), -8.0))
    found = verdict(market, tmp_path, **WIDE)
    assert "more than either, without a decision" in found.sentences[1]


def test_an_effect_that_ended_before_the_judged_sessions_does_not_help(tmp_path: Path):
    """In the first fold's train part one setting is best by far; afterwards it is noise with a drag."""
    ended = Planted(
        shifts=[(11, n, n, 0.03) for n in range(0, 240, 2)] + [(11, n, n, -0.004) for n in range(260, 1_300)]
    )
    found = tuned(ended, tmp_path)
    assert found.choices[0].setting == {"parameters.x": 11}
    assert not judge(found, seed=1).helped


def test_settings_that_traded_nothing_are_left_out_of_the_probability_of_overfitting(tmp_path: Path):
    found = verdict(Planted(shifts=[(19, 0, 1_299, 0.0)]), tmp_path)
    assert isinstance(found.overfitting, Overfitting)
    assert found.overfitting.trials == 20  # of 21, the settings as they are among them
