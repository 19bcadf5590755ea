"""The warehouse: what lasts, in one database, behind one name; the families of what it holds are modules of their own.

`Warehouse` is the families together: snapshots (whole tables), facts (per symbol), the ledger (money), the journal (the
audit, decisions, alerts) and its verification. Each is a class on top of the one database, or of the journal where its
writes are also records of the audit, in the same transaction. They are inherited, not held: callers know one warehouse,
a held family would be fifty methods that only forward, and locks, the file that is watched and the audit's end are one
state that no family may have for itself. What the rows mean belongs to the rooms.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from tokenomics_dagster.storage import migrations
from tokenomics_dagster.storage.facts import Facts
from tokenomics_dagster.storage.journal import Journal
from tokenomics_dagster.storage.ledger import Ledger
from tokenomics_dagster.storage.snapshots import Snapshots
from tokenomics_dagster.storage.verification import Verification


class Warehouse(Snapshots, Facts, Ledger, Journal, Verification):
    """The warehouse in the database at `url`: how it is opened, made and refused stands in database.py."""


def migrate(url: str) -> Iterator[str]:
    """Brings the database at `url` to the schema of this code; tells what was done. Safe to repeat, and at once."""
    with closing(Warehouse(url, upgrade=True)) as store:
        for what in store.upgraded:
            yield f"added: {what}"
        yield f"{store.address} has schema version {migrations.LATEST}"
