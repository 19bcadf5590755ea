"""Which runs count as dead, what is done about them, and that nothing is done to one that may live."""

import importlib
import logging
import os
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.launcher import DefaultRunLauncher
from dagster._core.utils import make_new_run_id

from tokenomics_dagster.interfaces.demo import dagster_home
from tokenomics_dagster.kit import alive
from tokenomics_dagster.kit.dagster_internals import execute_here
from tokenomics_dagster.kit.runs import in_flight
from tokenomics_dagster_tests.automation.conftest import run_of
from tokenomics_dagster_tests.conftest import REPOSITORY

Held = Callable[..., int]


NOBODY = 65534


@pytest.fixture(scope="module")
def made() -> Iterator[dg.DagsterInstance]:
    """With the pools of dagster.yaml, in a folder that nobody else owns but that all reach; a second of CPU."""
    with (
        tempfile.TemporaryDirectory() as folder,
        dg.DagsterInstance.from_config(str(dagster_home(Path(folder)))) as instance,
    ):
        instance.event_log_storage.initialize_concurrency_limit_to_default("finnhub")
        if os.geteuid() == 0:
            for path in (Path(folder), *Path(folder).rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        yield instance


@contextmanager
def not_as_root() -> Iterator[None]:
    """As the owner of the storage, to whom modes mean something."""
    importlib.import_module("dagster._grpc.client")  # what is imported lazily may be root's alone
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def instance(made: dg.DagsterInstance) -> Iterator[dg.DagsterInstance]:
    yield made
    for run in made.get_runs():
        made.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        made.delete_run(run.run_id)


@pytest.fixture
def held_by(instance: dg.DagsterInstance) -> Iterator[Held]:
    """Starts a process that holds a run and does nothing; its id."""
    pids = []

    def start(run: dg.DagsterRun) -> int:
        says, tells = os.pipe()
        pid = os.fork()
        if pid == 0:
            with alive.holding(instance, run.run_id):
                os.write(tells, b"!")
                signal.pause()
            os._exit(0)
        os.read(says, 1)
        os.close(says)
        os.close(tells)
        pids.append(pid)
        return pid

    yield start
    for pid in pids:
        with suppress(ProcessLookupError):
            kill(pid)


@pytest.mark.parametrize(("by_hand", "status"), [(True, "CANCELED"), (False, "FAILURE")])
def test_a_run_is_canceled_by_the_ctrl_c_of_who_waits_for_it_and_failed_by_any_other_interruption(
    instance: dg.DagsterInstance, by_hand: bool, status: str
) -> None:
    """What Dagster may start again is what a machine has interrupted, not what a person has."""

    @dg.asset
    def one() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()

    defs = dg.Definitions([one], jobs=[dg.define_asset_job("job")], executor=alive.in_process)
    run_id = make_new_run_id()
    with alive.holding(instance, run_id, by_hand=by_hand):
        execute_here(defs.resolve_job_def("job"), instance, run_id, partition=None, config={}, tags={})
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert (run.status.value, alive.was_canceled(instance, run_id)) == (status, by_hand)
    assert alive.dead(instance) == []


def test_a_run_that_is_interrupted_before_its_first_step_is_canceled(instance: dg.DagsterInstance) -> None:
    run = run_of("fundamentals_refresh", "STARTING")

    def begin() -> None:
        with alive.holding(instance, run.run_id, by_hand=True):
            instance.add_run(run)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert status_of(instance, run) == "CANCELED"


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def under_way(instance: dg.DagsterInstance, status: str = "STARTED", *, pool: str = "finnhub") -> dg.DagsterRun:
    """A run of fundamentals_refresh with the slot of its pool."""
    run = run_of("fundamentals_refresh", status)
    instance.add_run(run)
    assert instance.event_log_storage.claim_concurrency_slot(pool, run.run_id, "financials").is_claimed
    return run


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status.value


def slots(instance: dg.DagsterInstance) -> set[str]:
    return {slot.run_id for slot in instance.event_log_storage.get_concurrency_info("finnhub").claimed_slots}


@pytest.mark.parametrize(
    ("status", "after"), [("STARTING", "FAILURE"), ("STARTED", "FAILURE"), ("CANCELING", "CANCELED")]
)
def test_a_run_whose_process_was_killed_is_ended_and_gives_back_its_slots(
    instance: dg.DagsterInstance, held_by: Held, status: str, after: str
) -> None:
    run = under_way(instance, status)
    pid = held_by(run)
    assert alive.end_dead(instance) == []
    assert in_flight(instance) == {"fundamentals_refresh": run.run_id}
    kill(pid)
    assert alive.dead(instance) == [run.run_id]
    assert in_flight(instance) == {}, "a status is not taken for life"
    (said,) = alive.end_dead(instance)
    assert said.startswith(f"run {run.run_id} of fundamentals_refresh is dead: its process (pid {pid} on ")
    assert status_of(instance, run) == after
    assert slots(instance) == set()
    assert alive.end_dead(instance) == []


def test_a_run_lives_while_its_process_is_stopped(instance: dg.DagsterInstance, held_by: Held) -> None:
    run = under_way(instance)
    pid = held_by(run)
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    assert alive.dead(instance) == alive.end_dead(instance) == []
    assert alive.end_unstarted(instance, [run.run_id]) == ([], [])
    assert slots(instance) == {run.run_id}
    os.kill(pid, signal.SIGCONT)
    assert status_of(instance, run) == "STARTED"


def test_slots_that_an_ended_run_has_left_are_freed_once_its_process_is_gone(
    instance: dg.DagsterInstance, held_by: Held
) -> None:
    run = under_way(instance)
    pid = held_by(run)
    instance.report_run_failed(run)
    assert alive.end_dead(instance) == []
    assert slots(instance) == {run.run_id}, "two would use what is meant for one"
    kill(pid)
    assert alive.end_dead(instance) == []
    assert slots(instance) == set()


def test_a_run_that_no_process_has_come_to_is_ended_at_the_second_look(instance: dg.DagsterInstance) -> None:
    run = under_way(instance, "STARTING")
    assert alive.end_unstarted(instance, []) == ([], [run.run_id])
    (said,), others = alive.end_unstarted(instance, [run.run_id])
    assert "no process has come to its first step" in said
    assert others == []
    assert status_of(instance, run) == "FAILURE"
    assert slots(instance) == set()


def test_a_run_that_was_killed_between_its_start_and_its_first_step_is_ended(instance: dg.DagsterInstance) -> None:
    run = under_way(instance, "STARTING")
    started = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name)
    instance.report_dagster_event(started, run.run_id)
    assert status_of(instance, run) == "STARTED"
    assert len(alive.end_unstarted(instance, [run.run_id])[0]) == 1
    assert status_of(instance, run) == "FAILURE"


