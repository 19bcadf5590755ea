"""The partitions that assets of several rooms share."""

import dagster as dg

from tokenomics_dagster.model import calendar
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

SYMBOLS = "symbols"
A_WEEK = "2026-08-24 (its Monday)"
"""How the key of a week looks, for who has named none."""
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
