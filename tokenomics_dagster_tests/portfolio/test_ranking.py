"""Where a score stands among the others: the cut is the one that `target_weights` draws."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_dagster.portfolio.decide import decide
from tokenomics_dagster.portfolio.ranking import NotChosen, Place, Ranking, rank
from tokenomics_dagster.settings.rebalancing import RebalancingSettings


def ranking(scores: Mapping[str, float | None], followed: set[str] | None = None, **rules) -> Ranking:
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


def place(found: Ranking, symbol: str) -> Place:
    known = found.place(symbol)
    assert known is not None
    return known


def why(found: Ranking, symbol: str, dropped: Mapping[str, str] = MappingProxyType({})) -> NotChosen:
    known = found.why_not(symbol, dropped)
    assert known is not None
    return known


FOUR = {"AAA": 90.0, "BBB": 80.0, "CCC": 70.0, "DDD": 40.0}


def test_one_that_is_in_is_as_far_from_the_cut_as_the_first_one_out_is_below_it():
    found = place(ranking(FOUR, top_n_stocks=2), "BBB")
    assert (found.rank, found.of, found.held, found.chosen) == (2, 4, 2, True)
    assert (found.cut, found.distance) == (70.0, 10.0)


def test_one_that_is_out_must_reach_the_last_one_in():
    found = place(ranking(FOUR, top_n_stocks=2), "CCC")
    assert not found.chosen
    assert (found.cut, found.distance) == (80.0, -10.0)


@pytest.mark.parametrize(("symbol", "distance"), [("CCC", 20.0), ("DDD", -10.0)])
def test_while_there_is_room_the_cut_is_the_least_score(symbol, distance):
    found = place(ranking(FOUR, top_n_stocks=4, min_score=50.0), symbol)
    assert (found.cut, found.distance) == (50.0, distance)


def test_the_least_score_is_the_cut_where_the_first_one_out_is_below_it():
    assert place(ranking(FOUR, top_n_stocks=3, min_score=50.0), "CCC").cut == 50.0


def test_each_reason_not_to_be_chosen_is_told():
    found = ranking({**FOUR, "EEE": None}, {"AAA", "BBB", "CCC", "EEE"}, top_n_stocks=1, min_score=75.0)
    assert found.why_not("AAA", {}) is None
    told = {s: why(found, s, {"FFF": "no profile"}) for s in ("BBB", "CCC", "DDD", "EEE", "FFF", "GGG")}
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
    assert why(found, "BBB").kind == "weight of nothing"


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
    for symbol, number in zip(decided["symbol"], decided["rank"], strict=True):
        assert place(found, symbol).rank == number
    for symbol in scores:
        known = found.place(symbol)
        if known is not None and not known.chosen and known.score > 0:
            assert known.distance <= 0
        elif known is not None and known.chosen:
            assert known.distance >= 0
