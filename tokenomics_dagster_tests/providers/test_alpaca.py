import json
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenomics_dagster.model.trading import Account, Asset, Bar, Fill, MarketClock, Order, Position, Snapshot
from tokenomics_dagster.providers.alpaca import trading as module
from tokenomics_dagster.providers.alpaca.resource import AlpacaResource
from tokenomics_dagster.providers.errors import (
    AmbiguousOrder,
    AuthenticationError,
    OrderRejected,
    PermanentError,
    ProviderError,
    TooLate,
    TransientError,
)
from tokenomics_dagster.settings.loading import load_settings
from tokenomics_dagster.settings.section import SettingsError
from tokenomics_dagster_tests.providers.conftest import ALPACA_KEY, ALPACA_SECRET
from tokenomics_dagster_tests.providers.stub import Call, Reply, Stub, closed_port, in_turn

Serve = Callable[[Callable[[Call], Reply]], Stub]
AlpacaAt = Callable[..., AlpacaResource]

CLOCK = {
    "timestamp": "2026-08-24T10:05:00.123456789-04:00",
    "is_open": True,
    "next_open": "2026-08-25T09:30:00-04:00",
    "next_close": "2026-08-24T16:00:00-04:00",
}
ACCOUNT = {
    "account_number": "PA3XYZ",
    "status": "ACTIVE",
    "cash": "1000.10",
    "equity": "5000.30",
    "last_equity": "4999.99",
    "buying_power": "900.05",
    "currency": "USD",
    "trading_blocked": False,
    "account_blocked": False,
    "trade_suspended_by_user": False,
    "something_new": {"x": 1},
}
ID = "61e69015-8549-4bfd-b9c3-01e75843f47d"


def an_order(number: int = 0, **fields: Any) -> dict[str, Any]:
    at = datetime(2026, 8, 24, 14, 5, tzinfo=UTC) + timedelta(seconds=number)
    return {
        "id": f"{number:08d}-8549-4bfd-b9c3-01e75843f47d",
        "client_order_id": f"id-{number}",
        "symbol": "AAPL",
        "side": "buy",
        "qty": "1.5",
        "notional": None,
        "status": "pending_new",
        "filled_qty": "0",
        "filled_avg_price": None,
        "submitted_at": f"{at:%Y-%m-%dT%H:%M:%S}.123456789Z",
        "updated_at": f"{at:%Y-%m-%dT%H:%M:%S}Z",
        "order_class": "",
        "order_type": "market",
        "limit_price": None,
        **fields,
    }


def test_the_clock_is_read_in_utc_with_nanoseconds_cut(serve: Serve, alpaca_at: AlpacaAt) -> None:
    assert alpaca_at(serve(in_turn(Reply(CLOCK))).url).clock() == MarketClock(
        now=datetime(2026, 8, 24, 14, 5, 0, 123456, tzinfo=UTC),
        is_open=True,
        next_open=datetime(2026, 8, 25, 13, 30, tzinfo=UTC),
        next_close=datetime(2026, 8, 24, 20, 0, tzinfo=UTC),
    )


def test_the_account_is_read_in_decimals_and_without_the_fields_that_were_removed(
    serve: Serve, alpaca_at: AlpacaAt
) -> None:
    stub = serve(in_turn(Reply(ACCOUNT)))
    amounts = (Decimal("1000.10"), Decimal("5000.30"), Decimal("4999.99"))
    assert alpaca_at(stub.url).account() == Account("PA3XYZ", "ACTIVE", *amounts, "USD", False, False, False)
    assert stub.calls[0].headers["APCA-API-KEY-ID"] == ALPACA_KEY
    assert stub.calls[0].headers["APCA-API-SECRET-KEY"] == ALPACA_SECRET


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        (("account_number", "status", "currency"), (None, "", 7)),
        (("cash", "equity", "last_equity"), (None, "", "abc", "NaN", [1])),
        (("trading_blocked", "account_blocked", "trade_suspended_by_user"), (None, 0, "false")),
    ],
)
def test_an_account_without_a_figure_or_flag_that_guards_rely_on_is_an_error(
    fields: tuple[str, ...], values: tuple[Any, ...], serve: Serve, alpaca_at: AlpacaAt
) -> None:
    stub = serve(in_turn(Reply()))
    alpaca = alpaca_at(stub.url)
    for field, value in product(fields, values):
        stub.answer = in_turn(Reply({**ACCOUNT, field: value}))
        with pytest.raises(PermanentError, match=rf"GET /v2/account.*{field} of the answer"):
            alpaca.account()


