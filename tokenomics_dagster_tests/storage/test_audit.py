"""The audit chain: pure, and as the warehouse keeps it on SQLite and on a real PostgreSQL."""

import json
import multiprocessing
import string
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenomics_dagster.model.canonical import canonical_json
from tokenomics_dagster.storage import journal
from tokenomics_dagster.storage.audit import GENESIS, AuditDiscrepancy, Head, as_payload, first_discrepancy, next_link
from tokenomics_dagster.storage.records import FillRow, LedgerOrder, WarehouseError, fields_of
from tokenomics_dagster.storage.tables import ORDERS
from tokenomics_dagster.storage.warehouse import Warehouse

T0 = datetime(2026, 8, 24, 14, 5, tzinfo=UTC)
WEEK = date(2026, 8, 24)

text = st.text(string.printable + "ü€\u2028\U0001f4b8", max_size=8)
payloads = st.dictionaries(text, st.none() | st.booleans() | st.integers() | text | st.decimals(allow_nan=False))
records = st.tuples(
    text, payloads, st.datetimes(timezones=st.just(UTC)), st.none() | st.dates(min_value=date(2000, 1, 1))
)


def chain_of(contents):
    head, links = Head(0, GENESIS), []
    for content in contents:
        links.append(next_link(head, *content))
        head = Head(links[-1].seq, links[-1].hash)
    return links, head


def renumbered(links):
    return [link._replace(seq=seq) for seq, link in enumerate(links, 1)]


def seq_of(flaw):
    assert flaw is not None, "no flaw was found"
    return flaw.seq


def sealed(link):
    return link._replace(hash=link.seal())


chains = st.lists(records, min_size=1, max_size=6).map(chain_of)
FIELDS = ["at", "kind", "week", "payload", "previous_hash", "hash"]


@given(chains)
def test_an_untouched_chain_has_no_flaw(chain):
    links, head = chain
    assert first_discrepancy(links, head) is None
    assert [link.read().seq for link in links] == list(range(1, len(links) + 1))


@given(chains, st.data(), st.sampled_from(FIELDS), st.booleans())
def test_a_changed_field_is_found_in_its_record_even_with_a_hash_that_fits_again(chain, data, field, with_hash):
    links, head = chain
    at = data.draw(st.integers(0, len(links) - 1))
    old = getattr(links[at], field)
    new = data.draw(
        st.one_of(text, st.sampled_from([getattr(link, field) for link in links])).filter(lambda value: value != old)
    )
    changed = links[at]._replace(**{field: new})
    links[at] = sealed(changed) if with_hash and field != "hash" else changed
    assert seq_of(first_discrepancy(links, head)) == at + 1


@given(chains, st.data())
def test_a_changed_number_is_found_where_it_is_missed(chain, data):
    links, head = chain
    at = data.draw(st.integers(0, len(links) - 1))
    seq = data.draw(st.integers(-3, len(links) + 5).filter(lambda n: n < 1 or n > len(links)))
    links[at] = links[at]._replace(seq=seq)
    assert seq_of(first_discrepancy(sorted(links), head)) == min(seq, at + 1)


@given(chains, st.data(), st.booleans())
def test_a_deleted_record_is_named_even_when_the_others_close_ranks(chain, data, closed):
    links, head = chain
    at = data.draw(st.integers(0, len(links) - 1))
    del links[at]
    assert seq_of(first_discrepancy(renumbered(links) if closed else links, head)) == at + 1


@given(st.lists(records, min_size=2, max_size=6).map(chain_of), st.data())
def test_two_records_that_changed_places_are_found_at_the_first_place(chain, data):
    links, head = chain
    first, second = sorted(data.draw(st.sets(st.integers(0, len(links) - 1), min_size=2, max_size=2)))
    links[first], links[second] = links[second], links[first]
    assert seq_of(first_discrepancy(renumbered(links), head)) == first + 1


