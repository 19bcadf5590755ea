"""What is wrong now: stale assets, failed runs, failed checks, a halt. Found here, told by alerts.py.

One cause is one problem: a failed run is told with the checks that failed in it and with what has gone stale by it, and
what is stale because something before it is, is not told on its own.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from tokenomics_dagster.automation.clock import behind
from tokenomics_dagster.automation.jobs import MAKES, assets_of, in_flight, job_of
from tokenomics_dagster.automation.sweeps import coverage, figures_since
from tokenomics_dagster.automation.timetable import age_limits
from tokenomics_dagster.execution.week import week_state
from tokenomics_dagster.kit import alive
from tokenomics_dagster.kit.alerts import Problem, run_link
from tokenomics_dagster.model import calendar
from tokenomics_dagster.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

    from tokenomics_dagster.storage.warehouse import Warehouse

HALT, BROKER, WEEK = "halt", "broker", "week"
SETTINGS, RUN, RUNS = "settings", "run", "runs"
_INTERRUPTS = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
SCORE_TRIES = 3  # of one and the same figures, while what fails is no check

_TRADED = "check:orders:traded"
_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
_LOOKED_AT = 50  # finished runs of a kind; a person who repairs symbol by symbol makes many
_PUBLISHED = {"published_universe": "universe", "published_scores": "scores"}
_JOB_OF = {asset: job for job, assets in MAKES.items() for asset in assets}
_REMEDIES = {
    "universe_refresh": "run universe_refresh again once the cause is gone: it goes on where it was",
    "fundamentals_refresh": "run fundamentals_refresh again once the cause is gone: it asks only for what is missing",
    "score": "repair what a check names, and scores_when_complete starts `score` again; what no check has refused it "
    f"tries {SCORE_TRIES} times in all: after that run score once the cause is gone",
    "rebalance": "read why, in the run: the schedule tries again in each session of the week and sends nothing twice",
}
# Of checks that failed in a run that did not.
_CHECK_REMEDIES = {
    _TRADED: _REMEDIES["rebalance"],
    "check:portfolio_report:cash": "what a rule of the plan leaves as cash stays so in each run: lower the rule, hold "
    "fewer names (rebalancing.top_n_stocks), pay more in, or let it be (guards.max_cash_off_pct); only what "
    "orders.traded tells is tried again, in the week's later sessions",
}
# What was fetched and stored is not missing: the next sweep would leave it.
_ASK_ANEW = {f"financials.{name}" for name in ("schema", "present", "medians", "varied", "own")}


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
    jobs: Iterable[str],
    store: "Warehouse",
    now: datetime | None,
    settings: Settings,
) -> Findings:
    """Everything that is wrong at `now`, the broker's time; without it (None) nothing is said about ages.

    `graph` tells the assets, what they are made from and their checks. Raises WarehouseError.
    """
    problems: dict[str, Problem] = {}
    busy = in_flight(instance)
    # What runs may end as badly as it did before, or well: only its end tells.
    undecided = {job_key(job) for job in busy} | {
        check_key(key) for key in graph.asset_check_keys if _JOB_OF.get(key.asset_key.to_user_string()) in busy
    }
    checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(sorted(graph.asset_check_keys))
    undecided |= {check_key(key) for key, record in checks.items() if record.status.value == "PLANNED"}
    failed_checks = {key: record for key, record in checks.items() if _is_error(record)}
    failures = dict(_failures(instance, jobs, undecided))

    silent = _silent_runs(instance, settings)
    problems |= silent
    if RUNS in silent:
        undecided.add(RUN)
    halt = store.halted()
    if halt is not None:
        head = store.audit_head()
        problems[HALT] = Problem(
            "trading is halted",
            # The head outside of the database: who removes the halt from it is found by `audit verify --head`.
            f"{halt.reason} (by {halt.by}, {halt.at:%Y-%m-%d %H:%M} UTC); the audit has {head.count} records, the last "
            f"one's hash is {head.hash}",
            'when the cause is gone: tokenomics resume "reason"',
            settings.alerts.ui_url,
        )
        failures.pop("rebalance", None)
        undecided.add(job_key("rebalance"))
    sweep = store.latest_sweep()
    refresh = failures.get("fundamentals_refresh")
    if refresh and sweep and sweep.run_id == refresh.run_id and coverage(store, sweep, settings).enough:
        # A few symbols that could not be fetched fail the run, for all to see, but not the sweep.
        # Those that fail for long are told by their own check.
        del failures["fundamentals_refresh"]
    if "score" in failures and any(_bars_scores(key) for key in failed_checks):
        del failures["score"]
        undecided.add(job_key("score"))

    stale: dict[str, str] = {}
    if now is None:
        undecided |= {job_key(job) for job in MAKES}
    else:
        made = _made_at(instance, store, settings)
        ahead = behind(made, now)
        if ahead is not None:
            problems[BROKER] = Problem(
                "the broker's clock is behind what was made by it",
                ahead,
                "see the broker's status page and ALPACA_TRADING_URL; what is due before then counts as done",
                settings.alerts.ui_url,
            )
        stale, followers = _stale(graph, store, made, now, settings)
        undecided |= {job_key(job) for job in followers}
    week = None if now is None else _week_that_ends_undone(store, now, settings)
    told = {failure.run_id for failure in failures.values()}
    for job in {**failures, **stale}:
        failure, ages = failures.get(job), stale.get(job, "")
        if failure is None:
            problems[job_key(job)] = Problem(
                f"{job} is overdue",
                ages,
                f"see in the UI whether the daemon runs and the schedule is on, then run {job}",
                f"{settings.alerts.ui_url.rstrip('/')}/assets/{MAKES[job][0]}",
            )
            continue
        broken = [_name(key) for key, record in failed_checks.items() if record.run_id == failure.run_id]
        named = f"failed checks: {', '.join(sorted(broken))}" if broken else ""
        problems[job_key(job)] = Problem(
            f"{job} failed",
            "; ".join(part for part in (failure.reason, named, ages) if part),
            _remedy(job, broken),
            run_link(settings.alerts, failure.run_id),
        )
    for key, record in failed_checks.items():
        if record.run_id not in told:
            evaluation = record.evaluation
            problems[check_key(key)] = Problem(
                f"check {_name(key)} failed",
                (evaluation and evaluation.description) or "it says no more; its figures are in the run",
                _remedy_of_check(key),
                _check_link(settings, key, record.run_id),
            )
    if week is not None:
        problems[WEEK] = week
        # The same, told once more because nothing tries again.
        problems.pop(_TRADED, None)
        undecided.add(_TRADED)
    elif "rebalance" in busy or now is None:
        undecided.add(WEEK)
    return Findings(problems, frozenset(undecided))


def _silent_runs(instance: dg.DagsterInstance, settings: Settings) -> dict[str, Problem]:
    """The runs that may be dead; a look that fails is a problem itself, and must not end the telling of all others."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        unseen = alive.unseen(instance)
    except (OSError, ValueError, SQLAlchemyError, dg.DagsterError) as error:
        return {
            RUNS: Problem(
                "nobody can see whether runs are dead",
                f"the look at the runs failed ({type(error).__name__}): {' '.join(str(error).split())}",
                "see in the UI whether a run has said nothing for long; if its process is gone, terminate it there, by "
                "force",
                f"{settings.alerts.ui_url.rstrip('/')}/runs",
            )
        }
    return {
        run_key(run_id): Problem(
            "a run may be dead",
            f"{what}; until it ends it keeps its slots",
            "if its process is gone, terminate the run in the UI, by force; its job then goes on where it was",
            run_link(settings.alerts, run_id),
        )
        for run_id, what in unseen.items()
    }