def test_positions_come_by_symbol_and_may_lack_a_price(serve: Serve, alpaca_at: AlpacaAt) -> None:
    row = {"symbol": "BRK.B", "qty": "0.123456789", "qty_available": "0", "avg_entry_price": "400.1", "side": "long"}
    row |= {"asset_class": "us_equity", "asset_id": ID}
    priced = {**row, "symbol": "A", "current_price": "12.5", "market_value": "25"}
    found = alpaca_at(serve(in_turn(Reply([{**row, "current_price": None}, priced]))).url).positions()
    qty, entry = Decimal("0.123456789"), Decimal("400.1")
    assert found == {
        "BRK.B": Position("BRK.B", qty, Decimal(0), None, None, entry, "long", ID),
        "A": Position("A", qty, Decimal(0), Decimal("12.5"), Decimal(25), entry, "long", ID),
    }


def test_assets_of_an_unknown_class_status_or_form_spoil_nothing(serve: Serve, alpaca_at: AlpacaAt) -> None:
    row = {"symbol": "AAPL", "status": "active", "class": "us_equity", "tradable": True, "fractionable": True}
    rows = [
        {**row, "exchange": "A_NEW_EXCHANGE", "attributes": ["ptp_no_exception", "a_new_one"]},
        {**row, "symbol": "NEW", "class": "ipo"},
        {**row, "symbol": "OLD", "status": "a_new_status"},
        {"symbol": "BARE"},
        {"symbol": None},
    ]
    stub = serve(in_turn(Reply(rows)))
    assert alpaca_at(stub.url).assets() == {
        "AAPL": Asset("AAPL", "active", True, True, "A_NEW_EXCHANGE", ("ptp_no_exception", "a_new_one"), "us_equity"),
        "BARE": Asset("BARE", "", False, False, "", (), ""),
    }
    assert stub.calls[0].query == {"status": "active", "asset_class": "us_equity"}


SNAPSHOT = {
    "latestTrade": {"t": "2026-08-24T14:04:59.123456789Z", "p": 101.37, "s": 1},
    "latestQuote": {"t": "2026-08-24T14:04:58Z", "bp": 0, "ap": 101.4, "bs": 0, "as": 1},
    "dailyBar": {"t": "2026-08-24T04:00:00Z", "c": 101.37, "v": 1234},
    "prevDailyBar": {"t": "2026-08-21T04:00:00Z", "c": 0.1, "v": 99},
}


def test_snapshots_come_in_batches_and_unknown_ones_are_left_out(serve: Serve, alpaca_at: AlpacaAt) -> None:
    def answer(call: Call) -> Reply:
        asked = call.query["symbols"].split(",")
        bodies: dict[str, Any] = {symbol: SNAPSHOT for symbol in asked if symbol.startswith("S")}
        return Reply(bodies | {symbol: None for symbol in asked if symbol == "NULL"} | {"BARE": {"latestTrade": None}})

    stub = serve(answer)
    found = alpaca_at(stub.url, symbols_per_call=3).snapshots(["S1", "S2", "GONE", "S3", "NULL", "S1"])
    assert found.keys() == {"S1", "S2", "S3", "BARE"}
    assert found["S1"] == Snapshot(
        symbol="S1",
        price=Decimal("101.37"),
        price_at=datetime(2026, 8, 24, 14, 4, 59, 123456, tzinfo=UTC),
        bid=None,
        ask=Decimal("101.4"),
        quote_at=datetime(2026, 8, 24, 14, 4, 58, tzinfo=UTC),
        close=Decimal("101.37"),
        volume=Decimal(1234),
        previous_close=Decimal("0.1"),
        previous_volume=Decimal(99),
    )
    assert found["BARE"] == Snapshot("BARE", *[None] * 9)
    assert [call.query["symbols"] for call in stub.calls] == ["S1,S2,GONE", "S3,NULL"]
    assert {call.query["feed"] for call in stub.calls} == {"iex"}


