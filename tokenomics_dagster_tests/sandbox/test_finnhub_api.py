"""Finnhub over HTTP: each answer against the official schema and read by the unmodified client; keys and limits."""

import itertools
import time
from datetime import date
from pathlib import Path
from typing import Any

import finnhub
import jsonschema
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenomics_dagster.sandbox.finnhub_api import reported
from tokenomics_dagster.sandbox.gate import JITTER_S, RateLimit
from tokenomics_dagster.sandbox.generated import generate
from tokenomics_dagster.sandbox.replay import replay
from tokenomics_dagster.sandbox.server import SandboxHandle, running_sandbox

LISTINGS, SEED = 400, 7


def client(handle: SandboxHandle, key: str = "sandbox") -> finnhub.Client:
    """The unmodified client, pointed elsewhere in the only way that it has."""
    here = type("Client", (finnhub.Client,), {"API_URL": handle.environment()["FINNHUB_BASE_URL"]})
    made: finnhub.Client = here(key)
    return made


def get(handle: SandboxHandle, path: str, **query: str) -> requests.Response:
    url = handle.environment()["FINNHUB_BASE_URL"]
    return requests.get(f"{url}{path}", params=query, headers={"X-Finnhub-Token": "sandbox"}, timeout=10)


def with_nulls(schema: Any) -> Any:
    """The schema with null allowed for each value: facts/finnhub.md knows null where the description has a number."""
    return {
        **schema,
        "properties": {key: {"anyOf": [value, {"type": "null"}]} for key, value in schema["properties"].items()},
    }


def check(spec: dict[str, Any], schema: Any, bodies: list[Any]) -> None:
    checker = jsonschema.Draft4Validator({**schema, "definitions": spec["definitions"]})
    for body in bodies:
        checker.validate(body)


def response_schema(spec: dict[str, Any], path: str) -> Any:
    schema = spec["paths"][path]["get"]["responses"]["200"]["schema"]
    # beside "$ref", "type" counts for nothing in a Swagger 2.0 schema
    return {"$ref": schema["$ref"]} if "$ref" in schema else schema


def test_listings_are_as_described(sandbox: SandboxHandle, finnhub_spec: dict[str, Any]):
    listings = get(sandbox, "/stock/symbol", exchange="US").json()
    check(finnhub_spec, response_schema(finnhub_spec, "/stock/symbol"), [listings])
    assert len(listings) == LISTINGS
    described = finnhub_spec["definitions"]["StockSymbol"]["properties"]
    assert all(one.keys() == described.keys() for one in listings)


def test_profiles_are_as_described_but_for_null(sandbox: SandboxHandle, finnhub_spec: dict[str, Any]):
    bodies = [get(sandbox, "/stock/profile2", symbol=symbol).json() for symbol in generate(SEED, LISTINGS).instruments]
    assert response_schema(finnhub_spec, "/stock/profile2") == {"$ref": "#/definitions/CompanyProfile2"}
    check(finnhub_spec, with_nulls(finnhub_spec["definitions"]["CompanyProfile2"]), bodies)
    assert {} in bodies
    described = finnhub_spec["definitions"]["CompanyProfile2"]["properties"]
    assert all(body.keys() == described.keys() for body in bodies if body)


def test_metrics_are_as_described(sandbox: SandboxHandle, finnhub_spec: dict[str, Any]):
    symbols = list(generate(SEED, LISTINGS).instruments)
    bodies = [get(sandbox, "/stock/metric", symbol=symbol, metric="all").json() for symbol in symbols]
    check(finnhub_spec, response_schema(finnhub_spec, "/stock/metric"), bodies)
    assert [body["symbol"] for body in bodies] == symbols
    assert {body["metricType"] for body in bodies} == {"all"}
    for body in bodies:
        for series in body["series"].get("quarterly", {}).values():
            check(finnhub_spec, {"type": "object", "required": ["period", "v"]}, series)


