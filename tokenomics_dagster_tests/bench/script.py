"""The peer of `make bench`: the weekly cycle, and a look at it, as one would write them without a platform.

Official clients, a thread pool, dictionaries. The same calls and arithmetic as the platform's first cycle, with the
numbers of the design written in; it stores nothing and cannot go on where it was.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import finnhub
import pandas as pd
from alpaca.common.enums import Sort
from alpaca.data.enums import DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockSnapshotRequest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, AssetStatus, OrderSide, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import GetAssetsRequest, GetOrdersRequest, MarketOrderRequest

from tokenomics_dagster_tests.reading import reason_without_score, score_of, weights_of

MICS = {"XNYS", "XNAS", "XNGS", "XNMS", "XNCM"}
FIGURES = {
    "roe_ttm_pct": ("roeTTM",),
    "debt_to_equity": ("totalDebt/totalEquityQuarterly", "totalDebt/totalEquityAnnual"),
    "revenue_growth_yoy_pct": ("revenueGrowthTTMYoy",),
    "eps_growth_yoy_pct": ("epsGrowthTTMYoy",),
    # only its sign counts, and it is that of the book value
    "price_to_book": ("bookValuePerShareQuarterly",),
}
SYMBOLS_PER_CALL = 100
CENT = Decimal("0.01")


def run_cycle(
    environment: Mapping[str, str], *, size: int, threads: int, poll_s: float, per_second: float | None
) -> dict[str, float]:
    """Trades the account that `environment` (as of the sandbox) leads to; returns the target weights by symbol.

    At most `per_second` calls for a profile or metrics begin in a second, if given.
    """

    class Client(finnhub.Client):
        API_URL = environment["FINNHUB_BASE_URL"]

    fundamentals = Client(environment["FINNHUB_API_KEY"])
    keys = environment["ALPACA_API_KEY"], environment["ALPACA_SECRET_KEY"]
    data = StockHistoricalDataClient(*keys, raw_data=True, url_override=environment["ALPACA_DATA_URL"])
    trading: Any = TradingClient(*keys, raw_data=True, url_override=environment["ALPACA_TRADING_URL"])
    turn = _turns(per_second)

    def profile(symbol: str) -> Any:
        turn()
        return fundamentals.company_profile2(symbol=symbol)

    def metrics(symbol: str) -> Any:
        turn()
        return fundamentals.company_basic_financials(symbol, "all")

    with ThreadPoolExecutor(threads) as pool:
        listings = fundamentals.stock_symbols("US")
        names = sorted(
            row["symbol"]
            for row in listings
            if row["mic"] in MICS and row["type"] == "Common Stock" and row["currency"] == "USD"
        )
        market = _snapshots(data, names)
        priced = [symbol for symbol in names if symbol in market]
        profiles = dict(zip(priced, pool.map(profile, priced), strict=True))
        caps = _largest(profiles, market, size)
        answers = pool.map(metrics, caps)
        figures = {symbol: _figures(answer["metric"]) for symbol, answer in zip(caps, answers, strict=True)}
    scores = {symbol: score_of(row) for symbol, row in figures.items() if reason_without_score(row) is None}
    weights = weights_of(scores, caps)
    _buy(trading, data, weights, poll_s)
    return weights


def _turns(per_second: float | None) -> Callable[[], None]:
    """A function that returns when the caller may call."""
    lock, last = threading.Lock(), [0.0]

    def turn() -> None:
        if per_second is not None:
            with lock:
                time.sleep(max(0.0, last[0] + 1 / per_second - time.monotonic()))
                last[0] = time.monotonic()

    return turn


def _snapshots(data: StockHistoricalDataClient, symbols: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for start in range(0, len(symbols), SYMBOLS_PER_CALL):
        wanted = StockSnapshotRequest(symbol_or_symbols=symbols[start : start + SYMBOLS_PER_CALL], feed=DataFeed.IEX)
        found |= {symbol: body for symbol, body in data.get_stock_snapshot(wanted).items() if body}
    return found


def _largest(profiles: Mapping[str, Any], market: Mapping[str, Any], size: int) -> dict[str, float]:
    """Market caps of the `size` largest, one class of each issuer, in USD and in keeping with shares x price."""
    known = []
    for symbol, profile in profiles.items():
        cap, shares = _number(profile.get("marketCapitalization")), _number(profile.get("shareOutstanding"))
        price = market[symbol]["dailyBar"]["c"]
        if not cap or cap < 0 or not shares or shares < 0 or profile.get("currency") != "USD":
            continue
        if max(cap, shares * price) > 1.5 * min(cap, shares * price):
            continue
        before = market[symbol]["prevDailyBar"]
        issuer = " ".join((profile.get("name") or symbol).casefold().split())
        known.append((-before["v"] * before["c"], -cap, symbol, issuer))
    classes: dict[str, tuple[float, str]] = {}
    for _traded, falling_cap, symbol, issuer in sorted(known):
        classes.setdefault(issuer, (falling_cap, symbol))
    return {symbol: -falling_cap for falling_cap, symbol in sorted(classes.values())[:size]}


def _figures(metric: Mapping[str, Any]) -> dict[str, str]:
    """As the cells of a recorded market: texts, empty where there is none."""
    figures = {name: [_number(metric.get(key)) for key in keys] for name, keys in FIGURES.items()}
    return {name: next((repr(value) for value in values if value is not None), "") for name, values in figures.items()}


def _number(value: Any) -> float | None:
    return None if value in (None, "") else float(value)


def _buy(trading: Any, data: StockHistoricalDataClient, weights: Mapping[str, float], poll_s: float) -> None:
    """One market order for each name, the largest first; returns when all are filled."""
    if not trading.get_clock()["is_open"] or trading.get_all_positions():
        raise RuntimeError("the script buys a first portfolio while the market is open, and does nothing else")
    equity = Decimal(trading.get_account()["equity"])
    wanted = GetAssetsRequest(status=AssetStatus.ACTIVE, asset_class=AssetClass.US_EQUITY)
    fractionable = {
        asset["symbol"]: asset["fractionable"] for asset in trading.get_all_assets(wanted) if asset["tradable"]
    }
    prices = {
        symbol: Decimal(str(body["latestTrade"]["p"])) for symbol, body in _snapshots(data, list(weights)).items()
    }
    investable = equity - equity * Decimal("0.0025")
    values = {symbol: Decimal(str(weight)) * investable for symbol, weight in weights.items()}
    sent = set()
    for symbol, value in sorted(values.items(), key=lambda item: (-item[1], item[0])):
        shares = int(value / prices[symbol])
        if symbol not in fractionable or (not fractionable[symbol] and shares * prices[symbol] < 100):
            continue
        amount = {"notional": float(value.quantize(CENT, ROUND_DOWN))} if fractionable[symbol] else {"qty": shares}
        order = MarketOrderRequest(symbol=symbol, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, **amount)
        sent.add(trading.submit_order(order)["id"])
    everything = GetOrdersRequest(status=QueryOrderStatus.ALL, limit=500, direction=Sort.DESC)
    while True:
        if sent <= {order["id"] for order in trading.get_orders(everything) if order["status"] == "filled"}:
            return
        time.sleep(poll_s)


def look(database: Path, jobs: Sequence[str]) -> dict[str, float]:
    """What a scrape is for, asked of warehouse and Dagster without any of the platform's code: ages and coverage of the
    universe's figures, and the last runs of the `jobs`."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        newest = "select max(id) from snapshots where asset = 'universe'"
        universe = pd.read_sql(f"select symbol from universe where snapshot_id = ({newest})", connection)
        figures = pd.read_sql(
            "select * from financials join (select symbol as s, max(known_at) as at from financials group by symbol) "
            "on symbol = s and known_at = at",
            connection,
        )
        sweep = pd.read_sql("select * from sweeps order by id desc limit 100", connection)
    known = pd.to_datetime(figures.set_index("symbol")["known_at"].reindex(universe["symbol"]), utc=True)
    since = pd.to_datetime(sweep["fresh_since"], utc=True).max()
    found = {"age_s": (pd.Timestamp.now(UTC) - known.min()).total_seconds(), "fetched": float((known >= since).mean())}
    with dg.DagsterInstance.get() as instance:
        for job in jobs:
            busy = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED])
            found[f"{job} in progress"] = float(instance.get_runs_count(busy))
            for record in instance.get_run_records(dg.RunsFilter(job_name=job), limit=1):
                found[f"{job} ended"] = record.end_time or 0.0
    return found
