"""What the account has earned over weeks with a deposit, a withdrawal, a dividend and a fee: as the sandbox's books."""

import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest
from rich.console import Console

from tokenomics_dagster.interfaces.cli import portfolio_tables
from tokenomics_dagster.interfaces.demo import FAST
from tokenomics_dagster.model import calendar
from tokenomics_dagster.operations import performance as operation
from tokenomics_dagster.operations.dry_plan import dry_plan, dry_plan_document
from tokenomics_dagster.operations.performance import Earned, NotYet
from tokenomics_dagster.operations.report import report
from tokenomics_dagster.operations.trades import trades_of_week
from tokenomics_dagster.portfolio.schema import TradePlan
from tokenomics_dagster.sandbox.server import running_sandbox
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform
from tokenomics_dagster_tests.operations.conftest import point_to
from tokenomics_dagster_tests.rewriting import rewriting

WEEKS = ["2026-08-24", "2026-08-31", "2026-09-08"]
HISTORY = "GET /v2/account/portfolio/history"
ACCOUNT = "GET /v2/account"
ACTIVITIES = "GET /v2/account/activities"
SPY = {
    "symbol": "SPY", "description": "SPDR S&P 500 ETF Trust", "type": "ETP", "mic": "ARCX", "currency": "USD",
    "figi": "BBG000BDTBL9", "share_class_figi": "BBG001S72SM3", "isin": "US78462F1030", "issuer": "SPDR",
    "country": "US", "industry": "", "ipo": "1993-01-29", "price": "640.00", "volume": 60_000_000, "tradable": True,
    "fractionable": True, "profile": {}, "metric": {},
}  # fmt: skip
DEPOSIT, WITHDRAWAL = Decimal(40_000), Decimal(-150)  # of 40 % the drifts are above their threshold


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """To be read only: three weeks of 12 stocks; before the second 40,000 USD come, in it 150 go."""
    folder = tmp_path_factory.mktemp("weeks")
    settings_file = folder / "settings.yaml"
    settings_file.write_text((REPOSITORY / "config/settings.yaml").read_text())
    with running_sandbox(listings=150, seed=7) as sandbox, dg.DagsterInstance.ephemeral() as instance:
        made = Platform(sandbox, instance, folder, settings_file)
        for section, values in FAST.items():
            made.configure(**{f"{section}__{key}": value for key, value in values.items()})
        made.configure(
            universe__size=25,
            rebalancing__top_n_stocks=12,
            rebalancing__max_position_pct=10.0,
            trading__poll_interval_s=0.05,
        )
        sandbox.admin("POST", "/sandbox/listings", SPY)
        with pytest.MonkeyPatch.context() as patch:
            point_to(made, patch)
            _live_through(made)
            assert made.store is not None  # opened while the environment names it
        yield made
        made.store.close()


def _live_through(made: Platform) -> None:
    made.run_all(WEEKS[0])
    at(made, "2026-08-26T12:00:00Z")
    made.sandbox.admin("POST", "/sandbox/cash", {"amount": str(DEPOSIT)})
    held = sorted(made.broker().positions())
    at(made, "2026-08-27T12:00:00Z")
    made.sandbox.admin("POST", "/sandbox/actions", {"kind": "dividend", "symbol": held[0], "rate": "0.24"})
    made.sandbox.admin("POST", "/sandbox/actions", {"kind": "fee", "amount": "-0.37"})
    again(made, WEEKS[1], look=True)
    at(made, "2026-09-03T17:00:00Z")
    made.sandbox.admin("POST", "/sandbox/cash", {"amount": str(WITHDRAWAL)})
    made.sandbox.admin("PATCH", f"/sandbox/metrics/{held[1]}", {"roeTTM": -50})
    again(made, WEEKS[2])
    at(made, "2026-09-10T21:00:00Z")


def at(made: Platform, instant: str) -> None:
    made.sandbox.admin("PUT", "/sandbox/clock", {"now": instant})


def again(made: Platform, day: str, *, look: bool = False) -> None:
    """A week's sweep, scores and rebalance; `look`: at a dry plan just before."""
    instant = f"{day}T14:05:00Z"
    at(made, instant)
    made.must_run("fundamentals_refresh", "score")
    if look:
        (made.folder / "dry.json").write_text(json.dumps(dry_plan_document(dry_plan())))
    made.must_run("rebalance", week=calendar.week_of(datetime.fromisoformat(instant)).isoformat())


