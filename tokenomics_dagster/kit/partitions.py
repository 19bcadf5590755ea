"""The partitions that assets of several rooms share."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from functools import partial

import dagster as dg

from tokenomics_dagster.kit.dagster_internals import log_together
from tokenomics_dagster.model import calendar
from tokenomics_dagster.settings.rebalancing import RebalancingSettings
from tokenomics_dagster.storage.together import together

SYMBOLS = "symbols"
A_WEEK = "2026-08-24 (its Monday)"
"""How the key of a week looks, for who has named none."""
_LOG_EVERY_S = 1.0  # a person who watches a sweep sees each symbol that late
_PAGE = 1_000
# One partition per followed symbol, in the order in which they were first followed.
symbol_partitions = dg.DynamicPartitionsDefinition(name=SYMBOLS)


def rebalance_weeks(settings: RebalancingSettings) -> dg.WeeklyPartitionsDefinition:
    """Keys are Mondays in New York, from `first_week` on. end_offset=1: the running week is traded, not the last."""
    return dg.WeeklyPartitionsDefinition(
        start_date=settings.first_week.isoformat(),
        timezone=str(calendar.NEW_YORK),
        day_offset=1,
        end_offset=1,
    )


def partition_of(context: dg.AssetExecutionContext, example: str) -> str:
    """The partition that a run is for. Raises Failure where it is for none: Dagster starts such a run all the same."""
    if not context.has_partition_key:
        asset = context.asset_key.to_user_string()
        raise dg.Failure(
            f"{asset} is made for one partition at a time, and the run names none: choose one in the UI, or on the "
            f"command line by --partition, such as --partition {example}",
            allow_retries=False,
        )
    return context.partition_key


def logging_together(
    context: dg.AssetExecutionContext,
) -> AbstractContextManager[Callable[[dg.AssetMaterialization], None]]:
    """Logs what it is given, materializations of the running asset, many at once: for one with a partition per symbol.

    What they tell of must be stored before: where the process is killed the last ones are not logged.
    """
    return together(partial(log_together, context), _LOG_EVERY_S)


def newest_materializations(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: Collection[str]
) -> dict[str, dg.AssetMaterialization]:
    """By partition the last one that was logged; without those of which none was."""
    found: dict[str, dg.AssetMaterialization] = {}
    missing, cursor = set(partitions), None
    while missing:
        of_these = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=sorted(missing))
        page = instance.fetch_materializations(of_these, limit=_PAGE, cursor=cursor)
        for record in page.records:
            made = record.asset_materialization
            if made is not None and made.partition in missing:
                missing.remove(made.partition)
                found[made.partition] = made
        if not page.has_more:
            break
        cursor = page.cursor
    return found
