"""What stops and allows trading, and what is kept of it, on SQLite and on a real PostgreSQL."""

import contextlib
import gc
import multiprocessing
import os
import threading
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pytest
import sqlalchemy as sa

from tokenomics_dagster.model.plan import Plan, PlannedOrder
from tokenomics_dagster.portfolio.schema import TradePlan, TradePlanDetails
from tokenomics_dagster.storage.records import Approval, FillRow, Halt, Made, WarehouseBusy, WarehouseError
from tokenomics_dagster.storage.warehouse import Warehouse

T0 = datetime(2026, 8, 24, 14, 5, tzinfo=UTC)
WEEK = date(2026, 8, 24)
MINUTE = timedelta(minutes=1)


def plan(**changes):
    values = {
        "week": WEEK,
        "created_at": T0,
        "account": "PA1",
        "equity": Decimal("100000.00"),
        "cash": Decimal("100000.00"),
        "scores_as_of": T0,
        "positions": {},
        "inputs_hash": "x",
        "orders": (PlannedOrder("NVDA", "buy", None, Decimal("2500.00"), Decimal("214.72")),),
    }
    return Plan(**{**values, **changes}).sealed()


def save_plan(store, made):
    row = dict.fromkeys(TradePlan.to_schema().columns)
    row |= {"symbol": "NVDA", "sequence": 1, "side": "buy", "notional": "2500.00", "price": "214.72", "exit": False}
    row |= dict.fromkeys(("current_value", "current_weight"), 0.0)
    row |= {"target_value": 2500.0, "target_weight": 0.025, "drift": 0.025}
    table = Made(pd.DataFrame([row]), made.created_at, TradePlanDetails(plan=made.to_document()))
    store.save_snapshot("trade_plan", TradePlan, table, run_id="r", partition=made.week.isoformat())


def fill(number, **changes):
    values = {
        "id": f"20260824::{number}",
        "broker_order_id": "b1",
        "client_order_id": "tokenomics-2026-08-24-NVDA-buy-1",
        "account": "PA1",
        "symbol": "NVDA",
        "side": "buy",
        "qty": Decimal("5.749999999"),
        "price": Decimal("214.7213"),
        "at": T0 + number * MINUTE,
    }
    return FillRow(**{**values, **changes})


def test_a_halt_holds_until_it_is_resumed_and_the_newest_one_is_told(store, url):
    assert store.halted() is None
    store.halt("enough", by="ann", at=T0)
    assert Warehouse(url).halted() == Halt("enough", "ann", T0)
    store.halt("equity fell", by="rule", at=T0 + MINUTE)
    assert store.halted() == Halt("equity fell", "rule", T0 + MINUTE)
    store.resume("looked at it", by="ben", at=T0 + 2 * MINUTE)
    assert store.halted() is None
    store.halt("again", by="ann", at=T0)  # a clock that went back does not lift a halt
    assert store.halted() == Halt("again", "ann", T0)
    told = [(r.kind, r.payload["reason"], r.payload["by"], r.week) for r in store.audit_records()]
    assert told == [
        ("halt", "enough", "ann", WEEK),
        ("halt", "equity fell", "rule", WEEK),
        ("resume", "looked at it", "ben", WEEK),
        ("halt", "again", "ann", WEEK),
    ]
    assert store.verify_audit() is None


@pytest.mark.parametrize("reason", ["", " \n"])
def test_neither_halt_nor_resume_goes_without_a_reason(store, reason):
    with pytest.raises(ValueError, match="halt needs a reason"):
        store.halt(reason, by="ann", at=T0)
    store.halt("enough", by="ann", at=T0)
    with pytest.raises(ValueError, match="resume needs a reason"):
        store.resume(reason, by="ann", at=T0)
    assert store.halted() is not None


def test_a_halt_at_the_weekend_belongs_to_the_new_york_week(store):
    store.halt("late", by="ann", at=datetime(2026, 8, 31, 3, 59, tzinfo=UTC))
    store.halt("early", by="ann", at=datetime(2026, 8, 31, 4, 0, tzinfo=UTC))
    assert [r.week for r in store.audit_records()] == [WEEK, date(2026, 8, 31)]


