"""Rebalances in processes of their own that kill themselves, or wait, at a chosen point between two I/O operations.

Here are the account that they trade, the points, the process and what must be true of the account and the ledger
afterwards; which points are tried and what happens in between is decided in the tests.
"""

import multiprocessing
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

# The platform imports these late; here once for all processes.
import alpaca.data.historical
import alpaca.trading.client
import alpaca.trading.requests  # noqa: F401
import pandas as pd
import requests.adapters  # noqa: F401
import sqlalchemy as sa

from tokenomics_dagster.execution.guards import Refused
from tokenomics_dagster.execution.notifying import notify_of_run
from tokenomics_dagster.execution.rebalance import Rebalance, Unresolved
from tokenomics_dagster.execution.states import ABANDONED, FINAL
from tokenomics_dagster.execution.venue import at_alpaca
from tokenomics_dagster.kit.alerts import Notifier
from tokenomics_dagster.kit.channels import channel_of
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.portfolio.planning import CannotPlan, make_plan
from tokenomics_dagster.portfolio.schema import TargetWeights, TargetWeightsDetails
from tokenomics_dagster.portfolio.standing import Past
from tokenomics_dagster.providers import transport
from tokenomics_dagster.providers.alpaca.clock import AlpacaClock
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.sandbox.generated import generate
from tokenomics_dagster.sandbox.server import SandboxHandle
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.records import LedgerOrder, Made, WarehouseBusy
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.execution.clocks import Waiting

SETTINGS_FILE = Path(__file__).resolve().parents[2] / "config/settings.yaml"
WEEK = date(2026, 8, 24)
SANDBOX: dict[str, Any] = {"listings": 150, "seed": 7, "spread_bps": 0, "fill_delay_s": 0.02}
"""Prices stand still and trading costs nothing, so that every way to the targets ends with the same cents."""
FAST = {
    "alpaca.calls_per_minute": 600_000.0,
    "trading.poll_interval_s": 0.01,
    "trading.lookup_grace_s": 0.15,
    "trading.settle_timeout_s": 10.0,  # never reached, even on a machine that does much else
    "trading.cancel_timeout_s": 5.0,
    "rebalancing.max_position_pct": 50.0,  # five names make a portfolio
}
JOIN_S = 60

# Quotients by these prices end within nine decimals, as the broker's quantities do.
PRICES = {"EXIT": 100, "TRIM": 50, "FRAC": 80, "NEED": 200, "WHOL": 125}
NOT_FRACTIONABLE = "WHOL"
HELD = {"EXIT": Decimal("100.5"), "TRIM": Decimal("800.25")}
CASH = Decimal("49937.50")  # with what is held: 100,000.00 USD; NEED and WHOL can be paid for from the sells only
WEIGHTS = {"FRAC": 0.3, "NEED": 0.25, "WHOL": 0.25, "TRIM": 0.2}

POST, LEDGER, OTHER = "POST /v2/orders", "order row", "other row"
BEFORE, DURING = "before", "during"
LATER = timedelta(minutes=1)
"""By the broker's clock, from the making of the undisturbed plan to the disturbed runs of it."""


class Point(NamedTuple):
    """Where a process is, by an operation and its number among those of its kind (from 1).

    During a request: it is sent, its answer not read. During a transaction: all is written, nothing committed. What
    comes after an operation is before the next one; the last point is before "end".
    """

    operation: str
    number: int
    stage: str

    def __str__(self) -> str:
        return f"{self.stage} {self.operation} {self.number}"


class Watch:
    """Counts the operations of this process, and does `act` at the point `at`."""

    def __init__(self, at: Point | None, act: Callable[[], None]) -> None:
        self.passed: list[Point] = []
        self._at = at
        self._act = act
        self._counts: Counter[str] = Counter()

    def before(self, operation: str) -> Point:
        """Call it first for each operation; the point to tell `reached` when it is under way."""
        self._counts[operation] += 1
        point = Point(operation, self._counts[operation], BEFORE)
        self.reached(point)
        return point._replace(stage=DURING)

    def reached(self, point: Point) -> None:
        self.passed.append(point)
        if point == self._at:
            self._act()


