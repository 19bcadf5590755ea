"""A small account on the sandbox, and the rebalance driven on it without Dagster: what the tests of execution share.

Every run gets its own connection to the broker, as a new process would. What must never be, whatever goes wrong, is in
`World.wrongs`; what a single test expects stays with the test.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from pydantic import SecretStr

from tokenomics_dagster.execution import guards
from tokenomics_dagster.execution.notifying import notify_of_run
from tokenomics_dagster.execution.rebalance import Outcome, Rebalance, Unresolved
from tokenomics_dagster.execution.states import ABANDONED, CLOSED, REFUSED, UNKNOWN, IllegalTransition
from tokenomics_dagster.execution.venue import Venue
from tokenomics_dagster.kit.alerts import Notifier
from tokenomics_dagster.kit.channels import Channel
from tokenomics_dagster.model import calendar
from tokenomics_dagster.model.identity import FUNDAMENTALS
from tokenomics_dagster.model.plan import Plan
from tokenomics_dagster.model.trading import Fill, Order
from tokenomics_dagster.portfolio.planning import CannotPlan, make_plan
from tokenomics_dagster.portfolio.schema import TargetWeightsDetails, TradePlanDetails
from tokenomics_dagster.portfolio.standing import Past
from tokenomics_dagster.providers.alpaca.clock import AlpacaClock
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.sandbox.server import SandboxHandle, running_sandbox
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.records import Adoption, FillRow, Made
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.execution.clocks import Waiting
from tokenomics_dagster_tests.rewriting import Proxy, rewriting

SETTINGS_FILE = Path(__file__).resolve().parents[2] / "config/settings.yaml"

PRICES = {
    "FRAC": Decimal("128.55"),
    "GONE": Decimal("37.13"),
    "KEEP": Decimal("19.07"),
    "LUMP": Decimal("391.20"),
    "MORE": Decimal("56.89"),
    "SPAR": Decimal("9.73"),
    "TRIM": Decimal("84.21"),
    "WHOL": Decimal("212.40"),
}
WHOLE_SHARES = ("LUMP", "WHOL")  # not fractionable
HELD = {"GONE": 0.10, "KEEP": 0.20, "TRIM": 0.30, "WHOL": 0.20}
"""Weights at the start, of 100,000 USD; the rest is cash."""
TARGETS = {"FRAC": 0.20, "KEEP": 0.20, "LUMP": 0.15, "MORE": 0.13, "TRIM": 0.20, "WHOL": 0.10}
"""An exit, two cuts (one in whole shares), a name left alone, three buys (one in whole shares) that need the sells."""
MONDAY = datetime.fromisoformat("2026-08-31T14:05:00Z")

OVERRIDES: dict[str, Any] = {
    "alpaca.calls_per_minute": 600_000.0,
    "alpaca.max_attempts": 2,
    "trading.poll_interval_s": 0.01,
    "trading.settle_timeout_s": 5.0,
    "trading.cancel_timeout_s": 1.0,
    "trading.cash_timeout_s": 0.1,
    "trading.lookup_grace_s": 0.05,
    "rebalancing.max_position_pct": 50.0,  # six names make a portfolio
}
STOPPED = (guards.Refused, Unresolved, IllegalTransition, ProviderError, CannotPlan)


class Crash(BaseException):
    """The end of the process, as far as the code that it strikes can tell."""


class Fuse:
    """Ends a run by `Crash` at its n-th point; points lie before and after each operation. None: never."""

    def __init__(self, length: int | None) -> None:
        self._length = length
        self.points = 0

    def burn(self) -> None:
        if self.points == self._length:
            raise Crash
        self.points += 1

    def around(self, target: Any) -> Any:
        """`target`, broker or ledger, with this fuse before and after each of its operations."""
        return _Fused(target, self)


class _Fused:
    def __init__(self, target: Any, fuse: Fuse) -> None:
        self._target = target
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)

        def operation(*args: Any, **kwargs: Any) -> Any:
            self._fuse.burn()
            result = value(*args, **kwargs)
            self._fuse.burn()
            return result

        return operation if callable(value) else value


@dataclass
class Run:
    """One run: its plan (None if none could be made), how it ended, and the orders of ours that it sent, in order."""

    plan: Plan | None
    outcome: Outcome | None
    error: BaseException | None
    sent: list[Order]
    fired: list[int]
    """How often each fault that was in force has struck."""


@dataclass
class World:
    """`settings` are those of config/settings.yaml, with short waits and what `configure` changes."""

    sandbox: SandboxHandle
    broker: AlpacaResource
    """The tests' own eye; runs have a connection of their own."""
    ledger: Warehouse = field(default_factory=lambda: Warehouse("sqlite://"))
    start: Any = None
    proxy: Proxy | None = None
    """What the runs, not the tests' own eye, see the sandbox through, if anything."""
    runs: list[Run] = field(default_factory=list)
    since: datetime = MONDAY - timedelta(hours=1)
    """Orders before it are no longer looked at."""
    known: set[str] = field(default_factory=set)
    """Ids of all orders that were there after the last run."""
    stuck: set[str] = field(default_factory=set)
    """Ids of orders that were seen in `pending_cancel` when a run had ended: nobody can wait for these."""
    webhook: str = ""
    """Where the runs notify; nowhere but in the log and the ledger without one."""
    _overrides: dict[str, Any] = field(default_factory=dict)
    _known_settings: dict[str, Settings] = field(default_factory=dict)
    _moved: set[str] = field(default_factory=set)

    @property
    def settings(self) -> Settings:
        key = str(sorted(self._overrides.items()))
        if key not in self._known_settings:
            self._known_settings[key] = load_settings(SETTINGS_FILE, {**OVERRIDES, **self._overrides})
        known = self._known_settings[key]
        if self.proxy is None:
            return known
        # The broker in hand must be the one of the settings.
        addresses = {"alpaca_trading_url": self.proxy.url, "alpaca_data_url": self.proxy.url}
        return known.model_copy(update={"environment": known.environment.model_copy(update=addresses)})

    @property
    def channel(self) -> Channel:
        return Channel(self.settings.alerts, SecretStr(self.webhook) if self.webhook else None)

    def begin_ledger(self, address: str = "sqlite://") -> None:
        """An empty one, in which what is held at the start is the strategy's."""
        self.ledger.close()
        self.ledger = Warehouse(address)
        self.adopt(HELD)

    def adopt(self, symbols: Iterable[str], at: datetime = MONDAY - timedelta(days=60)) -> None:
        """What is held of these is the strategy's, as if it had bought it so long ago that nobody compares with it."""
        account, held = self.broker.account().number, self.broker.positions()
        self.ledger.adopt(
            [Adoption(account, FUNDAMENTALS, s, held[s].asset_id, held[s].qty, "the test", at) for s in symbols]
        )

    def adopt_now(self, symbols: Iterable[str]) -> None:
        """As a person does."""
        self.adopt(symbols, self.broker.clock().now)

    def configure(self, **overrides: Any) -> None:
        """Changes settings ("trading.order_type" as trading__order_type) for what runs from now on."""
        self._overrides |= {key.replace("__", "."): value for key, value in overrides.items()}

    def connect(self) -> AlpacaResource:
        return AlpacaResource.from_settings(self.settings)

    def reset(self) -> None:
        """Back to the start, with an empty ledger and the settings of the file."""
        self.sandbox.admin("DELETE", "/sandbox/faults")
        self.proxy = None
        self.sandbox.admin("PUT", "/sandbox/broker", self.start)
        self.sandbox.admin("DELETE", "/sandbox/calls")
        if self._moved:
            self.move({symbol: PRICES[symbol] for symbol in self._moved})
            self._moved = set()
        self._overrides = {}
        self.runs, self.known, self.stuck = [], set(), set()
        self.webhook = ""
        self.begin_ledger()

    def faults(self, *rules: Mapping[str, Any]) -> None:
        self.sandbox.admin("PUT", "/sandbox/faults", list(rules))

    @contextmanager
    def rewritten(self) -> Iterator[Proxy]:
        """The runs of this block go through a proxy that can change single answers."""
        try:
            with rewriting(self.sandbox.url) as self.proxy:
                yield self.proxy
        finally:
            self.proxy = None

    def calls(self, endpoint: str) -> int:
        return int(self.sandbox.admin("GET", "/sandbox/calls").get(endpoint, 0))

    def move(self, prices: Mapping[str, Decimal]) -> None:
        self._moved |= prices.keys()
        self.sandbox.admin("PUT", "/sandbox/prices", {symbol: str(price) for symbol, price in prices.items()})

    def now(self) -> datetime:
        return datetime.fromisoformat(self.sandbox.admin("GET", "/sandbox/clock")["now"])

    def set_clock(self, now: datetime) -> None:
        self.sandbox.admin("PUT", "/sandbox/clock", {"now": now.isoformat()})

    def next_session(self) -> None:
        """35 minutes after the next open; day orders have expired by then."""
        day = self.now().astimezone(calendar.NEW_YORK).date()
        session = next(found for ahead in range(1, 8) if (found := calendar.session_on(day + timedelta(days=ahead))))
        self.set_clock(session.open + timedelta(minutes=35))

    def next_week(self) -> None:
        monday = calendar.week_of(self.now()) + timedelta(days=7)
        self.set_clock(calendar.first_session_of_week(monday).open + timedelta(minutes=35))

    def plan(self, targets: Mapping[str, float] | None = None) -> Plan:
        return self.planned(targets)[1]

    def planned(
        self, targets: Mapping[str, float] | None = None, last: Made[TradePlanDetails] | None = None
    ) -> tuple[Made[TradePlanDetails], Plan]:
        """A plan with its table; `last` is that of the plan before it."""
        with self.connect() as broker:
            now = broker.clock().now
            weights = target_weights(TARGETS if targets is None else targets, now - timedelta(days=2))
            clock, week = AlpacaClock(broker), calendar.week_of(now)
            return make_plan(weights, week, broker, clock, self.settings, lambda number: self.past(number, last))

    def past(self, number: str, last: Made[TradePlanDetails] | None = None) -> Past:
        return Past(self.ledger.owned(number), last)

    def rebalance(self, plan: Plan, sleep: Callable[[float], None] = time.sleep, fuse: Fuse | None = None) -> Outcome:
        """One run of the plan on its own connection; what it raises comes through."""
        with self.connect() as connected:
            broker, ledger = (connected, self.ledger) if fuse is None else map(fuse.around, (connected, self.ledger))
            venue = Venue(broker, broker, Waiting(broker, sleep), connected.differing_from)
            notify = notify_of_run(Notifier(), ledger, self.channel)
            return Rebalance(plan, venue, ledger, self.settings, notify).run()

    def attempt(
        self, plan: Plan | None = None, targets: Mapping[str, float] | None = None, fuse: Fuse | None = None
    ) -> Run:
        """The week's job, from a new plan unless one is given; its refusal, failure or crash is in the result.

        The faults in force may strike planning, too; they are lifted when the run has ended.
        """
        outcome, error = None, None
        try:
            plan = self.plan(targets) if plan is None else plan
            outcome = self.rebalance(plan, fuse=fuse)
        except (*STOPPED, Crash) as stopped:
            error = stopped
        fired = [rule["fired"] for rule in self.sandbox.admin("GET", "/sandbox/faults")]
        self.faults()
        orders = self.orders()
        sent = [order for order in orders if order.id not in self.known and is_ours(order)]
        self.known |= {order.id for order in orders}
        self.stuck |= {order.id for order in orders if order.status == "pending_cancel"}
        self.runs.append(Run(plan, outcome, error, sent, fired))
        return self.runs[-1]

    def orders(self) -> list[Order]:
        """Everybody's, oldest first."""
        return self.broker.orders(after=self.since)

    def submit(self, symbol: str, side: Any, **fields: Any) -> Order:
        """An order of somebody else."""
        return self.broker.submit(symbol, side, f"someone-{next(_numbers)}", **fields)

    def wait_until_filled(self, symbol: str | None = None) -> None:
        while any(symbol in (None, order.symbol) for order in self.broker.orders(status="open")):
            time.sleep(0.005)

    def cancel_foreign(self) -> None:
        for order in self.broker.orders(status="open"):
            if not is_ours(order):
                self.broker.cancel(order.id)

    def cancel_ours(self, symbol: str) -> None:
        """By hand, in the broker's dashboard."""
        for order in self.broker.orders(status="open"):
            if order.symbol == symbol:
                self.broker.cancel(order.id)

    def holdings(self) -> dict[str, Decimal]:
        return {symbol: position.qty for symbol, position in self.broker.positions().items()}

    def cash(self) -> Decimal:
        return self.broker.account().cash

    def buying_power(self) -> Decimal:
        """As the broker tells it: no order of ours rests on it."""
        environment = self.settings.environment
        keys = {"APCA-API-KEY-ID": "ALPACA_API_KEY", "APCA-API-SECRET-KEY": "ALPACA_SECRET_KEY"}
        headers = {header: environment.secret(name) for header, name in keys.items()}
        answer = requests.get(f"{self.sandbox.url}/v2/account", headers=headers, timeout=30)
        return Decimal(answer.json()["buying_power"])

    def equity(self) -> Decimal:
        return self.broker.account().equity

    def wrongs(self) -> list[str]:
        """What must never be and is, as sentences; empty when all is well."""
        account, positions = self.broker.account(), self.broker.positions()
        orders = [order for order in self.orders() if is_ours(order)]
        rows = {
            row.client_order_id: row
            for week in {
                calendar.week_of(self.since),
                *(run.plan.week for run in self.runs if run.plan is not None),
            }
            for row in self.ledger.orders_of_week(account.number, week)
        }
        found = []
        power = self.buying_power()
        if account.cash < 0 or power < 0:
            found.append(f"cash is {account.cash}, buying power {power}")
        found += [f"{p.symbol}: {p.qty} shares, {p.qty_available} available" for p in positions.values() if p.qty <= 0]
        found += [f"{p.symbol}: {p.qty_available} shares available" for p in positions.values() if p.qty_available < 0]
        sent: dict[tuple[str, str, str], str] = {}
        for order in orders:
            row = rows.get(order.client_order_id)
            if row is None:
                found.append(f"{order.client_order_id} is at the broker, the ledger does not know it")
                continue
            if (row.symbol, row.side, row.qty, row.notional) != (order.symbol, order.side, order.qty, order.notional):
                found.append(f"{order.client_order_id} is another order at the broker than in the ledger")
            if row.status in CLOSED and (row.status, row.filled_qty) != (order.status, order.filled_qty):
                found.append(f"{order.client_order_id} is {order.status} at the broker, {row.status} in the ledger")
            if row.status in (REFUSED, ABANDONED):
                found.append(f"{order.client_order_id} is {row.status} in the ledger and {order.status} at the broker")
            key = row.plan_id, row.symbol, row.side
            if key in sent:
                found.append(f"{sent[key]} and {order.client_order_id} are two orders for one of plan {row.plan_id}")
            sent[key] = order.client_order_id
        found += [f"{r.client_order_id}: {r.note}" for r in rows.values() if "insufficient" in (r.note or "")]
        found += [
            f"{buy.client_order_id} was sent while {sell.client_order_id} was not final"
            for buy, sell in itertools.product(orders, orders)
            if (buy.side, sell.side) == ("buy", "sell")
            and sell.id not in self.stuck
            and instant(sell.submitted_at) < instant(buy.submitted_at)
            and not (sell.status in CLOSED and instant(sell.updated_at) <= instant(buy.submitted_at))
        ]
        for run in self.runs:
            sides = [order.side for order in run.sent]
            if sides != sorted(sides, reverse=True):
                found.append(f"a run sent {', '.join(sides)}")
        flaw = self.ledger.verify_audit()
        if flaw is not None:
            found.append(f"audit record {flaw.seq} {flaw.what}")
        return found

    def books(self, run: Run) -> list[str]:
        """What ledger and broker say differently after a run that has come to its end; empty when they agree."""
        assert run.plan is not None
        assert run.outcome is not None
        at_broker = {order.client_order_id: order for order in self.orders()}
        fills = {fill.id: fill for fill in self.broker.fills(after=run.plan.created_at)}
        found = list(run.outcome.reconciliation.discrepancies if run.outcome.reconciliation else ["not reconciled"])
        for row in run.outcome.orders:
            order = at_broker.get(row.client_order_id)
            if order is None:
                if row.status not in (REFUSED, UNKNOWN, ABANDONED):
                    found.append(f"{row.client_order_id} is {row.status} in the ledger, the broker does not know it")
            elif (row.status, row.filled_qty) != (order.status, order.filled_qty):
                found.append(f"{row.client_order_id}: {row.status} {row.filled_qty}, {order.status} {order.filled_qty}")
        kept = {fill.id: fill for fill in self.ledger.fills_of(run.plan.account, run.plan.created_at)}
        found += [f"fill {one} is known to one side only" for one in kept.keys() ^ fills.keys()]
        found += [
            f"fill {one} differs"
            for one in kept.keys() & fills.keys()
            if (kept[one].qty, kept[one].price, kept[one].symbol, kept[one].side)
            != (fills[one].qty, fills[one].price, fills[one].symbol, fills[one].side)
        ]
        return found


