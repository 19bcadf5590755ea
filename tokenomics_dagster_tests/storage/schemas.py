"""Databases of every version of the schema, recorded as SQL with the rows of a small market in them.

`python -m tokenomics_dagster_tests.storage.schemas` records the newest version from the one before it: run it once,
when a step was added to storage/migrations.py. A recording is never changed once its version was released.
"""

import os
import shutil
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg2  # type: ignore[import-untyped]
import sqlalchemy as sa

from tokenomics_dagster.definitions import defs
from tokenomics_dagster.fundamentals.schema import Financials
from tokenomics_dagster.storage import migrations, tables
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster.universe.schema import KnownProfiles

FOLDER = Path(__file__).with_name("recorded")
EARLIER = range(1, migrations.LATEST)
FACTS: dict[str, Any] = {"financials": Financials, "profiles": KnownProfiles}
"""The tables of facts per symbol; those of snapshots are known from the assets' metadata."""


def snapshots() -> dict[str, Any]:
    """Asset by asset: the pandera model of its snapshots."""
    models = {}
    for asset in defs().resolve_all_asset_specs():
        path, kind = asset.metadata.get("schema"), asset.key.to_user_string()
        if path is not None and kind not in FACTS:
            module, _, name = str(getattr(path, "value", path)).rpartition(".")
            models[kind] = getattr(import_module(module), name)
    return models


def make_tables(store: Warehouse) -> None:
    """Also those that are otherwise made when they are first used."""
    for asset, model in snapshots().items():
        store._rows_table(asset, model)
    for kind, model in FACTS.items():
        store._facts_table(kind, model)


def wanted(store: Warehouse) -> sa.MetaData:
    """Every table as the code wants it."""
    make_tables(store)
    everything = sa.MetaData()
    for table in (*tables.METADATA.sorted_tables, *migrations.metadata.sorted_tables, *store._tables.values()):
        table.to_metadata(everything)
    return everything


def recording(version: int, url: str) -> Path:
    return FOLDER / f"version_{version}.{sa.make_url(url).get_backend_name()}.sql"


def build(version: int, url: str) -> None:
    """Makes a database of that version, with rows, of the empty one at `url`."""
    text = recording(version, url).read_text(encoding="utf-8")
    where = sa.make_url(url)
    if where.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(where.database))) as embedded:
            embedded.executescript(text)
        return
    server = psycopg2.connect(libpq(url))
    try:
        with server, server.cursor() as cursor:
            # Newer pg_dumps write commands of psql around their statements.
            cursor.execute("\n".join(line for line in text.splitlines() if not line.startswith("\\")))
    finally:
        server.close()


def libpq(url: str) -> str:
    """The address as PostgreSQL's own programs take it."""
    return sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def postgres_program(name: str) -> str:
    """pg_dump and its like: those of the wheel, which fit its server, or of PATH."""
    found = shutil.which(name)
    try:
        wheel = Path(str(import_module("pgserver").__file__)).parent / "pginstall/bin" / name
    except ModuleNotFoundError:
        wheel = Path()
    if wheel.is_file():
        return str(wheel)
    assert found is not None, f"{name} is not on PATH"
    return found


def record(version: int, url: str) -> None:
    """Writes the database at `url` down as that version."""
    path = recording(version, url)
    where = sa.make_url(url)
    if where.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(where.database))) as embedded:
            path.write_text("\n".join(embedded.iterdump()) + "\n", encoding="utf-8")
        return
    command = [postgres_program("pg_dump"), "--inserts", "--no-owner", "--no-privileges", libpq(url)]
    path.write_text(subprocess.run(command, check=True, capture_output=True, text=True).stdout, encoding="utf-8")


def record_newest() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101  pgserver runs the server as another user when this is root
        os.environ["XDG_RUNTIME_DIR"] = folder
        server = import_module("pgserver").get_server(Path(folder) / "postgres")
        address = server.get_uri().replace("postgresql://", "postgresql+psycopg2://", 1)
        try:
            for url in (f"sqlite:///{folder}/warehouse.db", address):
                build(migrations.LATEST - 1, url)
                with closing(Warehouse(url, upgrade=True)) as store:
                    make_tables(store)
                record(migrations.LATEST, url)
        finally:
            server.cleanup()


if __name__ == "__main__":
    record_newest()
