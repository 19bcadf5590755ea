"""The warehouse, on SQLite and on a real PostgreSQL."""

import multiprocessing
import resource
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from pandera.errors import SchemaErrors

from tokenomics_dagster.fundamentals.schema import Financials
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.portfolio.schema import TargetWeights
from tokenomics_dagster.storage import database
from tokenomics_dagster.storage.records import LedgerOrder, Made, WarehouseError
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.production.conftest import wait_until

T0 = datetime(2026, 8, 24, 14, 5, tzinfo=UTC)
WEEK = date(2026, 8, 24)


def weights(as_of=T0, first=0.02, **details):
    frame = pd.DataFrame(
        {
            "symbol": ["NVDA", "MSFT"],
            "weight": [first, 0.01],
            "score": [92.5, 82.0],
            "market_cap_musd": [5e6, None],
            "rank": [1, 2],
        }
    )
    return Made(frame, as_of, Details(**details))


def metrics(symbol, known_at, roe=12.5):
    return {
        "symbol": symbol,
        "known_at": known_at,
        "roe_ttm_pct": roe,
        "debt_to_equity": None,
        "revenue_growth_yoy_pct": 0.0,
        "eps_growth_yoy_pct": None,
        "book_value_per_share": 3.25,
        "market_cap_musd": 1e6,
    }


def ledger_order(**changes):
    values = {
        "client_order_id": "tokenomics-2026-08-24-NVDA-buy-1",
        "account": "PA1",
        "sleeve": "fundamentals",
        "period": WEEK.isoformat(),
        "plan_id": "p1",
        "week": WEEK,
        "symbol": "NVDA",
        "side": "buy",
        "attempt": 1,
        "qty": None,
        "notional": Decimal("1234.56"),
        "status": "intended",
        "broker_id": None,
        "filled_qty": Decimal(0),
        "filled_avg_price": None,
        "note": None,
        "created_at": T0,
        "updated_at": T0,
    }
    return LedgerOrder(**{**values, **changes})


def test_no_family_of_the_warehouse_hides_what_another_gives():
    families = Warehouse.__mro__[1:-1]
    names = Counter(name for family in families for name in vars(family) if not name.startswith("__"))
    assert [name for name, count in names.items() if count > 1] == []


def test_a_snapshot_comes_back_as_it_was_stored(store):
    made = weights(cash_weight=0.97)
    number = store.save_snapshot("target_weights", TargetWeights, made, run_id="r1", partition="2026-08-24")
    loaded = store.load_stored("target_weights", TargetWeights, Details, partition="2026-08-24")
    pd.testing.assert_frame_equal(loaded.frame, TargetWeights.validate(made.frame))
    assert loaded.details.to_document() == {"cash_weight": 0.97}
    assert (loaded.as_of, loaded.id, loaded.run_id) == (T0, number, "r1")
    assert store.load_snapshot("target_weights", TargetWeights, partition="2026-08-31") is None


def test_snapshots_are_kept_and_the_newest_known_at_an_instant_is_loaded(store):
    for days, first in ((0, 0.02), (7, 0.03)):
        store.save_snapshot(
            "target_weights", TargetWeights, weights(T0 + timedelta(days=days), first), run_id=str(days)
        )
    newest = store.load_snapshot("target_weights", TargetWeights)
    before = store.load_snapshot("target_weights", TargetWeights, as_of=T0 + timedelta(days=6))
    assert newest["weight"][0] == 0.03
    assert before["weight"][0] == 0.02
    assert store.load_snapshot("target_weights", TargetWeights, as_of=T0 - timedelta(seconds=1)) is None
    assert [s.run_id for s in store.history("target_weights")] == ["7", "0"]


def test_a_frame_that_breaks_its_schema_leaves_nothing_behind(store):
    bad = weights(first=1.5)
    with pytest.raises(SchemaErrors):
        store.save_snapshot("target_weights", TargetWeights, bad, run_id="r")
    assert store.history("target_weights") == []


def test_facts_keep_every_version_and_missing_stays_missing(store):
    store.append_fact("financials", Financials, metrics("A", T0, roe=1.0))
    store.append_fact("financials", Financials, metrics("A", T0 + timedelta(days=7), roe=2.0))
    store.append_fact("financials", Financials, metrics("B", T0, roe=None))
    latest = store.latest_facts("financials", Financials).set_index("symbol")
    assert latest.loc["A", "roe_ttm_pct"] == 2.0
    assert pd.isna(latest.loc["B", "roe_ttm_pct"])
    assert latest.loc["B", "revenue_growth_yoy_pct"] == 0.0
    assert latest.loc["A", "known_at"] == T0 + timedelta(days=7)
    then = store.latest_facts("financials", Financials, as_of=T0 + timedelta(days=1)).set_index("symbol")
    assert then.loc["A", "roe_ttm_pct"] == 1.0


