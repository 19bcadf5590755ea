"""Whether the process of a run lives: it holds a lock on a file of the run's own, and loses it however it ends.

The files are in DAGSTER_HOME/storage/alive. Who shares that folder sees each other, whatever their process ids mean:
`dagster dev` and `dagster job execute` on one machine, the containers of one compose project. A process that is
stopped, swapped out or without its database keeps its lock, and no clock has a say, so that no run that lives is taken
for dead. The folder must be on a disk of the machine: over NFS a lock can be lost.

Where a run has no file here (another machine, a pod, an earlier version) it may live unseen: it is only ended before
its steps have begun, for then it does not begin them. A file that another user's process holds and that may not be
opened here counts as held. Kubernetes' launcher checks its pods itself.
"""

import fcntl
import logging
import os
import socket
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, cast

import dagster as dg

from tokenomics_dagster.kit.dagster_internals import has_process_at_its_server, held_open, instance_errors
from tokenomics_dagster.storage import private

if TYPE_CHECKING:
    from tokenomics_dagster.kit.dagster_internals import (
        ExecutionPlan,
        PlanOrchestrationContext,
        RetryMode,
        StepDependencyConfig,
    )

log = logging.getLogger("tokenomics.alive")

DEAD = "tokenomics/dead"
"""Tag of the runs that were ended here."""
CALLED_OFF = "tokenomics/called_off"
"""Tag of the runs that were ended before they came into the queue; its value is the run, for runs that are made from
one inherit its tags."""

LOOK_S = 20
UNQUEUED = timedelta(minutes=2)  # a launch takes seconds; Dagster fails it after start_timeout_seconds, 3 minutes
UNSEEN = timedelta(minutes=15)  # without an event, before a person is asked: a symbol of a sweep takes seconds

_BY_DAGSTER = {
    "dagster/schedule_name",
    "dagster/sensor_name",
    "dagster/backfill",
    "dagster/retry_number",
    "dagster/auto_materialize",
    "dagster/from_automation_condition",
}
_STATUSES = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_by_hand: set[str] = set()  # runs for which a person waits at this process
_held: dict[str, int] = {}  # run -> handle; until the end of the process, for a run ends after its last step


class RunEnded(RuntimeError):
    """The run was ended before its process came to its steps."""


def dead(instance: dg.DagsterInstance) -> list[str]:
    """The runs whose process has gone without having ended them."""
    return [path.name for path in _files(instance) if not _is_held(path)]


def end_dead(instance: dg.DagsterInstance) -> list[str]:
    """Ends the runs that are dead and frees what they held; returns a sentence on each of them.

    Costs no query while all live, and the last slots of a run that ended well are freed too.
    """
    return [said for path in _files(instance) if (said := _end_if_dead(instance, path))]


def end_unstarted(instance: dg.DagsterInstance, before: Collection[str]) -> tuple[list[str], list[str]]:
    """Of the runs whose lock cannot be seen, and no code server knows them: the ended, a sentence each, and the others.

    Ended is who was among the others at the look `before` as well and has not come to its first step. A process that
    comes after all finds its run ended and does nothing: no run loses work that it has done.
    """
    ended, others = [], []
    for run in _unlocked(instance):
        if has_process_at_its_server(run):
            continue
        # A file that may not be opened is some process's, which has come to the run.
        if run.run_id not in before or _file(instance, run.run_id).exists() or _has_begun(instance, run):
            others.append(run.run_id)
        elif said := _end(instance, run, "no process has come to its first step and its code server knows of none"):
            ended.append(said)
    return ended, others


def end_unqueued(instance: dg.DagsterInstance) -> list[str]:
    """Ends the runs that a person has launched and that never came into the queue; returns a sentence on each.

    Where the database goes away between the two the launch answers with an error, and the run stays. Dagster would take
    it for one that failed, and may start it again, long after that person has given up or launched another. What a
    schedule, a sensor, a backfill, a retry or an automation condition has made stays: each goes on with its own where
    it was.
    """
    waiting = dg.RunsFilter(statuses=[dg.DagsterRunStatus.NOT_STARTED], created_before=datetime.now(UTC) - UNQUEUED)
    ended = []
    for run in instance.get_runs(waiting):
        if _BY_DAGSTER.isdisjoint(run.tags):
            said = (
                f"run {run.run_id} of {run.job_name} never came into the queue: its launch was answered with an error, "
                "or its process ended before its first step; nothing was done, launch it again"
            )
            # A launch that hung this long may go on all the same: its run then ends before its first step.
            instance.add_run_tags(run.run_id, {CALLED_OFF: run.run_id})
            instance.report_run_canceled(run, said)
            ended.append(said)
    return ended