@given(chains, st.data(), records)
def test_an_inserted_record_is_named_even_when_it_is_well_chained(chain, data, forged):
    links, head = chain
    at = data.draw(st.integers(0, len(links)))
    before = Head(at, links[at - 1].hash) if at else Head(0, GENESIS)
    links.insert(at, next_link(before, *forged))
    assert seq_of(first_discrepancy(renumbered(links), head)) == at + 1


@given(chains, st.data())
def test_a_cut_off_end_is_named_by_its_first_record(chain, data):
    links, head = chain
    left = data.draw(st.integers(0, len(links) - 1))
    assert seq_of(first_discrepancy(links[:left], head)) == left + 1


@given(chains, st.integers(-2, 2), st.booleans())
def test_a_changed_head_is_found_at_the_end(chain, count, other_hash):
    links, head = chain
    changed = Head(max(0, head.count + count), GENESIS if other_hash else head.hash)
    if changed != head:
        assert seq_of(first_discrepancy(links, changed)) == min(changed.count, len(links)) + (
            changed.count != len(links)
        )


def test_an_instant_without_a_zone_and_a_number_that_is_none_are_no_records():
    with pytest.raises(ValueError, match="no time zone"):
        next_link(Head(0, GENESIS), "x", {}, T0.replace(tzinfo=None), None)
    with pytest.raises(ValueError, match="not JSON compliant"):
        next_link(Head(0, GENESIS), "x", {"x": float("nan")}, T0, None)


def order(symbol="NVDA", **changes):
    values = {
        "client_order_id": f"tokenomics-2026-08-24-{symbol}-buy-1",
        "account": "PA1",
        "sleeve": "fundamentals",
        "period": WEEK.isoformat(),
        "plan_id": "p1",
        "week": WEEK,
        "symbol": symbol,
        "side": "buy",
        "attempt": 1,
        "qty": None,
        "notional": Decimal("1234.50"),
        "status": "intended",
        "broker_id": None,
        "filled_qty": Decimal("0E-9"),
        "filled_avg_price": None,
        "note": None,
        "created_at": T0,
        "updated_at": T0,
    }
    return LedgerOrder(**{**values, **changes})


def fill(number=1, **changes):
    values = {
        "id": f"20260824::{number}",
        "broker_order_id": "b1",
        "client_order_id": None,
        "account": "PA1",
        "symbol": "NVDA",
        "side": "buy",
        "qty": Decimal("1E-9"),
        "price": Decimal("214.7213"),
        "at": T0,
    }
    return FillRow(**{**values, **changes})


@pytest.fixture
def told(store):
    """A warehouse with a little of everything: records 1 to 7."""
    store.audit("phase", {"phase": "buy", "equity": Decimal("100.10")}, at=T0, week=WEEK)
    store.record_order(order())
    store.record_order(order(status="filled", filled_qty=Decimal("5.749999999"), updated_at=T0 + timedelta(seconds=1)))
    store.record_order(order("MSFT"))
    store.save_fills([fill(1), fill(2)])
    store.halt("enough", by="ann", at=T0)
    return store


def tamper(store, statement):
    """Changes the database as somebody would who has its password."""
    with store._engine.begin() as connection:
        assert connection.execute(sa.text(statement)).rowcount > 0


def test_records_come_back_in_order_and_chained(told):
    found = told.audit_records()
    assert [r.seq for r in found] == list(range(1, 8))
    assert [r.kind for r in found] == ["phase", "order", "order", "order", "fill", "fill", "halt"]
    assert found[0].previous_hash == 64 * "0"
    assert [r.previous_hash for r in found[1:]] == [r.hash for r in found[:-1]]
    assert found[0].payload == {"phase": "buy", "equity": "100.10"}
    assert (found[0].at, found[0].week) == (T0, WEEK)
    assert told.audit_head() == Head(7, found[-1].hash)
    assert told.verify_audit() is None


