"""Every fault of the sandbox at every broker call of a week's job, one at a time and in pairs.

A run that is struck may end well or stop; it never trades wrongly, and two runs without faults later the account is
where it would have been. A sample runs in `make test`, all of it in `make soak`.
"""

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from tokenomics_dagster.execution.rebalance import Unresolved
from tokenomics_dagster.sandbox.faults import HTTP_KINDS, ORDER_KINDS
from tokenomics_dagster_tests.execution.world import PRICES, TARGETS, World, running_world
from tokenomics_dagster_tests.rewriting import Answer

Rule = dict[str, Any]
TIMEOUT_S = 0.25
# Times that fit the client's: a pause that is over at once, an answer that comes after it has given up.
SECONDS = {"429": 0, "slow": 2 * TIMEOUT_S}
SELL, BUY = "TRIM", "FRAC"
TRADED = sorted({"GONE", *TARGETS} - {"KEEP"})
ORDERS, ONE_ORDER, LOOK_UP = "GET /v2/orders", "DELETE /v2/orders/{order_id}", "GET /v2/orders:by_client_order_id"
SEND = "POST /v2/orders"


@dataclass(frozen=True)
class Situation:
    """Faults that only lead to more calls, and the endpoints at which a run then does something else; None: all."""

    rules: tuple[Rule, ...] = ()
    endpoints: tuple[str, ...] | None = None


SITUATIONS = {
    "undisturbed": Situation(),
    "answers lost": Situation(
        ({"kind": "lost_answer", "endpoint": SEND, "calls": [2]}, {"kind": "500", "endpoint": SEND, "calls": [5]}),
        (SEND, LOOK_UP),
    ),
    "orders halted": Situation(
        ({"kind": "halt", "symbol": SELL}, {"kind": "halt", "symbol": BUY}), (ORDERS, ONE_ORDER)
    ),
}


@dataclass(frozen=True)
class Case:
    """The faults of one trial, under the name by which it is counted; those of its situation come on top."""

    name: str
    situation: str
    rules: tuple[Rule, ...]

    @property
    def strikes_orders(self) -> bool:
        return any(rule["kind"] in ORDER_KINDS for rule in (*self.rules, *SITUATIONS[self.situation].rules))

    def __str__(self) -> str:
        return f"{self.situation}: {self.rules}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("faults")) as made:
        yield made