def test_a_symbol_that_alpaca_refuses_does_not_cost_the_others_of_its_batch(serve: Serve, alpaca_at: AlpacaAt) -> None:
    def answer(call: Call) -> Reply:
        asked = call.query["symbols"].split(",")
        bad = [symbol for symbol in asked if "-" in symbol]
        return Reply({"message": f"invalid symbol: {bad[0]}"}, 400) if bad else Reply(dict.fromkeys(asked, SNAPSHOT))

    found = alpaca_at(serve(answer).url).snapshots(["A", "BAC-K", "B", "BF-B"])
    assert found.keys() == {"A", "B"}
    assert alpaca_at(serve(answer).url).snapshots(["BF-B"]) == {}


def test_another_400_is_an_error_and_not_an_empty_answer(serve: Serve, alpaca_at: AlpacaAt) -> None:
    stub = serve(in_turn(Reply({"message": "invalid feed"}, 400)))
    with pytest.raises(PermanentError, match="invalid feed"):
        alpaca_at(stub.url).snapshots(["A", "B"])


def test_daily_bars_follow_all_pages(serve: Serve, alpaca_at: AlpacaAt) -> None:
    def bar(day: str, close: float) -> dict[str, Any]:
        return {"t": f"{day}T04:00:00Z", "o": 1.1, "h": 1.3, "l": 1, "c": close, "v": 10, "new": 1}

    pages = [
        Reply({"bars": {"A": [bar("2026-08-20", 1.2)]}, "next_page_token": "n"}),
        Reply({"bars": {"A": [bar("2026-08-21", 1.25)], "B": []}, "next_page_token": None}),
    ]
    stub = serve(in_turn(*pages))
    found = alpaca_at(stub.url).daily_bars(["A", "B"], date(2026, 8, 20), date(2026, 8, 21))
    rest = Decimal("1.1"), Decimal("1.3"), Decimal(1)
    assert found["A"] == [
        Bar(date(2026, 8, 20), *rest, Decimal("1.2"), Decimal(10)),
        Bar(date(2026, 8, 21), *rest, Decimal("1.25"), Decimal(10)),
    ]
    assert stub.calls[1].query["page_token"] == "n"
    assert stub.calls[0].query["start"].startswith("2026-08-20T04:00:00")
    assert stub.calls[0].query["end"].startswith("2026-08-21T04:00:00")


def test_pages_of_bars_that_never_end_are_an_error(serve: Serve, alpaca_at: AlpacaAt) -> None:
    stub = serve(in_turn(Reply({"bars": {}, "next_page_token": "n"})))
    with pytest.raises(PermanentError, match="the same page came twice"):
        alpaca_at(stub.url).daily_bars(["A"], date(2026, 8, 20), date(2026, 8, 21))


@pytest.mark.parametrize("tokens", [("a", "b", "a"), (7,), (["a"],)])
def test_pages_of_announcements_that_go_round_in_a_circle_are_an_error(
    tokens: tuple[Any, ...], serve: Serve, alpaca_at: AlpacaAt
) -> None:
    stub = serve(in_turn(*[Reply({"next_page_token": token}) for token in tokens]))
    with pytest.raises(PermanentError, match=r"the same page came twice|next_page_token of the answer is .*not a text"):
        alpaca_at(stub.url).corporate_actions(["A"], date(2026, 8, 20), date(2026, 8, 21))
    assert len(stub.calls) == len(tokens)


def broker_with(orders: list[dict[str, Any]]) -> Callable[[Call], Reply]:
    """Lists orders as Alpaca does: newest first, at most `limit`, `after` and `until` exclusive, to the nanosecond."""

    def nanoseconds(text: str) -> int:
        seconds, _, rest = text.replace("+00:00", "Z").rstrip("Z").partition(".")
        return int(datetime.fromisoformat(f"{seconds}+00:00").timestamp()) * 10**9 + int(rest.ljust(9, "0") or 0)

    def answer(call: Call) -> Reply:
        query = call.query
        found = sorted(orders, key=lambda order: nanoseconds(order["submitted_at"]), reverse=True)
        if "after" in query:
            found = [one for one in found if nanoseconds(one["submitted_at"]) > nanoseconds(query["after"])]
        if "until" in query:
            found = [one for one in found if nanoseconds(one["submitted_at"]) < nanoseconds(query["until"])]
        assert query["direction"] == "desc"
        return Reply(found[: min(500, int(query["limit"]))])

    return answer


