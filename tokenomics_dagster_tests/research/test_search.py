"""What may be tuned: each form of `search`, and each that cannot be used, named."""

from typing import Any

import pytest

from tokenomics_dagster.research.experiment import ExperimentError
from tokenomics_dagster.research.search import Dimension, space_of
from tokenomics_dagster_tests.research.planted import experiment


@pytest.mark.parametrize(
    ("key", "values", "expected"),
    [
        ("cadence", ["weekly", "monthly"], Dimension("cadence", ("weekly", "monthly"))),
        ("top_n", [20, 200], Dimension("top_n", low=20, high=200, whole=True)),
        ("top_n", [20, 50, 100], Dimension("top_n", (20, 50, 100))),
        ("top_n", {"choices": [20, 200]}, Dimension("top_n", (20, 200))),
        ("top_n", {"from": 20, "to": 199, "step": 20}, Dimension("top_n", low=20, high=180, step=20, whole=True)),
        ("rebalancing.max_position_pct", [2, 10], Dimension("rebalancing.max_position_pct", low=2.0, high=10.0)),
        (
            "rebalancing.max_position_pct",
            {"from": 2, "to": 10, "step": 0.3},
            Dimension("rebalancing.max_position_pct", low=2.0, high=9.8, step=0.3),
        ),
        ("rebalancing.weighting", ["score", "equal"], Dimension("rebalancing.weighting", ("score", "equal"))),
        ("parameters.x", [1, 250], Dimension("parameters.x", low=1, high=250, whole=True)),
        ("parameters.x", [1.0, 250], Dimension("parameters.x", low=1.0, high=250.0)),
        (
            "parameters.x",
            {"from": 1, "to": 250, "log": True},
            Dimension("parameters.x", low=1, high=250, log=True, whole=True),
        ),
        ("parameters.x", [True, False], Dimension("parameters.x", (True, False))),
        ("strategy", ["momentum", "equal_weight"], Dimension("strategy", ("momentum", "equal_weight"))),
    ],
)
def test_two_numbers_are_a_range_and_any_other_list_is_choices(key: str, values: Any, expected: Dimension):
    (dimension,) = space_of(experiment(**{key: values})).dimensions
    assert dimension == expected


@pytest.mark.parametrize(
    ("search", "told"),
    [
        ({"top": [1, 2]}, "top cannot be tuned. Known here: strategy, universe_size, top_n, cadence"),
        ({"rebalancing.first_week": ["2026-01-05", "2026-01-12"]}, "rebalancing.first_week cannot be tuned"),
        ({"rebalancing.max_position": [2, 10]}, "rebalancing.max_position cannot be tuned"),
        ({"parameters": [2, 10]}, "parameters cannot be tuned"),
        ({"start_session": [0, 4]}, "the best day to start on is luck"),
        ({"costs.half_spread_bps": [0, 5]}, "what trading costs is a fact"),
        ({"to": ["2024-01-01", "2025-01-01"]}, "the record is judged whole"),
        ({"top_n": 5}, "top_n = 5: must be a list of values"),
        ({"top_n": []}, "must have two values or more"),
        ({"top_n": [5]}, "must have two values or more"),
        ({"top_n": [200, 20]}, "from = 200 must be below to = 20"),
        ({"top_n": [5, 5, 5]}, "must not name a value twice"),
        ({"top_n": [5, None, 7]}, "must hold numbers, words or truths"),
        ({"top_n": {"from": 5}}, "must be {choices: [...]}, or {from, to}"),
        ({"top_n": {"from": 5, "to": 10, "step": 0}}, "step must be above 0"),
        ({"top_n": {"from": 5, "to": 10, "step": 1, "log": True}}, "step must be above 0"),
        ({"top_n": {"from": 5, "to": 10, "log": 1}}, "log must be true or false"),
        ({"parameters.x": {"from": 0, "to": 10, "log": True}}, "from must be above 0 where log is true"),
        ({"parameters.x": {"from": "a", "to": 10}}, "must be numbers"),
        ({"cadence": [1, 5]}, "must be a list of words"),
        ({"walk_forward": {"fold": 3}}, "fold = 3 is not a known key; did you mean folds?"),
        ({"walk_forward": {"folds": 3}}, "it names nothing to be tuned"),
    ],
)
def test_a_search_that_cannot_be_used_is_named_with_what_is_allowed(search: dict[str, Any], told: str):
    with pytest.raises(ExperimentError) as refused:
        space_of(experiment(**search))
    assert told in str(refused.value)
    assert "planted" in str(refused.value)


@pytest.mark.parametrize(
    ("search", "told"),
    [
        ({"cadence": ["weekly", "hourly"]}, "cadence = hourly: cadence = 'hourly' is not allowed"),
        ({"top_n": [0, 200]}, "top_n = 0: top_n = 0 is not allowed"),
        ({"rebalancing.max_position_pct": [2, 200]}, "max_position_pct"),
        ({"rebalancing.weighting": [1, 2]}, "weighting"),
        ({"top_n": [2.5, 20]}, "top_n"),
    ],
)
def test_every_end_of_a_search_must_itself_be_an_experiment(search: dict[str, Any], told: str):
    with pytest.raises(ExperimentError) as refused:
        space_of(experiment(**search))
    assert told in str(refused.value)


def test_a_key_that_another_one_overrules_is_refused():
    one = experiment(**{"rebalancing.top_n_stocks": [20, 100]})
    space_of(one)
    with pytest.raises(ExperimentError, match=r"has no effect beside top_n = 50: tune top_n"):
        space_of(one.model_copy(update={"top_n": 50}))


def test_a_setting_changes_what_it_names_and_nothing_else():
    one = experiment(**{"rebalancing.max_position_pct": [2, 10], "cadence": ["weekly", "monthly"]})
    tried = space_of(one).apply({"rebalancing.max_position_pct": 7.5, "cadence": "monthly"})
    assert (tried.rebalancing, tried.cadence) == ({"max_position_pct": 7.5}, "monthly")
    assert tried.model_copy(update={"rebalancing": {}, "cadence": "weekly"}) == one


def test_a_small_space_is_tried_whole_and_a_large_one_is_not_counted_out():
    space = space_of(experiment(top_n={"from": 20, "to": 60, "step": 20}, cadence=["weekly", "daily"]))
    points = space.points(6)
    assert points is not None
    assert [tuple(point.values()) for point in points] == [
        (20, "weekly"), (20, "daily"), (40, "weekly"), (40, "daily"), (60, "weekly"), (60, "daily"),
    ]  # fmt: skip
    assert space.points(5) is None
    assert space_of(experiment(**{"rebalancing.max_position_pct": [2, 10]})).points(10**9) is None
    assert space_of(experiment(universe_size=[1, 20_000], top_n=[1, 20_000])).points(10**6) is None
