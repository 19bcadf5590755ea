"""What Dagster's runs stand for and how they ended: which job is under way, what failed in it and why."""

from collections.abc import Iterable

import dagster as dg

from tokenomics_dagster.kit import alive
from tokenomics_dagster.kit.failing import KIND
from tokenomics_dagster.kit.room import Job

# Not those that are NOT_STARTED: they become queued at once, or never did (alive.end_unqueued).
IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_INTERRUPTS = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")


def assets_of(run: dg.DagsterRun, jobs: Iterable[Job]) -> frozenset[str]:
    """What the run makes: the assets that were chosen for it, else those of its job."""
    chosen = {key.to_user_string() for key in run.asset_selection or ()}
    return frozenset(chosen or (asset for job in jobs if job.name == run.job_name for asset in job.makes))


def job_of(run: dg.DagsterRun, jobs: Iterable[Job]) -> str:
    """The job that the run stands for: assets that a person has materialized from their page count as their job's."""
    jobs = tuple(jobs)
    if any(run.job_name == job.name for job in jobs):
        return run.job_name
    assets = assets_of(run, jobs)
    return next((job.name for job in jobs if assets and assets <= set(job.makes)), run.job_name)


def in_flight(instance: dg.DagsterInstance, jobs: Iterable[Job] = ()) -> dict[str, str]:
    """The runs that are queued or running: job -> id of one of them. One whose process is gone does not run.

    `jobs`: those that runs by hand are counted for.
    """
    runs = instance.get_runs(dg.RunsFilter(statuses=IN_FLIGHT))
    dead = alive.dead(instance) if runs else []
    jobs = tuple(jobs)
    return {job_of(run, jobs): run.run_id for run in runs if run.run_id not in dead}


def busy(instance: dg.DagsterInstance, *jobs: Job) -> dg.SkipReason | None:
    """Why nothing is started now that must not run beside one of `jobs`; None when none of them is under way."""
    found = in_flight(instance, jobs)
    for job in jobs:
        if job.name in found:
            return dg.SkipReason(f"run {found[job.name]} of {job.name} is queued or running: it ends first")
    return None


def refused(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the run ended because a check or a guard of ours refused, and by no fault."""
    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=20).records
    events = [event for record in records if (event := record.event_log_entry.dagster_event) is not None]
    told = [event.step_failure_data.user_failure_data for event in events]
    return any(one is not None and KIND not in one.metadata for one in told)


def failed_steps(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[set[str], str]:
    """The assets at which the run failed, and why; none when it failed before or beside its work."""
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    records = instance.get_records_for_run(run.run_id, of_type=kinds, limit=20).records
    events = [event for record in records if (event := record.event_log_entry.dagster_event) is not None]
    steps = [event for event in events if event.is_step_failure]
    if steps:
        return {str(event.step_key) for event in steps}, "; ".join(map(reason_of, steps))
    return set(), "; ".join(event.message or "no reason is known" for event in events) or "no reason is known"


def reason_of(event: dg.DagsterEvent) -> str:
    """The step that failed and why, in one line: what the user's code said, without Dagster's words around it."""
    failure = event.step_failure_data
    error = failure.error
    while error is not None and error.cause is not None and str(error.cls_name).startswith("Dagster"):
        error = error.cause
    name = "" if error is None else str(error.cls_name)
    if failure.user_failure_data and failure.user_failure_data.description:
        text = failure.user_failure_data.description
    elif error is not None and name in _INTERRUPTS:
        text = "it was ended from outside: terminated by somebody, or its machine stopped"
    elif error is not None:
        text = error.message.partition(f"{name}: ")[2].strip()
        if " " not in text:  # a bare key or number, or nothing: no sentence for people
            what = f"{name}: {text}" if text else name
            text = f"the program failed unexpectedly ({what}), and the run's log says where"
    else:
        text = "unknown"
    return f"{event.step_key}: {' '.join(text.split())}"