def test_orders_are_paged_beyond_500_oldest_first(serve: Serve, alpaca_at: AlpacaAt) -> None:
    stub = serve(broker_with([an_order(number) for number in range(1203)]))
    alpaca = alpaca_at(stub.url)
    assert [order.client_order_id for order in alpaca.orders()] == [f"id-{number}" for number in range(1203)]
    assert len(stub.calls) == 3
    after = datetime(2026, 8, 24, 14, 15, tzinfo=UTC)
    assert len(alpaca.orders(after=after)) == 603


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bursts=st.lists(
        st.tuples(st.integers(1, 450), st.sampled_from([0, 1, 1000]), st.sampled_from([2 * 10**6, 10**9])),
        min_size=3,
        max_size=5,
    )
)
def test_paging_loses_no_order_however_many_share_an_instant(
    bursts: list[tuple[int, int, int]], serve: Serve, alpaca_at: AlpacaAt
) -> None:
    at = 0
    orders: list[dict[str, Any]] = []
    for size, step, pause in bursts:
        for _ in range(size):
            seconds, nanoseconds = divmod(at, 10**9)
            submitted = datetime(2026, 8, 24, tzinfo=UTC) + timedelta(seconds=seconds)
            orders.append(an_order(len(orders), submitted_at=f"{submitted:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"))
            at += step
        at += pause
    found = alpaca_at(serve(broker_with(orders)).url).orders()
    assert len(found) == len(orders)
    assert {order.client_order_id for order in found} == {order["client_order_id"] for order in orders}


def test_more_orders_of_one_instant_than_a_page_holds_are_an_error_and_no_silent_loss(
    serve: Serve, alpaca_at: AlpacaAt
) -> None:
    same = [an_order(number, submitted_at="2026-08-24T14:05:00Z") for number in range(501)]
    with pytest.raises(PermanentError, match="cannot be paged"):
        alpaca_at(serve(broker_with(same)).url).orders()


def test_an_unknown_status_is_kept_as_it_came(serve: Serve, alpaca_at: AlpacaAt) -> None:
    row = an_order(1, status="a_new_status", type="a_new_type", order_type=None, symbol=None, qty=None, notional="10.5")
    order = alpaca_at(serve(in_turn(Reply([row]))).url).orders(status="open")[0]
    assert order == Order(
        id=row["id"],
        client_order_id="id-1",
        symbol="",
        side="buy",
        qty=None,
        notional=Decimal("10.5"),
        status="a_new_status",
        filled_qty=Decimal(0),
        filled_avg_price=None,
        submitted_at=datetime(2026, 8, 24, 14, 5, 1, 123456, tzinfo=UTC),
        updated_at=datetime(2026, 8, 24, 14, 5, 1, tzinfo=UTC),
        order_type="a_new_type",
        limit_price=None,
        asset_class="us_option",  # what has no symbol is an order of several options
    )


def test_an_order_is_looked_up_by_client_id_and_only_404_means_that_there_is_none(
    serve: Serve, alpaca_at: AlpacaAt
) -> None:
    stub = serve(in_turn(Reply(an_order(7)), Reply({"code": 40410000, "message": "order not found"}, 404)))
    alpaca = alpaca_at(stub.url)
    found = alpaca.order_by_client_id("id-7")
    assert found is not None
    assert found.client_order_id == "id-7"
    assert stub.calls[0].path == "/v2/orders:by_client_order_id"
    assert alpaca.order_by_client_id("id-8") is None
    for reply in (Reply(status=422), Reply(status=500), Reply(content=b"<html>"), Reply(drop=True), Reply({})):
        stub.answer = in_turn(reply)
        with pytest.raises(ProviderError):
            alpaca.order_by_client_id("id-8")


def test_a_look_up_that_answers_another_order_is_not_adopted(serve: Serve, alpaca_at: AlpacaAt) -> None:
    stub = serve(in_turn(Reply(an_order(7))))
    with pytest.raises(PermanentError, match="id-8 was asked for, the answer is about id-7"):
        alpaca_at(stub.url).order_by_client_id("id-8")


