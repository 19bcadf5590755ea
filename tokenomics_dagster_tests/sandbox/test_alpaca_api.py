"""The broker over HTTP: each answer against the official schema, and read by the unmodified clients."""

import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import requests
import uvicorn
from alpaca.common.exceptions import APIError
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import (
    StockBarsRequest,
    StockLatestBarRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockSnapshotRequest,
)
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, AssetStatus, OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.models import Asset
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetCalendarRequest,
    GetOrdersRequest,
    GetPortfolioHistoryRequest,
    LimitOrderRequest,
    MarketOrderRequest,
)
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tokenomics_dagster.sandbox import alpaca_api
from tokenomics_dagster.sandbox.actions import take_action
from tokenomics_dagster.sandbox.orders import Restrictions
from tokenomics_dagster.sandbox.sessions import NEW_YORK
from tokenomics_dagster_tests.sandbox.test_broker import MONDAY, MONDAY_CLOSE, MONDAY_EVENING, TUESDAY_OPEN, World

SPECS = Path(__file__).resolve().parents[2].parent / "shared" / "specs"
ALL = "AAA,BBB,BRK.A,PENNY"


class Api:
    """The sandbox's Alpaca side on a real port; `call` checks each answer against the specification."""

    def __init__(self, world: World, url: str) -> None:
        self.world = world
        self.url = url
        self.trading = TradingClient("key", "secret", url_override=url)
        self.trading_raw = TradingClient("key", "secret", url_override=url, raw_data=True)
        self.data = StockHistoricalDataClient("key", "secret", url_override=url)
        self.specs = [
            json.loads(path.read_text()) for path in sorted(SPECS.glob("alpaca-*-api.json")) if SPECS.is_dir()
        ]
        self.checked: set[tuple[str, str, int]] = set()

    def call(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        response = requests.request(method, self.url + path, timeout=10, **more)
        assert response.status_code == status, response.text
        if status == 204:
            assert response.content == b""
            return None
        if status == 414:
            return response.text
        body = response.json()
        for spec in self.specs:
            self._check(spec, method, urlsplit(path).path, status, body)
        return body

    def _check(self, spec: dict[str, Any], method: str, path: str, status: int, body: Any) -> None:
        template = next(
            (t for t in sorted(spec["paths"]) if _matches(t, path) and method.lower() in spec["paths"][t]), None
        )
        if template is None:
            return
        answer = spec["paths"][template][method.lower()]["responses"].get(str(status), {})
        schema = answer.get("content", {}).get("application/json", {}).get("schema")
        if status >= 400:
            # the specification gives errors no schema; `facts`: trading answers code and message, data a message
            assert isinstance(body["message"], str)
            assert body["message"]
            if "stocks" not in template:
                assert isinstance(body["code"], int)
        else:
            assert schema is not None, f"{method} {template} has no {status} in the specification"
            if template == "/v2/account/activities/{activity_type}":
                # its items are oneOf two schemas without a required key, which every fill and every flow both meet
                schema = {"type": "array", "items": {"anyOf": schema["items"]["oneOf"]}}
            if template == "/v2/positions" and method == "DELETE":
                body = [row for row in body if row["status"] == 200]
                # a refused row has the error as its body, which alpaca-py reads and the specification leaves out
            jsonschema.Draft202012Validator({**schema, "components": spec["components"]}).validate(body)
            self.checked.add((method, template, status))

    def order(self, **fields: Any) -> Any:
        body = {"symbol": "AAA", "side": "buy", "type": "market", "time_in_force": "day", **fields}
        return self.call("POST", "/v2/orders", json=body)

    def filled(self, **fields: Any) -> Any:
        sent = self.order(**fields)
        self.world.wait()
        order = self.call("GET", f"/v2/orders/{sent['id']}")
        assert order["status"] == "filled"
        return order

    def refused(self, status: int, **fields: Any) -> Any:
        body = {"symbol": "AAA", "side": "buy", "type": "market", "time_in_force": "day", **fields}
        return self.call("POST", "/v2/orders", status, json=body)


def _matches(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)), path) is not None


