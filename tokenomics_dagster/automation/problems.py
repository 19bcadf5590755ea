"""What is wrong now: stale assets, failed runs, failed checks, a halt. Found here, told by alerts.py.

One cause is one problem: a failed run is told with the checks that failed in it and with what has gone stale by it, and
what is stale because something before it is, is not told on its own.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from tokenomics_dagster.automation.daemons import daemon_ages, silent
from tokenomics_dagster.automation.retention import PURGE
from tokenomics_dagster.kit import alive
from tokenomics_dagster.kit.alerts import (
    BROKER,
    DAEMON,
    HALT,
    RUN,
    RUNS,
    Problem,
    check_key,
    job_key,
    run_key,
    run_link,
)
from tokenomics_dagster.kit.dagster_internals import BY_HAND
from tokenomics_dagster.kit.room import House, Kept, check_name
from tokenomics_dagster.kit.runs import assets_of, failed_steps, in_flight, job_of
from tokenomics_dagster.kit.skew import ahead_of_clock
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.alerts import AlertSettings

if TYPE_CHECKING:
    from tokenomics_dagster.kit.dagster_internals import AssetCheckExecutionRecord, AssetGraph
    from tokenomics_dagster.storage.warehouse import Warehouse

_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
_LOOKED_AT = 50  # finished runs of a kind; a person who repairs symbol by symbol makes many


@dataclass(frozen=True, slots=True)
class Findings:
    """The problems by their keys, and those whose end cannot be judged now, which stay as they are: their keys, or what
    stands before the colon of all of a kind.
    """

    problems: dict[str, Problem]
    undecided: frozenset[str]

    def over(self, key: str) -> bool:
        return self.undecided.isdisjoint((key, key.partition(":")[0]))


@dataclass(frozen=True, slots=True)
class _Failure:
    run_id: str
    reason: str


def find(
    instance: dg.DagsterInstance,
    graph: "AssetGraph",
    house: House,
    store: "Warehouse",
    now: datetime | None,
    settings: Settings,
) -> Findings:
    """Everything that is wrong at `now`, the broker's time; without it (None) nothing is said about ages.

    `graph` tells what the assets are made from, and their checks; the rooms tell the rest. Raises WarehouseError.
    """
    busy = in_flight(instance, house.jobs.values())
    checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(sorted(graph.asset_check_keys))
    undecided = _under_way(graph, house, busy) | {
        check_key(check_name(key)) for key, record in checks.items() if record.status.value == "PLANNED"
    }
    failed_checks = {key: record for key, record in checks.items() if _is_error(record)}

    if silent(daemon_ages(instance)):
        undecided.add(DAEMON)  # who looks here is a part of it, and told by another process
    problems = _silent_runs(instance, settings.alerts)
    if RUNS in problems:
        undecided.add(RUN)
    failures = dict(_failures(instance, house, undecided))
    if (halt := _halt(store, settings.alerts)) is not None:
        problems[HALT] = halt
    broken = {check_name(key) for key in failed_checks}
    for name, job in house.jobs.items():
        if (halt and job.trades) or (name in failures and broken & set(job.reasons)):
            failures.pop(name, None)
            undecided.add(job_key(name))
        elif name in failures and job.counts is not None and job.counts(store, failures[name].run_id, settings):
            del failures[name]

    stale: dict[str, str] = {}
    if now is None:
        undecided |= {job_key(job) for job in (*house.jobs, *house.assets)}
    else:
        made = _made_at(instance, house, store, settings)
        if (ahead := ahead_of_clock(made, now)) is not None:
            problems[BROKER] = _clock_skew(ahead, settings.alerts)
        stale, followers = _stale(graph, house, store, made, now, settings)
        undecided |= {job_key(job) for job in followers}
    for name in {**failures, **stale}:
        failure, ages = failures.get(name), stale.get(name, "")
        problems[job_key(name)] = _of_job(house, name, failure, ages, failed_checks, settings.alerts)
    described = {failure.run_id for failure in failures.values()}
    problems |= {
        check_key(check_name(key)): _of_check(house, key, record, settings.alerts)
        for key, record in failed_checks.items()
        if record.run_id not in described
    }
    for look in house.looks:
        seen = None if now is None else look.find(store, now, settings)
        if seen is not None:
            problems[look.key] = seen
            problems.pop(check_key(look.instead_of), None)
            undecided.add(check_key(look.instead_of))
        elif look.job in busy or now is None:
            undecided.add(look.key)
    return Findings(problems, frozenset(undecided))


def _under_way(graph: "AssetGraph", house: House, busy: Collection[str]) -> set[str]:
    """What runs may end as badly as it did before, or well: only its end tells."""
    checks = (key for key in graph.asset_check_keys if house.job_of.get(key.asset_key.to_user_string()) in busy)
    return {job_key(job) for job in busy} | {check_key(check_name(key)) for key in checks}


def _clock_skew(ahead: str, settings: AlertSettings) -> Problem:
    return Problem(
        "the broker's clock is behind what was made by it",
        ahead,
        "see the broker's status page and ALPACA_TRADING_URL; what is due before then counts as done",
        settings.ui_url,
    )


def _of_check(
    house: House, key: dg.AssetCheckKey, record: "AssetCheckExecutionRecord", settings: AlertSettings
) -> Problem:
    evaluation = record.evaluation
    return Problem(
        f"check {check_name(key)} failed",
        (evaluation and evaluation.description) or "it says no more; its figures are in the run",
        _remedy_of_check(house, key),
        _check_link(settings, key, record.run_id),
    )


def _halt(store: "Warehouse", settings: AlertSettings) -> Problem | None:
    halt = store.halted()
    if halt is None:
        return None
    head = store.audit_head()
    return Problem(
        "trading is halted",
        # The head outside of the database: who removes the halt from it is found by `audit verify --head`.
        f"{halt.reason} (by {halt.by}, {halt.at:%Y-%m-%d %H:%M} UTC); the audit has {head.count} records, the last "
        f"one's hash is {head.hash}",
        'when the cause is gone: tokenomics resume "reason"',
        settings.ui_url,
    )


def _of_job(
    house: House,
    job: str,
    failure: "_Failure | None",
    ages: str,
    failed_checks: Mapping[dg.AssetCheckKey, "AssetCheckExecutionRecord"],
    settings: AlertSettings,
) -> Problem:
    """A job whose last run failed, with what is stale by it (`ages`), or one that is overdue."""
    if failure is None:
        asset, again = (house.jobs[job].makes[0], "run") if job in house.jobs else (job, "materialize")
        return Problem(
            f"{job} is overdue",
            ages,
            f"see in the UI whether the daemon runs and the schedule is on, then {again} {job}",
            f"{settings.ui_url.rstrip('/')}/assets/{asset}",
        )
    broken = [check_name(key) for key, record in failed_checks.items() if record.run_id == failure.run_id]
    named = f"failed checks: {', '.join(sorted(broken))}" if broken else ""
    return Problem(
        f"{job} failed",
        "; ".join(part for part in (failure.reason, named, ages) if part),
        _remedy(house, job, broken),
        run_link(settings, failure.run_id),
    )


def _silent_runs(instance: dg.DagsterInstance, settings: AlertSettings) -> dict[str, Problem]:
    """The runs that may be dead; a look that fails is a problem itself, and must not end the telling of all others."""
    from tokenomics_dagster.kit.dagster_internals import instance_errors

    errors: tuple[type[Exception], ...] = (ValueError, *instance_errors())
    try:
        unseen = alive.unseen(instance)
    except errors as error:
        return {
            RUNS: Problem(
                "nobody can see whether runs are dead",
                f"the look at the runs failed ({type(error).__name__}): {' '.join(str(error).split())}",
                "see in the UI whether a run has said nothing for long; if its process is gone, terminate it there, by "
                "force",
                f"{settings.ui_url.rstrip('/')}/runs",
            )
        }
    return {
        run_key(run_id): Problem(
            "a run may be dead",
            f"{what}; until it ends it keeps its slots",
            "if its process is gone, terminate the run in the UI, by force; its job then goes on where it was",
            run_link(settings, run_id),
        )
        for run_id, what in unseen.items()
    }


def _remedy(house: House, job: str, broken: Collection[str]) -> str:
    """Of a run that failed, with the checks that are `broken` in it."""
    if job not in house.jobs:
        return f"run {job} again once the cause is gone"
    if not house.jobs[job].remedy_of_checks:
        for check in sorted(broken):
            if check in house.remedies:
                return house.remedies[check]
    return house.jobs[job].remedy


def _remedy_of_check(house: House, key: dg.AssetCheckKey) -> str:
    """Of one that failed in a run that did not."""
    name, asset = check_name(key), key.asset_key.to_user_string()
    if name in house.remedies:
        return house.remedies[name]
    if asset not in house.job_of:
        return f"see what {name} says, and make {asset} again once the cause is gone"
    job = house.jobs[house.job_of[asset]]
    return job.remedy_of_checks.format(check=name) or job.remedy


def _check_link(settings: AlertSettings, key: dg.AssetCheckKey, run_id: str) -> str:
    """The run of the check, else its asset's page: `scores` tells the checks of financials beside its run."""
    if run_id:
        return run_link(settings, run_id)
    return f"{settings.ui_url.rstrip('/')}/assets/{key.asset_key.to_user_string()}?view=checks"