def accepting(call: Call) -> Reply:
    sent = json.loads(call.body)
    return Reply(an_order(1, client_order_id=sent["client_order_id"]))


def test_an_order_goes_out_as_exact_texts_rounded_down(serve: Serve, alpaca_at: AlpacaAt) -> None:
    stub = serve(accepting)
    alpaca = alpaca_at(stub.url)
    alpaca.submit("AAPL", "buy", "id-1", qty=Decimal("0.1") + Decimal("0.2"))
    alpaca.submit("AAPL", "sell", "id-2", qty=Decimal("1.9999999999"))
    alpaca.submit("AAPL", "buy", "id-3", notional=Decimal("100.999"))
    alpaca.submit("AAPL", "buy", "id-4", qty=Decimal("1E+3"), limit_price=Decimal("12.50"))
    common = {"symbol": "AAPL", "time_in_force": "day"}
    assert [json.loads(call.body) for call in stub.calls] == [
        {**common, "side": "buy", "type": "market", "client_order_id": "id-1", "qty": "0.3"},
        {**common, "side": "sell", "type": "market", "client_order_id": "id-2", "qty": "1.999999999"},
        {**common, "side": "buy", "type": "market", "client_order_id": "id-3", "notional": "100.99"},
        {**common, "side": "buy", "type": "limit", "client_order_id": "id-4", "qty": "1000", "limit_price": "12.5"},
    ]


@pytest.mark.soak
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(qty=st.decimals("0.000000001", "1000000000", allow_nan=False, allow_infinity=False))
def test_a_quantity_is_never_more_than_asked_and_less_by_under_a_billionth(
    qty: Decimal, serve: Serve, alpaca_at: AlpacaAt
) -> None:
    stub = serve(accepting)
    alpaca_at(stub.url).submit("AAPL", "sell", "id-1", qty=qty)
    sent = json.loads(stub.calls[-1].body)["qty"]
    with localcontext(prec=200):  # the difference itself must not be rounded: 28 digits made 1e-9 of less
        assert 0 <= qty - Decimal(sent) < Decimal("1e-9")
    assert "E" not in sent


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "either qty or notional"),
        ({"qty": Decimal(1), "notional": Decimal(1)}, "either qty or notional"),
        ({"qty": Decimal("1e-10")}, "greater than 0 after rounding"),
        ({"notional": Decimal("0.009")}, "greater than 0 after rounding"),
        ({"qty": Decimal(-1)}, "greater than 0"),
        ({"qty": Decimal("NaN")}, "greater than 0"),
        ({"qty": Decimal(1), "side": "short"}, "no order"),
        ({"qty": Decimal(1), "client_order_id": "x" * 129}, "1 to 128"),
    ],
)
def test_an_impossible_order_is_refused_before_anything_is_sent(
    fields: dict[str, Any], reason: str, serve: Serve, alpaca_at: AlpacaAt
) -> None:
    stub = serve(accepting)
    # Amounts are a matter of one order; the rest is a mistake of ours.
    with pytest.raises((OrderRejected, ValueError), match=reason):
        alpaca_at(stub.url).submit(**{"symbol": "AAPL", "side": "buy", "client_order_id": "id", **fields})
    assert stub.calls == []


AMBIGUOUS = {
    "500": Reply({"message": "internal"}, 500),
    "502 as a web page": Reply(content=b"<html>", status=502, headers={"Content-Type": "text/html"}),
    "504": Reply({"message": "upstream request timeout"}, 504),
    "408": Reply(status=408),
    "302": Reply(status=302, headers={"Location": "http://127.0.0.1:1"}),
    "lost connection": Reply(drop=True),
    "time-out": Reply(stall=True),
    "200 as a web page": Reply(content=b"<html>"),
    "200 cut off": Reply(content=b'{"id": "', length=100),
    "200 empty": Reply(content=b""),
    "200 without an id": Reply({"status": "new"}),
    "200 about another order": Reply(an_order(99)),
    "200 at an instant beyond the calendar": Reply(an_order(1, submitted_at="0001-01-01T00:00:00+14:00")),
    "200 with legs that are no list": Reply(an_order(1, legs=7)),
}


