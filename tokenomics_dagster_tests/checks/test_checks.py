"""What a check is, and the checks that no mutation of test_mutations.py makes fail: each once passed, once failed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from tokenomics_dagster.execution.checks import check_cash, check_orders, check_portfolio_report
from tokenomics_dagster.execution.report import cash_meant
from tokenomics_dagster.execution.schema import Orders, PortfolioReport
from tokenomics_dagster.execution.states import ABANDONED, FINAL, INTENDED, OPEN, UNKNOWN
from tokenomics_dagster.fundamentals.checks import check_financials, check_scores, still_failed, usable
from tokenomics_dagster.fundamentals.schema import Financials, Scores
from tokenomics_dagster.kit.checks import SCHEMA, Finding, Rule, judged, results, schema_finding, specs
from tokenomics_dagster.model.plan import Plan, PlannedOrder
from tokenomics_dagster.portfolio.checks import check_target_weights, check_trade_plan
from tokenomics_dagster.portfolio.schema import TargetWeights, TradePlan
from tokenomics_dagster.sandbox.generated import generate
from tokenomics_dagster.storage.publishing import Publisher
from tokenomics_dagster.universe.checks import Sources, check_listings, check_universe, too_many_failed
from tokenomics_dagster.universe.schema import Listings, Universe
from tokenomics_dagster_tests.checks.market import EQUITY, NOW, Inputs, Stored, inputs, later, run, settings

CONFIGURED = settings(universe__size=60, rebalancing__top_n_stocks=20, rebalancing__max_position_pct=10.0)


@pytest.fixture(scope="module")
def given() -> Inputs:
    return inputs(generate(7, 500), CONFIGURED)


@pytest.fixture(scope="module")
def sound(given: Inputs) -> Stored:
    return run(given)


def one(findings: list[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


def failed(findings: list[Finding]) -> set[str]:
    return {finding.name for finding in findings if not finding.passed}


WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "listings": (Listings, {"symbol": ""}, "str_length"),
    "universe": (Universe, {"price": -1.0}, "greater_than"),
    "financials": (Financials, {"symbol": ""}, "str_length"),
    "scores": (Scores, {"roe_points": 101.0}, "less_than_or_equal_to"),
    "target_weights": (TargetWeights, {"score": 101.0}, "less_than_or_equal_to"),
    "trade_plan": (TradePlan, {"price": "1e3"}, "str_matches"),
}


@pytest.mark.parametrize("asset", WRONG)
def test_the_check_of_a_schema_passes_sound_rows_and_tells_each_value_that_breaks_it(sound: Stored, asset: str) -> None:
    schema, wrong, rule = WRONG[asset]
    frame = sound.frames[asset].reset_index(drop=True)
    assert schema_finding(schema, frame).passed
    ((column, value),) = wrong.items()
    broken = frame.copy()
    broken.loc[3, column] = value
    found = schema_finding(schema, broken)
    assert not found.passed
    assert found.figures["bad_rows"] == 1
    told = [row for row in found.tables["failing rows"].rows if row[0] == column]
    assert [(row[2], row[3], row[4]) for row in told] == [(3, broken["symbol"][3], value)]
    assert rule in str(told[0][1])


def test_failing_rows_are_counted_exactly_and_shown_up_to_a_bound() -> None:
    frame = pd.DataFrame(
        [("A", -1.0, None, None, None, 2.0, None)] * 300, columns=list(PortfolioReport.to_schema().columns)
    )
    frame["symbol"] = [f"S{number}" for number in range(300)]
    found = schema_finding(PortfolioReport, frame)
    assert found.figures == {"failures": 600, "bad_rows": 300, "rows": 300}
    (result,) = results([SCHEMA], [found])
    shown = result.metadata["failing rows"]
    assert isinstance(shown, dg.MarkdownMetadataValue)
    assert result.metadata["failing rows (count)"] == dg.IntMetadataValue(600)
    assert shown.value is not None
    assert "and 580 more" in shown.value
    assert "S0" in shown.value
    assert len(shown.value) < 5_000


def test_a_missing_column_is_a_finding_not_a_crash(sound: Stored) -> None:
    found = schema_finding(Universe, sound.frames["universe"].drop(columns="price"))
    assert not found.passed
    assert "price" in str(found.tables["failing rows"].rows)


RULES = (Rule("first", "One."), Rule("second", "Two.", "tells"), Rule("third", "Three.", "warns"))


def findings(*passed: bool) -> list[Finding]:
    return [Finding(rule.name, ok, f"{rule.name} is so") for rule, ok in zip(RULES, passed, strict=True)]


def test_what_was_not_looked_at_has_not_passed() -> None:
    for wrong in (findings(True, True, True)[:2], [*findings(True, True, True), Finding("first", True, "again")]):
        with pytest.raises(ValueError, match="findings"):
            results(RULES, wrong)


def made(*passed: bool) -> tuple[dg.ExecuteInProcessResult, dict[str, tuple[str, str]], bool]:
    """A run of an asset with these findings, what Dagster recorded of its checks, and whether it was stored."""

    @dg.asset(check_specs=specs("thing", RULES))
    def thing() -> Iterator[dg.Output[int] | dg.AssetCheckResult]:
        yield from judged(RULES, findings(*passed), otherwise="the last thing stays")
        yield dg.Output(1)

    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.materialize([thing], instance=instance, raise_on_error=False)
        keys = [spec.key for spec in thing.check_specs]
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        told = {}
        for key, record in found.items():
            assert record.event is not None
            evaluation = record.event.get_dagster_event().asset_check_evaluation_data
            told[key.name] = (record.status.value, evaluation.severity.value)
        return run, told, instance.get_latest_materialization_event(dg.AssetKey("thing")) is not None


def test_all_checks_are_recorded_and_one_that_refuses_keeps_the_asset_from_being_stored() -> None:
    run, told, stored = made(False, False, False)
    assert not run.success
    assert not stored
    assert told == {"first": ("FAILED", "ERROR"), "second": ("FAILED", "ERROR"), "third": ("FAILED", "WARN")}
    (event,) = [event for event in run.all_events if event.is_step_failure]
    assert event.step_failure_data.user_failure_data is not None
    assert event.step_failure_data.user_failure_data.description == "first: first is so: the last thing stays"


def test_what_only_tells_or_warns_is_recorded_and_stored() -> None:
    run, told, stored = made(True, False, False)
    assert run.success
    assert stored
    assert told == {"first": ("SUCCEEDED", "ERROR"), "second": ("FAILED", "ERROR"), "third": ("FAILED", "WARN")}


def test_identical_listings_are_dropped_and_counted(given: Inputs) -> None:
    rows = pd.concat([given.rows, given.rows.head(3)])
    found = one(check_listings(rows, None, CONFIGURED), "duplicates")
    assert found.passed
    assert found.figures["identical_dropped"] == 3


def test_an_exchange_without_candidates_is_told_by_its_name(given: Inputs) -> None:
    rows = given.rows.assign(mic=given.rows["mic"].replace("XNYS", "OOTC"))
    found = check_listings(rows, None, CONFIGURED)
    assert failed(found) == {"exchanges"}
    assert "a Common Stock on NYSE: check universe.exchanges" in one(found, "exchanges").description


def test_too_few_candidates_are_told_by_the_size(given: Inputs) -> None:
    found = check_listings(given.rows, None, settings(universe__size=1000))
    assert failed(found) == {"size"}
    assert "guards.min_universe_pct asks for 600 (60 % of 1000)" in one(found, "size").description


@pytest.mark.parametrize("exchange", ["XNYS", "all"])
def test_a_person_may_accept_listings_that_shrank_for_one_run(given: Inputs, sound: Stored, exchange: str) -> None:
    gone = (
        given.rows.index % 2 == 0
        if exchange == "all"
        else (given.rows["mic"] == exchange) & (given.rows.index % 2 == 0)
    )
    rows = given.rows[~gone]
    last = sound.frames["listings"]
    assert len(failed(check_listings(rows, last, CONFIGURED))) == 1
    accepted = check_listings(rows, last, CONFIGURED, accept_change=True)
    assert failed(accepted) == set()
    assert any("accepted for this run by accept_change" in finding.description for finding in accepted)


def universe_findings(
    given: Inputs, universe: pd.DataFrame, last: pd.DataFrame | None, **options: Any
) -> list[Finding]:
    sources = Sources(given.profiles, pd.Series(dtype="str"), given.rows)
    return check_universe(universe, sources, last, CONFIGURED, **options)


def test_a_symbol_or_an_issuer_that_stands_twice_in_the_universe_is_told(given: Inputs, sound: Stored) -> None:
    universe = sound.frames["universe"]
    assert failed(universe_findings(given, universe, None)) == set()
    shared = universe.assign(name=[universe["name"][1], *universe["name"][1:]])
    found = universe_findings(given, shared, None)
    assert failed(found) == {"duplicates"}
    assert one(found, "duplicates").figures["sharing_an_issuer"] == 2
    repeated = pd.concat([universe, universe.head(1)], ignore_index=True)
    assert one(universe_findings(given, repeated, None), "duplicates").figures["symbols_twice"] == 1


def test_too_few_stocks_are_told_and_never_accepted(given: Inputs, sound: Stored) -> None:
    found = universe_findings(given, sound.frames["universe"].head(35), None, accept_change=True)
    assert failed(found) == {"size"}
    assert "only 35 stocks qualify, guards.min_universe_pct asks for 36" in one(found, "size").description


def test_a_person_may_accept_a_universe_that_changed_for_one_run_and_the_checks_say_so(
    given: Inputs, sound: Stored
) -> None:
    last = sound.frames["universe"]
    strangers = last["symbol"].mask(last.index % 3 == 0, "X" + last["symbol"])
    for universe, check in (
        (last.head(45), "size"),
        (last, "caps"),
        (last, "turnover"),
    ):
        before = {"size": last, "caps": last.assign(market_cap_musd=last["market_cap_musd"] * 2)}.get(
            check, last.assign(symbol=strangers)
        )
        assert failed(universe_findings(given, universe, before)) == {check}
        found = universe_findings(given, universe, before, accept_change=True)
        assert failed(found) == set()
        assert "accepted for this run by accept_change" in one(found, check).description


def test_names_in_and_out_are_listed(given: Inputs, sound: Stored) -> None:
    last = sound.frames["universe"]
    before = last.assign(symbol=["GONE", *last["symbol"][1:]])
    found = one(universe_findings(given, last, before), "turnover")
    assert found.passed
    assert found.tables["names in"].rows == [(last["symbol"][0],)]
    assert found.tables["names out"].rows == [("GONE", "not listed")]


def sweep(days_ago: float, *failures: str) -> Any:
    at = NOW - timedelta(days=days_ago)
    texts = dict.fromkeys(failures, f"status 500, {days_ago:g} days ago")
    return SimpleNamespace(started_at=at, fresh_since=at - timedelta(days=5), finished_at=at, failures=texts)


def test_symbols_that_fail_for_long_are_told_with_since_when_and_the_last_error(sound: Stored) -> None:
    facts = sound.frames["financials"]
    symbols = list(facts["symbol"])
    old, never = symbols[0], "NEW"
    known = facts.assign(
        known_at=facts["known_at"].mask(facts["symbol"] == old, pd.Timestamp(NOW - timedelta(days=20)))
    )
    sweeps = [sweep(2, old, never), sweep(9, old), sweep(16, old), sweep(23, old)]
    found = one(check_financials(known, [*symbols, never], sweeps, NOW, CONFIGURED), "failing")
    assert not found.passed
    # Sixteen days: the sweep of three weeks ago was followed by figures.
    assert (
        f"1 symbols have failed for more than 10 days (guards.max_failing_days): {old} since 2026-08-08 14:05 UTC"
        in (found.description)
    )
    assert found.tables["failed"].rows == [
        (old, 16.0, "2026-08-08 14:05", "status 500, 2 days ago"),
        (never, 2.0, "2026-08-22 14:05", "status 500, 2 days ago"),
    ]
    assert one(check_financials(known, [*symbols, never], sweeps[:2], NOW, CONFIGURED), "failing").passed


@pytest.mark.parametrize(
    ("age_days", "used"),
    [(1.0, False), (4.9, False), (5.1, True), (7.9, True), (8.1, False)],
    ids=["wrong of late", "asked for though fresh", "of the last sweep", "young", "too old"],
)
def test_a_symbol_that_failed_is_scored_by_its_last_figures_while_they_are_young(
    sound: Stored, age_days: float, used: bool
) -> None:
    facts = sound.frames["financials"].reset_index(drop=True).assign(known_at=pd.Timestamp(NOW))
    symbol, symbols = facts["symbol"][0], list(facts["symbol"])
    facts.loc[0, "known_at"] = pd.Timestamp(NOW - timedelta(days=age_days))
    last: Any = SimpleNamespace(started_at=NOW, fresh_since=NOW, finished_at=NOW, failures={symbol: "no answer"})
    assert (symbol in set(usable(facts, symbols, last, NOW, CONFIGURED)["symbol"])) == used
    assert len(usable(facts, symbols, last, NOW, CONFIGURED)) == len(facts) - (not used)
    last.failures = {}
    assert symbol not in set(usable(facts, symbols, last, NOW, CONFIGURED)["symbol"]), "it was not asked for"


def test_a_symbol_that_a_repair_has_fetched_is_failed_no_more(sound: Stored) -> None:
    facts = sound.frames["financials"]
    symbols = list(facts["symbol"])
    repaired, failing = symbols[:2]
    without = facts[facts["symbol"] != failing]
    assert still_failed(without, symbols, sweep(2, repaired, failing)) == [failing]
    assert still_failed(without, symbols, None) == []


@pytest.mark.parametrize(
    ("sweeps", "words"),
    [
        ([], "never swept"),
        ([SimpleNamespace(**{**vars(sweep(2)), "finished_at": None})], "has not finished"),
        ([sweep(2, "AAA", "BBB")], "2 symbols of the last sweep are still failed (3.2 %, guards.max_failed_pct is 2)"),
    ],
)
def test_scores_are_barred_before_a_whole_sweep(sound: Stored, sweeps: list[Any], words: str) -> None:
    facts = sound.frames["financials"]
    found = check_financials(facts, [*facts["symbol"], "AAA", "BBB"], sweeps, NOW, CONFIGURED)
    assert failed(found) == {"fetched"}
    assert words in one(found, "fetched").description


def test_too_few_scores_are_told_with_the_reasons_of_the_others(sound: Stored) -> None:
    scores = sound.frames["scores"]
    lost = scores.index % 3 == 0
    few = scores.assign(score=scores["score"].mask(lost), reason=scores["reason"].mask(lost, "ROE is missing"))
    found = check_scores(few, scores, CONFIGURED)
    assert failed(found) == {"scored"}
    (most, *_) = one(found, "scored").tables["reasons"].rows
    assert most[0] == "ROE is missing"
    assert most[1] >= 20


def test_an_order_of_names_unlike_the_last_is_a_warning(sound: Stored) -> None:
    scores = sound.frames["scores"]
    values = scores["score"].dropna()
    near = values.median() + (values - values.median()) * 0.05
    last = scores.assign(score=near)
    found = check_scores(scores.assign(score=2 * values.median() - near), last, CONFIGURED)
    assert failed(found) == {"rank_correlation"}
    assert one(found, "rank_correlation").figures["rank_correlation"] == pytest.approx(-1)
    assert failed(check_scores(last.assign(score=near + 5), last, CONFIGURED)) == set()


def test_a_person_may_accept_scores_far_from_the_last_for_one_run(sound: Stored) -> None:
    scores = sound.frames["scores"]
    last = scores.assign(score=scores["score"] - 20)
    assert failed(check_scores(scores, last, CONFIGURED)) == {"shift"}
    found = check_scores(scores, last, CONFIGURED, accept_change=True)
    assert failed(found) == set()
    assert "accepted for this run by accept_change" in one(found, "shift").description


@pytest.mark.parametrize(("names", "passed"), [(1, True), (2, False)])
def test_nearly_all_figures_behind_the_weights_must_be_young(sound: Stored, names: int, passed: bool) -> None:
    weights = sound.frames["target_weights"]
    ages = [8.01] * names + [8.0] * (len(weights) - names)
    known_at = pd.Series([pd.Timestamp(NOW - timedelta(days=age)) for age in ages])
    found = check_target_weights(weights, {}, NOW, known_at, NOW, CONFIGURED.rebalancing, CONFIGURED.guards)
    assert len(weights) == 20
    assert failed(found) == (set() if passed else {"scores_fresh"})


def test_too_much_of_one_industry_is_a_warning_and_the_unknown_is_none(sound: Stored) -> None:
    weights = sound.frames["target_weights"]
    symbols = list(weights["symbol"])

    def industry(industries: dict[str, str | None]) -> Finding:
        rules = CONFIGURED.rebalancing
        known_at = sound.frames["scores"].set_index("symbol")["known_at"][symbols]
        found = check_target_weights(weights, industries, NOW, known_at, NOW, rules, CONFIGURED.guards)
        return one(found, "industry")

    assert industry(dict.fromkeys(symbols, "")).passed
    assert industry({symbol: f"I{number % 4}" for number, symbol in enumerate(symbols)}).passed
    found = industry({symbol: "Banking" if number < 9 else "Media" for number, symbol in enumerate(symbols)})
    assert not found.passed
    assert found.tables["industries"].rows[0][0] == "Media"


def plan(*orders: PlannedOrder, positions: dict[str, Decimal], cash: Decimal = Decimal(0)) -> Plan:
    return Plan(
        week=date(2026, 8, 24),
        created_at=NOW,
        account="PA1",
        equity=EQUITY,
        cash=cash,
        scores_as_of=NOW,
        positions=positions,
        inputs_hash="",
        orders=orders,
    ).sealed()


def sell(symbol: str, qty: int) -> PlannedOrder:
    return PlannedOrder(symbol, "sell", Decimal(qty), None, Decimal(100), exit=True)


def test_what_waits_for_approval_is_a_warning(sound: Stored) -> None:
    frame, guards = sound.frames["trade_plan"], CONFIGURED.guards
    few = plan(*[sell(f"S{n}", 1) for n in range(40)], positions={f"S{n}": Decimal(1) for n in range(40)})
    assert failed(check_trade_plan(frame, few, guards)) == set()
    many = plan(*[sell(f"S{n}", 1) for n in range(41)], positions={f"S{n}": Decimal(1) for n in range(41)})
    assert failed(check_trade_plan(frame, many, guards)) == {"exits"}
    much = plan(sell("A", 401), positions={"A": Decimal(401)})
    assert failed(check_trade_plan(frame, much, guards)) == {"turnover"}


def test_the_same_shares_are_not_sold_twice_and_proceeds_pay_for_buys(sound: Stored) -> None:
    frame, guards = sound.frames["trade_plan"], CONFIGURED.guards
    twice = plan(sell("A", 6), sell("A", 6), positions={"A": Decimal(10)})
    assert failed(check_trade_plan(frame, twice, guards)) == {"no_short"}
    buy = PlannedOrder("B", "buy", None, Decimal(600), Decimal(10))
    assert failed(check_trade_plan(frame, plan(sell("A", 6), buy, positions={"A": Decimal(6)}), guards)) == set()
    assert failed(check_trade_plan(frame, plan(buy, sell("A", 6), positions={"A": Decimal(6)}), guards)) == {"cash"}
    # Debts of before are not the plan's.
    owing = plan(sell("A", 1), positions={"A": Decimal(1)}, cash=Decimal(-500))
    assert failed(check_trade_plan(frame, owing, guards)) == set()


def orders(*statuses: str) -> pd.DataFrame:
    rows = [(f"id-{n}", f"S{n}", "buy", "1", None, status, "0", None, None) for n, status in enumerate(statuses)]
    return Orders.validate(pd.DataFrame(rows, columns=list(Orders.to_schema().columns)))


@pytest.mark.parametrize("status", sorted(OPEN | FINAL | {INTENDED, UNKNOWN, "a word of tomorrow"}))
def test_an_order_is_final_or_open_or_not_known(status: str) -> None:
    expected = {"known"} if status in {INTENDED, UNKNOWN, ABANDONED} else set() if status in FINAL else {"final"}
    assert failed(check_orders(orders("filled", status), [], [])) == expected


def test_orders_that_would_not_be_cancelled_and_books_that_do_not_agree_are_told() -> None:
    assert failed(check_orders(orders("filled"), [], [])) == set()
    assert failed(check_orders(orders("filled"), ["buy A (pending_cancel)"], [])) == {"final"}
    assert failed(check_orders(orders("filled"), [], ["A: 1 shares are held, the fills make 2"])) == {"books"}
    assert failed(check_orders(orders(), [], [])) == set()


def report(*rows: tuple[str, float, float | None, float]) -> pd.DataFrame:
    """Rows of symbol, shares, value (USD) and target weight, of an equity of 1,000 USD."""
    listed = [
        (
            s,
            qty,
            None,
            value,
            None if value is None else value / 1000,
            target,
            None if value is None else target - value / 1000,
        )
        for s, qty, value, target in rows
    ]
    return PortfolioReport.validate(pd.DataFrame(listed, columns=list(PortfolioReport.to_schema().columns)))


def reported(frame: pd.DataFrame, cash: str, *traded: str) -> set[str]:
    return failed(check_portfolio_report(frame, Decimal(1000), Decimal(cash), set(traded), CONFIGURED.guards))


def test_positions_and_cash_must_add_up_to_the_equity_within_a_cent_a_name() -> None:
    frame = report(("A", 1, 500.0, 0.5), ("B", 1, 300.0, 0.3))
    assert reported(frame, "200.02") == set()
    assert reported(frame, "200.03") == {"adds_up"}
    assert reported(report(("A", 1, None, 0.5)), "500") == {"adds_up"}


def test_cash_left_is_compared_with_the_cash_that_targets_and_buffer_mean() -> None:
    guards = CONFIGURED.guards
    meant = cash_meant(Decimal(100_000), 0.05, 0.25)
    assert meant == Decimal("5237.50")
    assert check_cash(meant + 10_000, meant, Decimal(100_000), guards).passed
    idle = check_cash(meant + 15_000, meant, Decimal(100_000), guards)
    assert not idle.passed
    assert idle.description.startswith("20,237.50 USD of cash are left, 5,237.50 are meant: 15.0 % of equity too much")
    assert idle.description.endswith("; see whether cash came by hand")
    little = check_cash(meant - 15_000, meant, Decimal(100_000), guards).description
    assert "too little" in little
    assert little.endswith("; see whether cash went by hand")


def test_money_that_is_borrowed_is_told_however_little_of_equity_it_is() -> None:
    told = check_cash(Decimal(-404), Decimal(250), Decimal(100_000), CONFIGURED.guards)
    assert not told.passed
    assert "404.00 USD are borrowed" in told.description
    assert "by hand: " not in told.description
    assert check_cash(Decimal("-0.40"), Decimal(250), Decimal(100_000), CONFIGURED.guards).passed, "rounding"


def test_cash_that_a_rule_of_the_plan_or_an_untraded_buy_leaves_is_told_with_it_and_as_nobody_s_deposit() -> None:
    guards, equity = CONFIGURED.guards, Decimal(1500)
    kept = {"trades under rebalancing.min_trade_usd = 100 USD": (Decimal(1100), 18)}
    told = check_cash(Decimal(1500), Decimal(4), equity, guards, kept, Decimal(300)).description
    assert told.endswith(
        "; what the plan's rules leave as cash: 1,100.00 USD in 18 names (trades under rebalancing.min_trade_usd = "
        "100 USD); what was to be bought and was not: 300.00 USD, for the reasons in orders.traded"
    )
    assert "orders.traded" not in check_cash(Decimal(1500), Decimal(4), equity, guards, kept).description
    assert "came by hand" in check_cash(Decimal(1500), Decimal(4), equity, guards, kept).description
    assert check_cash(Decimal(100), Decimal(4), equity, guards, kept).description.endswith("max_cash_off_pct is 10")


def test_a_traded_name_far_from_its_target_is_a_warning_and_one_that_was_left_alone_is_not() -> None:
    frame = report(("A", 1, 500.0, 0.511), ("B", 1, 300.0, 0.3))
    assert reported(frame, "200", "B") == set()
    assert reported(frame, "200", "A", "B") == {"drift"}
    assert reported(frame, "200") == set()


def test_what_redis_does_not_hold_is_told(redis_url: str) -> None:
    import redis

    publisher = Publisher(redis_url)
    caps = {"A": 3.25, "B": 1.1}
    scores: dict[str, tuple[float, dict[str, Any]]] = {"A": (61.7, {"roe": 1.5}), "B": (50.1, {"roe": None})}
    publisher.publish_universe(caps, NOW)
    publisher.publish_scores(scores, NOW)
    assert publisher.universe_discrepancies(caps, NOW) == []
    assert publisher.scores_discrepancies(scores) == []
    with redis.Redis.from_url(redis_url) as client:
        client.zrem("fundamentals:universe:mcap", "B")
        client.zadd("fundamentals:scores", {"A": 61.8})
        client.delete("fundamentals:B")
    assert publisher.universe_discrepancies(caps, NOW) == [
        "fundamentals:universe:mcap differs in 1 of 2 members, e.g. B"
    ]
    assert publisher.scores_discrepancies(scores) == [
        "fundamentals:scores differs in 1 of 2 members, e.g. A",
        "fundamentals:B is not what was written",
    ]
    assert (
        publisher.universe_discrepancies(caps, NOW + timedelta(days=1))[0]
        == "fundamentals:universe is not what was written"
    )
    publisher.close()


def test_a_second_week_of_the_same_market_changes_nothing(given: Inputs, sound: Stored) -> None:
    again = run(replace(later(given, 7)), sound)
    assert again.failed == set()
    assert one(again.findings["scores"], "shift").figures["mean_absolute_change"] == 0
    assert one(again.findings["universe"], "turnover").figures["replaced_pct"] == 0


@pytest.mark.parametrize(("failed", "of", "refused"), [(1, 1, False), (1, 25, False), (2, 25, True), (2, 100, False)])
def test_the_failure_of_one_symbol_says_what_the_check_says_one_alone_is_never_too_many(
    failed: int, of: int, refused: bool
) -> None:
    assert too_many_failed(failed, of, settings().guards) == refused