def test_series_are_fractions_where_metrics_are_percent(sandbox: SandboxHandle):
    symbols = generate(SEED, LISTINGS).instruments
    seen = 0
    for symbol in itertools.islice(symbols, 60):
        body = get(sandbox, "/stock/metric", symbol=symbol, metric="all").json()
        for point in body["series"].get("quarterly", {}).get("roeTTM", []):
            assert point["v"] == body["metric"]["roeTTM"] / 100
            seen += 1
    assert seen


@pytest.mark.parametrize(
    ("today", "quarter", "year"),
    [
        ("2026-08-21", "2026-06-30", "2025-12-31"),
        ("2026-08-13", "2026-03-31", "2025-12-31"),
        ("2026-01-02", "2025-09-30", "2024-12-31"),
        ("2026-02-14", "2025-12-31", "2024-12-31"),
        ("2026-03-16", "2025-12-31", "2025-12-31"),
    ],
)
def test_a_period_is_reported_as_filings_are_due(today: str, quarter: str, year: str):
    assert tuple(end.isoformat() for end in reported(date.fromisoformat(today))) == (quarter, year)


def test_series_name_the_period_that_was_last_reported(sandbox: SandboxHandle):
    seen = set()
    for symbol in itertools.islice(generate(SEED, LISTINGS).instruments, 60):
        series = get(sandbox, "/stock/metric", symbol=symbol, metric="all").json()["series"]
        for span, found in series.items():
            seen |= {(span, points[0]["period"]) for points in found.values()}
    assert seen == {("quarterly", "2026-06-30"), ("annual", "2025-12-31")}


def test_every_value_is_served_as_the_very_float_of_the_market(sandbox: SandboxHandle):
    for symbol, one in generate(SEED, LISTINGS).instruments.items():
        assert get(sandbox, "/stock/profile2", symbol=symbol).json() == one.profile
        assert get(sandbox, "/stock/metric", symbol=symbol, metric="all").json()["metric"] == one.metric


def test_a_replayed_market_is_served_as_the_very_floats_of_the_recording(recorded: Path):
    instruments = replay(recorded).instruments
    with running_sandbox(replay=recorded) as handle:
        listings = get(handle, "/stock/symbol", exchange="US").json()
        assert [one["symbol"] for one in listings] == list(instruments)
        for symbol in [*itertools.islice(instruments, 0, None, 60), "BRK.A", "BRK.B", "GOOG", "NAN", "VFS"]:
            assert get(handle, "/stock/profile2", symbol=symbol).json() == instruments[symbol].profile
            served = get(handle, "/stock/metric", symbol=symbol, metric="all").json()
            assert served["metric"] == instruments[symbol].metric
        assert handle.admin("GET", "/sandbox/clock")["now"].startswith("2026-08-24T14:05")


def test_the_unmodified_client_reads_everything(sandbox: SandboxHandle):
    with client(sandbox) as api:
        listings = api.stock_symbols("US", mic="XNYS", security_type="Common Stock", currency="USD")
        assert {(one["mic"], one["type"]) for one in listings} == {("XNYS", "Common Stock")}
        symbol = listings[0]["symbol"]
        assert api.company_profile2(symbol=symbol)["ticker"] == symbol
        assert api.company_basic_financials(symbol, "all")["symbol"] == symbol
    assert sandbox.admin("GET", "/sandbox/calls") == {
        "GET /api/v1/stock/metric": 1,
        "GET /api/v1/stock/profile2": 1,
        "GET /api/v1/stock/symbol": 1,
    }, "the client's double slash counts as the same endpoint"


def test_filters_narrow_the_listings(sandbox: SandboxHandle):
    instruments = generate(SEED, LISTINGS).instruments.values()
    for query, expected in (
        ({"mic": "XNYS"}, [one.symbol for one in instruments if one.mic == "XNYS"]),
        ({"securityType": "ADR"}, [one.symbol for one in instruments if one.type == "ADR"]),
        ({"currency": "EUR"}, []),
        ({}, [one.symbol for one in instruments]),
    ):
        found = get(sandbox, "/stock/symbol", exchange="US", **query).json()
        assert [one["symbol"] for one in found] == expected


def test_an_unknown_symbol_is_no_data_and_not_an_error(sandbox: SandboxHandle):
    assert get(sandbox, "/stock/profile2", symbol="NOSUCH").json() == {}
    body = get(sandbox, "/stock/metric", symbol="NOSUCH", metric="all").json()
    assert body == {"metric": {}, "metricType": "all", "series": {}, "symbol": "NOSUCH"}


