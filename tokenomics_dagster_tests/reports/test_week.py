"""What is told of a rebalanced week: to the cent what the broker's books say, why, and the same whenever it is told."""

import gzip
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

from tokenomics_dagster.reports.building import report_of
from tokenomics_dagster.reports.page import page
from tokenomics_dagster.reports.summary import week_in_lines
from tokenomics_dagster.reports.week_records import NoReport, records_of
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.end_to_end.test_details import RECORDED
from tokenomics_dagster_tests.reports.conftest import DEPOSIT, FALLEN, FIRST, HOSTILE, NAMED, SECOND, UI, Weeks

CENT = Decimal("0.01")


@pytest.mark.parametrize("week", [FIRST, SECOND])
def test_equity_cash_and_holdings_are_the_brokers_to_the_cent(weeks: Weeks, week: date) -> None:
    told, account, positions = weeks.report(week), weeks.account[week], weeks.positions[week]
    assert (told.account, told.equity, told.cash) == (account.number, account.equity, account.cash)
    values = {one.symbol: one.value for one in told.holdings if one.qty}
    assert values.keys() == positions.keys()
    for symbol, value in values.items():
        assert value is not None
        assert abs(value - (positions[symbol].market_value or 0)) < CENT / 1000
    assert abs(told.alone) < CENT / 100
    assert abs(sum(one.weight for one in told.industries) - float((told.equity - told.cash) / told.equity)) < 1e-9


@pytest.mark.parametrize("week", [FIRST, SECOND])
def test_what_was_traded_is_what_the_brokers_fills_moved_and_cash_adds_up(weeks: Weeks, week: date) -> None:
    told = weeks.report(week)
    moved = {"buy": Decimal(0), "sell": Decimal(0)}
    for fill in weeks.fills[week]:
        moved[fill.side] += (fill.qty * fill.price).quantize(CENT, ROUND_HALF_UP)
    assert (told.bought, told.sold) == (moved["buy"], moved["sell"])
    cash = told.money
    assert cash is not None
    assert cash.before + cash.sold - cash.bought + cash.booked == cash.after == weeks.account[week].cash
    assert cash.booked == 0
    assert told.planned_usd is not None
    more = sum((one.more_usd or 0 for one in told.trades), Decimal(0))
    assert told.slippage == more > 0, "buys at the ask, sells at the bid"


def test_the_trades_of_a_week_stay_when_it_is_run_again_with_nothing_to_do(weeks: Weeks) -> None:
    plans = records_of(weeks.store, SECOND).plans
    assert [len(one.details.plan["orders"]) > 0 for one in plans] == [True, False]
    told = weeks.report(SECOND)
    assert {one.side for one in told.trades} == {"buy", "sell"}
    assert all(one.planned_usd is not None and one.usd > 0 for one in told.trades)
    assert not {one.symbol for one in told.trades} & {one.symbol for one in told.left}


def test_each_trade_says_why_in_words_of_the_decision(weeks: Weeks) -> None:
    first = {one.symbol: one.why for one in weeks.report(FIRST).trades}
    assert first[NAMED].startswith("new: number 1 with ")
    second = {(one.side, one.symbol): one.why for one in weeks.report(SECOND).trades}
    fallen = second["sell", FALLEN]
    assert fallen.startswith("not meant to be held any more: it is number ")
    assert fallen.endswith("and the best 14 are held")
    held = next(why for (side, _), why in second.items() if side == "buy")
    assert "bought the difference: " in held
    assert " % held, " in held


def test_the_parts_of_each_score_add_up_to_it(weeks: Weeks) -> None:
    told = weeks.report(SECOND)
    assert len(told.holdings) == 14
    for one in told.holdings:
        gives = [part.gives for part in one.parts.values()]
        assert one.score is not None
        assert None not in gives
        assert sum(value for value in gives if value is not None) == pytest.approx(one.score, abs=1e-9)


def test_what_changed_is_told_with_what_moved_it(weeks: Weeks) -> None:
    assert weeks.report(FIRST).changes is None
    changes = weeks.report(SECOND).changes
    assert changes is not None
    assert (changes.week, changes.equity) == (FIRST, weeks.account[FIRST].equity)
    assert FALLEN in {symbol for symbol, _, _ in changes.left}
    assert len(changes.left) - len(changes.entered) == 6
    [move] = changes.moves
    assert (move.symbol, move.held) == (FALLEN, True)
    assert move.now < move.before
    assert move.cause.startswith("ROE ")
    assert " to -25.00 % (-" in move.cause