@pytest.mark.parametrize("reply", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_an_order_whose_fate_nobody_knows_is_ambiguous_and_sent_exactly_once(
    reply: Reply, serve: Serve, alpaca_at: AlpacaAt
) -> None:
    stub = serve(in_turn(reply))
    with pytest.raises(AmbiguousOrder, match=r"POST /v2/orders.*look it up by its client order id"):
        alpaca_at(stub.url, timeout_s=0.3, max_attempts=5).submit("AAPL", "buy", "id-1", qty=Decimal(1))
    assert [call.method for call in stub.calls] == ["POST"]


def test_the_official_client_itself_would_not_repeat_an_order_either(serve: Serve, alpaca_at: AlpacaAt) -> None:
    stub = serve(in_turn(Reply(an_order())))
    alpaca = alpaca_at(stub.url)
    with pytest.raises(AmbiguousOrder):
        alpaca.submit("AAPL", "buy", "id-1", qty=Decimal(1))
    client = alpaca._trading_client
    assert client is not None
    import requests

    stub.calls.clear()
    stub.answer = in_turn(Reply(status=504))
    client._session.close()
    client._session = requests.Session()  # without our adapter
    from alpaca.common.exceptions import APIError

    with client._session, pytest.raises(APIError):
        client.post("/orders", {})
    assert len(stub.calls) == 1


@pytest.mark.parametrize(
    ("status", "body", "duplicate", "details"),
    [
        (422, {"code": 40010001, "message": "client_order_id must be unique"}, True, {}),
        (409, {"code": 40910000, "message": "conflict"}, True, {}),
        (
            403,
            {
                "code": 40310000,
                "message": "insufficient buying power",
                "buying_power": "12.3",
                "cost_basis": 20,
                "x": 1,
            },
            False,
            {"buying_power": "12.3", "cost_basis": "20"},
        ),
        (403, {"code": 40310000, "message": "account is not authorized to trade"}, False, {}),
        (422, {"code": 42210000, "message": "qty must be > 0"}, False, {}),
        (400, None, False, {}),
    ],
)
def test_a_refused_order_carries_the_brokers_words(
    status: int, body: Any, duplicate: bool, details: dict[str, str], serve: Serve, alpaca_at: AlpacaAt
) -> None:
    stub = serve(in_turn(Reply(body, status)))
    with pytest.raises(OrderRejected) as caught:
        alpaca_at(stub.url).submit("AAPL", "buy", "id-1", qty=Decimal(1))
    error = caught.value
    assert (error.status, error.duplicate, error.details) == (status, duplicate, details)
    if body:
        assert (error.code, error.message) == (body["code"], body["message"])
    assert len(stub.calls) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [(401, {"code": 40110000, "message": "request is not authorized"}), (403, {"message": "forbidden."})],
)
def test_refused_keys_name_both_variables(status: int, body: Any, serve: Serve, alpaca_at: AlpacaAt) -> None:
    stub = serve(in_turn(Reply(body, status)))
    alpaca = alpaca_at(stub.url)
    calls: list[Callable[[], Any]] = [
        alpaca.account,
        lambda: alpaca.snapshots(["A"]),
        lambda: alpaca.submit("AAPL", "buy", "id-1", qty=Decimal(1)),
    ]
    for call in calls:
        with pytest.raises(AuthenticationError, match="check ALPACA_API_KEY and ALPACA_SECRET_KEY"):
            call()


def test_an_order_refused_by_the_rate_limit_or_never_sent_is_known_not_to_exist(
    serve: Serve, alpaca_at: AlpacaAt
) -> None:
    stub = serve(in_turn(Reply({"message": "too many requests."}, 429)))
    with pytest.raises(TransientError) as caught:
        alpaca_at(stub.url).submit("AAPL", "buy", "id-1", qty=Decimal(1))
    assert caught.value.status == 429
    assert len(stub.calls) == 1
    with pytest.raises(TransientError) as caught:
        alpaca_at(f"http://127.0.0.1:{closed_port()}").submit("AAPL", "buy", "id-1", qty=Decimal(1))
    assert caught.value.unsent