def watch_requests(watch: Watch) -> None:
    """Every HTTP request of this process to a provider."""

    class Watched(transport._Connection):
        under_way: Point

        def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
            self.under_way = watch.before(f"{method} {url.split('?')[0]}")
            super().request(method, url, *args, **kwargs)

        def getresponse(self) -> Any:
            watch.reached(self.under_way)
            return super().getresponse()

    transport._Pool.ConnectionCls = Watched


class WatchedWarehouse(Warehouse):
    """Every transaction that writes."""

    def __init__(self, url: str, watch: Watch) -> None:
        super().__init__(url)
        self._watch = watch
        self._writes = OTHER

    def record_order(self, order: LedgerOrder) -> None:
        self._writes = LEDGER
        super().record_order(order)
        self._writes = OTHER

    @contextmanager
    def _write(self, *, repeatable: bool = False) -> Iterator[sa.Connection]:
        under_way = self._watch.before(self._writes)
        with super()._write(repeatable=repeatable) as connection:
            yield connection
            self._watch.reached(under_way)


@dataclass(frozen=True, slots=True)
class Job:
    """What a process does: carry out `plan`; without one, make a new plan from `targets` first."""

    settings: Settings
    environment: Mapping[str, str]
    targets: Made[TargetWeightsDetails]
    plan: Plan | None = None
    at: Point | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """How it ended: the sentence of a refusal, else what it found wrong; what it sent, and how far it got."""

    refusal: str | None
    doubts: list[str]
    sent: int
    plan: Plan | None
    passed: list[Point]


def kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def pause(reached: Event, go: Event) -> None:
    """At a point: lets another process act."""
    reached.set()
    go.wait(JOIN_S)


def sleep_after(go: Event, seconds: float) -> None:
    """Instead of `time.sleep`: no order is looked at before `go`."""
    go.wait(JOIN_S)
    time.sleep(seconds)


