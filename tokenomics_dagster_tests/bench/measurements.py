"""What `make bench` measures: each function runs one part and yields its ratios. Sizes and limits are stated here.

Every ratio compares two things that were measured in this run, one right after the other. How they are shown and
judged is __main__.py's; the script that the whole cycle is compared with is script.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg
import ffn
import numpy as np
import pandas as pd

from tokenomics_dagster.definitions import ROOMS, build_defs
from tokenomics_dagster.fundamentals.checks import check_financials, check_scores
from tokenomics_dagster.fundamentals.schema import Financials, Scores
from tokenomics_dagster.fundamentals.scoring import FIGURES, score, score_arrays
from tokenomics_dagster.interfaces.demo import FAST, environment
from tokenomics_dagster.kit.checks import schema_finding
from tokenomics_dagster.kit.room import House
from tokenomics_dagster.operations.cycle import cycle_of, run_jobs
from tokenomics_dagster.portfolio.schema import TargetWeights
from tokenomics_dagster.portfolio.weights import cap_weights
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.errors import ProviderError
from tokenomics_dagster.providers.finnhub.resource import FinnhubResource
from tokenomics_dagster.sandbox.generated import generate
from tokenomics_dagster.sandbox.server import SandboxHandle, running_sandbox
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.storage.records import Made, Sweep
from tokenomics_dagster.universe.checks import Sources, check_listings, check_universe
from tokenomics_dagster.universe.schema import Listings, Universe, UniverseDetails
from tokenomics_dagster.universe.selection import MICS
from tokenomics_dagster_tests.automation.conftest import (
    run_of,
    save_figures,
    save_sweep,
    save_universe,
    universe_frame,
)
from tokenomics_dagster_tests.bench import script
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform
from tokenomics_dagster_tests.fundamentals.test_scoring import history, with_pandas

WEEK = "2026-08-24"
METRIC = "GET /api/v1/stock/metric"
LATENCY_S = 0.3
THREADS = 8
FINNHUB_CAP = 30.0  # calls a second, whatever the plan
UNPACED = 1e4  # calls a second: more than a machine can send
TICK_LIMIT_S = 60.0  # of the gRPC call to the code server


class BenchError(RuntimeError):
    """The two sides did not do the same, so that their times must not be compared."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio that was measured several times; `limit` is the most it may be or, if `at_least`, the least."""

    name: str
    values: tuple[float, ...]
    limit: float
    behind: str
    at_least: bool = False

    @property
    def value(self) -> float:
        return median(self.values)

    @property
    def holds(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def pacing(quick: bool) -> Iterator[Ratio]:
    """Sweeps against enforced limits, configured at exactly that rate: wall time over calls / rate.

    They run side by side, each on a sandbox of its own, because all of them only wait. One call before the clock starts
    makes every call of a sweep wait for its slot, the first one too.
    """
    # limit, calls of a sweep, sweeps one after the other, of those lanes
    plan = [("15/s", 30, 1, 1)] if quick else [("60/min", 60, 1, 2), ("300/min", 150, 2, 1), ("15/s", 450, 2, 1)]
    lanes = [
        (limit, latency, calls, sweeps)
        for limit, calls, sweeps, count in plan
        for latency in (0.0, LATENCY_S)
        for _ in range(count)
    ]
    with ExitStack() as stack:
        started = [(stack.enter_context(_paced_sandbox(limit, latency)), limit) for limit, latency, _, _ in lanes]
        stack.enter_context(_variables(started[0][0].environment()))
        pool = stack.enter_context(ThreadPoolExecutor(len(lanes)))
        jobs = [
            pool.submit(_sweeps, sandbox, limit, calls, sweeps)
            for (sandbox, limit), (_, _, calls, sweeps) in zip(started, lanes, strict=True)
        ]
        walls = [job.result() for job in jobs]
    for limit, calls, _, _ in plan:
        for latency in (0.0, LATENCY_S):
            least = calls * 60 / _per_minute(limit)
            mine = [
                wall / least
                for lane, found in zip(lanes, walls, strict=True)
                if lane[:2] == (limit, latency)
                for wall in found
            ]
            answers = f", answers after {1000 * latency:.0f} ms" if latency else ""
            yield Ratio(
                f"pacing at {limit}{answers}", tuple(mine), 1.05, f"{calls} calls in {least:.0f} s at best, no 429"
            )


def cycle(quick: bool) -> Iterator[Ratio]:
    """The whole first cycle as Dagster runs, against a plain script on an equal sandbox.

    Judged at Finnhub's cap: no plan may call faster than 30 times a second, so no user can meet a larger ratio. Beside
    it the ratio without any pace, which is what keeping records costs: each symbol is a row in the warehouse and an
    event in Dagster's log, the script keeps nothing.
    """
    unpaced = (300, 30) if quick else (8000, 1500)
    _cycle_pair(300, 30, None, platform_first=True)  # imports and caches: warm is what is compared
    ours, theirs = _cycle_pair(*unpaced, None, platform_first=True)
    listings, size = (300, 30) if quick else (1200, 250)
    pairs = [_cycle_pair(listings, size, FINNHUB_CAP, platform_first=bool(n % 2)) for n in range(1 if quick else 2)]
    yield Ratio(
        f"whole cycle / plain script at {FINNHUB_CAP:g} calls/s",
        tuple(ours / theirs for ours, theirs in pairs),
        2.0,
        f"{_span([ours for ours, _ in pairs])} s / {_span([theirs for _, theirs in pairs])} s, {size:,} symbols; "
        f"unpaced, {unpaced[1]:,} symbols: {ours:.3g} s / {theirs:.3g} s = {ours / theirs:.1f}",
    )


def speed(quick: bool) -> Iterator[Ratio]:
    """Scores against pandas, weights against ffn, after checking that the values are equal."""
    yield _scores(26 if quick else 522, 1500, 3 if quick else 7)
    for names, cap in ((100, 0.0118), (1500, 0.0008)):
        yield _weights(names, cap, 3 if quick else 15)


def growth(quick: bool) -> Iterator[Ratio]:
    """Time per symbol of `fundamentals_refresh` and `score`, many symbols over few, all asked for anew."""
    few, many, listings = (50, 150, 1000) if quick else (1500, 6000, 26_000)
    symbols = _largest(listings)
    with running_sandbox(listings=listings) as sandbox:
        _refresh_s(sandbox, symbols.head(50))
        before = _refresh_s(sandbox, symbols.head(few))
        most = _refresh_s(sandbox, symbols.head(many))
        after = _refresh_s(sandbox, symbols.head(few))
    yield Ratio(
        f"time per symbol, {many:,} / {few:,} symbols",
        tuple(most / many / (least / few) for least in (before, after)),
        1.1,
        f"{most:.1f} s / {_span([before, after])} s",
    )


def start(quick: bool) -> Iterator[Ratio]:
    """Loading the definitions against importing Dagster: whole processes, taking turns."""
    commands = ("import tokenomics_dagster.definitions", "import dagster")
    for command in commands:  # writes the bytecode
        _python_s(command)
    times = [(_python_s(commands[0]), _python_s(commands[1])) for _ in range(1 if quick else 7)]
    yield Ratio(
        "definitions / import dagster",
        tuple(ours / theirs for ours, theirs in times),
        1.35,
        f"{_span([ours for ours, _ in times])} s / {_span([theirs for _, theirs in times])} s",
    )


def evaluations(quick: bool) -> Iterator[Ratio]:
    """Each tick of a schedule or sensor, and the checks that grow with the universe, as shares of Dagster's limit.

    The worst case that still ends: a sweep that failed for a hundredth of the symbols, whose coverage is looked into,
    and half as many symbols to retire as are followed.
    """
    sizes = ((60, 0.1), (200, 0.5)) if quick else ((1500, 0.1), (10_000, 0.5))
    with running_sandbox(listings=300) as sandbox:
        for size, limit in sizes:
            for what, times in (("tick", _tick_times(sandbox, size)), ("asset's checks", _check_times(size))):
                slowest = max(times, key=lambda name: times[name])
                each = ", ".join(f"{name} {seconds:.2g}" for name, seconds in sorted(times.items()))
                yield Ratio(
                    f"slowest {what} / {TICK_LIMIT_S:g} s, {size:,} symbols",
                    (times[slowest] / TICK_LIMIT_S,),
                    limit,
                    f"seconds: {each}",
                )


def look(quick: bool) -> Iterator[Ratio]:
    """One look of `tokenomics metrics`: against a plain script that reads the same, and as weeks are added."""
    from tokenomics_dagster.operations.metrics import PlatformCollector

    size, weeks = (60, 2) if quick else (1500, 10)
    symbols = [f"S{number:05}" for number in range(size)]
    with (
        running_sandbox(listings=300) as sandbox,
        _platform(sandbox, size) as platform,
        closing(platform.store) as store,
    ):
        now = datetime.now(UTC)
        save_universe(store, symbols, now)
        save_figures(store, symbols, now)
        save_sweep(store, now, failed=symbols[: size // 100], run_id="run")
        collector = PlatformCollector(load_settings())
        first = _best_s(5, collector.look)
        for week in range(1, weeks):
            save_figures(store, symbols, now - timedelta(weeks=week))
        read = partial(script.look, platform.folder / "warehouse.db", sorted(House(ROOMS).jobs))
        pairs = [(_best_s(1, collector.look), _best_s(1, read)) for _ in range(5)]
    ours = [seconds for seconds, _ in pairs]
    yield Ratio(
        "look of the metrics / plain script",
        tuple(seconds / plain for seconds, plain in pairs),
        5.0,
        f"{_span(ours)} s / {_span([plain for _, plain in pairs])} s, {size:,} symbols, {weeks} weeks",
    )
    yield Ratio(
        f"look, {weeks} weeks / 1 week",
        tuple(seconds / first for seconds in ours),
        2.0,
        f"{_span(ours)} s / {first:.2g} s",
    )


PARTS: Mapping[str, Callable[[bool], Iterator[Ratio]]] = {
    "pacing": pacing,
    "cycle": cycle,
    "speed": speed,
    "growth": growth,
    "start": start,
    "evaluations": evaluations,
    "look": look,
}


@contextmanager
def _paced_sandbox(limit: str, latency_s: float) -> Iterator[SandboxHandle]:
    with running_sandbox(listings=500, finnhub_limit=(limit,)) as sandbox:
        if latency_s:
            fault = {"kind": "slow", "endpoint": "GET /api/*", "seconds": latency_s}
            sandbox.admin("PUT", "/sandbox/faults", [fault])
        yield sandbox


def _sweeps(sandbox: SandboxHandle, limit: str, calls: int, sweeps: int) -> list[float]:
    """Seconds of each sweep; BenchError if one met the limit."""
    url = sandbox.environment()["FINNHUB_BASE_URL"]
    walls = []
    with FinnhubResource(base_url=url, calls_per_minute=_per_minute(limit)) as finnhub:
        finnhub.metrics("FIRST")
        for _ in range(sweeps):
            begun = time.perf_counter()
            answers = list(finnhub.sweep([f"S{number}" for number in range(calls)], finnhub.metrics))
            walls.append(time.perf_counter() - begun)
            if failed := [answer for _, answer in answers if isinstance(answer, ProviderError)]:
                raise BenchError(f"pacing at {limit}: {failed[0]}")
    made, arrived = finnhub.calls["GET /stock/metric"], sandbox.admin("GET", "/sandbox/calls")[METRIC]
    if not made == arrived == 1 + sweeps * calls:  # whoever meets a 429 repeats the call
        raise BenchError(f"pacing at {limit}: {made} calls were made for {1 + sweeps * calls}: the limit was met")
    return walls


def _per_minute(limit: str) -> float:
    number, period = limit.split("/")
    return float(number) * {"s": 60, "min": 1}[period]


def _cycle_pair(listings: int, size: int, per_second: float | None, *, platform_first: bool) -> tuple[float, float]:
    """Seconds of the platform and of the script; BenchError unless both end with the same weights and positions."""
    outcomes = {}
    for name in ("platform", "script") if platform_first else ("script", "platform"):
        run = _platform_cycle if name == "platform" else _script_cycle
        with running_sandbox(listings=listings) as sandbox:
            seconds, weights = run(sandbox, size, per_second)
            outcomes[name] = seconds, weights, _positions(sandbox), sandbox.admin("GET", "/sandbox/calls")
    ours, our_weights, our_positions, our_calls = outcomes["platform"]
    theirs, their_weights, their_positions, their_calls = outcomes["script"]
    differing = [
        symbol
        for symbol in {*our_weights, *their_weights}
        if abs(our_weights.get(symbol, 0.0) - their_weights.get(symbol, 0.0)) > 1e-9
    ]
    if differing or our_positions != their_positions:
        raise BenchError(f"platform and script hold different portfolios: {len(differing)} weights differ")
    # The platform looks at clock, account, orders and quotes more often than the script, for safety; the rest is work.
    work = [endpoint for endpoint in our_calls if "/stock/" in endpoint or endpoint == "POST /v2/orders"]
    if any(our_calls[endpoint] != their_calls[endpoint] for endpoint in work):
        raise BenchError(f"platform and script made different calls: {our_calls} and {their_calls}")
    return ours, theirs


def _platform_cycle(sandbox: SandboxHandle, size: int, per_second: float | None) -> tuple[float, dict[str, float]]:
    """As `make demo` and `tokenomics start` do it: by the runs' own executor, each run listed in the UI."""
    with _platform(sandbox, size, per_second or UNPACED) as platform, platform.broker() as broker:
        begun = time.perf_counter()
        run_jobs(platform.instance, load_settings(), broker.now(), cycle_of(), say=lambda _: None)
        seconds = time.perf_counter() - begun
        with closing(platform.store) as store:
            weights = store.load_snapshot("target_weights", TargetWeights, partition=WEEK)
        assert weights is not None
        return seconds, dict(zip(weights["symbol"], weights["weight"], strict=True))


def _script_cycle(sandbox: SandboxHandle, size: int, per_second: float | None) -> tuple[float, dict[str, float]]:
    begun = time.perf_counter()
    weights = script.run_cycle(
        sandbox.environment(),
        size=size,
        threads=THREADS,
        poll_s=FAST["trading"]["poll_interval_s"],
        per_second=per_second,
    )
    return time.perf_counter() - begun, weights


def _positions(sandbox: SandboxHandle) -> dict[str, Any]:
    with _variables(sandbox.environment()), AlpacaResource.from_settings(load_settings()) as broker:
        return {symbol: position.qty for symbol, position in broker.positions().items()}


@contextmanager
def _platform(sandbox: SandboxHandle, size: int, per_second: float = UNPACED) -> Iterator[Platform]:
    """The platform as a fresh demo has it, on disk: folder, warehouse and instance of its own."""
    with tempfile.TemporaryDirectory(prefix="tokenomics-bench-") as name:
        folder = Path(name)
        settings_file = folder / "settings.yaml"
        settings_file.write_text((REPOSITORY / "config/settings.yaml").read_text())
        with (
            _variables(environment(folder, sandbox.environment(), settings_file)),
            dg.DagsterInstance.get() as instance,
        ):
            platform = Platform(sandbox, instance, folder, settings_file)
            platform.configure(universe__size=size)
            for section, keys in FAST.items():
                platform.configure(**{f"{section}__{key}": value for key, value in keys.items()})
            platform.configure(
                finnhub__calls_per_minute=60 * per_second,
                finnhub__max_calls_per_second=per_second,
                finnhub__max_in_flight=THREADS,
                alpaca__calls_per_minute=60 * UNPACED,
                guards__max_spread_bps=1e4,  # the script buys whatever the spread
            )
            yield platform


@contextmanager
def _variables(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _scores(weeks: int, names: int, repeats: int) -> Ratio:
    """Week by week on both sides, as a weekly platform computes them; beside it, all weeks in one array and frame."""
    rules = load_settings().fundamentals.score
    roe, debt, revenue, eps, book = figures = history(weeks, names)
    frame = pd.DataFrame({name: figure.reshape(-1) for name, figure in zip(FIGURES, figures, strict=True)})
    frames = [frame.iloc[week * names : (week + 1) * names].copy() for week in range(weeks)]

    def all_at_once() -> tuple[Any, Any]:
        return score_arrays(roe, debt, revenue, eps, book, rules)

    def week_by_week() -> list[tuple[Any, Any]]:
        rows = zip(roe, debt, revenue, eps, book, strict=True)
        return [score_arrays(*row, rules=rules) for row in rows]

    def pandas_week_by_week() -> list[tuple[Any, Any]]:
        return [with_pandas(one, rules) for one in frames]

    expected = pandas_week_by_week()
    for scores, codes in (all_at_once(), tuple(map(np.stack, zip(*week_by_week(), strict=True)))):
        np.testing.assert_allclose(scores, np.stack([score for score, _ in expected]), atol=1e-9, rtol=0)
        np.testing.assert_array_equal(codes, np.stack([code for _, code in expected]))
    whole = _pairs(repeats, partial(with_pandas, frame, rules), all_at_once)
    slow, fast = (1e3 * median(times) for times in zip(*whole, strict=True))
    pairs = _pairs(repeats, pandas_week_by_week, week_by_week, runs=1)
    also = f"; all weeks at once {slow:.3g} / {fast:.3g} ms = {slow / fast:.1f}"
    return _faster(f"scores, {weeks} weeks x {names:,}: pandas / ours", pairs, "ms", 1e3, also)


def _weights(names: int, cap: float, repeats: int) -> Ratio:
    raw = np.random.default_rng(1).uniform(50, 100, names)
    series = pd.Series(raw / raw.sum())
    np.testing.assert_allclose(cap_weights(raw, cap), ffn.limit_weights(series, cap), atol=1e-12, rtol=0)
    pairs = _pairs(repeats, partial(ffn.limit_weights, series, cap), partial(cap_weights, raw, cap))
    return _faster(f"weights, {names:,} names: ffn / ours", pairs, "us", 1e6)


def _pairs(
    repeats: int, theirs: Callable[[], object], ours: Callable[[], object], runs: int = 5
) -> list[tuple[float, float]]:
    """Seconds of both, taking turns; each is the best of some runs, for what disturbs only ever adds."""
    return [(_best_s(runs, theirs), _best_s(runs, ours)) for _ in range(repeats)]


def _best_s(runs: int, work: Callable[[], object]) -> float:
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def _faster(name: str, pairs: list[tuple[float, float]], unit: str, per_s: float, also: str = "") -> Ratio:
    slow, fast = (per_s * median(times) for times in zip(*pairs, strict=True))
    values = tuple(theirs / ours for theirs, ours in pairs)
    return Ratio(name, values, 10.0, f"{slow:.3g} / {fast:.3g} {unit}, equal values{also}", at_least=True)


def _largest(listings: int) -> pd.DataFrame:
    """The stocks of the sandbox's market of that size as a `Universe` frame, by falling market cap."""
    stocks = {
        one.symbol: one
        for one in generate(2026, listings).instruments.values()
        if one.type == "Common Stock" and one.mic in {*MICS["NYSE"], *MICS["NASDAQ"]}
        if one.profile.get("marketCapitalization") and one.profile.get("currency") == "USD"
    }
    caps = {symbol: float(one.profile["marketCapitalization"]) for symbol, one in stocks.items()}
    ranked = sorted(stocks, key=lambda symbol: (-caps[symbol], symbol))
    return pd.DataFrame(
        {
            "symbol": ranked,
            "name": [stocks[symbol].issuer for symbol in ranked],
            "exchange": "NYSE",
            "market_cap_musd": [caps[symbol] for symbol in ranked],
            "shares_outstanding_m": [caps[symbol] / float(stocks[symbol].price) for symbol in ranked],
            "price": [float(stocks[symbol].price) for symbol in ranked],
            "traded_value_musd": None,
            "industry": [stocks[symbol].industry for symbol in ranked],
            "rank": range(1, len(ranked) + 1),
        }
    )


def _refresh_s(sandbox: SandboxHandle, universe: pd.DataFrame) -> float:
    with _platform(sandbox, len(universe)) as platform, closing(platform.store) as store:
        with platform.broker() as broker:
            made = Made(universe, broker.now(), UniverseDetails(dropped={}, candidates=len(universe), asked=0))
        store.save_snapshot("universe", Universe, made, run_id="bench")
        platform.instance.add_dynamic_partitions("symbols", list(universe["symbol"]))
        begun = time.perf_counter()
        platform.must_run("fundamentals_refresh", "score")
        return time.perf_counter() - begun


def _tick_times(sandbox: SandboxHandle, size: int) -> dict[str, float]:
    """Seconds of one tick of every schedule and sensor."""
    symbols = [f"S{number:05}" for number in range(size)]
    with _platform(sandbox, size) as platform, closing(platform.store) as store:
        with platform.broker() as broker:
            now = broker.now()
        run = run_of("fundamentals_refresh", "FAILURE")
        failed = size // 100
        save_universe(store, symbols, now)
        save_sweep(store, now - timedelta(hours=1), failed=symbols[:failed], run_id=run.run_id)
        save_figures(store, symbols[failed:], now - timedelta(minutes=30))
        platform.instance.add_run(run)
        old = [f"OLD{number:05}" for number in range(size // 2)]
        platform.instance.add_dynamic_partitions("symbols", [*symbols, *old])
        made = build_defs(load_settings())
        repository = made.get_repository_def()
        given: dict[str, Any] = {
            "instance": platform.instance,
            "resources": made.resources,
            "repository_def": repository,
        }
        times = {}
        for schedule in repository.schedule_defs:
            with dg.build_schedule_context(**given) as context:
                times[schedule.name] = _best_s(1, partial(schedule.evaluate_tick, context))
        for sensor in repository.sensor_defs:
            with dg.build_sensor_context(**given) as looking:
                times[sensor.name] = _best_s(1, partial(sensor.evaluate_tick, looking))
        return times


def _check_times(size: int) -> dict[str, float]:
    """Seconds of the checks of each asset that has a row for every symbol; a portfolio has a hundred names at most."""
    settings = load_settings()
    now = datetime(2026, 8, 24, 14, tzinfo=UTC)
    rng = np.random.default_rng(1)
    symbols = [f"S{number:05}" for number in range(size)]
    listings = pd.DataFrame(dict.fromkeys(Listings.to_schema().columns, "x"), index=range(size))
    listings = listings.assign(symbol=symbols, type="Common Stock", mic="XNYS")
    universe = universe_frame(symbols)
    profiles = universe.assign(fresh=True, currency="USD")
    metrics = [name for name in Financials.to_schema().columns if name not in ("symbol", "known_at", "reported_period")]
    facts = pd.DataFrame({name: rng.uniform(1, 30, size) for name in metrics}).assign(
        symbol=symbols, known_at=now, reported_period=None
    )
    sweep = Sweep(1, now, now, now, "run", size, dict.fromkeys(symbols[: size // 100], "no answer"))
    scores = score(universe, facts, settings.fundamentals.score)
    checks: dict[str, Callable[[], object]] = {
        "listings": lambda: [
            schema_finding(Listings, listings),
            check_listings(listings, listings, settings),
        ],
        "universe": lambda: [
            schema_finding(Universe, universe),
            check_universe(universe, Sources(profiles, pd.Series(dtype=str), listings), universe, settings),
        ],
        "financials": lambda: [
            schema_finding(Financials, facts[list(Financials.to_schema().columns)]),
            check_financials(facts, symbols, [sweep] * 8, now, settings),
        ],
        "scores": lambda: [schema_finding(Scores, scores), check_scores(scores, scores, settings)],
    }
    return {asset: _best_s(1, check) for asset, check in checks.items()}


def _python_s(code: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
    return time.perf_counter() - begun


def _span(seconds: list[float]) -> str:
    least, most = min(seconds), max(seconds)
    return f"{least:.3g}" if f"{least:.3g}" == f"{most:.3g}" else f"{least:.3g}-{most:.3g}"
