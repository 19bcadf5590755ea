"""The resources against the sandbox: what it says is what they read, whatever fault strikes."""

import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.errors import AmbiguousOrder, AuthenticationError, OrderRejected, TransientError
from tokenomics_dagster.providers.finnhub.resource import FinnhubResource
from tokenomics_dagster.sandbox.server import SandboxHandle, running_sandbox
from tokenomics_dagster.settings.loading import load_settings


@pytest.fixture(scope="module")
def shared() -> Iterator[SandboxHandle]:
    with running_sandbox(listings=400, finnhub_limit=("15/s",), trading_limit=("3000/min",)) as handle:
        yield handle
        assert handle.log() == ""


@pytest.fixture
def sandbox(shared: SandboxHandle, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxHandle]:
    for name, value in shared.environment().items():
        monkeypatch.setenv(name, value)
    yield shared
    shared.admin("PUT", "/sandbox/faults", [])


@pytest.fixture
def finnhub(sandbox: SandboxHandle) -> Iterator[FinnhubResource]:
    settings = load_settings(overrides={"finnhub.calls_per_minute": 900.0, "finnhub.timeout_s": 2.0})
    with FinnhubResource.from_settings(settings) as resource:
        yield resource


@pytest.fixture
def alpaca(sandbox: SandboxHandle) -> Iterator[AlpacaResource]:
    settings = load_settings(overrides={"alpaca.calls_per_minute": 2900.0, "alpaca.timeout_s": 2.0})
    with AlpacaResource.from_settings(settings) as resource:
        yield resource


def fault(sandbox: SandboxHandle, **rule: Any) -> None:
    sandbox.admin("PUT", "/sandbox/faults", [rule])


def until_final(alpaca: AlpacaResource, client_order_id: str) -> Any:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        order = alpaca.order_by_client_id(client_order_id)
        if order is not None and order.status == "filled":
            return order
        time.sleep(0.02)
    raise AssertionError(f"{client_order_id} was not filled")


def a_stock(alpaca: AlpacaResource) -> str:
    assets = alpaca.assets()
    snapshots = alpaca.snapshots([symbol for symbol, asset in assets.items() if asset.tradable and asset.fractionable])
    return next(symbol for symbol, one in snapshots.items() if one.price is not None and 20 < one.price < 500)


def test_listings_profiles_and_metrics_are_read(finnhub: FinnhubResource) -> None:
    listings = finnhub.listings().listings
    assert len(listings) == 400
    stocks = [one.symbol for one in listings if one.type == "Common Stock" and one.mic == "XNYS"][:10]
    metrics = [finnhub.metrics(symbol) for symbol in stocks]
    assert any(one.roe_ttm_pct is not None for one in metrics)
    assert any(one.market_cap_musd is not None for one in metrics)
    profiles = [finnhub.profile(symbol) for symbol in stocks]
    assert any(one is not None and one.currency == "USD" and one.shares_outstanding_m for one in profiles)
    assert finnhub.profile("NO.SUCH") is None
    assert finnhub.metrics("NO.SUCH").roe_ttm_pct is None
    assert finnhub.calls == {"GET /stock/symbol": 1, "GET /stock/metric": 11, "GET /stock/profile2": 11}


@pytest.mark.soak
def test_a_sweep_at_15_a_second_meets_no_429(sandbox: SandboxHandle, finnhub: FinnhubResource) -> None:
    symbols = [one.symbol for one in finnhub.listings().listings][:75]
    found = dict(finnhub.sweep(symbols, finnhub.metrics))
    assert found.keys() == set(symbols)
    assert finnhub.calls["GET /stock/metric"] == len(symbols), "a call was repeated: the limit was met"


@pytest.mark.parametrize(
    "kind", ["429", "429_no_headers", "500", "502_html", "503", "504", "timeout", "malformed_json", "truncated"]
)
def test_reads_survive_every_fault_of_the_transport(
    kind: str, sandbox: SandboxHandle, finnhub: FinnhubResource, alpaca: AlpacaResource
) -> None:
    sandbox.admin(
        "PUT",
        "/sandbox/faults",
        [{"kind": kind, "endpoint": f"GET {path}", "calls": [1]} for path in ("/api/*", "/v2/account")],
    )
    assert finnhub.listings().listings
    assert alpaca.account().status == "ACTIVE"
    assert finnhub.calls == {"GET /stock/symbol": 2}
    assert alpaca.calls == {"GET /v2/account": 2}


def test_clock_and_account_agree(alpaca: AlpacaResource) -> None:
    clock = alpaca.clock()
    assert clock.is_open
    assert clock.now < clock.next_close < clock.next_open
    assert timedelta(0) <= alpaca.now() - clock.now < timedelta(seconds=5)
    account = alpaca.account()
    assert account.currency == "USD"
    assert account.equity == account.cash + sum(
        (one.market_value for one in alpaca.positions().values() if one.market_value is not None), Decimal(0)
    )