class Box:
    """The app of the test that runs now, behind one server for all: starting and stopping one takes 0.2 s."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Box, str]]:
    box = Box()
    server = uvicorn.Server(uvicorn.Config(box, port=0, log_level="error", ws="none", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.005)
    try:
        yield box, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def api(served: tuple[Box, str]) -> Api:
    box, url = served
    world = World()
    box.app = Starlette(routes=alpaca_api.routes(world.broker, world.market, world.clock))
    return Api(world, url)


EVERY_ACTION: list[dict[str, Any]] = [
    {"kind": "split", "symbol": "BBB", "new_rate": 3, "old_rate": 1},
    {"kind": "rename", "symbol": "BBB", "new_symbol": "BBC"},
    {"kind": "dividend", "symbol": "BBC", "rate": "0.25"},
    {"kind": "spin_off", "symbol": "BBC", "new_symbol": "SPUN", "new_rate": 1, "old_rate": 2, "price": "4.00"},
    {"kind": "merger", "symbol": "BBC", "cash_rate": "2", "acquirer": "AAA", "acquirer_rate": "0.1"},
    {"kind": "delisting", "symbol": "SPUN", "price": "0"},
    {"kind": "removal", "symbol": "SPUN"},
    {"kind": "fee", "amount": "-0.02"},
]
needs_specs = pytest.mark.skipif(not SPECS.is_dir(), reason="the official API descriptions are not beside this clone")


@needs_specs
def test_every_endpoint_answers_as_the_official_schema_says(api):
    api.call("GET", "/v2/account")
    api.call("GET", "/v2/clock")
    assert len(api.call("GET", "/v2/calendar?start=2026-11-23&end=2026-11-30")) == 5
    assert len(api.call("GET", "/v2/assets")) == 8
    asset = api.call("GET", "/v2/assets/BRK.A")
    assert api.call("GET", f"/v2/assets/{asset['id']}") == asset
    first = api.filled(qty="10", client_order_id="one")
    api.filled(symbol="BBB", notional="250.00")
    api.world.broker.deposit(Decimal(5))
    api.world.broker.deposit(Decimal(-7))
    resting = api.order(symbol="PENNY", qty="100", type="limit", limit_price="0.1")
    api.call("GET", "/v2/orders?status=all")
    api.call("GET", f"/v2/orders/{resting['id']}?nested=true")
    assert api.call("GET", "/v2/orders:by_client_order_id?client_order_id=one")["id"] == first["id"]
    assert len(api.call("GET", "/v2/positions")) == 2
    api.call("GET", "/v2/positions/AAA")
    api.call("GET", f"/v2/positions/{first['asset_id']}")
    assert [row["activity_type"] for row in api.call("GET", "/v2/account/activities")] == ["CSW", "CSD", "FILL", "FILL"]
    assert len(api.call("GET", "/v2/account/activities/FILL")) == 2
    assert len(api.call("GET", "/v2/account/activities?activity_types=CSD,CSW")) == 2
    for body in EVERY_ACTION:
        take_action(body, api.world.market, api.world.broker)
    kinds = [row["activity_type"] for row in api.call("GET", "/v2/account/activities?category=non_trade_activity")]
    assert kinds == ["FEE", "REORG", "MA", "MA", "SPIN", "DIV", "NC", "NC", "SPLIT", "SPLIT", "CSW", "CSD"]
    api.call("GET", "/v2/positions")
    assert len(api.call("GET", "/v1/corporate-actions")["corporate_actions"]) == 6
    api.call("GET", "/v2/account/portfolio/history?period=1W&timeframe=1D")
    api.call("DELETE", f"/v2/orders/{resting['id']}", 204)
    api.world.wait()
    api.order(symbol="PENNY", qty="100", type="limit", limit_price="0.1")
    assert len(api.call("DELETE", "/v2/orders", 207)) == 1
    api.world.wait()
    api.call("DELETE", "/v2/positions/AAA?qty=2.5")
    api.world.wait()
    api.call("DELETE", "/v2/positions?cancel_orders=true", 207)
    for path in ("trades/latest", "quotes/latest", "bars/latest", "snapshots"):
        api.call("GET", f"/v2/stocks/{path}?symbols={ALL}&feed=iex")
    api.call("GET", f"/v2/stocks/bars?symbols={ALL}&timeframe=1Day&start=2026-08-01&end=2026-08-24")
    served = {
        (method, route.path)
        for route in alpaca_api.routes(api.world.broker, api.world.market, api.world.clock)
        if isinstance(route, Route) and route.path != "/v2/{path:path}"
        for method in (route.methods or set()) - {"HEAD"}
    }
    # no body (204), and always a refusal
    unchecked = {("DELETE", "/v2/orders/{order_id}"), ("PATCH", "/v2/orders/{order_id}")}
    assert served - unchecked == {(method, path) for method, path, _ in api.checked}


def test_the_account_has_every_number_as_text_and_none_of_the_removed_day_trading_fields(api):
    api.filled(qty="10.5")
    account = api.call("GET", "/v2/account")
    assert not {"pattern_day_trader", "daytrade_count", "daytrading_buying_power"} & set(account)
    assert Decimal(account["cash"]) + Decimal(account["long_market_value"]) == Decimal(account["equity"])
    assert account["buying_power"] == account["cash"]
    assert (account["multiplier"], account["shorting_enabled"]) == ("1", False)
    api.world.broker.restrict(Restrictions(trading_blocked=True))
    assert api.call("GET", "/v2/account")["trading_blocked"] is True
    assert api.refused(403, qty="1")["code"] == 40310000


def test_a_new_order_comes_back_pending_new_with_an_empty_order_class_and_nanoseconds(api):
    order = api.order(notional="100.00")
    assert (order["status"], order["order_class"], order["qty"], order["notional"]) == ("pending_new", "", None, "100")
    assert re.fullmatch(r"2026-08-24T14:05:00\.\d{9}Z", order["submitted_at"])
    api.world.clock.at = MONDAY_EVENING
    assert api.order(qty="1")["status"] == "accepted"


@pytest.mark.parametrize(
    ("fields", "status", "code", "message"),
    [
        ({"qty": "1", "symbol": "NOPE"}, 422, 42210000, 'asset "NOPE" not found'),
        ({"qty": "1", "symbol": "IPO082601"}, 422, 42210000, 'asset "IPO082601" not found'),
        ({"qty": "1", "symbol": None}, 422, 40010001, "symbol is required"),
        ({"qty": "1", "side": "hold"}, 422, 40010001, "invalid side: hold"),
        ({"qty": "1", "side": None}, 422, 40010001, "invalid side"),
        ({"qty": "1", "type": "stop"}, 422, 40010001, "type 'stop' is not supported"),
        ({}, 422, 40010001, "exactly one of qty or notional"),
        ({"qty": "1", "notional": "10"}, 422, 40010001, "exactly one of qty or notional"),
        ({"qty": "0"}, 422, 42210000, "qty must be > 0"),
        ({"qty": "-1"}, 422, 42210000, "qty must be > 0"),
        ({"qty": True}, 422, 40010001, "qty must be a number"),
        ({"qty": "many"}, 422, 40010001, "qty must be a number"),
        ({"qty": "NaN"}, 422, 40010001, "qty must be a number"),
        ({"qty": "1e30"}, 422, 42210000, "qty must be <= "),
        ({"qty": 0.1 + 0.2}, 422, 42210000, "qty must be limited to 9 decimal places"),
        ({"notional": "10.001"}, 422, 42210000, "notional value must be limited to 2 decimal places"),
        ({"notional": "0.99"}, 403, 40310000, "cost basis must be >= minimal amount of order 1"),
        ({"notional": "10", "time_in_force": "gtc"}, 422, 42210000, "fractional orders must be DAY orders"),
        ({"qty": "1", "time_in_force": "gtc"}, 422, 42210000, "time_in_force 'gtc' is not supported"),
        ({"qty": "0.5", "order_class": "bracket"}, 422, 42210000, "fractional orders must be simple orders"),
        ({"qty": "1", "order_class": "bracket"}, 422, 42210000, "order_class 'bracket' is not supported"),
        ({"qty": "1", "extended_hours": True}, 422, 42210000, "extended_hours is not supported"),
        ({"qty": "1", "stop_price": "90"}, 422, 42210000, "stop_price is not supported"),
        ({"qty": "1", "limit_price": "90"}, 422, 40010001, "market orders require no limit price"),
        ({"qty": "1", "type": "limit"}, 422, 40010001, "limit orders require a limit price"),
        ({"qty": "1", "type": "limit", "limit_price": "90.001"}, 422, 42210000, "sub-penny increment"),
        ({"notional": "10", "type": "limit", "limit_price": "90"}, 422, 42210000, "notional is accepted for market"),
        ({"qty": "1", "position_intent": "sell_to_open"}, 422, 42210000, "position intent mismatch"),
        ({"qty": "1", "client_order_id": "x" * 129}, 422, 40010001, "no more than 128 characters"),
        ({"qty": "1", "client_order_id": 7}, 422, 40010001, "client_order_id must be a string"),
        ({"qty": "2000"}, 403, 40310000, "insufficient buying power"),
        ({"qty": "1.5", "symbol": "WHOLE"}, 403, 40310000, 'asset "WHOLE" is not fractionable'),
        (
            {"qty": "1", "side": "sell"},
            403,
            40310000,
            "insufficient qty available for order (requested: 1, available: 0)",
        ),
    ],
)
def test_a_bad_order_is_refused_with_status_code_and_reason(api, fields, status, code, message):
    body = api.refused(status, **fields)
    assert body["code"] == code
    assert message in body["message"]
    assert api.call("GET", "/v2/orders?status=all") == []


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff"])
def test_a_body_that_is_no_object_is_a_bad_request(api, body):
    assert api.call("POST", "/v2/orders", 400, data=body)["code"] == 40010000


def test_an_order_may_name_its_asset_by_id(api):
    asset = api.call("GET", "/v2/assets/AAA")
    assert api.order(symbol=asset["id"], qty="1")["symbol"] == "AAA"


def test_a_second_order_of_the_same_client_order_id_is_422_with_code_40010001(api):
    first = api.order(qty="1", client_order_id="same")
    body = api.refused(422, qty="1", client_order_id="same")
    assert body == {"code": 40010001, "message": "client_order_id must be unique"}
    found = api.call("GET", "/v2/orders:by_client_order_id?client_order_id=same")
    assert found["id"] == first["id"]


def test_what_is_not_there_is_404(api):
    missing = "4d4fe3c2-c5a1-4a4e-8820-000000000000"
    for path in (
        f"/v2/orders/{missing}",
        "/v2/orders:by_client_order_id?client_order_id=none",
        "/v2/positions/AAA",
        "/v2/assets/NOPE",
        "/v2/watchlists",
    ):
        assert api.call("GET", path, 404)["code"] == 40410000
    assert api.call("DELETE", f"/v2/orders/{missing}", 404)["code"] == 40410000
    assert api.call("DELETE", "/v2/positions/AAA", 404)["message"] == "position does not exist"
    assert api.call("GET", "/v2/orders:by_client_order_id", 422)["message"] == "client_order_id is required"


def test_a_final_order_cannot_be_cancelled_and_none_can_be_replaced(api):
    order = api.filled(qty="1")
    body = api.call("DELETE", f"/v2/orders/{order['id']}", 422)
    assert body == {"code": 42210000, "message": 'order is already in "filled" state'}
    assert "cannot be replaced" in api.call("PATCH", f"/v2/orders/{order['id']}", 422, json={"qty": "2"})["message"]


def test_the_list_of_orders_filters_by_status_side_and_symbol_and_cuts_at_its_limit(api):
    ids = []
    for number in range(60):
        api.world.clock.at = MONDAY + timedelta(seconds=number)
        ids.append(api.order(symbol="AAA" if number % 2 else "BBB", qty="1", client_order_id=f"n{number}")["id"])
    api.world.wait()
    resting = api.order(symbol="PENNY", qty="100", type="limit", limit_price="0.01")["id"]

    def listed(query: str) -> list[str]:
        return [order["id"] for order in api.call("GET", f"/v2/orders?{query}")]

    assert listed("") == listed("status=open&nested=false") == [resting]
    assert listed("status=closed") == ids[:9:-1], "the 50 last, newest first"
    assert listed("status=closed&limit=500&direction=asc") == ids
    assert listed("status=all&limit=2") == [resting, ids[-1]]
    assert listed("status=all&limit=500&symbols=AAA,PENNY&direction=asc") == [*ids[1::2], resting]
    assert listed("status=all&limit=500&side=sell") == []
    api.world.clock.at = MONDAY - timedelta(minutes=1)
    earlier = api.order(qty="1")["id"]
    assert listed("status=all&limit=1&direction=asc") == [earlier], (
        "by time of submission, even if the clock was set back"
    )


def test_after_and_until_are_exclusive_to_the_nanosecond(api):
    api.world.clock.at = MONDAY + timedelta(microseconds=123_457)
    order = api.order(qty="1")
    at = order["submitted_at"]
    assert at.endswith(".123457199Z")

    def count(query: str) -> int:
        return len(api.call("GET", f"/v2/orders?status=all&{query}"))

    assert count(f"after={at}") == count(f"until={at}") == 0
    assert count(f"after={at[:-4]}Z") == 1, "a client that cuts to microseconds sees the order again"
    assert count("after=2026-08-24T10:05:00-04:00") == 1
    assert count("after=2026-08-24&until=2026-08-25") == 1


@pytest.mark.parametrize(
    "query",
    ["status=done", "direction=up", "side=long", "limit=501", "limit=0", "limit=x", "after=now", "until=2026-13-01"],
)
def test_an_impossible_filter_is_refused_by_name(api, query):
    assert query.split("=")[0] in api.call("GET", f"/v2/orders?{query}", 422)["message"]


def test_activities_page_through_every_fill_once_and_add_up_to_the_cash(api):
    for number in range(7):
        api.world.clock.at = MONDAY + timedelta(minutes=number)
        api.filled(symbol="BBB", notional="100.00")
    pages, token = [], ""
    for _ in range(3):
        page = api.call("GET", f"/v2/account/activities/FILL?page_size=3&direction=asc{token}")
        pages.append(page)
        token = f"&page_token={page[-1]['id']}"
    fills = [fill for page in pages for fill in page]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert len({fill["id"] for fill in fills}) == 7
    assert [fill["transaction_time"] for fill in fills] == sorted(fill["transaction_time"] for fill in fills)
    spent = sum(round(Decimal(fill["qty"]) * Decimal(fill["price"]), 2) for fill in fills)
    assert Decimal(api.call("GET", "/v2/account")["cash"]) == 100_000 - spent
    newest = api.call("GET", "/v2/account/activities/FILL?page_size=1")
    assert newest == [fills[-1]]
    after = api.call("GET", f"/v2/account/activities/FILL?after={fills[4]['transaction_time']}")
    assert after == fills[:4:-1]
    until = api.call("GET", f"/v2/account/activities/FILL?until={fills[1]['transaction_time']}")
    assert until == fills[:1]
    assert len(api.call("GET", "/v2/account/activities/FILL?date=2026-08-24")) == 7
    assert api.call("GET", "/v2/account/activities/FILL?date=2026-08-25") == []
    assert "page_token" in api.call("GET", "/v2/account/activities/FILL?page_token=x", 422)["message"]
    assert "page_size" in api.call("GET", "/v2/account/activities/FILL?page_size=101", 422)["message"]


def test_a_partial_fill_says_so_and_what_is_left(api):
    api.world.faults.orders = {"AAA": "stuck_partial"}
    api.order(qty="10")
    api.world.wait()
    (fill,) = api.call("GET", "/v2/account/activities/FILL")
    assert (fill["type"], fill["qty"], fill["leaves_qty"], fill["order_status"]) == (
        "partial_fill",
        "5",
        "5",
        "partially_filled",
    )


def test_assets_are_filtered_and_follow_the_market(api):
    def symbols(query: str) -> set[str]:
        return {asset["symbol"] for asset in api.call("GET", f"/v2/assets?{query}")}

    assert "IPO082601" in symbols("") - symbols("asset_class=us_equity")
    assert symbols("asset_class=us_equity&exchange=NASDAQ&status=active") == {"BBB"}
    assert symbols("attributes=ptp_no_exception,ipo") == {"PIPE", "IPO082601"}
    assert symbols("status=inactive") == set()
    assert api.call("GET", "/v2/assets/OTCQ")["tradable"] is False
    api.world.market.remove("BBB")
    assert symbols("exchange=NASDAQ&asset_class=us_equity") == set()


def test_the_clock_and_the_calendar_know_half_days(api):
    api.world.clock.at = datetime(2026, 11, 27, 17, 0, tzinfo=UTC)
    clock = api.call("GET", "/v2/clock")
    assert clock == {
        "timestamp": "2026-11-27T12:00:00.000000000-05:00",
        "is_open": True,
        "next_open": "2026-11-30T09:30:00-05:00",
        "next_close": "2026-11-27T13:00:00-05:00",
    }
    (row,) = api.call("GET", "/v2/calendar?start=2026-11-26&end=2026-11-27")
    assert (row["date"], row["open"], row["close"], row["settlement_date"]) == (
        "2026-11-27",
        "09:30",
        "13:00",
        "2026-11-30",
    )
    assert len(api.call("GET", "/v2/calendar")) > 5_000
    assert "start" in api.call("GET", "/v2/calendar?start=tomorrow", 422)["message"]


def test_positions_value_what_is_held_and_what_orders_hold(api):
    api.filled(qty="10")
    api.world.market.set_price("AAA", Decimal("110.00"))
    api.order(side="sell", qty="4", type="limit", limit_price="500")
    position = api.call("GET", "/v2/positions/AAA")
    quote_then = Decimal("100.01")
    expected = {
        "qty": "10",
        "qty_available": "6",
        "avg_entry_price": str(quote_then),
        "cost_basis": "1000.1",
        "market_value": "1100",
        "unrealized_pl": "99.9",
        "unrealized_intraday_pl": "99.9",
        "current_price": "110",
        "side": "long",
        "exchange": "NYSE",
    }
    assert {key: position[key] for key in expected} == expected


def test_closing_everything_is_207_with_a_status_for_each(api):
    api.filled(qty="10")
    api.filled(symbol="BBB", qty="3")
    api.order(side="sell", qty="4", type="limit", limit_price="500")
    rows = api.call("DELETE", "/v2/positions", 207)
    assert [(row["symbol"], row["status"]) for row in rows] == [("AAA", 403), ("BBB", 200)]
    assert rows[0]["body"]["held_for_orders"] == "4"
    for query in ("qty=1&percentage=1", "percentage=101", "qty=x"):
        api.call("DELETE", f"/v2/positions/BBB?{query}", 422)


def test_latest_data_drops_unknown_symbols_without_a_word(api):
    for path, key in (("trades/latest", "trades"), ("quotes/latest", "quotes"), ("bars/latest", "bars")):
        assert set(api.call("GET", f"/v2/stocks/{path}?symbols=AAA,NOPE,BBB")[key]) == {"AAA", "BBB"}
    assert set(api.call("GET", "/v2/stocks/snapshots?symbols=AAA,NOPE")) == {"AAA"}
    assert api.call("GET", "/v2/stocks/trades/latest?symbols=NOPE") == {"trades": {}}


def test_latest_data_carries_the_last_close_as_its_time_when_closed(api):
    api.world.clock.at = TUESDAY_OPEN - timedelta(hours=1)
    quote = api.call("GET", "/v2/stocks/quotes/latest?symbols=AAA")["quotes"]["AAA"]
    trade = api.call("GET", "/v2/stocks/trades/latest?symbols=AAA")["trades"]["AAA"]
    bar = api.call("GET", "/v2/stocks/bars/latest?symbols=AAA")["bars"]["AAA"]
    assert quote["t"] == trade["t"] == f"{MONDAY_CLOSE:%Y-%m-%dT%H:%M:%S}.000000000Z"
    assert bar["t"] == "2026-08-24T19:59:00Z"
    assert (quote["bp"], trade["p"], quote["ap"]) == (99.99, 100.0, 100.01)
    assert (trade["z"], api.call("GET", "/v2/stocks/trades/latest?symbols=BBB")["trades"]["BBB"]["z"]) == ("A", "C")


def test_a_snapshot_has_todays_bar_so_far_and_the_bar_of_the_session_before(api):
    snapshot = api.call("GET", "/v2/stocks/snapshots?symbols=AAA")["AAA"]
    assert (snapshot["dailyBar"]["t"], snapshot["prevDailyBar"]["t"]) == (
        "2026-08-24T04:00:00Z",
        "2026-08-21T04:00:00Z",
    )
    assert 0 < snapshot["dailyBar"]["v"] < snapshot["prevDailyBar"]["v"]


@pytest.mark.parametrize(
    "path", ["trades/latest?", "quotes/latest?", "bars/latest?", "snapshots?", "bars?timeframe=1Day&"]
)
def test_the_data_api_refuses_sip_and_nonsense(api, path):
    assert "subscription does not permit" in api.call("GET", f"/v2/stocks/{path}symbols=AAA&feed=sip", 403)["message"]
    assert "invalid feed" in api.call("GET", f"/v2/stocks/{path}symbols=AAA&feed=x", 400)["message"]
    assert "symbols is required" in api.call("GET", f"/v2/stocks/{path}", 400)["message"]
    assert "currency" in api.call("GET", f"/v2/stocks/{path}symbols=AAA&currency=EUR", 400)["message"]


def test_two_hundred_symbols_are_answered_and_more_or_a_longer_url_give_414_in_html(api):
    many = ",".join(f"SYM{number}" for number in range(200))
    api.call("GET", f"/v2/stocks/snapshots?symbols={many}")
    assert api.call("GET", f"/v2/stocks/snapshots?symbols={many},AAA", 414).startswith("<html>")
    api.call("GET", f"/v2/stocks/quotes/latest?symbols=AAA&x={'y' * 4100}", 414)


def test_daily_bars_page_by_symbol_and_day_and_none_is_lost_or_repeated(api):
    query = "symbols=BBB,AAA,NOPE&timeframe=1Day&start=2026-08-10&end=2026-08-21"
    whole = api.call("GET", f"/v2/stocks/bars?{query}")
    assert whole["next_page_token"] is None
    assert {symbol: len(bars) for symbol, bars in whole["bars"].items()} == {"AAA": 10, "BBB": 10}
    assert whole["bars"]["AAA"][-1]["t"] == "2026-08-21T04:00:00Z"
    assert api.call("GET", f"/v2/stocks/bars?{query}&limit=20") == whole, "a full last page has no page after it"
    for sort in ("asc", "desc"):
        paged: dict[str, list[Any]] = {}
        token: str | None = ""
        for _ in range(4):
            page = api.call("GET", f"/v2/stocks/bars?{query}&limit=7&sort={sort}&page_token={token}")
            assert sum(map(len, page["bars"].values())) <= 7
            for symbol, bars in page["bars"].items():
                paged.setdefault(symbol, []).extend(bars)
            token = page["next_page_token"]
            if token is None:
                break
        assert token is None
        step = 1 if sort == "asc" else -1
        assert paged == {symbol: bars[::step] for symbol, bars in whole["bars"].items()}


def test_bars_show_nothing_that_has_not_happened_yet(api):
    def days() -> list[str]:
        query = "symbols=AAA&timeframe=1Day&start=2026-08-21&end=2026-09-30"
        return [bar["t"][:10] for bar in api.call("GET", f"/v2/stocks/bars?{query}")["bars"]["AAA"]]

    assert days() == ["2026-08-21", "2026-08-24"]
    api.world.clock.at = TUESDAY_OPEN - timedelta(seconds=1)
    assert days() == ["2026-08-21", "2026-08-24"]
    api.world.clock.at = TUESDAY_OPEN
    assert days()[-1] == "2026-08-25"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("timeframe=5Min", "invalid timeframe: 5Min"),
        ("", "invalid timeframe"),
        ("timeframe=1Day&start=x", "invalid start"),
        ("timeframe=1Day&limit=10001", "invalid limit"),
        ("timeframe=1Day&sort=up", "invalid sort"),
        ("timeframe=1Day&page_token=%21", "invalid page_token"),
        ("timeframe=1Day&start=2026-08-21&end=2026-08-20", "end should not be before start"),
    ],
)
def test_a_bad_question_for_bars_is_400_and_says_why(api, query, message):
    assert message in api.call("GET", f"/v2/stocks/bars?symbols=AAA&{query}", 400)["message"]


def test_the_portfolio_history_has_the_equity_of_each_close_and_of_now(api):
    api.filled(qty="10")
    api.world.clock.at = TUESDAY_OPEN
    history = api.call("GET", "/v2/account/portfolio/history?period=1W&timeframe=1D")
    assert history["timestamp"] == [int(MONDAY_CLOSE.timestamp()), int(TUESDAY_OPEN.timestamp())]
    assert history["equity"][-1] == float(api.call("GET", "/v2/account")["equity"])
    assert "1D only" in api.call("GET", "/v2/account/portfolio/history?timeframe=1H", 422)["message"]


def test_a_portfolio_history_begins_and_ends_where_it_is_asked_to(api):
    for day in (24, 25, 26):
        api.world.clock.at = datetime(2026, 8, day, 21, tzinfo=UTC)
        api.call("GET", "/v2/account")

    def days(query: str) -> list[int]:
        history = api.call("GET", f"/v2/account/portfolio/history?timeframe=1D&{query}")
        return [datetime.fromtimestamp(at, NEW_YORK).day for at in history["timestamp"]]

    assert days("start=2026-08-24&end=2026-08-25") == [24, 25]
    assert days("start=2026-08-25&end=2026-09-25") == [25, 26, 26], "the last is of now"
    assert days("start=2026-08-01&end=2026-08-21") == []
    # Without an end it is a month from the start, not to now.
    assert days("start=2026-07-01") == []
    path = "/v2/account/portfolio/history?start=2026-08-24&end=2026-08-25&period=1W"
    assert "period must not be given" in api.call("GET", path, 422)["message"]


def test_adjusted_bars_are_at_the_prices_after_a_split_and_raw_ones_as_traded(api):
    api.world.clock.at = datetime(2026, 8, 25, 12, tzinfo=UTC)
    take_action({"kind": "split", "symbol": "BBB", "new_rate": 4, "old_rate": 1}, api.world.market, api.world.broker)
    api.world.clock.at = datetime(2026, 8, 25, 21, tzinfo=UTC)

    def bars(adjustment: str) -> list[dict[str, Any]]:
        query = f"symbols=BBB&timeframe=1Day&start=2026-08-24&end=2026-08-25&adjustment={adjustment}"
        found: list[dict[str, Any]] = api.call("GET", f"/v2/stocks/bars?{query}")["bars"]["BBB"]
        return found

    raw, adjusted = bars("raw"), bars("all")
    assert adjusted[1] == raw[1]
    for name in ("o", "h", "l", "c"):
        assert adjusted[0][name] == pytest.approx(raw[0][name] / 4)
    assert adjusted[0]["v"] == raw[0]["v"] * 4
    assert bars("split") == adjusted
    assert bars("dividend") == raw
    path = "/v2/stocks/bars?symbols=BBB&timeframe=1Day&adjustment=some"
    assert "invalid adjustment" in api.call("GET", path, 400)["message"]


def market_order(**fields: Any) -> MarketOrderRequest:
    return MarketOrderRequest(**{"symbol": "AAA", "side": OrderSide.BUY, "time_in_force": TimeInForce.DAY, **fields})


def test_the_unmodified_trading_client_reads_every_answer(api):
    client, world = api.trading, api.world
    assert client.get_account().cash == "100000"
    assert client.get_clock().is_open
    assert [
        row.close.hour
        for row in client.get_calendar(GetCalendarRequest(start=date(2026, 11, 25), end=date(2026, 11, 27)))
    ] == [16, 13]
    assert client.get_asset("BRK.A").fractionable is False
    order = client.submit_order(market_order(qty=60, client_order_id="c1"))
    assert order.status is OrderStatus.PENDING_NEW
    world.wait(0.8 * 0.05)
    assert client.get_order_by_id(order.id).status is OrderStatus.PARTIALLY_FILLED
    world.wait()
    assert client.get_order_by_client_id("c1").status is OrderStatus.FILLED
    limit = LimitOrderRequest(symbol="BBB", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, limit_price=1.5)
    resting = client.submit_order(limit)
    query = GetOrdersRequest(
        status=QueryOrderStatus.ALL, after=MONDAY - timedelta(hours=1), limit=500, symbols=["AAA", "BBB"]
    )
    assert len(client.get_orders(query)) == 2
    client.cancel_order_by_id(resting.id)
    world.wait()
    assert [order.status for order in client.get_orders(GetOrdersRequest(status=QueryOrderStatus.CLOSED))] == [
        OrderStatus.CANCELED,
        OrderStatus.FILLED,
    ]
    assert client.get_all_positions()[0].qty_available == "60"
    assert client.close_position("AAA", ClosePositionRequest(qty="10")).side is OrderSide.SELL
    world.wait()
    assert client.get_open_position("AAA").qty == "50"
    resting = client.submit_order(
        LimitOrderRequest(**{**limit.model_dump(), "symbol": "AAA", "side": OrderSide.SELL, "limit_price": 900})
    )
    refused, *_ = client.close_all_positions()
    assert (refused.status, refused.body.held_for_orders) == (403, 1.0)
    assert [row.status for row in client.cancel_orders()] == [200]
    world.wait()
    (closed,) = client.close_all_positions(cancel_orders=True)
    assert closed.status == 200
    assert client.get_portfolio_history(GetPortfolioHistoryRequest(period="1M", timeframe="1D")).equity
    fills = client.get("/account/activities/FILL", {"page_size": 100})
    assert {fill["symbol"] for fill in fills} == {"AAA"}


def test_the_unmodified_trading_client_reads_the_errors(api):
    with pytest.raises(APIError) as caught:
        api.trading.submit_order(market_order(qty=0.30000000000000004))
    assert (caught.value.status_code, caught.value.code) == (422, 42210000)
    with pytest.raises(APIError) as caught:
        api.trading.get_order_by_client_id("none")
    assert (caught.value.status_code, caught.value.code) == (404, 40410000)
    with pytest.raises(APIError) as caught:
        api.data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=[f"S{n}" for n in range(201)]))
    assert caught.value.status_code == 414
    with pytest.raises(json.JSONDecodeError):
        _ = caught.value.code


def test_an_asset_of_a_class_that_the_client_does_not_know_breaks_its_list_but_not_the_raw_one(api):
    with pytest.raises(ValidationError, match="ipo"):
        api.trading.get_all_assets()
    raw = api.trading_raw.get_all_assets()
    parsed = [Asset(**asset) for asset in raw if asset["class"] == "us_equity"]
    assert len(parsed) == len(raw) - 1 == 7
    equities = api.trading.get_all_assets(GetAssetsRequest(status=AssetStatus.ACTIVE, asset_class=AssetClass.US_EQUITY))
    assert equities == parsed


def test_the_unmodified_data_client_reads_every_answer(api):
    data, symbols = api.data, ["AAA", "BBB", "NOPE", "BRK.A"]
    known = {"AAA", "BBB", "BRK.A"}
    trades = data.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols=symbols))
    assert set(trades) == known
    assert trades["AAA"].price == 100.0
    quotes = data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=symbols))
    assert quotes["AAA"].timestamp == MONDAY
    assert set(data.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols=symbols))) == known
    snapshots = data.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=symbols))
    assert snapshots["AAA"].previous_daily_bar.close == 100.0
    bars = data.get_stock_bars(
        StockBarsRequest(
            symbol_or_symbols=symbols,
            timeframe=TimeFrame.Day,
            start=datetime(2025, 1, 1, tzinfo=UTC),
            end=datetime(2026, 1, 1, tzinfo=UTC),
        )
    )
    assert {symbol: len(rows) for symbol, rows in bars.data.items()} == dict.fromkeys(known, 250)
