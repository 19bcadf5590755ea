"""The cycle at once: the jobs of the house that are in it, in this process, in the order of the data's way, and what
came of the whole. Which of them a person's first portfolio needs is in start.py.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from tokenomics_dagster.definitions import ROOMS, build_defs
from tokenomics_dagster.kit.outcome import Outcome
from tokenomics_dagster.kit.room import House, Job, Room
from tokenomics_dagster.operations.common import OperationRefused, failure_of, open_store, progress, run_job
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    import dagster as dg


@dataclass(frozen=True, slots=True)
class Cycle:
    """What each job took, in seconds, and all together as "total"; what came of each room that tells it."""

    seconds: Mapping[str, float]
    outcomes: Sequence[Outcome]


def run_cycle(
    instance: "dg.DagsterInstance",
    settings: Settings,
    now: datetime,
    *,
    say: Callable[[str], None],
    rooms: Sequence[Room] = ROOMS,
) -> Cycle:
    """Runs all of the cycle, as `run_jobs` does, and asks the rooms what came of it."""
    seconds = run_jobs(instance, settings, now, cycle_of(rooms), say=say, rooms=rooms)
    with closing(open_store(settings)) as store:
        return Cycle(seconds, [room.outcome(store, now) for room in rooms if room.outcome is not None])


def cycle_of(rooms: Sequence[Room] = ROOMS) -> dict[str, Job]:
    """The jobs that a week's portfolio rests on, by name."""
    return {name: job for name, job in House(rooms).jobs.items() if job.in_cycle}


def run_jobs(
    instance: "dg.DagsterInstance",
    settings: Settings,
    now: datetime,
    jobs: Mapping[str, Job],
    *,
    say: Callable[[str], None],
    rooms: Sequence[Room] = ROOMS,
) -> dict[str, float]:
    """Runs the jobs, those with partitions in time for the one of `now`, the broker's clock; what each took, in
    seconds, and all together as "total".

    Raises OperationRefused, which names the job and why, when one has failed and its work does not count all the same.
    """
    import dagster as dg

    platform = build_defs(settings, rooms=rooms)
    started, seconds = time.monotonic(), dict[str, float]()
    with progress(say):
        for name, job in jobs.items():
            begun = time.monotonic()
            say(f"{name} ...")
            run_id = str(uuid4())
            partitions, partition = platform.resolve_job_def(name).partitions_def, None
            if isinstance(partitions, dg.TimeWindowPartitionsDefinition):
                partition = partitions.get_partition_keys(current_time=now)[-1]
            run = run_job(platform, instance, name, run_id, partition=partition)
            seconds[name] = round(time.monotonic() - begun, 2)
            if not run.success:
                # As automation does: a sweep that lacks a few symbols is scored all the same.
                if not _counts(job, run_id, settings):
                    raise OperationRefused(f"{name} failed in {failure_of(run)}")
                say(failure_of(run))
            say(f"{name} done in {seconds[name]:.1f} s")
    seconds["total"] = round(time.monotonic() - started, 2)
    return seconds


def _counts(job: Job, run_id: str, settings: Settings) -> bool:
    if job.counts is None:
        return False
    with closing(open_store(settings)) as store:
        return job.counts(store, run_id, settings)
