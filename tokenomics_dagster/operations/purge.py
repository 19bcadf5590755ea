"""Lets old runs of the instance go on a person's word (`purge`). Which ones is decided in retention.py."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

from rich.table import Table

from tokenomics_dagster.automation.retention import purge, stored_bytes
from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.operations.common import dagster_instance, open_store, table_of
from tokenomics_dagster.providers.alpaca import AlpacaResource
from tokenomics_dagster.settings import load_settings


def purge_instance(older_than_days: float | None, *, dry_run: bool) -> Iterator[Table | str]:
    """Tells what went, what stayed and why, and the size before and after; `None` days: as the settings say."""
    settings = load_settings()
    days = settings.retention.runs_days if older_than_days is None else older_than_days
    with (
        dagster_instance() as instance,
        closing(open_store(settings)) as store,
        AlpacaResource.from_settings(settings) as alpaca,
    ):
        now = alpaca.now()
        yield f"{_mb(stored_bytes(instance))} in {instance.root_directory}; runs older than {days:g} days go ..."
        done = purge(instance, store, House(ROOMS), now=now, older_than=timedelta(days=days), dry_run=dry_run)
    yield _counts("these runs would be deleted" if dry_run else "runs deleted", "job", done.deleted)
    yield _counts("old runs that stay", "because they have the", done.kept)
    if dry_run:
        yield "nothing was deleted"
        return
    if done.evaluations:
        yield f"{done.evaluations:,} superseded evaluations of checks outside of runs deleted, too"
    yield f"size before: {_mb(done.before)}, after: {_mb(done.after)}"
    if done.unused:
        yield (
            f"{_mb(done.unused)} more are unused inside the database files: they are given back when nothing else runs"
        )


def _counts(title: str, what: str, counts: Counter[str]) -> Table:
    table = table_of(f"{title}: {counts.total():,}", what, "runs")
    for name, count in counts.most_common():
        table.add_row(name, f"{count:,}")
    return table


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