def test_what_comes_slowly_is_stored_at_once_and_what_comes_faster_together(store, monkeypatch):
    now, there = [0.0], []
    told: list[list[dict[str, object]]] = []
    monkeypatch.setattr("tokenomics_dagster.storage.together.time.monotonic", lambda: now[0])
    monkeypatch.setattr("tokenomics_dagster.storage.facts._STORE_EVERY_S", 600.0)  # no machine is late by that
    with store.appending("financials", Financials, told.append) as append:
        for number in range(4):
            append(metrics(f"S{number}", T0))
            there.append(len(store.known_at("financials", Financials)))
            now[0] += 660
        for number in range(4, 300):
            append(metrics(f"S{number}", T0))
    assert there == [1, 2, 3, 4]
    assert [len(rows) for rows in told] == [1, 1, 1, 1, 1, 200, 95]
    assert len(store.known_at("financials", Financials)) == 300


def test_what_waits_is_stored_by_itself_also_in_a_database_in_memory():
    told: list[Sequence[Mapping[str, Any]]] = []
    with closing(Warehouse("sqlite://")) as store, store.appending("financials", Financials, told.append) as append:
        for number in range(3):
            append(metrics(f"S{number}", T0))
        wait_until(lambda: sum(map(len, told)) == 3, "all are stored")
        assert len(store.known_at("financials", Financials)) == 3


def append_together(store, rows, error=None):
    with store.appending("financials", Financials) as append:
        for row in rows:
            append(row)
        if error is not None:
            raise error


def test_of_many_facts_the_one_that_is_known_with_other_figures_is_named_and_the_others_are_stored(store):
    store.append_fact("financials", Financials, metrics("B", T0, roe=1.0))
    rows = [metrics("A", T0), metrics("C", T0, roe=3.0), metrics("B", T0, roe=2.0)]
    with pytest.raises(WarehouseError, match=r"financials of B at .* are known already, with other figures"):
        append_together(store, rows)
    assert set(store.known_at("financials", Financials)) == {"A", "B", "C"}
    assert store.latest_facts("financials", Financials).set_index("symbol").loc["B", "roe_ttm_pct"] == 1.0


def test_what_came_before_an_error_is_stored(store):
    rows = [metrics(symbol, T0) for symbol in ("A", "B", "C")]
    with pytest.raises(KeyError):
        append_together(store, rows, KeyError())
    assert set(store.known_at("financials", Financials)) == {"A", "B", "C"}


def test_the_ledger_keeps_amounts_exactly_and_one_row_per_order(store):
    store.record_order(ledger_order())
    filled = ledger_order(
        status="filled", filled_qty=Decimal("5.749999999"), filled_avg_price=Decimal("214.7213"), broker_id="b"
    )
    store.record_order(filled)
    store.record_order(ledger_order(client_order_id="other", account="PA2"))
    assert store.orders_of_week("PA1", WEEK) == [filled]
    assert store.orders_of_week("PA1", date(2026, 8, 31)) == []


def test_orders_are_of_a_sleeve_and_a_period(store):
    own = ledger_order()
    store.record_order(own)
    store.record_order(ledger_order(client_order_id="a", sleeve="news"))
    store.record_order(ledger_order(client_order_id="b", period="2026-08"))
    store.record_order(ledger_order(client_order_id="c", account="PA2"))
    assert store.orders_of_period("PA1", "fundamentals", WEEK.isoformat()) == [own]
    assert len(store.orders_of_week("PA1", WEEK)) == 3


def test_owned_is_what_was_bought_in_part_at_least_and_nothing_that_was_only_sent_or_sold(store):
    part: dict[str, Any] = {"status": "canceled", "filled_qty": Decimal("0.000000001"), "filled_avg_price": Decimal(1)}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("PART", part),
        ("SOLD", {**part, "side": "sell"}),
        ("NONE", {"status": "canceled", "filled_qty": Decimal("0E-9")}),
        ("SENT", {"status": "accepted"}),
        ("TOLD", {"status": "filled"}),  # settled by a person's word, who does not know how many
        ("ELSE", {**part, "account": "PA2"}),
        ("NEWS", {**part, "sleeve": "news"}),
    ]
    for number, (symbol, changes) in enumerate(cases):
        store.record_order(ledger_order(client_order_id=str(number), symbol=symbol, **changes))
    assert store.owned("PA1").bought.keys() == {"PART", "TOLD", "NEWS"}
    assert store.owned("PA1").adopted == {}


