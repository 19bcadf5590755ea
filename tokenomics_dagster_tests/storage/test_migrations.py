"""Databases of every earlier version become what a new one is: all of it or nothing, and without losing a row."""

import signal
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from tokenomics_dagster.storage import migrations
from tokenomics_dagster.storage.records import WarehouseError
from tokenomics_dagster.storage.warehouse import Warehouse, migrate
from tokenomics_dagster_tests.execution.crash import processes
from tokenomics_dagster_tests.storage import schemas, writers

ALL = range(1, migrations.LATEST + 1)
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    made = sa.create_engine(url)
    yield made
    made.dispose()


def rows(engine: sa.Engine) -> Rows:
    """All that is stored, table by table, as the database itself sees it."""
    everything = sa.MetaData()
    everything.reflect(engine)
    with engine.connect() as connection:
        return {
            table.name: sorted(
                (dict(row) for row in connection.execute(sa.select(table)).mappings()), key=lambda row: str(row)
            )
            for table in everything.sorted_tables
        }


def only(columns: set[str], stored: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(({name: row[name] for name in row if name in columns} for row in stored), key=str)


def version(engine: sa.Engine) -> int | None:
    with engine.connect() as connection:
        return migrations.version_of(connection)


@pytest.mark.parametrize("found", ALL)
def test_each_recorded_version_becomes_what_the_code_wants_and_keeps_every_row(url, engine, found):
    schemas.build(found, url)
    before = rows(engine)
    steps = [f"added: {step.what}" for step in migrations.STEPS[found - 1 :]]
    with closing(Warehouse(url, upgrade=True)) as store:
        assert [f"added: {what}" for what in store.upgraded] == steps
        wanted = schemas.wanted(store)
        assert store.verify_audit() is None
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            )
            differences = compare_metadata(context, wanted)
        assert differences == [], (
            "a model or a table was changed: add a step to storage/migrations.py, then record the new version with "
            "python -m tokenomics_dagster_tests.storage.schemas"
        )
        after = rows(engine)
        for name, stored in before.items():
            if name != "schema_version":
                assert only(set(stored[0]) if stored else set(), after[name]) == stored
        for asset, model in schemas.snapshots().items():
            for snapshot in store.history(asset):
                frame = store.load_snapshot(asset, model, partition=snapshot.partition)
                assert frame is not None
                assert len(frame) == snapshot.row_count
        for kind, model in schemas.FACTS.items():
            assert len(store.latest_facts(kind, model)) == len(store.known_at(kind, model)) > 0
    assert version(engine) == migrations.LATEST


def test_what_a_step_adds_is_missing_in_the_rows_of_before(url):
    schemas.build(1, url)
    with closing(Warehouse(url, upgrade=True)) as store:
        profiles = store.latest_facts("profiles", schemas.FACTS["profiles"])
        assert len(profiles) == 10
        assert profiles["industry"].isna().all()
        assert pd.api.types.is_string_dtype(profiles["industry"])
        assert store.alerts() == {}


@pytest.mark.parametrize("lacking", ["sleeve", "period"])
def test_an_order_without_its_sleeve_or_period_is_refused_by_a_database_that_followed(url, engine, lacking):
    schemas.build(1, url)
    Warehouse(url, upgrade=True).close()
    row = {**rows(engine)["orders_ledger"][0], "client_order_id": "another"}
    del row[lacking]
    ledger = sa.table("orders_ledger", *map(sa.column, row))
    with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError, match=lacking):
        connection.execute(sa.insert(ledger).values(row))


def test_an_empty_database_has_the_newest_version_at_once(url, engine):
    with closing(Warehouse(url)) as store:
        assert store.upgraded == []
        assert version(engine) == migrations.LATEST
    assert list(migrate(url))[-1].endswith(f"has schema version {migrations.LATEST}")


def test_an_embedded_database_follows_by_itself_and_a_server_says_by_which_command(url, engine):
    schemas.build(1, url)
    if url.startswith("sqlite"):
        Warehouse(url).close()
        assert version(engine) == migrations.LATEST
        return
    before = rows(engine)
    with pytest.raises(
        WarehouseError, match=rf"schema version 1, this code needs {migrations.LATEST}.*`tokenomics migrate`"
    ):
        Warehouse(url)
    assert rows(engine) == before
    assert next(migrate(url)).startswith("added: industry of each stock, problems that were alerted")
    Warehouse(url).close()


@pytest.mark.parametrize("upgrade", [False, True])
def test_a_database_of_newer_code_is_refused_and_left_alone(url, engine, upgrade):
    Warehouse(url).close()
    with engine.begin() as connection:
        connection.execute(sa.text("update schema_version set version = 99"))
    with pytest.raises(WarehouseError, match="schema version 99, this code knows"):
        Warehouse(url, upgrade=upgrade)
    assert version(engine) == 99


def test_a_version_that_was_removed_by_hand_is_one_sentence(url, engine):
    Warehouse(url).close()
    with engine.begin() as connection:
        connection.execute(sa.text("delete from schema_version"))
    with pytest.raises(WarehouseError, match="schema_version is empty"):
        Warehouse(url)


@pytest.mark.parametrize("found", [None, 1])
def test_of_processes_that_open_or_migrate_at_once_one_does_it_and_all_go_on(url, engine, found):
    if found is not None:
        schemas.build(found, url)
    start = processes.Barrier(8)
    running = []
    for _ in range(8):
        ours, theirs = processes.Pipe(duplex=False)
        process = processes.Process(target=writers.open_at_once, args=(url, found is not None, theirs, start))
        process.start()
        theirs.close()
        running.append((process, ours))
    answers = []
    for process, ours in running:
        answers.append(ours.recv())
        process.join()
    done = [] if found is None else [step.what for step in migrations.STEPS]
    assert sorted(answers, key=len) == [*[[]] * 7, done]
    assert version(engine) == migrations.LATEST
    facts = rows(engine)["financials"]
    assert sum(row["symbol"] == "A" for row in facts) == 8
    with closing(Warehouse(url)) as store:
        assert store.verify_audit() is None


@pytest.mark.soak
def test_a_migration_that_is_killed_at_any_statement_leaves_all_as_it_was(url, engine):
    schemas.build(1, url)
    before = rows(engine)
    kills = 0
    while True:
        process = processes.Process(target=writers.migrate_until, args=(url, kills + 1))
        process.start()
        process.join(30)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
        if version(engine) == migrations.LATEST:
            continue  # killed after the commit
        assert rows(engine) == before
    assert kills >= 10
    assert version(engine) == migrations.LATEST
    with closing(Warehouse(url)) as store:
        assert store.verify_audit() is None


def test_every_version_was_recorded():
    names = {path.name for path in schemas.FOLDER.iterdir()}
    assert names == {f"version_{n}.{kind}.sql" for n in ALL for kind in ("sqlite", "postgresql")}