def test_snapshots_and_bars_are_of_the_same_market(alpaca: AlpacaResource) -> None:
    symbol = a_stock(alpaca)
    found = alpaca.snapshots([symbol, "NO.SUCH"])
    assert found.keys() == {symbol}
    one = found[symbol]
    assert one.bid is not None
    assert one.ask is not None
    assert one.price is not None
    assert one.bid <= one.price <= one.ask
    bars = alpaca.daily_bars([symbol, "NO.SUCH"], date(2026, 8, 17), date(2026, 8, 21))
    assert [bar.session.day for bar in bars[symbol]] == [17, 18, 19, 20, 21]
    assert bars[symbol][-1].close == one.previous_close


def test_an_order_is_sent_found_filled_and_booked_exactly(alpaca: AlpacaResource) -> None:
    symbol = a_stock(alpaca)
    before, start = alpaca.account(), alpaca.clock().now
    sent = alpaca.submit(symbol, "buy", "contract-1", qty=Decimal("1.123456789"))
    assert sent.client_order_id == "contract-1"
    filled = until_final(alpaca, "contract-1")
    assert filled.filled_qty == Decimal("1.123456789")
    assert alpaca.positions()[symbol].qty == filled.filled_qty
    fills = [fill for fill in alpaca.fills(start) if fill.order_id == sent.id]
    assert sum(fill.qty for fill in fills) == filled.filled_qty
    assert alpaca.account().cash < before.cash
    with pytest.raises(OrderRejected) as caught:
        alpaca.submit(symbol, "buy", "contract-1", qty=Decimal(1))
    assert caught.value.duplicate
    with pytest.raises(OrderRejected) as caught:
        alpaca.submit(symbol, "sell", "contract-2", qty=Decimal(50))
    assert not caught.value.duplicate
    assert "available" in caught.value.details
    with pytest.raises(OrderRejected) as caught:
        alpaca.submit(symbol, "buy", "contract-3", notional=Decimal(10_000_000))
    assert "buying_power" in caught.value.details
    assert alpaca.cancel(sent.id) is False
    assert alpaca.order_by_client_id("contract-2") is None


@pytest.mark.parametrize("kind", ["lost_answer", "lost_answer_504", "timeout", "500", "502_html", "truncated"])
def test_a_lost_answer_to_an_order_is_ambiguous_and_the_order_exists_at_most_once(
    kind: str, sandbox: SandboxHandle, alpaca: AlpacaResource
) -> None:
    symbol = a_stock(alpaca)
    fault(sandbox, kind=kind, endpoint="POST /v2/orders", calls=[1])
    with pytest.raises(AmbiguousOrder):
        alpaca.submit(symbol, "buy", f"lost-{kind}", qty=Decimal(1))
    assert alpaca.calls["POST /v2/orders"] == 1
    found = [order for order in alpaca.orders() if order.client_order_id == f"lost-{kind}"]
    assert len(found) == (1 if kind.startswith("lost_answer") or kind == "truncated" else 0)


def test_orders_can_be_listed_since_an_instant_and_cancelled(sandbox: SandboxHandle, alpaca: AlpacaResource) -> None:
    symbol = a_stock(alpaca)
    since = alpaca.clock().now - timedelta(milliseconds=1)
    for number in range(3):
        alpaca.submit(symbol, "buy", f"open-{number}", qty=Decimal(1), limit_price=Decimal("1.00"))
    found = alpaca.orders(after=since)
    assert [order.client_order_id for order in found] == ["open-0", "open-1", "open-2"]
    still_open = {order.client_order_id for order in alpaca.orders("open") if order.symbol == symbol}
    assert still_open >= {"open-0", "open-1", "open-2"}
    assert alpaca.cancel(found[0].id) is True
    assert set(alpaca.cancel_all().values()) == {200}
    deadline = time.monotonic() + 10
    while any(order.status != "canceled" for order in alpaca.orders(after=since)):
        assert time.monotonic() < deadline


def test_a_wrong_key_is_named(
    sandbox: SandboxHandle, finnhub: FinnhubResource, alpaca: AlpacaResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINNHUB_API_KEY", "wrong")
    monkeypatch.setenv("ALPACA_SECRET_KEY", "wrong")
    with pytest.raises(AuthenticationError, match="FINNHUB_API_KEY"):
        finnhub.listings()
    for call in (alpaca.account, lambda: alpaca.snapshots(["A"])):
        with pytest.raises(AuthenticationError, match="ALPACA_SECRET_KEY"):
            call()


def test_a_broker_that_is_down_is_transient(sandbox: SandboxHandle, alpaca: AlpacaResource) -> None:
    fault(sandbox, kind="503", endpoint="* /v2/*")
    with pytest.raises(TransientError):
        AlpacaResource(**{**alpaca.model_dump(), "max_attempts": 1}).account()


def test_the_clock_of_the_sandbox_is_the_one_that_counts(sandbox: SandboxHandle, alpaca: AlpacaResource) -> None:
    now: datetime = alpaca.clock().now
    sandbox.admin("PUT", "/sandbox/clock", {"advance_s": 60})
    assert timedelta(seconds=60) <= alpaca.clock().now - now < timedelta(seconds=70)
