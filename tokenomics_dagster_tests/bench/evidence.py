"""What `make bench` measures of backtests: the engine against a plain loop and its peers, equality asserted first.

The plain loops are oracle.py's, the markets dense.py's; vectorbt and bt run in an environment of their own (peers.py).
Seconds are those of the CPU. What is compared on the recorded history is left out where that is not there.
"""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pandas as pd

from tokenomics_dagster.fundamentals.scoring import FIGURES
from tokenomics_dagster.research.bootstrap import bootstrap
from tokenomics_dagster.research.deciding import decisions
from tokenomics_dagster.research.engine import simulate, simulate_many
from tokenomics_dagster.research.experiment import Costs, Experiment
from tokenomics_dagster.research.inputs import load_panel
from tokenomics_dagster.research.panel import Fundamentals, Panel
from tokenomics_dagster.research.runs import Decisions, Rules, Run
from tokenomics_dagster.settings import Settings
from tokenomics_dagster.settings.environment import Environment
from tokenomics_dagster_tests.bench import oracle
from tokenomics_dagster_tests.bench.dense import Dense, by_lot, decided, dense, figures, first_sessions, with_events
from tokenomics_dagster_tests.bench.measurements import BenchError, Ratio
from tokenomics_dagster_tests.bench.oracle import Targets
from tokenomics_dagster_tests.conftest import REPOSITORY, SHARED
from tokenomics_dagster_tests.research.markets import FULL, PLAIN, kept_by_hand, under

PEERS = REPOSITORY / ".venv/peers/bin/python"
EQUAL = 1e-6  # of equity, on every session
FULL_LIMIT = (
    0.005 / 0.0116
)  # s, on the machine where the plain loop takes 0.0116: others are slower, or have neighbours
EVERYTHING = under(
    FULL,
    fill="next_close",
    costs=Costs(by_volume=True, fee_usd=1, impact=0.5),
    cash_buffer_pct=0.25,
    haircut_pct=55,
    interest_pct=2,
)


def evidence(quick: bool) -> Iterator[Ratio]:
    """Equality on every session, then CPU seconds and memory, each beside its limit."""
    if SHARED.exists():
        yield from _recorded(quick)
    market = dense(400, 150) if quick else dense(2520, 1500)
    yield from _one_run(market, quick)
    yield from _many_runs(market, quick)
    yield from _growth(market, quick)
    yield _bootstraps(quick)
    if SHARED.exists():
        yield from _loading(quick)


def _recorded(quick: bool) -> Iterator[Ratio]:
    """The oracle runs of C1 to C7: the engine, vectorbt and bt against the plain loop."""
    grids = oracle.recorded(SHARED)
    panel = Panel(grids.dates, tuple(grids.symbols.tolist()), grids.price, grids.returns, grids.cap, grids.volume)
    worth = oracle.anchored(grids.price, grids.returns)
    runs = {"fundamentals": oracle.by_fundamentals(grids, SHARED)}
    if not quick:
        runs |= {f"{name} weight": oracle.by_size(grids, equal=name == "equal") for name in ("equal", "cap")}
    for name, targets in runs.items():
        held = np.unique(np.concatenate([target.names for target in targets]))
        for mode in ("plain", "full"):
            if mode == "plain":
                run, equity = simulate(panel, decided(targets), PLAIN), oracle.plain(grids.returns, targets)
                close, wanted = np.cumprod(1 + grids.returns[:, held], axis=0), {"weights": _matrix(targets, held)}
            else:
                run = simulate(panel, decided(targets), FULL)
                equity, orders = oracle.full(worth, targets)
                close, wanted = _without_gaps(worth[:, held]), {"orders": orders[:, held]}
            peers = _peers(panel, targets, close, wanted, 0.0 if mode == "plain" else 0.0005)
            apart = {"engine": run.equity, "vectorbt": peers.vectorbt, "bt": peers.bt}
            told = {who: float(np.max(np.abs(found / equity - 1))) for who, found in apart.items()}
            yield Ratio(
                f"recorded, {name}, {mode}: largest difference / {EQUAL:g}",
                (max(told.values()) / EQUAL,),
                1.0,
                f"{_ending(run)}; off the plain loop: {', '.join(f'{who} {much:.1g}' for who, much in told.items())}",
            )


