"""Scores, weights and plans are covered by the audit; a head noted elsewhere finds a chain that was cut."""

import logging
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from tokenomics_dagster.fundamentals.schema import Scores
from tokenomics_dagster.model.details import Details
from tokenomics_dagster.portfolio.schema import TargetWeights
from tokenomics_dagster.storage.covered import COVERED
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.storage import schemas
from tokenomics_dagster_tests.storage.test_audit import T0, WEEK, order, tamper
from tokenomics_dagster_tests.storage.test_warehouse import weights

CHANGED = "were changed since"
MOVE, AT = "update target_weights set position =", "snapshot_id = 2 and position"


def save(store: Warehouse, days: int = 0, **details: object) -> int:
    made = weights(T0 + timedelta(days=days), **details)
    return store.save_snapshot("target_weights", TargetWeights, made, run_id="r", partition="2026-08-24")


def test_a_stored_table_is_a_record_of_its_week_and_one_that_is_untouched_has_no_flaw(store: Warehouse) -> None:
    number = save(store, cash_weight=0.97, dropped={"A": (1, 2.5)}, none=None, small=-0.0)
    (record,) = store.audit_records(WEEK)
    assert (record.kind, record.payload["asset"], record.payload["id"], record.payload["rows"]) == (
        "snapshot", "target_weights", number, 2,
    )  # fmt: skip
    assert record.payload["columns"] == ["symbol", "weight", "score", "market_cap_musd", "rank"]
    assert store.verify_audit() is None
    assert store.uncovered_snapshots() == 0


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        (
            "update target_weights set weight = 0.0200000001 where snapshot_id = 2 and position = 0",
            "were changed since",
        ),
        ("update target_weights set symbol = 'AAPL' where snapshot_id = 2 and position = 1", CHANGED),
        ("update target_weights set market_cap_musd = 0 where snapshot_id = 2 and position = 1", CHANGED),
        (f"{MOVE} 9 where {AT} = 1; {MOVE} 1 where {AT} = 0; {MOVE} 0 where {AT} = 9", CHANGED),
        ("delete from target_weights where snapshot_id = 2 and position = 1", CHANGED),
        ("delete from target_weights where snapshot_id = 2", CHANGED),
        ("update snapshots set run_id = 'x' where id = 2", CHANGED),
        ("update snapshots set partition = '2026-08-31' where id = 2", CHANGED),
        ("update snapshots set details = '{\"cash_weight\": 0.5}' where id = 2", CHANGED),
        ("delete from snapshots where id = 2", "its row was deleted"),
    ],
)
def test_what_orders_rest_on_cannot_be_changed_unseen(store: Warehouse, statement: str, what: str) -> None:
    for days in range(3):
        save(store, days)
    for each in statement.split("; "):
        tamper(store, each)
    flaw = store.verify_audit()
    assert flaw is not None
    assert flaw.seq == 2
    assert what in flaw.what
    assert "target_weights of snapshot 2" in flaw.what


def test_a_table_that_was_slipped_in_is_named(store: Warehouse) -> None:
    save(store)
    with store._engine.begin() as connection:
        columns = "asset, partition, as_of, run_id, row_count, details"
        connection.execute(
            sa.text(f"insert into snapshots (id, {columns}) select 7, {columns} from snapshots where id = 1")
        )
    flaw = store.verify_audit()
    assert flaw is not None
    assert flaw.seq is None
    assert flaw.what == "snapshot 7 of target_weights is stored, but no record tells of it"


def forge(store: Warehouse, **other: object) -> None:
    """Copies the newest weights by SQL, with their rows, but for what is `other`."""
    asset = "target_weights"
    columns = ["id", "asset", "partition", "as_of", "run_id", "row_count", "details"]
    values = ", ".join(f":{name}" if name in other else name for name in columns)
    query = sa.text(
        f"insert into snapshots ({', '.join(columns)}) select {values} from snapshots where id = :source"
    ).bindparams(source=store.history(asset)[0].id, **{k: v for k, v in other.items() if k in columns})
    with store._engine.begin() as connection:
        rows = sa.Table(asset, sa.MetaData(), autoload_with=connection)
        of = rows.c.snapshot_id == store.history(asset)[0].id
        found = [dict(row) for row in connection.execute(sa.select(rows).where(of)).mappings()]
        connection.execute(query)
        connection.execute(sa.insert(rows), [{**row, "snapshot_id": other["id"]} for row in found])


def test_tables_of_before_there_were_hashes_are_covered_as_they_are_with_the_first_that_is_stored_after(
    url: str,
) -> None:
    schemas.build(2, url)
    with closing(Warehouse(url, upgrade=True)) as store:
        before = store.uncovered_snapshots()
        assert before >= 3
        save(store)
        assert store.uncovered_snapshots() == 0
        assert sum(record.kind == "snapshot" for record in store.audit_records()) == before + 1
        assert store.verify_audit() is None
        save(store)
        assert sum(record.kind == "snapshot" for record in store.audit_records()) == before + 2
        tamper(store, f"update scores set score = 99 where snapshot_id = {store.history('scores')[-1].id}")
        flaw = store.verify_audit()
        assert flaw is not None
        assert "of snapshot" in flaw.what
        assert CHANGED in flaw.what