def _is_error(record: "AssetCheckExecutionRecord") -> bool:
    if record.status.value != "FAILED":
        return False
    return record.evaluation is None or record.evaluation.severity == dg.AssetCheckSeverity.ERROR


def _failures(instance: dg.DagsterInstance, house: House, undecided: set[str]) -> Iterator[tuple[str, _Failure]]:
    """The jobs whose last finished run failed. A run that Dagster starts again has not finished."""
    by_hand, jobs = _finished(instance, BY_HAND), house.jobs.values()
    for name in (*house.jobs, PURGE):
        runs = [run for run in by_hand if job_of(run.dagster_run, jobs) == name] + _finished(instance, name)
        made_since: set[str] = set()
        for record in sorted(runs, key=lambda one: one.storage_id, reverse=True):
            run = record.dagster_run
            if run.status == dg.DagsterRunStatus.SUCCESS:
                made_since |= assets_of(run, jobs) or {name}
                continue
            failed, reason = failed_steps(instance, run)
            if made_since and failed <= made_since:
                break
            # What was killed is told even so: nobody who restarts a machine should wonder what became of its runs.
            if run.tags.get("dagster/will_retry") == "true" and alive.DEAD not in run.tags:
                undecided.add(job_key(name))
            else:
                yield name, _Failure(run.run_id, reason)
            break