def test_an_approval_is_of_one_hash_only(store):
    one, other = plan(), plan(equity=Decimal("100000.01"))
    store.approve(one.plan_id, one.plan_hash, by="ann", at=T0)
    assert store.approval(one.plan_hash) == Approval(one.plan_id, one.plan_hash, "ann", T0)
    assert store.approval(other.plan_hash) is None
    assert store.approval(one.plan_hash[:12]) is None
    assert store.approval("%") is None
    store.approve(one.plan_id, one.plan_hash, by="ben", at=T0 + MINUTE)
    assert store.approval(one.plan_hash).by == "ben"
    assert [r.kind for r in store.audit_records(WEEK)] == ["approval", "approval"]


def test_nobody_can_be_called_like_an_approved_hash(store):
    wanted = plan().plan_hash
    store.approve("p", "q", by=f'","plan_hash":"{wanted}', at=T0)
    assert store.approval(wanted) is None


def test_a_plan_is_found_by_its_id_and_comes_back_as_it_was(store):
    made = plan()
    save_plan(store, plan(equity=Decimal(7)))
    save_plan(store, made)
    save_plan(store, plan(equity=Decimal(8)))
    assert Plan.from_document(store.find_plan(made.plan_id)) == made
    for wrong in (
        "",
        "2026-08-24",
        "2026-08-24-",
        made.plan_id[:-1],
        made.plan_id + "0",
        f"2026-08-31{made.plan_id[10:]}",
    ):
        assert store.find_plan(wrong) is None


def test_fills_are_kept_and_audited_once_however_often_they_are_seen(store):
    assert store.save_fills([fill(1), fill(2), fill(2)]) == 2
    assert store.save_fills([fill(2), fill(3, client_order_id=None)]) == 1
    assert store.save_fills([]) == 0
    assert store.save_fills([fill(4, account="PA2")]) == 1
    assert store.fills_of("PA1", T0) == [fill(1), fill(2), fill(3, client_order_id=None)]
    assert store.fills_of("PA1", T0 + 2 * MINUTE) == [fill(2), fill(3, client_order_id=None)]
    told = [(r.kind, r.payload["id"], r.payload["qty"]) for r in store.audit_records(WEEK)]
    assert told == [("fill", f"20260824::{n}", "5.749999999") for n in (1, 2, 3, 4)]
    assert store.verify_audit() is None


def test_more_fills_than_a_query_takes_parameters_are_kept(store):
    many = [fill(n, at=T0) for n in range(1_201)]
    assert store.save_fills(iter(many[:1_200])) == 1_200
    assert store.save_fills(many) == 1
    assert len(store.fills_of("PA1", T0)) == 1_201


def test_marks_of_equity_are_exact_numbers_of_one_account_in_the_order_of_marking(store):
    assert store.equity_marks("PA1") == []
    marks = [(T0, Decimal(equity)) for equity in ("99999.99", "100000.10", "100000.09")]
    for at, equity in marks:
        store.mark_equity("PA1", equity, at)
    store.mark_equity("PA2", Decimal("1e6"), T0)
    assert store.equity_marks("PA1") == marks
    assert store.equity_marks("PA2") == [(T0, Decimal(1_000_000))]


def test_marks_start_anew_with_a_resume(store):
    store.mark_equity("PA1", Decimal(100_000), T0)
    assert store.resumed_at() is None
    store.halt("a loss", by="rule", at=T0 + timedelta(hours=1))
    store.resume("seen", by="me", at=T0 + timedelta(hours=2))
    assert store.resumed_at() == T0 + timedelta(hours=2)
    assert store.equity_marks("PA1", since=store.resumed_at()) == []
    new = T0 + timedelta(hours=3), Decimal(80_000)
    store.mark_equity("PA1", new[1], new[0])
    assert store.equity_marks("PA1", since=store.resumed_at()) == [new]
    assert store.equity_marks("PA1") == [(T0, Decimal(100_000)), new]