@dataclass
class Matrix:
    """Tries cases on one world, and keeps count."""

    world: World
    holdings: dict[str, Decimal]
    cash: Decimal
    calls: dict[str, dict[str, int]]

    @classmethod
    def of(cls, world: World) -> "Matrix":
        """Runs each situation once, to see where it ends and which calls it makes."""
        calls = {}
        for name, situation in SITUATIONS.items():
            prepare(world, situation.rules)
            world.configure(alpaca__timeout_s=5.0)
            assert world.attempt().error is None
            found = world.sandbox.admin("GET", "/sandbox/calls")
            # What the test itself asks after a run is one list of orders.
            calls[name] = {
                call: count - (call == ORDERS)
                for call, count in found.items()
                if situation.endpoints is None or call in situation.endpoints
            }
        prepare(world, ())
        world.configure(alpaca__timeout_s=5.0)
        assert world.attempt().error is None
        return cls(world, world.holdings(), world.cash(), calls)

    def singles(self) -> list[Case]:
        http = [
            Case(kind, situation, (rule_at(kind, call, number),))
            for situation, calls in self.calls.items()
            for call, count in calls.items()
            for number in range(1, count + 1)
            for kind in HTTP_KINDS
        ]
        of_orders = [
            Case(kind, "undisturbed", (*halted, {"kind": kind, "symbol": symbol}))
            for kind in ORDER_KINDS
            for symbol in TRADED
            # Only what does not fill is cancelled.
            for halted in ([({"kind": "halt", "symbol": symbol},)] if kind == "cancel_sticks" else [()])
        ]
        return http + of_orders

    def pairs(self, count: int, seed: int) -> list[Case]:
        """Two faults of a situation, each endpoint and each fault of orders as likely as another."""
        draw = random.Random(seed)
        singles = self.singles()
        drawn = []
        for situation in draw.choices(list(self.calls), k=count):
            places = grouped([case for case in singles if case.situation == situation], place_of)
            one, other = (draw.choice(places[place]) for place in draw.sample(sorted(places), 2))
            drawn.append(Case("two faults", situation, one.rules + other.rules))
        return drawn

    def trial(self, case: Case) -> tuple[str, list[str]]:
        """How the struck run ended ("missed", if no fault found its call), and what was wrong at any time."""
        world = self.world
        prepare(world, [*case.rules, *SITUATIONS[case.situation].rules])
        first = world.attempt()
        ended = "survived" if first.error is None else "refused"
        if not any(first.fired[: len(case.rules)]):
            ended = "missed"
        wrongs = world.wrongs()
        if first.error is None:
            wrongs += world.books(first)
        world.configure(alpaca__max_attempts=5, alpaca__timeout_s=5.0)
        if world.stuck:
            world.next_session()
        elif first.error is not None:
            again = world.attempt(first.plan)
            if again.error is None:
                wrongs += world.books(again)
        last = world.attempt()
        wrongs += world.wrongs()
        if last.error is not None:
            return ended, [*wrongs, f"the run without faults ended with {last.error!r}, the struck one {first.error!r}"]
        wrongs += world.books(last)
        return ended, wrongs + self.differences(exactly=not case.strikes_orders)

    def differences(self, *, exactly: bool) -> list[str]:
        """Where the account is not where it would be without faults, to the share and cent or within the filters."""
        holdings, cash = self.world.holdings(), self.world.cash()
        if exactly:
            same = (holdings, cash) == (self.holdings, self.cash)
            return [] if same else [f"holdings {holdings}, cash {cash} instead of {self.holdings}, {self.cash}"]
        rules = self.world.settings.rebalancing
        found = []
        for symbol in holdings.keys() | self.holdings.keys():
            value, wanted = (PRICES[symbol] * where.get(symbol, Decimal(0)) for where in (holdings, self.holdings))
            allowed = max(wanted * Decimal(str(rules.rebalance_threshold_pct)) / 100, Decimal(str(rules.min_trade_usd)))
            if abs(value - wanted) > allowed:
                found.append(f"{symbol} is worth {value:.2f} instead of {wanted:.2f} USD")
        return found

    def run(self, cases: Iterable[Case]) -> tuple[Table, list[str]]:
        tried: dict[str, Counter[str]] = defaultdict(Counter)
        wrong = []
        for case in cases:
            ended, wrongs = self.trial(case)
            tried[case.name][ended] += 1
            wrong += [f"{case}: {one}" for one in wrongs]
        table = Table("fault", "tried", "survived", "refused", "no such call")
        tried["all"] = sum(tried.values(), Counter())
        for kind, ends in tried.items():
            shown = ends["survived"] + ends["refused"], ends["survived"], ends["refused"], ends["missed"]
            table.add_row(kind, *map(str, shown))
        return table, wrong


# Of the quarter of an hour that each of the whole matrices takes: so that two processes share it.
PARTS = 5


def rule_at(kind: str, call: str, number: int) -> Rule:
    """The fault at the n-th call of an endpoint, whose `{order_id}` stands for any."""
    endpoint = "*".join(part.split("}")[-1] for part in call.split("{"))
    seconds = {"seconds": SECONDS[kind]} if kind in SECONDS else {}
    return {"kind": kind, "endpoint": endpoint, "calls": [number], **seconds}


def prepare(world: World, rules: Sequence[Rule]) -> None:
    """The world at its start with these faults, and a client that takes no second try: each fault reaches the run."""
    world.reset()
    world.configure(alpaca__max_attempts=1, alpaca__timeout_s=TIMEOUT_S)
    if any(rule["kind"] in ORDER_KINDS for rule in rules):
        world.configure(trading__settle_timeout_s=0.2, trading__cancel_timeout_s=0.1, trading__poll_interval_s=0.03)
    world.faults(*rules)


def place_of(case: Case) -> str:
    """What is struck: an endpoint, or orders."""
    return str(case.rules[-1].get("endpoint", case.name))


def grouped(cases: Iterable[Case], key: Callable[[Case], str]) -> dict[str, list[Case]]:
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[key(case)].append(case)
    return groups