@pytest.mark.parametrize(
    ("path", "query", "status", "message"),
    [
        ("/stock/symbol", {}, 400, "exchange is required"),
        ("/stock/symbol", {"exchange": "L"}, 403, "You don't have access to this resource."),
        ("/stock/profile2", {"isin": "US0378331005"}, 400, "symbol is required"),
        ("/stock/metric", {"symbol": "AAPL"}, 400, "symbol and metric=all are required"),
    ],
)
def test_a_wrong_request_is_an_error_in_finnhubs_form(
    sandbox: SandboxHandle, path: str, query: dict[str, str], status: int, message: str
):
    answer = get(sandbox, path, **query)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(message)


def test_a_wrong_or_absent_key_is_401(sandbox: SandboxHandle):
    with client(sandbox, key="wrong") as api, pytest.raises(finnhub.FinnhubAPIException) as caught:
        api.company_profile2(symbol="AAPL")
    assert (caught.value.status_code, caught.value.message) == (401, "Invalid API key")
    url = f"{sandbox.environment()['FINNHUB_BASE_URL']}/stock/profile2"
    assert requests.get(url, timeout=10).json() == {"error": "Please use an API key."}
    assert requests.get(f"{url}?token=sandbox&symbol=X", timeout=10).status_code == 200
    # the header decides where both are given, as it is the one that a careful client sends
    wrong_header = {"X-Finnhub-Token": "wrong"}
    assert requests.get(f"{url}?token=sandbox&symbol=X", headers=wrong_header, timeout=10).status_code == 401


def test_market_caps_move_with_the_price(sandbox: SandboxHandle):
    one = next(
        one
        for one in generate(SEED, LISTINGS).instruments.values()
        if one.profile.get("marketCapitalization") and one.metric.get("marketCapitalization")
    )
    sandbox.admin("PUT", "/sandbox/prices", {one.symbol: str(one.price * 2)})
    try:
        profile = get(sandbox, "/stock/profile2", symbol=one.symbol).json()
        metric = get(sandbox, "/stock/metric", symbol=one.symbol, metric="all").json()["metric"]
        assert profile == {**one.profile, "marketCapitalization": 2 * one.profile["marketCapitalization"]}
        assert metric == {**one.metric, "marketCapitalization": 2 * one.metric["marketCapitalization"]}
    finally:
        sandbox.admin("PUT", "/sandbox/prices", {one.symbol: str(one.price)})


# --- limits


def sent_legally(limit: int, gaps: list[float]) -> list[float]:
    """Instants with these gaps, each put off until at most `limit` lie within the last period of 1."""
    sent: list[float] = []
    for gap in gaps:
        at = (sent[-1] if sent else 0.0) + gap
        if len(sent) >= limit:
            at = max(at, sent[-limit] + 1.0)
        sent.append(at)
    return sent


def refused(limit: RateLimit, arrivals: list[float]) -> list[float]:
    late = []
    for at in arrivals:
        if limit.wait_s(at) > 0:
            late.append(at)
        else:
            limit.take(at)
    return late


@settings(deadline=None)
@given(
    st.integers(1, 20),
    st.lists(st.sampled_from([0.0, 0.0, 0.01, 0.3, 1.0, 5.0]), min_size=1, max_size=120),
    st.lists(st.floats(0, JITTER_S), min_size=120, max_size=120),
)
def test_no_legal_client_is_ever_refused(limit: int, gaps: list[float], delays: list[float]):
    sent = sent_legally(limit, gaps)
    arrivals = sorted(at + delay for at, delay in zip(sent, delays, strict=False))
    assert refused(RateLimit(limit, 1.0), arrivals) == []


@pytest.mark.parametrize(("limit", "period_s"), [(60, 60.0), (300, 60.0), (15, 1.0), (30, 1.0)])
def test_a_steady_client_is_refused_just_when_it_is_too_fast(limit: int, period_s: float):
    def steady(times_the_rate: float) -> list[float]:
        return [n * period_s / limit / times_the_rate for n in range(limit * 40)]

    assert refused(RateLimit(limit, period_s), steady(0.97)) == []
    assert refused(RateLimit(limit, period_s), steady(1.0)) == []
    assert refused(RateLimit(limit, period_s), steady(1.05))