def test_a_sweep_is_unfinished_until_it_is_finished(store):
    assert store.latest_sweep() is None
    sweep_id = store.start_sweep(started_at=T0, fresh_since=T0 - timedelta(days=5), run_id="r", requested=3)
    assert store.latest_sweep().finished_at is None
    store.finish_sweep(sweep_id, finished_at=T0 + timedelta(minutes=1), failures={"A": "no answer"})
    sweep = store.latest_sweep()
    assert (sweep.finished_at, sweep.failures) == (T0 + timedelta(minutes=1), {"A": "no answer"})


def test_an_instant_without_a_zone_is_refused(store):
    with pytest.raises(Exception, match="no time zone"):
        store.append_fact("financials", Financials, metrics("A", datetime(2026, 8, 24)))  # noqa: DTZ001


def test_a_snapshot_that_was_changed_by_hand_is_refused(store):
    import sqlalchemy as sa

    store.save_snapshot("target_weights", TargetWeights, weights(), run_id="r")
    with store._engine.begin() as connection:
        connection.execute(sa.text("delete from target_weights where symbol = 'MSFT'"))
    with pytest.raises(WarehouseError, match="1 rows instead of 2"):
        store.load_snapshot("target_weights", TargetWeights)


def _write_forever(url, name):
    store = Warehouse(url)
    for n in range(10_000):
        store.append_fact("financials", Financials, metrics(f"{name}-{n}", T0 + timedelta(seconds=n)))
        store.save_snapshot("target_weights", TargetWeights, weights(), run_id=f"{name}-{n}")


@pytest.mark.soak
def test_writers_that_are_killed_leave_whole_rows_only(store, url):
    store.append_fact("financials", Financials, metrics("first", T0))
    store.save_snapshot("target_weights", TargetWeights, weights(), run_id="first")
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write_forever, args=(url, f"w{n}")) for n in range(3)]
    for writer in writers:
        writer.start()
    deadline = time.monotonic() + 180
    while len(store.history("target_weights")) < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    for writer in writers:
        writer.kill()
        writer.join()
    written = store.history("target_weights")
    assert len(written) >= 20
    assert {snapshot.row_count for snapshot in written} == {2}
    assert len(store.load_snapshot("target_weights", TargetWeights)) == 2
    store.append_fact("financials", Financials, metrics("last", T0))
    assert "last" in set(store.latest_facts("financials", Financials)["symbol"])


@pytest.fixture
def opened():
    """Opens warehouses that are closed after the test."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(closing(Warehouse(url)))


def test_a_read_only_database_is_one_sentence(tmp_path, opened):
    path = tmp_path / "warehouse.db"
    Warehouse(f"sqlite:///{path}").close()
    store = opened(f"sqlite:///file:{path}?mode=ro&uri=true")
    with pytest.raises(WarehouseError, match=r"readonly database.*TOKENOMICS_DATABASE_URL"):
        store.append_fact("financials", Financials, metrics("A", T0))


def test_a_database_that_another_process_holds_is_one_sentence_that_says_so(tmp_path, opened, monkeypatch):
    monkeypatch.setattr(database, "_PATIENCE_S", 0.1)
    store = opened(f"sqlite:///{tmp_path}/warehouse.db")
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as other:
        other.execute("begin immediate")
        with pytest.raises(WarehouseError, match=r"is locked; another process has held it for 0.1 s"):
            store.append_fact("financials", Financials, metrics("A", T0))
    store.append_fact("financials", Financials, metrics("A", T0))


def test_a_full_database_is_one_sentence_and_keeps_what_it_had(tmp_path, opened):
    store = opened(f"sqlite:///{tmp_path}/warehouse.db")
    store.append_fact("financials", Financials, metrics("A", T0))
    with store._engine.connect() as connection:
        connection.exec_driver_sql("pragma max_page_count = 40")
    wide = weights(text="x" * 1_000_000)
    with pytest.raises(WarehouseError, match="full"):
        store.save_snapshot("target_weights", TargetWeights, wide, run_id="r")
    assert store.history("target_weights") == []
    assert len(store.latest_facts("financials", Financials)) == 1


@contextmanager
def full_disk(size):
    """No file can become larger than `size` bytes: what a full disk refuses, but of this process alone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_warehouse_on_a_full_disk_cannot_be_written_and_the_try_leaves_nothing(tmp_path):
    with closing(Warehouse(f"sqlite:///{tmp_path}/w.db")) as store:
        before = sorted(sa.inspect(store._engine).get_table_names())
        with full_disk(256 << 10), pytest.raises(WarehouseError, match="there is room"):
            store.check_writable()
        store.check_writable()
        assert sorted(sa.inspect(store._engine).get_table_names()) == before
        assert store.halted() is None