def sample(cases: Sequence[Case], count: int, seed: int) -> list[Case]:
    """`count` cases: in turn one of each fault, and one of each endpoint in each situation."""
    shuffled = random.Random(seed).sample(cases, len(cases))
    groups = [
        *grouped(shuffled, lambda case: case.name).values(),
        *grouped(shuffled, lambda case: f"{case.situation} {place_of(case)}").values(),
    ]
    in_turn = itertools.chain(*itertools.zip_longest(*groups))
    return list({id(case): case for case in in_turn if case is not None}.values())[:count]


STATUSES = (400, 401, 403, 404, 408, 409, 410, 418, 422, 425, 429, 451, 500, 501, 502, 503, 504, 520, 599)
CANCEL = "DELETE /v2/orders/*"
ABOUT_ONE = (SEND, CANCEL, LOOK_UP)


def answered(world: World, endpoint: str, status: int, once: bool) -> list[str]:
    """What is wrong after the calls about the sell of one name were answered so, and after two runs without it."""
    world.reset()
    world.configure(
        alpaca__max_attempts=1, trading__settle_timeout_s=0.1, trading__cancel_timeout_s=5.0 if once else 0.1
    )
    plan = world.plan()
    if endpoint == CANCEL:  # only what does not fill is cancelled
        world.faults({"kind": "halt", "symbol": SELL})
    elif endpoint == LOOK_UP:  # only what was not answered is looked up; the second one is that of SELL
        world.faults({"kind": "lost_answer", "endpoint": SEND, "calls": [2]})
    ids: set[str] = set()
    struck: list[Answer] = []

    def refuse(answer: Answer) -> None:
        ids.update(order.id for order in world.broker.orders(status="open") if order.symbol == SELL)
        about = SELL in f"{answer.query} {answer.request!r}" or answer.path.rpartition("/")[2] in ids
        if about and not (once and struck):
            struck.append(answer)
            answer.become(status, {"code": 40310000, "message": "forbidden."})

    with world.rewritten() as proxy:
        proxy.before(endpoint, refuse)
        run = world.attempt(plan)
    if endpoint == CANCEL and not once:
        world.stuck |= ids  # it stays open: nobody can wait for it
    wrong = world.wrongs() + ([] if struck else ["no such call"])
    filled = {order.symbol for order in world.orders() if order.status == "filled"}
    if isinstance(run.error, Unresolved):
        wrong += [] if endpoint != CANCEL else [f"ended with {run.error!r}"]
    elif run.error is not None or not filled >= set(TRADED) - {SELL}:
        wrong.append(f"ended with {run.error!r}, traded {sorted(filled)}")
    world.next_session()
    for _ in range(2):
        run = world.attempt()
        wrong += [f"the next run ended with {run.error!r}"] if run.error is not None else []
    filled = {order.symbol for order in world.orders() if order.status == "filled"}
    return [*wrong, *world.wrongs(), *(f"{symbol} was never traded" for symbol in set(TRADED) - filled)]


ANSWERS = list(itertools.product(ABOUT_ONE, STATUSES, (True, False)))


def test_an_answer_about_one_order_costs_that_order_alone(world):
    wrong = {str(case): answered(world, *case) for case in random.Random(4).sample(ANSWERS, 3)}
    assert {case: found for case, found in wrong.items() if found} == {}


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_every_answer_about_one_order_costs_that_order_alone(world, part, record_property):
    cases = ANSWERS[part::PARTS]
    record_property("tried", len(cases))
    wrong = {str(case): answered(world, *case) for case in cases}
    assert {case: found for case, found in wrong.items() if found} == {}


def show(table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        Console().print(table)


def test_a_fault_at_any_call_ends_well_or_stops_and_never_trades_wrongly(world, capsys):
    matrix = Matrix.of(world)
    table, wrong = matrix.run([*sample(matrix.singles(), 8, seed=1), *matrix.pairs(2, seed=2)])
    show(table, capsys)
    assert wrong == []


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
def test_every_fault_at_every_call_ends_well_or_stops_and_never_trades_wrongly(world, capsys, record_property, part):
    matrix = Matrix.of(world)
    cases = [*matrix.singles(), *matrix.pairs(150, seed=3)][part::PARTS]
    record_property("tried", len(cases))
    table, wrong = matrix.run(cases)
    show(table, capsys)
    assert wrong == []
