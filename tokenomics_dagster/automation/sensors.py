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


@dg.sensor(
    job=jobs.rebalance,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="A plan that a person has approved is carried out as it is, once.",
)
def approved_plans(warehouse: WarehouseResource) -> dg.RunRequest | dg.SkipReason:
    store = warehouse.open()
    approval = store.approval()
    if approval is None:
        return dg.SkipReason("no plan was ever approved")
    week = approval.plan_id[:10]
    plans = store.history("trade_plan", partition=week, limit=1)
    if not plans or plans[0].details["plan"]["plan_hash"] != approval.plan_hash:
        return dg.SkipReason(f"{approval.plan_id}, approved last, has been replaced by a newer plan")
    if any(orders.details["plan_id"] == approval.plan_id for orders in store.history("orders", partition=week)):
        return dg.SkipReason(f"{approval.plan_id}, approved last, has been carried out")
    return dg.RunRequest(
        run_key=f"{approval.plan_id}-{approval.at.isoformat()}",
        partition_key=week,
        # The plan itself must not be made anew: an approval holds for its hash only.
        asset_selection=[dg.AssetKey("orders"), dg.AssetKey("portfolio_report")],
    )
