"""A database that was removed, replaced, emptied or damaged is noticed before more is done, in one sentence."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from tokenomics_dagster.storage.database import _explanation
from tokenomics_dagster.storage.records import WarehouseError
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.storage.test_audit import T0, WEEK, order, tamper
from tokenomics_dagster_tests.storage.test_warehouse import TargetWeights, weights


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "warehouse.db"


@pytest.fixture
def used(file: Path) -> Iterator[Warehouse]:
    """A database that a process has open, with an order, a snapshot and a mark in it."""
    with closing(Warehouse(f"sqlite:///{file}")) as store:
        store.record_order(order())
        store.save_snapshot("target_weights", TargetWeights, weights(), run_id="r", partition="2026-08-24")
        yield store


def remove(file: Path) -> None:
    for path in file.parent.glob(f"{file.name}*"):
        path.unlink()


def replace_by_a_copy(file: Path) -> None:
    shutil.copy(file, file.with_suffix(".copy"))
    file.with_suffix(".copy").replace(file)


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize(
    ("harm", "said"), [(remove, "was removed"), (replace_by_a_copy, "was replaced"), (empty, "was emptied")]
)
def test_a_file_that_is_no_longer_the_one_that_was_opened_takes_no_record_and_gives_none(
    used: Warehouse, file: Path, harm: Callable[[Path], None], said: str
) -> None:
    harm(file)
    for use in (lambda: used.record_order(order("MSFT")), used.halted, lambda: used.orders_of_week("PA1", WEEK)):
        with pytest.raises(WarehouseError, match=rf"the file {file} {said} .*while it was in use: nothing more is"):
            use()


@pytest.mark.parametrize("embedded", [True, False])
def test_a_lost_connection_to_a_server_is_not_called_damage(embedded: bool) -> None:
    """psycopg2 has for it the word that SQLite has for a file that is none of its own."""
    lost = sa.exc.DatabaseError("select 1", {}, Exception("SSL SYSCALL error:\nEOF detected"))
    said = _explanation(lost, embedded=embedded) or ""
    assert ("is damaged" in said) == embedded
    assert ("check that TOKENOMICS_DATABASE_URL is right, the server runs" in said) == (not embedded)
    assert "SSL SYSCALL error: EOF detected" in said
    assert _explanation(sa.exc.IntegrityError("insert", {}, Exception("twice")), embedded=embedded) is None


def test_an_address_with_a_word_that_the_driver_does_not_know_is_a_sentence() -> None:
    refused = sa.exc.ProgrammingError(None, None, Exception('invalid dsn: invalid connection option "foo"'))
    assert "check that TOKENOMICS_DATABASE_URL is right" in (_explanation(refused, embedded=False) or "")
    assert _explanation(sa.exc.ProgrammingError("selct 1", {}, Exception("syntax error")), embedded=False) is None


def test_a_file_that_grows_by_others_is_still_the_same(used: Warehouse, file: Path) -> None:
    with closing(Warehouse(f"sqlite:///{file}")) as other:
        other.record_order(order("MSFT"))
    used.record_order(order("AAPL"))
    with closing(Warehouse(f"sqlite:///{file}")) as other:
        assert {row.symbol for row in other.orders_of_week("PA1", WEEK)} == {"NVDA", "MSFT", "AAPL"}


def test_a_database_that_was_restored_in_mid_run_takes_no_further_record(store: Warehouse, url: str) -> None:
    store.halt("before the backup", by="ann", at=T0)
    store.halt("after the backup", by="ann", at=T0)
    with closing(Warehouse(url)) as restoring:
        first = restoring.audit_records()[0].hash
        tamper(restoring, "delete from audit where seq = 2")
        tamper(restoring, f"update audit_head set count = 1, hash = '{first}'")
        with pytest.raises(WarehouseError, match=r"replaced or restored while it was in use: record 2 .* no longer"):
            store.record_order(order())
        restoring.halt("another past", by="ann", at=T0)
        restoring.halt("and longer", by="ann", at=T0)
    with pytest.raises(WarehouseError, match="replaced or restored while it was in use: record 2"):
        store.record_order(order())


def test_a_server_whose_tables_are_gone_is_one_sentence(postgres_url: str, request: pytest.FixtureRequest) -> None:
    engine = sa.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(sa.text("drop schema public cascade"))
        connection.execute(sa.text("create schema public"))
    with closing(Warehouse(postgres_url)) as store:
        with engine.begin() as connection:
            connection.execute(sa.text("drop schema public cascade"))
            connection.execute(sa.text("create schema public"))
        with pytest.raises(WarehouseError, match="does not exist"):
            store.record_order(order())
    engine.dispose()


def test_a_file_that_is_no_database_or_has_flipped_bytes_is_one_sentence(file: Path) -> None:
    file.write_bytes(b"something else\n" * 1_000)
    with pytest.raises(WarehouseError, match=rf"{file} is damaged \(file is not a database\).*restore a backup"):
        Warehouse(f"sqlite:///{file}")
    file.unlink()
    with closing(Warehouse(f"sqlite:///{file}")) as store:
        for number in range(50):
            store.record_order(order(f"S{number}"))
    whole = file.read_bytes()
    page = 4096
    said = []
    for start in range(page, len(whole), page):
        file.write_bytes(whole[:start] + b"\xff" * page + whole[start + page :])
        try:
            with closing(Warehouse(f"sqlite:///{file}")) as store:
                store.verify_audit()
                store.halted()
                store.orders_of_week("PA1", WEEK)
        except WarehouseError as error:  # all else would be a traceback
            said.append(str(error))
    assert len(said) >= 5
    assert all("damaged" in text or "cannot be read" in text for text in said)


@pytest.mark.parametrize(
    "statement",
    [
        "update snapshots set details = '{\"x\"'",
        "update snapshots set as_of = 'yesterday'",
        "update orders_ledger set filled_qty = 'x'",
        "update orders_ledger set updated_at = 'x'",
    ],
)
def test_a_value_that_cannot_be_read_is_one_sentence(used: Warehouse, statement: str) -> None:
    tamper(used, statement)
    table = "snapshots" if "snapshots" in statement else "orders"
    with pytest.raises(WarehouseError, match=r"a value in .* cannot be read .*restore a backup"):
        used.orders_of_week("PA1", WEEK) if table == "orders" else used.history("target_weights")


def test_a_figure_that_breaks_the_rules_of_its_table_is_one_sentence(used: Warehouse) -> None:
    tamper(used, "update target_weights set weight = 17 where symbol = 'NVDA'")
    with pytest.raises(WarehouseError, match=r"TargetWeights.*weight.*changed by hand"):
        used.load_snapshot("target_weights", TargetWeights, partition="2026-08-24")


@pytest.mark.parametrize("content", [None, b""])
def test_who_only_looks_makes_no_database(file: Path, content: bytes | None) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(WarehouseError, match=rf"{file}.*nothing was looked at or made.*tokenomics migrate"):
        Warehouse(f"sqlite:///{file}", existing=True)
    assert [path.read_bytes() for path in file.parent.iterdir()] == ([] if content is None else [content])


def test_a_disk_that_is_full_is_seen_before_it_is_written_to(tmp_path, monkeypatch):
    with closing(Warehouse(f"sqlite:///{tmp_path}/warehouse.db")) as store:
        store.check_usable()
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
        with pytest.raises(WarehouseError, match=r"its disk is full, 1.0 MiB are free"):
            store.check_usable()


def test_a_folder_that_was_removed_is_one_sentence_to_who_looks_each_minute(tmp_path):
    folder = tmp_path / "folder"
    with closing(Warehouse(f"sqlite:///{folder}/warehouse.db")) as store:
        shutil.rmtree(folder)
        with pytest.raises(WarehouseError, match="was removed while it was in use"):
            store.check_usable()
