"""What is done in the processes of processes.py: a line of JSON tells what, and one answers."""

import json
import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import dagster as dg

from tokenomics_dagster.definitions import build_defs
from tokenomics_dagster.kit import alive, plots
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster_tests.conftest import failure_of

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def job(
    instance: dg.DagsterInstance,
    name: str,
    week: str | None = None,
    config: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Executes a job as a run of the instance; who was killed before is ended first, as by each of the platform's."""
    run_id = str(uuid4())
    with alive.holding(instance, run_id):
        result = (
            build_defs(load_settings())
            .resolve_job_def(name)
            .execute_in_process(
                instance=instance,
                run_id=run_id,
                partition_key=week,
                run_config={**QUIET, **(config or {})},
                raise_on_error=False,
            )
        )
    return {"success": result.success, "why": "" if result.success else failure_of(result)}


def tick(instance: dg.DagsterInstance, schedule: str) -> dict[str, Any]:
    """What a tick of a schedule asks for now, by the broker's clock."""
    made = build_defs(load_settings())
    given: dict[str, Any] = {"resources": made.resources, "repository_def": made.get_repository_def()}
    with dg.build_schedule_context(instance=instance, **given) as context:
        data = made.resolve_schedule_def(schedule).evaluate_tick(context)
    weeks = [request.partition_key for request in data.run_requests or []]
    return {"success": True, "weeks": weeks, "skip": data.skip_message or ""}


def look(instance: dg.DagsterInstance) -> dict[str, Any]:
    """One look of the sensors that tell of problems and follow the universe."""
    made = build_defs(load_settings())
    says = []
    for name in ("symbols_follow_universe", "stale_or_failed"):
        given: dict[str, Any] = {"resources": made.resources, "repository_def": made.get_repository_def()}
        with dg.build_sensor_context(instance=instance, **given) as context:
            data = made.resolve_sensor_def(name).evaluate_tick(context)
        for request in data.dynamic_partitions_requests or []:
            if isinstance(request, dg.AddDynamicPartitionsRequest):
                instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
            else:
                for key in request.partition_keys:
                    instance.delete_dynamic_partition(request.partitions_def_name, key)
        says.append(data.skip_message or "")
    return {"success": True, "says": says}


WORKS: dict[str, Callable[..., dict[str, Any]]] = {"job": job, "tick": tick, "look": look}


def main() -> None:
    # A week has eight pictures of 50 ms each, and nobody looks at them here.
    plots._png = lambda *_, **__: b"not drawn"
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    # What libraries print is no answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with dg.DagsterInstance.get() as instance:
        answers.write("ready\n")
        answers.flush()
        for line in sys.stdin:
            work, arguments = json.loads(line)
            answers.write(json.dumps(WORKS[work](instance, **arguments), default=str) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
