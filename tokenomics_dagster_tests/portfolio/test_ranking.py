"""Where a score stands among the others: the cut is the one that `target_weights` draws."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.portfolio.decide import decide
from tokenomics_dagster.portfolio.ranking import Ranking, rank
from tokenomics_dagster.settings.rebalancing import RebalancingSettings


def ranking(scores: dict[str, float | None], followed: set[str] | None = None, **rules) -> Ranking:
    frame = pd.DataFrame(
        {
            "symbol": list(scores),
            "score": pd.Series(list(scores.values()), dtype=float),
            "market_cap_musd": 1000.0 - np.arange(len(scores)),
            "reason": [None if one is not None else "ROE is missing" for one in scores.values()],
        }
    )
    return rank(frame, universe(scores if followed is None else followed), {}, RebalancingSettings(**rules))


def universe(symbols) -> pd.DataFrame:
    return pd.DataFrame({"symbol": list(symbols), "industry": ""})


FOUR = {"AAA": 90.0, "BBB": 80.0, "CCC": 70.0, "DDD": 40.0}


def test_one_that_is_in_is_as_far_from_the_cut_as_the_first_one_out_is_below_it():
    place = ranking(FOUR, top_n_stocks=2).place("BBB")
    assert (place.rank, place.of, place.held, place.chosen) == (2, 4, 2, True)
    assert (place.cut, place.distance) == (70.0, 10.0)


def test_one_that_is_out_must_reach_the_last_one_in():
    place = ranking(FOUR, top_n_stocks=2).place("CCC")
    assert not place.chosen
    assert (place.cut, place.distance) == (80.0, -10.0)


@pytest.mark.parametrize(("symbol", "distance"), [("CCC", 20.0), ("DDD", -10.0)])
def test_while_there_is_room_the_cut_is_the_least_score(symbol, distance):
    place = ranking(FOUR, top_n_stocks=4, min_score=50.0).place(symbol)
    assert (place.cut, place.distance) == (50.0, distance)


def test_the_least_score_is_the_cut_where_the_first_one_out_is_below_it():
    assert ranking(FOUR, top_n_stocks=3, min_score=50.0).place("CCC").cut == 50.0


def test_each_reason_not_to_be_chosen_is_told():
    found = ranking({**FOUR, "EEE": None}, {"AAA", "BBB", "CCC", "EEE"}, top_n_stocks=1, min_score=75.0)
    assert found.why_not("AAA", {}) is None
    told = {s: found.why_not(s, {"FFF": "no profile"}) for s in ("BBB", "CCC", "DDD", "EEE", "FFF", "GGG")}
    assert {symbol: one.kind for symbol, one in told.items()} == {
        "BBB": "rank too low",
        "CCC": "score too low",
        "DDD": "not in the universe",
        "EEE": "no score",
        "FFF": "not in the universe",
        "GGG": "not in the universe",
    }
    assert told["BBB"].reason == (
        "it is number 2 of 3 scores, rebalancing.top_n_stocks is 1: the last one in has 90.00 points, it has 80.00"
    )
    assert told["CCC"].reason == "its score is 70.00, rebalancing.min_score is 75"
    assert told["EEE"].reason == "ROE is missing"
    assert told["FFF"].reason == "no profile"


def test_a_score_of_nothing_has_no_weight():
    found = ranking({"AAA": 60.0, "BBB": 0.0}, top_n_stocks=5, min_score=0.0)
    assert found.chosen == {"AAA"}
    assert found.why_not("BBB", {}).kind == "weight of nothing"


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 100).map(lambda one: round(one, 1))), min_size=1, max_size=12),
    st.integers(1, 12),
    st.sampled_from([0.0, 50.0]),
    st.sampled_from(["score", "equal"]),
)
def test_chosen_are_exactly_those_that_get_a_weight(points, top_n, least, weighting):
    scores = {f"S{number:02}": one for number, one in enumerate(points)}
    found = ranking(scores, top_n_stocks=top_n, min_score=least, weighting=weighting)
    try:
        decided = decide(found.frame, universe(scores), {}, found.rules).weights
    except ValueError:  # nobody can be held
        assert found.chosen == set()
        return
    assert found.chosen == set(decided["symbol"])
    for row in decided.itertuples():
        assert found.place(row.symbol).rank == row.rank
    for symbol in scores:
        place = found.place(symbol)
        if place is not None and not place.chosen and place.score > 0:
            assert place.distance <= 0
        elif place is not None and place.chosen:
            assert place.distance >= 0
