"""Several processes on one account: of several rebalances one trades, and a halt by another process stops it."""

import re
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple

import pytest

from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.sandbox.server import SandboxHandle, running_sandbox
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.execution.crash import (
    BEFORE,
    DURING,
    JOIN_S,
    LEDGER,
    POST,
    SANDBOX,
    Done,
    Holdings,
    Point,
    Running,
    World,
    discrepancies,
    pause,
    processes,
    sleep_after,
)


class Scene(NamedTuple):
    """The account, and what one undisturbed rebalance makes of it by which plan."""

    sandbox: SandboxHandle
    world: World
    plan: Plan
    end: Holdings


@pytest.fixture(scope="module")
def _scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("undisturbed")
    with running_sandbox(**SANDBOX) as sandbox:
        world = World(sandbox)
        yield Scene(sandbox, world, *world.undisturbed(f"sqlite:///{folder}/warehouse.db"))
        assert sandbox.log() == ""


@pytest.fixture
def scene(_scene: Scene, url: str) -> Scene:
    """Before the rebalance, with an empty warehouse at `url`."""
    _scene.world.put_back()
    Warehouse(url).close()
    return _scene


def run(scene: Scene, url: str, plan: Plan | None = None) -> Done:
    return ended(Running(scene.world.job(url, plan)))


def ended(running: Running) -> Done:
    done = running.end()
    assert done is not None
    return done


def run_until(at: Point | None, scene: Scene, url: str, plan: Plan | None = None) -> None:
    """To its end, or until it is killed."""
    assert (Running(scene.world.job(url, plan, at)).end() is None) == (at is not None)


def must_end_well(scene: Scene, url: str, plan: Plan | None = None) -> Done:
    done = run(scene, url, plan)
    assert (done.refusal, done.doubts) == (None, [])
    assert discrepancies(scene.world.book(), url, scene.end) == []
    return done


def must_be_refused(scene: Scene, url: str, plan: Plan) -> str:
    """Returns the sentence."""
    done = run(scene, url, plan)
    assert done.sent == 0
    assert done.refusal is not None
    return done.refusal


@pytest.mark.soak
@pytest.mark.parametrize("own_plans", [False, True], ids=["one-plan", "own-plans"])
@pytest.mark.parametrize("rivals", [2, 8])
def test_of_rebalances_started_at_the_same_moment_one_trades_and_the_others_say_why_not(scene, url, rivals, own_plans):
    start, go = processes.Barrier(rivals), processes.Event()
    job = scene.world.job(url, None if own_plans else scene.plan)
    running = [Running(job, begin=start.wait, sleep=partial(sleep_after, go)) for _ in range(rivals)]
    # The one that trades waits for its first order's fill until the others have had their chance.
    undecided = {one.answer: one for one in running}
    losers = []
    while len(undecided) > 1 and (ready := wait(undecided, timeout=JOIN_S / 2)):
        losers += [ended(undecided.pop(answer)) for answer in list(undecided) if answer in ready]
    go.set()
    winners = [ended(one) for one in undecided.values()]
    assert [(done.refusal, done.doubts, done.sent) for done in winners] == [(None, [], 5)]
    assert [done.sent for done in losers] == [0] * (rivals - 1)
    assert all("is already under way in another process" in (done.refusal or "") for done in losers)
    assert discrepancies(scene.world.book(), url, scene.end) == []


@pytest.mark.parametrize(
    ("killed", "left"), [(None, 0), (Point(POST, 3, BEFORE), 3)], ids=["completed", "killed-after-two"]
)
def test_a_plan_that_another_plan_has_overtaken_is_refused(scene, url, killed, left):
    run_until(killed, scene, url)  # by a plan that is newer than scene.plan
    assert "was overtaken" in must_be_refused(scene, url, scene.plan)
    assert must_end_well(scene, url).sent == left


@pytest.mark.parametrize("new_plan", [False, True], ids=["same-plan", "new-plan"])
@pytest.mark.parametrize(("killed", "left"), [(None, 0), (Point(POST, 4, BEFORE), 2)], ids=["completed", "killed"])
def test_orders_that_the_ledger_has_lost_are_not_sent_again(scene, url, tmp_path, killed, left, new_plan):
    run_until(killed, scene, url, scene.plan)
    restored = f"sqlite:///{tmp_path}/restored.db"
    assert must_end_well(scene, restored, None if new_plan else scene.plan).sent == left


def test_a_killed_rebalance_holds_no_lock_and_leaves_no_half_transaction(scene, url):
    run_until(Point(LEDGER, 3, DURING), scene, url, scene.plan)
    # A server learns of the end of its client a little later.
    while (refusal := run(scene, url, scene.plan).refusal) is not None:
        assert "is already under way" in refusal
    assert discrepancies(scene.world.book(), url, scene.end) == []


@pytest.mark.parametrize(
    ("at", "sent"),
    [(Point("GET /v2/account", 1, BEFORE), 0), (Point(POST, 1, DURING), 1), (Point(POST, 4, DURING), 4)],
    ids=["before-the-sells", "after-one-sell", "after-two-buys"],
)
def test_after_a_halt_by_another_process_nothing_more_is_sent_until_it_is_resumed(scene, url, at, sent):
    reached, go = processes.Event(), processes.Event()
    running = Running(scene.world.job(url, scene.plan, at), act=partial(pause, reached, go))
    assert reached.wait(JOIN_S)
    warehouse = Warehouse(url)
    now = datetime.fromisoformat(scene.sandbox.admin("GET", "/sandbox/clock")["now"])
    warehouse.halt("odd prices", by="somebody", at=now)
    go.set()
    done = ended(running)
    assert done.sent == sent
    assert re.search("trading is halted .*odd prices", done.refusal or "")
    assert len(scene.world.book()["orders"]) == sent
    assert "trading is halted" in must_be_refused(scene, url, scene.plan)
    warehouse.resume("they were right", by="somebody", at=now)
    warehouse.close()
    assert must_end_well(scene, url, scene.plan).sent == 5 - sent
