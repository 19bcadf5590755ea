"""The parity gate: what was decided is what the rules give again on what was kept, and each change of a rule on either
side is named."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st

from tokenomics_dagster.execution import parity as gate
from tokenomics_dagster.execution.checks import check_parity
from tokenomics_dagster.execution.parity import Parity, Recorded, parity
from tokenomics_dagster.execution.recorded import recorded, traded
from tokenomics_dagster.fundamentals import scoring
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.portfolio import kernel, weights
from tokenomics_dagster.portfolio.schema import (
    PlanInputs,
    TargetWeights,
    TargetWeightsDetails,
    TradePlan,
    TradePlanDetails,
)
from tokenomics_dagster.portfolio.trades import Money, Names, plan_trades, planned_orders
from tokenomics_dagster.settings.environment import load_environment
from tokenomics_dagster.settings.rebalancing import RebalancingSettings
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster_tests.checks.test_runs import checks, described
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.portfolio.test_trades import MADE_AT, accounts, rules, targets

D = Decimal
WEEK, NEXT = "2026-08-24", "2026-08-31"


def of_account(account: dict[str, Any], **inputs: Any) -> Recorded:
    """A plan of an account of test_trades as it is kept, and its weights."""
    names = Names(account["positions"], account["prices"], account["assets"], account["open_orders"])
    money = Money(account["equity"], account["cash"], account.get("bound", {}))
    frame = plan_trades(account["targets"], names, money, account["rules"]).frame
    plan = Plan(
        week=date(2026, 8, 24),
        created_at=MADE_AT,
        account="1",
        equity=money.equity,
        cash=money.cash,
        scores_as_of=MADE_AT,
        positions={symbol: qty for symbol, (qty, _) in names.positions.items()},
        inputs_hash="",
        orders=planned_orders(frame),
    ).sealed()
    kept: dict[str, Any] = {
        "target_weights_as_of": MADE_AT,
        "rules": account["rules"].model_dump(mode="json"),
        "free": {symbol: free for symbol, (qty, free) in names.positions.items() if free < qty},
        "whole": [symbol for symbol, fractionable in names.assets.items() if not fractionable],
        "left_alone": [s for s in frame["symbol"] if s in names.open_orders or s not in names.assets],
    }
    details = TradePlanDetails(plan=plan.to_document(), bound_cash=money.bound, inputs=PlanInputs(**kept | inputs))
    of_weights = TargetWeightsDetails(scores_as_of=MADE_AT, cash_weight=0.0)
    return Recorded(
        plan.week, plan.plan_id, Made(frame, MADE_AT, details), Made(account["targets"], MADE_AT, of_weights)
    )


def in_lines(found: Parity) -> list[str]:
    return [" ".join(one) for one in found.differences]


DUST = {
    "targets": targets({"B": 0.25}),
    "positions": {"A": (D("1E-9"), D("5E-10"))},
    "prices": {"A": D(1), "B": D(1)},
    "assets": {"A": True, "B": True},
    "equity": D("0.01"),
    "cash": D(0),
    "rules": rules(),
    "open_orders": (),
}
"""Less is free than the least fraction that is traded: nothing is cut, nothing is free."""


@example(DUST, {})
@given(accounts(), st.sampled_from([{}, {"order": D("150.555")}, {"order": D("Infinity")}]))
def test_any_plan_is_what_the_kernel_gives_again_on_its_inputs(account: dict[str, Any], bound: dict[str, D]) -> None:
    found = parity(of_account(account | {"bound": bound}))
    assert in_lines(found) == []
    assert found.compared["trade_plan"] >= 5
    assert found.absent.keys() == {"target_weights"}, "there are neither scores nor rules"


ACCOUNT: dict[str, Any] = {
    "targets": targets({"A": 0.2, "B": 0.2, "C": 0.2, "D": 0.1, "E": 0.002, "F": 0.29}),
    "positions": {"B": (D(160), D(160)), "C": (D(260), D(20)), "D": (D(90), D(90)), "X": (D("1.5"), D("1.5"))},
    "prices": {**dict.fromkeys("ABCDEX", D(10)), "F": D("900.5")},
    "assets": {**dict.fromkeys("ABCDEX", True), "F": False},
    "open_orders": (),
    "equity": D(10_000),
    "cash": D(6000),
    "rules": rules(),
}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"rebalance_threshold_pct": 25.0}, "trade_plan B side buy none"),
        ({"rebalance_threshold_pct": 5.0}, "trade_plan D side none buy"),
        ({"min_trade_usd": 450.0}, "trade_plan B side buy none"),
        ({"min_trade_usd": 10.0}, "trade_plan E side none buy"),
        ({"cash_buffer_pct": 1.0}, "trade_plan A target_value 2000 1980"),
    ],
)
def test_a_plan_that_was_made_by_another_rule_is_named_with_the_symbol_and_the_field(changed: dict, named: str) -> None:
    other = rules(**changed).model_dump(mode="json")
    assert in_lines(parity(of_account(ACCOUNT))) == []
    assert named in in_lines(parity(of_account(ACCOUNT, rules=other)))


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ({"free": {}}, "trade_plan C shares -20 -60"),
        ({"whole": []}, "trade_plan F shares 3 3.22043309273"),
        ({"left_alone": ["X"]}, "trade_plan X side sell none"),
    ],
)
def test_a_plan_that_was_made_on_other_inputs_is_named(inputs: dict, named: str) -> None:
    assert named in in_lines(parity(of_account(ACCOUNT, **inputs)))


def changed_row(column: str, symbol: str, value: Any) -> list[str]:
    of = of_account(ACCOUNT)
    assert of.plan is not None
    frame = of.plan.frame.copy()
    frame[column] = frame[column].where(frame["symbol"] != symbol, value)
    return in_lines(parity(replace(of, plan=Made(frame, MADE_AT, of.plan.details))))


@pytest.mark.parametrize(
    ("column", "symbol", "value", "named"),
    [
        ("notional", "A", "2000.02", "trade_plan A shares 200.002 200"),
        ("qty", "F", "2", "trade_plan F shares 2 3"),
        ("qty", "X", "1.499999", "trade_plan X shares -1.499999 -1.5"),
        ("price", "C", "11", "trade_plan C current_value 2600 2860"),
        ("sequence", "A", 99, "trade_plan A sequence 99 4"),
        ("exit", "X", False, "trade_plan X exit False True"),
        ("reason", "D", "trade of 1.00 USD is under the minimum", "trade_plan D reason trade of 1.00 USD"),
        ("target_value", "B", 2000.01, "trade_plan B target_value 2000.01 2000"),
        ("target_weight", "C", 0.202, "trade_plan C target_weight 0.202 0.2"),
        ("current_weight", "C", 0.25, "trade_plan C current_weight 0.25 0.26"),
        ("drift", "F", 0.3, "trade_plan F drift 0.3 0.29"),
        ("qty", "A", "5", "trade_plan A qty 5 none"),  # beside its USD
        ("symbol", "X", "Y", "trade_plan Y row there none"),
    ],
)
def test_a_row_that_was_changed_is_named(column: str, symbol: str, value: object, named: str) -> None:
    assert any(line.startswith(named) for line in changed_row(column, symbol, value)), changed_row(
        column, symbol, value
    )


@pytest.fixture
def kept(platform: Platform) -> Recorded:
    """A week that was traded on the sandbox."""
    platform.run_all()
    made = platform.store.load_stored("trade_plan", TradePlan, TradePlanDetails, partition=WEEK)
    assert made is not None
    return recorded(platform.store, made)


@pytest.mark.soak
def test_a_traded_week_is_what_the_rules_give_again_and_each_change_of_a_rule_is_named(
    platform: Platform, kept: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checks(platform, {"orders"})["orders.parity"]
    assert described(platform, "orders", "parity") == "380 elements of 1 week were decided again"
    found = parity(kept)
    assert (in_lines(found), found.absent) == ([], {})
    assert found.compared == {"scores": 120, "target_weights": 60, "trade_plan": 200}
    for changed, field in kernels():
        with monkeypatch.context() as patch:
            changed(patch)
            fields = {(one.table, one.field) for one in parity(kept).differences}
        assert field in fields, field
    for of, field in records(kept):
        assert field in {(one.table, one.field) for one in parity(of).differences}, field


@pytest.mark.soak
def test_a_score_of_0_that_weighs_nothing_is_no_difference(kept: Recorded) -> None:
    assert kept.scores is not None
    assert kept.weights is not None
    scored = kept.scores.frame.copy()
    scored.loc[scored["symbol"] == kept.weights.frame["symbol"].iloc[-1], "score"] = 0.0
    changed = {"min_score": 0.0, "top_n_stocks": 100}
    of_week = RebalancingSettings.model_validate({**(kept.weights.details.rules or {}), **changed})
    again = kept.weights.details.model_copy(update={"rules": of_week.model_dump(mode="json")})
    chosen_from = scored[scored["symbol"].isin(kept.universe or ())]
    made = weights.target_weights(chosen_from, of_week)
    assert len(made) < chosen_from["score"].notna().sum() <= of_week.top_n_stocks
    found = parity(
        replace(
            kept,
            scores=Made(scored, kept.scores.as_of, kept.scores.details),
            weights=Made(made, kept.weights.as_of, again),
        )
    )
    assert "target_weights" not in {one.table for one in found.differences}


def kernels() -> Iterator[tuple[Callable[[pytest.MonkeyPatch], None], tuple[str, str]]]:
    """The rules of history, each changed in one, and where it shows."""
    score_arrays, decide, chosen, cap_weights = scoring.score_arrays, kernel.decide, weights.chosen, weights.cap_weights

    def half_of_roe(roe: Any, *rest: Any) -> Any:
        return score_arrays(roe / 2, *rest)

    def nothing_under_six_thousand(*given: Any) -> Any:
        target, price, shares, free, fractional, threshold, _ = given
        return decide(target, price, shares, free, fractional, threshold, 6_000.0)

    yield lambda patch: patch.setattr(scoring, "score_arrays", half_of_roe), ("scores", "score")
    yield (
        lambda patch: patch.setattr(gate, "chosen", lambda s, c, n, m: chosen(s, -c, n - 1, m)),
        (
            "target_weights",
            "rank",
        ),
    )
    yield (
        lambda patch: patch.setattr(gate, "cap_weights", lambda raw, cap: cap_weights(raw, cap / 2)),
        (
            "target_weights",
            "weight",
        ),
    )
    yield lambda patch: patch.setattr(kernel, "decide", nothing_under_six_thousand), ("trade_plan", "side")


def records(kept: Recorded) -> Iterator[tuple[Recorded, tuple[str, str]]]:
    """What is kept, each time with one thing changed, and where it shows."""
    assert kept.scores is not None
    assert kept.weights is not None
    assert kept.plan is not None
    frame = kept.scores.frame.copy()
    frame["score"] = frame["score"].where(frame["score"] < frame["score"].max(), frame["score"] - 0.001)
    yield replace(kept, scores=Made(frame, kept.scores.as_of, kept.scores.details)), ("scores", "score")
    frame = kept.weights.frame.copy()
    frame["weight"] = frame["weight"].where(frame["rank"] != 4, frame["weight"] * 1.0001)
    of_weights = Made(frame, kept.weights.as_of, kept.weights.details)
    yield replace(kept, weights=of_weights), ("target_weights", "weight")
    yield replace(kept, weights=of_weights), ("trade_plan", "target_value")
    left = (kept.universe or frozenset()) - {kept.weights.frame["symbol"][0]}
    yield replace(kept, universe=left), ("target_weights", "rank")
    document = {**(kept.weights.details.rules or {}), "max_position_pct": 4.0}
    changed = kept.weights.details.model_copy(update={"rules": document})
    yield replace(kept, weights=Made(kept.weights.frame, kept.weights.as_of, changed)), ("target_weights", "weight")


@pytest.mark.soak
def test_a_live_rule_that_is_changed_alone_fails_the_weeks_check_and_stops_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = weights.cap_weights
    with monkeypatch.context() as patch:
        patch.setattr(weights, "cap_weights", lambda raw, cap: original(np.ones(len(raw)), cap))
        platform.run_all()
    assert not checks(platform, {"orders"})["orders.parity"]
    told = described(platform, "orders", "parity")
    found = re.search(r"(\d+) are not what was recorded, first weight of (\w+) in target_weights of (.+): (.+);", told)
    assert found is not None
    held = platform.store.load_snapshot("target_weights", TargetWeights, partition=WEEK)
    assert held is not None
    assert (found[1], found[2], found[3]) == ("20", held["symbol"].min(), WEEK)
    assert re.fullmatch(r"recorded 0.05, recomputed 0.0[45]\d+", found[4])
    assert checks(platform, {"orders"})["orders.traded"]
    # The week after is as it should be, and the one before is told still.
    platform.sandbox.admin("PUT", "/sandbox/clock", {"now": f"{NEXT}T14:05:00Z"})
    platform.run_all(NEXT)
    told = described(platform, "orders", "parity")
    assert f"of 2 weeks were decided again; 20 are not what was recorded, first weight of {found[2]} in " in told


def test_what_an_earlier_version_did_not_keep_is_told_and_of_the_week_itself_fails() -> None:
    of = of_account(ACCOUNT)
    assert of.plan is not None
    old = TradePlanDetails(plan=of.plan.details.plan)
    before = parity(replace(of, plan=Made(of.plan.frame, MADE_AT, old)))
    why = "the version that stored it did not keep what it was decided with"
    assert (before.compared, before.absent["trade_plan"]) == ({}, why)
    this = Parity(date(2026, 8, 31), "", {"trade_plan": 48}, (), {})
    found = check_parity(this, [replace(before, absent={"trade_plan": why})])
    assert found.passed
    assert found.description == (
        f"48 elements of 2 weeks were decided again; 1 table could not be, first trade_plan of {WEEK}: {why}"
    )
    assert not check_parity(before, []).passed


@pytest.mark.soak
def test_a_past_week_whose_record_is_gone_or_damaged_is_told_and_raises_nothing(
    platform: Platform, kept: Recorded
) -> None:
    store = platform.store
    engine = sa.create_engine(load_environment().tokenomics_database_url.get_secret_value())
    [before] = traded(store, date(2026, 8, 31), 13)
    assert (before.plan_id, before.absent) == (kept.plan_id, {})
    assert list(traded(store, date(2026, 8, 24), 13)) == list(traded(store, date(2026, 8, 31), 0)) == []
    for statement, absent in (
        ("delete from snapshots where asset = 'universe'", {"universe": "it is not in the warehouse any more"}),
        ("delete from scores where position = 0", {"scores": "snapshot "}),
        ("delete from snapshots where asset = 'scores'", {"scores": "it is not in the warehouse any more"}),
        ("delete from snapshots where asset = 'trade_plan'", {"trade_plan": "it is not in the warehouse any more"}),
        ("update snapshots set details = '{}' where asset = 'orders'", {"orders": "the details of snapshot "}),
    ):
        with engine.begin() as connection:
            connection.execute(sa.text(statement))
        [before] = traded(store, date(2026, 8, 31), 13)
        assert before.absent.keys() == absent.keys()
        for table, why in absent.items():
            assert before.absent[table].startswith(why)
        assert in_lines(parity(before)) == []
    engine.dispose()


def test_rules_that_this_version_does_not_know_are_told() -> None:
    of = of_account(ACCOUNT, rules={"of_tomorrow": 1})
    assert "none of this version: of_tomorrow" in parity(of).absent["trade_plan"]
    assert datetime(2026, 8, 24, tzinfo=UTC).date() == of.week