def _one_run(market: Dense, quick: bool) -> Iterator[Ratio]:
    """A run in each mode, in turns with the plain loop over the same panel."""
    panel, targets, wishes = market.panel, market.targets, decided(market.targets)
    plain, worth = oracle.plain(panel.returns, targets), oracle.anchored(panel.price, panel.returns)
    full, _ = oracle.full(worth, targets)
    _require("plain mode", simulate(panel, wishes, PLAIN).equity, plain)
    _require("full mode", simulate(panel, wishes, FULL).equity, full)
    lively = with_events(panel)
    run = simulate(lively, wishes, EVERYTHING)
    cash, shares = kept_by_hand(lively, EVERYTHING, run)
    _require("every feature", run.equity, cash + (shares * lively.price).sum(axis=1))
    known, experiment, settings = figures(panel), _experiment(), _settings()
    scored = decisions(panel, known, experiment, settings)
    by_score, _ = oracle.full(worth, _scored(panel, known))
    _require("scores to equity", simulate(panel, scored, FULL).equity, by_score)

    def beside_the_loop(work: Callable[[], object]) -> list[tuple[float, float]]:
        return _in_turns(work, lambda: oracle.plain(panel.returns, targets), quick)

    held = np.unique(wishes.names)
    beside = []
    for names in (held,) if quick else (held, np.arange(len(panel.symbols))):
        matrix = {"weights": _matrix(targets, names)}
        peers = _peers(panel, targets, np.cumprod(1 + panel.returns[:, names], axis=0), matrix, 0.0)
        _require("vectorbt", peers.vectorbt, plain)
        _require("bt", peers.bt, plain)
        beside.append(f"{len(names):,} columns: vectorbt {peers.seconds[0]:.2g} s, bt {peers.seconds[1]:.2g} s")
    pairs = beside_the_loop(lambda: simulate(panel, wishes, PLAIN))
    yield _against("plain mode / plain numpy loop", pairs, 1.5, "; ".join(beside))
    loop = _cpu_s(lambda: oracle.full(worth, targets))
    pairs = beside_the_loop(lambda: simulate(panel, wishes, FULL))
    yield _against("full mode / plain numpy loop", pairs, FULL_LIMIT, f"the same in numpy: {loop:.2g} s")
    pairs = beside_the_loop(lambda: simulate(lively, wishes, EVERYTHING))
    yield _against("every feature / plain numpy loop", pairs, 9.0, _ending(run))
    pairs = beside_the_loop(lambda: simulate(panel, decisions(panel, known, experiment, settings), FULL))
    yield _against("scores to equity / plain numpy loop", pairs, 12.0, f"{len(known.symbol):,} rows of figures")