def test_the_try_to_write_leaves_nothing_on_a_server_either(store):
    before = sorted(sa.inspect(store._engine).get_table_names())
    store.check_writable()
    store.check_writable()
    assert sorted(sa.inspect(store._engine).get_table_names()) == before


@pytest.mark.parametrize("address", ["postgres://u:sesame@h/d", "postgresql+psycopg2://u:p@q:sesame/d"])
def test_an_address_that_cannot_be_opened_is_one_sentence_without_the_password(address):
    with pytest.raises(WarehouseError, match="is not a database address") as refused:
        Warehouse(address)
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+psycopg2://user:sesame@127.0.0.1:1/none",
        "postgresql+psycopg2://user@127.0.0.1:1/none?password=sesame&sslpassword=sesame",
        "postgresql+psycopg2:///none?host=127.0.0.1&port=1&user=sesame&password=sesame",
    ],
)
def test_errors_never_show_the_password(address):
    with pytest.raises(WarehouseError) as refused:
        Warehouse(address)
    assert "sesame" not in str(refused.value)
    assert "127.0.0.1" in str(refused.value)


def test_what_is_no_address_is_not_shown():
    with pytest.raises(WarehouseError, match="not a database address"):
        Warehouse("sesame")


def stored_weeks(store, count):
    for number in range(count):
        as_of = T0 + timedelta(weeks=number // 2)  # two of one instant
        week = f"{(WEEK + timedelta(weeks=number)).isoformat()}"
        store.save_snapshot("target_weights", TargetWeights, weights(as_of), run_id=str(number), partition=week)


@pytest.mark.parametrize("count", [0, 1, 2, 21, 22, 45])
def test_who_looks_for_a_new_one_is_given_each_once_and_reads_no_further(store, count, monkeypatch):
    stored_weeks(store, count)
    every = [one.run_id for one in store.history("target_weights")]
    assert [one.run_id for one in store.newest_first("target_weights")] == every
    assert [(one.id, one.partition, one.as_of) for one in store.versions("target_weights")] == [
        (one.id, one.partition, one.as_of) for one in store.history("target_weights")
    ]
    asked = []
    sa.event.listen(store._engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    next(store.newest_first("target_weights"), None)
    assert sum("FROM snapshots" in one for one in asked) == 1


def test_one_symbols_row_is_read_alone_and_the_last_table_that_had_it_is_found(store):
    stored_weeks(store, 3)
    without = Made(weights().frame.iloc[:1], T0 + timedelta(weeks=9), Details())
    store.save_snapshot("target_weights", TargetWeights, without, run_id="last", partition=WEEK.isoformat())
    alone = store.load_stored("target_weights", TargetWeights, Details, partition=WEEK.isoformat(), symbol="NVDA")
    assert list(alone.frame["symbol"]) == ["NVDA"]
    gone = store.load_stored("target_weights", TargetWeights, Details, partition=WEEK.isoformat(), symbol="MSFT")
    assert gone.frame.empty
    assert store.last_with("target_weights", "NVDA") == T0 + timedelta(weeks=9)
    assert store.last_with("target_weights", "MSFT") == T0 + timedelta(weeks=1)
    assert store.last_with("target_weights", "ABSENT") is None
    for symbol in ("A", "B"):
        store.append_fact("financials", Financials, metrics(symbol, T0))
    assert list(store.latest_facts("financials", Financials, symbol="B")["symbol"]) == ["B"]
    assert store.latest_facts("financials", Financials, symbol="B", as_of=T0 - timedelta(seconds=1)).empty
    assert store.latest_facts("financials", Financials, symbol="C").empty


def test_for_one_question_a_snapshot_is_read_once_and_nobody_changes_what_the_next_is_given(store):
    store.save_snapshot("target_weights", TargetWeights, weights(), run_id="r")
    store.remembering()
    first = store.load_snapshot("target_weights", TargetWeights)
    first.loc[0, "weight"] = 0.5
    asked = []
    sa.event.listen(store._engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    assert store.load_snapshot("target_weights", TargetWeights)["weight"][0] == 0.02
    assert not any("FROM target_weights" in one for one in asked)
    store.save_snapshot("target_weights", TargetWeights, weights(T0 + timedelta(days=1), 0.03), run_id="newer")
    assert store.load_snapshot("target_weights", TargetWeights)["weight"][0] == 0.03
