"""One setting changed at a time, and a band that picks none."""

import pytest

from tokenomics_dagster.reports.figures import ratio
from tokenomics_dagster.research.experiment import Experiment
from tokenomics_dagster.research.sensitivity import IMPACT, band, capacity, variants
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

SETTINGS = RebalancingSettings()


def experiment(**changes) -> Experiment:
    return Experiment.model_validate({"data": {"prices": "p.parquet"}, "strategy": "fundamentals"} | changes)


def test_each_variant_differs_in_one_setting_and_says_which() -> None:
    one = experiment(rebalancing={"min_trade_usd": 50})
    made = variants(one, SETTINGS)
    assert len({label for label, _ in made}) == len(made)
    for label, other in made:
        rules, base = other.rules(SETTINGS).model_dump(), one.rules(SETTINGS).model_dump()
        by_rules = {key for key in rules if rules[key] != base[key]}
        by_key = {
            key for key in Experiment.model_fields if key != "rebalancing" and getattr(other, key) != getattr(one, key)
        }
        changed = by_key | by_rules
        assert changed in ({"top_n", "top_n_stocks"}, {label.split(" ")[0]}), label
        Experiment.model_validate(other.model_dump(by_alias=True) | {"folder": other.folder})
        assert rules["min_trade_usd"] == 50


def test_the_settings_of_the_contract_are_all_varied() -> None:
    named = {label.split(" ")[0] for label, _ in variants(experiment(), SETTINGS)}
    assert named == {
        "max_position_pct",
        "top_n",
        "rebalance_threshold_pct",
        "min_score",
        "cadence",
        "start_session",
        "costs",
    }
    assert "min_score" not in {label.split(" ")[0] for label, _ in variants(experiment(strategy="momentum"), SETTINGS)}


def test_what_changes_nothing_is_no_variant() -> None:
    still = {"max_position_pct": 100, "rebalance_threshold_pct": 0, "min_score": 0}
    one = experiment(rebalancing=still, universe_size=50, top_n=50, costs={"half_spread_bps": 0})
    labels = {label for label, _ in variants(one, SETTINGS)}
    assert {label for label in labels if " = " not in label or label.split(" ")[0] in {*still, "top_n"}} == {
        "max_position_pct = 50",
        "top_n = 25",
        "min_score = 10",
    }


def test_costs_twice_are_all_costs_twice() -> None:
    one = experiment(costs={"half_spread_bps": 3, "fee_usd": 1, "impact": 0.5, "by_volume": True})
    costs = dict(variants(one, SETTINGS))["costs x 2"].costs
    assert (costs.half_spread_bps, costs.fee_usd, costs.impact, costs.by_volume) == (6, 2, 1, True)


def test_capacity_goes_from_ten_thousand_to_a_billion_with_impact() -> None:
    made = capacity(experiment())
    assert [label for label, _ in made][:: len(made) - 1] == [
        "10,000 USD, impact Y = 1 put in",
        "1,000,000,000 USD, impact Y = 1 put in",
    ]
    assert [one.capital for _, one in made] == [1e4, 1e5, 1e6, 1e7, 1e8, 1e9]
    assert {one.costs.impact for _, one in made} == {IMPACT}
    own = capacity(experiment(costs={"impact": 0.3}))
    assert {one.costs.impact for _, one in own} == {0.3}
    assert own[0][0] == "10,000 USD"


def test_a_band_has_two_ends_and_a_middle_and_says_what_it_is_not() -> None:
    made = band({"a": 0.3, "b": 0.1, "c": 0.2, "d": None}, "Sharpe", ratio)
    assert (made.low, made.high, made.count, made.missing) == (0.1, 0.3, 4, 1)
    assert made.median == pytest.approx(0.2)
    assert made.sentence == (
        "Sharpe is 0.10 to 0.30, median 0.20, over 4 variants of one setting each; in 1 it is undefined: a band of "
        "noise, and its highest end is nothing to pick"
    )
    empty = band({"a": None}, "Sharpe", ratio)
    assert (empty.low, empty.median, empty.high) == (None, None, None)
    assert empty.sentence == "Sharpe is undefined in all 1 variants"