def _finished(instance: dg.DagsterInstance, job: str) -> list[dg.RunRecord]:
    return list(instance.get_run_records(dg.RunsFilter(job_name=job, statuses=_FINISHED), limit=_LOOKED_AT))


def _stale(
    graph: "AssetGraph",
    house: House,
    store: "Warehouse",
    made: Mapping[str, datetime | None],
    now: datetime,
    settings: Settings,
) -> tuple[dict[str, str], set[str]]:
    """By their jobs: which assets are older than they may be, and what is stale by them; and the jobs of the latter.

    An asset that no job makes stands for itself.
    """
    limits = house.max_ages(settings)
    stale: dict[str, str] = {}
    roots: dict[str, list[str]] = {}
    follow: dict[str, list[str]] = {}
    for key in graph.toposorted_asset_keys:
        asset, parents = key.to_user_string(), [parent.to_user_string() for parent in graph.get(key).parent_keys]
        if asset not in limits:  # made elsewhere: Dagster knows it, for it is named as what an asset is made from
            continue
        at = made[asset] or _due_since(house, store, [parent for parent in parents if made.get(parent) is not None])
        if at is None or now - at <= limits[asset].fail:
            continue
        days, allowed = (now - at) / timedelta(days=1), limits[asset].fail / timedelta(days=1)
        verb = "was made" if made[asset] else "was never made, though it could have been"
        stale[asset] = f"{asset} {verb} {days:.1f} days ago, {allowed:g} are allowed"
        above = [job for job, below in follow.items() if set(parents) & set(below)]
        if above:
            follow[above[0]].append(asset)
        else:
            job = house.job_of.get(asset, asset)
            roots.setdefault(job, []).append(asset)
            follow.setdefault(job, []).append(asset)
    described = {
        job: "; ".join(stale[asset] for asset in assets) + _also(set(follow[job]) - set(assets))
        for job, assets in roots.items()
    }
    return described, {house.job_of.get(asset, asset) for asset in stale} - described.keys()


def _also(assets: set[str]) -> str:
    return f"; stale by it: {', '.join(sorted(assets))}" if assets else ""


def _made_at(
    instance: dg.DagsterInstance, house: House, store: "Warehouse", settings: Settings
) -> dict[str, datetime | None]:
    """When each asset was last made, by the broker's clock: Dagster's own events have the machine's."""
    made: dict[str, datetime | None] = {}
    for asset in house.assets:
        source = house.kept.get(asset, Kept()).publishes
        if source:
            published = store.history(source, limit=2)[_publishing_lag(instance, asset, source) :]
            made[asset] = published[0].as_of if published else None
        else:
            made[asset] = house.made_at(asset, store, settings)
    return made


def _publishing_lag(instance: dg.DagsterInstance, published: str, source: str) -> int:
    """How many snapshots: 0 when the newest was published, 1 when at most the one before, 2 when none was."""
    keys = [dg.AssetKey(published), dg.AssetKey(source)]
    events = instance.get_latest_materialization_events(keys)
    last, newest = (events.get(key) for key in keys)
    if last is None:
        return 2
    return 1 if newest is not None and last.timestamp < newest.timestamp else 0


def _due_since(house: House, store: "Warehouse", parents: list[str]) -> datetime | None:
    """Since when an asset that was never made could have been: since the first of the last of its parents."""
    first = []
    for parent in parents:
        kept = house.kept.get(parent, Kept())
        history = store.versions(kept.publishes or parent)
        at = kept.first_made_at(store) if kept.first_made_at is not None else None
        first.append(history[-1].as_of if history else at)
    return max((at for at in first if at is not None), default=None)
