"""Rules: what is refused, when they strike, and what each kind looks like to a client."""

import json
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, get_args

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenomics_dagster.sandbox.faults import FaultError, Faults, HttpKind, OrderKind
from tokenomics_dagster.sandbox.generated import generate
from tokenomics_dagster.sandbox.server import SandboxError, SandboxHandle, running_sandbox

KEYS = {"X-Finnhub-Token": "sandbox", "APCA-API-KEY-ID": "PKSANDBOX", "APCA-API-SECRET-KEY": "sandbox-secret"}
PROFILE = "GET /api/v1/stock/profile2"
CHEAP = next(
    one
    for one in generate(7, 400).instruments.values()
    if one.tradable and one.fractionable and Decimal(2) < one.price < Decimal(500)
)


def profile(handle: SandboxHandle, symbol: str = CHEAP.symbol, timeout: float = 10) -> requests.Response:
    url = f"{handle.url}/api/v1/stock/profile2"
    return requests.get(url, params={"symbol": symbol}, headers=KEYS, timeout=timeout)


def buy(
    handle: SandboxHandle, client_order_id: str, symbol: str = CHEAP.symbol, timeout: float = 10
) -> requests.Response:
    order = {"symbol": symbol, "notional": "50", "side": "buy", "type": "market", "time_in_force": "day"}
    body = {**order, "client_order_id": client_order_id}
    return requests.post(f"{handle.url}/v2/orders", json=body, headers=KEYS, timeout=timeout)


def known_order(handle: SandboxHandle, client_order_id: str) -> dict[str, Any] | None:
    url = f"{handle.url}/v2/orders:by_client_order_id"
    answer = requests.get(url, params={"client_order_id": client_order_id}, headers=KEYS, timeout=10)
    return answer.json() if answer.ok else None


def inject(handle: SandboxHandle, **rule: Any) -> None:
    handle.admin("PUT", "/sandbox/faults", [rule])


def fired(handle: SandboxHandle) -> int:
    count: int = handle.admin("GET", "/sandbox/faults")[0]["fired"]
    return count


# --- rules


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"kind": "500"}, "a list of rules is expected, not dict"),
        (["500"], r"faults\[0\]"),
        (
            [{"kind": "418", "endpoint": PROFILE}],
            "'418' is not allowed: Input should be '429', '429_no_headers', '500'",
        ),
        ([{"kind": "500", "endpoint": PROFILE, "cals": [1]}], "cals is unknown; allowed are kind, endpoint, query"),
        ([{"kind": "500"}], "kind 500 needs endpoint"),
        ([{"kind": "500", "endpoint": "/v2/orders"}], "endpoint: '/v2/orders' is not allowed"),
        ([{"kind": "500", "endpoint": PROFILE, "symbol": "AAA"}], "takes no symbol or side"),
        ([{"kind": "reject", "endpoint": PROFILE}], "takes symbol and side, not endpoint"),
        ([{"kind": "reject", "side": "short"}], "side: 'short' is not allowed: Input should be 'buy' or 'sell'"),
        ([{"kind": "500", "endpoint": PROFILE, "calls": [1], "every": 2}], "only one of calls, every and probability"),
        ([{"kind": "500", "endpoint": PROFILE, "calls": [0]}], "calls.0: 0 is not allowed"),
        ([{"kind": "500", "endpoint": PROFILE, "probability": 1.5}], "probability: 1.5 is not allowed"),
        ([{"kind": "500", "endpoint": PROFILE, "seconds": 1}], "takes no seconds; 429, timeout, slow do"),
        ([{"kind": "reject"}, {"kind": "halt", "times": 0}], r"faults\[1\]: times: 0 is not allowed"),
    ],
)
def test_a_wrong_rule_is_refused_with_what_is_allowed(rules: Any, message: str):
    faults = Faults([{"kind": "reject"}])
    with pytest.raises(FaultError, match=message):
        faults.replace(rules)
    assert [one["kind"] for one in faults.to_json()] == ["reject"], "the rules in force stay"