def test_a_week_has_its_own_records_only(told):
    told.audit("phase", {}, at=T0 + timedelta(days=7), week=date(2026, 8, 31))
    told.audit("other", {}, at=T0)
    assert [r.seq for r in told.audit_records(WEEK)] == list(range(1, 8))
    assert [r.seq for r in told.audit_records(date(2026, 8, 31))] == [8]


def test_an_order_is_recorded_with_its_whole_row_and_only_when_it_changed(store):
    store.record_order(order())
    store.record_order(order())
    store.record_order(order(filled_qty=Decimal("0.0")))
    store.record_order(order(status="new"))
    found = store.audit_records()
    assert [(r.payload["status"], r.week, r.at) for r in found] == [("intended", WEEK, T0), ("new", WEEK, T0)]
    assert found[1].payload["notional"] == "1234.50"
    assert set(found[1].payload) == set(LedgerOrder.__dataclass_fields__)


def test_what_must_be_told_with_its_row_cannot_be_told_alone(store):
    for kind in ("order", "fill", "halt", "resume", "approval"):
        with pytest.raises(ValueError, match=kind):
            store.audit(kind, {}, at=T0)
    assert store.audit_records() == []


def test_a_record_that_cannot_be_written_leaves_nothing_of_its_transaction(told, monkeypatch):
    def fail(*_):
        raise ArithmeticError

    monkeypatch.setattr(journal, "next_link", fail)
    with pytest.raises(ArithmeticError):
        told.record_order(order(status="canceled"))
    with pytest.raises(ArithmeticError):
        told.save_fills([fill(3)])
    monkeypatch.undo()
    assert told.orders_of_week("PA1", WEEK)[1].status == "filled"
    assert len(told.fills_of("PA1", T0)) == 2
    assert told.verify_audit() is None


@pytest.mark.parametrize(
    ("statement", "flaw"),
    [
        ("update audit set payload = replace(payload, '1234', '1235') where seq = 4", (4, "was changed")),
        ("update audit set at = '2026-08-24T14:05:00.000001+00:00' where seq = 1", (1, "was changed")),
        ("update audit set kind = 'phase', payload = 'x' where seq = 6", (6, "was changed")),
        ("delete from audit where seq = 3", (3, "is missing")),
        ("delete from audit where seq >= 6", (6, "the end was cut off")),
        ("delete from audit", (1, "the end was cut off")),
        ("update audit set seq = -seq where seq in (2, 5)", (-5, "was inserted")),
        ("update audit_head set count = 6", (7, "the head counts 6")),
        ("delete from audit_head", (1, "the head counts 0")),
        (
            "insert into audit select 8, at, kind, week, payload, hash, hash from audit where seq = 7",
            (8, "was changed"),
        ),
        ("update orders_ledger set status = 'canceled' where symbol = 'NVDA'", (3, "was changed: status")),
        ("update orders_ledger set notional = '1234.5' where symbol = 'MSFT'", (4, "was changed: notional")),
        ("update orders_ledger set filled_qty = 'x' where symbol = 'MSFT'", (4, "was changed: filled_qty")),
        ("update orders_ledger set week = '2026-08-31'", (3, "was changed: week")),
        ("update orders_ledger set created_at = '2026-08-24 14:05:01.000000'", (3, "was changed: created_at")),
        ("delete from orders_ledger where symbol = 'MSFT'", (4, "its row was deleted")),
        ("delete from orders_ledger", (3, "its row was deleted")),
        ("update orders_ledger set client_order_id = 'x' where symbol = 'NVDA'", (3, "its row was deleted")),
        ("update fills set price = '214.72' where id = '20260824::2'", (6, "was changed: price")),
        ("delete from fills where id = '20260824::1'", (5, "its row was deleted")),
        (
            "insert into fills (id, broker_order_id, account, symbol, side, qty, price, at) "  # noqa: ISC004
            "select 'x', 'b1', 'PA1', 'A', 'buy', '1', '1', at from fills where id = '20260824::1'",
            (None, "no record tells of it"),
        ),
    ],
)
def test_what_is_changed_by_hand_is_named(told, statement, flaw):
    tamper(told, statement)
    found = told.verify_audit()
    assert seq_of(found) == flaw[0]
    assert flaw[1] in found.what


