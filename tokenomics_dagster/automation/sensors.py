"""What starts because something else has ended."""

import dagster as dg

from tokenomics_dagster.automation import jobs
from tokenomics_dagster.storage.resources import WarehouseResource


@dg.sensor(
    job=jobs.score,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="A finished sweep of financials that has not been scored starts `score`, once.",
)
def scores_when_complete(warehouse: WarehouseResource) -> dg.RunRequest | dg.SkipReason:
    store = warehouse.open()
    sweep = store.latest_sweep()
    if sweep is None:
        return dg.SkipReason("financials were never swept")
    if sweep.finished_at is None:
        return dg.SkipReason(f"the sweep that began {sweep.started_at:%Y-%m-%d %H:%M} UTC has not finished")
    if any(scores.as_of >= sweep.finished_at for scores in store.history("scores", limit=1)):
        return dg.SkipReason(f"the sweep that ended {sweep.finished_at:%Y-%m-%d %H:%M} UTC has been scored")
    return dg.RunRequest(run_key=f"sweep-{sweep.id}")