def _many_runs(market: Dense, quick: bool) -> Iterator[Ratio]:
    """Settings, and portfolios by lot, on one market of five years."""
    settings, portfolios = (4, 10) if quick else (200, 1000)
    five = first_sessions(market, len(market.panel.dates) // 2)
    wishes = [decided(five.targets)] * settings
    rules = [under(FULL, threshold_pct=k % 40 / 2, costs=Costs(half_spread_bps=5 + k // 40)) for k in range(settings)]
    lots = [decided(by_lot(five, seed)) for seed in range(portfolios)]
    for what, each, under_which, limit in (
        (f"{settings} settings", wishes, rules, 0.5),
        (f"{portfolios:,} portfolios by lot", lots, [FULL] * portfolios, 4.0),
    ):
        _require_each_alone(five.panel, each, under_which)
        work = partial(simulate_many, five.panel, each, under_which)
        seconds = tuple(_cpu_s(work) for _ in range(1 if quick else 3))
        yield Ratio(f"{what} x {five.years:.0f} years, CPU s", seconds, limit, "full mode, on one shared market")


def _growth(market: Dense, quick: bool) -> Iterator[Ratio]:
    """The engine's time on 8 times the cells, and its memory against the panel's."""
    wishes = decided(market.targets)
    tracemalloc.start()
    simulate(market.panel, wishes, FULL)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    yield Ratio(
        "engine's peak / dense panel", (peak / market.bytes,), 0.25, f"{_mb(peak)} / {_mb(market.bytes)}, four grids"
    )
    sessions, names = market.panel.price.shape
    large = dense(2 * sessions, 4 * names)
    more = decided(large.targets)
    pairs = _in_turns(lambda: simulate(large.panel, more, FULL), lambda: simulate(market.panel, wishes, FULL), quick)
    yield _against("full mode, 8 times the cells", pairs, 3.0, f"{2 * sessions:,} sessions x {4 * names:,} names")


def _bootstraps(quick: bool) -> Ratio:
    returns = np.random.default_rng(14).standard_t(5, 1388) * 0.01
    draws = 200 if quick else 10_000
    seconds = tuple(_cpu_s(lambda: bootstrap(returns, seed=1, draws=draws)) for _ in range(1 if quick else 3))
    return Ratio(f"{draws:,} bootstraps of 1,388 days, CPU s", seconds, 0.6, "with drawdowns")


def _loading(quick: bool) -> Iterator[Ratio]:
    """From the recorded Parquet to a panel."""
    path = SHARED / oracle.HISTORY / "prices_daily.parquet"

    def load() -> Panel:
        return load_panel(path, quarantine=False, universe_size=1500)

    panel = load()
    size = sum(grid.nbytes for grid in (panel.price, panel.returns, panel.market_cap, panel.volume))
    # Not resource's maximum: that of a child begins with its parent's.
    code = (
        "import re, sys; from pathlib import Path; import pyarrow.parquet; "
        "from tokenomics_dagster.research.inputs import load_panel; "
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]); "
        "before = peak(); panel = load_panel(Path(sys.argv[1]), quarantine=False, universe_size=1500); "
        "print((peak() - before) * 1024)"
    )
    grown = int(subprocess.run([sys.executable, "-c", code, path], check=True, capture_output=True, text=True).stdout)
    yield Ratio("load and densify, memory / dense panel", (grown / size,), 3.0, f"{_mb(grown)} / {_mb(size)}")
    seconds = tuple(_cpu_s(load) for _ in range(1 if quick else 3))
    yield Ratio("load and densify, CPU s", seconds, 1.5, f"{panel.price.shape[0]:,} x {panel.price.shape[1]:,}")


class _Peers(NamedTuple):
    vectorbt: np.ndarray
    bt: np.ndarray
    seconds: np.ndarray


def _peers(
    panel: Panel, targets: Sequence[Targets], close: np.ndarray, wanted: dict[str, np.ndarray], half_spread: float
) -> _Peers:
    """What the peers make of the same targets on `close`, the columns of `wanted`."""
    if not PEERS.exists():
        raise BenchError(f"{PEERS} is missing: make bench sets it up")
    with TemporaryDirectory() as folder:
        given, out = Path(folder) / "in.npz", Path(folder) / "out.npz"
        sessions = [target.session for target in targets]
        np.savez(
            given,
            dates=panel.dates,
            close=close,
            sessions=sessions,
            capital=FULL.capital,
            half_spread=half_spread,
            **wanted,  # type: ignore[arg-type]
        )
        script = Path(__file__).with_name("peers.py")
        done = subprocess.run([PEERS, "-W", "ignore", script, given, out], capture_output=True, text=True)
        if done.returncode:
            raise BenchError(f"the peers failed: {done.stderr.strip().splitlines()[-1]}")
        with np.load(out) as found:
            return _Peers(found["vectorbt"], found["bt"], found["seconds"])


def _matrix(targets: Sequence[Targets], columns: np.ndarray) -> np.ndarray:
    """(D, H) weights by increasing column."""
    made = np.zeros((len(targets), len(columns)))
    for row, target in enumerate(targets):
        made[row, np.searchsorted(columns, target.names)] = target.weights
    return made


def _without_gaps(worth: np.ndarray) -> np.ndarray:
    """What was worth nothing before its first row is worth as much as on it: peers take no price of 0."""
    first = worth[(worth > 0).argmax(axis=0), np.arange(worth.shape[1])]
    return np.where(worth > 0, worth, first)


def _scored(panel: Panel, known: Fundamentals) -> list[Targets]:
    names = len(panel.symbols)
    made = []
    for number, t in enumerate(oracle.first_of_weeks(panel.dates)):
        part = slice(number * names, (number + 1) * names)
        frame = pd.DataFrame({name: getattr(known, name)[part] for name in FIGURES}).assign(column=np.arange(names))
        made.append(Targets(int(t), *oracle.best(frame, panel.market_cap[t])))
    return made


def _experiment() -> Experiment:
    asked = {"strategy": "fundamentals", "data": {"prices": "-", "fundamentals": "-"}, "universe_size": 1500}
    return Experiment.model_validate(asked)


def _settings() -> Settings:
    return Settings(environment=Environment.model_construct())


def _require(what: str, found: np.ndarray, expected: np.ndarray) -> None:
    apart = float(np.max(np.abs(found / expected - 1)))
    if not apart <= EQUAL:
        raise BenchError(f"{what}: equity differs by {apart:.2g} of it from the plain loop's")


def _require_each_alone(panel: Panel, each: Sequence[Decisions], rules: Sequence[Rules]) -> None:
    """A few of a batch are what they are alone."""
    batch = simulate_many(panel, each, rules)
    for k in range(0, len(each), max(1, len(each) // 3)):
        _require("many runs at once", batch.equity[k], simulate(panel, each[k], rules[k]).equity)


def _cpu_s(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _in_turns(ours: Callable[[], object], theirs: Callable[[], object], quick: bool) -> list[tuple[float, float]]:
    """CPU seconds of each, for what takes milliseconds: a neighbour of the machine can double those, and each puts what
    the other reads out of the processor's caches. So many rounds (the median of 9 went from 0.36 to 0.47), and before
    each measurement a call of the same."""
    pairs = []
    for _ in range(1 if quick else 31):
        ours()
        mine = _cpu_s(ours)
        theirs()
        pairs.append((mine, _cpu_s(theirs)))
    return pairs


def _against(name: str, pairs: list[tuple[float, float]], limit: float, also: str) -> Ratio:
    ours, theirs = (np.median(side) for side in zip(*pairs, strict=True))
    behind = f"{1000 * ours:.3g} ms / {1000 * theirs:.3g} ms; {also}"
    return Ratio(name, tuple(mine / other for mine, other in pairs), limit, behind)


def _ending(run: Run) -> str:
    return f"{run.equity[-1]:,.2f} USD, {len(run.fills.names):,} trades"


def _mb(size: float) -> str:
    return f"{size / 1e6:.0f} MB"
