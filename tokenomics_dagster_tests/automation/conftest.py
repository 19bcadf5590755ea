"""What the tests of automation share: a webhook that is a real server, and what a sweep leaves in the warehouse."""

import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from threading import Thread

import dagster as dg
import pandas as pd
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.utils import make_new_run_id

from tokenomics_dagster.fundamentals.schema import Financials
from tokenomics_dagster.storage.records import Made
from tokenomics_dagster.storage.warehouse import Warehouse
from tokenomics_dagster.universe.schema import Universe, UniverseDetails
from tokenomics_dagster_tests.webhook import Webhook, running_webhook


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with running_webhook() as hook:
        monkeypatch.setenv("ALERT_WEBHOOK_URL", hook.url)
        yield hook


def universe_frame(symbols: Sequence[str]) -> pd.DataFrame:
    """A universe of these symbols, the largest first."""
    count = len(symbols)
    return pd.DataFrame(
        {
            "symbol": symbols,
            "name": symbols,
            "exchange": "NYSE",
            "market_cap_musd": [1e6 - rank for rank in range(count)],
            "shares_outstanding_m": [(1e6 - rank) / 10 for rank in range(count)],
            "price": 10.0,
            "traded_value_musd": 1.0,
            "industry": "Software",
            "rank": range(1, count + 1),
        }
    )


def save_universe(store: Warehouse, symbols: Sequence[str], as_of: datetime) -> None:
    details = UniverseDetails(dropped={}, candidates=len(symbols), asked=len(symbols))
    made = Made(universe_frame(symbols), as_of, details)
    store.save_snapshot("universe", Universe, made, run_id="universe-run")


def save_figures(store: Warehouse, symbols: Iterable[str], known_at: datetime) -> None:
    """Financials of these symbols, which differ from one to the other as real ones do."""
    metrics = [name for name in Financials.to_schema().columns if name not in ("symbol", "known_at", "reported_period")]
    for number, symbol in enumerate(symbols):
        row = {**dict.fromkeys(metrics, 1.0 + number % 17), "reported_period": None}
        store.append_fact("financials", Financials, {"symbol": symbol, "known_at": known_at, **row})


def save_sweep(
    store: Warehouse, at: datetime, *, failed: Iterable[str] = (), run_id: str = "sweep-run", finished: bool = True
) -> int:
    """A sweep that began at this instant, asked for all that was older, and ended a minute later."""
    sweep = store.start_sweep(started_at=at, fresh_since=at, run_id=run_id, requested=60)
    if finished:
        store.finish_sweep(sweep, finished_at=at + timedelta(minutes=1), failures=dict.fromkeys(failed, "no answer"))
    return sweep


@contextmanager
def hanging_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """While it lasts the broker accepts calls and answers none; its calls."""
    calls: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server, monkeypatch.context() as away:
        away.setenv("ALPACA_TRADING_URL", f"http://127.0.0.1:{server.getsockname()[1]}")

        def accept() -> None:
            with suppress(OSError):
                while True:
                    calls.append(server.accept()[0])

        taking = Thread(target=accept)
        taking.start()
        yield calls
        server.shutdown(socket.SHUT_RDWR)
        taking.join()
    for call in calls:
        call.close()


def run_of(job: str, status: str = "STARTED", *assets: str) -> dg.DagsterRun:
    """A run of a job (of some of its assets) as the instance keeps it."""
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("tokenomics"), "__repository__")
    return dg.DagsterRun(
        job_name=job,
        run_id=make_new_run_id(),
        status=dg.DagsterRunStatus(status),
        asset_selection=frozenset(map(dg.AssetKey, assets)) if assets else None,
        remote_job_origin=RemoteJobOrigin(repository, job),
    )