def test_a_deposit_is_no_return_and_a_dividend_is_one(weeks: Weeks) -> None:
    told = weeks.report(SECOND).earned
    assert told.performance is not None
    assert [one.usd for one in told.flows] == [DEPOSIT]
    before, after = weeks.account[FIRST].equity, weeks.account[SECOND].equity
    assert told.performance.paid_in == DEPOSIT
    assert told.performance.profit == after - told.performance.start - DEPOSIT
    assert told.performance.time_weighted == pytest.approx(0.03, abs=0.003), "prices rose by 3 %"
    assert told.standings[-1].growth == pytest.approx(float((after - DEPOSIT) / before), abs=2e-3)
    assert told.standings[-1].paid_in == DEPOSIT


def test_nothing_is_doubtful_of_an_account_that_adds_up(weeks: Weeks) -> None:
    for week in (FIRST, SECOND):
        told = weeks.report(week).earned.performance
        assert told is not None
        assert (told.unsure, told.beside) == ((), ())


@pytest.mark.parametrize("usd", ["0", "900000"])
def test_an_equity_that_was_marked_wrong_is_in_no_return_of_the_page(weeks: Weeks, usd: str) -> None:
    records = records_of(weeks.store, SECOND)
    at = records.reports[0].at + timedelta(hours=1)
    found = report_of(replace(records, marks=[*records.marks, (at, Decimal(usd))]))
    told, whole = found.earned.performance, weeks.report(SECOND).earned.performance
    assert told is not None
    assert whole is not None
    if usd == "0":
        assert told.time_weighted == pytest.approx(whole.time_weighted, abs=1e-3)
    else:  # the deposit came before the next value: it makes a difference which of them is right
        assert (told.time_weighted, told.drawdown) == (None, None)
        assert "Doubtful: 900,000.00 USD is told of" in page(found, UI)
    assert told.drawdown is None or told.drawdown.depth < 0.1
    assert any(f"{Decimal(usd):,.2f} USD is told of" in doubt for doubt in found.earned.doubts)


def test_cash_that_no_report_explains_stands_before_the_figures_of_page_and_message(weeks: Weeks) -> None:
    records = records_of(weeks.store, SECOND)
    without = [
        replace(one, details=one.details.model_copy(update={"flows": ()})) if one.week == SECOND else one
        for one in records.reports
    ]
    found = report_of(replace(records, reports=without))
    text = page(found, UI)
    assert text.index("Doubtful: from 2026-08-24 to 2026-08-31 the cash changed") < text.index("Time-weighted return")
    [line] = [one for one in week_in_lines(found)[0] if one.startswith("Doubtful: ")]
    assert "that no flow and no trade of the reports explains" in line


def test_the_page_of_a_week_is_the_same_when_it_is_made_after_the_next_one(weeks: Weeks) -> None:
    for week in (FIRST, SECOND):
        assert page(weeks.report(week), UI) == weeks.pages[week]


def test_what_the_ledger_learns_later_does_not_change_what_was_reported(weeks: Weeks, tmp_path: Path) -> None:
    copy = tmp_path / "warehouse.db"
    with closing(sqlite3.connect(weeks.folder / "warehouse.db")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    with closing(Warehouse(f"sqlite:///{copy}", existing=True)) as store:
        row = store.orders_of_week(weeks.account[FIRST].number, FIRST)[0]
        later = row.updated_at + timedelta(days=20)
        store.record_order(replace(row, note="settled much later", updated_at=later))
        store.mark_equity(row.account, Decimal(1), later)
        assert page(report_of(records_of(store, FIRST)), UI) == weeks.pages[FIRST]


def test_the_last_week_is_told_where_none_is_named_and_one_without_report_is_one_sentence(weeks: Weeks) -> None:
    assert records_of(weeks.store).week == SECOND
    assert records_of(weeks.store, SECOND + timedelta(days=4)).week == SECOND
    with pytest.raises(NoReport, match=r"the week of 2026-08-10 has no report in .*; the last ones are of 2026-08-31"):
        records_of(weeks.store, date(2026, 8, 12))


def test_a_warehouse_without_a_rebalance_says_what_to_do(tmp_path: Path) -> None:
    with (
        closing(Warehouse(f"sqlite:///{tmp_path}/new.db")) as store,
        pytest.raises(NoReport, match="run the job"),
    ):
        records_of(store)


def test_what_earlier_versions_did_not_store_is_told_as_not_known(tmp_path: Path) -> None:
    path = tmp_path / "recorded.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(gzip.decompress(RECORDED.read_bytes()).decode())
    with closing(Warehouse(f"sqlite:///{path}", upgrade=True)) as store:
        told = report_of(records_of(store))
        text = page(told, UI)
    assert told.earned.performance is None
    assert "the reports of before do not tell what was paid in and out" in text
    assert told.changes is not None
    assert "By which weights the parts were added is not recorded" in text


def test_a_name_from_outside_is_text(weeks: Weeks) -> None:
    assert HOSTILE in {one.name for one in weeks.report(FIRST).holdings}
