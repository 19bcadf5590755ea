"""Lets old runs of the instance go on a person's word (`purge`). Which ones is decided in retention.py."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

from tokenomics_dagster.automation.retention import Purged, purge, stored_bytes
from tokenomics_dagster.definitions import ROOMS
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.operations.common import dagster_instance, open_store, progress
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.settings.loading import load_settings


@dataclass(frozen=True, slots=True)
class PurgeBegun:
    """What is about to be done: runs that were last touched more than `older_than_days` ago go from `folder`."""

    folder: str
    stored_bytes: int
    older_than_days: float


def purge_instance(
    older_than_days: float | None, *, dry_run: bool, say: Callable[[str], None]
) -> Iterator[PurgeBegun | Purged]:
    """Tells what begins, which may take long, then what came of it; `None` days: as the settings say."""
    settings = load_settings()
    days = settings.retention.runs_days if older_than_days is None else older_than_days
    with (
        dagster_instance() as instance,
        closing(open_store(settings)) as store,
        AlpacaResource.from_settings(settings) as alpaca,
    ):
        now = alpaca.now()
        yield PurgeBegun(instance.root_directory, stored_bytes(instance), days)
        with progress(say):
            done = purge(instance, store, House(ROOMS), now=now, older_than=timedelta(days=days), dry_run=dry_run)
    yield done