@settings(deadline=None)
@given(st.integers(1, 50))
def test_one_call_more_than_the_limit_in_a_moment_is_refused(limit: int):
    bucket = RateLimit(limit, 60.0)
    assert refused(bucket, [1.0] * (limit + 1)) == [1.0]
    assert bucket.wait_s(1.0) == pytest.approx(60 - JITTER_S)
    assert refused(bucket, [62.0]) == []


def test_over_the_limit_comes_429_with_the_body_and_headers_of_finnhub():
    with running_sandbox(listings=150, finnhub_limit=["25/min"]) as handle, requests.Session() as session:
        session.headers["X-Finnhub-Token"] = "sandbox"
        url = f"{handle.environment()['FINNHUB_BASE_URL']}/stock/profile2?symbol=X"
        answers = [session.get(url, timeout=10) for _ in range(26)]
        *allowed, last = answers
        assert [answer.status_code for answer in allowed] == [200] * 25
        assert {answer.headers["X-Ratelimit-Limit"] for answer in answers} == {"25"}
        assert [int(answer.headers["X-Ratelimit-Remaining"]) for answer in answers] == [*range(24, -1, -1), 0]
        assert last.status_code == 429
        assert last.json() == {"error": "API limit reached. Please try again later. Remaining Limit: 0"}
        assert 55 < float(last.headers["X-Ratelimit-Reset"]) - time.time() < 62
        with client(handle) as api, pytest.raises(finnhub.FinnhubAPIException) as caught:
            api.company_profile2(symbol="X")
        assert caught.value.status_code == 429
        no_limit = requests.get(f"{handle.url}/v2/clock", timeout=10)
        assert "X-Ratelimit-Limit" not in no_limit.headers, "the limit is Finnhub's alone"


def test_of_two_limits_each_holds_and_a_refused_client_gets_through_when_the_reset_says():
    with running_sandbox(listings=150, finnhub_limit=["4/s", "100/min"]) as handle, requests.Session() as session:
        session.headers["X-Finnhub-Token"] = "sandbox"
        url = f"{handle.environment()['FINNHUB_BASE_URL']}/stock/profile2?symbol=X"
        answers = [session.get(url, timeout=10) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]
        assert answers[-1].headers["X-Ratelimit-Limit"] == "4"
        reset = float(answers[-1].headers["X-Ratelimit-Reset"])
        assert 0 < reset - time.time() <= 2
        time.sleep(max(0.0, reset - time.time()))
        assert session.get(url, timeout=10).status_code == 200


def test_trading_has_its_own_limit_in_alpacas_form():
    with running_sandbox(listings=150, trading_limit=["3/min"]) as handle:
        keys = {"APCA-API-KEY-ID": "PKSANDBOX", "APCA-API-SECRET-KEY": "sandbox-secret"}
        answers = [requests.get(f"{handle.url}/v2/clock", headers=keys, timeout=10) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].json() == {"code": 42910000, "message": "too many requests."}
        assert answers[-1].headers["X-RateLimit-Remaining"] == "0"


@pytest.mark.soak
def test_an_evenly_paced_client_a_little_under_the_limit_gets_no_429():
    rate = 15
    with running_sandbox(listings=150, finnhub_limit=[f"{rate}/s"]) as handle, requests.Session() as session:
        session.headers["X-Finnhub-Token"] = "sandbox"
        url = f"{handle.environment()['FINNHUB_BASE_URL']}/stock/profile2?symbol=X"
        due, statuses = time.monotonic(), []
        for _ in range(4 * rate):
            time.sleep(max(0.0, due - time.monotonic()))
            # from the last call on, not from the first: what a busy machine has lost is not made up for in a burst
            due = time.monotonic() + 1 / (0.97 * rate)
            statuses.append(session.get(url, timeout=10).status_code)
        assert statuses == [200] * 4 * rate