def strikes(faults: Faults, calls: int) -> list[int]:
    return [number for number in range(1, calls + 1) if faults.http_fault("GET", "/api/v1/stock/profile2", {})]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"calls": [2, 5]}, [2, 5]),
        ({"every": 3}, [3, 6]),
        ({"times": 2}, [1, 2]),
        ({"every": 2, "times": 2}, [2, 4]),
    ],
)
def test_a_rule_strikes_when_it_says(when: dict[str, Any], expected: list[int]):
    faults = Faults([{"kind": "500", "endpoint": PROFILE, **when}])
    assert strikes(faults, 6) == expected
    assert {key: faults.to_json()[0][key] for key in ("matched", "fired")} == {"matched": 6, "fired": len(expected)}


def test_a_probability_is_repeatable_by_its_seed():
    def drawn(seed: int) -> list[int]:
        return strikes(Faults([{"kind": "500", "endpoint": PROFILE, "probability": 0.3, "seed": seed}]), 1000)

    assert drawn(1) == drawn(1) != drawn(2)
    assert 240 < len(drawn(1)) < 360


@pytest.mark.parametrize(
    ("endpoint", "query", "request_", "struck"),
    [
        ("GET /v2/orders", {}, ("GET", "/v2/orders", {}), True),
        ("GET /v2/orders", {}, ("POST", "/v2/orders", {}), False),
        ("* /v2/orders*", {}, ("DELETE", "/v2/orders/abc", {}), True),
        ("GET /v2/orders", {}, ("GET", "/v2/orders:by_client_order_id", {}), False),
        ("* /v2/*", {}, ("GET", "/api/v1/stock/metric", {}), False),
        (PROFILE, {"symbol": "A*"}, ("GET", "/api/v1/stock/profile2", {"symbol": "AAA"}), True),
        (PROFILE, {"symbol": "A*"}, ("GET", "/api/v1/stock/profile2", {"symbol": "BBB"}), False),
        (PROFILE, {"symbol": "A*"}, ("GET", "/api/v1/stock/profile2", {}), False),
    ],
)
def test_a_rule_strikes_where_it_says(endpoint: str, query: dict[str, str], request_: Any, struck: bool):
    faults = Faults([{"kind": "500", "endpoint": endpoint, "query": query}])
    assert (faults.http_fault(*request_) is not None) is struck


def test_each_rule_counts_every_call_and_the_first_that_is_due_strikes():
    faults = Faults(
        [{"kind": "500", "endpoint": PROFILE, "calls": [2]}, {"kind": "503", "endpoint": PROFILE, "calls": [2, 3]}]
    )
    struck = [faults.http_fault("GET", "/api/v1/stock/profile2", {}) for _ in range(3)]
    assert [one and one.kind for one in struck] == [None, "500", "503"]
    assert [(one["matched"], one["fired"]) for one in faults.to_json()] == [(3, 1), (3, 1)]


@settings(deadline=None)
@given(st.sampled_from(["AAA", "BBB"]), st.sampled_from(["buy", "sell"]))
def test_an_order_fault_strikes_its_symbol_and_side_only(symbol: str, side: str):
    faults = Faults([{"kind": "halt", "symbol": "A*", "side": "sell"}, {"kind": "cancel_sticks", "symbol": "BBB"}])
    assert faults.order_fault(symbol, side) == ("halt" if (symbol, side) == ("AAA", "sell") else None)
    assert faults.cancel_sticks(symbol, side) is (symbol == "BBB")
    assert faults.http_fault("POST", "/v2/orders", {}) is None


@pytest.mark.parametrize("kind", [one for one in get_args(OrderKind) if one != "cancel_sticks"])
def test_each_order_fault_is_handed_to_the_broker_as_often_as_it_says(kind: str):
    faults = Faults([{"kind": kind, "times": 1}])
    assert [faults.order_fault("AAA", "buy") for _ in range(2)] == [kind, None]
    assert not faults.cancel_sticks("AAA", "buy")