def carry_out(
    job: Job,
    answer: Connection,
    act: Callable[[], None] = kill_this_process,
    begin: Callable[[], object] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """The body of the process. It waits for `begin` when it is ready; `sleep` is what the rebalance waits with."""
    settings = job.settings
    os.environ.update(job.environment)
    watch = Watch(job.at, act)
    watch_requests(watch)
    ledger = WatchedWarehouse(settings.environment.tokenomics_database_url.get_secret_value(), watch)
    plan: Plan | None = None
    refusal, doubts = None, []

    def past(account: str) -> Past:
        return Past(ledger.owned(account))

    with AlpacaResource.from_settings(settings) as broker:
        venue = replace(at_alpaca(broker), clock=Waiting(broker, sleep))
        try:
            clock = AlpacaClock(broker)
            plan = job.plan or make_plan(job.targets, WEEK, broker, clock, settings, past)[1]
            if begin is not None:
                begin()
            notify = notify_of_run(Notifier(), ledger, channel_of(settings))
            outcome = Rebalance(plan, venue, ledger, settings, notify).run()
            assert outcome.reconciliation is not None
            doubts = [*outcome.reconciliation.discrepancies, *outcome.stuck, *outcome.skipped.values()]
        except (Refused, Unresolved, WarehouseBusy, CannotPlan) as error:
            refusal = str(error)
        watch.before("end")
        answer.send(Done(refusal, doubts, broker.calls.get(POST, 0), plan, watch.passed))
    ledger.close()


processes = multiprocessing.get_context("forkserver")
# One process imports everything once and forks for each rebalance: 0.02 s instead of 3 s.
processes.set_forkserver_preload([__name__])
# What is built when first needed, too: the calendar in 0.1 s, pandera's backends in 0.3 s.
calendar.session_on(WEEK)
_TARGETS = TargetWeights.validate(
    pd.DataFrame(
        [(symbol, weight, 90.0 - n, 1e6, n) for n, (symbol, weight) in enumerate(WEIGHTS.items(), start=1)],
        columns=list(TargetWeights.to_schema().columns),
    )
)


class Running:
    """A process that carries out a job."""

    def __init__(self, job: Job, **options: Any) -> None:
        self._answer, theirs = processes.Pipe(duplex=False)
        self._process: ForkServerProcess = processes.Process(
            target=carry_out, args=(job, theirs), kwargs=options, daemon=True
        )
        self._process.start()
        theirs.close()

    @property
    def answer(self) -> Connection:
        """Readable when the process has an answer, or is gone."""
        return self._answer

    def end(self) -> Done | None:
        """What it answers when it ends; None when it was killed."""
        try:
            done: Done | None = self._answer.recv() if self._answer.poll(JOIN_S) else None
        except EOFError:
            done = None
        self._process.join(JOIN_S)
        if self._process.exitcode is None:
            self._process.kill()
            raise AssertionError(f"the rebalance did not end within {JOIN_S} s")
        assert self._process.exitcode == (0 if done else -signal.SIGKILL), "the rebalance ended with an error"
        self._process.close()
        return done


@dataclass(frozen=True, slots=True)
class Holdings:
    """Shares by symbol, and USD."""

    positions: dict[str, Decimal]
    cash: Decimal


def holdings(book: Mapping[str, Any]) -> Holdings:
    return Holdings({symbol: Decimal(one["qty"]) for symbol, one in book["holdings"].items()}, Decimal(book["cash"]))


class World:
    """An account in a running sandbox, before its rebalance; the sandbox can be put back to it."""

    def __init__(self, sandbox: SandboxHandle) -> None:
        self._sandbox = sandbox
        self._settings = load_settings(SETTINGS_FILE, {**FAST, "trading.foreign_positions": "sell"})
        listed = generate(SANDBOX["seed"], SANDBOX["listings"]).instruments.values()
        model = next(one for one in listed if one.type == "Common Stock" and one.volume > 0)
        listing = sandbox.admin("GET", f"/sandbox/listings/{model.symbol}")
        for symbol, price in PRICES.items():
            whole = symbol == NOT_FRACTIONABLE
            changes = {"symbol": symbol, "price": str(price), "tradable": True, "fractionable": not whole}
            sandbox.admin("POST", "/sandbox/listings", {**listing, **changes})
        start = sandbox.admin("GET", "/sandbox/broker")
        held = {s: {"qty": str(q), "cost": f"{q * PRICES[s]:.2f}", "price": str(PRICES[s])} for s, q in HELD.items()}
        equity = CASH + sum(qty * PRICES[symbol] for symbol, qty in HELD.items())
        money = {"starting_cash": str(CASH), "cash": str(CASH), "closes": {"2026-08-21": str(equity)}}
        # A book must know where its shares are from: they were brought from another broker, long ago.
        came = [
            {"id": f"20260803000000000::{symbol}", "at": "2026-08-03T04:00:00Z", "type": "ACATS", "subtype": "",
             "group": symbol, "symbol": symbol, "cusip": "", "shares": str(qty), "amount": "0"}
            for symbol, qty in HELD.items()
        ]  # fmt: skip
        self._start = {**start, "book": {**start["book"], **money, "holdings": held, "activities": came}}
        self._now = datetime.fromisoformat(start["now"])
        scored_at = self._now - timedelta(days=2)
        self._targets = Made(_TARGETS, self._now, TargetWeightsDetails(scores_as_of=scored_at, cash_weight=0.0))

    def put_back(self, after: timedelta = LATER) -> None:
        """To the account before its rebalance, so long after the first time."""
        self._sandbox.admin("PUT", "/sandbox/broker", {**self._start, "now": (self._now + after).isoformat()})

    def job(self, url: str, plan: Plan | None = None, at: Point | None = None) -> Job:
        """Of the warehouse at `url`; without a plan, a new one is made."""
        nothing = {name.upper(): "" for name in Environment.model_fields}  # a .env must not reach the processes
        variables = {**nothing, **self._sandbox.environment(), "TOKENOMICS_DATABASE_URL": url}
        environment = Environment.model_validate({name.lower(): value for name, value in variables.items()})
        settings = self._settings.model_copy(update={"environment": environment})
        return Job(settings, variables, self._targets, plan, at)

    def undisturbed(self, url: str) -> tuple[Plan, Holdings]:
        """The plan and the end of a rebalance that nothing happens to; the sandbox is left after it."""
        self.put_back(after=timedelta(0))
        Warehouse(url).close()
        done = Running(self.job(url)).end()
        assert done is not None
        assert (done.refusal, done.doubts, done.sent) == (None, [], len(PRICES))
        assert done.plan is not None
        return done.plan, holdings(self.book())

    def book(self) -> dict[str, Any]:
        """The broker's own, in JSON's types."""
        book: dict[str, Any] = self._sandbox.admin("GET", "/sandbox/broker")["book"]
        return book


def discrepancies(book: Mapping[str, Any], url: str, expected: Holdings) -> list[str]:
    """What is not as it must be after a rebalance, whatever happened on the way to it; empty when all is right."""
    found = []
    after = holdings(book)
    for symbol in sorted({*after.positions, *expected.positions}):
        have, want = after.positions.get(symbol, Decimal(0)), expected.positions.get(symbol, Decimal(0))
        if abs(have - want) > Decimal("1e-9"):
            found.append(f"{have} shares of {symbol} are held instead of {want}")
    if after.cash != expected.cash:
        found.append(f"cash is {after.cash} instead of {expected.cash}")

    ids = Counter(order["client_order_id"] for order in book["orders"])
    found += [f"the id {name} was used {count} times" for name, count in ids.items() if count > 1]
    filled = Counter((o["symbol"], o["side"]) for o in book["orders"] if Decimal(o["filled_qty"]) > 0)
    found += [f"{count} orders filled: {side} {symbol}" for (symbol, side), count in filled.items() if count > 1]

    explained = defaultdict(Decimal, HELD)
    cash = CASH
    fills = [one for one in book["activities"] if "order_id" in one]
    for fill in fills:
        sign = 1 if fill["side"] == "buy" else -1
        explained[fill["symbol"]] += sign * Decimal(fill["qty"])
        cash -= sign * Decimal(fill["amount"])
    if {symbol: qty for symbol, qty in explained.items() if qty} != after.positions or cash != after.cash:
        found.append(f"the fills make {dict(explained)} and {cash} USD, held are {after}")

    warehouse = Warehouse(url)
    rows = {row.client_order_id: row for row in warehouse.orders_of_week(book["account_number"], WEEK)}
    known_fills = {fill.id for fill in warehouse.fills_of(book["account_number"], datetime(2026, 1, 1, tzinfo=UTC))}
    if (flaw := warehouse.verify_audit()) is not None:
        found.append(f"audit: record {flaw.seq} {flaw.what}")
    warehouse.close()
    for order in book["orders"]:
        row = rows.pop(order["client_order_id"], None)
        if not order["client_order_id"].startswith(f"tokenomics-fundamentals-{WEEK}-"):
            found.append(f"an order with a strange id: {order['client_order_id']}")
        elif row is None:
            found.append(f"{order['client_order_id']} is not in the ledger")
        elif (row.status, row.filled_qty) != (order["status"], Decimal(order["filled_qty"])):
            found.append(
                f"{row.client_order_id} is {row.status}, {row.filled_qty} in the ledger, {order['status']}, "
                f"{order['filled_qty']} at the broker"
            )
        elif row.status not in FINAL:
            found.append(f"{row.client_order_id} is still {row.status}")
    for row in rows.values():
        if row.status != ABANDONED or row.filled_qty:
            found.append(f"{row.client_order_id} is {row.status} in the ledger and not known to the broker")
    if known_fills != {fill["id"] for fill in fills}:
        found.append(f"{len(known_fills)} of {len(book['activities'])} fills are recorded")
    return found
