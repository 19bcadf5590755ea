"""A run for no partition of an asset that has some is refused in one sentence that says how to name one."""

import dagster as dg

from tokenomics_dagster.kit.partitions import A_WEEK, partition_of
from tokenomics_dagster_tests.conftest import failure_of


def test_a_missing_partition_is_one_sentence(instance: dg.DagsterInstance) -> None:
    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["2026-08-24"]))
    def plan(context: dg.AssetExecutionContext) -> str:
        return partition_of(context, A_WEEK)

    job = dg.Definitions([plan], jobs=[dg.define_asset_job("weekly")]).resolve_job_def("weekly")
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    run = job.execute_in_process(instance=instance, raise_on_error=False, run_config=quiet)
    assert failure_of(run).splitlines()[0] == (
        "plan is made for one partition at a time, and the run names none: choose one in the UI, or on the command "
        "line by --partition, such as --partition 2026-08-24 (its Monday)"
    )
    named = job.execute_in_process(instance=instance, partition_key="2026-08-24", run_config=quiet)
    assert named.output_for_node("plan") == "2026-08-24"