def _week_that_ends_undone(store: "Warehouse", now: datetime, settings: Settings) -> Problem | None:
    """What the running week has not traded, once no session is left that tries again; of failed runs others tell."""
    week = week_state(store, calendar.week_of(now), settings.guards)
    if week.done or week.fulfilment is None or not week.is_over(now):
        return None
    return Problem(
        f"the week of {week.monday} ends with {week.fulfilment.untraded_pct:.0f} % of its plan not traded",
        week.fulfilment.sentence(settings.guards),
        "look at the reasons; run rebalance by hand while the market is open, or leave it to the next week, whose plan "
        "is made from what is held then",
        f"{settings.alerts.ui_url.rstrip('/')}/assets/orders?view=checks",
    )


def job_key(job: str) -> str:
    return f"job:{job}"


def run_key(run_id: str) -> str:
    return f"{RUN}:{run_id}"


def check_key(key: dg.AssetCheckKey) -> str:
    return f"check:{key.asset_key.to_user_string()}:{key.name}"


def _name(key: dg.AssetCheckKey) -> str:
    return f"{key.asset_key.to_user_string()}.{key.name}"


def _remedy(job: str, broken: Iterable[str]) -> str:
    if _ASK_ANEW & set(broken):
        return (
            "look at what Finnhub sends; once it is right, run fundamentals_refresh with the run config "
            "ops.financials.config.again: true"
        )
    return _REMEDIES.get(job, f"run {job} again once the cause is gone")