@pytest.fixture
def at_weeks(weeks: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    point_to(weeks, monkeypatch)
    return weeks


@pytest.fixture
def copied(at_weeks: Platform, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """A copy of the warehouse, to be changed by hand."""
    copy = tmp_path / "warehouse.db"
    with closing(sqlite3.connect(at_weeks.folder / "warehouse.db")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        monkeypatch.setenv("TOKENOMICS_DATABASE_URL", f"sqlite:///{copy}")
        yield target


def book_of(platform: Platform) -> Any:
    return platform.sandbox.admin("GET", "/sandbox/broker")["book"]


def earned() -> Earned:
    found = operation.performance()
    assert isinstance(found, Earned), found
    return found


def booked(fills: Any) -> Decimal:
    return sum((Decimal(one["amount"]) for one in fills), Decimal(0))


def test_what_was_earned_adds_up_to_the_brokers_books_to_the_cent(at_weeks):
    found, account = earned(), at_weeks.broker().account()
    one, cash = found.performance, found.books
    assert (one.start, one.end) == (Decimal(100_000), account.equity)
    assert (one.paid_in, one.paid_out) == (DEPOSIT, -WITHDRAWAL)
    assert one.start + one.paid_in - one.paid_out + one.profit == one.end
    assert sum(month.profit for month in one.months) == one.profit
    assert cash is not None
    assert cash.now == account.cash
    assert cash.difference == 0
    activities = book_of(at_weeks)["activities"]
    fills = [each for each in activities if "order_id" in each]
    for side, told in (("buy", cash.bought), ("sell", cash.sold)):
        assert told == booked(each for each in fills if each["side"] == side) > 0
    [dividend] = [each for each in activities if each.get("type") == "DIV"]
    assert cash.income == Decimal(dividend["amount"]) > 0
    assert cash.fees == found.costs.fees == Decimal("0.37")
    assert found.doubts == ()
    assert found.costs.turnover == pytest.approx(
        float(booked(fills) / (sum(value.end.usd for value in one.steps) + one.start) * (len(one.steps) + 1))
    )


def test_the_trades_of_all_weeks_are_the_brokers_fills(at_weeks):
    weeks = [trades_of_week(date.fromisoformat(day)) for day in WEEKS]
    fills = [each for each in book_of(at_weeks)["activities"] if "order_id" in each]
    for side in ("bought", "sold"):
        told = sum((getattr(week.totals, side) for week in weeks), Decimal(0))
        assert told == booked(one for one in fills if one["side"] == {"bought": "buy", "sold": "sell"}[side])
    assert sum((week.totals.cost for week in weeks), Decimal(0)) == earned().costs.spread > 0
    assert {why.why.split(":")[0] for week in weeks for why in week.trades} == {"entered", "left", "drift"}


def test_the_time_weighted_return_is_that_of_the_days_without_the_flows(at_weeks):
    """By the equity of the sandbox at each close: what came before an open worked all day, what went with three of six
    and a half hours left for the others."""
    one = earned().performance
    closes = {date.fromisoformat(day): Decimal(usd) for day, usd in book_of(at_weeks)["closes"].items()}
    flows = {date(2026, 8, 26): (DEPOSIT, 1.0), date(2026, 9, 3): (WITHDRAWAL, 3.0 / 6.5)}
    whole, before, units = 1.0, one.start, []
    for day, usd in sorted(closes.items()):
        flow, weight = flows.get(day, (Decimal(0), 0.0))
        whole *= 1 + float(usd - before - flow) / (float(before) + weight * float(flow))
        before = usd
        units.append(whole)
    assert len(closes) == 13, "without Labor Day"
    assert one.time_weighted == pytest.approx(whole - 1, abs=1e-6)
    path = [1.0, *units]
    deepest = max(1 - unit / max(path[: number + 1]) for number, unit in enumerate(path))
    assert one.drawdown is not None
    assert one.drawdown.depth == pytest.approx(deepest, abs=1e-6)
    assert one.sessions == 12
    assert (one.time_weighted_annual, one.money_weighted_annual) == (None, None), "no year"


def test_the_money_weighted_return_is_the_one_rate_that_makes_the_end_of_what_was_paid(at_weeks):
    one = earned().performance
    assert one.money_weighted is not None
    whole = (one.until - one.since).total_seconds()
    flows = [(datetime.fromisoformat("2026-08-26T12:00:00+00:00"), DEPOSIT)]
    flows.append((datetime.fromisoformat("2026-09-03T17:00:00+00:00"), WITHDRAWAL))
    growth = 1 + one.money_weighted
    made = float(one.start) * growth
    made += sum(float(usd) * growth ** ((one.until - at).total_seconds() / whole) for at, usd in flows)
    assert made == pytest.approx(float(one.end), abs=0.05)


def test_the_page_of_a_week_is_made_without_the_broker_unless_it_is_to_compare(at_weeks, monkeypatch):
    beside = report(compare=True)
    benchmark, universe = beside.document["beside"]
    bars = at_weeks.broker().daily_bars(["SPY"], date(2026, 8, 24), date(2026, 9, 8))["SPY"]
    # The record begins and ends within sessions: of these the open is taken.
    assert (benchmark["name"], benchmark["why"]) == ("SPY", "")
    assert benchmark["total"] == pytest.approx(float(bars[-1].open / bars[0].open) - 1)
    assert universe["total"] is not None
    assert f"{100 * benchmark['total']:+.2f} %" in beside.page
    monkeypatch.setenv("ALPACA_TRADING_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("ALPACA_DATA_URL", "http://127.0.0.1:1")
    alone = report()
    assert alone.document["beside"] is None
    assert "<code>tokenomics report --compare</code>" in alone.page
    assert alone.document["earned"] == beside.document["earned"]


def test_the_page_tells_what_all_trades_cost_against_their_quotes_and_how_much_was_traded(at_weeks):
    spent, costs, told = report().document["earned"]["spent"], earned().costs, report().document["earned"]
    assert Decimal(spent["spread"]) == costs.spread > 0
    assert spent["unknown"] == costs.unknown == 0
    fills = [each for each in book_of(at_weeks)["activities"] if "order_id" in each]
    values = [one["end"]["usd"] for one in told["performance"]["steps"]]
    mean = sum(map(Decimal, [*values, told["performance"]["start"]]), Decimal(0)) / (len(values) + 1)
    assert spent["turnover"] == pytest.approx(float(booked(fills) / mean))


def test_it_is_compared_with_the_benchmark_and_all_names_alike_between_the_same_instants(at_weeks):
    benchmark, universe = earned().compared
    bars = at_weeks.broker().daily_bars(["SPY"], date(2026, 8, 24), date(2026, 9, 10))["SPY"]
    assert (benchmark.name, benchmark.why) == ("SPY", "")
    assert benchmark.total == pytest.approx(float(bars[-1].close / bars[0].open) - 1)
    months = {bar.session: bar.close for bar in bars}
    assert benchmark.months[date(2026, 9, 1)] == pytest.approx(
        float(months[date(2026, 9, 10)] / months[date(2026, 8, 31)]) - 1
    )
    # Equal amounts at the first open, then at the last close of each week.
    store = at_weeks.store
    names = sorted(store.values_of(store.history("universe")[0], "symbol", "rank"))
    rows = at_weeks.broker().daily_bars(names, date(2026, 8, 24), date(2026, 9, 10))
    ends = [date(2026, 8, 28), date(2026, 9, 4), date(2026, 9, 10)]
    level, start = 1.0, {name: rows[name][0].open for name in names}
    for end in ends:
        close = {name: next(bar.close for bar in rows[name] if bar.session == end) for name in names}
        level *= sum(float(close[name] / start[name]) for name in names) / len(names)
        start = close
    assert universe.total == pytest.approx(level - 1)


def test_without_the_benchmarks_bars_it_is_not_known_and_says_which_setting_names_it(at_weeks, tmp_path, monkeypatch):
    copy = tmp_path / "settings.yaml"
    settings = at_weeks.settings_file.read_text().replace("benchmark: SPY", "benchmark: NONESUCH")
    copy.write_text(settings)
    monkeypatch.setenv("TOKENOMICS_SETTINGS", str(copy))
    benchmark = earned().compared[0]
    assert benchmark.total is None
    assert benchmark.why == "the broker has no bars of NONESUCH: see reports.benchmark"
    assert "NONESUCH" in shown(earned())


def test_where_the_broker_has_no_history_the_weekly_reports_stand_in_and_the_gaps_are_named(at_weeks, monkeypatch):
    whole = earned().performance
    with rewriting(at_weeks.sandbox.url) as between:
        monkeypatch.setenv("ALPACA_TRADING_URL", between.url)
        between.on(HISTORY, lambda answer: answer.json.update(timestamp=[], equity=[]))
        found = earned()
    one = found.performance
    reports = [at for snapshot in at_weeks.store.history("portfolio_report") for at in [snapshot.as_of]]
    assert {step.end.at for step in one.steps} >= set(reports[:-1]), "that of the first week is of the first day"
    assert len(one.gaps) == 2
    assert "no value of the account is known of 4 sessions (2026-08-25 to 2026-08-28)" in one.gaps[0]
    assert found.doubts == one.gaps
    assert (one.start, one.end, one.profit) == (whole.start, whole.end, whole.profit)
    assert one.time_weighted == pytest.approx(whole.time_weighted, abs=2e-3), "flows are weighted over longer steps"
    assert found.sure.low is None


@pytest.fixture
def between(at_weeks: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What changes the broker's answers."""
    with rewriting(at_weeks.sandbox.url) as proxy:
        monkeypatch.setenv("ALPACA_TRADING_URL", proxy.url)
        yield proxy


def returns(found: Earned) -> list[object]:
    one = found.performance
    return [one.time_weighted, one.money_weighted, one.drawdown, *(month.growth for month in one.months)]


def test_one_close_of_nothing_loses_nothing_and_is_named(at_weeks, between):
    whole = earned().performance
    between.on(HISTORY, lambda answer: answer.json["equity"].__setitem__(6, "0"))
    found = earned()
    assert found.performance.time_weighted == pytest.approx(whole.time_weighted, abs=2e-3)
    assert found.performance.drawdown is None or found.performance.drawdown.depth < 0.1
    assert any("an equity of 0.00 USD is told of" in doubt for doubt in found.doubts)


def test_a_previous_close_of_nothing_in_the_account_is_none(at_weeks, between):
    whole = earned().performance
    between.on(ACCOUNT, lambda answer: answer.json.update(last_equity="0"))
    found = earned()
    assert found.performance.time_weighted == pytest.approx(whole.time_weighted, abs=2e-3)
    assert any("an equity of 0.00 USD is told of 2026-09-" in doubt for doubt in found.doubts)


def test_a_deposit_that_no_activity_tells_of_leaves_no_return_and_is_said_first(at_weeks, between):
    between.on(
        ACTIVITIES,
        lambda answer: answer.json.__setitem__(slice(None), [x for x in answer.json if x["net_amount"] != "40000"]),
    )
    found = earned()
    assert not any(returns(found))
    assert found.performance.unsure[0].startswith("the account has +40,000.00 USD of cash that neither flows, income")
    document = operation.performance_document(found)["performance"]
    assert (document["time_weighted"], document["unsure"]) == (None, list(found.performance.unsure))
    text = shown(found)
    assert text.index("doubtful") < text.index("time-weighted")
    assert "+40,000.00 that nothing explains; no fact: see what is doubtful above" in text


def test_a_close_that_the_next_one_undoes_is_in_no_figure_and_both_are_named(at_weeks, between):
    whole = earned().performance
    between.on(HISTORY, lambda answer: answer.json["equity"].__setitem__(8, float(answer.json["equity"][8]) * 1.5))
    found = earned()
    assert found.performance.time_weighted in (None, pytest.approx(whole.time_weighted, abs=1e-3))
    assert found.performance.drawdown is None
    assert "many stocks together do not move so far and back" in found.performance.undefined["drawdown"]
    assert "it never was under an earlier value" not in shown(found)


def test_a_deposit_without_its_hour_stands_beside_the_return_if_it_matters(at_weeks, between):
    def by_day(answer: Any) -> None:
        for one in answer.json:
            one.pop("created_at", None)

    between.on(ACTIVITIES, by_day)
    found = earned()
    assert found.books is not None
    assert found.books.difference == 0
    assert found.performance.unsure == ()
    assert found.performance.time_weighted is not None
    matters = [one for one in found.performance.beside if "no hour of +40,000.00 USD of 2026-08-26" in one]
    assert found.performance.beside == tuple(matters)


def test_a_missing_fee_of_cents_is_told_and_leaves_the_returns(at_weeks, between):
    between.on(
        ACTIVITIES,
        lambda answer: answer.json.__setitem__(slice(None), [x for x in answer.json if x["net_amount"] != "-0.37"]),
    )
    found = earned()
    assert all(one is not None for one in returns(found)[:2])
    assert found.performance.unsure == ()
    assert found.doubts[0].startswith("the account has -0.37 USD of cash that neither flows, income, fees nor fills")
    assert "-0.37 that nothing explains" in shown(found)


@pytest.mark.parametrize("other", ["150000.00", "1"])
def test_an_equity_that_is_not_cash_and_positions_leaves_no_return(at_weeks, between, other):
    between.on(ACCOUNT, lambda answer: answer.json.update(equity=other))
    found = earned()
    assert not any(returns(found))
    assert "off what its cash and the values of its positions make" in found.performance.unsure[0]
    assert found.sure.low is None


def test_positions_that_are_not_told_leave_no_return(at_weeks, between):
    between.on("GET /v2/positions", lambda answer: answer.become(200, []))
    assert not any(returns(earned()))


def test_what_was_paid_out_is_told_as_the_sum_reads(at_weeks):
    rows = [line for line in shown(earned()).splitlines() if "paid out" in line]
    assert ["150.00" in row and "-150.00" not in row for row in rows] == [True]


def test_without_an_equity_of_before_the_first_order_the_first_report_begins_and_that_is_a_doubt(copied):
    copied.execute("delete from equity_marks")
    copied.commit()
    found = earned()
    assert found.begun == "the report of 2026-08-24"
    assert "before the first order is not known" in found.doubts[0]
    assert found.performance.start < Decimal(100_000), "what the first orders cost is no part of it"


def test_an_account_without_an_order_has_nothing_to_tell_and_that_is_no_failure(at_weeks, tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/empty.db"
    Warehouse(url).close()
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", url)
    found = operation.performance()
    assert isinstance(found, NotYet)
    assert "no order of the strategy has filled" in found.reason
    assert list(portfolio_tables.performance(found)) == [found.reason]


def test_a_short_record_has_no_interval_and_says_what_one_needs(at_weeks):
    sure = earned().sure
    assert (sure.low, sure.high) == (None, None)
    assert sure.why == "an interval needs 252 daily returns, and the record has 12"


def test_a_person_and_a_machine_are_told_the_same(at_weeks):
    found = earned()
    document = json.loads(json.dumps(operation.performance_document(found), allow_nan=False))
    assert Decimal(document["books"]["difference"]) == 0
    assert document["performance"]["profit"] == str(found.performance.profit)
    assert [month["month"] for month in document["performance"]["months"]] == ["2026-08-01", "2026-09-01"]
    text = shown(found)
    assert found.performance.time_weighted is not None
    assert f"{found.performance.time_weighted:+.2%}" in text
    assert f"{found.performance.end:,.2f}" in text
    assert "12 sessions are less than a year of 252" in text
    assert "equal-weighted universe" in text


def test_a_dry_plan_is_what_the_rebalance_then_trades(at_weeks):
    told = json.loads((at_weeks.folder / "dry.json").read_text())
    plan = at_weeks.store.load_snapshot("trade_plan", TradePlan, partition="2026-08-31")
    assert plan is not None
    made = plan[plan["side"] != "none"]
    # The clock has gone on by seconds, and prices with it.
    assert (
        {(one["symbol"], one["side"]) for one in told["orders"]}
        == set(zip(made["symbol"], made["side"], strict=True))
        != set()
    )
    wanted = {one["symbol"]: one for one in told["orders"]}
    for symbol, price, qty, notional in zip(made["symbol"], made["price"], made["qty"], made["notional"], strict=True):
        one = wanted[symbol]
        assert float(one["price"]) == pytest.approx(float(price), rel=0.005)
        if isinstance(notional, str):
            assert one["shares"] is None
            assert float(one["usd"]) == pytest.approx(float(notional), rel=0.05)
        else:
            assert float(one["shares"]) == pytest.approx(float(qty), rel=0.05)
    assert told["against"] == []
    assert {one["symbol"] for one in told["left"]} == set(plan.loc[plan["side"] == "none", "symbol"])


def shown(found: Earned) -> str:
    text = io.StringIO()
    console = Console(file=text, width=200)
    for one in portfolio_tables.performance(found):
        console.print(one)
    return text.getvalue()