_numbers = itertools.count(1)


def is_ours(order: Order) -> bool:
    return order.client_order_id.startswith("tokenomics-")


def instant(at: datetime | None) -> datetime:
    assert at is not None
    return at


def amount(fill: Fill | FillRow) -> Decimal:
    """The cash that a fill moves, USD."""
    return (fill.qty * fill.price).quantize(Decimal("0.01"), ROUND_HALF_UP)


def target_weights(weights: Mapping[str, float], scores_as_of: datetime) -> Made[TargetWeightsDetails]:
    """`TargetWeights` of these weights."""
    ranked = sorted(weights, key=lambda symbol: (-weights[symbol], symbol))
    frame = pd.DataFrame(
        {
            "symbol": ranked,
            "weight": [weights[symbol] for symbol in ranked],
            "score": [100.0 - place / 10 for place in range(len(ranked))],
            "market_cap_musd": [1000.0] * len(ranked),
            "rank": range(1, len(ranked) + 1),
        }
    )
    return Made(frame, scores_as_of, TargetWeightsDetails(scores_as_of=scores_as_of, cash_weight=0.0))


@contextmanager
def running_world(folder: Path, **options: Any) -> Iterator[World]:
    """A world at its start: the names of PRICES are listed, those of HELD are held since the week before."""
    with running_sandbox(**{"listings": 200, "seed": 7, "fill_delay_s": 0.01, **options}) as sandbox:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)  # a developer's .env is none of these tests' business
            for name in Environment.model_fields:
                patch.delenv(name.upper(), raising=False)
            for name, value in sandbox.environment().items():
                patch.setenv(name, value)
            world = World(sandbox, AlpacaResource.from_settings(load_settings(SETTINGS_FILE, OVERRIDES)))
            known = next(asset.symbol for asset in world.broker.assets().values() if asset.exchange == "NYSE")
            listing = sandbox.admin("GET", f"/sandbox/listings/{known}")
            for symbol, price in PRICES.items():
                body = {"symbol": symbol, "price": str(price), "type": "Common Stock", "tradable": True}
                body["fractionable"] = symbol not in WHOLE_SHARES
                sandbox.admin("POST", "/sandbox/listings", {**listing, **body})
            for symbol, weight in HELD.items():
                usd = Decimal(100_000) * Decimal(str(weight))
                whole = {"qty": usd // PRICES[symbol]} if symbol in WHOLE_SHARES else {"notional": usd}
                world.submit(symbol, "buy", **whole)
            world.wait_until_filled()
            world.set_clock(MONDAY)
            world.start = sandbox.admin("GET", "/sandbox/broker")
            world.adopt(HELD)
            try:
                yield world
            finally:
                world.broker.close()
                world.ledger.close()
        assert sandbox.log() == "", "the sandbox has written to its error log"