@pytest.mark.parametrize(
    "other",
    [
        {"id": -1, "as_of": "2026-08-30 12:00:00.000000"},
        {"id": 0},  # of the same instant as the first, in a later week
        {"id": 1, "as_of": "2026-08-01 12:00:00.000000", "partition": "2026-08-31"},
        {"id": 1, "as_of": "no instant", "partition": "2026-08-10"},
    ],
    ids=["newer", "of a later week", "older, in a later week", "damaged"],
)
def test_a_forged_snapshot_below_the_first_covered_one_is_found(tmp_path: Path, other: dict[str, object]) -> None:
    with closing(Warehouse(f"sqlite:///{tmp_path}/warehouse.db")) as store:
        tamper(store, "insert into snapshots values (4, 'listings', '', '2026-08-01 12:00:00', 'r', 0, '{}')")
        save(store)
        later = {"partition": "2026-08-31"} if other == {"id": 0} else {}
        forge(store, **{**other, **later})
        flaw = store.verify_audit()
        assert flaw is not None
        assert flaw.what == f"snapshot {other['id']} of target_weights is stored, but no record tells of it"


def test_a_snapshot_that_is_older_than_all_that_is_covered_is_counted_and_no_flaw(tmp_path: Path) -> None:
    """As in a database that took its first hash before those of before were covered with it."""
    with closing(Warehouse(f"sqlite:///{tmp_path}/warehouse.db")) as store:
        tamper(store, "insert into snapshots values (4, 'listings', '', '2026-08-01 12:00:00', 'r', 0, '{}')")
        save(store)
        forge(store, id=1, as_of="2026-08-01 12:00:00.000000", partition="2026-07-27")
        assert store.verify_audit() is None
        assert store.uncovered_snapshots() == 1


def test_a_snapshot_whose_number_was_given_again_after_it_was_deleted_is_missed(store: Warehouse) -> None:
    save(store)
    last = save(store, 1)
    tamper(store, f"delete from target_weights where snapshot_id = {last}")
    tamper(store, f"delete from snapshots where id = {last}")
    if store.address.startswith("postgresql"):
        tamper(store, f"select setval('snapshots_id_seq', {last - 1})")
    assert save(store, 2) == last
    flaw = store.verify_audit()
    assert flaw is not None
    assert flaw.seq == 2
    assert flaw.what == (
        f"tells of the target_weights of snapshot {last}, which was deleted: record 3 tells of another one"
    )


def test_every_covered_table_comes_back_with_its_hash(url: str) -> None:
    schemas.build(2, url)
    with closing(Warehouse(url, upgrade=True)) as store:
        models = {asset: model for asset, model in schemas.snapshots().items() if asset in COVERED}
        assert models.keys() == COVERED
        saved = store.uncovered_snapshots()  # those of before are covered with the first
        for asset, model in models.items():
            for snapshot in store.history(asset):
                stored = store.load_stored(asset, model, Details, partition=snapshot.partition)
                assert stored is not None
                store.save_snapshot(asset, model, stored, run_id="again", partition=snapshot.partition)
                saved += 1
        assert sum(record.kind == "snapshot" for record in store.audit_records()) == saved >= 3
        assert store.verify_audit() is None


def test_two_statements_that_remove_a_halt_are_found_by_the_head_that_was_logged(
    store: Warehouse, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.record_order(order())
    with caplog.at_level(logging.INFO, "tokenomics.trades"):
        store.halt("enough", by="ann", at=T0)
    (line,) = (record for record in caplog.records if "last one's hash" in record.getMessage())
    noted = store.audit_head()
    assert (line.__dict__["audit"], line.__dict__["hash"]) == (noted.count, noted.hash) == (2, line.args[1])  # type: ignore[index]
    first = store.audit_records()[0].hash
    tamper(store, "delete from audit where seq = 2")
    tamper(store, f"update audit_head set count = 1, hash = '{first}'")
    with closing(Warehouse(url)) as looking:
        assert looking.halted() is None
        assert looking.verify_audit() is None, "a chain that was cut is whole: only what was noted elsewhere tells"
        assert looking.record_with(noted.hash) is None
        assert looking.record_with(first) == 1


@pytest.mark.soak
def test_a_year_of_weeks_is_verified_in_four_seconds(tmp_path: Path) -> None:
    with closing(Warehouse(f"sqlite:///{tmp_path}/warehouse.db")) as store:
        names = [f"S{n:04}" for n in range(1_500)]
        empty = dict.fromkeys(Scores.to_schema().columns, [None] * len(names))
        frame = pd.DataFrame({**empty, "symbol": names, "reason": ["no figures"] * len(names)})
        for week in range(52):
            store.save_snapshot("scores", Scores, Made(frame, T0 + timedelta(weeks=week), Details()), run_id="r")
        began = time.process_time()
        assert store.verify_audit() is None
        assert time.process_time() - began < 4
