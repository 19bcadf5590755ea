"""The partitions that assets of several rooms share."""

import dagster as dg

from tokenomics_dagster.model import calendar
from tokenomics_dagster.settings.rebalancing import RebalancingSettings

SYMBOLS = "symbols"
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
