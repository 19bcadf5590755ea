"""`trades`, `plan --dry` and `next` on a platform after one week: what they tell, and that they only look."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, ScheduleInstigatorData
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from rich.table import Table

from tokenomics_dagster.interfaces.cli import portfolio_tables as tables
from tokenomics_dagster.interfaces.demo import environment
from tokenomics_dagster.operations import dry_plan as dry
from tokenomics_dagster.operations import performance as performed
from tokenomics_dagster.operations import trades as traded
from tokenomics_dagster.operations import upcoming as coming
from tokenomics_dagster.operations.common import OperationRefused
from tokenomics_dagster.operations.holdings import holdings
from tokenomics_dagster.operations.week_summary import week_summary
from tokenomics_dagster_tests.conftest import Platform
from tokenomics_dagster_tests.end_to_end.conftest import Command
from tokenomics_dagster_tests.operations.conftest import WEEK, ledger
from tokenomics_dagster_tests.rewriting import rewriting

Told = Callable[..., tuple[str, Any]]


@pytest.fixture
def told(at_week: Platform, command: Command, tmp_path: Path) -> Told:
    """Runs a command at the week; its text, and what it writes for machines."""
    variables = environment(at_week.folder, at_week.sandbox.environment(), at_week.settings_file)

    def run(*arguments: str) -> tuple[str, Any]:
        file = tmp_path / "out.json"
        done = command(*arguments, "--json", str(file), **variables)
        assert done.code == 0, done
        return done.out, json.loads(file.read_text())

    return run


@pytest.fixture
def standing(at_week: Platform) -> Any:
    """Puts the sandbox's clock to an instant, where it stands; back to the week afterwards."""
    before = at_week.sandbox.admin("GET", "/sandbox/broker")

    def put(instant: str) -> None:
        at_week.sandbox.admin("PUT", "/sandbox/clock", {"now": instant, "stands": True})

    yield put
    at_week.sandbox.admin("PUT", "/sandbox/broker", before)
    at_week.sandbox.admin("PUT", "/sandbox/clock", {"now": before["now"], "stands": False})