@pytest.mark.parametrize(
    ("reply", "done"), [(Reply(status=204), True), (Reply({"message": "order is already final"}, 422), False)]
)
def test_a_cancel_says_whether_there_was_something_to_cancel(
    reply: Reply, done: bool, serve: Serve, alpaca_at: AlpacaAt
) -> None:
    stub = serve(in_turn(reply))
    alpaca = alpaca_at(stub.url)
    assert alpaca.cancel(ID) is done
    assert (stub.calls[0].method, stub.calls[0].path) == ("DELETE", f"/v2/orders/{ID}")
    assert alpaca.calls == {"DELETE /v2/orders/{id}": 1}


@pytest.mark.parametrize(("status", "kind"), [(404, PermanentError), (500, TransientError), (429, TransientError)])
def test_any_other_answer_to_a_cancel_is_an_error_and_is_not_repeated(
    status: int, kind: type[ProviderError], serve: Serve, alpaca_at: AlpacaAt
) -> None:
    stub = serve(in_turn(Reply(status=status)))
    with pytest.raises(kind):
        alpaca_at(stub.url).cancel(ID)
    assert len(stub.calls) == 1


def test_cancel_all_gives_the_outcome_of_each(serve: Serve, alpaca_at: AlpacaAt) -> None:
    rows = [{"id": "a", "status": 200, "body": None}, {"id": "b", "status": 500}]
    assert alpaca_at(serve(in_turn(Reply(rows, 207))).url).cancel_all() == {"a": 200, "b": 500}


def test_fills_follow_all_pages(serve: Serve, alpaca_at: AlpacaAt) -> None:
    rows = [
        {
            "id": f"20260824::{number:04d}",
            "order_id": ID,
            "symbol": "AAPL",
            "side": "buy",
            "qty": "0.5",
            "price": "10.01",
            "transaction_time": "2026-08-24T14:05:01.123456789Z",
            "type": "fill",
        }
        for number in range(200)
    ]

    def answer(call: Call) -> Reply:
        token = call.query.get("page_token")
        start = 1 + next(i for i, row in enumerate(rows) if row["id"] == token) if token else 0
        return Reply(rows[start : start + int(call.query["page_size"])])

    stub = serve(answer)
    found = alpaca_at(stub.url).fills(datetime(2026, 8, 24, tzinfo=UTC))
    assert [fill.id for fill in found] == [row["id"] for row in rows]
    at = datetime(2026, 8, 24, 14, 5, 1, 123456, tzinfo=UTC)
    assert found[0] == Fill("20260824::0000", ID, "AAPL", "buy", Decimal("0.5"), Decimal("10.01"), at)
    assert stub.calls[0].query["after"] == "2026-08-24T00:00:00+00:00"
    stub.answer = lambda _call: Reply(rows[:100])
    with pytest.raises(PermanentError, match="came twice"):
        alpaca_at(stub.url).fills(datetime(2026, 8, 24, tzinfo=UTC))


@pytest.mark.parametrize("reply", [Reply(status=429), Reply(status=504), Reply(content=b"<html>"), Reply(drop=True)])
def test_reads_are_repeated_for_what_is_transient(reply: Reply, serve: Serve, alpaca_at: AlpacaAt) -> None:
    stub = serve(in_turn(reply, Reply(ACCOUNT)))
    assert alpaca_at(stub.url).account().number == "PA3XYZ"
    assert len(stub.calls) == 2


def test_reads_of_both_apis_wait_for_the_reset_plus_a_second(serve: Serve, alpaca_at: AlpacaAt) -> None:
    def limited() -> Reply:
        return Reply({"message": "too many requests."}, 429, {"X-RateLimit-Reset": str(int(time.time()))})

    stub = serve(lambda call: limited() if len(stub.calls) == 1 else Reply({}))
    alpaca_at(stub.url).snapshots(["A"])
    assert stub.calls[1].at - stub.calls[0].at >= 0.9


def test_a_stalled_broker_times_out(serve: Serve, alpaca_at: AlpacaAt) -> None:
    stub = serve(in_turn(Reply(stall=True)))
    alpaca = alpaca_at(stub.url, timeout_s=0.2, max_attempts=1)
    start = time.monotonic()
    for call in (alpaca.account, lambda: alpaca.snapshots(["A"]), lambda: alpaca.cancel(ID)):
        with pytest.raises(TransientError, match="none came within"):
            call()
    assert time.monotonic() - start < 3


