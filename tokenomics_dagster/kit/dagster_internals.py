"""The one place that touches what Dagster does not promise to keep: names of exactly the version that is pinned.

Each stands for something that Dagster has no public way to do, and is tested against the pinned version.
"""

from collections.abc import Iterable

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

__all__ = ["UnresolvedAssetJobDefinition", "backfills_under_way", "mark_failed"]


def mark_failed(context: dg.AssetExecutionContext, partitions: Iterable[str]) -> None:
    """Makes exactly these partitions of the running asset failed in the UI.

    For Dagster a partition has failed when a run that failed had planned it and did not materialize it; a run that
    names no partitions plans none, and there is no public way to plan one.
    """
    from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent

    for partition in partitions:
        planned = AssetMaterializationPlannedData(context.asset_key, partition=partition)
        event = DagsterEvent.build_asset_materialization_planned_event(
            context.job_name, context.op_execution_context.op.name, planned
        )
        context.instance.report_dagster_event(event, context.run.run_id)


def backfills_under_way(instance: dg.DagsterInstance) -> list[str]:
    """The ids of the backfills that have not ended: between two of its runs none may be queued.

    Without the filter, which is not public, every backfill that there ever was would be read.
    """
    from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionsFilter, BulkActionStatus

    unfinished = [status for status in BulkActionStatus if status not in BULK_ACTION_TERMINAL_STATUSES]
    return [one.backfill_id for one in instance.get_backfills(filters=BulkActionsFilter(statuses=unfinished))]