def fewer(platform: Platform, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings under which there is something to trade: half of the names go."""
    document = yaml.safe_load(platform.settings_file.read_text())
    document["rebalancing"] |= {"top_n_stocks": 6, "max_position_pct": 20.0}
    document["guards"] |= {"max_turnover_pct": 40.0}
    copy = folder / "fewer.yaml"
    copy.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("TOKENOMICS_SETTINGS", str(copy))


def stored(platform: Platform) -> dict[str, list[Any]]:
    """Every row of every table of the warehouse."""
    with closing(sqlite3.connect(f"file:{platform.folder}/warehouse.db?mode=ro", uri=True)) as database:
        names = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        return {name: sorted(map(repr, database.execute(f"select * from {name}"))) for name in names}


def written(platform: Platform) -> dict[str, int]:
    """The sandbox's calls that were none to read."""
    calls = platform.sandbox.admin("GET", "/sandbox/calls")
    return {endpoint: count for endpoint, count in calls.items() if not endpoint.startswith("GET ")}


def test_the_trades_of_a_week_are_the_brokers_to_the_cent(told, at_week):
    text, document = told("trades", WEEK)
    rows = {row.client_order_id: row for row in ledger(at_week)}
    assert {one["client_order_id"] for one in document["trades"]} == set(rows)
    activities = at_week.sandbox.admin("GET", "/sandbox/broker")["book"]["activities"]
    fills = [one for one in activities if "order_id" in one]
    booked = sum((Decimal(one["amount"]) for one in fills), Decimal(0))
    assert Decimal(document["totals"]["bought"]) == booked == Decimal(100_000) - at_week.broker().account().cash
    assert Decimal(document["totals"]["sold"]) == 0
    for one in document["trades"]:
        assert one["why"].startswith("entered: ")
        assert one["quoted"]
        # The sandbox fills at the ask: half of its spread above the middle.
        assert 0 < Decimal(one["slippage_bps"]) < 20
    assert sum(Decimal(one["cost_usd"]) for one in document["trades"]) == Decimal(document["totals"]["cost"]) > 0
    assert (document["fees"], document["why"]) == ("0", "")
    assert f"week of {WEEK}: bought {booked:,.2f}, sold 0.00 USD in {len(rows)} trades" in text
    assert len(text.splitlines()) <= 20
    assert [one["symbol"] for one in document["not_traded"]] == ["DXY"]
    assert "not tradable at the broker" in text


def test_a_week_without_a_plan_is_one_sentence_and_no_failure(told, at_week):
    text, document = told("trades", "2026-07-06")
    assert text.strip().startswith("nothing was planned in the week of 2026-07-06")
    assert (document["trades"], document["account"]) == ([], "")


def test_fees_that_the_broker_cannot_be_asked_for_are_not_known_and_not_zero(at_week, monkeypatch):
    with rewriting(at_week.sandbox.url) as between:
        monkeypatch.setenv("ALPACA_TRADING_URL", between.url)
        between.on("GET /v2/account/activities", lambda answer: answer.become(403, {"message": "forbidden."}))
        found = traded.trades_of_week(date.fromisoformat(WEEK))
    assert found.fees is None
    assert "forbidden" in found.why
    [costs] = [one for one in tables.trades(found) if isinstance(one, str)]
    assert "fees are not known: " in costs
    assert found.trades


@pytest.fixture
def stopped(at_week: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The warehouse as a run leaves it that is killed after its last order went out: it knows of no fill."""
    copy = tmp_path / "stopped.db"
    with closing(sqlite3.connect(at_week.folder / "warehouse.db")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("update orders_ledger set status = 'pending_new', filled_qty = '0', filled_avg_price = null")
        target.execute("delete from fills")
        target.execute("delete from snapshots where asset = 'orders'")
        target.commit()
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", f"sqlite:///{copy}")
    return copy


def test_what_a_stopped_week_has_traded_is_told_by_the_broker(at_week, stopped):
    sent = len(ledger(at_week))
    found = traded.trades_of_week(date.fromisoformat(WEEK))
    bought = Decimal(100_000) - at_week.broker().account().cash
    assert abs(found.totals.bought - bought) < Decimal("0.01") * sent, "by their mean prices"
    assert (found.totals.filled, found.totals.unended, found.by_broker) == (sent, 0, sent)
    said = [one for one in tables.trades(found) if isinstance(one, str)]
    assert said[0].startswith(f"the end of {sent} orders is not in the records yet")
    assert any("no run of the week is recorded to have come to its end" in one for one in said)
    earned = performed.performance()
    assert isinstance(earned, performed.Earned)
    assert abs(earned.costs.spread - found.totals.cost) < 1


def test_what_a_stopped_week_has_traded_is_not_known_where_the_broker_cannot_be_asked(at_week, stopped, monkeypatch):
    sent = len(ledger(at_week))
    with rewriting(at_week.sandbox.url) as between:
        monkeypatch.setenv("ALPACA_TRADING_URL", between.url)
        between.on("GET /v2/account", lambda answer: answer.become(403, {"message": "forbidden."}))
        found = traded.trades_of_week(date.fromisoformat(WEEK))
    assert (found.totals.filled, found.totals.unended, found.by_broker) == (0, sent, 0)
    [table, *_] = [one for one in tables.trades(found) if isinstance(one, Table)]
    end = f"the end of {sent} orders is not known: `tokenomics orders`"
    assert table.title == f"week of {WEEK}: what was traded is not known, for {end}"
    assert set(table.columns[2].cells) - {""} == {"not known"}


def test_performance_says_that_the_ends_of_orders_are_not_known_and_not_that_none_has_filled(
    at_week, stopped, monkeypatch
):
    sent = len(ledger(at_week))
    with rewriting(at_week.sandbox.url) as between:
        monkeypatch.setenv("ALPACA_TRADING_URL", between.url)
        lost = lambda answer: answer.become(404, {"message": "order not found"})  # noqa: E731
        between.on("GET /v2/orders:by_client_order_id", lost)
        found = performed.performance()
    assert isinstance(found, performed.NotYet)
    assert f"the end of {sent} orders is not known: `tokenomics orders`" in found.reason
    assert "no order" not in found.reason


def test_the_audits_summary_of_a_stopped_week_never_says_that_nothing_was_traded(at_week):
    records = at_week.store.audit_records(date.fromisoformat(WEEK))
    sent = len(ledger(at_week))
    first: dict[str, Any] = {}
    for one in records:
        if one.kind == "order":
            first.setdefault(one.payload["client_order_id"], one)
    begun = [one for one in records if one.kind not in ("order", "fill", "fulfilment")]
    said = dict(week_summary([*begun, *first.values()]))
    assert said["traded"] == (
        f"what was traded is not known, for the end of {sent} orders is not known: `tokenomics orders`"
    )
    without_fills = dict(week_summary([one for one in records if one.kind not in ("fill", "fulfilment")]))
    assert without_fills["traded"].startswith("0 fills: bought ")
    assert f"of it {sent} orders by their mean price" in without_fills["traded"]
    half = [one for one in records if one.kind not in ("order", "fulfilment")]
    assert dict(week_summary([*half, *first.values()]))["traded"].startswith("at least ")


def test_a_clock_behind_what_was_stored_by_it_is_told_by_whatever_goes_by_it(at_week, standing):
    standing("2026-08-20T15:00:00Z")
    said = "the broker's clock says 2026-08-20 15:0"
    with pytest.raises(OperationRefused, match=f"cannot be told: {said}"):
        dry.dry_plan()
    held = holdings()
    assert held.behind is not None
    assert held.behind.startswith(said)
    assert any(one.startswith(said) for one in coming.upcoming().doubts)


def test_of_a_schedule_that_is_off_it_is_told_what_it_would_do_once_switched_on(at_week, standing):
    standing("2026-08-31T12:00:00Z")
    found = coming.upcoming()
    table = next(one for one in tables.upcoming(found) if isinstance(one, Table))
    rows = {row[0]: row for row in zip(*(column.cells for column in table.columns), strict=True)}
    off = rows["rebalance"]
    assert off[3] == "nothing, for it is off; once switched on: starts rebalance"
    assert off[4].startswith("once switched on: trades the week of 2026-08-31")
    assert not any("switched on" in cell for name, row in rows.items() if name != "rebalance" for cell in row)


def test_a_dry_plan_stores_nothing_and_sends_nothing(at_week, standing, tmp_path, monkeypatch):
    standing("2026-08-25T14:05:00Z")
    before, calls = stored(at_week), written(at_week)
    fewer(at_week, tmp_path, monkeypatch)
    found = dry.dry_plan()
    assert {one.side for one in found.orders} == {"sell", "buy"}, "there is something to send"
    assert (stored(at_week), written(at_week)) == (before, calls)
    held = at_week.broker().positions()
    sold = {one.symbol: one for one in found.orders if one.why.startswith("left: ")}
    assert len(sold) >= 5
    for symbol, one in sold.items():
        assert (one.side, one.shares) == ("sell", held[symbol].qty)
        assert one.bid is not None
        assert one.ask is not None
        assert one.bid < one.ask
    assert found.quotes_of is None
    assert any(one.startswith("it would wait for a person's approval, because turnover is") for one in found.against)
    assert not any("went back" in one for one in found.against)
    assert any(f"the week of {WEEK} has been rebalanced" in one for one in found.remarks)
    shown = "\n".join(one for one in tables.dry_plan(found) if isinstance(one, str))
    assert "nothing is stored, nothing is sent" in shown
    assert "approve" not in "".join(found.against).replace("approval", ""), "what is not there cannot be approved"


def test_a_dry_plan_before_the_open_goes_by_the_last_sessions_quotes_and_says_so(
    at_week, standing, tmp_path, monkeypatch
):
    standing("2026-08-31T12:00:00Z")
    fewer(at_week, tmp_path, monkeypatch)
    found = dry.dry_plan()
    assert found.quotes_of == date(2026, 8, 28)
    assert found.orders
    assert any("the market is closed at 2026-08-31 12:00 UTC" in one for one in found.against)
    first = next(iter(tables.dry_plan(found)))
    assert isinstance(first, str)
    assert "at the quotes of the session of 2026-08-28, which are not those of the next open" in first


def test_a_halt_is_told_with_a_dry_plan(at_week, tmp_path, monkeypatch):
    copy = tmp_path / "warehouse.db"
    with closing(sqlite3.connect(at_week.folder / "warehouse.db")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    monkeypatch.setenv("TOKENOMICS_DATABASE_URL", f"sqlite:///{copy}")
    from tokenomics_dagster.storage.warehouse import Warehouse

    with closing(Warehouse(f"sqlite:///{copy}")) as store:
        store.halt("the feed is wrong", by="ann", at=datetime(2026, 8, 24, 14, 10, tzinfo=UTC))
    assert dry.dry_plan().against[0] == "trading is halted since 2026-08-24 14:10 UTC by ann (the feed is wrong)"
    assert any("trading is halted since" in one for one in coming.upcoming().doubts)


def test_a_plan_without_dry_is_wrong_usage(command):
    done = command("plan")
    assert done.code == 2
    assert "say --dry" in done.err


def test_what_comes_next_is_told_in_new_yorks_time_and_ones_own(told, standing, monkeypatch):
    standing("2026-08-25T13:00:00Z")
    text, document = told("next")
    schedules = {one["name"]: one for one in document["schedules"]}
    assert set(schedules) == {"universe", "daily_bars", "fundamentals", "rebalance", "purge"}
    assert {name: one["on"] for name, one in schedules.items()} == {
        **dict.fromkeys(schedules, True),
        "rebalance": False,
    }
    rebalance = schedules["rebalance"]
    assert rebalance["tick"] == "2026-08-25T14:00:00+00:00"
    assert rebalance["why_not"] == f"the week of {WEEK} has been rebalanced"
    assert rebalance["acts"] == "2026-08-31T14:00:00+00:00"
    assert rebalance["does"].startswith("trades the week of 2026-08-31")
    universe = schedules["universe"]
    assert (universe["tick"], universe["why_not"]) == ("2026-09-01T05:00:00+00:00", None)
    assert schedules["fundamentals"]["why_not"].startswith("there is next to nothing to ask for")
    assert [one["day"] for one in document["sessions"]] == [
        "2026-08-25", "2026-08-26", "2026-08-27", "2026-08-28", "2026-08-31",
    ]  # fmt: skip
    assert document["odd"] == [["2026-09-07", "holiday: no session"]]
    assert "Tue 2026-08-25 10:00 New York" in text
    assert {one["name"] for one in document["sensors"]} >= {"approved_plans", "stale_or_failed", "dead_runs"}
    assert any("no daemon" in one for one in document["doubts"])
    assert any("this machine's clock" in one for one in document["doubts"])


def test_a_half_day_and_a_holiday_are_told_before_they_come(at_week, standing):
    standing("2026-11-20T15:00:00Z")
    odd = dict(coming.upcoming().odd)
    assert odd[date(2026, 11, 26)] == "holiday: no session"
    assert odd[date(2026, 11, 27)] == "half day: closes at 13:00 New York"
    assert odd[date(2026, 12, 24)] == "half day: closes at 13:00 New York"


def test_a_tick_that_falls_on_a_holiday_starts_nothing_and_the_next_one_does(at_week, standing):
    standing("2026-09-07T12:00:00Z")
    [rebalance] = [one for one in coming.upcoming().schedules if one.name == "rebalance"]
    assert rebalance.tick == datetime(2026, 9, 7, 14, tzinfo=UTC)
    assert rebalance.why_not is not None
    assert rebalance.why_not.startswith("the market is closed at 2026-09-07 14:00 UTC")
    assert rebalance.acts == datetime(2026, 9, 8, 14, tzinfo=UTC)
    assert rebalance.does.startswith("trades the week of 2026-09-07")


def test_what_is_on_is_as_somebody_has_switched_it_in_the_instance(at_week, tmp_path, monkeypatch):
    import dagster as dg

    home = tmp_path / "dagster"
    shutil.copytree(at_week.folder / "dagster", home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_instigator_state(_switched("rebalance", InstigatorStatus.RUNNING))
        instance.add_instigator_state(_switched("universe", InstigatorStatus.STOPPED))
        instance.add_instigator_state(_switched("fundamentals", InstigatorStatus.STOPPED))
        instance.add_instigator_state(_switched("fundamentals", InstigatorStatus.RUNNING, "another"))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    found = coming.upcoming()
    on = {one.name: one.on for one in found.schedules}
    assert on == {"universe": False, "daily_bars": True, "fundamentals": None, "rebalance": True, "purge": True}
    assert str(home) in found.told_by


def test_without_an_instance_the_codes_defaults_are_told_as_such(at_week, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", "")
    found = coming.upcoming()
    assert found.told_by.startswith("the code's defaults: DAGSTER_HOME is not set")
    assert {one.name: one.on for one in found.schedules}["rebalance"] is False
    assert any("no instance of Dagster could be asked" in one for one in found.doubts)


def _switched(name: str, status: InstigatorStatus, location: str = "ours") -> InstigatorState:
    target = LoadableTargetOrigin(module_name="tokenomics_dagster.definitions")
    repository = RemoteRepositoryOrigin(ManagedGrpcPythonEnvCodeLocationOrigin(target, location), "__repository__")
    origin = RemoteInstigatorOrigin(repository, name)
    data = ScheduleInstigatorData("0 10 * * *", start_timestamp=0.0)
    return InstigatorState(origin, InstigatorType.SCHEDULE, status, data)