def _remedy_of_check(key: dg.AssetCheckKey) -> str:
    """Of one that failed in a run that did not: after a rebalance nothing tries again, but for what was not traded."""
    job = _JOB_OF[key.asset_key.to_user_string()]
    if job != "rebalance":
        return _remedy(job, [_name(key)])
    return _CHECK_REMEDIES.get(
        check_key(key),
        f"see what docs/operations.md says of {_name(key)}; the schedule tries again only a week that is not done",
    )


def _check_link(settings: Settings, key: dg.AssetCheckKey, run_id: str) -> str:
    """The run of the check, else its asset's page: `scores` tells the checks of financials beside its run."""
    if run_id:
        return run_link(settings.alerts, run_id)
    return f"{settings.alerts.ui_url.rstrip('/')}/assets/{key.asset_key.to_user_string()}?view=checks"


def _is_error(record: "AssetCheckExecutionRecord") -> bool:
    if record.status.value != "FAILED":
        return False
    return record.evaluation is None or record.evaluation.severity == dg.AssetCheckSeverity.ERROR


def _bars_scores(key: dg.AssetCheckKey) -> bool:
    """`scores` looks for itself at what these checks look at: what they tell is why it failed."""
    from tokenomics_dagster.fundamentals.checks import FINANCIALS

    refusing = {rule.name for rule in FINANCIALS if rule.effect == "refuses"}
    return key.asset_key.to_user_string() == "financials" and key.name in refusing


def _failures(instance: dg.DagsterInstance, jobs: Iterable[str], undecided: set[str]) -> Iterator[tuple[str, _Failure]]:
    """The jobs whose last finished run failed. A run that Dagster starts again has not finished."""
    by_hand = _finished(instance, "__ASSET_JOB")
    for job in jobs:
        runs = [run for run in by_hand if job_of(run.dagster_run) == job] + _finished(instance, job)
        made_since: set[str] = set()
        for record in sorted(runs, key=lambda one: one.storage_id, reverse=True):
            run = record.dagster_run
            if run.status == dg.DagsterRunStatus.SUCCESS:
                made_since |= assets_of(run) or {job}
                continue
            failed, reason = _failed_steps(instance, run)
            if made_since and failed <= made_since:
                break
            # What was killed is told even so: nobody who restarts a machine should wonder what became of its runs.
            if run.tags.get("dagster/will_retry") == "true" and alive.DEAD not in run.tags:
                undecided.add(job_key(job))
            else:
                yield job, _Failure(run.run_id, reason)
            break