def test_a_run_that_may_live_unseen_is_not_ended_and_a_person_is_asked_when_it_has_long_been_silent(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an earlier version, or on another machine."""
    run = under_way(instance, "STARTING")
    instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name), run.run_id)
    instance.report_engine_event("Executing steps in process (pid: 1)", run)
    for _ in range(3):
        assert alive.end_unstarted(instance, [run.run_id]) == ([], [run.run_id])
    assert alive.unseen(instance) == {}
    monkeypatch.setattr(alive, "UNSEEN", timedelta(0))
    assert "nobody here can see whether its process lives" in alive.unseen(instance)[run.run_id]
    assert status_of(instance, run) == "STARTED"
    assert slots(instance) == {run.run_id}


@pytest.mark.parametrize("status", ["QUEUED", "NOT_STARTED"])
def test_what_has_not_been_started_is_not_dead(instance: dg.DagsterInstance, status: str) -> None:
    run = run_of("rebalance", status)
    instance.add_run(run)
    assert alive.end_unstarted(instance, [run.run_id]) == ([], [])
    assert status_of(instance, run) == status


def test_a_launch_that_was_answered_with_an_error_runs_at_no_later_time(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the UI leaves behind when the database goes away between a run's creation and its place in the queue."""
    by_hand, queued = run_of("rebalance", "NOT_STARTED"), run_of("score", "QUEUED")
    of_dagster = [
        run_of("score", "NOT_STARTED").with_tags({f"dagster/{tag}": "any"})
        for tag in ("schedule_name", "sensor_name", "backfill", "retry_number", "from_automation_condition")
    ]
    for run in (by_hand, queued, *of_dagster):
        instance.add_run(run)
    assert "rebalance" not in in_flight(instance), "it is not under way"
    assert alive.end_unqueued(instance) == [], "a launch takes a moment"
    monkeypatch.setattr(alive, "UNQUEUED", timedelta(0))
    (said,) = alive.end_unqueued(instance)
    assert f"run {by_hand.run_id} of rebalance never came into the queue" in said
    assert {run.job_name: status_of(instance, run) for run in (by_hand, queued)} == {
        "rebalance": "CANCELED", "score": "QUEUED"
    }  # fmt: skip
    assert {status_of(instance, run) for run in of_dagster} == {"NOT_STARTED"}, "each goes on with its own"
    assert alive.end_unqueued(instance) == []


@pytest.mark.parametrize("itself", [True, False])
def test_a_launch_that_hung_and_goes_on_after_it_was_called_off_does_nothing(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, itself: bool
) -> None:
    """Dagster puts the canceled run into the queue all the same. A run that is made from it is another."""
    monkeypatch.setattr(alive, "UNQUEUED", timedelta(0))
    hung = run_of("rebalance", "NOT_STARTED")
    instance.add_run(hung)
    assert alive.end_unqueued(instance)
    called_off = instance.get_run_by_id(hung.run_id)
    assert called_off is not None
    tags = called_off.tags if itself else {alive.CALLED_OFF: "another run"}
    run_id = hung.run_id if itself else make_new_run_id()
    monkeypatch.setattr(instance, "get_run_by_id", lambda _: run_of("rebalance").with_tags(dict(tags)))
    context = SimpleNamespace(instance=instance, run_id=run_id, log=logging.getLogger())
    steps = alive._Executor(Steps()).execute(context, None)  # type: ignore[arg-type]
    with pytest.raises(alive.RunEnded if itself else AssertionError, match="first step"):
        next(steps)


def test_a_launch_that_failed_is_canceled_before_dagster_fails_it() -> None:
    monitoring = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())["run_monitoring"]
    assert alive.UNQUEUED + timedelta(seconds=2 * alive.LOOK_S) < timedelta(seconds=monitoring["start_timeout_seconds"])