def test_redirects_are_not_followed(serve: Serve, alpaca_at: AlpacaAt) -> None:
    elsewhere = serve(in_turn(Reply(ACCOUNT)))
    stub = serve(in_turn(Reply(status=307, headers={"Location": elsewhere.url})))
    with pytest.raises(PermanentError, match="redirects"):
        alpaca_at(stub.url).account()
    assert elsewhere.calls == []


def test_now_asks_the_broker_once_a_minute_and_runs_on_in_between(
    serve: Serve, alpaca_at: AlpacaAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = serve(in_turn(Reply(CLOCK)))
    alpaca = alpaca_at(stub.url)
    stamps = [alpaca.now() for _ in range(1500)]
    assert len(stub.calls) == 1
    assert stamps == sorted(stamps)
    assert timedelta(0) <= stamps[0] - datetime(2026, 8, 24, 14, 5, 0, 123456, tzinfo=UTC) < timedelta(seconds=1)
    monkeypatch.setattr(module, "RESYNC_S", 0.0)
    alpaca.now()
    assert len(stub.calls) == 2


def test_now_outlives_an_outage_of_the_broker_but_not_for_ever(
    serve: Serve, alpaca_at: AlpacaAt, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stub = serve(in_turn(Reply(CLOCK), Reply(status=503), Reply({"message": "forbidden."}, 403), Reply(status=503)))
    alpaca = alpaca_at(stub.url, max_attempts=1)
    first = alpaca.now()
    monkeypatch.setattr(module, "RESYNC_S", 0.0)
    assert first < alpaca.now() < first + timedelta(seconds=2)
    assert first < alpaca.now() < first + timedelta(seconds=2), "a refusal is no other time"
    assert "its last answer is advanced" in caplog.text
    monkeypatch.setattr(module, "MAX_UNSYNCED_S", 0.0)
    with pytest.raises(TransientError):
        alpaca.now()


@pytest.mark.parametrize("slept", ["monotonic", "wall"])
def test_now_goes_on_while_one_of_this_machine_s_clocks_stands_still(
    serve: Serve, alpaca_at: AlpacaAt, monkeypatch: pytest.MonkeyPatch, slept: str
) -> None:
    stub = serve(in_turn(Reply(CLOCK), Reply(status=503)))
    alpaca = alpaca_at(stub.url, max_attempts=1)
    first, (monotonic, wall) = alpaca.now(), module._here()
    later = (monotonic, wall + 1800) if slept == "monotonic" else (monotonic + 1800, wall - 5)
    monkeypatch.setattr(module, "_here", lambda: later)
    assert timedelta(seconds=1799) < alpaca.now() - first < timedelta(seconds=1801)
    assert len(stub.calls) == 2, "and the broker is asked"


def test_an_order_whose_turn_comes_too_late_is_not_sent(serve: Serve, alpaca_at: AlpacaAt) -> None:
    stub = serve(in_turn(Reply(CLOCK)))
    alpaca = alpaca_at(stub.url, calls_per_minute=150.0)
    now = alpaca.now()
    with pytest.raises(TooLate, match="its turn came at 2026-08-24 14:05:00 UTC, it might be sent until"):
        alpaca.submit("AAPL", "buy", "id-1", qty=Decimal(1), not_after=now + timedelta(seconds=0.2))
    assert [call.method for call in stub.calls] == ["GET"]


def test_without_keys_the_first_call_says_which_variable_to_set(
    alpaca_at: AlpacaAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALPACA_SECRET_KEY", "")
    with pytest.raises(SettingsError, match="ALPACA_SECRET_KEY is not set"):
        alpaca_at("http://127.0.0.1:1").account()


def test_settings_decide_everything() -> None:
    settings = load_settings(overrides={"alpaca.symbols_per_call": 50, "alpaca.data_feed": "sip"})
    alpaca = AlpacaResource.from_settings(settings)
    assert (alpaca.trading_url, alpaca.data_url) == (settings.trading_url, settings.environment.alpaca_data_url)
    assert (alpaca.paper, alpaca.symbols_per_call, alpaca.data_feed) == (True, 50, "sip")
    assert alpaca.timeout_s == settings.alpaca.timeout_s
