"""How a record is cut: what is purged, and how long it must be."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.folds import WalkForward, cut, horizon


def weekly(sessions: int) -> np.ndarray:
    return np.arange(sessions) % 5 == 0


def test_the_recorded_fundamentals_are_refused_with_the_number_of_decisions_needed():
    """14 weekly decisions. A year to choose by and one to judge by are 51 weeks each; 3 are held into the second."""
    decided = np.zeros(1_389, dtype=bool)
    decided[-14 * 5 :: 5] = True
    with pytest.raises(ExperimentError, match=r"14 decisions are too few to tune by: 105 are needed at this cadence"):
        cut(decided, WalkForward(), ["weekly"], "next_open")


@pytest.mark.parametrize(("cadence", "every", "needed"), [("daily", 1, 511), ("weekly", 5, 105), ("monthly", 21, 42)])
def test_as_many_decisions_as_are_said_to_be_needed_are_enough(cadence: str, every: int, needed: int):
    decided = np.arange(needed * every) % every == 0
    assert len(cut(decided, WalkForward(folds=1), [cadence], "next_open")) == 2
    with pytest.raises(ExperimentError, match=f"{needed - 1} decisions are too few to tune by: {needed} are needed"):
        cut(decided[every:], WalkForward(folds=1), [cadence], "next_open")


def test_the_sparsest_cadence_that_is_tried_decides_what_is_purged_and_how_much_is_needed():
    assert horizon(["weekly"], "close") == 5
    assert horizon(["weekly", "monthly"], "next_open") == 24
    short = weekly(600)
    cut(short, WalkForward(), ["weekly"], "close")
    with pytest.raises(ExperimentError, match="29 decisions are too few"):
        cut(short, WalkForward(), ["weekly", "monthly"], "close")


def test_a_record_counts_from_its_first_decision_on():
    decided = np.concatenate((np.zeros(300, dtype=bool), weekly(1_000)))
    folds = cut(decided, WalkForward(), ["weekly"], "next_open")
    assert folds[0].train.start == 300
    assert len(folds) == len(cut(weekly(1_000), WalkForward(), ["weekly"], "next_open"))


def test_more_parts_than_there_are_sessions_for_are_refused():
    with pytest.raises(ExperimentError, match=r"walk_forward.folds = 60 is too many for 264 sessions"):
        cut(weekly(530), WalkForward(folds=60), ["weekly"], "next_open")


@given(
    sessions=st.integers(1_300, 3_000),
    folds=st.integers(1, 10),
    window=st.sampled_from(["expanding", "rolling"]),
    embargo=st.integers(0, 30),
    cadence=st.sampled_from(["daily", "weekly", "monthly"]),
)
def test_nothing_is_chosen_by_what_a_judged_decision_holds(sessions, folds, window, embargo, cadence):
    walk_forward = WalkForward(folds=folds, window=window, embargo_sessions=embargo)
    *judged, now = cut(np.ones(sessions, dtype=bool), walk_forward, [cadence], "next_open")
    assert len(judged) == folds
    for before, after in itertools.pairwise(judged):
        assert before.test.stop == after.test.start
    for fold in judged:
        assert fold.purged == horizon([cadence], "next_open") + embargo
        assert fold.train.stop - fold.train.start >= 252
        assert fold.test.start < fold.test.stop
    assert (judged[-1].test.stop, now.train.stop) == (sessions, sessions)
    widths = {fold.train.stop - fold.train.start for fold in (*judged, now)}
    assert len(widths) == 1 if window == "rolling" else {fold.train.start for fold in judged} == {0}
