"""A rebalance that is killed at any point between two I/O operations and run again ends as if nothing had happened."""

import random
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.sandbox.server import running_sandbox
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.execution.crash import (
    LEDGER,
    POST,
    SANDBOX,
    Holdings,
    Point,
    Running,
    World,
    discrepancies,
)

# A commit that waits for the disk takes 7 ms; that is for a power cut, a killed process needs none of it.
MEMORY = Path("/dev/shm")
EVERY_OTHER_IN_CI = 12  # of the points that are not right around an order's call or its row


@dataclass
class Matrix:
    """What an undisturbed rebalance does, and what one does that was killed at a point."""

    world: World
    folder: Path
    plan: Plan
    end: Holdings
    points: Sequence[Point]
    tried: int = 0
    tried_twice: int = 0

    def url(self) -> str:
        """Of the warehouse, emptied."""
        for leftover in ("-wal", "-shm"):
            (self.folder / f"warehouse.db{leftover}").unlink(missing_ok=True)
        shutil.copyfile(self.folder / "empty.db", self.folder / "warehouse.db")
        return f"sqlite:///{self.folder}/warehouse.db"

    def problems(self, point: Point, again: Point | None, *, new_plan: bool) -> list[str]:
        """What is wrong after a kill at `point`, perhaps one more at `again`, and a run that goes through."""
        self.world.put_back()
        url = self.url()
        if Running(self.world.job(url, self.plan, point)).end() is not None:
            return []  # as fast as the orders filled this time, there was one poll less
        self.tried += 1
        restart = self.world.job(url, None if new_plan else self.plan)
        if again is not None and Running(replace(restart, at=again)).end() is None:
            self.tried_twice += 1
        done = Running(restart).end()
        assert done is not None
        found = [*discrepancies(self.world.book(), url, self.end), *done.doubts]
        if done.refusal is not None:
            found.append(f"refused: {done.refusal}")
        return [f"{point}{f', then {again}' if again else ''}: {flaw}" for flaw in found]


@pytest.fixture(scope="module")
def matrix() -> Iterator[Matrix]:
    fast = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="matrix-", dir=fast) as made_folder, running_sandbox(**SANDBOX) as sandbox:
        folder = Path(made_folder)
        Warehouse(f"sqlite:///{folder}/empty.db").close()
        world = World(sandbox)
        plan, end = world.undisturbed(f"sqlite:///{folder}/first.db")
        made = Matrix(world, folder, plan, end, [])
        world.put_back()
        second = Running(world.job(made.url(), made.plan)).end()
        assert second is not None
        made.points = second.passed
        yield made
        assert sandbox.log() == ""


def right_around_orders(points: Sequence[Point]) -> set[Point]:
    """Those before and during each order's call and each transaction of a row of the ledger, and right after them."""
    close = [place for place, point in enumerate(points) if point.operation in (POST, LEDGER)]
    return {points[place] for place in close} | {points[place + 1] for place in close}


def test_the_undisturbed_rebalance_has_every_kind_of_order_and_needs_the_cash_of_its_sells(matrix):
    kinds = {o.symbol: (o.side, o.exit, o.notional is not None) for o in matrix.plan.orders}
    assert kinds == {
        "EXIT": ("sell", True, False),
        "TRIM": ("sell", False, False),
        "FRAC": ("buy", False, True),
        "NEED": ("buy", False, True),
        "WHOL": ("buy", False, False),
    }
    buys = [order.value for order in matrix.plan.orders if order.side == "buy"]
    assert buys[0] < matrix.plan.cash < buys[0] + buys[1]
    assert set(matrix.end.positions) == {"TRIM", "FRAC", "NEED", "WHOL"}
    matrix.world.put_back()
    url = matrix.url()
    done = Running(matrix.world.job(url, matrix.plan)).end()
    assert done is not None
    assert (done.refusal, done.sent, done.doubts) == (None, 5, [])
    assert discrepancies(matrix.world.book(), url, matrix.end) == []


def half(point: Point) -> bool:
    """The same for each point in every process, unlike the points' order."""
    return zlib.crc32(str(point).encode()) % 2 == 1


@pytest.mark.parametrize(
    "new_plan", [pytest.param(False, id="same-plan"), pytest.param(True, id="new-plan", marks=pytest.mark.soak)]
)
def test_after_a_kill_a_restart_ends_as_if_nothing_had_happened(matrix, new_plan):
    close = right_around_orders(matrix.points)
    others = [point for point in matrix.points if point not in close]
    chosen = close | set(others[::EVERY_OTHER_IN_CI])
    assert len(chosen) >= 50
    mine = [point for point in matrix.points if point in chosen and half(point) == new_plan]
    assert try_all(matrix, mine, new_plan=new_plan, twice_each=3) == []
    assert matrix.tried >= len(mine) - 5
    assert matrix.tried_twice >= 5


@pytest.mark.soak
@pytest.mark.parametrize("new_plan", [False, True], ids=["same-plan", "new-plan"])
@pytest.mark.parametrize("each", [0, 1], ids=["once", "twice"])
def test_after_a_kill_at_each_point_a_restart_ends_as_if_nothing_had_happened(
    matrix, new_plan, each, capsys, record_property
):
    problems = try_all(matrix, matrix.points, new_plan=new_plan, twice_each=each)
    record_property("tried", matrix.tried)
    record_property("killed twice", matrix.tried_twice)
    with capsys.disabled():
        sys.stdout.write(
            f"\ncrash matrix, {'new' if new_plan else 'same'} plan: {matrix.tried} of {len(matrix.points)} points, "
            f"{matrix.tried_twice} of them with a second kill during recovery\n"
        )
    assert problems == []
    assert matrix.tried >= len(matrix.points) - 10


def try_all(matrix: Matrix, points: Sequence[Point], *, new_plan: bool, twice_each: int = 0) -> list[str]:
    """The problems at `points`; of `twice_each` one is followed by a kill during recovery."""
    matrix.tried = matrix.tried_twice = 0
    draw = random.Random(0)
    problems = []
    for number, point in enumerate(points):
        again = draw.choice(matrix.points) if twice_each and number % twice_each == 0 else None
        problems += matrix.problems(point, again, new_plan=new_plan)
    return problems
