"""Three years of weeks in which everything happens: only in `make soak`.

Each week is a sweep, scores, and as many ticks of the rebalance's schedule as it takes, each in a process that may be
killed. What must hold at the end of each: cash and shares are what the broker's activities make of them, to the cent
and the ninth decimal; no name was sold for a reason that is not in the rules, by figures that are true; a week that was
not done was told to a person. The weeks are few in `make test`.
"""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from rich.console import Console
from rich.table import Table

from tokenomics_dagster.fundamentals.schema import Scores
from tokenomics_dagster.interfaces.demo import FAST, environment
from tokenomics_dagster.model import calendar
from tokenomics_dagster.portfolio.schema import TargetWeights
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.sandbox.server import SandboxHandle, running_sandbox
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster_tests.conftest import REPOSITORY
from tokenomics_dagster_tests.rewriting import rewriting
from tokenomics_dagster_tests.years.events import COMPANIES, REFRESH, SESSION, SWEEP, Life, happen
from tokenomics_dagster_tests.years.processes import End, Processes
from tokenomics_dagster_tests.years.truth import Book, Truth, unexplained

FIRST_WEEK = date(2023, 10, 30)
WEEKS = 156
SIZE, HELD = 60, 20
CHANGES = {
    "universe": {"size": SIZE},
    "rebalancing": {"first_week": FIRST_WEEK, "top_n_stocks": HELD, "max_position_pct": 10.0},
    "trading": {"poll_interval_s": 0.05, "settle_timeout_s": 3.0, "cancel_timeout_s": 1.0, "lookup_grace_s": 0.2},
    # The plans of these weeks need no approval; that they wait where they must is shown elsewhere.
    "guards": {"max_turnover_pct": 200.0, "max_sold_pct": 100.0, "max_exits": 1000},
}
KILLED = 0.3
"""Of the weeks; one of their processes."""