def test_a_value_that_the_database_should_not_hold_is_named_too(tmp_path):
    store = Warehouse(f"sqlite:///{tmp_path}/warehouse.db")
    store.record_order(order())
    tamper(store, "update orders_ledger set created_at = 'yesterday', week = 'x'")
    assert store.verify_audit() == AuditDiscrepancy(
        1, f"is the last of order {order().client_order_id}, whose row in orders_ledger was changed: week, created_at"
    )
    tamper(store, "update audit set at = x'ff', payload = 7, week = 'x'")
    assert seq_of(store.verify_audit()) == 1
    with pytest.raises(WarehouseError, match=r"record 1 cannot be read.*audit verify"):
        store.audit_records()


def test_nothing_more_is_recorded_on_a_chain_without_its_head(told):
    tamper(told, "delete from audit_head")
    with pytest.raises(WarehouseError, match=r"record 1 is there.*audit verify"):
        told.record_order(order("AAPL"))
    assert {o.symbol for o in told.orders_of_week("PA1", WEEK)} == {"NVDA", "MSFT"}
    assert seq_of(told.verify_audit()) == 1


def _write_forever(url, name):
    store = Warehouse(url)
    for n in range(10_000):
        store.audit("phase", {"n": n}, at=T0, week=WEEK)
        store.record_order(order(f"{name}-{n % 5}", note=str(n)))
        store.save_fills([fill(f"{name}-{n}"), fill(f"both-{n}")])


@pytest.mark.soak
def test_processes_that_write_at_once_and_are_killed_leave_one_whole_chain(store, url):
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write_forever, args=(url, f"w{n}")) for n in range(2)]
    for writer in writers:
        writer.start()
    ours = 0
    symbols: set[str] = set()
    try:
        while not {"w0-4", "w1-4"} <= symbols and all(writer.is_alive() for writer in writers):
            store.audit("here", {"n": ours}, at=T0)
            ours += 1
            symbols = {o.symbol for o in store.orders_of_week("PA1", WEEK)}
            assert store.verify_audit() is None
            time.sleep(0.02)
    finally:
        for writer in writers:
            writer.kill()
            writer.join()
    assert {"w0-4", "w1-4"} <= symbols
    assert store.verify_audit() is None
    found = store.audit_records()
    assert [r.seq for r in found] == list(range(1, len(found) + 1))
    assert [r.payload["n"] for r in found if r.kind == "here"] == list(range(ours))
    store.audit("after", {}, at=T0)
    assert store.verify_audit() is None


@pytest.mark.soak
def test_a_hundred_thousand_records_are_verified_in_seconds(tmp_path):
    store = Warehouse(f"sqlite:///{tmp_path}/warehouse.db")
    with store._audited() as (connection, append):
        for number in range(2_000):
            rows = [fields_of(order(str(number), note=str(n))) for n in range(50)]
            for row in rows:
                append("order", as_payload(row), T0, WEEK)
            connection.execute(sa.insert(ORDERS), rows[-1])
    began = time.process_time()
    assert store.verify_audit() is None
    assert time.process_time() - began < 10
    assert store.audit_head().count == 100_000
    tamper(store, "update audit set week = '2026-08-31' where seq = 99999")
    assert seq_of(store.verify_audit()) == 99_999


@settings(max_examples=50)
@given(payloads)
def test_canonical_text_reads_back_as_the_same_text(payload):
    plain = canonical_json(payload)
    assert canonical_json(json.loads(plain)) == plain