def unseen(instance: dg.DagsterInstance) -> dict[str, str]:
    """The runs that have been silent for long and of which nobody here can tell whether they live; what is known."""
    now, found = datetime.now(UTC), {}
    for run in _unlocked(instance):
        last = _last_event(instance, run)
        at = datetime.fromtimestamp(last.timestamp, UTC) if last else now
        if now - at > UNSEEN and not has_process_at_its_server(run):
            found[run.run_id] = (
                f"run {run.run_id} of {run.job_name} ({run.status.value}) has said nothing since {at:%Y-%m-%d %H:%M} "
                "UTC, and nobody here can see whether its process lives"
            )
    return found


@contextmanager
def holding(instance: dg.DagsterInstance, run_id: str, *, by_hand: bool = False) -> Iterator[list[str]]:
    """The run is this process's until the block ends; gives a sentence on each dead run that was ended before.

    While it lasts those that die are ended here, for a run that waits for their slot may have no daemon beside it.
    `by_hand`: a person waits for it, whose Ctrl-C cancels it. Any other interruption is a machine's, and a failure that
    Dagster may retry.
    """
    _claim(instance, run_id)
    if by_hand:
        _by_hand.add(run_id)
    try:
        ended = end_dead(instance)
        with _watching(instance):
            yield ended
    except KeyboardInterrupt:  # before its first step, or after its last
        run = instance.get_run_by_id(run_id) if by_hand else None
        if run is not None and not run.is_finished:
            instance.report_run_canceled(run)
        raise
    finally:
        _by_hand.discard(run_id)
        if run_id in _held:
            _file(instance, run_id).unlink(missing_ok=True)
            os.close(_held.pop(run_id))


class _Executor(dg.Executor):
    """Another executor, with the run held by this process from before its first step."""

    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> "RetryMode":
        return self._inner.retries

    @property
    def step_dependency_config(self) -> "StepDependencyConfig":
        return self._inner.step_dependency_config

    def execute(self, plan_context: "PlanOrchestrationContext", execution_plan: "ExecutionPlan") -> Iterator[Any]:
        instance, run_id = plan_context.instance, plan_context.run_id
        _claim(instance, run_id)
        for said in end_dead(instance):
            plan_context.log.warning(said)
        # Last, for ending others may take long, and another machine does not see this one's lock.
        run = instance.get_run_by_id(run_id)
        if run is not None and (run.is_finished or run.tags.get(CALLED_OFF) == run_id):
            raise RunEnded(f"run {run_id} was ended ({run.status.value}) before it came to its first step")
        with held_open(instance, run_id), _watching(instance), _cancelable(instance, run_id):
            yield from self._inner.execute(plan_context, execution_plan)