def _finished(instance: dg.DagsterInstance, job: str) -> list[dg.RunRecord]:
    return list(instance.get_run_records(dg.RunsFilter(job_name=job, statuses=_FINISHED), limit=_LOOKED_AT))


def refused(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the run ended because a check or a guard of ours refused, and by no fault."""
    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=20).records
    events = [event for record in records if (event := record.event_log_entry.dagster_event) is not None]
    return any(event.step_failure_data.user_failure_data is not None for event in events)


def _failed_steps(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[set[str], str]:
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


def _stale(
    graph: "AssetGraph", store: "Warehouse", made: dict[str, datetime | None], now: datetime, settings: Settings
) -> tuple[dict[str, str], set[str]]:
    """By their jobs: which assets are older than they may be, and what is stale by them; and the jobs of the latter."""
    limits = age_limits(settings)
    stale: dict[str, str] = {}
    roots: dict[str, list[str]] = {}
    follow: dict[str, list[str]] = {}
    for key in graph.toposorted_asset_keys:
        asset, parents = key.to_user_string(), [parent.to_user_string() for parent in graph.get(key).parent_keys]
        if asset not in limits:
            continue
        at = made[asset] or _due_since(store, [parent for parent in parents if made.get(parent) is not None])
        if at is None or now - at <= limits[asset].fail:
            continue
        days, allowed = (now - at) / timedelta(days=1), limits[asset].fail / timedelta(days=1)
        verb = "was made" if made[asset] else "was never made, though it could have been"
        stale[asset] = f"{asset} {verb} {days:.1f} days ago, {allowed:g} are allowed"
        above = [job for job, below in follow.items() if set(parents) & set(below)]
        if above:
            follow[above[0]].append(asset)
        else:
            job = _JOB_OF[asset]
            roots.setdefault(job, []).append(asset)
            follow.setdefault(job, []).append(asset)
    told = {
        job: "; ".join(stale[asset] for asset in assets) + _also(set(follow[job]) - set(assets))
        for job, assets in roots.items()
    }
    return told, {_JOB_OF[asset] for asset in stale} - told.keys()


def _also(assets: set[str]) -> str:
    return f"; stale by it: {', '.join(sorted(assets))}" if assets else ""


def _made_at(instance: dg.DagsterInstance, store: "Warehouse", settings: Settings) -> dict[str, datetime | None]:
    """When each asset was last made, by the broker's clock: Dagster's own events have the machine's."""
    made: dict[str, datetime | None] = {}
    for asset in _JOB_OF:
        if asset == "financials":
            made[asset] = figures_since(store, settings)
        else:
            source = _PUBLISHED.get(asset, asset)
            newest = store.history(source, limit=2)
            if asset != source:
                newest = newest[_versions_behind(instance, asset, source) :]
            made[asset] = newest[0].as_of if newest else None
    return made


def _versions_behind(instance: dg.DagsterInstance, published: str, source: str) -> int:
    """0 when the newest snapshot was published, 1 when at most the one before, 2 when none was."""
    keys = [dg.AssetKey(published), dg.AssetKey(source)]
    events = instance.get_latest_materialization_events(keys)
    last, newest = (events.get(key) for key in keys)
    if last is None:
        return 2
    return 1 if newest is not None and last.timestamp < newest.timestamp else 0


def _due_since(store: "Warehouse", parents: list[str]) -> datetime | None:
    """Since when an asset that was never made could have been: since the first of the last of its parents."""
    first = []
    for parent in parents:
        sweep = store.latest_sweep(finished=True) if parent == "financials" else None
        at = sweep.finished_at if sweep else None
        history = store.history(_PUBLISHED.get(parent, parent))
        first.append(history[-1].as_of if history else at)
    return max((at for at in first if at is not None), default=None)
