"""A year of weekly rebalances with random faults, on a market that moves: only in `make soak`."""

import random
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from tokenomics_dagster.sandbox.faults import HTTP_KINDS, ORDER_KINDS
from tokenomics_dagster_tests.execution.world import Crash, Fuse, Run, World, amount, running_world

WEEKS = 52
NAMES = 40
TOLERANCE = 0.005
"""Of equity, beyond what the filters leave alone: the cash buffer, spreads, prices that move while orders are sent."""


def random_faults(draw: random.Random) -> list[dict[str, Any]]:
    """A bad day: some calls and some orders go wrong, any of them."""
    rules: list[dict[str, Any]] = []
    for _ in range(draw.randint(0, 3)):
        kind = draw.choice(HTTP_KINDS)
        seconds = {"429": {"seconds": 0}, "slow": {"seconds": 1}}.get(kind, {})
        endpoint = draw.choice(["POST /v2/orders", "GET /v2/orders*", "DELETE /v2/orders/*", "* /v2/*"])
        rules.append(
            {"kind": kind, "endpoint": endpoint, "probability": 0.05, "seed": draw.randrange(10**6), **seconds}
        )
    for _ in range(draw.randint(0, 2)):
        kind = draw.choice(ORDER_KINDS)
        strikes = {"probability": 0.1, "seed": draw.randrange(10**6)}
        # Only what does not fill is cancelled.
        rules += (
            [{"kind": kind}, {"kind": "halt", **strikes}] if kind == "cancel_sticks" else [{"kind": kind, **strikes}]
        )
    return rules


def random_targets(draw: random.Random, names: list[str], before: dict[str, float]) -> dict[str, float]:
    """Some three quarters of the names stay, and their scores, by which they are weighted, change a little."""
    stay = [name for name in before if draw.random() < 0.9]
    others = draw.sample([name for name in names if name not in stay], NAMES - 10 - len(stay))
    scores = {name: draw.uniform(50, 100) for name in (*stay, *others)}
    total = sum(scores.values()) * 1.001  # rounding must not make more than 1 of it
    return {name: score / total for name, score in scores.items()}


@pytest.mark.soak
def test_a_year_of_bad_weeks_ends_each_week_on_its_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    draw = random.Random(52)
    ends: Counter[str] = Counter()
    with running_world(tmp_path, volatility_pct=2.0, listings=400) as world:
        world.begin_ledger(f"sqlite:///{tmp_path}/warehouse.db")
        world.configure(guards__max_sold_pct=100.0, guards__max_turnover_pct=200.0)
        names = tradable_names(world)
        targets: dict[str, float] = {}
        worst = 0.0
        cash, start = world.cash(), world.now()
        for _ in range(WEEKS):
            world.next_week()
            world.since, world.runs = world.now() - timedelta(hours=1), []
            targets = random_targets(draw, names, targets)
            week = bad_week(world, targets, draw, ends)
            assert week.plan is not None
            found = drifts(world, targets)
            assert max(beyond for _, beyond in found.values()) < TOLERANCE, week.plan.week
            worst = max(worst, *(drift for drift, _ in found.values()))
            assert world.books(week) == []
            assert world.wrongs() == []
            assert world.cash() == cash + sum(
                amount(fill) if fill.side == "sell" else -amount(fill)
                for fill in world.ledger.fills_of(week.plan.account, start)
            )
            ends["orders"] += sum(len(run.sent) for run in world.runs)
    with capsys.disabled():
        table = Table("what", "how often")
        for what, count in (*sorted(ends.items()), ("largest drift, %", f"{100 * worst:.2f}")):
            table.add_row(what, str(count))
        Console().print(table)
    for what in ("struck runs that stopped", "struck runs that were killed", "weeks with a stuck order"):
        assert ends[what] > 0


def bad_week(world: World, targets: dict[str, float], draw: random.Random, ends: Counter[str]) -> Run:
    """A struck run, its repetition, and a run from a new plan, the next day if something is stuck; the last of them."""
    world.configure(
        alpaca__max_attempts=1, alpaca__timeout_s=0.5, trading__settle_timeout_s=0.3, trading__cancel_timeout_s=0.1
    )
    world.faults(*random_faults(draw))
    struck = world.attempt(targets=targets, fuse=Fuse(draw.choice([None, None, draw.randrange(400)])))
    if isinstance(struck.error, Crash):
        ends["struck runs that were killed"] += 1
    else:
        ends["struck runs that " + ("ended" if struck.error is None else "stopped")] += 1
    assert world.wrongs() == []
    world.configure(
        alpaca__max_attempts=5, alpaca__timeout_s=15.0, trading__settle_timeout_s=5.0, trading__cancel_timeout_s=0.5
    )
    if struck.plan is not None:
        again = world.attempt(struck.plan)
        assert again.error is None
    if world.broker.orders(status="open"):
        ends["weeks with a stuck order"] += 1
        world.next_session()
    last = world.attempt(targets=targets)
    assert last.error is None
    return last


def tradable_names(world: World) -> list[str]:
    """Names whose share is worth less than the drift that is allowed, and whose tick is no wide spread."""
    assets = [asset for asset in world.broker.assets().values() if asset.tradable and asset.exchange != "OTC"]
    assets = [asset for asset in assets if "ptp_no_exception" not in asset.attributes]
    market = world.broker.snapshots([asset.symbol for asset in assets])
    prices = {symbol: snapshot.price for symbol, snapshot in market.items() if snapshot.price is not None}
    return sorted(symbol for symbol, price in prices.items() if 20 < price < 600)[:NAMES]


def drifts(world: World, targets: dict[str, float]) -> dict[str, tuple[float, float]]:
    """By name: the difference between weight and target, and by how much it exceeds what the filters leave alone."""
    equity, rules = float(world.equity()), world.settings.rebalancing
    values = {symbol: float(p.market_value or 0) for symbol, p in world.broker.positions().items()}
    names = sorted(values.keys() | targets.keys())
    prices = {symbol: float(snapshot.price or 0) for symbol, snapshot in world.broker.snapshots(names).items()}
    assets = world.broker.assets()
    found = {}
    for name in names:
        target = targets.get(name, 0.0)
        drift = abs(values.get(name, 0.0) / equity - target)
        one_share = 0.0 if assets[name].fractionable else prices[name]
        allowed = max(target * rules.rebalance_threshold_pct / 100, max(rules.min_trade_usd, one_share) / equity)
        found[name] = drift, drift - allowed
    return found