@contextmanager
def _cancelable(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Dagster fails a run that is interrupted unless somebody has asked before that it be canceled: here that is who
    has pressed Ctrl-C."""
    try:
        yield
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        run = instance.get_run_by_id(run_id) if run_id in _by_hand else None
        if run is not None and not run.is_finished:
            instance.report_run_canceling(run, message="Ctrl-C: the run is being canceled.")
        raise


def was_canceled(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status == dg.DagsterRunStatus.CANCELED


def _create(context: dg.InitExecutorContext) -> dg.Executor:
    create = dg.in_process_executor.executor_creation_fn
    assert create is not None
    return _Executor(create(context))


in_process = dg.ExecutorDefinition(
    name=dg.in_process_executor.name,
    config_schema=cast("Any", dg.in_process_executor.config_schema),
    executor_creation_fn=_create,
    description="Dagster's own, in one process, for runs that are seen to live.",
)


@contextmanager
def _watching(instance: dg.DagsterInstance) -> Iterator[None]:
    over, errors = Event(), instance_errors()

    def watch() -> None:
        while not over.wait(LOOK_S):
            try:
                for said in end_dead(instance):
                    log.warning(said)
            except errors as error:
                log.warning("whether other runs live cannot be told now: %s", " ".join(str(error).split()))

    thread = Thread(target=watch, name="alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LOOK_S)


def _folder(instance: dg.DagsterInstance) -> Path:
    return Path(instance.storage_directory()) / "alive"


def _file(instance: dg.DagsterInstance, run_id: str) -> Path:
    return _folder(instance) / run_id


def _files(instance: dg.DagsterInstance) -> list[Path]:
    """The file of each run that is, or was, some process's; a name with a dot is one that is being made.

    None where the folder is another user's: what is in it is told as `unseen`.
    """
    try:
        return sorted(path for path in _folder(instance).iterdir() if "." not in path.name)
    except (FileNotFoundError, PermissionError):
        return []


def _claim(instance: dg.DagsterInstance, run_id: str) -> None:
    if instance.is_ephemeral or run_id in _held:
        return
    path = _file(instance, run_id)
    try:
        folder = path.parent
        missing = [one for one in folder.parents if not one.exists()]
        private.make_folder(folder)
        private.tighten_folder(folder)  # earlier versions made it by the umask
        # Seen under its name only once it is locked: else it would be one moment that of a dead run.
        made = path.with_name(f"{run_id}.{os.getpid()}")
        handle = os.open(made, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        _give(made, folder, *missing)
        os.write(handle, f"pid {os.getpid()} on {socket.gethostname()}".encode())
        made.rename(path)
    except OSError as error:
        log.warning("if this process dies nobody sees it: %s", error)
        return
    _held[run_id] = handle


def _give(*made: Path) -> None:
    """What root makes is the platform's user's, who must see whether root's run lives: the owner's of what is above."""
    if os.geteuid() == 0:
        owner = made[-1].parent.stat()
        with suppress(PermissionError):  # a root of a container that may not
            for path in made:
                os.chown(path, owner.st_uid, owner.st_gid)


@contextmanager
def _free(path: Path, kind: int) -> Iterator[bool]:
    """Whether nobody holds the file, which then is held here; what may not be opened counts as held."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, PermissionError):
        yield False
        return
    with closing(os.fdopen(handle, "rb")):
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            free = os.fstat(handle).st_ino == path.stat().st_ino
        except (BlockingIOError, FileNotFoundError, PermissionError):
            free = False
        yield free


def _is_held(path: Path) -> bool:
    with _free(path, fcntl.LOCK_SH) as free:
        return not free


def _end_if_dead(instance: dg.DagsterInstance, path: Path) -> str | None:
    with _free(path, fcntl.LOCK_EX) as free:
        if not free:
            return None
        run = instance.get_run_by_id(path.name)
        why = f"its process ({path.read_text()}) is gone without having ended it"
        said = None if run is None else _end(instance, run, why)
        instance.event_log_storage.free_concurrency_slots_for_run(path.name)
        with suppress(PermissionError):  # in a folder of another user's: looked at again, and found ended
            path.unlink(missing_ok=True)
    return said


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun, why: str) -> str | None:
    """Ends the run, unless it has ended, and frees what it holds; returns what is said of it."""
    if run.is_finished:
        return None
    said = (
        f"run {run.run_id} of {run.job_name} is dead: {why}; it was killed, ran out of memory, or its machine was "
        "restarted. Its slots are free, what it has stored is kept, and the next run goes on where it was"
    )
    # A run without an origin cannot be started again by Dagster, which would promise it all the same.
    again = {} if run.remote_job_origin else {"dagster/max_retries": "0"}
    instance.add_run_tags(run.run_id, {DEAD: "true", **again})
    if run.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, said)
    else:
        instance.report_run_failed(run, said)
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return said


def _unlocked(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The runs that are under way and have no file that can be looked at here, unless the launcher checks its workers.

    Which launcher it is, is read from the configuration: to build Kubernetes' takes a token of the cluster, which a
    code server does not have.
    """
    launcher = instance.get_ref().run_launcher_data if instance.is_persistent else None
    if launcher is not None and launcher.class_name != "DefaultRunLauncher":
        return []
    runs = instance.get_runs(dg.RunsFilter(statuses=_STATUSES))
    # Looked for after the query: a run that has claimed its file since then has one.
    return [run for run in runs if not os.access(_file(instance, run.run_id), os.R_OK, effective_ids=True)]


def _last_event(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.EventLogEntry | None:
    records = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
    return records[0].event_log_entry if records else None


def _has_begun(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the run may have come to its steps: after its start the first thing that it says is who executes them."""
    if not instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_START, limit=1).records:
        return False
    last = _last_event(instance, run)
    event = last and last.dagster_event
    return event is None or event.event_type != dg.DagsterEventType.RUN_START