def test_rules_from_several_threads_are_counted_once_each():
    faults = Faults([{"kind": "500", "endpoint": PROFILE, "every": 2}])
    threads = [threading.Thread(target=strikes, args=(faults, 500)) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (faults.to_json()[0]["matched"], faults.to_json()[0]["fired"]) == (4000, 2000)


# --- what a client sees


def test_every_http_kind_is_shown_below():
    shown = {
        *("429", "429_no_headers", "500", "502_html", "503", "504"),
        *("timeout", "slow", "lost_answer", "lost_answer_504", "duplicate", "malformed_json", "truncated"),
    }
    assert shown == set(get_args(HttpKind))


@pytest.mark.parametrize("kind", [429, 500, 503, 504])
def test_an_error_comes_in_the_form_of_the_api_that_was_called(sandbox: SandboxHandle, kind: int):
    inject(sandbox, kind=kind, endpoint="* /*")
    answer, order = profile(sandbox), buy(sandbox, f"error-{kind}")
    assert answer.status_code == order.status_code == kind
    assert answer.json().keys() == {"error"}
    assert order.json().keys() == {"code", "message"}
    sandbox.admin("DELETE", "/sandbox/faults")
    assert known_order(sandbox, f"error-{kind}") is None, "an error of this kind comes before the order is accepted"


def test_429_says_when_to_come_back_and_429_no_headers_does_not(sandbox: SandboxHandle):
    inject(sandbox, kind="429", endpoint=PROFILE, seconds=7)
    answer = profile(sandbox)
    assert answer.headers["Retry-After"] == "7"
    assert 6 <= int(answer.headers["X-Ratelimit-Reset"]) - time.time() <= 9
    assert answer.headers["X-Ratelimit-Remaining"] == "0"
    inject(sandbox, kind="429_no_headers", endpoint=PROFILE)
    answer = profile(sandbox)
    assert answer.status_code == 429
    assert not [name for name in answer.headers if name.lower().startswith(("retry-after", "x-ratelimit"))]


def test_502_is_a_gateways_html_page(sandbox: SandboxHandle):
    inject(sandbox, kind="502_html", endpoint=PROFILE)
    answer = profile(sandbox)
    assert answer.status_code == 502
    assert answer.headers["Content-Type"] == "text/html"
    assert "<html>" in answer.text


def test_a_timeout_never_answers_and_runs_nothing(sandbox: SandboxHandle):
    inject(sandbox, kind="timeout", endpoint="POST /v2/orders")
    with pytest.raises(requests.ReadTimeout):
        buy(sandbox, "timed-out", timeout=0.3)
    assert fired(sandbox) == 1
    assert known_order(sandbox, "timed-out") is None


def test_a_timeout_is_bounded(sandbox: SandboxHandle):
    inject(sandbox, kind="timeout", endpoint=PROFILE, seconds=0.2)
    with pytest.raises(requests.ConnectionError):
        profile(sandbox)


def test_a_slow_answer_comes_late_and_its_order_is_accepted(sandbox: SandboxHandle):
    inject(sandbox, kind="slow", endpoint="POST /v2/orders", seconds=0.4)
    start = time.monotonic()
    assert buy(sandbox, "slow").status_code == 200
    assert 0.4 <= time.monotonic() - start < 3
    with pytest.raises(requests.ReadTimeout):
        buy(sandbox, "slow-and-given-up", timeout=0.1)
    assert known_order(sandbox, "slow-and-given-up") is not None


@pytest.mark.parametrize("kind", ["lost_answer", "lost_answer_504"])
def test_a_lost_answer_looks_like_a_failure_but_the_order_is_accepted(sandbox: SandboxHandle, kind: str):
    inject(sandbox, kind=kind, endpoint="POST /v2/orders")
    if kind == "lost_answer":
        with pytest.raises(requests.ConnectionError):
            buy(sandbox, kind)
    else:
        assert buy(sandbox, kind).status_code == 504
    order = known_order(sandbox, kind)
    assert order is not None
    assert order["client_order_id"] == kind


def test_a_duplicate_is_handled_twice_and_the_second_answer_comes(sandbox: SandboxHandle):
    inject(sandbox, kind="duplicate", endpoint="POST /v2/orders")
    answer = buy(sandbox, "twice")
    assert (answer.status_code, answer.json()["code"]) == (422, 40010001), "client_order_id must be unique"
    assert known_order(sandbox, "twice") is not None


def test_malformed_json_is_no_json(sandbox: SandboxHandle):
    inject(sandbox, kind="malformed_json", endpoint="GET /*")
    for symbol in (CHEAP.symbol, "NOSUCH"):
        answer = profile(sandbox, symbol)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("application/json")
        with pytest.raises(json.JSONDecodeError):
            json.loads(answer.content)


def test_a_truncated_answer_ends_before_its_announced_length(sandbox: SandboxHandle):
    inject(sandbox, kind="truncated", endpoint=PROFILE)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        profile(sandbox)


def test_after_a_fault_on_a_kept_connection_the_next_call_goes_through(sandbox: SandboxHandle):
    url = f"{sandbox.url}/api/v1/stock/profile2?symbol={CHEAP.symbol}"
    for kind in ("lost_answer", "truncated", "malformed_json", "duplicate", "500"):
        inject(sandbox, kind=kind, endpoint=PROFILE, calls=[2])
        with requests.Session() as session:
            session.headers.update(KEYS)
            assert session.get(url, timeout=10).ok
            try:
                session.get(url, timeout=10)
            except requests.RequestException:
                assert kind in ("lost_answer", "truncated")
            assert session.get(url, timeout=10).json() == CHEAP.profile
        assert fired(sandbox) == 1


def test_a_fault_strikes_no_other_endpoint_and_never_the_administration(sandbox: SandboxHandle):
    inject(sandbox, kind="500", endpoint="* /*")
    assert sandbox.admin("GET", "/sandbox/health")["status"] == "ok"
    inject(sandbox, kind="500", endpoint=PROFILE, query={"symbol": "OTHER"})
    assert profile(sandbox).ok
    assert not profile(sandbox, "OTHER").ok


def test_one_client_waiting_in_a_timeout_holds_up_nobody_else(sandbox: SandboxHandle):
    inject(sandbox, kind="timeout", endpoint=PROFILE, query={"symbol": "STUCK"})
    waiting = threading.Thread(target=_expect_timeout, args=(lambda: profile(sandbox, "STUCK", timeout=1),))
    waiting.start()
    start = time.monotonic()
    while fired(sandbox) == 0:
        assert time.monotonic() - start < 5
    assert profile(sandbox).ok
    assert waiting.is_alive()
    waiting.join()


def _expect_timeout(call: Callable[[], Any]) -> None:
    with pytest.raises(requests.ReadTimeout):
        call()


def test_an_order_fault_reaches_the_broker(sandbox: SandboxHandle):
    inject(sandbox, kind="reject", symbol=CHEAP.symbol, side="buy")
    assert buy(sandbox, "to-be-rejected").ok, "a reject comes after acceptance"
    deadline = time.monotonic() + 5
    while (order := known_order(sandbox, "to-be-rejected")) is None or order["status"] != "rejected":
        assert time.monotonic() < deadline, order
    assert fired(sandbox) == 1


@pytest.mark.soak
def test_rules_come_from_a_file_too(tmp_path: Any):
    path = tmp_path / "faults.json"
    path.write_text(json.dumps([{"kind": "503", "endpoint": PROFILE, "times": 1}]))
    with running_sandbox(listings=150, faults=path) as handle:
        assert [profile(handle).status_code for _ in range(2)] == [503, 200]
    path.write_text('[{"kind": "teapot"}]')
    with pytest.raises(SandboxError, match="kind: 'teapot' is not allowed"), running_sandbox(faults=path):
        pass
    path.write_text("{")
    with pytest.raises(SandboxError, match="cannot be read as JSON"), running_sandbox(faults=path):
        pass


def test_a_wrong_rule_over_http_is_refused_and_the_old_ones_stay(sandbox: SandboxHandle):
    inject(sandbox, kind="500", endpoint=PROFILE)
    with pytest.raises(SandboxError, match=r"PUT /sandbox/faults: faults\[0\]: kind: 'x' is not allowed"):
        inject(sandbox, kind="x", endpoint=PROFILE)
    assert profile(sandbox).status_code == 500