class Years:
    """The platform, lived through week by week; what is wrong is collected in `wrongs`."""

    def __init__(self, folder: Path, sandbox: SandboxHandle, life: Life, processes: Processes, seed: int) -> None:
        self._folder = folder
        self._sandbox = sandbox
        self._life = life
        self._processes = processes
        self._draw = random.Random(seed)
        self.store = Warehouse(f"sqlite:///{folder}/warehouse.db")
        self.wrongs: list[str] = []
        self.counts: Counter[str] = Counter()
        self._before: Book | None = None
        self._seen: set[str] = set()

    def end(self) -> None:
        self._processes.kill()
        self.store.close()

    def run(self, number: int) -> None:
        week = FIRST_WEEK + timedelta(weeks=number)
        self._at(datetime.combine(week - timedelta(days=3), datetime.min.time(), calendar.NEW_YORK), hours=12)
        life = self._life
        life.log = []
        life.held = sorted(life.hand.positions())
        if number == 0:
            self._must("universe_refresh")
            life.universe = self._followed()
            life.truth.read(life.universe)
            self._before = self._book()
        elif number % 4 == 0:
            life.hidden = set()
            happen(life, REFRESH)
            if self._job("universe_refresh").success:
                life.looks = {symbol: life.looks.get(symbol, 0) + 1 for symbol in life.hidden}
            self._processes.run("look")
            life.proxy.clear()
            life.universe = [s for s in self._followed() if s not in life.truth.gone and s not in life.truth.renamed]
        self._figures_move()
        life.truth.read(life.universe)
        happen(life, SWEEP)
        self._at(datetime.combine(week - timedelta(days=2), datetime.min.time(), calendar.NEW_YORK), hours=2)
        swept = self._job("fundamentals_refresh").success
        if not (swept and self._job("score").success):
            self.counts["data that was refused"] += 1
            # A person has it asked for anew once the provider is well.
            life.proxy.clear()
            self._at(datetime.combine(week - timedelta(days=1), datetime.min.time(), calendar.NEW_YORK), hours=2)
            self._job("fundamentals_refresh", config={"ops": {"financials": {"config": {"again": True}}}})
            self._job("score")
        life.proxy.clear()
        self._monday(week)
        self._judge(week)

    def _monday(self, week: date) -> None:
        opened = calendar.first_session_of_week(week).open
        self._sandbox.admin("PUT", "/sandbox/clock", {"now": (opened - timedelta(minutes=10)).isoformat()})
        self._life.held = sorted(self._life.hand.positions())
        happen(self._life, COMPANIES)
        done = False
        for number, day in enumerate(week + timedelta(days=days) for days in range(5)):
            session = calendar.session_on(day)
            if session is None:
                continue
            self._sandbox.admin("PUT", "/sandbox/clock", {"now": (session.open + timedelta(minutes=35)).isoformat()})
            self._life.proxy.clear()
            if number == 0 or self._draw.random() < 0.2:
                happen(self._life, SESSION)
            kill = self._draw.uniform(0.3, 4.0) if number == 0 and self._draw.random() < KILLED else None
            for _ in range(3):
                tick = self._processes.run("tick", schedule="rebalance").said
                if tick["weeks"] != [week.isoformat()]:
                    break
                self.counts["rebalances begun"] += 1
                if self._job("rebalance", week=week.isoformat(), kill_after_s=kill).killed:
                    self.counts["rebalances killed"] += 1
                    kill = None
                else:
                    break
            self._life.proxy.clear()
            tick = self._processes.run("tick", schedule="rebalance").said
            if "rebalanced" in tick["skip"] or "nothing was planned" in tick["skip"]:
                done = True
                self.counts[f"weeks done in session {number + 1}"] += 1
                break
        if not done:
            self.counts["weeks not done"] += 1
            self._processes.run("look")
            told = {key: alert.detail for key, alert in self.store.alerts().items()}
            if not any(key == "halt" or "rebalance" in key or "orders" in key or "trade_plan" in key for key in told):
                self.wrongs.append(f"{week}: not done, and nobody was told: {tick}, {told}")
            halt = self.store.halted()
            if halt is not None:
                self.counts["halts"] += 1
                self.store.resume("looked at", by="test", at=datetime.fromisoformat(self._now()))

    def _judge(self, week: date) -> None:
        """What must hold at the end of a week."""
        with suppress(requests.RequestException):
            for order in self._life.hand.orders(status="open"):
                self._life.hand.cancel(order.id)
        now = self._book()
        assert self._before is not None
        fresh = [one for one in self._activities() if one["id"] not in self._seen]
        self._seen |= {one["id"] for one in fresh}
        orders = self._life.hand.orders(after=self._before.at - timedelta(days=1))
        ours = {order.id: order for order in orders if order.client_order_id.startswith("tokenomics-")}
        kept = {fill.id for fill in self.store.fills_of(self._account(), self._before.at - timedelta(days=8))}
        found = unexplained(self._before, now, fresh, ours.keys(), kept)
        scores = self.store.load_snapshot("scores", Scores)
        targets = self.store.load_snapshot("target_weights", TargetWeights, partition=week.isoformat())
        if scores is not None:
            found += self._life.truth.untrue(scores)
        ledger = {row.broker_id for row in self.store.orders_of_week(self._account(), week)}
        for order in ours.values():
            if order.client_order_id.startswith(f"tokenomics-fundamentals-{week}-") and order.id not in ledger:
                found.append(f"{order.client_order_id} is not in the ledger")
            if order.side == "sell" and f"-{week}-" in order.client_order_id and targets is not None:
                found += self._sale(order.symbol, targets, scores)
        flaw = self.store.verify_audit()
        if flaw is not None:
            found.append(f"audit record {flaw.seq} {flaw.what}")
        self.wrongs += [f"{week}: {one} (events: {', '.join(self._life.log)})" for one in found]
        (self._folder / "wrongs").write_text("\n".join(self.wrongs))  # for who does not want to wait for three years
        self.counts.update(event.split(" (")[0] for event in self._life.log)
        self._before = now

    def _sale(self, symbol: str, targets: Any, scores: Any) -> list[str]:
        """Why a stock was sold although the rules do not say so."""
        # Between two universes a renamed stock is scored and decided on by its old symbol, and traded by the new one.
        names = [symbol, *(old for old in self._life.truth.renamed if self._life.truth.now(old) == symbol)]
        if set(names) & set(targets["symbol"]):
            return []  # a part of it, or by the guards of the plan
        # Once the universe has the new symbol, no older one excuses that it is not scored.
        symbol = next((name for name in names if name in set(scores["symbol"])), symbol)
        row = scores[scores["symbol"] == symbol]
        if row.empty:
            return [] if self._left_by_a_rule(symbol) else [f"{symbol} was sold: it was in no universe, and by no rule"]
        score = row["score"].iloc[0]
        if score != score:
            true = self._life.truth.of(symbol)[-1]
            if true[0] is None or true[1] is None or (true[2] is None and true[3] is None) or true[1] < 0:
                return []
            return [f"{symbol} was sold for want of a score ({row['reason'].iloc[0]}), its figures are {true}"]
        ranked = scores.sort_values("score", ascending=False)["symbol"].tolist()
        return (
            []
            if ranked.index(symbol) >= HELD or score < 50
            else [f"{symbol} was sold with rank {ranked.index(symbol)}"]
        )

    def _left_by_a_rule(self, symbol: str) -> bool:
        """By its rank, because it is no more, or because `universe.leave_after_refreshes` have not seen it."""
        if symbol in self._life.truth.gone or symbol in self._life.truth.renamed or self._life.looks.get(symbol, 0) > 1:
            return True
        listing = self._sandbox.admin("GET", f"/sandbox/listings/{symbol}")
        with self._connect() as broker:
            price = broker.snapshots([symbol])[symbol].price
        shares = listing["profile"].get("shareOutstanding")
        universe = self._universe()
        return price is None or shares is None or float(price) * shares <= 1.3 * universe["market_cap_musd"].min()

    def _figures_move(self) -> None:
        for symbol in self._draw.sample(self._life.universe, min(8, len(self._life.universe))):
            metric = self._sandbox.admin("GET", f"/sandbox/listings/{symbol}")["metric"]
            changed = {
                key: round(metric[key] + self._draw.gauss(0, 6), 4)
                for key in ("roeTTM", "revenueGrowthTTMYoy", "epsGrowthTTMYoy")
                if isinstance(metric.get(key), int | float)
            }
            self._sandbox.admin("PATCH", f"/sandbox/metrics/{symbol}", changed)

    def _job(self, name: str, *, kill_after_s: float | None = None, **arguments: Any) -> End:
        end = self._processes.run("job", name=name, kill_after_s=kill_after_s, **arguments)
        if not end.killed and not end.success:
            self.counts[f"{name}: failed or refused"] += 1
        return end

    def _must(self, name: str) -> None:
        end = self._job(name)
        assert end.success, end.said

    def _at(self, midnight: datetime, *, hours: int) -> None:
        self._sandbox.admin("PUT", "/sandbox/clock", {"now": (midnight + timedelta(hours=hours)).isoformat()})

    def _now(self) -> str:
        return str(self._sandbox.admin("GET", "/sandbox/clock")["now"])

    def _connect(self) -> AlpacaResource:
        return AlpacaResource(**self._life.hand.model_dump())

    def _universe(self) -> Any:
        from tokenomics_dagster.universe.schema import Universe

        return self.store.load_snapshot("universe", Universe)

    def _followed(self) -> list[str]:
        return list(self._universe()["symbol"])

    def _account(self) -> str:
        return self._life.hand.account().number

    def _book(self) -> Book:
        # Prices move between two calls: what stands together is what was asked while they did not.
        for _ in range(100):
            account = self._life.hand.account()
            positions = self._get("/v2/positions")
            if self._life.hand.account().equity == account.equity:
                break
        return Book(
            datetime.fromisoformat(self._now()),
            account.cash,
            account.equity,
            {row["symbol"]: (Decimal(row["qty"]), Decimal(row["market_value"] or 0)) for row in positions},
        )

    def _activities(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        fields: dict[str, Any] = {"direction": "desc", "page_size": 100}
        while True:
            page = self._get("/v2/account/activities", fields)
            found += page
            if len(page) < 100 or page[-1]["id"] in self._seen:
                return found
            fields["page_token"] = page[-1]["id"]

    def _get(self, path: str, fields: dict[str, Any] | None = None) -> Any:
        variables = self._sandbox.environment()
        keys = {"APCA-API-KEY-ID": variables["ALPACA_API_KEY"], "APCA-API-SECRET-KEY": variables["ALPACA_SECRET_KEY"]}
        answer = requests.get(f"{self._sandbox.url}{path}", params=fields, headers=keys, timeout=30)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def years(folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> Iterator[Years]:
    document = yaml.safe_load((REPOSITORY / "config/settings.yaml").read_text())
    for changes in (FAST, CHANGES):
        for section, values in changes.items():
            document[section] |= values
    (folder / "settings.yaml").write_text(yaml.safe_dump(document))
    (folder / "dagster").mkdir()
    (folder / "dagster/dagster.yaml").write_text("telemetry: {enabled: false}\n")
    start = datetime.combine(FIRST_WEEK, datetime.min.time(), calendar.NEW_YORK) - timedelta(days=3)
    options: dict[str, Any] = {"listings": 300, "seed": seed, "volatility_pct": 1.0, "fill_delay_s": 0.02}
    with (
        running_sandbox(**options, now=start.isoformat()) as sandbox,
        rewriting(sandbox.url) as proxy,
    ):
        addresses = {name: value.replace(sandbox.url, proxy.url) for name, value in sandbox.environment().items()}
        variables = environment(folder, addresses, folder / "settings.yaml")
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        hand = AlpacaResource(
            trading_url=sandbox.url, data_url=sandbox.url, paper=True, calls_per_minute=600_000.0, max_attempts=3
        )
        life = Life(sandbox, proxy, Truth(sandbox), hand, random.Random(seed))
        made = Years(folder, sandbox, life, Processes(variables, folder), seed)
        try:
            yield made
        finally:
            made.end()
            hand.close()


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1])
def test_three_years_in_which_everything_happens_are_explained_to_the_cent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], record_property: Any, seed: int
) -> None:
    with years(tmp_path, monkeypatch, seed) as lived:
        for number in range(WEEKS):
            lived.run(number)
        record_property("weeks", WEEKS)
        with capsys.disabled():
            table = Table("what", "how often", title=f"{WEEKS} weeks")
            for what, count in sorted(lived.counts.items()):
                table.add_row(what, str(count))
            Console().print(table)
        assert not lived.wrongs, "\n".join(lived.wrongs)
        for what in ("rebalances killed", "weeks done in session 1", "split", "rename", "delisting"):
            assert lived.counts[what] > 0, what