def test_a_launcher_that_checks_its_workers_is_left_to_it(tmp_path: Path) -> None:
    home = dagster_home(tmp_path)
    with (home / "dagster.yaml").open("a") as document:
        document.write(f"\nrun_launcher: {{module: {__name__}, class: CheckingLauncher}}\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run = run_of("rebalance", "STARTING")
        instance.add_run(run)
        assert alive.end_unstarted(instance, [run.run_id]) == ([], [])
        assert alive.unseen(instance) == {}


class CheckingLauncher(DefaultRunLauncher):
    supports_check_run_worker_health = True


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_lock_file_that_may_not_be_opened_stops_no_look(
    instance: dg.DagsterInstance, held_by: Held, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's, such as one that `sudo dagster job execute` has left: it is taken for held, and asked about."""
    monkeypatch.setattr(alive, "UNSEEN", timedelta(0))
    hidden, died = under_way(instance, "STARTING"), run_of("score", "STARTED")
    instance.add_run(died)
    pid, other = held_by(hidden), held_by(died)
    kill(other)
    file = alive._file(instance, hidden.run_id)
    (file if what == "file" else file.parent).chmod(0)
    try:
        with not_as_root():
            assert alive.dead(instance) == ([died.run_id] if what == "file" else [])
            assert in_flight(instance)["fundamentals_refresh"] == hidden.run_id
            assert len(alive.end_dead(instance)) == (1 if what == "file" else 0)
            if what == "file":
                assert alive.end_unstarted(instance, [hidden.run_id]) == ([], [hidden.run_id])
                assert status_of(instance, hidden) == "STARTING"
            instance.report_engine_event("Executing steps in process (pid: 1)", hidden)
            assert hidden.run_id in alive.unseen(instance)
    finally:
        file.parent.chmod(0o700)
    kill(pid)


def test_locks_and_their_folder_are_the_storage_owners_alone_whoever_makes_them(instance: dg.DagsterInstance) -> None:
    folder = alive._folder(instance)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    run = run_of("score", "STARTED")
    with alive.holding(instance, run.run_id):
        owner = folder.parent.stat().st_uid
        for path, mode in ((folder, 0o700), (alive._file(instance, run.run_id), 0o600)):
            assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (mode, owner)


class Steps(dg.Executor):
    retries = RetryMode.DISABLED

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[Any]:
        raise AssertionError("came to its first step")


class Late(dg.Executor):
    """Comes to its first step when its run has been taken for dead: before, or while it ends another one."""

    retries = RetryMode.DISABLED

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[Any]:
        instance, ours = plan_context.instance, plan_context.dagster_run

        def end(_: object = None) -> None:
            if (run := instance.get_run_by_id(ours.run_id)) is not None and not run.is_finished:
                instance.report_run_failed(ours, "taken for dead")

        others = alive.dead(instance)
        for other in others:
            instance.add_event_listener(other, end)
        if not others:
            end()
        yield from alive._Executor(Steps()).execute(plan_context, execution_plan)


@dg.job(executor_def=dg.ExecutorDefinition("late", executor_creation_fn=lambda _: Late()))
def late() -> None:
    """Has no step: it would succeed."""


def test_a_run_that_was_ended_does_not_come_to_its_first_step(instance: dg.DagsterInstance) -> None:
    with pytest.raises(alive.RunEnded, match=r"was ended \(FAILURE\) before it came to its first step"):
        dg.execute_job(dg.reconstructable(late), instance, raise_on_error=True)
    assert [run.status.value for run in instance.get_runs()] == ["FAILURE"]


def test_a_run_that_was_ended_while_it_ended_others_does_nothing(instance: dg.DagsterInstance, held_by: Held) -> None:
    """By another machine, which does not see its lock."""
    other = under_way(instance)
    kill(held_by(other))
    with pytest.raises(alive.RunEnded, match=r"was ended \(FAILURE\) before it came to its first step"):
        dg.execute_job(dg.reconstructable(late), instance, raise_on_error=True)
    assert {run.status.value for run in instance.get_runs()} == {"FAILURE"}


def test_a_run_without_an_origin_is_not_promised_to_be_started_again(
    instance: dg.DagsterInstance, held_by: Held
) -> None:
    """Dagster would tag it as one that it starts again, and does not: who waits for that waits for ever."""
    by_hand = dg.DagsterRun(job_name="score", run_id=make_new_run_id(), status=dg.DagsterRunStatus.STARTED)
    instance.add_run(by_hand)
    for run, again in ((under_way(instance), "true"), (by_hand, "false")):
        kill(held_by(run))
        alive.end_dead(instance)
        ended = instance.get_run_by_id(run.run_id)
        assert ended is not None
        assert ended.tags["dagster/will_retry"] == again
        assert ended.tags[alive.DEAD] == "true"