def test_what_is_exclusive_is_busy_for_others_at_once_and_free_again_after(store, url):
    other = Warehouse(url)
    with store.exclusive("rebalance-PA1"):
        began = time.monotonic()
        for where in (other, store):
            with (
                pytest.raises(WarehouseBusy, match="rebalance-PA1 is already under way"),
                where.exclusive("rebalance-PA1"),
            ):
                pytest.fail("two are in")
        assert time.monotonic() - began < 2
        with other.exclusive("rebalance-PA2"):
            pass
    with other.exclusive("rebalance-PA1"):
        pass
    with pytest.raises(ZeroDivisionError), store.exclusive("rebalance-PA1"):
        raise ZeroDivisionError
    with other.exclusive("rebalance-PA1"):
        pass


def test_an_error_inside_is_not_taken_for_one_of_the_database(store):
    with pytest.raises(ConnectionError, match="broker"), store.exclusive("x"):
        raise ConnectionError("broker")


def test_threads_of_one_process_exclude_each_other(tmp_path, store):
    memory = Warehouse("sqlite://")
    for where in (store, memory):
        found: list[str] = []

        def enter(where=where, found=found):
            try:
                with where.exclusive("x"):
                    found.append("in")
            except WarehouseBusy:
                found.append("busy")

        with where.exclusive("x"):
            thread = threading.Thread(target=enter)
            thread.start()
            thread.join()
        enter()
        assert found == ["busy", "in"]


def test_one_database_is_one_lock_by_whatever_path_it_is_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "deep")
    one, other = Warehouse("sqlite:///deep/w.db"), Warehouse(f"sqlite:///{tmp_path}/link/w.db")
    with one.exclusive("a/../b"), pytest.raises(WarehouseBusy), other.exclusive("a/../b"):
        pytest.fail("two are in")
    assert {p.parent for p in tmp_path.rglob("*.lock")} == {tmp_path / "deep"}
    assert one.address == str(tmp_path / "deep" / "w.db")


def test_a_lock_that_cannot_be_taken_is_one_sentence(tmp_path):
    store = Warehouse(f"sqlite:///{tmp_path}/w.db")
    (tmp_path / "w.db.x.lock").mkdir()
    with pytest.raises(WarehouseError, match=r"Is a directory.*TOKENOMICS_DATABASE_URL"), store.exclusive("x"):
        pytest.fail("nobody holds it")


def _hold_for_ever(url, held):
    store = Warehouse(url)
    with store.exclusive("x"):
        held.set()
        threading.Event().wait()


def test_what_a_killed_process_held_is_free(store, url):
    spawn = multiprocessing.get_context("spawn")
    held = spawn.Event()
    holder = spawn.Process(target=_hold_for_ever, args=(url, held))
    holder.start()
    assert held.wait(60)
    with pytest.raises(WarehouseBusy), store.exclusive("x"):
        pytest.fail("two are in")
    holder.kill()
    holder.join()
    deadline = time.monotonic() + 10  # the server must notice that its client is gone
    while True:
        with contextlib.suppress(WarehouseBusy), store.exclusive("x"):
            break
        assert time.monotonic() < deadline


def test_a_lock_whose_connection_broke_is_told_and_hides_no_error(postgres_url, caplog):
    store = Warehouse(postgres_url)
    kill = sa.text("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted")

    def fail_without_connection():
        with store.exclusive("x"):
            with Warehouse(postgres_url)._engine.connect() as connection:
                connection.execute(kill)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_without_connection()
    assert "the lock x was lost before its end" in caplog.text
    with store.exclusive("x"):
        pass


def test_locks_leave_no_open_file_behind(tmp_path):
    store = Warehouse(f"sqlite:///{tmp_path}/w.db")
    store.close()

    def open_files():
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    gc.collect()
    before = open_files()
    for _ in range(5):
        with store.exclusive("x"), contextlib.suppress(WarehouseBusy), store.exclusive("x"):
            pytest.fail("two are in")
        store.close()
    assert open_files() <= before
